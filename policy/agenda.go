package policy

import (
	"container/heap"
	"reflect"
	"time"
)

// An agenda is when each policy next has something due. It is kept beside the
// fold, so that neither [State.Due] nor [State.Next] looks at every policy, and
// made anew where it is missing or the policies are others.
type agenda struct {
	policies map[string]*Policy
	touched  map[string]bool // to be looked at again, since something was applied
	at       map[string]time.Time
	times    times           // of at; those that are no longer in it are passed over
	waiting  map[string]bool // for a place
	placed   map[string]bool // of waiting: those that may have one now
	freed    bool            // a run has ended since placed was made
}

// touch has the policy looked at again.
func (s *State) touch(policy string) {
	if s.agenda != nil {
		s.agenda.touched[policy] = true
	}
}

// look brings the agenda of these policies up to date.
func (s *State) look(policies map[string]*Policy) *agenda {
	a := s.agenda
	if a == nil || reflect.ValueOf(a.policies).Pointer() != reflect.ValueOf(policies).Pointer() {
		a = &agenda{
			policies: policies, touched: map[string]bool{}, at: map[string]time.Time{},
			waiting: map[string]bool{}, placed: map[string]bool{},
		}
		for name := range s.Policies {
			a.touched[name] = true
		}
		s.agenda = a
	}
	for name := range a.touched {
		delete(a.at, name)
		delete(a.waiting, name)
		delete(a.placed, name)
		p, m := policies[name], s.Policies[name]
		if p == nil || m == nil {
			continue
		}
		if at, ok := m.nextTime(p); ok {
			a.at[name] = at
			heap.Push(&a.times, timed{at, name})
		}
		if m.waitsForPlace() {
			a.waiting[name], a.placed[name] = true, true
		}
	}
	clear(a.touched)
	if a.freed {
		a.freed = false
		for name := range a.waiting {
			a.placed[name] = true
		}
	}
	return a
}

// first is the earliest time, if there is one.
func (a *agenda) first() (timed, bool) {
	for len(a.times) > 0 {
		t := a.times[0]
		if at, ok := a.at[t.policy]; ok && at.Equal(t.at) {
			return t, true
		}
		heap.Pop(&a.times)
	}
	return timed{}, false
}

// due lists the policies that may have something due now. It changes nothing:
// asked again it lists them again.
func (a *agenda) due(now time.Time) (names []string) {
	var out []timed
	for {
		t, ok := a.first()
		if !ok || t.at.After(now) {
			break
		}
		heap.Pop(&a.times)
		delete(a.at, t.policy) // so that a second entry of it is passed over
		out = append(out, t)
	}
	for _, t := range out {
		a.at[t.policy] = t.at
		heap.Push(&a.times, t)
		names = append(names, t.policy)
	}
	for name := range a.placed {
		if _, timed := a.at[name]; !timed || a.at[name].After(now) {
			names = append(names, name)
		}
	}
	return names
}

type timed struct {
	at     time.Time
	policy string
}

// times is a heap, the earliest first.
type times []timed

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(timed)) }
func (t *times) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	*t = (*t)[:last]
	return x
}
