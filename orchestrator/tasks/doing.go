package tasks

import (
	"context"
	"sync"
)

// A doing is the context in which one effect is done, until that is stopped. Most
// effects of a short task never ask whether they are: only then it becomes a context
// that its parent knows of.
type doing struct {
	context.Context // the parent

	mu      sync.Mutex
	asked   context.Context    // guarded by mu; nil: Done was not asked for
	cancel  context.CancelFunc // guarded by mu; of asked
	stopped bool               // guarded by mu
}

// stop ends it. It may be called again.
func (d *doing) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.cancel != nil {
		d.cancel()
	}
}

// Done implements [context.Context].
func (d *doing) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked == nil {
		d.asked, d.cancel = context.WithCancel(d.Context)
		if d.stopped {
			d.cancel()
		}
	}
	return d.asked.Done()
}

// Err implements [context.Context].
func (d *doing) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked != nil {
		return d.asked.Err()
	}
	if err := d.Context.Err(); err != nil || !d.stopped {
		return err
	}
	return context.Canceled
}

// Value implements [context.Context]: contexts that are made of this one find that
// which ends them.
func (d *doing) Value(key any) any {
	d.mu.Lock()
	asked := d.asked
	d.mu.Unlock()
	if asked != nil {
		return asked.Value(key)
	}
	return d.Context.Value(key)
}
