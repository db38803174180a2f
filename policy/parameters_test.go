package policy

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
)

func compiled(t *testing.T, text string) *Policy {
	t.Helper()
	spec, err := ParseSpec([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, problems := Compile(spec)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// A schema is for what a person passes: it does not stand in the way of data.
func TestSchemaIsForPeople(t *testing.T) {
	p := compiled(t, `{
		"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "p"},
		"spec": {
			"mode": "enforce", "model": {"group": "g"},
			"parameters": {"type": "object", "required": ["epochs"], "properties": {
				"epochs": {"type": "integer", "minimum": 1}, "note": {"type": "string", "default": "none"}}},
			"triggers": [{"id": "new", "event": {"type": "Object Created"}}],
			"rules": [{"id": "always", "if": "true"}],
			"run": {"stateMachine": {"file": "m.json"}, "input": {"Note": {"expr": "parameters.note"}}}
		}}`)
	event := func(source string) anneal.Event {
		return anneal.Event{ID: "e", Source: source, Type: anneal.TypeObjectCreated, Seen: time.Unix(0, 0).UTC()}
	}
	if d := Decide(p, &State{}, Cause{Event: event("aws.s3")}); d.Verdict != anneal.VerdictRun || string(d.Input) != `{"Note":"none"}` {
		t.Errorf("about data: %s (%s), input %s; want run, and the default", d.Verdict, d.Reason, d.Input)
	}
	if d := Decide(p, &State{}, Cause{Event: event(anneal.SourceManual)}); d.Verdict != anneal.VerdictError {
		t.Errorf("by hand, without epochs: %s (%s), want error", d.Verdict, d.Reason)
	}
	if err := p.CheckParameters(nil); err == nil {
		t.Error("no parameters are accepted where one is required")
	}
	if err := p.CheckParameters(map[string]any{"epochs": 3}); err != nil {
		t.Error(err)
	}
}

// Two policies under one key: the one that has waited longest is woken first.
func TestLongestWaitFirst(t *testing.T) {
	policies := map[string]*Policy{}
	for _, name := range []string{"a", "b"} {
		policies[name] = compiled(t, fmt.Sprintf(`{
			"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": %q},
			"spec": {
				"mode": "enforce", "model": {"group": "g"},
				"triggers": [{"id": "new", "event": {"type": "Object Created"}}],
				"rules": [{"id": "always", "if": "true"}],
				"guards": {"concurrency": {"overlap": "buffer-one"}},
				"run": {"stateMachine": {"file": "m.json"}}
			}}`, name))
	}
	var s State
	for _, p := range policies {
		s.ApplyPolicy(p.Spec)
	}
	runs := map[string]int{}
	var open *anneal.Run
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	decide := func(name string, e anneal.Event) {
		p := policies[name]
		d := Decide(p, &s, Cause{Event: e})
		s.ApplyDecision(d)
		if d.Verdict == anneal.VerdictRun {
			run, err := NewRun(p, d)
			if err != nil {
				t.Fatal(err)
			}
			s.ApplyRun(run)
			open = &run
			runs[name]++
		}
	}
	for i := range 20 {
		now = now.Add(time.Minute)
		for _, name := range []string{"a", "b"} {
			decide(name, anneal.Event{ID: fmt.Sprint(i), Source: "aws.s3", Type: anneal.TypeObjectCreated, Seen: now})
		}
		if i%2 == 1 {
			ended := now
			open.Status, open.Ended = anneal.StatusSucceeded, &ended
			s.ApplyRun(*open)
			for _, e := range s.Due(policies, now) {
				s.ApplyEvent(e)
				var data anneal.RunEnded
				if err := json.Unmarshal(e.Data, &data); err != nil {
					t.Fatal(err)
				}
				decide(data.Policy, e)
			}
		}
	}
	if d := runs["a"] - runs["b"]; d < -1 || d > 1 {
		t.Errorf("a ran %d times and b %d times: want them in turn", runs["a"], runs["b"])
	}
}
