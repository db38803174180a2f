package policy

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
)

// A Wake is a decision that will be looked at again: at Until, where it was
// deferred, or, without Until, when its run can have a place, where it was
// buffered. A policy keeps one at a time; a newer one takes its place, except
// that what was forced is not displaced by what was not.
type Wake struct {
	Policy   string `json:"policy"`
	Decision string `json:"decision"`
	// Event is what the decision was about in the first place: expressions
	// see it when the policy is woken.
	Event      string         `json:"event"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Force      bool           `json:"force,omitempty"`
	Until      *time.Time     `json:"until,omitempty"`
	// Since is when the policy began to wait: the longest waits are ended first.
	Since time.Time `json:"since"`
	// Woken is when its event was seen; nil while that is not in the journal.
	Woken *time.Time `json:"woken,omitempty"`
}

// eventID is the identity of the event that wakes the policy.
func (w Wake) eventID() string {
	source := anneal.SourceRun
	if w.Until != nil {
		source = anneal.SourceTimer
	}
	return anneal.ID("event", source, w.Policy, w.Decision)
}

// Due makes the events of the wakes whose time has come and that are not in
// the journal yet, seen now, those that wait longest first. A wake of a
// policy that is not among policies waits until it is.
func (s *State) Due(policies map[string]*Policy, now time.Time) []anneal.Event {
	var due []anneal.Event
	for name, m := range s.Policies {
		w, p := m.Wake, policies[name]
		if w == nil || w.Woken != nil || p == nil {
			continue
		}
		e := anneal.Event{SpecVersion: "1.0", ID: w.eventID(), Subject: name, Time: now, DataContentType: "application/json", Seen: now}
		var data any
		switch {
		case w.Until != nil && !now.Before(*w.Until):
			e.Source, e.Type = anneal.SourceTimer, anneal.TypeDeferredWake
			data = anneal.DeferredWake{Policy: name, Decision: w.Decision}
		case w.Until == nil && s.Last != nil && p.hasPlace(s, w.Parameters):
			e.Source, e.Type = anneal.SourceRun, anneal.TypeRunEnded
			data = anneal.RunEnded{Policy: name, Run: s.Last.Run, Status: s.Last.Status}
		default:
			continue
		}
		e.Data, _ = json.Marshal(data) // strings only: cannot fail
		due = append(due, e)
	}
	slices.SortFunc(due, func(a, b anneal.Event) int {
		return cmp.Or(s.Policies[a.Subject].Wake.Since.Compare(s.Policies[b.Subject].Wake.Since), cmp.Compare(a.Subject, b.Subject))
	})
	return due
}

// Next is when the next deferred wake of these policies is due, if there is one.
func (s *State) Next(policies map[string]*Policy) (at time.Time, ok bool) {
	for name, m := range s.Policies {
		w := m.Wake
		if w == nil || w.Until == nil || w.Woken != nil || policies[name] == nil {
			continue
		}
		if !ok || w.Until.Before(at) {
			at, ok = *w.Until, true
		}
	}
	return at, ok
}

// Woken is the wake that e is the event of: where there is one, the event
// with the ID Wake.Event is the [Cause]'s Origin.
func (s *State) Woken(e anneal.Event) (Wake, bool) {
	if w := s.wake(e); w != nil {
		return *w, true
	}
	return Wake{}, false
}

func (s *State) wake(e anneal.Event) *Wake {
	if e.Source != anneal.SourceTimer && e.Source != anneal.SourceRun {
		return nil
	}
	for _, m := range s.Policies {
		if m.Wake != nil && m.Wake.eventID() == e.ID {
			return m.Wake
		}
	}
	return nil
}

// applyWake spends the wake that d answers, and keeps the one it asks for.
func (m *Memory) applyWake(d anneal.Decision) {
	event, since := d.Cause, d.At
	if m.Wake != nil {
		since = m.Wake.Since
	}
	switch w := m.Wake; {
	case w == nil:
	case w.eventID() == d.Cause:
		event, m.Wake = w.Event, nil
	case w.Woken != nil && d.At.After(*w.Woken):
		m.Wake = nil // its event was passed over: the policy was away
	}
	next := Wake{Policy: d.Policy, Decision: d.ID, Event: event, Parameters: d.Parameters, Force: d.Force, Since: since}
	switch {
	case d.Verdict == anneal.VerdictDefer:
		next.Until = d.Until
	case d.Verdict == anneal.VerdictHold && m.Overlap == BufferOne && firstVeto(d.Guards) == guardConcurrency:
	default:
		return
	}
	if w := m.Wake; w != nil && (w.Woken != nil || w.Force && !next.Force) {
		return // a woken one will be decided, and ask again, in a moment
	}
	m.Wake = &next
}
