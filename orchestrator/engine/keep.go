package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// Needs are the records that executions rest on while they are open, and that their
// histories are made of: their turns, their definitions, and the records of the map
// runs that they wait for and of their children.
type Needs struct {
	executions, machines, mapRuns map[string]bool // by key
}

// NeedsOf finds what executions need from their newest turns: the numbers of their
// records by name, 0 where there is none. All are read in one pass.
func NeedsOf(ctx context.Context, j *journal.Journal, newest map[string]uint64) (*Needs, error) {
	n := &Needs{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for name := range newest {
		n.executions[name] = true
	}
	for r, err := range j.These(ctx, slices.Sorted(maps.Values(newest))) {
		if err != nil {
			return nil, fmt.Errorf("read what executions need: %w", err)
		}
		if err := n.of(r); err != nil {
			return nil, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(n.mapRuns)) {
		if err := n.children(ctx, j, id); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Kinds are those of the records that may be needed.
func (n *Needs) Kinds() []string { return []string{kindTurn, kindMapRun, KindMachine} }

// Have says whether a record is needed, by its kind and key.
func (n *Needs) Have(r journal.Record) bool {
	switch r.Kind {
	case kindTurn:
		return n.executions[r.Key]
	case kindMapRun:
		return n.mapRuns[r.Key]
	case KindMachine:
		return n.machines[r.Key]
	}
	return false
}

// Execution says whether the turns of the execution of that name are needed.
func (n *Needs) Execution(name string) bool { return n.executions[name] }

// of adds what a newest turn tells. Most wait for no map run: then it need not be
// decoded.
func (n *Needs) of(r journal.Record) error {
	if _, rest, ok := bytes.Cut(r.Data, []byte(headEnds)); ok && bytes.HasPrefix(r.Data, []byte(headBegins)) && !bytes.Contains(rest, []byte(`"mapRun"`)) {
		s := headScan{rest: rest}
		if machine, ok := s.quoted(); ok {
			n.machines[string(machine)] = true
			return nil
		}
	}
	var t struct {
		Machine string     `json:"machine"`
		State   *asl.State `json:"state"`
	}
	if err := json.Unmarshal(r.Data, &t); err != nil {
		return fmt.Errorf("read turn in record %d: %w", r.Seq, err)
	}
	n.machines[t.Machine] = true
	for _, id := range t.State.MapRuns() {
		n.mapRuns[id] = true
	}
	return nil
}

// children adds those that a map run has begun. They begin in their order, so that
// not each must be looked for.
func (n *Needs) children(ctx context.Context, j *journal.Journal, id string) (err error) {
	begun := func(i int) bool {
		name := asl.ChildName(id, i)
		if err != nil || n.executions[name] {
			return err == nil
		}
		r, missing := j.Find(ctx, kindTurn, name)
		switch {
		case missing == nil:
			err = n.of(r)
		case !errors.Is(missing, journal.ErrNotFound):
			err = fmt.Errorf("look for the children of map run %s: %w", id, missing)
		}
		return missing == nil && err == nil
	}
	most := 1
	for begun(most - 1) {
		most *= 2
	}
	count := sort.Search(most, func(i int) bool { return !begun(i) })
	for i := range count {
		n.executions[asl.ChildName(id, i)] = true
	}
	return err
}
