package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// Records are the numbers of the records that an execution rests on, while it is
// open, and that its history is made of: its turns, newest first, its
// definition, and the records of the map runs that it waits for and of their
// children. There are none of an execution that is not in the journal.
func Records(ctx context.Context, j *journal.Journal, name string) (seqs []uint64, err error) {
	doing := func(err error) error { return fmt.Errorf("records of execution %s: %w", name, err) }
	r, err := j.Find(ctx, kindTurn, name)
	for machine := ""; err == nil; {
		var t struct {
			Machine  string     `json:"machine"`
			Previous uint64     `json:"previous"`
			State    *asl.State `json:"state"`
		}
		if err := json.Unmarshal(r.Data, &t); err != nil {
			return nil, doing(err)
		}
		seqs = append(seqs, r.Seq)
		if machine == "" {
			machine = t.Machine
			for _, id := range t.State.MapRuns() {
				more, err := mapRunRecords(ctx, j, id)
				if err != nil {
					return nil, doing(err)
				}
				seqs = append(seqs, more...)
			}
			if definition, err := j.Find(ctx, KindMachine, machine); err == nil {
				seqs = append(seqs, definition.Seq)
			} else if !errors.Is(err, journal.ErrNotFound) {
				return nil, doing(err)
			}
		}
		if t.Previous == 0 {
			return seqs, nil
		}
		r, err = j.At(ctx, t.Previous)
	}
	if !errors.Is(err, journal.ErrNotFound) { // else its beginning is older than the retention
		return nil, doing(err)
	}
	return seqs, nil
}

// mapRunRecords are those of a map run and of the children that it has begun.
func mapRunRecords(ctx context.Context, j *journal.Journal, id string) ([]uint64, error) {
	r, err := j.Find(ctx, kindMapRun, id)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil // it is about to begin
	}
	if err != nil {
		return nil, err
	}
	seqs := []uint64{r.Seq}
	for i := 0; ; i++ { // children begin in this order
		more, err := Records(ctx, j, asl.ChildName(id, i))
		if err != nil || len(more) == 0 {
			return seqs, err
		}
		seqs = append(seqs, more...)
	}
}
