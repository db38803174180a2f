package journal

import (
	"context"
	"errors"
	"fmt"
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
	body    []byte       // their entries
	do      func() error // instead of records

	done chan struct{} // closed when last and err are set
	last uint64
	err  error
}

// submit hands p to the committer and waits until it is done, or ctx before
// it is begun.
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
	j.mu.Unlock()
	j.signal()
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

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run commits until the journal is closed or the store fails.
func (j *Journal) run() {
	defer close(j.done)
	buf := make([]byte, 0, 64<<10)
	for {
		group, closing := j.take()
		if len(group) == 0 {
			if closing {
				err := j.setMark(context.Background(), j.mark, true)
				if err == nil {
					err = ErrClosed
				}
				j.stop(err)
				return
			}
			<-j.wake
			continue
		}
		var err error
		if p := group[0]; p.do != nil {
			p.err = p.do()
			close(p.done)
			err = p.err
		} else {
			buf, err = j.commit(buf, group)
		}
		if fatal(err) {
			j.stop(err)
			return
		}
	}
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
func (j *Journal) take() (group []*pending, closing bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, size := 0, 0
	for n < len(j.queue) {
		p := j.queue[n]
		if n > 0 && (p.do != nil || size+len(p.body) > room) {
			break
		}
		n++
		size += len(p.body)
		if p.do != nil {
			break
		}
	}
	group = slices.Clone(j.queue[:n])
	j.queue = slices.Delete(j.queue, 0, n)
	return group, j.closing
}

// commit writes the group as one batch and releases those who wait. buf is
// memory to use again.
func (j *Journal) commit(buf []byte, group []*pending) ([]byte, error) {
	count := 0
	bodies := make([][]byte, 0, len(group))
	for _, p := range group {
		count += len(p.records)
		bodies = append(bodies, p.body)
	}
	buf, b, err := j.write(buf, j.mark.Last+1, count, bodies)
	if err != nil {
		for _, p := range group {
			p.err = fmt.Errorf("append to the journal: %w", err)
			close(p.done)
		}
		return buf, err
	}
	j.index.add(b, j.mark.TipHash, func(yield func(kind, key string) bool) {
		for _, p := range group {
			for _, r := range p.records {
				if !yield(r.Kind, r.Key) {
					return
				}
			}
		}
	})
	j.tail.add(b, bodies)
	j.mu.Lock()
	j.last, j.tip = j.mark.Last, j.mark.Tip
	if j.grown != nil {
		close(j.grown)
		j.grown = nil
	}
	j.mu.Unlock()
	last := b.first - 1
	for _, p := range group {
		last += uint64(len(p.records))
		p.last = last
		close(p.done)
	}
	return buf, nil
}

// write stores a batch of count records, the first with the given number: in
// one frame, or if there is a single body that has no room in one, in several.
func (j *Journal) write(buf []byte, first uint64, count int, bodies [][]byte) ([]byte, batch, error) {
	b := batch{frame: j.mark.Tip + 1, prev: j.mark.TipHash, first: first, count: count}
	flags := frame.Begins
	if first != j.mark.Last+1 {
		flags |= frame.Gap
	}
	for rest := bodies[0]; flags&frame.Ends == 0; flags &^= frame.Begins | frame.Gap {
		mark := j.mark
		head := frame.Header{Epoch: j.epoch, First: first, PrevSeq: mark.Tip, PrevHash: mark.TipHash}
		buf = append(buf[:0], make([]byte, frame.HeaderSize)...)
		if len(rest) > room {
			buf = append(buf, rest[:room]...)
			rest = rest[room:]
		} else {
			buf = append(buf, rest...)
			for _, body := range bodies[1:] {
				buf = append(buf, body...)
			}
			flags |= frame.Ends
			head.Count = count
			mark.Last = b.last()
		}
		head.Flags = flags
		buf, mark.TipHash = frame.Seal(buf, head)
		var err error
		if mark.Tip, err = j.append(mark.Tip, buf); err != nil {
			return buf, b, err
		}
		// The mark follows every frame: one of a batch that stays unfinished
		// is in the chain, too.
		if err := j.setMark(context.Background(), mark, false); err != nil {
			return buf, b, err
		}
		b.size += len(buf)
	}
	b.end = j.mark.Tip
	j.meter.batch(count)
	return buf, b, nil
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
		p.err = err
		close(p.done)
	}
	j.queue = nil
}
