package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/journal"
)

// Records are the numbers of the records that an execution rests on, while it is
// open, and that its history is made of: its turns, newest first, and its
// definition. There are none of an execution that is not in the journal.
func Records(ctx context.Context, j *journal.Journal, name string) (seqs []uint64, err error) {
	doing := func(err error) error { return fmt.Errorf("records of execution %s: %w", name, err) }
	r, err := j.Find(ctx, kindTurn, name)
	for machine := ""; err == nil; {
		var t struct {
			Machine  string `json:"machine"`
			Previous uint64 `json:"previous"`
		}
		if err := json.Unmarshal(r.Data, &t); err != nil {
			return nil, doing(err)
		}
		seqs = append(seqs, r.Seq)
		if machine == "" {
			machine = t.Machine
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
