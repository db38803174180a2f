package policy

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
)

// A Gathered is what a trigger has gathered under one key and not been decided
// on. The policy is woken once for all of it.
type Gathered struct {
	Policy  string `json:"policy"`
	Trigger string `json:"trigger"`
	Key     string `json:"key,omitempty"`

	First  string    `json:"first"`  // event ID
	Newest string    `json:"newest"` // event ID
	Opened time.Time `json:"opened"` // Seen of the first
	Last   time.Time `json:"last"`   // the latest Seen

	Events  int   `json:"events"`
	Objects int   `json:"objects"` // versions of objects
	Rows    int64 `json:"rows"`    // in them

	// Woken is when its event was seen; nil while that is not in the journal.
	Woken *time.Time `json:"woken,omitempty"`
	// After is its last event, which came while the policy was not loaded.
	After string `json:"after,omitempty"`
}

// maxKeys is how many windows of one policy are open at a time. The oldest is
// decided on where one more opens.
const maxKeys = 64

// A Gathering is an event that joins a window, for the journal.
type Gathering struct {
	Policy  string         `json:"policy"`
	Trigger string         `json:"trigger"`
	Key     string         `json:"key,omitempty"`
	Event   string         `json:"event"`
	Seen    time.Time      `json:"seen"`
	Object  *anneal.Object `json:"object,omitempty"` // that the event brought, with its rows
}

// Gather reports whether an event that matched the trigger is gathered and not
// decided on, and what to apply then with [State.ApplyGathering]. A key that
// cannot be evaluated is an error, and the event is gathered under none.
func (p *Policy) Gather(trigger string, e anneal.Event, object *anneal.Object) (g Gathering, ok bool, err error) {
	i := p.gathering(trigger, e)
	if i < 0 {
		return Gathering{}, false, nil
	}
	g = Gathering{Policy: p.Name(), Trigger: trigger, Event: e.ID, Seen: e.Seen, Object: object}
	if p.keys[i] == nil {
		return g, true, nil
	}
	v := vars{"model.group": p.Group()}
	v.event(e)
	result, _, err := p.keys[i].eval(v)
	if err == nil {
		var isText bool
		if g.Key, isText = result.Value().(string); !isText {
			err = fmt.Errorf("gives %v, not a string", result.Value())
		}
	}
	if err != nil {
		err = fmt.Errorf("debounce key of trigger %s of policy %s: %s: %w", trigger, p.Name(), p.keys[i].text, err)
	}
	return g, true, err
}

// Gathers reports whether an event that matched the trigger is gathered and not
// decided on.
func (p *Policy) Gathers(trigger string, e anneal.Event) bool { return p.gathering(trigger, e) >= 0 }

// gathering is the number of the trigger that gathers the event, -1 where none
// does.
func (p *Policy) gathering(trigger string, e anneal.Event) int {
	if e.Source == anneal.SourceTimer { // the end of the trigger's window
		return -1
	}
	return slices.IndexFunc(p.Spec.Spec.Triggers, func(t Trigger) bool { return t.ID == trigger && t.Debounce != nil })
}

// ApplyGathering takes in an event that was gathered, and the window that it
// has joined: the open one of its trigger and key, or a new one.
func (s *State) ApplyGathering(g Gathering) Gathered {
	m := s.memory(g.Policy)
	i := slices.IndexFunc(m.Gathered, func(w Gathered) bool { return w.Woken == nil && w.Trigger == g.Trigger && w.Key == g.Key })
	if i < 0 {
		i = len(m.Gathered)
		m.Gathered = append(m.Gathered, Gathered{Policy: g.Policy, Trigger: g.Trigger, Key: g.Key, First: g.Event, Opened: g.Seen})
	}
	w := &m.Gathered[i]
	w.Newest, w.Events = g.Event, w.Events+1
	if w.Opened.After(g.Seen) {
		w.Opened = g.Seen
	}
	if w.Last.Before(g.Seen) {
		w.Last = g.Seen
	}
	if g.Object != nil {
		w.Objects++
		w.Rows += g.Object.Rows
	}
	return *w
}

// eventID is the identity of the event that says that the window is complete.
func (w Gathered) eventID() string {
	return again(w.After, "event", anneal.SourceTimer, w.Policy, w.Trigger, w.First)
}

func (w Gathered) ended() anneal.DebounceEnded {
	return anneal.DebounceEnded{Policy: w.Policy, Trigger: w.Trigger, Key: w.Key, Opened: w.Opened, Events: w.Events, Objects: w.Objects, Rows: w.Rows}
}

// Due is when the window is complete, if nothing more comes.
func (d Debounce) Due(w Gathered) time.Time {
	due := w.Opened.Add(time.Duration(d.MaxWait))
	if w.Rows < d.MinRows || int64(w.Objects) < d.MinObjects {
		return due
	}
	if quiet := w.Last.Add(time.Duration(d.Quiet)); quiet.Before(due) {
		return quiet
	}
	return due
}

// open are the windows that are not on their way, and when each is complete:
// at once, where its trigger has become one that gathers no more, or where it is
// the oldest of too many.
func (m *Memory) open(p *Policy) iter.Seq2[Gathered, time.Time] {
	return func(yield func(Gathered, time.Time) bool) {
		open := slices.DeleteFunc(slices.Clone(m.Gathered), func(w Gathered) bool { return w.Woken != nil })
		for i, w := range open {
			due := w.Last
			if len(open)-i <= maxKeys {
				due = p.due(w)
			}
			if !yield(w, due) {
				return
			}
		}
	}
}

func (p *Policy) due(w Gathered) time.Time {
	for _, t := range p.Spec.Spec.Triggers {
		if t.ID == w.Trigger && t.Debounce != nil {
			return t.Debounce.Due(w)
		}
	}
	return w.Last
}

// window is the window that e is the event of, as it is kept; else nil.
func (s *State) window(e anneal.Event) *Gathered {
	m := s.Policies[e.Subject]
	if m == nil || e.Type != anneal.TypeDebounceEnded {
		return nil
	}
	for i := range m.Gathered {
		if m.Gathered[i].eventID() == e.ID {
			return &m.Gathered[i]
		}
	}
	return nil
}

// withDefaults fills in what the debounce leaves open.
func (d Debounce) withDefaults() Debounce {
	if d.MaxWait == 0 {
		d.MaxWait = max(Duration(day), d.Quiet)
	}
	return d
}

// debounce checks the debounce at path and compiles its key.
func (c *compiler) debounce(path string, d Debounce, at place) (key *expr) {
	if d.Quiet == 0 && d.MinRows == 0 && d.MinObjects == 0 {
		c.problems.add(path+".quiet", "a debounce waits for something: {quiet: 15m}, or minRows or minObjects")
	}
	if d.MaxWait < d.Quiet {
		c.problems.add(path+".maxWait", "a maxWait of %s is over before it can be quiet for %s", d.MaxWait, d.Quiet)
	}
	if d.MinRows < 0 {
		c.problems.add(path+".minRows", "%d rows: at least 0", d.MinRows)
	}
	if d.MinObjects < 0 {
		c.problems.add(path+".minObjects", "%d objects: at least 0", d.MinObjects)
	}
	if d.Key == "" {
		return nil
	}
	return c.expr(path+".key", d.Key, at)
}
