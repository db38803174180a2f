package journal

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// Memory is a [Store] in memory, for tests. It outlives the journals that are
// opened over it: opening another after the first was closed, or dropped as in
// a crash, is a restart. It is ready for use as it is.
type Memory struct {
	mu      sync.Mutex
	base    uint64                 // guarded by mu; sequence of frames[0], less one
	frames  [][]byte               // guarded by mu
	mark    Mark                   // guarded by mu
	blobs   map[string][]byte      // guarded by mu
	waiting map[chan struct{}]bool // guarded by mu; each is closed at the next append
}

// Append implements [Store].
func (m *Memory) Append(_ context.Context, prev uint64, frame []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch last := m.base + uint64(len(m.frames)); {
	case prev < last:
		return 0, fmt.Errorf("append after frame %d: %w: the last is %d", prev, ErrFenced, last)
	case prev > last:
		return 0, fmt.Errorf("append after frame %d: %w: the last is %d", prev, ErrRegressed, last)
	}
	m.frames = append(m.frames, bytes.Clone(frame))
	for moved := range m.waiting {
		close(moved)
	}
	clear(m.waiting)
	return prev + 1, nil
}

// Read implements [Store].
func (m *Memory) Read(ctx context.Context, from uint64, follow bool) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		seq := from
		for {
			m.mu.Lock()
			if seq == 0 {
				seq = m.base + 1
			}
			first, last := m.base+1, m.base+uint64(len(m.frames))
			if seq < first {
				m.mu.Unlock()
				if !yield(Frame{}, &DamageError{Problem: Hole, Frame: seq, Detail: fmt.Sprintf("the first frame is %d", first)}) {
					return
				}
				seq = first
				continue
			}
			if seq > last {
				if !follow {
					m.mu.Unlock()
					return
				}
				if m.waiting == nil {
					m.waiting = map[chan struct{}]bool{}
				}
				moved := make(chan struct{})
				m.waiting[moved] = true
				m.mu.Unlock()
				select {
				case <-moved:
				case <-ctx.Done():
					m.mu.Lock()
					delete(m.waiting, moved)
					m.mu.Unlock()
					yield(Frame{}, context.Cause(ctx))
					return
				}
				continue
			}
			data := m.frames[seq-first]
			m.mu.Unlock()
			if !yield(Frame{Seq: seq, Data: data}, nil) {
				return
			}
			seq++
		}
	}
}

// Trim implements [Store].
func (m *Memory) Trim(_ context.Context, before uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before > m.base+1 {
		n := min(before-m.base-1, uint64(len(m.frames)))
		m.frames = slices.Delete(m.frames, 0, int(n))
		m.base += n
	}
	return nil
}

// Size is how many bytes the frames have.
func (m *Memory) Size() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := int64(0)
	for _, f := range m.frames {
		n += int64(len(f))
	}
	return n, nil
}

// Mark implements [Store].
func (m *Memory) Mark(context.Context) (Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark, nil
}

// SetMark implements [Store].
func (m *Memory) SetMark(_ context.Context, mark Mark, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mark = mark
	return nil
}

// Save implements [Store].
func (m *Memory) Save(_ context.Context, name string, blob []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blobs == nil {
		m.blobs = map[string][]byte{}
	}
	m.blobs[name] = bytes.Clone(blob)
	return nil
}

// Load implements [Store].
func (m *Memory) Load(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	blob, ok := m.blobs[name]
	if !ok {
		return nil, fmt.Errorf("snapshot %s: %w", name, ErrNotFound)
	}
	return bytes.Clone(blob), nil
}

// Close implements [Store]. The frames stay, for the next journal.
func (m *Memory) Close() error { return nil }
