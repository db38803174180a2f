package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// Retention is by age: records go when they, and all before them, are older. A
// checkpoint takes their place: what they came to, and those of them that what
// is open or in use rests on (see needed), which stay as they were.
//
// It works from the journal alone, beside the loop and without its state.

const (
	// knownFor is how long an event is known by its ID at least, however short
	// the retention is.
	knownFor = 14 * 24 * time.Hour
	// trimAfter is how long after its start a controller trims for the first
	// time: what was under way when the last process ended has been found by then.
	trimAfter = 5 * time.Second
	// trimEvery is how long a trim lasts, where the retention is long.
	trimEvery = 24 * time.Hour
	// smallState is up to how many bytes of checkpoint are written for however
	// little that goes; a larger one is not worth fewer bytes than itself.
	smallState = 1 << 20
)

// Retained is what the journal holds and what retention has done, for those who
// look after it.
type Retained struct {
	Oldest  time.Time // of the oldest record that has a time; zero if there is none, or it was not looked at yet
	Trimmed uint64    // records given up by this process
	Last    time.Time // when they last were; zero: not yet
	Problem string    // why the last try failed
}

// Retained returns how retention stands. Safe for concurrent use.
func (c *Controller) Retained() Retained {
	if r := c.retained.Load(); r != nil {
		return *r
	}
	return Retained{}
}

// retain trims the journal now and then, until ctx ends.
func (c *Controller) retain(ctx context.Context) {
	if c.cfg.Retention <= 0 {
		return
	}
	every := min(max(c.cfg.Retention/8, trimAfter), trimEvery)
	for wait := trimAfter; sleep(ctx, wait) == nil; {
		wait = every
		standing := c.Retained()
		standing.Problem = ""
		if err := c.trim(ctx, time.Now().UTC(), &standing); err != nil {
			if ctx.Err() != nil {
				return
			}
			c.log.Warn("journal not trimmed, trying again", "err", err)
			standing.Problem, wait = err.Error(), min(every, time.Hour)
		}
		c.retained.Store(&standing)
	}
}

// checkpointVersion is that of what checkpoints hold. What an older one wrote
// must be understood for as long as journals are: it is the only copy.
const checkpointVersion = 1

// checkpoint is what the records before it came to.
type checkpoint struct {
	Version int `json:"version"`
	Recovery
	// Forgotten are the events that are known by their IDs only.
	Forgotten []forgottenDay `json:"forgotten,omitempty"`
	// Gone are executions of which no record is left, so that what they left in
	// folders may go.
	Gone []string `json:"gone,omitempty"`
}

// loadCheckpoint reads what the journal begins with, and the number of the
// record that it goes on with.
func loadCheckpoint(ctx context.Context, j *journal.Journal) (c checkpoint, before uint64, err error) {
	c.Recovery = Recovery{State: newState(), Engine: &engine.Fold{}}
	saved, err := j.Checkpoint(ctx)
	if err != nil {
		return c, 0, err
	}
	if saved.Seq == 0 {
		return c, 1, nil
	}
	if err := json.Unmarshal(saved.State, &c); err != nil {
		return c, 0, fmt.Errorf("read the checkpoint in record %d: %w", saved.Seq, err)
	}
	if c.Version > checkpointVersion {
		return c, 0, fmt.Errorf("the checkpoint in record %d was written by a newer anneal: version %d, this one reads up to %d", saved.Seq, c.Version, checkpointVersion)
	}
	return c, saved.Before, nil
}

// trim gives up what is older than the retention.
func (c *Controller) trim(ctx context.Context, now time.Time, standing *Retained) error {
	j := c.cfg.Journal
	base, first, err := loadCheckpoint(ctx, j)
	if err != nil {
		return err
	}
	pruned := c.prune(ctx, base.Gone)
	since := now.Add(-c.cfg.Retention)
	var present Recovery
	cut, err := cutAt(ctx, j, first, everything, since)
	if err == nil && cut.before > first { // else the journal need not be folded to know it
		if present, err = Recover(ctx, j); err == nil {
			cut, err = cutAt(ctx, j, first, present.State.Taken, since)
		}
	}
	if err != nil {
		return err
	}
	standing.Oldest = cut.oldest
	if cut.before <= first {
		return errors.Join(pruned, j.Cut(ctx, first, nil, nil)) // finishes what a crash has left
	}
	var machines []string
	for _, m := range c.generation.Load().Machines {
		machines = append(machines, digestOf(m))
	}
	next, keep, size, err := advance(ctx, j, base, first, cut.before, present, machines, now)
	if err != nil {
		return err
	}
	if pruned != nil {
		next.Gone = append(next.Gone, base.Gone...)
	}
	state, err := encode(next)
	if err != nil {
		return fmt.Errorf("encode the checkpoint: %w", err)
	}
	if len(state) > smallState && len(state) > size {
		c.log.Debug("journal not trimmed, the checkpoint would be larger than what goes", "before", cut.before, "bytes", size)
		return pruned
	}
	c.forgotten.set(next.Forgotten) // before their records go, so that they are known at any time
	if err := j.Cut(ctx, cut.before, state, keep); err != nil {
		return err
	}
	standing.Trimmed += cut.before - first
	standing.Last = now
	c.log.Info("journal trimmed", "before", cut.before, "records", cut.before-first, "kept", len(keep),
		"executions", len(next.Gone), "oldest", cut.oldest)
	return errors.Join(pruned, c.prune(ctx, next.Gone))
}

// prune has removed what executions left behind.
func (c *Controller) prune(ctx context.Context, gone []string) error {
	if c.cfg.Prune == nil || len(gone) == 0 {
		return nil
	}
	if err := c.cfg.Prune(ctx, gone); err != nil {
		return fmt.Errorf("prune what %d executions left: %w", len(gone), err)
	}
	return nil
}

// A cutting is where the journal can be cut.
type cutting struct {
	before uint64    // records before it go
	oldest time.Time // of the first record from there on that has a time
}

// everything is taken: how far a journal could be cut at most.
const everything = math.MaxUint64 - 1

// cutAt finds the first record that is as young as since, or whose event is not
// taken yet, and from there back the place to cut: before an event, where
// nothing is half recorded that belongs to one decision. Without a record that
// is older there is nothing to cut.
func cutAt(ctx context.Context, j *journal.Journal, first, taken uint64, since time.Time) (cutting, error) {
	cut, old := cutting{before: first}, false
	for r, err := range j.Read(ctx, first, false) {
		if err != nil {
			return cut, fmt.Errorf("look for what is old: %w", err)
		}
		if r.Kind == KindEvent && r.Seq <= taken+1 && old {
			cut.before, cut.oldest = r.Seq, time.Time{}
		}
		at, ok := timeOf(r)
		if !ok {
			continue
		}
		if cut.oldest.IsZero() {
			cut.oldest = at
		}
		if at.After(since) || r.Seq > taken {
			break
		}
		old = true
	}
	return cut, nil
}

// timeOf is when a record was made, where it says so.
func timeOf(r journal.Record) (time.Time, bool) {
	var t struct {
		Seen time.Time `json:"seen"` // of an event
		At   time.Time `json:"at"`   // of a decision, a notice
	}
	switch r.Kind {
	case KindEvent, KindDecision, KindNotice:
	case kindTurn:
		h, err := engine.HeadOf(r)
		return h.Last.Timestamp, err == nil && !h.Last.Timestamp.IsZero()
	default:
		return time.Time{}, false
	}
	if json.Unmarshal(r.Data, &t) != nil {
		return time.Time{}, false
	}
	at := t.At
	if r.Kind == KindEvent {
		at = t.Seen
	}
	return at, !at.IsZero()
}

// kindTurn is that of the engine's turns, whose keys are names of executions.
const kindTurn = "turn"

// advance makes the checkpoint before a record from the one before first: the
// fold of the records between, those of them to be kept, and the bytes of all.
// present is the fold of the whole journal, machines are the definitions in use.
func advance(ctx context.Context, j *journal.Journal, c checkpoint, first, before uint64, present Recovery, machines []string, now time.Time) (next checkpoint, keep []uint64, size int, err error) {
	c.Version = checkpointVersion
	executions := map[string]bool{} // that may be gone
	var events []uint64
	for r := range j.Kept() {
		if r.Kind == KindRun || r.Kind == kindTurn {
			executions[r.Key] = true
		}
	}
	forgotten := newForgetting(c.Forgotten, now.Add(-knownFor))
	for r, err := range j.Read(ctx, first, false) {
		if err != nil {
			return c, nil, 0, fmt.Errorf("fold what is old: %w", err)
		}
		if r.Seq >= before {
			break
		}
		if err := errors.Join(c.State.Apply(r), c.Engine.Apply(r), c.API.Apply(r)); err != nil {
			return c, nil, 0, err
		}
		size += len(r.Data)
		switch r.Kind {
		case KindEvent:
			events = append(events, r.Seq)
			if at, ok := timeOf(r); ok {
				forgotten.add(r.Key, at)
			}
		case KindRun, kindTurn:
			executions[r.Key] = true
		}
	}
	c.Forgotten = forgotten.days
	n := &needed{ctx: ctx, journal: j, before: before, seqs: map[uint64]bool{}, looked: map[string]bool{}, newest: map[string]uint64{}}
	for _, digest := range machines { // recorded once, however often it runs
		n.find(KindMachine, digest, nil)
	}
	for _, seq := range events {
		if seq > c.State.Taken { // whom it wakes is recorded later
			n.seqs[seq] = true
		}
	}
	n.recovery(c.Recovery)
	n.recovery(present)
	if err := n.executions(first); err != nil {
		return c, nil, 0, fmt.Errorf("find what is needed of what is old: %w", err)
	}
	c.Gone = nil
	for name := range executions {
		gone, err := n.gone(name)
		if err != nil {
			return c, nil, 0, err
		}
		if gone {
			c.Gone = append(c.Gone, name)
		}
	}
	slices.Sort(c.Gone)
	return c, slices.Sorted(maps.Keys(n.seqs)), size, nil
}

// A forgottenDay is the events of one day (UTC) that are known by their IDs
// only, each by the first 16 bytes of the ID's SHA-256.
type forgottenDay struct {
	Day string `json:"day"` // 2006-01-02
	IDs []byte `json:"ids"`
}

const hashSize = 16

func hashOf(id string) (h [hashSize]byte) {
	sum := sha256.Sum256([]byte(id))
	copy(h[:], sum[:])
	return h
}

// A forgetting keeps the days since some time, oldest first.
type forgetting struct {
	since time.Time
	days  []forgottenDay
}

func newForgetting(days []forgottenDay, since time.Time) *forgetting {
	first := since.UTC().Format(time.DateOnly)
	return &forgetting{since, slices.DeleteFunc(days, func(d forgottenDay) bool { return d.Day < first })}
}

func (f *forgetting) add(id string, seen time.Time) {
	if seen.Before(f.since) {
		return
	}
	day := seen.UTC().Format(time.DateOnly)
	i, ok := slices.BinarySearchFunc(f.days, day, func(d forgottenDay, day string) int {
		return bytes.Compare([]byte(d.Day), []byte(day))
	})
	if !ok {
		f.days = slices.Insert(f.days, i, forgottenDay{Day: day})
	}
	h := hashOf(id)
	f.days[i].IDs = append(f.days[i].IDs, h[:]...)
}
