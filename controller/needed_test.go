package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// waits are the records of an execution that waits for ever, as the engine makes
// them: its definition and two turns.
func waits(tb testing.TB) (records []journal.Record) {
	ctx, cancel := context.WithCancel(tb.Context())
	j, err := journal.Open(ctx, &journal.Memory{}, journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	defer j.Close()
	e, err := engine.New(ctx, engine.Config{Journal: j, Tasks: idle{}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	const definition = `{"StartAt": "Soon", "States": {"Soon": {"Type": "Wait", "Seconds": 1, "Next": "Late"}, "Late": {"Type": "Wait", "Seconds": 99999999, "End": true}}}`
	if _, err := e.Start(ctx, orchestrator.StartInput{Name: "x", Machine: orchestrator.Machine{Name: "m", Definition: []byte(definition)}, Input: []byte(`{}`)}); err != nil {
		tb.Fatal(err)
	}
	for r, err := range j.Read(ctx, 0, true) {
		if err != nil {
			tb.Fatal(err)
		}
		if records = append(records, r); len(records) == 3 {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		tb.Fatal(err)
	}
	return records
}

// appendWaiting has n executions wait in a journal, a few of which begin at a time.
func appendWaiting(tb testing.TB, j *journal.Journal, like []journal.Record, group string, n int) {
	const few = 4
	put := func(records ...journal.Record) uint64 {
		last, err := j.Append(tb.Context(), records...)
		if err != nil {
			tb.Fatal(err)
		}
		return last
	}
	previous := fmt.Appendf(nil, `"previous":%d`, like[1].Seq)
	for i := 0; i < n; i += few {
		var begun, gone []journal.Record
		for k := i; k < min(i+few, n); k++ {
			key := group + strconv.Itoa(k)
			begun = append(begun, journal.Record{Kind: like[1].Kind, Key: key, Data: like[1].Data},
				journal.Record{Kind: sfnapi.KindExecution, Key: key, Data: []byte(`{"name":"` + key + `"}`)})
			gone = append(gone, journal.Record{Kind: like[2].Kind, Key: key})
		}
		first := put(begun...) - uint64(len(begun)) + 1
		for k := range gone {
			gone[k].Data = bytes.Replace(like[2].Data, previous, fmt.Appendf(nil, `"previous":%d`, first+2*uint64(k)), 1)
		}
		put(gone...)
	}
}

// countingStore counts the frames that are read of it.
type countingStore struct {
	*journal.Memory
	frames int
}

func (s *countingStore) Read(ctx context.Context, from uint64, follow bool) iter.Seq2[journal.Frame, error] {
	return func(yield func(journal.Frame, error) bool) {
		for f, err := range s.Memory.Read(ctx, from, follow) {
			s.frames++
			if !yield(f, err) {
				return
			}
		}
	}
}

// A trim beside many open executions reads the journal some times, not a part of it for
// each of them; all that they rest on stays.
func TestTrimBesideOpenExecutions(t *testing.T) {
	const many = 400
	var like []journal.Record
	synctest.Test(t, func(t *testing.T) { like = waits(t) })
	store := &countingStore{Memory: &journal.Memory{}}
	j, err := journal.Open(t.Context(), store, journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	event := func(n int) uint64 {
		data := text(ping("Ping")(n))
		last, err := j.Append(t.Context(), journal.Record{Kind: controller.KindEvent, Key: strconv.Itoa(n), Data: []byte(data)},
			journal.Record{Kind: controller.KindTaken, Data: fmt.Appendf(nil, `{"upTo":%d}`, j.Last()+1)})
		if err != nil {
			t.Fatal(err)
		}
		return last - 1
	}
	event(0)
	if _, err := j.Append(t.Context(), like[0]); err != nil {
		t.Fatal(err)
	}
	var cuts []uint64
	for i, group := range []string{"old", "middle", "young"} {
		appendWaiting(t, j, like, group, many)
		cuts = append(cuts, event(1+i))
	}
	want := standing(t, j)
	if n := len(want); n < 3*many {
		t.Fatalf("%d things are in use, want each execution's history", n)
	}
	frames := 3 * 2 * many / 4
	for _, before := range cuts[:2] {
		store.frames = 0
		if gone, err := controller.Cut(t.Context(), j, before, time.Now()); err != nil || len(gone) > 0 {
			t.Fatalf("cut before %d: %v, and %d executions are gone that are open", before, err, len(gone))
		}
		if store.frames > 8*frames {
			t.Errorf("the cut before %d has read %d frames of the %d in the journal, want each a few times", before, store.frames, frames)
		}
		if diff := cmp.Diff(want, standing(t, j)); diff != "" {
			t.Fatalf("after the cut before %d: %s", before, diff)
		}
		for _, group := range []string{"old", "middle", "young"} {
			for i := range many {
				if _, err := j.Find(t.Context(), sfnapi.KindExecution, group+strconv.Itoa(i)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// BenchmarkTrim is a trim beside a hundred thousand open executions, half of which are
// old; then one of which nearly all are.
func BenchmarkTrim(b *testing.B) {
	const many = 100_000
	like := waits(b)
	for b.Loop() {
		b.StopTimer()
		j, err := file.OpenJournal(b.Context(), b.TempDir(), journal.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := j.Append(b.Context(), like[0]); err != nil {
			b.Fatal(err)
		}
		appendWaiting(b, j, like, "old", many/2)
		half := j.Last() + 1
		appendWaiting(b, j, like, "young", many/2)
		most := j.Last() + 1
		if _, err := controller.Recover(b.Context(), j); err != nil { // and keep it
			b.Fatal(err)
		}
		b.StartTimer()
		for _, before := range []uint64{half, most} {
			used := processorTime()
			if _, err := controller.Cut(b.Context(), j, before, time.Now()); err != nil {
				b.Fatal(err)
			}
			name := map[uint64]string{half: "half", most: "all"}[before]
			b.ReportMetric((processorTime() - used).Seconds(), "cpu-s-"+name)
		}
		b.StopTimer()
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
