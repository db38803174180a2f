package sqs

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	api "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/sqs/sqstest"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// A world is a queue that S3 tells.
type world struct {
	*sqstest.Server
	url, group string
}

func (w *world) Source(t *testing.T) triggers.Source {
	return source(t, w.Server, Config{QueueURL: w.url, Consumers: 2, Visibility: 3 * time.Second})
}

func (w *world) Happen(t *testing.T, n int) string {
	key := fmt.Sprintf("training/%d.csv", n)
	w.Send(t, w.url, w.group, sqstest.Notification(key, n))
	return key
}

func TestContract(t *testing.T) {
	s := sqstest.New(t)
	t.Run("standard", func(t *testing.T) {
		triggertest.Test(t, func(t *testing.T) triggertest.World { return &world{s, s.Queue(t, false), ""} })
	})
	t.Run("fifo", func(t *testing.T) {
		triggertest.Test(t, func(t *testing.T) triggertest.World { return &world{s, s.Queue(t, true), "g"} })
	})
}

func TestQueue(t *testing.T) {
	s := sqstest.New(t)

	// One message may tell of several things, one thing may be told several
	// times, and what cannot be read is kept and does not come again.
	t.Run("messages", func(t *testing.T) {
		queue, sink := s.Queue(t, false), triggertest.NewSink()
		two := strings.Replace(sqstest.Notification("a", 1), `]}`, `,`+strings.TrimPrefix(sqstest.Notification("b", 2), `{"Records":[`), 1)
		bridge := `{"version":"0","id":"1","detail-type":"Object Created","source":"aws.s3","time":"2026-07-01T11:59:59Z","resources":["arn:aws:s3:::ml-data"],` +
			`"detail":{"bucket":{"name":"ml-data"},"object":{"key":"a","size":7,"etag":"e","sequencer":"0000000000000001"},"reason":"PutObject"}}`
		sns := fmt.Sprintf(`{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:us-east-1:123456789012:t","Message":%q}`, sqstest.Notification("b", 2))
		s.Send(t, queue, "", two, bridge, sns, "not JSON", `{"model":"churn"}`, `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}`)
		stop := triggertest.Run(t, func(ctx context.Context) error {
			return source(t, s, Config{QueueURL: queue}).Run(ctx, sink)
		})
		s.Empty(t, queue)
		stop()
		var got []string
		for _, e := range sink.Events() {
			triggertest.Check(t, e)
			got = append(got, strings.TrimSpace(e.Source+" "+e.Type+" "+e.Subject+" "+e.Parked))
		}
		slices.Sort(got)
		want := []string{
			"aws.s3 Object Created a", "aws.s3 Object Created b", "aws.sqs Message " + queue[strings.LastIndexByte(queue, '/')+1:],
			"aws.sqs Message " + queue[strings.LastIndexByte(queue, '/')+1:] + " body: byte 2: not JSON: invalid character 'o' in literal null (expecting 'u')",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if n := sink.Duplicates(); n != 2 {
			t.Errorf("%d duplicates; want 2: a by EventBridge and b by SNS", n)
		}
	})

	t.Run("more than a call takes", func(t *testing.T) {
		queue, sink := s.Queue(t, false), triggertest.NewSink()
		var bodies []string
		for n := range 500 {
			bodies = append(bodies, sqstest.Notification(fmt.Sprint(n), n))
			if n%20 == 0 { // 5 % are told twice
				bodies = append(bodies, sqstest.Notification(fmt.Sprint(n), n))
			}
		}
		s.Send(t, queue, "", bodies...)
		triggertest.Run(t, func(ctx context.Context) error { return source(t, s, Config{QueueURL: queue}).Run(ctx, sink) })
		s.Empty(t, queue)
		if got, again := len(sink.Events()), sink.Duplicates(); got != 500 || again != 25 {
			t.Errorf("%d events, %d duplicates; want 500 and 25", got, again)
		}
	})

	fifo := func(t *testing.T, sink *triggertest.Sink, all triggers.Sink) {
		queue := s.Queue(t, true)
		want := map[string][]string{}
		for n := range 60 {
			group := fmt.Sprintf("g%d", n%3)
			key := fmt.Sprintf("%s/%02d", group, n)
			want[group] = append(want[group], key)
			s.Send(t, queue, group, sqstest.Notification(key, n))
		}
		refuse := 0
		sink.Refuse = func(anneal.Event) error {
			if refuse++; refuse%7 == 0 {
				return errFull
			}
			return nil
		}
		triggertest.Run(t, func(ctx context.Context) error { return source(t, s, Config{QueueURL: queue}).Run(ctx, all) })
		s.Empty(t, queue)
		got := map[string][]string{}
		for _, e := range sink.Events() {
			group, _, _ := strings.Cut(e.Subject, "/")
			got[group] = append(got[group], e.Subject)
		}
		for group := range want {
			if !slices.Equal(got[group], want[group]) {
				t.Errorf("group %s came as %q; want %q", group, got[group], want[group])
			}
		}
	}
	t.Run("fifo keeps the order of a group", func(t *testing.T) {
		sink := triggertest.NewSink()
		fifo(t, sink, sink)
	})
	t.Run("fifo keeps the order of a group that is taken at once", func(t *testing.T) {
		sink := triggertest.NewSink()
		fifo(t, sink, &together{Sink: sink})
	})

	t.Run("a message that waits stays hidden", func(t *testing.T) {
		others := func() int { // how many somebody else gets within three times the visibility
			queue, sink := s.Queue(t, false), triggertest.NewSink()
			var full atomic.Bool
			full.Store(true)
			var tries atomic.Int32
			sink.Refuse = func(anneal.Event) error {
				if tries.Add(1); full.Load() {
					return errFull
				}
				return nil
			}
			s.Send(t, queue, "", sqstest.Notification("a", 1))
			stop := triggertest.Run(t, func(ctx context.Context) error {
				return source(t, s, Config{QueueURL: queue, Consumers: 1, Visibility: time.Second}).Run(ctx, sink)
			})
			defer stop()
			for tries.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			other, err := s.Client.ReceiveMessage(t.Context(), &api.ReceiveMessageInput{QueueUrl: &queue, WaitTimeSeconds: 3})
			if err != nil {
				t.Fatal(err)
			}
			full.Store(false)
			if len(other.Messages) == 0 {
				s.Empty(t, queue)
			}
			return len(other.Messages)
		}
		// A source that stands still for half a second cannot keep it hidden; always, it does not.
		for try := 1; others() > 0; try++ {
			if try == 5 {
				t.Fatal("somebody else got the message each time")
			}
		}
	})

	t.Run("no more is held than can be", func(t *testing.T) {
		queue := s.Queue(t, false)
		var bodies []string
		for n := range 150 {
			bodies = append(bodies, sqstest.Notification(fmt.Sprint(n), n))
		}
		s.Send(t, queue, "", bodies...)
		offered := make(chan string, len(bodies))
		stop := triggertest.Run(t, func(ctx context.Context) error {
			return source(t, s, Config{QueueURL: queue, Consumers: 2}).Run(ctx, waiting(offered))
		})
		seen := map[string]bool{}
		for len(seen) < 2*ahead*10 {
			select {
			case subject := <-offered:
				seen[subject] = true
			case <-time.After(2 * time.Minute):
				t.Fatalf("%d are offered; want 80", len(seen))
			}
		}
		stop()
		if len(offered) > 0 {
			t.Errorf("%d more than eight batches of ten are held", len(offered))
		}
		if n := s.Left(t, queue); n != 150 {
			t.Errorf("%d are left; want all 150, for none is durable", n)
		}
		// What was held is there again at once, and not when its visibility ends.
		sink := triggertest.NewSink()
		triggertest.Run(t, func(ctx context.Context) error { return source(t, s, Config{QueueURL: queue}).Run(ctx, sink) })
		s.Empty(t, queue)
	})
}

// together is a sink that takes several at once, and every third time does not.
type together struct {
	*triggertest.Sink
	times atomic.Int32
}

func (s *together) IngestAll(ctx context.Context, events []anneal.Event) (duplicates []int, err error) {
	if s.times.Add(1)%3 == 0 {
		return nil, errFull
	}
	for i, e := range events {
		for {
			_, duplicate, err := s.Ingest(ctx, e)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if duplicate {
				duplicates = append(duplicates, i)
			}
			if err == nil {
				break
			}
		}
	}
	return duplicates, nil
}

// waiting is a sink that takes nothing until it is stopped.
type waiting chan string

func (w waiting) Ingest(ctx context.Context, e anneal.Event) (anneal.Event, bool, error) {
	w <- e.Subject
	<-ctx.Done()
	return anneal.Event{}, false, ctx.Err()
}

func TestConfig(t *testing.T) {
	const real = "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads"
	for _, c := range []struct {
		cfg    Config
		region string
		want   string
	}{
		{Config{QueueURL: real}, "", ""},
		{Config{QueueURL: real}, "eu-central-1", ""},
		{Config{QueueURL: real}, "us-east-1", "region: us-east-1, and the queue is in eu-central-1 by its URL; want that"},
		{Config{QueueURL: "https://sqs.cn-north-1.amazonaws.com.cn/1/q"}, "", ""},
		{Config{QueueURL: "https://eu-west-1.queue.amazonaws.com/1/q"}, "", ""},
		{Config{QueueURL: "http://127.0.0.1:4566/000000000000/q"}, "", "region: is not known; set it here, or AWS_REGION"},
		{Config{QueueURL: "uploads"}, "", "queueURL: want the URL of a queue, such as " + real},
		{Config{QueueURL: "https://sqs.eu-central-1.amazonaws.com/"}, "", "queueURL: want the URL of a queue, such as " + real},
		{Config{QueueURL: real, Consumers: 33}, "", "consumers: 33; want 1 to 32"},
		{Config{QueueURL: real, Visibility: 1500 * time.Millisecond}, "", "visibility: 1.5s; want whole seconds, 1s to 12h"},
	} {
		with := sqstest.Account("")
		with.Region = c.region
		_, err := New(c.cfg, with, quiet)
		if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%+v in %q: %s; want %q", c.cfg, c.region, got, c.want)
		}
	}
	if _, err := url.Parse(real); err != nil || Region(real) != "eu-central-1" || Region("http://127.0.0.1/q") != "" {
		t.Errorf("regions %q and %q", Region(real), Region("http://127.0.0.1/q"))
	}
}
