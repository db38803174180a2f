package controller_test

import (
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
)

// BenchmarkEvent is an event from its arrival to the decision about it, 64
// arriving at a time: one that wakes nobody, one that is decided, and a file
// that is profiled first.
func BenchmarkEvent(b *testing.B) {
	for name, event := range map[string]func(n int) anneal.Event{
		"unknown": ping("Unknown"),
		"decided": ping("Ping"),
		"file":    func(n int) anneal.Event { return fileEvent(n, false, time.Now().UTC()) },
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			b.ResetTimer()
			r.take(b.N, event)
			r.settle()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkVerify makes all decisions of a journal again.
func BenchmarkVerify(b *testing.B) {
	const events = 10_000
	r := newRig(b)
	r.take(events, ping("Ping"))
	r.settle()
	for b.Loop() {
		v, err := controller.Verify(b.Context(), r.journal)
		if err != nil || !v.Sound() || v.Decisions != events+1 {
			b.Fatalf("got %d decisions, sound %t, %v; want %d", v.Decisions, v.Sound(), err, events+1)
		}
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}
