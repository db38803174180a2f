// Package triggertest is the contract of [triggers.Source]: what every source
// must keep, whatever transport it follows.
//
// A source's test describes the outside world as a [World] and calls [Test].
package triggertest

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
)

// patience is how long a source may take for what it does. It is only ever
// waited out by a source that fails.
const patience = 2 * time.Minute

// A World is an outside that sources can follow.
type World interface {
	// Source returns a new source that follows this outside, as one that is
	// made after a restart does. One runs at a time.
	Source(t *testing.T) triggers.Source

	// Happen makes the nth thing happen outside, n being 1, 2, 3, …, and
	// returns the subject of its event.
	Happen(t *testing.T, n int) (subject string)
}

// Test runs the contract, each part of it in a new world.
func Test(t *testing.T, world func(t *testing.T) World) {
	t.Run("tells what happens", func(t *testing.T) {
		w, sink := world(t), NewSink()
		before := w.Happen(t, 1)
		stop := start(t, w, sink)
		event := sink.Wait(t, before)
		Check(t, event)
		for n := 2; n <= 4; n++ {
			Check(t, sink.Wait(t, w.Happen(t, n)))
		}
		stop()
		if got := len(sink.Events()); got != 4 {
			t.Errorf("4 things happened; got %d events: %s", got, subjects(sink.Events()))
		}
	})

	t.Run("tells again what was not durable", func(t *testing.T) {
		w, sink := world(t), NewSink()
		refused := 0
		sink.Refuse = func(anneal.Event) error {
			if refused++; refused <= 2 {
				return errors.New("no space left on device")
			}
			return nil
		}
		stop := start(t, w, sink)
		sink.Wait(t, w.Happen(t, 1))
		stop()
		if refused < 3 {
			t.Errorf("event is durable after %d tries; want the third", refused)
		}
	})

	t.Run("has nothing acknowledged that was not durable", func(t *testing.T) {
		w, sink := world(t), NewSink()
		tried := make(chan struct{}, 1)
		sink.Refuse = func(anneal.Event) error {
			select {
			case tried <- struct{}{}:
			default:
			}
			return errors.New("no space left on device")
		}
		stop := start(t, w, sink)
		subject := w.Happen(t, 1)
		wait(t, tried, "the first try")
		stop() // a crash, as far as the outside can tell

		sink = NewSink()
		stop = start(t, w, sink)
		sink.Wait(t, subject)
		stop()
	})

	t.Run("gives what is told again the same ID", func(t *testing.T) {
		w, first := world(t), NewSink()
		stop := start(t, w, first)
		subject := w.Happen(t, 1)
		before := first.Wait(t, subject)
		stop()

		// Whether an acknowledged event comes again is the transport's
		// business; if it does, it is known.
		second := NewSink()
		stop = start(t, w, second)
		second.Wait(t, w.Happen(t, 2))
		stop()
		for _, e := range second.Events() {
			if e.Subject == subject && e.ID != before.ID {
				t.Errorf("event of %s was %s, is %s", subject, before.ID, e.ID)
			}
		}
	})

	t.Run("stops while the sink waits", func(t *testing.T) {
		w := world(t)
		sink := stuck(make(chan struct{}, 1))
		stop := start(t, w, sink)
		w.Happen(t, 1)
		wait(t, sink, "an event")
		stop()
	})

	t.Run("stops when there is nothing to do", func(t *testing.T) {
		start(t, world(t), NewSink())()
	})
}

// start runs a source; stop ends it, and checks that it ended well and left
// nothing behind.
func start(t *testing.T, w World, sink triggers.Sink) (stop func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	source := w.Source(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx, sink) }()
	return func() {
		t.Helper()
		cancel()
		if err := wait(t, ended, "Run to return"); err != nil {
			t.Errorf("Run returned %v after its context ended; want nil", err)
		}
		// A goroutine may be on its last instruction when Run returns.
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Fatalf("%d goroutines before Run, %d after:\n%s", before, runtime.NumGoroutine(), stacks)
			}
		}
	}
}

// Run runs a source until stop is called, or the test is over: it has to end well when
// its context does.
func Run(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Errorf("Run has not ended %s after its context", patience)
		}
	})
	t.Cleanup(stop)
	return stop
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("unreachable")
	}
}

// Check checks that an event is a whole one.
func Check(t *testing.T, e anneal.Event) {
	t.Helper()
	for field, value := range map[string]string{"ID": e.ID, "Source": e.Source, "Type": e.Type} {
		if value == "" {
			t.Errorf("event has no %s: %+v", field, e)
		}
	}
	if e.SpecVersion != "1.0" {
		t.Errorf("event has SpecVersion %q; want 1.0", e.SpecVersion)
	}
	if e.Time.IsZero() || e.Seen.IsZero() || e.Seen.Location() != time.UTC {
		t.Errorf("event has Time %v and Seen %v; want both, in UTC", e.Time, e.Seen)
	}
	if e.Data != nil && !json.Valid(e.Data) {
		t.Errorf("event has Data %q; want JSON", e.Data)
	}
}

// A Sink is a [triggers.Sink] in memory.
type Sink struct {
	// Refuse, if set, says why an event is not taken. It is called by one
	// goroutine at a time.
	Refuse func(anneal.Event) error

	mu      sync.Mutex
	events  []anneal.Event // guarded by mu; each once, in order
	known   map[string]int // guarded by mu; ID to index
	again   int            // guarded by mu; duplicates
	changed chan struct{}  // guarded by mu; closed at the next event
}

// NewSink returns an empty sink.
func NewSink() *Sink {
	return &Sink{known: make(map[string]int), changed: make(chan struct{})}
}

// Ingest takes an event in.
func (s *Sink) Ingest(ctx context.Context, e anneal.Event) (anneal.Event, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return anneal.Event{}, false, err
	}
	if s.Refuse != nil {
		if err := s.Refuse(e); err != nil {
			return anneal.Event{}, false, err
		}
	}
	if i, ok := s.known[e.ID]; ok {
		s.again++
		return s.events[i], true, nil
	}
	s.known[e.ID] = len(s.events)
	s.events = append(s.events, e)
	close(s.changed)
	s.changed = make(chan struct{})
	return e, false, nil
}

// Events are the events so far, each once, in the order they came.
func (s *Sink) Events() []anneal.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]anneal.Event(nil), s.events...)
}

// Duplicates is how often an event came that was there already.
func (s *Sink) Duplicates() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again
}

// Wait waits for the first event with a subject.
func (s *Sink) Wait(t *testing.T, subject string) anneal.Event {
	t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		changed := s.changed
		for _, e := range s.events {
			if e.Subject == subject {
				s.mu.Unlock()
				return e
			}
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited %s for the event of %s; have %s", patience, subject, subjects(s.Events()))
		}
	}
}

func subjects(events []anneal.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Subject)
	}
	return strings.Join(all, ", ")
}

// stuck is a sink that never answers, and tells when it is asked.
type stuck chan struct{}

func (s stuck) Ingest(ctx context.Context, _ anneal.Event) (anneal.Event, bool, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return anneal.Event{}, false, ctx.Err()
}
