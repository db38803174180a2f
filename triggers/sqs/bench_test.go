package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
	"github.com/anneal-ml/anneal/triggers/sqs/sqstest"
)

const (
	benchMessages = 4000 // of 1 KiB, a round
	benchRounds   = 5
	benchGoal     = 0.4 // of what the bare loop does
)

// BenchmarkQueue empties a full queue in turns: by a loop that only receives and
// deletes, and by a source with every event in a journal on the disk. Both have
// four workers. Of the rounds of each the middle one counts: the machine may be
// shared, and the server now and then keeps a message back until its visibility
// ends, from either.
func BenchmarkQueue(b *testing.B) {
	s := sqstest.New(b)
	fill := func() string {
		queue := s.Queue(b, false)
		var bodies []string
		for n := range benchMessages {
			bodies = append(bodies, sqstest.Notification(fmt.Sprintf("%d-%s", n, strings.Repeat("x", 600)), n))
		}
		s.Send(b, queue, "", bodies...)
		return queue
	}
	var bare, durable []time.Duration
	for b.Loop() {
		for range benchRounds {
			for _, way := range []struct {
				took  *[]time.Duration
				empty func(*testing.B, *sqstest.Server, string)
			}{{&bare, func(b *testing.B, s *sqstest.Server, queue string) { s.Drain(b, queue, benchMessages) }}, {&durable, emptyDurable}} {
				queue := fill()
				began := time.Now()
				way.empty(b, s, queue)
				*way.took = append(*way.took, time.Since(began))
			}
		}
	}
	rate := func(took []time.Duration) float64 {
		slices.Sort(took)
		return benchMessages / took[len(took)/2].Seconds()
	}
	b.ReportMetric(rate(bare), "bare/s")
	b.ReportMetric(rate(durable), "durable/s")
	b.ReportMetric(rate(durable)/rate(bare), "of-bare")
	b.ReportMetric(rate(durable)/rate(bare)/benchGoal, "of-goal")
}

func emptyDurable(b *testing.B, s *sqstest.Server, queue string) {
	j, err := file.OpenJournal(b.Context(), b.TempDir(), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	source, err := New(Config{QueueURL: queue}, sqstest.Account(s.URL), quiet)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	sink := &recorder{journal: j, done: cancel}
	sink.left.Store(benchMessages)
	if err := source.Run(ctx, sink); err != nil {
		b.Fatal(err)
	}
}

// A recorder is a sink that records as the controller does.
type recorder struct {
	journal *journal.Journal
	left    atomic.Int64
	done    func()
}

func (r *recorder) Ingest(ctx context.Context, e anneal.Event) (anneal.Event, bool, error) {
	duplicates, err := r.IngestAll(ctx, []anneal.Event{e})
	return e, len(duplicates) > 0, err
}

func (r *recorder) IngestAll(ctx context.Context, events []anneal.Event) (duplicates []int, err error) {
	var records []journal.Record
	for i, e := range events {
		if _, err := r.journal.Find(ctx, "event", e.ID); err == nil {
			duplicates = append(duplicates, i)
			continue
		} else if !errors.Is(err, journal.ErrNotFound) {
			return nil, err
		}
		data, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		records = append(records, journal.Record{Kind: "event", Key: e.ID, Data: data})
	}
	if len(records) == 0 {
		return duplicates, nil
	}
	if _, err := r.journal.Append(ctx, records...); err != nil {
		return nil, err
	}
	if r.left.Add(-int64(len(records))) == 0 {
		r.done()
	}
	return duplicates, nil
}
