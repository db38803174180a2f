package policy

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
)

// A Wake is a decision that will be looked at again: at Until, where it was
// deferred; once the policy is resumed, where a pause or the breaker held it;
// else when its run can have a place. A policy keeps one at a time, with
// buffer-all up to 100; a newer one takes the place of the last, except that
// what was forced or approved is not displaced by what was not, nor what a rule
// wants by what nothing wants.
type Wake struct {
	Policy   string `json:"policy"`
	Decision string `json:"decision"`
	// Event is what the decision was about in the first place: expressions
	// see it when the policy is woken.
	Event      string         `json:"event"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Force      bool           `json:"force,omitempty"`
	Until      *time.Time     `json:"until,omitempty"`
	Held       bool           `json:"held,omitempty"` // until the policy is resumed, or Until
	Idle       bool           `json:"idle,omitempty"` // nothing wanted a run when it came, in a pause
	// Asked is when the policy began to wait: the longest waits are ended first.
	Asked time.Time `json:"asked"`
	// Since is where the objects begin that a trigger had gathered for the
	// decision, or for one that it took the place of: see [State.Since].
	Since *time.Time `json:"since,omitempty"`
	// Woken is when its event was seen; nil while that is not in the journal.
	Woken *time.Time `json:"woken,omitempty"`
	// After is its last event, which came while the policy was not loaded.
	After string `json:"after,omitempty"`

	// Asks is of a decision that waits for approval until Until; Answer is the
	// event that answers it. Approved is of one that was, and waits for a guard.
	Asks     bool   `json:"asks,omitempty"`
	Answer   string `json:"answer,omitempty"`
	Approved bool   `json:"approved,omitempty"`
}

// maxBuffer is how many decisions of one policy wait with buffer-all.
const maxBuffer = 100

// eventID is the identity of the event that wakes the policy.
func (w Wake) eventID() string {
	source := anneal.SourceRun
	if w.Until != nil {
		source = anneal.SourceTimer
	}
	return again(w.After, "event", source, w.Policy, w.Decision)
}

// again is the identity of an event, another one after one that was in vain.
func again(after string, parts ...string) string {
	if after != "" {
		parts = append(parts, after)
	}
	return anneal.ID(parts...)
}

// byHand reports whether a person has asked for it, or approved it.
func (w Wake) byHand() bool { return w.Force || w.Approved }

// yields reports whether w gives its place to a newer one: what a person wants
// only to that, and what a rule wants not to what nothing wants.
func (w Wake) yields(newer Wake) bool {
	return newer.byHand() || !w.byHand() && (w.Idle || !newer.Idle)
}

// next are those of the decisions that wait of which one is decided next: with
// buffer-all the first alone that waits for anything but a person, whatever it
// is.
func (m *Memory) next() []Wake {
	list := slices.DeleteFunc(m.waiting(), func(w Wake) bool { return w.Held && w.Until == nil })
	if m.Overlap == BufferAll && len(list) > 1 {
		return list[:1]
	}
	return list
}

// waiting are the decisions that wait, in their order.
func (m *Memory) waiting() []Wake {
	if m.Wake == nil {
		return nil
	}
	return append([]Wake{*m.Wake}, m.Queue...)
}

// wait makes list the decisions that wait.
func (m *Memory) wait(list []Wake) {
	m.Wake, m.Queue = nil, nil
	if len(list) > 0 {
		m.Wake = &list[0]
	}
	if len(list) > 1 {
		m.Queue = list[1:]
	}
}

// Awaits reports whether a policy waits for an event of [State.Due], or for
// what is gathered to be complete: without it, no event matters to ApplyEvent.
func (s *State) Awaits() bool {
	for _, m := range s.Policies {
		if m.Wake != nil || m.Approval != nil || len(m.Gathered) > 0 {
			return true
		}
	}
	return false
}

// Due makes the events of the wakes whose time has come and that are not in
// the journal yet, seen now, those that wait longest first: those that wait to
// be decided again, of each policy one at a time, and those of what triggers
// have gathered. What is of a policy that is paused, or not among policies,
// waits until it no longer is.
func (s *State) Due(policies map[string]*Policy, now time.Time) []anneal.Event {
	type waited struct {
		event anneal.Event
		since time.Time
	}
	var due []waited
	agenda := s.look(policies)
	for _, name := range agenda.due(now) {
		p, m := policies[name], s.Policies[name]
		if m.stopped() {
			continue
		}
		w := m.due(s, p, now)
		if w == nil {
			delete(agenda.placed, name) // until a run ends
		} else {
			var data any = anneal.DeferredWake{Policy: name, Decision: w.Decision}
			source, kind := anneal.SourceTimer, anneal.TypeDeferredWake
			if w.Until == nil {
				ended := anneal.RunEnded{Policy: name}
				if s.Last != nil {
					ended.Run, ended.Status = s.Last.Run, s.Last.Status
				}
				source, kind, data = anneal.SourceRun, anneal.TypeRunEnded, ended
			}
			due = append(due, waited{event(w.eventID(), source, kind, name, data, now), w.Asked})
		}
		if a := m.Approval; a != nil && a.Woken == nil && !now.Before(*a.Until) {
			over := anneal.DeferredWake{Policy: name, Decision: a.Decision}
			due = append(due, waited{event(a.eventID(), anneal.SourceTimer, anneal.TypeDeferredWake, name, over, now), a.Asked})
		}
		for w, at := range m.open(p) {
			if !now.Before(at) {
				due = append(due, waited{event(w.eventID(), anneal.SourceTimer, anneal.TypeDebounceEnded, name, w.ended(), now), w.Opened})
			}
		}
	}
	slices.SortFunc(due, func(a, b waited) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.event.Subject, b.event.Subject), cmp.Compare(a.event.ID, b.event.ID))
	})
	events := make([]anneal.Event, len(due))
	for i, w := range due {
		events[i] = w.event
	}
	return events
}

func event(id, source, kind, policy string, data any, now time.Time) anneal.Event {
	raw, _ := json.Marshal(data) // structs of strings, numbers and times: cannot fail
	return anneal.Event{
		SpecVersion: "1.0", ID: id, Source: source, Type: kind, Subject: policy,
		Time: now, DataContentType: "application/json", Data: raw, Seen: now,
	}
}

// due is the first of the decisions that wait whose time has come, nil if
// there is none, or if one is on its way.
func (m *Memory) due(s *State, p *Policy, now time.Time) *Wake {
	if m.onTheWay() {
		return nil
	}
	for _, w := range m.next() {
		if w.Until != nil && !now.Before(*w.Until) || w.Until == nil && p.hasPlace(s, w.Parameters) {
			return &w
		}
	}
	return nil
}

// Next is when the next deferred wake of these policies is due, or the next of
// what was gathered, if there is one.
func (s *State) Next(policies map[string]*Policy) (at time.Time, ok bool) {
	t, ok := s.look(policies).first()
	return t.at, ok
}

// NextOf is [State.Next] of one policy.
func (s *State) NextOf(p *Policy) (at time.Time, ok bool) {
	if m := s.Policies[p.Name()]; m != nil {
		return m.nextTime(p)
	}
	return time.Time{}, false
}

// nextTime is when the next of what waits for a time is due.
func (m *Memory) nextTime(p *Policy) (at time.Time, ok bool) {
	if m.stopped() {
		return at, false
	}
	next := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if !m.onTheWay() {
		for _, w := range m.next() {
			if w.Until != nil {
				next(*w.Until)
			}
		}
	}
	if m.Approval != nil && m.Approval.Woken == nil {
		next(*m.Approval.Until)
	}
	for _, at := range m.open(p) {
		next(at)
	}
	return at, ok
}

// waitsForPlace reports whether something waits for nothing but a run's end.
func (m *Memory) waitsForPlace() bool {
	return !m.stopped() && !m.onTheWay() && slices.ContainsFunc(m.next(), func(w Wake) bool { return w.Until == nil })
}

// onTheWay reports whether one of the decisions that wait has its event in the
// journal: no other is woken before that is decided.
func (m *Memory) onTheWay() bool {
	return slices.ContainsFunc(m.waiting(), func(w Wake) bool { return w.Woken != nil })
}

// Woken is the wake that e is the event of: where there is one, the event
// with the ID Wake.Event is the [Cause]'s Origin. Of what a trigger has
// gathered that is the last event.
func (s *State) Woken(e anneal.Event) (Wake, bool) {
	if w := s.wake(e); w != nil {
		return *w, true
	}
	if w := s.window(e); w != nil {
		return Wake{Policy: w.Policy, Event: w.Newest, Since: &w.Opened}, true
	}
	return Wake{}, false
}

// Since says that a run about e, decided now, must train on every object that
// was seen at that time or later, since they were gathered for it.
func (s *State) Since(e anneal.Event) (time.Time, bool) {
	if w, ok := s.Woken(e); ok && w.Since != nil {
		return *w.Since, true
	}
	return time.Time{}, false
}

// KeepFrom says that objects of the policy which were seen at that time or
// later may still be asked for by Since, whatever else they are kept for.
func (s *State) KeepFrom(policy string) (time.Time, bool) {
	var from *time.Time
	if m := s.Policies[policy]; m != nil {
		for _, w := range m.waiting() {
			from = earlier(from, w.Since)
		}
		if m.Approval != nil {
			from = earlier(from, m.Approval.Since)
		}
		for _, w := range m.Gathered {
			from = earlier(from, &w.Opened)
		}
	}
	if from == nil {
		return time.Time{}, false
	}
	return *from, true
}

func earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

// wake is the wake that e is the event of, as it is kept; else nil.
func (s *State) wake(e anneal.Event) *Wake {
	if e.Source != anneal.SourceTimer && e.Source != anneal.SourceRun && e.Source != anneal.SourceManual {
		return nil
	}
	m := s.Policies[e.Subject]
	if m == nil {
		return nil
	}
	if a := m.asked(e); a != nil {
		return a
	}
	if m.Wake == nil {
		return nil
	}
	if m.Wake.eventID() == e.ID {
		return m.Wake
	}
	for i := range m.Queue {
		if m.Queue[i].eventID() == e.ID {
			return &m.Queue[i]
		}
	}
	return nil
}

// ahead counts the decisions of the policy that wait before one about the event
// cause; none, where that is one of them.
func (s *State) ahead(policy, cause string) int {
	m := s.Policies[policy]
	if m == nil {
		return 0
	}
	list := m.waiting()
	if slices.ContainsFunc(list, func(w Wake) bool { return w.eventID() == cause }) {
		return 0
	}
	return len(list)
}

// passedOver is how much later than the event of a wake another one is decided
// on, where the policy was away when the first one was taken.
const passedOver = time.Hour

// applyWake spends the wake or the window that d answers, and keeps what it
// asks for.
func (m *Memory) applyWake(d anneal.Decision) {
	gone := func(woken *time.Time) bool { return woken != nil && d.At.After(woken.Add(passedOver)) }
	next := Wake{Policy: d.Policy, Decision: d.ID, Event: d.Cause, Parameters: d.Parameters, Force: d.Force, Asked: d.At}
	if !m.applyAnswer(d, &next, gone) {
		return
	}
	veto := firstVeto(d.Guards)
	held := m.stopped() || veto == guardBreaker || d.Verdict == anneal.VerdictError
	at := -1
	var list []Wake
	for _, w := range m.waiting() {
		switch {
		case w.eventID() == d.Cause:
			at, next.Event, next.Since, next.Asked, next.Approved = len(list), w.Event, w.Since, w.Asked, w.Approved
		case w.Held && !held && (d.Force || d.Rule != "") && !w.byHand() && w.Since == nil && m.Overlap != BufferAll:
			// the breaker has closed since, and d, which wants a run too, takes its place
		case !gone(w.Woken):
			list = append(list, w)
		}
	}
	var windows []Gathered
	for _, w := range m.Gathered {
		switch {
		case w.eventID() == d.Cause:
			next.Event, next.Since = w.Newest, &w.Opened
		case !gone(w.Woken):
			windows = append(windows, w)
		}
	}
	m.Gathered = windows
	m.wait(list)

	if !held {
		m.release()
	}
	hold, wanted := d.Verdict == anneal.VerdictHold, d.Force || d.Rule != "" || next.Approved
	switch {
	case d.Verdict == anneal.VerdictAwaitApproval:
		next.Until, next.Asks = d.Until, true
		m.Approval = &next
		return
	case d.Verdict == anneal.VerdictDefer:
		next.Until = d.Until
	case hold && m.stopped():
		next.Held, next.Idle = true, !wanted
	case hold && wanted && veto == guardBreaker:
		next.Held, next.Until = true, d.Guards[0].Until // the breaker is the first
	case hold && wanted && veto == guardConcurrency && waits(m.Overlap):
	default:
		return
	}
	m.join(next, at)
}

// join has next wait: at that place among the others, at the end with -1, and
// in place of the last where no more can wait.
func (m *Memory) join(next Wake, at int) {
	list, most := m.waiting(), 1
	if m.Overlap == BufferAll {
		most = maxBuffer
	}
	if len(list) < most {
		if at < 0 {
			at = len(list)
		}
		m.wait(slices.Insert(list, at, next))
		return
	}
	last := &list[len(list)-1]
	since, asked := earlier(last.Since, next.Since), last.Asked
	if last.Woken == nil && last.yields(next) { // a woken one will be decided, and ask again, in a moment
		*last = next
	}
	last.Since, last.Asked = since, asked
	m.wait(list)
}

// release has what was held looked at again at once.
func (m *Memory) release() {
	list := m.waiting()
	for i := range list {
		if list[i].Held {
			asked := list[i].Asked
			list[i].Held, list[i].Until = false, &asked
		}
	}
	m.wait(list)
}

// inVain has what waited for the event that d is about wait for another
// one: the policy was not loaded when it came.
func (s *State) inVain(d anneal.Decision) {
	m := s.Policies[d.Policy]
	if m == nil {
		return
	}
	s.touch(d.Policy)
	list := m.waiting()
	for i := range list {
		if list[i].eventID() == d.Cause {
			list[i].Woken, list[i].After = nil, d.Cause
		}
	}
	m.wait(list)
	for i := range m.Gathered {
		if m.Gathered[i].eventID() == d.Cause {
			m.Gathered[i].Woken, m.Gathered[i].After = nil, d.Cause
		}
	}
	if a := m.Approval; a != nil && a.Answer == d.Cause {
		if a.eventID() == d.Cause {
			a.After = d.Cause
		}
		a.Woken, a.Answer = nil, ""
	}
}

// applyOverlap goes on with another overlap: with skip nothing waits for a
// place, and only with buffer-all more than one does.
func (m *Memory) applyOverlap(overlap string) {
	list := m.waiting()
	m.Overlap = overlap
	m.wait(nil)
	for _, w := range list {
		if overlap != Skip || w.Until != nil || w.Held {
			m.join(w, -1)
		}
	}
}
