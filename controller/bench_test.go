package controller_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/policy"
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

// fleetSize is how many policies each event of [BenchmarkFleet] is matched
// against.
const fleetSize = 10_000

// fleet is that many policies, each woken by what lies under a prefix of its own,
// and [watch]. An Order is decided on, a Draft gathered.
func fleet(tb testing.TB) []*policy.Policy {
	tb.Helper()
	var compiler policy.Compiler
	policies := []*policy.Policy{watch(tb)}
	for n := range fleetSize {
		match := fmt.Sprintf("event.data.key.startsWith('p/%d/') && event.data.rows > 0", n)
		p, problems := compiler.Compile(policy.Spec{
			APIVersion: policy.APIVersion,
			Kind:       policy.Kind,
			Metadata:   policy.Metadata{Name: fmt.Sprintf("p-%d", n)},
			Spec: policy.Body{
				Model:   policy.Model{Group: fmt.Sprintf("g-%d", n)},
				Signals: map[string]policy.Signal{"rows": {Source: policy.SourceData, Reduce: policy.ReduceRows}},
				Triggers: []policy.Trigger{
					{ID: "order", Event: &policy.Match{Type: "Order", Match: match}},
					{ID: "draft", Event: &policy.Match{Type: "Draft", Match: match}, Debounce: &policy.Debounce{
						Quiet: policy.Duration(15 * time.Minute), MaxWait: policy.Duration(2 * time.Hour),
					}},
				},
				Rules: []policy.Rule{{ID: "many", If: "signals.rows.value >= 1e9"}},
			},
		})
		if len(problems) > 0 {
			tb.Fatal(problems)
		}
		policies = append(policies, p)
	}
	return policies
}

// order is event number n of that type, for one of the fleet.
func order(kind string) func(n int) anneal.Event {
	return func(n int) anneal.Event {
		e := ping(kind)(n)
		e.Data = json.RawMessage(fmt.Sprintf(`{"key":"p/%d/batch-%d.csv","rows":%d}`, n*7919%fleetSize, n, n+1))
		return e
	}
}

// BenchmarkFleet is, with a goal of 10,000 events/s, [BenchmarkEvent] with each event matched against 10,000
// policies, one of which it wakes, and which decides or gathers it.
func BenchmarkFleet(b *testing.B) {
	policies := fleet(b)
	for _, kind := range []string{"Draft", "Order"} {
		b.Run(kind, func(b *testing.B) {
			r := newRigOf(b, policies...)
			r.settle() // the policies are in the journal
			b.ResetTimer()
			used := processorTime()
			r.take(b.N, order(kind))
			r.settle()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/10_000, "of-goal")
			// What a busy machine does not change much.
			b.ReportMetric(float64((processorTime()-used).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkLatency is how long an event waits for its verdict to be in the
// journal, with 10,000 policies and a goal of 20 ms for 99 of 100: a thousand events a second come, whether those
// before them are decided or not.
func BenchmarkLatency(b *testing.B) {
	const each = time.Millisecond
	r := newRigOf(b, fleet(b)...)
	r.settle()
	from := r.Status().Record
	var took []time.Duration
	b.ResetTimer()
	var senders sync.WaitGroup
	start := time.Now()
	senders.Go(func() {
		for record, err := range r.journal.Read(b.Context(), from+1, true) {
			if err != nil {
				b.Error(err)
				return
			}
			if record.Kind != controller.KindDecision {
				continue
			}
			var d anneal.Decision
			if err := json.Unmarshal(record.Data, &d); err != nil {
				b.Error(err)
				return
			}
			if took = append(took, time.Since(d.At)); len(took) == b.N {
				return
			}
		}
	})
	for n := range b.N {
		at := start.Add(time.Duration(n) * each)
		time.Sleep(time.Until(at))
		senders.Go(func() {
			e := order("Order")(n)
			e.Seen = at.UTC()
			if _, _, err := r.Ingest(b.Context(), e); err != nil {
				b.Error(err)
			}
		})
	}
	senders.Wait()
	slices.Sort(took)
	for _, percent := range []int{50, 99} {
		b.ReportMetric(took[(len(took)-1)*percent/100].Seconds()*1e3, fmt.Sprintf("p%d-ms", percent))
	}
	b.ReportMetric(20e-3/took[(len(took)-1)*99/100].Seconds(), "of-goal")
}

// BenchmarkGeneration has 10,000 policies take over: from none, and with one of
// them changed.
func BenchmarkGeneration(b *testing.B) {
	policies := fleet(b)
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			r := newRig(b)
			if err := r.Load(b.Context(), controller.Generation{Policies: policies}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one-changed", func(b *testing.B) {
		r := newRigOf(b, policies...)
		r.settle()
		next := slices.Clone(policies)
		for n := 0; b.Loop(); n++ {
			spec := policies[1].Spec
			spec.Spec.Rules = []policy.Rule{{ID: "many", If: fmt.Sprintf("signals.rows.value >= %d", n)}}
			p := compiled(b, spec)
			next[1] = p
			if err := r.Load(b.Context(), controller.Generation{Policies: next}); err != nil {
				b.Fatal(err)
			}
		}
	})
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
