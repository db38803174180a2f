package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/anneal-ml/anneal"
)

// Matches reports whether the event wakes the policy, and by which trigger:
// the first that matches; the schedule of a tick; the trigger whose debounce has
// ended; or, where the event names the policy, [TriggerManual],
// [TriggerPause], [TriggerResume], [TriggerApprove], [TriggerReject],
// [TriggerTimer] or [TriggerRun]. A match that
// cannot be evaluated does not match; the error says so, also where another
// trigger matched.
func (p *Policy) Matches(e anneal.Event) (trigger string, ok bool, err error) {
	return p.matches(&occurrence{event: e})
}

// own reports whether e is of anneal itself, and names the policy it is for.
func own(e anneal.Event) bool {
	switch e.Source {
	case anneal.SourceManual, anneal.SourceTimer, anneal.SourceRun, anneal.SourceCron:
		return true
	}
	return false
}

func (p *Policy) matches(o *occurrence) (trigger string, ok bool, err error) {
	e := o.event
	if e.Parked != "" {
		return "", false, nil
	}
	if own(e) {
		return p.named(e)
	}
	var problems []error
	for i, t := range p.Spec.Spec.Triggers {
		if t.Event == nil {
			continue
		}
		if t.Event.Source != "" && t.Event.Source != e.Source || t.Event.Type != "" && t.Event.Type != e.Type {
			continue
		}
		if p.triggers[i] == nil {
			return t.ID, true, errors.Join(problems...)
		}
		v := o.vars()
		v["model.group"] = p.Group()
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

// named is the trigger of an event that is meant for one policy, if it is this.
func (p *Policy) named(e anneal.Event) (trigger string, ok bool, err error) {
	var data struct{ Policy, Trigger string }
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return "", false, fmt.Errorf("event %s: %w", e.ID, err)
	}
	if data.Policy != p.Name() {
		return "", false, nil
	}
	has := func(t Trigger) bool { return t.ID == data.Trigger }
	switch {
	case e.Source == anneal.SourceCron:
		scheduled := func(t Trigger) bool { return has(t) && t.Schedule != nil }
		return data.Trigger, e.Type == anneal.TypeScheduledEvent && slices.ContainsFunc(p.Spec.Spec.Triggers, scheduled), nil
	case e.Source == anneal.SourceRun:
		return TriggerRun, true, nil
	case e.Type == anneal.TypeDebounceEnded && slices.ContainsFunc(p.Spec.Spec.Triggers, has):
		return data.Trigger, true, nil
	case e.Source == anneal.SourceTimer:
		return TriggerTimer, true, nil
	case e.Type == anneal.TypeApproved:
		return TriggerApprove, true, nil
	case e.Type == anneal.TypeRejected:
		return TriggerReject, true, nil
	case e.Type == anneal.TypePaused:
		return TriggerPause, true, nil
	case e.Type == anneal.TypeResumed:
		return TriggerResume, true, nil
	}
	return TriggerManual, true, nil
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
