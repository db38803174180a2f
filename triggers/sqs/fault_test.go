package sqs

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	api "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/sqs/sqstest"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// faulty is a source whose polls are short, and which waits so long for an answer.
func faulty(t *testing.T, endpoint, queue string, answer time.Duration, log io.Writer) *Source {
	t.Helper()
	with := sqstest.Account(endpoint)
	with.RetryMaxAttempts = 1
	s, err := New(Config{QueueURL: queue, Consumers: 1, Visibility: 2 * time.Second}, with, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.poll, s.transport.ResponseHeaderTimeout = time.Second, answer
	return s
}

// A queue that is deleted under a source is named, and is followed again when it
// has been made again.
func TestRemade(t *testing.T) {
	server := sqstest.New(t)
	queue := server.Make(t, "uploads", nil)
	var log bytes.Buffer
	s, sink := faulty(t, server.URL, queue, time.Minute, &log), triggertest.NewSink()
	stop := triggertest.Run(t, func(ctx context.Context) error { return s.Run(ctx, sink) })
	server.Send(t, queue, "", sqstest.Notification("before", 1))
	sink.Wait(t, "before")
	if _, err := server.Client.DeleteQueue(t.Context(), &api.DeleteQueueInput{QueueUrl: &queue}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the condition", func() bool { return s.Condition() != "" })
	if got, want := s.Condition(), "there is no such queue in us-east-1: make it, or correct queueURL and region"; !strings.HasSuffix(got, want) {
		t.Errorf("condition %q; want %q at its end", got, want)
	}
	server.Send(t, server.Make(t, "uploads", nil), "", sqstest.Notification("after", 2))
	sink.Wait(t, "after")
	eventually(t, "the condition to be over", func() bool { return s.Condition() == "" })
	stop()
	for _, line := range []string{"aws does not work", "aws works again"} {
		if n := strings.Count(log.String(), line+`" `) + strings.Count(log.String(), line+`, trying again`); n != 1 {
			t.Errorf("the log says %d times %q; want once:\n%s", n, line, &log)
		}
	}
}

// A connection whose other end has gone without a word is given up, and what it
// had brought is not lost.
func TestHalfOpen(t *testing.T) {
	server := sqstest.New(t)
	queue := server.Make(t, "uploads", nil)
	p := newSwallower(t, strings.TrimPrefix(server.URL, "http://"))
	var log bytes.Buffer
	s, sink := faulty(t, "http://"+p.address, queue, 2*time.Second, &log), triggertest.NewSink()
	stop := triggertest.Run(t, func(ctx context.Context) error { return s.Run(ctx, sink) })
	server.Send(t, queue, "", sqstest.Notification("before", 1))
	sink.Wait(t, "before")

	p.swallows.Store(true)
	// It may be handed out on a connection that does not bring it any more.
	server.Send(t, queue, "", sqstest.Notification("meanwhile", 2))
	eventually(t, "the condition", func() bool { return s.Condition() != "" })
	if got, want := s.Condition(), "no answer in time: check the network, proxy and endpoint of SQS in us-east-1"; !strings.Contains(got, want) {
		t.Errorf("condition %q; want %q", got, want)
	}
	p.swallows.Store(false)
	sink.Wait(t, "meanwhile")
	eventually(t, "the condition to be over", func() bool { return s.Condition() == "" })
	server.Empty(t, queue)
	stop()
}

// A swallower passes bytes on to a server, and none while it swallows. What it
// has swallowed is gone: the connection stays open and silent for good.
type swallower struct {
	address  string
	swallows atomic.Bool
}

func newSwallower(t *testing.T, to string) *swallower {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &swallower{address: l.Addr().String()}
	var open sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	t.Cleanup(func() { end(); l.Close(); open.Wait() })
	pass := func(to, from net.Conn, silent *atomic.Bool) {
		b := make([]byte, 64<<10)
		for {
			n, err := from.Read(b)
			if p.swallows.Load() {
				silent.Store(true)
			}
			if !silent.Load() {
				to.Write(b[:n])
			}
			if err != nil {
				if !silent.Load() {
					to.Close()
				}
				return
			}
		}
	}
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			var silent atomic.Bool
			context.AfterFunc(ended, func() { client.Close(); server.Close() })
			open.Go(func() { pass(server, client, &silent) })
			open.Go(func() { pass(client, server, &silent) })
		}
	})
	return p
}

// A message that is never taken goes where the queue's redrive policy says, and
// none that is taken, or parked, does.
func TestDeadLetters(t *testing.T) {
	server := sqstest.New(t)
	dead := server.Make(t, "dead", nil)
	queue := server.Make(t, "uploads", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"2"}`,
	})
	var refused atomic.Int32
	sink := triggertest.NewSink()
	sink.Refuse = func(e anneal.Event) error {
		if e.Subject == "refused" {
			refused.Add(1)
			return errFull
		}
		return nil
	}
	follow := func() (stop func()) {
		return triggertest.Run(t, func(ctx context.Context) error {
			return source(t, server, Config{QueueURL: queue, Visibility: time.Second}).Run(ctx, sink)
		})
	}
	server.Send(t, queue, "", sqstest.Notification("refused", 1), sqstest.Notification("taken", 2), "not JSON")
	// Not stopped before the other two are taken: those would be received again, too.
	taken := func() bool { return len(sink.Events()) == 2 }
	gone := func() bool { return server.Left(t, dead) > 0 }
	for !gone() { // each is one receive of it, or more: the server gives it to polls that have ended too
		before := refused.Load()
		stop := follow()
		eventually(t, "a refusal", func() bool { return refused.Load() > before && taken() || gone() })
		stop()
	}
	if n := refused.Load(); n == 0 {
		t.Error("what is in the dead-letter queue was never tried")
	}
	follow()
	sink.Wait(t, "taken")
	sink.Wait(t, "uploads")
	server.Empty(t, queue)
	out, err := server.Client.ReceiveMessage(t.Context(), &api.ReceiveMessageInput{QueueUrl: &dead, MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Messages) != 1 {
		t.Errorf("the dead-letter queue has %d messages; want one", len(out.Messages))
	}
	for _, m := range out.Messages {
		if !strings.Contains(*m.Body, `"refused"`) {
			t.Errorf("the dead-letter queue has %s", *m.Body)
		}
	}
	for _, e := range sink.Events() {
		if parked := e.Parked != ""; parked != (e.Subject == "uploads") {
			t.Errorf("event of %s is parked for %q", e.Subject, e.Parked)
		}
	}
}
