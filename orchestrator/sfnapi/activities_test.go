package sfnapi

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// TestLastMoment gives a task to a worker that has just stopped waiting, while another
// one begins to wait: that one has it.
func TestLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewActivities(nil)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan bool)
		go func() {
			_, ok, _ := a.take(ctx, "work")
			first <- ok
		}()
		synctest.Wait()
		a.mu.Lock()
		cancel() // wakes the worker, which cannot say so yet
		q := a.queue("work")
		q.waiters[0] <- engine.Offer{Effect: "effect"}
		q.waiters = q.waiters[1:]
		a.tidy("work") // as at any Stop
		second := make(chan engine.Offer, 1)
		q = a.queue("work")
		q.waiters = append(q.waiters, second)
		a.mu.Unlock()
		if <-first {
			t.Fatal("the first worker has the task; want it gone by then")
		}
		if len(second) != 1 {
			t.Errorf("nobody has the task, and %d are in the queue; want it with the second worker", len(a.queue("work").tasks))
		}
	})
}
