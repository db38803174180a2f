package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// A Recovery is what the controller, the engine and its API must know of the journal to
// go on from its end. It is a fold of the journal and nothing else.
type Recovery struct {
	State  *State       `json:"state"`
	Engine *engine.Fold `json:"engine"`
	API    sfnapi.Fold  `json:"api"`
}

// recoveryName is where a recovery is kept between two starts. It is a cache:
// without it the journal is folded from its checkpoint on.
const recoveryName = "recovery"

// recoveryVersion changes with the meaning of a fold; what another version kept
// is not used.
const recoveryVersion = 7

type savedRecovery struct {
	Version int    `json:"version"`
	Record  uint64 `json:"record"` // folded up to here
	Recovery
}

// write writes the JSON of it.
func (r *savedRecovery) write(w *value.Writer) {
	w.Open('{')
	w.Int("version", int64(r.Version))
	w.Int("record", int64(r.Record))
	w.Key("state")
	w.Any(r.State)
	w.Key("api")
	w.Any(r.API)
	w.Key("engine")
	r.Engine.Write(w)
	w.Close('}')
}

// saveAfter is how many records have to be folded for the result to be kept.
const saveAfter = 1000

// Recover folds the journal to its end, from where it was folded last, and
// keeps the result for the next time. It may be called at any time.
func Recover(ctx context.Context, j *journal.Journal) (Recovery, error) {
	first := j.First()
	r, from, err := fold(ctx, j)
	for j.First() != first { // cut meanwhile: records were passed over, or gone
		first = j.First()
		r, from, err = fold(ctx, j)
	}
	if err != nil {
		return Recovery{}, err
	}
	if r.Record-from < saveAfter {
		return r.Recovery, nil
	}
	var w value.Writer
	if r.write(&w); w.Err != nil {
		return Recovery{}, fmt.Errorf("encode the recovery: %w", w.Err)
	}
	if err := j.Save(ctx, recoveryName, w.Text); err != nil && !errors.Is(err, journal.ErrReadOnly) {
		return Recovery{}, fmt.Errorf("save the recovery: %w", err)
	}
	return r.Recovery, nil
}

// fold is Recover of a journal that nobody cuts, from record number from on.
func fold(ctx context.Context, j *journal.Journal) (r savedRecovery, from uint64, err error) {
	if r, err = loadRecovery(ctx, j); err != nil {
		return r, 0, err
	}
	from = r.Record
	for record, err := range j.Read(ctx, from+1, false) {
		if err != nil {
			return r, from, fmt.Errorf("fold the journal: %w", err)
		}
		if err := errors.Join(r.State.Apply(record), r.Engine.Apply(record), r.API.Apply(record)); err != nil {
			return r, from, err
		}
		r.Record = record.Seq
	}
	return r, from, nil
}

func loadRecovery(ctx context.Context, j *journal.Journal) (savedRecovery, error) {
	begin, before, err := loadCheckpoint(ctx, j)
	if err != nil {
		return savedRecovery{}, err
	}
	fresh := savedRecovery{Version: recoveryVersion, Record: before - 1, Recovery: begin.Recovery}
	data, err := j.Load(ctx, recoveryName)
	if errors.Is(err, journal.ErrNotFound) {
		return fresh, nil
	}
	if err != nil {
		return fresh, fmt.Errorf("read the recovery: %w", err)
	}
	saved := savedRecovery{Recovery: Recovery{State: newState(), Engine: &engine.Fold{}}}
	if json.Unmarshal(data, &saved) != nil || saved.Version != recoveryVersion || saved.Record > j.Last() || saved.Record+1 < j.First() {
		return fresh, nil
	}
	return saved, nil
}
