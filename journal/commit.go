package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// room is what a frame has for entries, in bytes.
const room = frame.Max - frame.Overhead

// A pending is an Append that waits to be committed, or something else that
// the committer has to do.
type pending struct {
	records []Record
	size    int          // of their entries, in bytes
	do      func() error // instead of records

	done chan struct{} // has a token when last and err are set
	last uint64
	err  error
}

// pending is one that nobody uses, until it is put back.
func (j *Journal) pending() *pending {
	if p, ok := j.pendings.Get().(*pending); ok {
		return p
	}
	return newPending(nil)
}

// newPending is one that has do done, if it is not nil.
func newPending(do func() error) *pending { return &pending{do: do, done: make(chan struct{}, 1)} }

// mostRecords is of how many records a pending may have had and be used again.
const mostRecords = 64

// put takes a pending back that was submitted.
func (j *Journal) put(p *pending) {
	if cap(p.records) <= mostRecords {
		clear(p.records)
		*p = pending{records: p.records[:0], done: p.done}
		j.pendings.Put(p)
	}
}

// finish tells who waits for p how it went.
func (p *pending) finish(err error) {
	p.err = err
	p.done <- struct{}{} // has room for one
}

// submit has p done and waits for that, or for ctx before it is begun. Where
// nobody commits, it is done here: two goroutines less to wake, which is much of
// what a lone append takes beside its sync.
func (j *Journal) submit(ctx context.Context, p *pending) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	j.mu.Lock()
	if err := j.refusal(); err != nil {
		j.mu.Unlock()
		return err
	}
	j.queue = append(j.queue, p)
	free := !j.busy
	j.busy = true
	j.mu.Unlock()
	if free {
		j.next()
		j.release()
	}
	if ctx.Done() == nil { // to look at one channel takes half as long as at two
		<-p.done
		return p.err
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	j.mu.Lock()
	if i := slices.Index(j.queue, p); i >= 0 {
		j.queue = slices.Delete(j.queue, i, i+1)
		j.mu.Unlock()
		return context.Cause(ctx)
	}
	j.mu.Unlock()
	<-p.done
	return p.err
}

// refusal is why nothing can be submitted, or nil. j.mu is held.
func (j *Journal) refusal() error {
	switch {
	case j.readOnly:
		return ErrReadOnly
	case j.stopped != nil:
		return j.stopped
	case j.closing:
		return ErrClosed
	}
	return nil
}

// release lets somebody else be the committer: run, where there is more to do.
// The caller is the committer.
func (j *Journal) release() {
	j.mu.Lock()
	j.busy = len(j.queue) > 0 || j.closing || j.stopped != nil
	busy := j.busy
	j.mu.Unlock()
	if busy {
		j.wake <- struct{}{}
	}
}

// run is the committer while more is waiting than the appends of one moment, and
// at the end, when the journal is closed or the store fails.
func (j *Journal) run() {
	defer close(j.done)
	for range j.wake {
		for {
			// Those who can go on may have something for the same frame.
			runtime.Gosched()
			if !j.next() {
				break
			}
		}
		j.mu.Lock()
		stopped, closing := j.stopped != nil, j.closing && len(j.queue) == 0
		j.mu.Unlock()
		switch {
		case stopped:
			return
		case closing:
			err := j.setMark(context.Background(), j.mark, true)
			if err == nil {
				err = ErrClosed
			}
			j.stop(err)
			return
		}
		j.release()
	}
}

// next does what waits and fits in one frame; false: nothing waits, or the journal
// cannot go on. The caller is the committer.
func (j *Journal) next() bool {
	group := j.take()
	if len(group) == 0 {
		return false
	}
	defer clear(group) // keeps nothing
	var err error
	if p := group[0]; p.do != nil {
		err = p.do()
		p.finish(err)
	} else {
		err = j.commit(group)
	}
	if fatal(err) {
		j.stop(err)
		return false
	}
	return true
}

// fatal says whether the journal cannot go on after err.
func fatal(err error) bool {
	var stop *stopError
	return errors.As(err, &stop)
}

// A stopError is why the journal stopped for good.
type stopError struct{ err error }

func (e *stopError) Error() string { return "journal has stopped: " + e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

// take removes from the queue what fits in one frame.
func (j *Journal) take() (group []*pending) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, size := 0, 0
	for n < len(j.queue) {
		p := j.queue[n]
		if n > 0 && (p.do != nil || size+p.size > room) {
			break
		}
		n++
		size += p.size
		if p.do != nil {
			break
		}
	}
	group = append(j.group[:0], j.queue[:n]...)
	j.group, j.queue = group, slices.Delete(j.queue, 0, n)
	return group
}

// commit writes the group as one batch and lets go on who waits for it.
func (j *Journal) commit(group []*pending) error {
	b, body := j.batch(group)
	if err := j.write(&b, body); err != nil {
		for _, p := range group {
			p.finish(fmt.Errorf("append to the journal: %w", err))
		}
		return err
	}
	j.index.add(b, j.mark.TipHash, func(yield func(kind, key string) bool) {
		for _, r := range b.given {
			if !yield(r.Kind, r.Key) {
				return
			}
		}
	})
	j.tail.add(b)
	j.mu.Lock()
	j.last, j.tip = j.mark.Last, j.mark.Tip
	j.rouse(b)
	j.mu.Unlock()
	last := b.first - 1
	for _, p := range group {
		last += uint64(len(p.records))
		p.last = last
		p.finish(nil)
	}
	return nil
}

// batch is what the group comes to, as write takes it. The records are as readers
// get them: their data lies in body.
func (j *Journal) batch(group []*pending) (b batch, body []byte) {
	b.first = j.mark.Last + 1
	size := frame.Overhead
	for _, p := range group {
		b.count += len(p.records)
		size += p.size
	}
	b.given = make([]Record, 0, b.count)
	body = make([]byte, frame.HeaderSize, size)
	for _, p := range group {
		for _, r := range p.records {
			body = frame.AppendEntry(body, r.Kind, r.Key, r.Data)
			r.Seq = b.first + uint64(len(b.given))
			if n := len(body); len(r.Data) > 0 {
				r.Data = body[n-len(r.Data) : n : n]
			}
			b.given = append(b.given, r)
		}
	}
	return b, body
}

// rouse wakes the followers that want something of the newest batch; the others
// have read past it. j.mu is held.
func (j *Journal) rouse(b batch) {
	j.followers = slices.DeleteFunc(j.followers, func(f *follower) bool {
		if f.next == b.frame && !f.only.any(b.given) {
			f.next = b.end + 1
			return false
		}
		close(f.woken)
		return true
	})
}

// write stores a batch, whose entries are in body behind room for a header: in one
// frame, or if there is a single record that has no room in one, in several.
func (j *Journal) write(b *batch, body []byte) error {
	b.frame, b.prev = j.mark.Tip+1, j.mark.TipHash
	flags := frame.Begins
	if b.first != j.mark.Last+1 {
		flags |= frame.Gap
	}
	var part []byte // memory of parts
	for rest := body[frame.HeaderSize:]; flags&frame.Ends == 0; flags &^= frame.Begins | frame.Gap {
		mark, buf := j.mark, body
		if len(body)-frame.HeaderSize > room {
			n := min(len(rest), room)
			buf = append(append(part[:0], body[:frame.HeaderSize]...), rest[:n]...)
			rest = rest[n:]
		} else {
			rest = nil
		}
		head := frame.Header{Epoch: j.epoch, First: b.first, PrevSeq: mark.Tip, PrevHash: mark.TipHash}
		if len(rest) == 0 {
			flags |= frame.Ends
			head.Count = b.count
			mark.Last = b.last()
		}
		head.Flags = flags
		buf, mark.TipHash = frame.Seal(buf, head)
		part = buf
		var err error
		if mark.Tip, err = j.append(mark.Tip, buf); err != nil {
			return err
		}
		// The mark follows every frame: one of a batch that stays unfinished
		// is in the chain, too.
		if err := j.setMark(context.Background(), mark, false); err != nil {
			return err
		}
		b.size += len(buf)
	}
	b.end = j.mark.Tip
	j.meter.batch(b.count)
	return nil
}

// append stores one frame. Only a full store is an error that one can go on
// after.
func (j *Journal) append(prev uint64, sealed []byte) (uint64, error) {
	begun := time.Now()
	seq, err := j.store.Append(context.Background(), prev, sealed)
	if err == nil {
		j.meter.frame(time.Since(begun))
	}
	if err == nil && seq != prev+1 {
		err = fmt.Errorf("store gave sequence %d to the frame after %d", seq, prev)
	}
	if err != nil && !errors.Is(err, ErrFull) {
		err = &stopError{err}
	}
	return seq, err
}

// setMark makes m the mark.
func (j *Journal) setMark(ctx context.Context, m Mark, sync bool) error {
	m.Order = j.mark.Order + 1
	if err := j.store.SetMark(ctx, m, sync); err != nil {
		return &stopError{err}
	}
	j.mark = m
	return nil
}

// trim moves the base up to the frame with record before.
func (j *Journal) trim(ctx context.Context, before uint64) error {
	base, err := j.baseFor(ctx, before)
	if err != nil {
		return fmt.Errorf("trim the journal before record %d: %w", before, err)
	}
	if base.Base <= j.mark.Base {
		return j.store.Trim(ctx, j.mark.Base) // what a crash has left
	}
	// The base first, in both of the last two marks: frames before a base may
	// be missing, frames after it never.
	for range 2 {
		m := j.mark
		m.Base, m.BaseHash, m.First = base.Base, base.BaseHash, base.First
		if err := j.setMark(ctx, m, true); err != nil {
			return err
		}
	}
	j.mu.Lock()
	j.base, j.first = base.Base, max(j.first, base.First)
	j.mu.Unlock()
	j.index.trim(base.Base, base.First)
	if err := j.store.Trim(ctx, base.Base); err != nil {
		return fmt.Errorf("trim the journal before record %d: %w", before, err)
	}
	return nil
}

// baseFor is a mark whose base is the batch that holds record before.
func (j *Journal) baseFor(ctx context.Context, before uint64) (Mark, error) {
	if before <= j.mark.First {
		return j.mark, nil
	}
	if before > j.mark.Last {
		return Mark{Base: j.mark.Tip + 1, BaseHash: j.mark.TipHash, First: j.mark.Last + 1}, nil
	}
	b, err := j.batchOf(ctx, before)
	if err != nil {
		return Mark{}, err
	}
	return Mark{Base: b.frame, BaseHash: b.prev, First: b.first}, nil
}

// stop takes no more and tells those who wait why.
func (j *Journal) stop(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped = err
	for _, p := range j.queue {
		p.finish(err)
	}
	j.queue = nil
}
