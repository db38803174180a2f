package controller

import (
	"context"
	"sync"

	"github.com/anneal-ml/anneal/journal"
)

// forgotten knows the events that were trimmed and must still be recognised.
// Its zero value reads them from the journal's checkpoint when it is first asked.
type forgotten struct {
	mu     sync.Mutex
	loaded bool                        // guarded by mu
	ids    map[[hashSize]byte]struct{} // guarded by mu
}

// has says whether the event with this ID was trimmed a short while ago.
func (f *forgotten) has(ctx context.Context, j *journal.Journal, id string) (bool, error) {
	f.mu.Lock()
	loaded := f.loaded
	f.mu.Unlock()
	if !loaded {
		c, _, err := loadCheckpoint(ctx, j)
		if err != nil {
			return false, err
		}
		f.mu.Lock()
		if !f.loaded {
			f.fill(c.Forgotten)
		}
		f.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.ids[hashOf(id)]
	return ok, nil
}

// set replaces them by those of a new checkpoint.
func (f *forgotten) set(days []forgottenDay) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fill(days)
}

// fill is set. f.mu is held.
func (f *forgotten) fill(days []forgottenDay) {
	f.loaded, f.ids = true, map[[hashSize]byte]struct{}{}
	for _, d := range days {
		for ids := d.IDs; len(ids) >= hashSize; ids = ids[hashSize:] {
			f.ids[[hashSize]byte(ids)] = struct{}{}
		}
	}
}
