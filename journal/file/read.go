package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sort"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// Bytes read at once: the least first, since a reader that follows finds little
// behind what it has, then more and more.
const (
	leastRead = 4 << 10
	readSize  = 256 << 10
)

// Read implements [journal.Store].
func (s *Store) Read(ctx context.Context, from uint64, follow bool) iter.Seq2[journal.Frame, error] {
	return func(yield func(journal.Frame, error) bool) {
		if follow && s.readOnly {
			yield(journal.Frame{}, fmt.Errorf("%s: follow a journal of another process: %w", s.dir, errors.ErrUnsupported))
			return
		}
		r := reader{store: s, from: from, yield: yield}
		defer r.close()
		for r.read() && follow {
			if err := s.wait(ctx, r.next); err != nil {
				yield(journal.Frame{}, err)
				return
			}
		}
	}
}

// readAll reads from frame from on, also what is behind the last one.
func (s *Store) readAll(from uint64) iter.Seq2[journal.Frame, error] {
	return func(yield func(journal.Frame, error) bool) {
		r := reader{store: s, from: from, yield: yield, all: true}
		defer r.close()
		r.read()
	}
}

// wait waits for frame seq to be appended.
func (s *Store) wait(ctx context.Context, seq uint64) error {
	for {
		s.mu.Lock()
		if s.bounded && s.last >= seq {
			s.mu.Unlock()
			return nil
		}
		if s.moved == nil {
			s.moved = make(chan struct{})
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A reader goes through the segments from frame to frame.
type reader struct {
	store *Store
	from  uint64 // frames before are passed over
	all   bool   // not only to the store's last frame
	yield func(journal.Frame, error) bool

	seg    *segment
	file   *os.File // of seg
	offset int64    // where the next frame begins, if there is one
	next   uint64   // its sequence

	buf     []byte // what was read of file
	at      int64  // where it was read
	lent    bool   // somebody has a part of buf
	size    int    // bytes to read next
	through uint64 // the last frame that was there before buf was read
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// read yields what there is, and returns whether more is wanted.
func (r *reader) read() bool {
	if r.seg == nil {
		if more, err := r.begin(); err != nil && !r.yield(journal.Frame{}, err) || r.seg == nil {
			return more
		}
	}
	for {
		if r.next > r.through {
			// What was read before may be older than the frame.
			r.buf, r.size, r.through = nil, leastRead, r.store.end(r.all)
			if r.next > r.through {
				return true
			}
		}
		b, err := r.peek(frame.HeaderSize)
		if err != nil {
			r.yield(journal.Frame{}, err)
			return false
		}
		if allZero(b) {
			over, err := r.zerosToEnd()
			if err != nil {
				r.yield(journal.Frame{}, err)
				return false
			}
			if over {
				if moved, ok := r.turn(true); !moved || !ok {
					return ok
				}
				continue
			}
		}
		h, err := frame.ParseHeader(b)
		switch {
		case err != nil && len(b) < frame.HeaderSize:
			err = r.damage(journal.Cut, err.Error())
		case errors.As(err, new(frame.VersionError)):
			err = r.damage(journal.Newer, err.Error())
		case err != nil:
			err = r.damage(journal.Changed, err.Error())
		case h.PrevSeq+1 < r.next:
			err = r.damage(journal.Changed, fmt.Sprintf("frame %d is here, a second time", h.PrevSeq+1))
		case h.PrevSeq+1 > r.next:
			err = r.damage(journal.Hole, fmt.Sprintf("the next frame is %d", h.PrevSeq+1))
			r.next = h.PrevSeq + 1
			if !r.yield(journal.Frame{}, err) {
				return false
			}
			continue
		case r.next >= r.from:
			if b, err = r.peek(h.Length); err == nil && len(b) < h.Length {
				err = r.damage(journal.Cut, fmt.Sprintf("the segment ends after %d of the frame's %d bytes", len(b), h.Length))
			}
		}
		if err != nil {
			if !r.yield(journal.Frame{}, err) {
				return false
			}
			found, err := r.resync()
			if err != nil {
				r.yield(journal.Frame{}, err)
				return false
			}
			if !found {
				if moved, ok := r.turn(false); !moved || !ok {
					return ok
				}
			}
			continue
		}
		r.store.mu.Lock()
		r.store.note(r.seg, r.next, r.offset)
		r.store.mu.Unlock()
		f := journal.Frame{Seq: r.next, Data: b, File: r.seg.path, Offset: r.offset}
		r.offset += int64(h.Length)
		r.next++
		if f.Seq >= r.from {
			r.lent = true
			if !r.yield(f, nil) {
				return false
			}
		}
	}
}

// begin goes to the segment with frame r.from, or a place before it.
func (r *reader) begin() (more bool, err error) {
	s := r.store
	if err := s.refresh(); err != nil {
		return false, err
	}
	s.mu.Lock()
	segments := s.segments
	if len(segments) == 0 {
		s.mu.Unlock()
		r.next = max(r.from, 1)
		return true, nil
	}
	i := sort.Search(len(segments), func(i int) bool { return segments[i].first > r.from }) - 1
	seg := segments[max(i, 0)]
	p := place{seg.first, 0}
	if k := sort.Search(len(seg.places), func(i int) bool { return seg.places[i].seq > r.from }); k > 0 {
		p = seg.places[k-1]
	}
	s.mu.Unlock()
	if err := r.open(seg, p); err != nil {
		return false, err
	}
	if i < 0 && r.from > 0 {
		err = &journal.DamageError{Problem: journal.Hole, File: seg.path, Frame: r.from, Detail: fmt.Sprintf("the first segment begins with frame %d", seg.first)}
	}
	return true, err
}

// refresh lists the segments again, if another process may have changed them.
// A reader does so once, at its beginning, so that it cannot run after that
// process for ever.
func (s *Store) refresh() error {
	if !s.readOnly {
		return nil
	}
	segments, err := list(s.dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, seg := range segments {
		if k := slices.IndexFunc(s.segments, func(old *segment) bool { return old.first == seg.first }); k >= 0 {
			segments[i] = s.segments[k]
		}
	}
	s.segments = segments
	return nil
}

// open begins to read a segment at a place.
func (r *reader) open(seg *segment, p place) error {
	f, err := os.Open(seg.path)
	if err != nil {
		return err
	}
	r.close()
	r.seg, r.file, r.offset, r.next = seg, f, p.offset, p.seq
	r.buf, r.lent = nil, false
	return nil
}

// turn goes to the segment after this one; moved is false if there is none.
// With check, it must begin with the next frame. ok says whether to go on.
func (r *reader) turn(check bool) (moved, ok bool) {
	r.store.mu.Lock()
	var after *segment
	for _, seg := range r.store.segments {
		if seg.first > r.seg.first {
			after = seg
			break
		}
	}
	r.store.mu.Unlock()
	r.buf = nil // the end may have moved when it is looked at again
	if after == nil {
		return false, true
	}
	want := r.next
	if err := r.open(after, place{after.first, 0}); err != nil {
		r.yield(journal.Frame{}, err)
		return false, false
	}
	if check && want != after.first {
		err := &journal.DamageError{Problem: journal.Hole, File: after.path, Frame: want, Detail: fmt.Sprintf("the segment begins with frame %d", after.first)}
		return true, r.yield(journal.Frame{}, err)
	}
	return true, true
}

// end is the last frame that may be read.
func (s *Store) end(all bool) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all || !s.bounded {
		return ^uint64(0)
	}
	return s.last
}

// peek returns n bytes at the offset, or fewer at the end of the file.
func (r *reader) peek(n int) ([]byte, error) {
	skip := r.offset - r.at
	if skip >= 0 && skip+int64(n) <= int64(len(r.buf)) {
		return r.buf[skip : skip+int64(n) : skip+int64(n)], nil
	}
	size := max(n, r.size, leastRead)
	r.size = min(2*size, readSize)
	if r.lent || cap(r.buf) < size {
		r.buf, r.lent = make([]byte, size), false
	}
	got, err := r.file.ReadAt(r.buf[:size], r.offset)
	if err != nil && err != io.EOF {
		return nil, err
	}
	r.buf, r.at = r.buf[:got], r.offset
	return r.buf[:min(n, got)], nil
}

// zerosToEnd says whether the segment has only zeros from here on.
func (r *reader) zerosToEnd() (bool, error) {
	b := make([]byte, readSize)
	for at := r.offset; ; at += int64(len(b)) {
		n, err := r.file.ReadAt(b, at)
		if !allZero(b[:n]) {
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// damage describes what is wrong with the next frame.
func (r *reader) damage(p journal.Problem, detail string) error {
	return &journal.DamageError{Problem: p, File: r.seg.path, Offset: r.offset, Frame: r.next, Detail: detail}
}

// resync goes to the next whole frame in this segment that is not before the
// expected one. Only a frame whose hash is right is believed to be one.
func (r *reader) resync() (found bool, err error) {
	rest, err := io.ReadAll(io.NewSectionReader(r.file, r.offset+1, 1<<62))
	if err != nil {
		return false, err
	}
	for at := 0; ; at++ {
		i := bytes.Index(rest[at:], frame.Magic)
		if i < 0 {
			return false, nil
		}
		at += i
		h, err := frame.ParseHeader(rest[at:])
		if err == nil && h.PrevSeq+1 >= r.next && at+h.Length <= len(rest) && intact(rest[at:at+h.Length]) {
			r.offset, r.next = r.offset+1+int64(at), h.PrevSeq+1
			return true, nil
		}
	}
}

func intact(b []byte) bool {
	_, _, _, err := frame.Open(b)
	return err == nil
}
