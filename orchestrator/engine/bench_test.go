package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// BenchmarkTask is how many Task transitions a second are made durable on a
// real disk, by one execution and by many at once.
func BenchmarkTask(b *testing.B) {
	// Each turn is one Task.
	const definition = `{"StartAt": "A", "States": {
		"A": {"Type": "Task", "Resource": "` + invoke + `", "Next": "B"},
		"B": {"Type": "Task", "Resource": "` + invoke + `", "Next": "C"},
		"C": {"Type": "Task", "Resource": "` + invoke + `", "Next": "D"},
		"D": {"Type": "Task", "Resource": "` + invoke + `", "End": true}}}`
	for _, at := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d at once", at), func(b *testing.B) {
			j, err := file.OpenJournal(b.Context(), b.TempDir(), journal.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			e, err := New(b.Context(), Config{Journal: j, Tasks: &world{}}, nil)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error)
			go func() { ended <- e.Run(ctx) }()
			b.ResetTimer()
			names := make(chan string)
			var wg sync.WaitGroup
			for range at {
				wg.Go(func() {
					for name := range names {
						in := orchestrator.StartInput{Name: name, Machine: orchestrator.Machine{Name: "bench", Definition: []byte(definition)}}
						if _, err := e.Start(ctx, in); err != nil {
							b.Error(err)
						}
						if _, err := e.Wait(ctx, name); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				names <- fmt.Sprint("run-", i)
			}
			close(names)
			wg.Wait()
			b.ReportMetric(float64(4*b.N)/b.Elapsed().Seconds(), "tasks/s")
			cancel()
			<-ended
		})
	}
}

// BenchmarkTransition is what one Task transition takes of the processor, and how
// much it allocates, where a thousand chains of tasks that do nothing go on at once:
// an operation is one transition.
func BenchmarkTransition(b *testing.B) {
	const steps, at = 50, 1000
	var states strings.Builder
	for i := range steps {
		next := fmt.Sprintf(`"Next": "S%d"`, i+1)
		if i == steps-1 {
			next = `"End": true`
		}
		fmt.Fprintf(&states, `, "S%d": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:nothing", %s}`, i, next)
	}
	machine := orchestrator.Machine{Name: "bench", Definition: []byte(`{"StartAt": "S0", "States": {` + states.String()[1:] + `}}`)}
	j, err := file.OpenJournal(b.Context(), b.TempDir(), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	e, err := New(b.Context(), Config{Journal: j, Tasks: nothing{}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	execute := func(name string) {
		if _, err := e.Start(ctx, orchestrator.StartInput{Name: name, Machine: machine}); err != nil {
			b.Error(err)
		}
		if x, err := e.Wait(ctx, name); err != nil || x.Status != asl.StatusSucceeded {
			b.Errorf("%s: %s, %v; want SUCCEEDED", name, x.Status, err)
		}
	}
	execute("first") // the definition is parsed
	executions := (b.N + steps - 1) / steps
	names := make(chan string)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	for range min(at, executions) {
		wg.Go(func() {
			for name := range names {
				execute(name)
			}
		})
	}
	for i := range executions {
		names <- fmt.Sprint("run-", i)
	}
	close(names)
	wg.Wait()
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(executions*steps), "cpu-µs/op")
	cancel()
	<-ended
}

// processorTime is what this process has had of the processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// nothing are [Tasks] that answer what they are given, at once.
type nothing struct{}

func (nothing) Do(_ context.Context, e asl.Effect, _ bool, _ func(json.RawMessage)) (asl.Outcome, error) {
	return asl.Outcome{Output: e.Input}, nil
}
func (nothing) Stop(context.Context, string) {}
func (nothing) Check(asl.Resource) error     { return nil }
