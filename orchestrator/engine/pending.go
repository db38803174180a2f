package engine

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// pending are the effects that are waited for after a turn and that turns before it
// asked for, in the order of their IDs. Its JSON is an object: by ID, the record of
// the turn that did; older ones have 0 for their own.
type pending []ask

type ask struct {
	ID     string
	Record uint64
}

// pendingIn are those of a state.
func pendingIn(s *asl.State) pending {
	var p pending
	for e := range s.Pending() {
		if e.Asked != 0 {
			p = append(p, ask{e.ID, e.Asked})
		}
	}
	if len(p) > 1 {
		slices.SortFunc(p, func(a, b ask) int { return cmp.Compare(a.ID, b.ID) })
	}
	return p
}

// of is the record that asked for an effect; 0 is the turn's own.
func (p pending) of(effect string) uint64 {
	if i, ok := slices.BinarySearchFunc(p, effect, func(a ask, id string) int { return cmp.Compare(a.ID, id) }); ok {
		return p[i].Record
	}
	return 0
}

func (p pending) write(w *value.Writer) {
	w.Open('{')
	for _, a := range p {
		w.AnyKey(a.ID)
		w.Text = strconv.AppendUint(w.Text, a.Record, 10)
	}
	w.Close('}')
}

// MarshalJSON writes it as write does.
func (p pending) MarshalJSON() ([]byte, error) {
	var w value.Writer
	p.write(&w)
	return w.Text, w.Err
}

// UnmarshalJSON reads what write wrote.
func (p *pending) UnmarshalJSON(data []byte) error {
	var m map[string]uint64
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	*p = nil
	for id, record := range m {
		*p = append(*p, ask{id, record})
	}
	slices.SortFunc(*p, func(a, b ask) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}
