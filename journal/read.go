package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Read yields the records from number from on, or from the oldest there is, in
// order: up to the last one now, or with follow for ever, until ctx or the
// journal ends. It stops after an error. Where kinds are given it yields only
// records of those. The data of a record may be others' too: it must not be changed.
func (j *Journal) Read(ctx context.Context, from uint64, follow bool, kinds ...string) iter.Seq2[Record, error] {
	return j.read(ctx, from, follow, wanted{kinds: kinds})
}

// Follow is [Journal.Read] for ever, of the records of these kinds that is says yes
// to: a follower costs next to nothing for what it does not want. is may be called by
// whoever commits, and for a record more than once: it must not wait, nor use the
// journal.
func (j *Journal) Follow(ctx context.Context, from uint64, is func(Record) bool, kinds ...string) iter.Seq2[Record, error] {
	return j.read(ctx, from, true, wanted{kinds, is})
}

func (j *Journal) read(ctx context.Context, from uint64, follow bool, only wanted) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		j.mu.Lock()
		from, last, tip := max(from, j.first), j.last, j.tip
		j.mu.Unlock()
		start := tip + 1
		if from <= last {
			start = j.index.blockOf(from).frame
		} else if !follow {
			return
		}
		if follow {
			var cancel context.CancelCauseFunc
			ctx, cancel = context.WithCancelCause(ctx)
			defer cancel(nil)
			if !j.readOnly {
				go func() {
					select {
					case <-j.done:
						cancel(j.Err())
					case <-ctx.Done():
					}
				}()
			}
			tip = 0
		}
		for b, err := range j.batches(ctx, start, tip, only) {
			if err != nil {
				yield(Record{}, fmt.Errorf("read the journal: %w", err))
				return
			}
			if b.count == 0 || b.last() < from {
				continue
			}
			for r, err := range b.records(from, only) {
				if err != nil || !follow && r.Seq > last {
					if err != nil {
						yield(Record{}, fmt.Errorf("read the journal: %w", err))
					}
					return
				}
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// batches reads the log from a frame that begins a batch to frame tip, or follows
// it if tip is 0: then those are left out that come while it waits and have nothing
// that is wanted.
func (j *Journal) batches(ctx context.Context, from, tip uint64, only wanted) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		var c chain
		for to := tip; ; {
			if tip == 0 {
				next, last, err := j.acknowledged(ctx, from, only)
				if err != nil {
					yield(batch{}, err)
					return
				}
				if next != from {
					c = chain{}
				}
				from, to = next, last
			} else if from > to {
				return
			}
			if b, ok := j.tail.at(from); ok && b.end <= to {
				if !yield(b, nil) {
					return
				}
				c, from = chain{}, b.end+1
				continue
			}
			for f, err := range j.store.Read(ctx, from, false) {
				if err != nil {
					yield(batch{}, err)
					return
				}
				b, complete, damage := c.add(open(f))
				if damage != nil {
					yield(batch{}, damage)
					return
				}
				if complete && !yield(b, nil) {
					return
				}
				if f.Seq == to {
					break
				}
			}
			from = to + 1
		}
	}
}

// acknowledged waits until frame seq is acknowledged, by this process or by the
// one that writes, or the first after it with something that is wanted. It returns
// that one and the last that is acknowledged. Nobody sees a record before Last,
// Newest and Find know it.
func (j *Journal) acknowledged(ctx context.Context, seq uint64, only wanted) (next, last uint64, err error) {
	if !j.readOnly {
		j.mu.Lock()
		if j.tip >= seq {
			defer j.mu.Unlock()
			return seq, j.tip, nil
		}
		f := &follower{next: seq, only: only, woken: make(chan struct{})}
		j.followers = append(j.followers, f)
		j.mu.Unlock()
		select {
		case <-f.woken:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.followers = slices.DeleteFunc(j.followers, func(other *follower) bool { return other == f })
		return f.next, j.tip, err
	}
	for {
		if m, err := j.store.Mark(ctx); err != nil || m.Tip >= seq {
			return seq, m.Tip, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
}

// At returns the record with number seq, or [ErrNotFound].
func (j *Journal) At(ctx context.Context, seq uint64) (Record, error) {
	if k, ok := j.keptNow().find(seq); ok {
		return j.keptAt(ctx, k)
	}
	return j.at(ctx, seq)
}

func (j *Journal) at(ctx context.Context, seq uint64) (Record, error) {
	b, err := j.batchOf(ctx, seq)
	if err == nil {
		for r, rerr := range b.records(seq, wanted{}) {
			if rerr == nil && r.Seq != seq { // in a gap
				break
			}
			return r, rerr
		}
		err = ErrNotFound
	}
	return Record{}, fmt.Errorf("record %d: %w", seq, err)
}

// These yields the records with these numbers, which rise, but for those that are not
// there. What lies close together is read once. It stops after an error.
func (j *Journal) These(ctx context.Context, seqs []uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		n, _ := slices.BinarySearch(seqs, j.First())
		for r, err := range j.theseKept(ctx, seqs[:n]) {
			if !yield(r, err) || err != nil {
				return
			}
		}
		for r, err := range j.theseSince(ctx, seqs[n:]) {
			if !yield(r, err) {
				return
			}
		}
	}
}

// theseKept is These of records of before the checkpoint.
func (j *Journal) theseKept(ctx context.Context, seqs []uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		all := j.keptNow()
		for len(seqs) > 0 {
			var next []keptRecord // most that were kept together lie in their order
			var at []uint64
			for ; len(seqs) > 0 && len(next) < mostKept; seqs = seqs[1:] {
				k, ok := all.find(seqs[0])
				if ok && len(next) > 0 && k.At <= at[len(at)-1] {
					break
				}
				if ok {
					next, at = append(next, k), append(at, k.At)
				}
			}
			for holder, err := range j.theseSince(ctx, at) {
				var r Record
				if err == nil && holder.Seq != next[0].At {
					break
				}
				if err == nil {
					r, err = next[0].in(holder)
				}
				if !yield(r, err) || err != nil {
					return
				}
				next = next[1:]
			}
			if len(next) > 0 {
				yield(Record{}, fmt.Errorf("kept record %d: record %d: %w", next[0].Seq, next[0].At, ErrNotFound))
				return
			}
		}
	}
}

// theseSince is These of records since the checkpoint.
func (j *Journal) theseSince(ctx context.Context, seqs []uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for len(seqs) > 0 && seqs[0] <= j.Last() {
			within := j.index.blockOf(seqs[0])
			for r, err := range j.Read(ctx, seqs[0], false) {
				if err != nil {
					yield(r, err)
					return
				}
				for len(seqs) > 0 && seqs[0] < r.Seq {
					seqs = seqs[1:]
				}
				if len(seqs) > 0 && seqs[0] == r.Seq {
					if !yield(r, nil) {
						return
					}
					seqs = seqs[1:]
				}
				if len(seqs) == 0 || j.index.blockOf(seqs[0]) != within {
					break
				}
			}
		}
	}
}

// batchOf reads the batch with record seq, or with the first one after a gap
// that seq is in.
func (j *Journal) batchOf(ctx context.Context, seq uint64) (batch, error) {
	j.mu.Lock()
	first, last, tip := j.first, j.last, j.tip
	j.mu.Unlock()
	if seq < first || seq > last {
		return batch{}, ErrNotFound
	}
	if b, ok := j.tail.of(seq); ok {
		return b, nil
	}
	if b := j.found.Load(); b != nil && b.first <= seq && seq <= b.last() {
		return *b, nil // who asks for one record often asks for its neighbours then
	}
	blk := j.index.blockOf(seq)
	for b, err := range j.batches(ctx, blk.frame, tip, wanted{}) {
		if err != nil && j.trimmed(blk.frame) {
			break
		}
		if err != nil {
			return b, err
		}
		if b.count > 0 && b.last() >= seq {
			j.found.Store(&b)
			return b, nil
		}
	}
	return batch{}, ErrNotFound
}

// trimmed says whether frame seq was given up while it was read.
func (j *Journal) trimmed(seq uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return seq < j.base
}

// Find returns the newest record of kind with key, or [ErrNotFound].
func (j *Journal) Find(ctx context.Context, kind, key string) (Record, error) {
	if _, may := j.index.lookupBelow(hashKey(kind, key), ^uint64(0)); !may { // as of most names that are new
		return j.findKept(ctx, kind, key)
	}
	for r, err := range j.candidates(ctx, kind, key) {
		if err != nil {
			return Record{}, fmt.Errorf("find %s %s: %w", kind, key, err)
		}
		if r.Kind == kind && r.Key == key {
			return r, nil
		}
	}
	return j.findKept(ctx, kind, key)
}

// candidates yields records that may be of kind with key, newest first.
func (j *Journal) candidates(ctx context.Context, kind, key string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for c := range j.index.lookup(kind, key) {
			if c.unread != nil {
				// The cache cannot be read there: look at the records.
				j.log.Warn("cache cannot be read, reading the log instead", "err", c.unread)
				for r, err := range j.Newest(ctx, kind, c.last+1) {
					if err == nil && r.Seq < c.first {
						break
					}
					if !yield(r, err) {
						return
					}
				}
				continue
			}
			r, err := j.at(ctx, c.last)
			if errors.Is(err, ErrNotFound) {
				continue // trimmed
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// Newest yields the records of kind (empty: of every kind) with a number below
// before (0: all), newest first. It stops after an error.
func (j *Journal) Newest(ctx context.Context, kind string, before uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		j.mu.Lock()
		first, last, tip := j.first, j.last, j.tip
		j.mu.Unlock()
		if before == 0 || before > last {
			before = last + 1
		}
		var only wanted // all
		if kind != "" {
			only.kinds = []string{kind}
		}
		var found []Record
		for blk := range j.index.blocksBefore(kind, before) {
			found = found[:0]
			for b, err := range j.batches(ctx, blk.frame, min(tip, blk.end), only) {
				if err != nil && j.trimmed(blk.frame) {
					break
				}
				if err != nil {
					yield(Record{}, fmt.Errorf("read the journal: %w", err))
					return
				}
				for r, err := range b.records(first, only) {
					if err != nil {
						yield(Record{}, fmt.Errorf("read the journal: %w", err))
						return
					}
					if r.Seq >= before {
						break
					}
					found = append(found, r)
				}
			}
			for _, r := range slices.Backward(found) {
				if !yield(r, nil) {
					return
				}
			}
		}
		for r, err := range j.newestKept(ctx, kind, before) {
			if !yield(r, err) {
				return
			}
		}
	}
}
