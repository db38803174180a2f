package sqs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/sqs/sqstest"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// A wire answers as SQS does over JSON 1.0, from what it is told.
//
// Source: the SQS API reference, "Making Query API requests using AWS JSON
// protocol".
type wire struct {
	mu      sync.Mutex
	wrong   map[string]string // guarded by mu; action to "status code message"
	bodies  []string          // guarded by mu; not received yet
	hidden  int               // guarded by mu; received and not deleted
	fail    int               // guarded by mu; entries of a batch of deletes that fail first
	actions map[string]int    // guarded by mu; how often each was asked for
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	io.Copy(io.Discard, http.MaxBytesReader(out, r.Body, 1<<20))
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	w.actions[action]++
	out.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if wrong := w.wrong[action]; wrong != "" {
		var status int
		var code string
		fmt.Sscan(wrong, &status, &code)
		_, message, _ := strings.Cut(wrong, code+" ")
		out.Header().Set("x-amzn-RequestId", fmt.Sprint(w.actions[action]))
		out.WriteHeader(status)
		json.NewEncoder(out).Encode(map[string]string{"__type": "com.amazonaws.sqs#" + code, "message": message})
		return
	}
	switch action {
	case "ReceiveMessage":
		messages := []any{}
		for ; len(w.bodies) > 0 && len(messages) < 10; w.bodies = w.bodies[1:] {
			w.hidden++
			messages = append(messages, map[string]any{"MessageId": fmt.Sprint(w.hidden), "ReceiptHandle": fmt.Sprint(w.hidden), "Body": w.bodies[0]})
		}
		if len(messages) == 0 {
			w.mu.Unlock()
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond): // a short long poll
			}
			w.mu.Lock()
		}
		json.NewEncoder(out).Encode(map[string]any{"Messages": messages})
	case "DeleteMessageBatch":
		failed, done := []any{}, []any{}
		for i := range w.hidden {
			if w.fail > 0 {
				w.fail--
				failed = append(failed, map[string]any{"Id": fmt.Sprint(i), "SenderFault": false, "Code": "InternalError"})
			} else {
				done = append(done, map[string]any{"Id": fmt.Sprint(i)})
			}
		}
		w.hidden = len(failed)
		json.NewEncoder(out).Encode(map[string]any{"Failed": failed, "Successful": done})
	default:
		json.NewEncoder(out).Encode(map[string]any{"Failed": []any{}, "Successful": []any{}})
	}
}

func (w *wire) set(action, wrong string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong[action] = wrong
}

// eventually waits for what is to become of something.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

func newWire(t *testing.T) (*wire, string) {
	w := &wire{wrong: map[string]string{}, actions: map[string]int{}}
	site := httptest.NewServer(w)
	t.Cleanup(site.Close)
	return w, site.URL
}

// What AWS refuses is one line with a remedy, told once, and over when it is
// over.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ answer, want string }{
		{"400 QueueDoesNotExist The specified queue does not exist.", "QueueDoesNotExist: there is no such queue in us-east-1: make it, or correct queueURL and region"},
		{"403 AccessDeniedException User is not authorized", "AccessDeniedException: grant the role sqs:ReceiveMessage on the queue uploads"},
		{"400 InvalidAddress The address is not valid for this endpoint.", "InvalidAddress: the queue is not in us-east-1: correct queueURL or region"},
		{"403 ExpiredToken The security token included in the request is expired", "ExpiredToken: the credentials have expired: renew them; they are read again at each try"},
		{"403 InvalidClientTokenId The security token included in the request is invalid.", "InvalidClientTokenId: the credentials are not known to AWS: correct them"},
		{"403 SignatureDoesNotMatch Signature expired", "SignatureDoesNotMatch: the signature is not accepted: set the clock, or correct the secret key"},
		{"400 KmsAccessDenied The caller does not have the required KMS access.", "KmsAccessDenied: grant the role kms:Decrypt on the key of the queue uploads"},
		{"400 ThrottlingException Rate exceeded", "ThrottlingException: AWS asks for fewer requests: they are made fewer"},
		{"400 SomethingNew Nobody knows", "SomethingNew: Nobody knows"},
	} {
		t.Run(strings.Fields(c.answer)[1], func(t *testing.T) {
			w, url := newWire(t)
			w.wrong["ReceiveMessage"] = c.answer
			w.bodies = []string{sqstest.Notification("a", 1)}
			var log bytes.Buffer
			with := sqstest.Account(url)
			with.RetryMaxAttempts = 1
			// One consumer: of two that ask at the same time one may hear that it
			// works, and the other that it did not a moment before.
			s, err := New(Config{QueueURL: url + "/123456789012/uploads", Consumers: 1}, with, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			sink := triggertest.NewSink()
			stop := triggertest.Run(t, func(ctx context.Context) error { return s.Run(ctx, sink) })
			eventually(t, "the condition", func() bool { return s.Condition() != "" })
			if got := s.Condition(); got != c.want {
				t.Errorf("condition %q; want %q", got, c.want)
			}
			w.set("ReceiveMessage", "")
			sink.Wait(t, "a")
			eventually(t, "the condition to be over", func() bool { return s.Condition() == "" })
			stop()
			if n, m := strings.Count(log.String(), "aws does not work"), strings.Count(log.String(), "aws works again"); n != 1 || m != 1 {
				t.Errorf("the log tells %d times that it does not work, %d times that it does; want once each:\n%s", n, m, &log)
			}
		})
	}
}

// A server that is away is named too.
func TestUnreachable(t *testing.T) {
	const gone = "http://127.0.0.1:1"
	s := newSource(t, gone, gone)
	triggertest.Run(t, func(ctx context.Context) error { return s.Run(ctx, triggertest.NewSink()) })
	eventually(t, "the condition", func() bool { return s.Condition() != "" })
	if got, want := s.Condition(), "SQS in us-east-1 cannot be reached (connection refused): check network and endpoint"; got != want {
		t.Errorf("condition %q; want %q", got, want)
	}
}

func newSource(t *testing.T, endpoint, url string) *Source {
	t.Helper()
	with := sqstest.Account(endpoint)
	with.RetryMaxAttempts = 1
	s, err := New(Config{QueueURL: url + "/123456789012/uploads", Consumers: 1}, with, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What could not be deleted is deleted again, and what may not be is told of.
func TestDelete(t *testing.T) {
	w, url := newWire(t)
	w.fail = 2
	for n := range 4 {
		w.bodies = append(w.bodies, sqstest.Notification(fmt.Sprint(n), n))
	}
	s, sink := newSource(t, url, url), triggertest.NewSink()
	triggertest.Run(t, func(ctx context.Context) error { return s.Run(ctx, sink) })
	deletes := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.hidden > 0 || len(w.bodies) > 0 {
			return 0
		}
		return w.actions["DeleteMessageBatch"]
	}
	eventually(t, "all to be deleted", func() bool { return deletes() == 2 })
	w.set("DeleteMessageBatch", "403 AccessDenied no")
	w.mu.Lock()
	w.bodies = []string{sqstest.Notification("more", 9)}
	w.mu.Unlock()
	eventually(t, "the condition", func() bool { return s.Condition() != "" })
	if got, want := s.Condition(), "AccessDenied: grant the role sqs:DeleteMessage on the queue uploads"; got != want {
		t.Errorf("condition %q; want %q", got, want)
	}
	if n := len(sink.Events()); n != 5 {
		t.Errorf("%d events; want 5", n)
	}
}

// What is durable when the context ends is deleted, and what is not is given
// back.
func TestStop(t *testing.T) {
	w, url := newWire(t)
	w.bodies = []string{sqstest.Notification("a", 1), sqstest.Notification("b", 2)}
	s, sink := newSource(t, url, url), triggertest.NewSink()
	sink.Refuse = func(e anneal.Event) error {
		if e.Subject == "b" {
			return errFull
		}
		return nil
	}
	stop := triggertest.Run(t, func(ctx context.Context) error { return s.Run(ctx, sink) })
	sink.Wait(t, "a")
	stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.actions["DeleteMessageBatch"] != 1 || w.actions["ChangeMessageVisibilityBatch"] != 1 {
		t.Errorf("asked for %v; want one DeleteMessageBatch and one ChangeMessageVisibilityBatch", w.actions)
	}
}
