// Package journal keeps the durable, ordered record of everything: events,
// signals, decisions, runs, models, notices, and the engine's turns. All
// other state is a fold of it.
//
// It promises:
//
//   - Durability. When [Journal.Append] returns nil, its records survive a
//     crash of the process and of the machine.
//   - Atomicity. The records of one Append are all there or none is, however
//     large they are.
//   - Order. Records are numbered 1, 2, 3, … without holes, in the order in
//     which everybody sees them.
//   - Group commit. Appends that wait at the same time share one write and one
//     sync.
//   - Proof. Every bit is under a hash, every frame names the hash of the one
//     before, and a mark beside the log knows where it begins and how far it
//     was acknowledged. Damage is found at [Open] and named, and nothing is
//     changed until there is none.
//   - An end of the past. Old records are given up for a [Checkpoint], which is
//     a record like any other: what they came to, and those of them that are
//     still needed, under their numbers and keys.
//   - Fail-stop. After a failed sync the journal takes no more records, and
//     says why. A full disk is different: the append fails with [ErrFull], and
//     a later one works when there is room again.
//
// Where the bytes lie is left to a [Store]: [Memory], journal/file. What they
// mean is left to the reader.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// Options are the settings of a [Journal].
type Options struct {
	// ReadOnly opens the journal as it is acknowledged now, beside the daemon
	// that writes it. Nothing is changed. Only what is read is verified.
	ReadOnly bool
	// Cache is a folder for the index by key, so that memory stays level. It
	// may be deleted at any time; it is rebuilt from the log. Empty: the index
	// is in memory only.
	Cache string
	// Logger hears of a torn tail that was cut and of trouble with the cache.
	// Nil: slog.Default().
	Logger *slog.Logger
}

// A Journal is an ordered record over a [Store]. Its methods may be called
// concurrently.
type Journal struct {
	store    Store
	log      *slog.Logger
	readOnly bool
	index    *index
	tail     tail
	found    atomic.Pointer[batch] // the one that was read last to get at one record
	meter    meter

	wake chan struct{} // takes a token when run becomes the committer
	done chan struct{} // closed when run has ended

	cutting sync.Mutex // held by Cut

	mu      sync.Mutex
	kept    *kept      // guarded by mu; records of before first that are still there; replaced, never changed
	queue   []*pending // guarded by mu
	busy    bool       // guarded by mu; there is a committer
	closing bool       // guarded by mu
	stopped error      // guarded by mu; why no more is taken
	first   uint64     // guarded by mu; number of the oldest record kept
	last    uint64     // guarded by mu; number of the newest record
	base    uint64     // guarded by mu; sequence of the oldest frame
	tip     uint64     // guarded by mu; sequence of the newest frame

	followers []*follower // guarded by mu; that wait

	// Owned by Open, then by the committer, who is one at a time.
	mark  Mark
	epoch uint64
	group []*pending // memory of groups, to use again

	pendings sync.Pool // of *pending
}

// A follower waits for the frame that it reads next, if that has something for it.
type follower struct {
	next  uint64 // guarded by Journal.mu
	only  wanted
	woken chan struct{} // closed when it is there
}

// First is the number of the oldest record, but for those that a [Checkpoint]
// keeps. It is Last()+1 in an empty journal.
func (j *Journal) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.first
}

// Last is the number of the newest record, 0 if there never was one.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Done is closed when the journal has stopped: by Close, or for good because
// the store failed. Err then says which.
func (j *Journal) Done() <-chan struct{} { return j.done }

// Err is why the journal takes no more records: [ErrClosed] after Close, or
// what stopped it for good. It is nil as long as it does.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stopped
}

// Append makes records durable, all or none, in this order and without others
// between them, and returns the number of the last. Their Seq is not read.
//
// When ctx ends before the commit has begun, nothing is stored and its error
// is returned; a commit that has begun is waited for.
func (j *Journal) Append(ctx context.Context, records ...Record) (last uint64, err error) {
	if len(records) == 0 {
		return j.Last(), j.Err()
	}
	p := j.pending()
	defer j.put(p)
	for i, r := range records {
		if err := r.check(); err != nil {
			return 0, fmt.Errorf("append record %d of %d: %w", i+1, len(records), err)
		}
		p.records = append(p.records, r)
		p.size += frame.EntryHeader + len(r.Kind) + len(r.Key) + len(r.Data)
	}
	if err := j.submit(ctx, p); err != nil {
		return 0, err
	}
	return p.last, nil
}

func (r Record) check() error {
	switch {
	case len(r.Kind) < 1 || len(r.Kind) > 32:
		return fmt.Errorf("kind %q has %d bytes, want 1 to 32", r.Kind, len(r.Kind))
	case len(r.Key) > 255:
		return fmt.Errorf("key of a %s has %d bytes, want at most 255", r.Kind, len(r.Key))
	case len(r.Data) > 1<<30:
		return fmt.Errorf("%s %s has %d bytes, want at most 1 GiB", r.Kind, r.Key, len(r.Data))
	}
	return nil
}

// Trim forgets the records before number before, as far as whole frames allow,
// and lets the store give their room back. Nothing is left of them: see
// [Journal.Cut].
func (j *Journal) Trim(ctx context.Context, before uint64) error {
	return j.submit(ctx, newPending(func() error { return j.trim(ctx, before) }))
}

// Save keeps a blob under a name of letters, digits and dashes, replacing it
// as a whole, and syncs the mark. It is for what can be made again from the
// records.
func (j *Journal) Save(ctx context.Context, name string, blob []byte) error {
	return j.submit(ctx, newPending(func() error {
		if err := j.store.Save(ctx, name, blob); err != nil {
			return err
		}
		return j.setMark(ctx, j.mark, true)
	}))
}

// Load returns the blob that was saved under name, or [ErrNotFound].
func (j *Journal) Load(ctx context.Context, name string) ([]byte, error) {
	return j.store.Load(ctx, name)
}

// Close commits what is waiting, syncs the mark and closes the store. Those
// who follow get [ErrClosed].
func (j *Journal) Close() error {
	j.mu.Lock()
	again, free := j.closing, !j.busy
	j.closing, j.busy = true, true
	j.mu.Unlock()
	if again {
		<-j.done
		return nil
	}
	if free {
		j.wake <- struct{}{}
	}
	<-j.done
	err := j.Err()
	if errors.Is(err, ErrClosed) {
		err = nil
	}
	j.index.close()
	return errors.Join(err, j.store.Close())
}
