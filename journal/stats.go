package journal

import (
	"slices"
	"sync"
	"time"
)

// Stats are figures of a journal, since it was opened.
type Stats struct {
	First, Last uint64    // records
	Records     uint64    // appended
	Frames      uint64    // written; each is one sync
	Bytes       int64     // that the store takes now; -1 if it cannot tell
	Commits     Histogram // how long a frame took to be written and synced
}

// A Histogram counts durations.
type Histogram struct {
	Bounds []float64 // upper, in seconds
	Counts []uint64  // one for each bound, and one for what is longer
	Sum    float64   // seconds
}

// commitBounds go from a disk with a battery to one that is about to fail, in
// seconds.
var commitBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5}

// sized is a store that knows how many bytes it takes.
type sized interface {
	Size() (int64, error)
}

// Stats returns the journal's figures. It may be called at any time.
func (j *Journal) Stats() Stats {
	s := Stats{First: j.First(), Last: j.Last(), Bytes: -1}
	if store, ok := j.store.(sized); ok {
		if n, err := store.Size(); err == nil {
			s.Bytes = n
		}
	}
	j.meter.mu.Lock()
	defer j.meter.mu.Unlock()
	s.Records, s.Frames = j.meter.records, j.meter.frames
	s.Commits = Histogram{commitBounds, slices.Clone(j.meter.counts[:]), j.meter.seconds}
	return s
}

// A meter counts what is appended.
type meter struct {
	mu      sync.Mutex
	records uint64     // guarded by mu
	frames  uint64     // guarded by mu
	counts  [15]uint64 // guarded by mu; frames, by commitBounds
	seconds float64    // guarded by mu
}

// frame counts a frame that took so long.
func (m *meter) frame(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frames++
	m.seconds += took.Seconds()
	i, _ := slices.BinarySearch(commitBounds, took.Seconds())
	m.counts[i]++
}

func (m *meter) batch(records int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records += uint64(records)
}
