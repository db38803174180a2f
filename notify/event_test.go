package notify

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/anneal-ml/anneal"
)

// What programs are told is as the schema has it, and the schema has all of it.
func TestEventSchema(t *testing.T) {
	const file = "../configs/schemas/event.json"
	schema, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	until := at.Add(0)
	for _, n := range []anneal.Notice{
		Decided("bus", anneal.Decision{ID: "p-1", Policy: "p", Model: "demand", Cause: "e", Trigger: "t", At: at, Verdict: anneal.VerdictDefer, Rule: "r", Reason: "why", Until: &until}),
		Started("bus", run),
		Succeeded("bus", withRun(func(r *anneal.Run) { r.Status, r.Ended, r.Executor = anneal.StatusSucceeded, &ended, "embedded" })),
		Failed("bus", withRun(func(r *anneal.Run) {
			r.Status, r.Ended, r.Executor, r.ExecutionARN, r.Error, r.Cause = anneal.StatusFailed, &ended, "step-functions", "arn:aws:states:…", "E", "c"
		})),
		Promoted("bus", "electricity", second, &first),
		Held("bus", anneal.Decision{ID: "p-1", Policy: "p", At: at, Verdict: anneal.VerdictHold, Reason: "why"}),
		Parked("bus", anneal.Event{ID: "e", Seen: at, Parked: "why"}),
		Message("bus", "effect", "s", "t", at),
		Resolved(Topic{Kind: anneal.NoticeHeld, Channel: "bus"}, "p-2", at, "how"),
	} {
		encoded, err := EventOf(n).Encoded(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(encoded)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s is not as the schema has it: %v\n%s", n.Kind, err, encoded)
		}
	}

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var written struct{ Properties map[string]any }
	if err := json.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Event]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields = append(fields, name)
		}
	}
	for _, name := range fields {
		if written.Properties[name] == nil {
			t.Errorf("the schema lacks %s", name)
		}
	}
	for name := range written.Properties {
		if !slices.Contains(fields, name) {
			t.Errorf("the schema has %s, which no event has", name)
		}
	}
}

// A text is cut between letters, to what fits, and says that it is.
func TestFit(t *testing.T) {
	bytes := func(text string) int { return len(text) }
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"short", 10, "short"},
		{"abcdefgh", 7, "abcd…"},
		{"üüüüüüüü", 9, "üü…"},
		{"abcdefgh", 1, "…"},
		{"", 0, ""},
	} {
		if got := Fit(c.text, c.limit, bytes); got != c.want {
			t.Errorf("%q in %d bytes: %q; want %q", c.text, c.limit, got, c.want)
		}
	}
}
