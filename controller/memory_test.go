package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
)

// A rig is a controller that runs over a journal in a folder, with one policy
// in mode observe that events of type Ping and dropped files wake.
type rig struct {
	tb      testing.TB
	journal *journal.Journal
	*controller.Controller
	next int // number of the next event
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	return newRigOf(tb, watch(tb))
}

// watch is that policy.
func watch(tb testing.TB) *policy.Policy {
	tb.Helper()
	return compiled(tb, policy.Spec{
		APIVersion: policy.APIVersion,
		Kind:       policy.Kind,
		Metadata:   policy.Metadata{Name: "watch"},
		Spec: policy.Body{
			Model: policy.Model{Group: "g"},
			Data:  policy.Data{Target: "y", Train: policy.Train{Last: 6}},
			Signals: map[string]policy.Signal{
				"rows": {Source: policy.SourceData, Reduce: policy.ReduceRows},
			},
			Triggers: []policy.Trigger{
				{ID: "ping", Event: &policy.Match{Type: "Ping", Match: "event.data.n >= 0"}},
				{ID: "file", Event: &policy.Match{Type: anneal.TypeObjectCreated}},
			},
			Rules: []policy.Rule{{ID: "many", If: "signals.rows.value >= 1e9"}},
		},
	})
}

// newRigOf has these policies.
func newRigOf(tb testing.TB, policies ...*policy.Policy) *rig {
	tb.Helper()
	j, err := file.OpenJournal(tb.Context(), tb.TempDir(), journal.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { j.Close() })
	recovery, err := controller.Recover(tb.Context(), j)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{tb: tb, journal: j, Controller: controller.New(controller.Config{
		Journal: j, Log: slog.New(slog.DiscardHandler), Generation: controller.Generation{Policies: policies}, Profile: profileRows,
		Executors: map[string]orchestrator.Executor{policy.ExecutorEmbedded: idleExecutor{tb: tb}},
	}, recovery.State)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	return r
}

// take has n events taken in by 64 who wait for each to be durable.
func (r *rig) take(n int, event func(n int) anneal.Event) {
	var senders sync.WaitGroup
	numbers := make(chan int)
	for range 64 {
		senders.Go(func() {
			for n := range numbers {
				if _, _, err := r.Ingest(r.tb.Context(), event(n)); err != nil {
					r.tb.Error(err)
				}
			}
		})
	}
	for range n {
		numbers <- r.next
		r.next++
	}
	close(numbers)
	senders.Wait()
}

// settle returns when everything that was taken in is decided: a policy
// decides in the order its events came.
func (r *rig) settle() {
	r.tb.Helper()
	if _, err := r.Trigger(r.tb.Context(), "watch", nil, false); err != nil {
		r.tb.Fatal(err)
	}
}

func ping(kind string) func(n int) anneal.Event {
	return func(n int) anneal.Event {
		now := time.Now().UTC()
		return anneal.Event{
			SpecVersion: "1.0", ID: anneal.ID("event", kind, strconv.Itoa(n)), Source: "test", Type: kind,
			Time: now, Seen: now, DataContentType: "application/json", Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
		}
	}
}

// profileRows profiles twenty rows under any name.
func profileRows(ctx context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
	var rows strings.Builder
	rows.WriteString("x,y,z\n")
	for i := range 20 {
		fmt.Fprintf(&rows, "%d,%d,%d\n", i, i%2, i*i%11)
	}
	return profile.Build(ctx, strings.NewReader(rows.String()), o.URI, opt)
}

// heap is how many bytes are live.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryIsLevel has more and more events come, every other one of which is
// decided: what is remembered must not grow with them.
func TestMemoryIsLevel(t *testing.T) {
	begin, more := 5_000, 45_000
	if testing.Short() || raceDetector {
		more = 10_000
	}
	decided, unknown := ping("Ping"), ping("Unknown")
	event := func(n int) anneal.Event {
		if n%2 == 0 {
			return decided(n)
		}
		return unknown(n)
	}
	r := newRig(t)
	r.take(begin, event)
	r.settle()
	before := heap()
	r.take(more, event)
	r.settle()
	// An ID kept for each event would be more than 60 bytes, and a record some
	// hundreds.
	grown, bound := heap()-before, int64(2<<20)
	if grown > bound {
		t.Errorf("%d events left %d bytes in memory, want at most %d", more, grown, bound)
	}
	t.Logf("%d events left %d bytes", more, grown)
}
