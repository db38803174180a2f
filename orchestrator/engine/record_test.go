package engine

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// TestTurnText: a turn is written as package encoding/json writes it, whatever is
// in it.
func TestTurnText(t *testing.T) {
	for seed := range uint64(1000) {
		var turn turnRecord
		fill(rand.New(rand.NewPCG(seed, 1)), reflect.ValueOf(&turn).Elem(), 0)
		want, err := json.Marshal(turn)
		if err != nil {
			t.Fatal(err)
		}
		var w value.Writer
		turn.write(&w)
		if w.Err != nil {
			t.Fatal(w.Err)
		}
		got := w.Text
		var a, b any
		if err := json.Unmarshal(got, &a); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, got)
		}
		if err := json.Unmarshal(want, &b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, a); diff != "" {
			t.Fatalf("seed %d: (-encoding/json +ours)\n%s", seed, diff)
		}
	}
	late := turnRecord{Head: Head{Wake: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}}
	var w value.Writer
	if late.write(&w); w.Err == nil {
		t.Errorf("a year that cannot be read is written: %s", w.Text)
	}
}

// TestHead: a head is read as it was written, and nothing else is taken for one.
func TestHead(t *testing.T) {
	at := time.Date(2026, 11, 26, 4, 10, 0, 123456789, time.UTC)
	for _, h := range []Head{
		{},
		{Status: "RUNNING", First: Event{1, asl.ExecutionStarted, at}, Last: Event{4, asl.LambdaFunctionStarted, at}, Waits: true, Of: "arn:aws:x", Began: at},
		{Status: "RUNNING", First: Event{5, "WaitStateEntered", at}, Last: Event{5, "WaitStateEntered", at}, Wake: at.Add(time.Hour)},
		{Status: "ABORTED", First: Event{9, asl.ExecutionAborted, at}, Last: Event{9, asl.ExecutionAborted, at}, Cancels: true, Of: "arn:aws:x", Began: at},
		{Status: "SUCCEEDED", Of: "a \"quoted\" name", Began: at},
	} {
		var w value.Writer
		record := turnRecord{Head: h, Turn: asl.Turn{State: &asl.State{}}}
		record.write(&w)
		got, err := HeadOf(journal.Record{Data: w.Text})
		if diff := cmp.Diff(h, got); err != nil || diff != "" {
			t.Errorf("of %s: %v (-want +got)\n%s", w.Text, err, diff)
		}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		parsed, ok := parseHead(text)
		if diff := cmp.Diff(h, parsed); ok != (h.Of != `a "quoted" name`) || ok && diff != "" {
			t.Errorf("%s is read: %t (-want +got)\n%s", text, ok, diff)
		}
		for n := range text {
			if _, ok := parseHead(text[:n]); ok {
				t.Errorf("the beginning %s is read as a head", text[:n])
			}
		}
	}
}

var (
	rawType  = reflect.TypeFor[json.RawMessage]()
	timeType = reflect.TypeFor[time.Time]()

	eventType = reflect.TypeFor[asl.HistoryEvent]()
)

// fill sets about half of what is in v.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	switch {
	case r.IntN(2) == 0 && depth > 0 && v.Kind() != reflect.Struct || depth > 8 || !v.CanSet():
	case v.Type() == rawType:
		v.SetBytes(value.OfObject(value.Member{Key: text(r), Value: value.OfString(text(r))}).Append(nil))
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.Unix(r.Int64N(1e10), r.Int64N(1e9)).UTC()))
	case v.Type() == eventType:
		for i := range v.NumField() {
			if v.Field(i).Kind() != reflect.Pointer {
				fill(r, v.Field(i), depth+1)
			}
		}
		if i := r.IntN(v.NumField()); v.Field(i).Kind() == reflect.Pointer { // as a rule it tells one thing
			fill(r, v.Field(i), 0)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i), depth+1)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem(), depth+1)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i), depth+1)
		}
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(r, item, depth+1)
			v.SetMapIndex(reflect.ValueOf(text(r)), item)
		}
	case v.Kind() == reflect.String:
		v.SetString(text(r))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(r.Int64N(1 << 20))
	case v.CanUint():
		v.SetUint(r.Uint64N(1 << 20))
	default:
		panic("a field of a kind that fill does not know: " + v.Type().String())
	}
}

// text is one that has to be escaped.
func text(r *rand.Rand) string {
	letters := []rune("ab\"\\\n\x00\x7f<&>\u2028é日\U0001F600{}[]:,")
	s := make([]rune, r.IntN(8))
	for i := range s {
		s[i] = letters[r.IntN(len(letters))]
	}
	return string(s)
}
