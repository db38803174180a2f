package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
)

const benchMessages = 4000 // of 1 KiB

// BenchmarkQueue empties a full queue: by a loop that only receives and deletes,
// and by a source with every event in a journal on the disk. Both have four
// workers.
func BenchmarkQueue(b *testing.B) {
	s := newServer(b)
	fill := func(b *testing.B) string {
		queue := s.queue(b, false)
		var bodies []string
		for n := range benchMessages {
			body := notification(fmt.Sprintf("%d-%s", n, strings.Repeat("x", 600)), n)
			bodies = append(bodies, body)
		}
		s.send(b, queue, "", bodies...)
		return queue
	}
	each := func(name string, empty func(b *testing.B, queue string)) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				queue := fill(b)
				b.StartTimer()
				empty(b, queue)
			}
			b.ReportMetric(float64(benchMessages*b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
	each("bare", func(b *testing.B, queue string) {
		var left atomic.Int64
		left.Store(benchMessages)
		client := api.NewFromConfig(account(s.url))
		var workers sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for left.Load() > 0 {
					out, err := client.ReceiveMessage(b.Context(), &api.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
					if err != nil {
						b.Error(err)
						return
					}
					in := &api.DeleteMessageBatchInput{QueueUrl: &queue}
					for _, m := range out.Messages {
						in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(len(in.Entries))), ReceiptHandle: m.ReceiptHandle})
					}
					if len(in.Entries) == 0 {
						continue
					}
					if _, err := client.DeleteMessageBatch(b.Context(), in); err != nil {
						b.Error(err)
						return
					}
					left.Add(-int64(len(in.Entries)))
				}
			})
		}
		workers.Wait()
	})
	each("durable", func(b *testing.B, queue string) {
		j, err := file.OpenJournal(b.Context(), b.TempDir(), journal.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer j.Close()
		source, err := New(Config{QueueURL: queue}, account(s.url), quiet)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		sink := &recorder{journal: j, done: cancel}
		sink.left.Store(benchMessages)
		if err := source.Run(ctx, sink); err != nil {
			b.Fatal(err)
		}
	})
}

// A recorder is a sink that records as the controller does.
type recorder struct {
	journal *journal.Journal
	left    atomic.Int64
	done    func()
}

func (r *recorder) Ingest(ctx context.Context, e anneal.Event) (anneal.Event, bool, error) {
	if _, err := r.journal.Find(ctx, "event", e.ID); !errors.Is(err, journal.ErrNotFound) {
		return e, err == nil, err
	}
	data, err := json.Marshal(e)
	if err != nil {
		return e, false, err
	}
	if _, err := r.journal.Append(ctx, journal.Record{Kind: "event", Key: e.ID, Data: data}); err != nil {
		return e, false, err
	}
	if r.left.Add(-1) == 0 {
		r.done()
	}
	return e, false, nil
}
