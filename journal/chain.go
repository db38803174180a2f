package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// An opened frame is one whose hash was computed, and compared: bad says what
// was wrong.
type opened struct {
	Frame
	head frame.Header
	body []byte
	sum  frame.Sum
	bad  error
}

func open(f Frame) opened {
	head, body, sum, err := frame.Open(f.Data)
	return opened{f, head, body, sum, err}
}

// openAll opens frames on all processors and yields them in order, with the
// errors of frames where they stood. When ctx ends, its error is the last.
func openAll(ctx context.Context, frames iter.Seq2[Frame, error]) iter.Seq2[opened, error] {
	const loadSize = 1 << 20 // bytes given to a processor at once
	type load struct {
		frames []opened
		err    error // after the frames
		done   chan struct{}
	}
	return func(yield func(opened, error) bool) {
		outer := ctx
		ctx, cancel := context.WithCancel(ctx)
		loads := make(chan *load, runtime.GOMAXPROCS(0))
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() {
			defer close(loads)
			l, size := &load{done: make(chan struct{})}, 0
			send := func() bool {
				select {
				case loads <- l:
				case <-ctx.Done():
					return false
				}
				sent := l
				running.Go(func() {
					for i := range sent.frames {
						sent.frames[i] = open(sent.frames[i].Frame)
					}
					close(sent.done)
				})
				l, size = &load{done: make(chan struct{})}, 0
				return true
			}
			for f, err := range frames {
				if err != nil {
					l.err = err
				} else {
					l.frames = append(l.frames, opened{Frame: f})
					size += len(f.Data)
				}
				if (err != nil || size >= loadSize) && !send() {
					return
				}
			}
			send()
		})
		for l := range loads {
			<-l.done
			for _, f := range l.frames {
				if !yield(f, nil) {
					return
				}
			}
			if l.err != nil && !yield(opened{}, l.err) {
				return
			}
		}
		if outer.Err() != nil {
			yield(opened{}, context.Cause(outer))
		}
	}
}

// A batch is what one commit wrote: the records of one frame, or one Append
// that needed several.
type batch struct {
	frame, end uint64    // its first and last frame
	prev       frame.Sum // hash of the frame before it
	first      uint64    // number of its first record
	count      int
	body       []byte
	given      []Record // instead of body, where this process has written it
	size       int      // bytes of all its frames
}

// last is the number of the batch's last record.
func (b batch) last() uint64 { return b.first + uint64(b.count) - 1 }

// A chain puts frames together, checking that each follows from the one
// before. The zero chain begins with whatever frame comes first.
type chain struct {
	seq  uint64    // of the last frame; 0: there was none
	sum  frame.Sum // of the last frame
	next uint64    // number of the next record; 0: unknown
	part batch     // of which the last frame is missing; frame is 0: there is none
}

// add takes the next frame, and returns the batch that it completes. A batch
// that another begins before it is complete was never acknowledged.
func (c *chain) add(f opened) (b batch, complete bool, damage *DamageError) {
	fail := func(p Problem, at uint64, detail string, args ...any) (batch, bool, *DamageError) {
		return batch{}, false, &DamageError{p, f.File, f.Offset, at, fmt.Sprintf(detail, args...)}
	}
	begins := f.head.Flags&frame.Begins != 0
	switch {
	case f.bad != nil:
		if errors.As(f.bad, new(frame.VersionError)) {
			return fail(Newer, f.Seq, "%v", f.bad)
		}
		return fail(Changed, f.Seq, "%v", f.bad)
	case c.seq != 0 && f.Seq != c.seq+1:
		return fail(Hole, c.seq+1, "the next frame is %d", f.Seq)
	case f.head.PrevSeq+1 != f.Seq:
		return fail(Changed, f.Seq, "it is frame %d", f.head.PrevSeq+1)
	case c.seq != 0 && f.head.PrevHash != c.sum:
		return fail(Changed, f.Seq, "it does not follow the frame before it, but one with another hash")
	case begins && c.next != 0 && f.head.First != c.next && (f.head.Flags&frame.Gap == 0 || f.head.First < c.next):
		return fail(Hole, f.Seq, "its first record is %d, expected %d", f.head.First, c.next)
	}
	c.seq, c.sum = f.Seq, f.sum
	ends := f.head.Flags&frame.Ends != 0
	switch {
	case begins && ends:
		b = batch{frame: f.Seq, prev: f.head.PrevHash, body: f.body}
	case begins:
		c.part = batch{frame: f.Seq, prev: f.head.PrevHash, body: append([]byte(nil), f.body...), size: len(f.Data)}
		c.next = f.head.First
		return batch{}, false, nil
	case c.part.frame == 0: // its beginning is before ours
		return batch{}, false, nil
	default:
		b = c.part
		b.body = append(b.body, f.body...)
		if !ends {
			b.size += len(f.Data)
			c.part = b
			return batch{}, false, nil
		}
	}
	c.part = batch{}
	b.end, b.first, b.count, b.size = f.Seq, f.head.First, f.head.Count, b.size+len(f.Data)
	c.next = b.first + uint64(b.count)
	return b, true, nil
}

// records are those of the batch from number from on that are wanted. They share
// nothing with the frame.
func (b batch) records(from uint64, w wanted) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, r := range b.given {
			if r.Seq >= from && w.kind(r.Kind) && w.record(r) && !yield(r, nil) {
				return
			}
		}
		seq := b.first
		for e, err := range frame.Entries(b.body) {
			if err != nil {
				yield(Record{}, fmt.Errorf("frame %d: %w", b.end, err))
				return
			}
			if seq >= from && w.kind(string(e.Kind)) {
				r := Record{seq, string(e.Kind), string(e.Key), append([]byte(nil), e.Data...)}
				if w.record(r) && !yield(r, nil) {
					return
				}
			}
			seq++
		}
	}
}

// wanted is what a reader wants of the records; the zero one is all.
type wanted struct {
	kinds []string          // nil: every one
	is    func(Record) bool // of these kinds; nil: all
}

func (w wanted) kind(kind string) bool { return len(w.kinds) == 0 || slices.Contains(w.kinds, kind) }
func (w wanted) record(r Record) bool  { return w.is == nil || w.is(r) }

// any says whether some of the records are wanted.
func (w wanted) any(records []Record) bool {
	return slices.ContainsFunc(records, func(r Record) bool { return w.kind(r.Kind) && w.record(r) })
}
