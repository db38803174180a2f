package sfnapi

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
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

// TestQueue offers, withdraws, takes and gives back tasks at random: the oldest that is
// still there is taken first, each once, and nothing is kept of those that are not.
func TestQueue(t *testing.T) {
	const activity = "arn:aws:states:us-east-1:123456789012:activity:work"
	gone, stop := context.WithCancel(t.Context())
	stop() // takes what there is, and does not wait
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		a := NewActivities(nil)
		var there []engine.Offer // the oldest first
		put := func(o engine.Offer) {
			at, _ := slices.BinarySearchFunc(there, o.Record+1, func(o engine.Offer, record uint64) int { return cmp.Compare(o.Record, record) })
			there = slices.Insert(there, at, o)
			o.Activity = activity
			a.Offer(o)
		}
		for i := range 2000 {
			switch n := r.IntN(10); {
			case n < 5:
				// Not in the order in which they were asked for, and some in one record.
				put(engine.Offer{Execution: "x", Effect: fmt.Sprint(i), Record: uint64(i + r.IntN(20))})
			case n < 7 && len(there) > 0:
				at := r.IntN(len(there))
				a.Withdraw(there[at].Effect, there[at].Record)
				a.Withdraw(there[at].Effect, there[at].Record)
				there = slices.Delete(there, at, at+1)
			case n < 9 || i > 1800:
				o, ok, err := a.take(gone, "work")
				if err != nil || ok != (len(there) > 0) || ok && o != there[0] {
					t.Fatalf("seed %d, step %d: %+v, %t, %v is taken; want the first of %+v", seed, i, o, ok, err, there)
				}
				if ok {
					there = there[1:]
				}
				if ok && n == 8 {
					put(o)
				}
			}
			if kept := len(a.queue("work").tasks); kept > 2*len(there)+1 {
				t.Fatalf("seed %d, step %d: %d tasks are kept for the %d that are there", seed, i, kept, len(there))
			}
			a.tidy("work")
		}
		for _, o := range there {
			a.Withdraw(o.Effect, o.Record)
		}
		if len(a.queues) > 0 {
			t.Errorf("seed %d: a queue is kept in which nothing is left", seed)
		}
	}
}
