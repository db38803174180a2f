package sfnapi

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// FuzzMembers: an object has the members that package encoding/json finds in it, and
// nothing else is one.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, ` { } `, `[]`, `"a"`, `1`, `true`, ``, `{`, `{"a"}`, `{"a":1,}`, `{"a":1}{"b":2}`,
		`{"a":1,"b":"x"}`, " {\n \"a\" :\t1.5e3 ,\r\n \"b\" : null } ", `{"a":1,"a":2}`, `{"":""}`,
		`{"a":{"b":[1,{"c":"}"}]},"d":"\"{,:"}`, `{"\u0061":1,"b\n":"\ud83d\ude00é"}`, "{\"a\":\"\xff\"}", `{"a":-0,"b":false,"c":[]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]json.RawMessage
		err := json.Unmarshal(text, &want)
		all, ok := membersOf(text)
		if ok != (err == nil) {
			t.Fatalf("%q: an object %t, want %t: %v", text, ok, err == nil, err)
		}
		got := map[string]json.RawMessage{}
		for _, m := range all {
			got[m.name] = all.of(m.name)
		}
		if want == nil {
			want = map[string]json.RawMessage{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: (-encoding/json +ours)\n%s", text, diff)
		}
		for name, value := range want {
			var text string
			if json.Unmarshal(value, &text) != nil {
				text = ""
			}
			if got := all.text(name); got != text {
				t.Fatalf("%q: the text of %s is %q, want %q", value, name, got, text)
			}
		}
	})
}

// TestStartIsRead: a start is read as package encoding/json reads one.
func TestStartIsRead(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"stateMachineArn":"arn:a","name":"n","input":"{\"a\":\"é\"}","traceHeader":"t","includedData":"ALL_DATA"}`,
		`{"stateMachineArn":"arn:a","input":null,"name":null}`, `{"stateMachineArn":"arn:a","input":""}`,
	} {
		var want, got startInput
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		all, _ := membersOf([]byte(text))
		got.read(all)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-encoding/json +ours)\n%s", text, diff)
		}
	}
}

// TestStartText: what is recorded of a start is read back whole, and its answer is what
// it was.
func TestStartText(t *testing.T) {
	at := time.Date(2026, 11, 26, 4, 10, 0, 123456789, time.UTC)
	raw := json.RawMessage(`{"level":"ALL"}`)
	full := start{"m", "<n>", 3, "live", "Root=1", revision{"r", at, "d", "arn:role", raw, raw, raw}}
	for i := range reflect.TypeFor[revision]().NumField() {
		if reflect.ValueOf(full.revision).Field(i).IsZero() {
			t.Fatalf("field %d of a revision is not tried", i)
		}
	}
	for _, want := range []start{full, {Machine: "m", Name: "n", revision: revision{Updated: at}}} {
		text, err := want.text()
		if err != nil {
			t.Fatal(err)
		}
		var got start
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, want %+v", text, got, want)
		}
	}
	spaced := full
	spaced.Logging = json.RawMessage("{\n\"level\": \"ALL\" }")
	if text, err := spaced.text(); err != nil || !json.Valid(text) || string(text) != string(must(full.text())) {
		t.Errorf("a setting as it was given makes %s, %v; want %s", text, err, must(full.text()))
	}
	var w value.Writer
	startOutput{"arn:x", epoch(at)}.write(&w)
	if got, want := string(w.Text), `{"executionArn":"arn:x","startDate":1795666200.123}`; got != want {
		t.Errorf("the answer is %s, want %s", got, want)
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}
