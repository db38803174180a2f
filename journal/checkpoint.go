package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Kinds of the records that the journal writes itself. They are numbered,
// hashed and read like all others.
const (
	// KindCheckpoint is what the records before a number came to.
	KindCheckpoint = "checkpoint"
	// KindKept is a record of before a checkpoint that is still asked for, as
	// [AppendLine] writes it.
	KindKept = "kept"
)

// A Checkpoint is the journal's beginning after [Journal.Cut]: the only copy of
// what the records before it came to. The zero Checkpoint is the beginning of a
// journal that was never cut.
type Checkpoint struct {
	Before uint64 // the record that the journal goes on with
	Seq    uint64 // the checkpoint's own record
	State  []byte // JSON, as it was given to Cut
}

// checkpointRecord is a checkpoint in the journal.
type checkpointRecord struct {
	Before uint64          `json:"before"`
	Kept   []keptRecord    `json:"kept"`
	State  json.RawMessage `json:"state"`
}

// A keptRecord says where a record of before the checkpoint is.
type keptRecord struct {
	Seq  uint64 `json:"seq"` // its number
	At   uint64 `json:"at"`  // number of the record of KindKept that holds it
	Kind string `json:"kind"`
	Key  string `json:"key,omitempty"`
}

// kept are the records of before a checkpoint that are still there.
type kept struct {
	records []keptRecord      // by number
	newest  map[string]uint64 // kind and key to number
}

func newKept(records []keptRecord) *kept {
	k := &kept{records: records, newest: make(map[string]uint64, len(records))}
	for _, r := range records {
		if r.Key != "" {
			k.newest[keptKey(r.Kind, r.Key)] = r.Seq
		}
	}
	return k
}

func keptKey(kind, key string) string { return kind + "\x00" + key }

// find is the record with number seq.
func (k *kept) find(seq uint64) (keptRecord, bool) {
	i, ok := slices.BinarySearchFunc(k.records, seq, func(r keptRecord, seq uint64) int { return cmp.Compare(r.Seq, seq) })
	if !ok {
		return keptRecord{}, false
	}
	return k.records[i], true
}

// keptBytes bounds the kept records of one append, in bytes, and mostKept those that
// are read in one go.
const (
	keptBytes = 4 << 20
	mostKept  = 4096
)

// Cut gives the records before number before up, but for those in keep (their
// numbers): these are still found by number and by key, and listed. state, JSON,
// is what all the records before came to; [Journal.Checkpoint] gives it back.
//
// The kept records and the checkpoint are durable before anything is given up,
// so a crash leaves the journal as it was before or as it is after. Cut may be
// called again then, with the same before or a later one. With a before that
// is not behind the last checkpoint's it only finishes what that one began.
func (j *Journal) Cut(ctx context.Context, before uint64, state []byte, keep []uint64) error {
	j.cutting.Lock()
	defer j.cutting.Unlock()
	doing := func(err error) error { return fmt.Errorf("cut the journal before record %d: %w", before, err) }
	if before > j.Last()+1 {
		return doing(fmt.Errorf("the last record is %d", j.Last()))
	}
	if before > j.First() {
		if err := j.checkpoint(ctx, before, state, keep); err != nil {
			return doing(err)
		}
	}
	return j.Trim(ctx, j.First())
}

// checkpoint keeps records, writes a checkpoint and goes on from there.
func (j *Journal) checkpoint(ctx context.Context, before uint64, state []byte, keep []uint64) error {
	if !json.Valid(state) {
		return errors.New("the state is not JSON")
	}
	old := j.keptNow()
	keep = slices.Compact(slices.Sorted(slices.Values(keep)))
	c := checkpointRecord{Before: before, Kept: []keptRecord{}, State: state}
	var move []uint64 // what is not in a record yet that stays
	for _, seq := range keep {
		if seq >= before {
			break
		}
		k, ok := old.find(seq)
		if !ok || k.At < before {
			k = keptRecord{Seq: seq}
			move = append(move, seq)
		}
		c.Kept = append(c.Kept, k)
	}
	var waiting []Record
	size, first, next := 0, 0, 0 // bytes of what waits; in c.Kept, where that begins, and what is behind it
	flush := func() error {
		if len(waiting) == 0 {
			return nil
		}
		last, err := j.Append(ctx, waiting...)
		if err != nil {
			return err
		}
		at := last + 1 - uint64(len(waiting))
		for i := first; i < next; i++ {
			if c.Kept[i].At == 0 {
				c.Kept[i].At = at
				at++
			}
		}
		waiting, size, first = nil, 0, next
		return nil
	}
	for r, err := range j.These(ctx, move) {
		if err != nil {
			return err
		}
		for c.Kept[next].At != 0 {
			next++
		}
		if c.Kept[next].Seq != r.Seq {
			break
		}
		data, err := AppendLine(nil, r)
		if err != nil {
			return err
		}
		waiting = append(waiting, Record{Kind: KindKept, Data: data})
		c.Kept[next] = keptRecord{Seq: r.Seq, Kind: r.Kind, Key: r.Key}
		next++
		move = move[1:]
		if size += len(data); size >= keptBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(move) > 0 {
		return fmt.Errorf("record %d: %w", move[0], ErrNotFound)
	}
	if err := flush(); err != nil {
		return err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := j.Append(ctx, Record{Kind: KindCheckpoint, Data: data}); err != nil {
		return err
	}
	j.begin(c)
	return nil
}

// begin has the journal begin with a checkpoint.
func (j *Journal) begin(c checkpointRecord) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.first, j.kept = max(j.first, c.Before), newKept(c.Kept)
}

// Checkpoint is the journal's beginning.
func (j *Journal) Checkpoint(ctx context.Context) (Checkpoint, error) {
	seq, c, err := j.newestCheckpoint(ctx)
	if err != nil || seq == 0 {
		return Checkpoint{}, err
	}
	return Checkpoint{Before: c.Before, Seq: seq, State: c.State}, nil
}

// newestCheckpoint reads the newest checkpoint; its number is 0 if there is none.
func (j *Journal) newestCheckpoint(ctx context.Context) (seq uint64, c checkpointRecord, err error) {
	for r, err := range j.Newest(ctx, KindCheckpoint, 0) {
		if err == nil {
			err = json.Unmarshal(r.Data, &c)
		}
		if err != nil {
			return 0, c, fmt.Errorf("read the checkpoint: %w", err)
		}
		return r.Seq, c, nil
	}
	return 0, c, nil
}

func (j *Journal) keptNow() *kept {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.kept
}

// Kept yields the records of before the checkpoint that are still there, newest
// first, without their data.
func (j *Journal) Kept() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, k := range slices.Backward(j.keptNow().records) {
			if !yield(Record{Seq: k.Seq, Kind: k.Kind, Key: k.Key}) {
				return
			}
		}
	}
}

// keptAt reads a kept record.
func (j *Journal) keptAt(ctx context.Context, k keptRecord) (Record, error) {
	holder, err := j.at(ctx, k.At)
	if err != nil {
		return Record{}, err
	}
	return k.in(holder)
}

// in is the record that the one of KindKept holds.
func (k keptRecord) in(holder Record) (Record, error) {
	r, err := ParseLine(holder.Data)
	if err == nil && (holder.Kind != KindKept || r.Seq != k.Seq || r.Kind != k.Kind || r.Key != k.Key) {
		err = fmt.Errorf("it is %s %d, and the checkpoint says %s %d", r.Kind, r.Seq, k.Kind, k.Seq)
	}
	if err != nil {
		return Record{}, fmt.Errorf("kept record %d: %w", k.At, err)
	}
	return r, nil
}

// newestKept yields the kept records of kind below before, newest first.
func (j *Journal) newestKept(ctx context.Context, kind string, before uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, k := range slices.Backward(j.keptNow().records) {
			if k.Seq >= before || kind != "" && k.Kind != kind {
				continue
			}
			r, err := j.keptAt(ctx, k)
			if err != nil {
				yield(Record{}, fmt.Errorf("read the journal: %w", err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// findKept is the newest kept record of kind with key.
func (j *Journal) findKept(ctx context.Context, kind, key string) (Record, error) {
	k := j.keptNow()
	seq, ok := k.newest[keptKey(kind, key)]
	if !ok {
		return Record{}, &missing{kind, key}
	}
	at, _ := k.find(seq)
	return j.keptAt(ctx, at)
}

// missing is that there is no record of a kind with a key: an [ErrNotFound] which costs
// nothing until it is read.
type missing struct{ kind, key string }

func (m *missing) Error() string        { return m.kind + " " + m.key + ": " + ErrNotFound.Error() }
func (m *missing) Is(target error) bool { return target == ErrNotFound }
