package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
	"github.com/anneal-ml/anneal/orchestrator"
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
