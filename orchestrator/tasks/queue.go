package tasks

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A queue lets so many jobs run at a time; of those that wait, the one that
// was asked for first goes first.
type queue struct {
	mu      sync.Mutex
	free    int       // guarded by mu; negative while more run than may
	waiting []*ticket // guarded by mu; oldest first
}

type ticket struct {
	asked time.Time
	turn  chan struct{} // closed when it may run
}

func newQueue(n int) *queue { return &queue{free: n} }

// enter waits for a place. A job that runs already has one, whatever the
// number. An error is ctx's; without one, leave must be called.
func (q *queue) enter(ctx context.Context, asked time.Time, running bool) error {
	q.mu.Lock()
	if running || q.free > 0 && len(q.waiting) == 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	t := &ticket{asked: asked, turn: make(chan struct{})}
	i, _ := slices.BinarySearchFunc(q.waiting, t, func(a, b *ticket) int {
		if a.asked.After(b.asked) {
			return 1
		}
		return -1 // behind those of the same time
	})
	q.waiting = slices.Insert(q.waiting, i, t)
	q.mu.Unlock()

	select {
	case <-t.turn:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, t); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	} else { // its turn came at the same time
		q.free++
		q.next()
	}
	return ctx.Err()
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.next()
}

// next lets those go for whom there is a place. The caller holds mu.
func (q *queue) next() {
	for q.free > 0 && len(q.waiting) > 0 {
		close(q.waiting[0].turn)
		q.waiting = q.waiting[1:]
		q.free--
	}
}
