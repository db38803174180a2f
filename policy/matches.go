package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal"
)

// Matches reports whether the event wakes the policy, and by which trigger:
// the first that matches, or [TriggerManual], [TriggerTimer] or [TriggerRun]
// where the event names the policy. A match that cannot be evaluated does not
// match; the error says so, also where another trigger matched.
func (p *Policy) Matches(e anneal.Event) (trigger string, ok bool, err error) {
	if e.Parked != "" {
		return "", false, nil
	}
	named := map[string]string{anneal.SourceManual: TriggerManual, anneal.SourceTimer: TriggerTimer, anneal.SourceRun: TriggerRun}
	if wake, ok := named[e.Source]; ok {
		var data struct{ Policy string }
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return "", false, fmt.Errorf("event %s: %w", e.ID, err)
		}
		return wake, data.Policy == p.Name(), nil
	}
	var v vars
	var problems []error
	for i, t := range p.Spec.Spec.Triggers {
		if t.Event.Source != "" && t.Event.Source != e.Source || t.Event.Type != "" && t.Event.Type != e.Type {
			continue
		}
		if p.triggers[i] == nil {
			return t.ID, true, errors.Join(problems...)
		}
		if v == nil {
			v = vars{"model.group": p.Group()}
			v.event(e)
		}
		result, _, err := p.triggers[i].eval(v)
		if err == nil && result.Value() == true {
			return t.ID, true, errors.Join(problems...)
		}
		if err == nil && result.Value() != false {
			err = fmt.Errorf("gives %v, neither true nor false", result.Value())
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("trigger %s of policy %s: %s: %w", t.ID, p.Name(), p.triggers[i].text, err))
		}
	}
	return "", false, errors.Join(problems...)
}

// event adds what expressions see of e. Numbers in its data are doubles.
func (v vars) event(e anneal.Event) {
	v["event.id"], v["event.source"], v["event.type"], v["event.subject"] = e.ID, e.Source, e.Type, e.Subject
	v["event.time"], v["event.seen"] = e.Time, e.Seen
	v.json("event.data", e.Data)
}

// json adds a JSON value; what is missing or is no JSON stays unknown.
func (v vars) json(name string, data json.RawMessage) {
	var value any
	if len(bytes.TrimSpace(data)) > 0 && json.Unmarshal(data, &value) == nil {
		v[name] = value
	}
}
