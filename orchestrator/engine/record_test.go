package engine

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// TestTurnText: a turn is read as it was written, whatever is in it: as package
// encoding/json writes it, too, and turns before there were brief ones.
func TestTurnText(t *testing.T) {
	turns := uint64(2000)
	if testing.Short() {
		turns = 500
	}
	for seed := range turns {
		var turn turnRecord
		fill(rand.New(rand.NewPCG(seed, 1)), reflect.ValueOf(&turn).Elem(), 0)
		turn.Head.Form = Form(seed % 2)
		if turn.State != nil && seed%2 == 0 {
			likely(rand.New(rand.NewPCG(seed, 2)), &turn)
		}
		want, err := json.Marshal(turn)
		if err != nil {
			t.Fatal(err)
		}
		var w value.Writer
		turn.write(&w)
		if w.Err != nil {
			t.Fatal(w.Err)
		}
		for _, text := range [][]byte{w.Text, want} {
			if !json.Valid(text) {
				t.Fatalf("seed %d: not JSON: %s", seed, text)
			}
			again, err := decodeTurn(journal.Record{Data: text})
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, text)
			}
			got, err := json.Marshal(again)
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			if err := errors.Join(json.Unmarshal(want, &a), json.Unmarshal(got, &b)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(a, b); diff != "" {
				t.Fatalf("seed %d: (-written +read)\n%s\n%s", seed, diff, text)
			}
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
		{Status: "RUNNING", First: Event{6, asl.TaskSubmitted, at}, Last: Event{6, asl.TaskSubmitted, at}, Waits: true, Handed: true},
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

// likely makes a turn more like those of an engine: what is left out then, or nearly.
func likely(r *rand.Rand, t *turnRecord) {
	at := time.Unix(r.Int64N(1e10), 1).UTC()
	data := []string{`{}`, `{"a":1}`, `[]`, ""}
	some := func() string { return data[r.IntN(len(data))] }
	types := []asl.EventType{asl.LambdaFunctionSucceeded, asl.TaskStateExited, asl.TaskStateEntered, asl.LambdaFunctionScheduled,
		asl.LambdaFunctionStarted, asl.TaskScheduled, asl.TaskStarted, asl.TaskSucceeded, asl.ExecutionSucceeded, asl.ExecutionFailed, "ChoiceStateExited"}
	t.Events = make([]asl.HistoryEvent, r.IntN(6))
	t.State.NextEvent = int64(10 + len(t.Events))
	for i := range t.Events {
		e := asl.HistoryEvent{ID: int64(10 + i), PreviousID: int64(9 + i), Timestamp: at, Type: types[r.IntN(len(types))]}
		resource := asl.TaskDetails{ResourceType: "sns", Resource: text(r)}
		truncated := asl.DataDetails{Truncated: r.IntN(9) == 0}
		switch e.Type {
		case asl.LambdaFunctionSucceeded:
			e.LambdaSucceeded = &asl.OutputDetails{Output: some(), OutputDetails: truncated}
		case asl.TaskStateExited, "ChoiceStateExited":
			e.StateExited = &asl.StateExitedDetails{Name: text(r), Output: some(), OutputDetails: truncated}
			if r.IntN(9) == 0 {
				e.StateExited.Assigned = map[string]string{"x": "1"}
			}
		case asl.TaskStateEntered:
			e.StateEntered = &asl.StateEnteredDetails{Name: text(r), Input: some(), InputDetails: truncated}
		case asl.LambdaFunctionScheduled:
			e.LambdaScheduled = &asl.WorkScheduledDetails{Resource: text(r), Input: some(), InputDetails: truncated, TimeoutInSeconds: max(0, r.Int64N(9)-7)}
		case asl.TaskScheduled:
			e.TaskScheduled = &asl.TaskScheduledDetails{TaskDetails: resource, Region: "eu-west-1", Parameters: some(), HeartbeatInSeconds: max(0, r.Int64N(9)-7)}
		case asl.TaskStarted:
			e.TaskStarted = &resource
		case asl.TaskSucceeded:
			e.TaskSucceeded = &asl.TaskOutputDetails{TaskDetails: resource, OutputDetails: asl.OutputDetails{Output: some(), OutputDetails: truncated}}
		case asl.ExecutionSucceeded:
			e.ExecutionSucceeded = &asl.OutputDetails{Output: some(), OutputDetails: truncated}
		case asl.ExecutionFailed:
			e.ExecutionFailed = &asl.ErrorDetails{Error: text(r)}
		}
		switch r.IntN(12) {
		case 0:
			e.ID++
		case 1:
			e.PreviousID = 0
		case 2:
			e.Timestamp = at.Add(time.Second)
		}
		t.Events[i] = e
	}
	s := t.State
	s.Root = &asl.Context{Name: text(r), Input: json.RawMessage(`{"a":1}`), RetryCount: r.Int64N(3)}
	s.Root.Effect = &asl.Pending{ID: "e" + text(r)}
	branch := &asl.Context{Path: "/x", Name: text(r), Input: json.RawMessage(`[]`), Effect: &asl.Pending{ID: "b" + text(r), Deadline: at}}
	s.Root.Branches = []*asl.Context{branch}
	t.Effects = nil
	for _, c := range []*asl.Context{s.Root, branch} {
		if r.IntN(4) == 0 {
			continue
		}
		e := asl.Effect{ID: c.Effect.ID, Execution: s.Execution.Handle(), State: c.Name, Attempt: int(c.RetryCount), Input: c.Input, Deadline: c.Effect.Deadline}
		switch r.IntN(9) {
		case 0:
			e.Input = json.RawMessage(`"other"`)
		case 1:
			e.Attempt++
		case 2:
			e.ID += "x"
		case 3:
			e.State = "other"
		case 4:
			e.Input, e.RoleARN = nil, "arn:aws:x"
		case 5:
			e.MapRun = "y"
		}
		if n := len(t.Events); n > 0 && t.Events[n-1].LambdaScheduled != nil {
			e.Resource = t.Events[n-1].LambdaScheduled.Resource
		}
		t.Effects = append(t.Effects, e)
	}
	if r.IntN(4) > 0 {
		t.Status = s.Status
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

// TestNewerTurn: what a newer version wrote in another form is not read as if it were
// this one's, nor told as damage, whatever else cannot be read of it.
func TestNewerTurn(t *testing.T) {
	const newer = "written by a newer anneal: its form is 2, this one reads up to 1; run that one"
	turns := map[string]string{
		"more in it":         `{"head":{"form":2,"status":"RUNNING","first":{"id":1,"type":"ExecutionStarted","timestamp":"2027-01-02T03:04:05Z"},"last":{"id":1,"type":"ExecutionStarted","timestamp":"2027-01-02T03:04:05Z"}},"machine":"d","events":[["ExecutionStarted","{}"]],"state":{"nextEvent":2}}`,
		"a head of its own":  `{"head":{"form":2,"status":["RUNNING"],"first":1},"machine":"d","state":{}}`,
		"events of its own":  `{"head":{"form":2,"status":"RUNNING"},"machine":"d","events":{"all":"AAAA"},"state":{"nextEvent":2}}`,
		"a state of its own": `{"head":{"form":2,"status":"RUNNING"},"machine":"d","state":"AAAA"}`,
		"nothing else":       `{"head":{"form":2}}`,
	}
	for name, text := range turns {
		r := journal.Record{Seq: 7, Kind: kindTurn, Key: "x", Data: []byte(text)}
		_, head := HeadOf(r)
		_, turn := decodeTurn(r)
		fold := new(Fold).Apply(r)
		for what, err := range map[string]error{"its head": head, "the turn": turn, "a fold of it": fold} {
			if err == nil || !strings.Contains(err.Error(), newer) || !strings.Contains(err.Error(), "record 7") {
				t.Errorf("%s, %s: %v; want %q", name, what, err, newer)
			}
		}
		j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), Config{Journal: j, Tasks: &world{}}, nil); err == nil || !strings.Contains(err.Error(), newer) {
			t.Errorf("%s: the engine begins, %v; want %q", name, err, newer)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := json.Unmarshal([]byte(`{"form":2,"open":{"x":"AAAA"}}`), new(Fold)); err == nil || !strings.Contains(err.Error(), newer) {
		t.Errorf("a fold of such turns: %v; want %q", err, newer)
	}
	for _, text := range []string{`{"head":{"form":"2"}}`, `{"head":{"form":2.5}}`} {
		if _, err := decodeTurn(journal.Record{Data: []byte(text)}); err == nil {
			t.Errorf("%s is read; want an error", text)
		}
	}
}
