package eventbridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/notify/notifytest"
)

// A wire answers as EventBridge does over JSON 1.1, from what it is told.
//
// Source: the EventBridge API reference, PutEvents.
type wire struct {
	mu    sync.Mutex
	wrong string            // guarded by mu; "status code message" of a whole call
	fail  map[string]string // guarded by mu; subject to the code with which its entry fails
	took  []entry           // guarded by mu; entries that did not fail
	calls []int             // guarded by mu; how many entries each had
	hold  chan struct{}     // if set, a call waits for it
}

type entry struct {
	Source, DetailType, Detail, EventBusName string
	Resources                                []string
	Time                                     float64
}

func (e entry) event(t *testing.T) notify.Event {
	t.Helper()
	var event notify.Event
	if err := json.Unmarshal([]byte(e.Detail), &event); err != nil {
		t.Errorf("the detail is not an event: %v", err)
	}
	return event
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if w.hold != nil {
		<-w.hold
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out.Header().Set("Content-Type", "application/x-amz-json-1.1")
	var in struct{ Entries []entry }
	err := json.Unmarshal(body, &in)
	w.calls = append(w.calls, len(in.Entries))
	wrong := w.wrong
	switch {
	case r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" || err != nil || len(in.Entries) == 0 || len(in.Entries) > 10:
		wrong = fmt.Sprintf("400 ValidationException %d entries, %v", len(in.Entries), err)
	case len(body) > 300<<10:
		wrong = "400 ValidationException too large"
	}
	if wrong != "" {
		var status int
		var code string
		fmt.Sscan(wrong, &status, &code)
		_, message, _ := strings.Cut(wrong, code+" ")
		out.WriteHeader(status)
		json.NewEncoder(out).Encode(map[string]string{"__type": code, "message": message})
		return
	}
	failed, answers := 0, []any{}
	for _, e := range in.Entries {
		var event notify.Event
		json.Unmarshal([]byte(e.Detail), &event)
		if code := w.fail[event.Subject]; code != "" {
			failed++
			answers = append(answers, map[string]string{"ErrorCode": code, "ErrorMessage": "its text"})
			continue
		}
		w.took = append(w.took, e)
		answers = append(answers, map[string]string{"EventId": fmt.Sprint(len(w.took))})
	}
	json.NewEncoder(out).Encode(map[string]any{"FailedEntryCount": failed, "Entries": answers})
}

func (w *wire) set(wrong string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = wrong
}

func newWire(t *testing.T) (*wire, *Channel) {
	t.Helper()
	w := &wire{}
	site := httptest.NewServer(w)
	t.Cleanup(site.Close)
	return w, newChannel(t, site.URL, "ml")
}

func newChannel(t *testing.T, endpoint, bus string) *Channel {
	t.Helper()
	c, err := New(Config{Bus: bus}, aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type recipient struct {
	*wire
	channel *Channel
}

func (r recipient) Channel() notify.Channel { return r.channel }

func (r recipient) Told(t *testing.T) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []string
	for _, e := range r.took {
		event := e.event(t)
		told = append(told, event.Subject+"\n"+event.Text)
	}
	return told
}

func TestContract(t *testing.T) {
	notifytest.Test(t, func(t *testing.T) notifytest.Recipient {
		w, c := newWire(t)
		return recipient{w, c}
	})
}

var at = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// What is put, by the kind of notice.
func TestEvents(t *testing.T) {
	w, c := newWire(t)
	run := anneal.Run{ID: "p-1", Policy: "p", Model: "churn", Decision: "p-1", Started: at, Status: anneal.StatusRunning, ExecutionARN: "arn:aws:states:us-east-1:123456789012:execution:p:p-1"}
	previous := &anneal.Model{Group: "churn", Version: 1}
	for _, n := range []anneal.Notice{
		notify.Decided("bus", anneal.Decision{ID: "p-1", Policy: "p", Model: "churn", Cause: "e-1", At: at, Verdict: anneal.VerdictHold, Rule: "r", Reason: "guard cooldown: 5h left"}),
		notify.Started("bus", run),
		notify.Promoted("bus", "p", anneal.Model{Group: "churn", Version: 2, Run: "p-1", StageAt: at, Metrics: map[string]float64{"accuracy": 0.9}}, previous),
		notify.Parked("bus", anneal.Event{ID: "e", Source: "aws.s3", Seen: at, Parked: "no key"}),
	} {
		if err := c.Notify(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range w.took {
		event := e.event(t)
		got = append(got, fmt.Sprintf("%s %s on %s about %v: %s %s %s run %s %s version %d was %d", e.Source, e.DetailType, e.EventBusName, e.Resources, event.Policy, event.Verdict, event.Reason, event.Run, event.Status, event.Version, event.Previous))
		if event.ID == "" || e.Time != float64(at.Unix()) {
			t.Errorf("event %q at %v; want an ID, and %v", event.ID, e.Time, at.Unix())
		}
	}
	want := []string{
		"anneal Anneal Decision on ml about []: p hold guard cooldown: 5h left run   version 0 was 0",
		"anneal Anneal Run Status Change on ml about [arn:aws:states:us-east-1:123456789012:execution:p:p-1]: p   run p-1 RUNNING version 0 was 0",
		"anneal Anneal Model Promoted on ml about []: p   run p-1  version 2 was 1",
		"anneal Anneal Event Parked on ml about []:    run   version 0 was 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What comes together goes together, ten a call, and only what failed has failed.
func TestPartialFailure(t *testing.T) {
	w, c := newWire(t)
	w.hold = make(chan struct{})
	w.fail = map[string]string{"busy": "ThrottlingException", "bad": "MalformedDetail"}
	outcomes := map[string]chan error{}
	tell := func(subject string) {
		outcome := make(chan error, 1)
		outcomes[subject] = outcome
		go func() { outcome <- c.Notify(t.Context(), notify.Message("bus", subject, subject, "", at)) }()
	}
	tell("first") // holds the wire while the others gather
	eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.sending && len(c.waiting) == 0 })
	for n := range 20 {
		tell(fmt.Sprint("good ", n))
	}
	tell("busy")
	tell("bad")
	eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.waiting) == 22 })
	close(w.hold)
	for subject, outcome := range outcomes {
		err := <-outcome
		refusal, _ := errors.AsType[*notify.Refusal](err)
		switch subject {
		case "busy":
			if refusal == nil || refusal.Final || err.Error() != "ThrottlingException: AWS asks for fewer requests: they are made fewer" {
				t.Errorf("busy: %+v; want that AWS asks for fewer requests, not final", err)
			}
		case "bad":
			if refusal == nil || !refusal.Final {
				t.Errorf("bad: %+v; want a final refusal", err)
			}
		default:
			if err != nil {
				t.Errorf("%s: %v", subject, err)
			}
		}
	}
	if want := []int{1, 10, 10, 2}; !slices.Equal(w.calls, want) {
		t.Errorf("calls of %v entries; want %v", w.calls, want)
	}
	w.mu.Lock()
	w.fail = nil
	w.mu.Unlock()
	if err := c.Notify(t.Context(), notify.Message("bus", "busy", "busy", "", at)); err != nil {
		t.Errorf("busy again: %v", err)
	}
	if len(w.took) != 22 || c.Condition() != "" {
		t.Errorf("%d events are on the bus, condition %q; want 22, each once, and none", len(w.took), c.Condition())
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited two minutes in vain")
		}
	}
}

// What AWS refuses is one line with the remedy; what another try may mend is not
// final, shows as long as it goes on, and is over when it is over.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		answer, want string
		final        bool
	}{
		{"400 AccessDeniedException no", "AccessDeniedException: grant the role events:PutEvents on the event bus ml", false},
		{"400 ResourceNotFoundException no", "ResourceNotFoundException: there is no such bus in us-east-1: make it, or correct bus and region", false},
		{"400 ThrottlingException slow", "ThrottlingException: AWS asks for fewer requests: they are made fewer", false},
		{"403 ExpiredTokenException old", "ExpiredTokenException: the credentials have expired: renew them; they are read again at each try", false},
		{"500 InternalException oh", "InternalException: EventBridge has a fault of its own: it is tried again", false},
		{"400 ValidationException odd", "ValidationException: odd", true},
	} {
		t.Run(strings.Fields(c.answer)[1], func(t *testing.T) {
			w, channel := newWire(t)
			w.set(c.answer)
			notice := notify.Message("bus", "effect", "hello", "", at)
			err := channel.Notify(t.Context(), notice)
			refusal, _ := errors.AsType[*notify.Refusal](err)
			if refusal == nil || refusal.Error() != c.want || refusal.Final != c.final || fmt.Sprint(refusal.Status) != c.answer[:3] {
				t.Errorf("got %+v; want %q, final %v", refusal, c.want, c.final)
			}
			if got := channel.Condition(); got != c.want {
				t.Errorf("condition %q; want %q", got, c.want)
			}
			w.set("")
			if err := channel.Notify(t.Context(), notice); err != nil || channel.Condition() != "" {
				t.Errorf("afterwards: error %v, condition %q; want none", err, channel.Condition())
			}
		})
	}
	gone := newChannel(t, "http://127.0.0.1:1", "ml")
	if err, want := gone.Notify(t.Context(), notify.Message("bus", "e", "s", "", at)), "EventBridge in us-east-1 cannot be reached (connection refused): check network and endpoint"; err == nil || err.Error() != want {
		t.Errorf("a bus that is away: %v; want %q", err, want)
	}
}

// An event is never larger than EventBridge takes, nor is a call.
func TestLarge(t *testing.T) {
	w, c := newWire(t)
	var all sync.WaitGroup
	for n := range 5 {
		all.Go(func() {
			text := strings.Repeat("ü\x01", 200_000)
			if err := c.Notify(t.Context(), notify.Message("bus", fmt.Sprint(n), "large", text, at)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, e := range w.took {
		if event := e.event(t); len(e.Detail) > 256<<10 || len(event.Text) < 10_000 || !strings.HasSuffix(event.Text, "…") {
			t.Errorf("a detail of %d bytes with a text of %d; want at most 256 KiB, and … after what is left", len(e.Detail), len(event.Text))
		}
	}
}

func TestConfig(t *testing.T) {
	const arn = "arn:aws:events:eu-central-1:123456789012:event-bus/ml"
	for _, c := range []struct{ bus, region, want string }{
		{"", "us-east-1", ""},
		{"ml", "us-east-1", ""},
		{arn, "", ""},
		{"a b", "us-east-1", "bus: want the name of an event bus, or its ARN such as " + arn},
		{"ml", "", "region: is not known; set it here, or AWS_REGION"},
		{arn, "us-east-1", "region: us-east-1, and the bus is in eu-central-1 by its ARN; want that"},
	} {
		got := ""
		if _, err := New(Config{Bus: c.bus}, aws.Config{Region: c.region}, slog.New(slog.DiscardHandler)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("bus %q in %q: %q; want %q", c.bus, c.region, got, c.want)
		}
	}
}

// Told once, and once more when it is over, whoever else is waiting.
func TestConditionIsToldOnce(t *testing.T) {
	w, _ := newWire(t)
	site := httptest.NewServer(w)
	defer site.Close()
	var log bytes.Buffer
	c, err := New(Config{}, aws.Config{Region: "us-east-1", BaseEndpoint: &site.URL, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.set("400 AccessDeniedException no")
	for range 3 {
		if c.Notify(context.Background(), notify.Message("bus", "e", "s", "", at)) == nil {
			t.Error("a bus that refuses took a notice")
		}
	}
	w.set("")
	if err := c.Notify(context.Background(), notify.Message("bus", "e", "s", "", at)); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines of log; want 2:\n%s", n, &log)
	}
	if got := w.took[0].EventBusName; got != "default" {
		t.Errorf("bus %q; want default", got)
	}
}
