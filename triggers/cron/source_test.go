package cron

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

var quiet = slog.New(slog.DiscardHandler)

func never(*Schedule) (time.Time, bool) { return time.Time{}, false }

func since(t time.Time) func(*Schedule) (time.Time, bool) {
	return func(*Schedule) (time.Time, bool) { return t, true }
}

func source(t *testing.T, last func(*Schedule) (time.Time, bool), schedules ...*Schedule) *Source {
	t.Helper()
	s, err := New(Config{Schedules: schedules, Last: last}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a source until stop is called.
func run(t *testing.T, s *Source, sink triggers.Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx, sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() { cancel(); running.Wait() }
}

func TestEvent(t *testing.T) {
	s := parse(t, Entry{Cron: "30 2 * * *", Zone: zone(t, "Europe/Berlin")})
	midnight := time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)
	tick, _ := s.next(midnight, midnight.AddDate(0, 0, 1))
	now := tick.At.Add(5 * time.Second)
	e := s.Event(tick, now)
	triggertest.Check(t, e)
	want := anneal.Event{
		SpecVersion: "1.0", ID: anneal.ID("event", "anneal.cron", "churn", "nightly", "2026-03-29T01:30:00Z"),
		Source: "anneal.cron", Type: "Scheduled Event", Subject: "churn",
		Time: time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC), DataContentType: "application/json",
		Data: []byte(`{"policy":"churn","trigger":"nightly","cron":"30 2 * * *","timeZone":"Europe/Berlin","local":"2026-03-29T03:30:00+02:00","shift":"moved"}`),
		Seen: now,
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if again := s.Event(tick, now.Add(time.Hour)); again.ID != e.ID {
		t.Errorf("told again, the tick is %s; was %s", again.ID, e.ID)
	}

	if at, ok := s.Told(e); !ok || !at.Equal(tick.At) {
		t.Errorf("Told: %s, %v; want the tick", at, ok)
	}
	for _, other := range []Entry{
		{Policy: "fraud", Trigger: "nightly", Cron: "30 2 * * *", Zone: zone(t, "Europe/Berlin")},
		{Policy: "churn", Trigger: "daily", Cron: "30 2 * * *", Zone: zone(t, "Europe/Berlin")},
		{Policy: "churn", Trigger: "nightly", Cron: "30 3 * * *", Zone: zone(t, "Europe/Berlin")},
		{Policy: "churn", Trigger: "nightly", Cron: "30 2 * * *", Zone: zone(t, "Europe/Paris")},
	} {
		if _, ok := parse(t, other).Told(e); ok {
			t.Errorf("%+v takes the tick of another schedule for its own", other)
		}
	}
	e.Source = "elsewhere"
	if _, ok := s.Told(e); ok {
		t.Error("an event of another source is taken for a tick")
	}
}

func TestSourceOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC() // 2000-01-01 00:00
		hourly := parse(t, Entry{Policy: "b", Trigger: "t", Cron: "0 * * * *"})
		spread := parse(t, Entry{Policy: "c", Trigger: "t", Cron: "0 * * * *", Jitter: 30 * time.Minute})
		daily := parse(t, Entry{Policy: "a", Trigger: "t", Cron: "0 2 * * *"})
		sink := triggertest.NewSink()
		stop := run(t, source(t, never, hourly, spread, daily), sink)
		time.Sleep(3*time.Hour + 35*time.Minute)
		stop()
		var got []string
		for _, e := range sink.Events() {
			late := e.Seen.Sub(e.Time)
			if e.Subject == "c" {
				if want := spread.jitter(e.Time); late != want {
					t.Errorf("tick of %s came %s later; want its jitter, %s", e.Time, late, want)
				}
				continue
			}
			if late != 0 {
				t.Errorf("tick of %s came %s later; want at once", e.Time, late)
			}
			got = append(got, e.Subject+" "+e.Time.Format("15:04"))
		}
		// None for midnight: a schedule that was never seen starts now.
		if diff := cmp.Diff([]string{"b 01:00", "a 02:00", "b 02:00", "b 03:00"}, got); diff != "" {
			t.Errorf("since %s (-want +got):\n%s", start, diff)
		}
		if n := len(sink.Events()); n != 7 {
			t.Errorf("%d events; want 7, three of them with jitter", n)
		}
	})
}

func TestSourceCatchesUp(t *testing.T) {
	for catchUp, want := range map[CatchUp]string{
		None:   "02:00",
		Latest: "00:00 02:00",
		All:    "22:00 00:00 02:00",
	} {
		t.Run(string(catchUp), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				s := parse(t, Entry{Cron: "0 */2 * * *", CatchUp: catchUp, Max: 2})
				sink := triggertest.NewSink()
				stop := run(t, source(t, since(time.Now().Add(-7*time.Hour)), s), sink)
				time.Sleep(90 * time.Minute)
				stop()
				var got []string
				for _, e := range sink.Events() {
					got = append(got, e.Time.Format("15:04"))
				}
				if strings.Join(got, " ") != want {
					t.Errorf("got %s; want %s", got, want)
				}
			})
		})
	}
}

// A tick that the sink refuses is given until it is taken, and what came due
// meanwhile comes after it.
func TestSourceRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := triggertest.NewSink()
		full := time.Now().Add(2*time.Hour + 30*time.Minute)
		sink.Refuse = func(anneal.Event) error {
			if time.Now().Before(full) {
				return errors.New("no space left on device")
			}
			return nil
		}
		stop := run(t, source(t, never, parse(t, Entry{Cron: "0 * * * *", CatchUp: All})), sink)
		time.Sleep(3*time.Hour + time.Minute)
		stop()
		var got []string
		for _, e := range sink.Events() {
			got = append(got, e.Time.Format("15:04"))
		}
		if diff := cmp.Diff([]string{"01:00", "02:00", "03:00"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := sink.Duplicates(); n != 0 {
			t.Errorf("%d ticks came twice", n)
		}
	})
}

// A clock that can be set.
type clock struct {
	mu     sync.Mutex
	offset time.Duration // guarded by mu
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += by
}

// The machine sleeps, or somebody sets its clock: the source knows no more of it
// than that the time is another at its next look.
func TestClockSet(t *testing.T) {
	for _, test := range []struct {
		name    string
		catchUp CatchUp
		by      time.Duration // at 00:30; one more hour follows
		want    string        // ticks of the hours
	}{
		{"sleep of a minute over no tick", None, time.Minute, "01:00"},
		{"sleep over three ticks", None, 3 * time.Hour, "04:00"},
		{"sleep over three ticks, latest", Latest, 3 * time.Hour, "03:00 04:00"},
		{"sleep over three ticks, all", All, 3 * time.Hour, "01:00 02:00 03:00 04:00"},
		{"sleep up to just after a tick", None, 30*time.Minute + 10*time.Second, "01:00"},
		{"back before the start", None, -2 * time.Hour, "23:00"},
		{"back by a little", None, -30 * time.Second, "01:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c clock
				s := source(t, never, parse(t, Entry{Cron: "0 * * * *", CatchUp: test.catchUp}))
				s.now = c.now
				sink := triggertest.NewSink()
				stop := run(t, s, sink)
				time.Sleep(30*time.Minute - time.Second)
				c.set(test.by)
				time.Sleep(59 * time.Minute)
				stop()
				var got []string
				for _, e := range sink.Events() {
					got = append(got, e.Time.Format("15:04"))
				}
				if strings.Join(got, " ") != test.want {
					t.Errorf("got %s; want %s", got, test.want)
				}
			})
		})
	}

	t.Run("back after ticks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var c clock
			s := source(t, never, parse(t, Entry{Cron: "0 * * * *"}))
			s.now = c.now
			sink := triggertest.NewSink()
			stop := run(t, s, sink)
			time.Sleep(2*time.Hour + 10*time.Minute)
			c.set(-90 * time.Minute) // 00:40
			time.Sleep(3 * time.Hour)
			stop()
			// 01:00 and 02:00 come again and are known; 03:00 is new.
			if events, again := len(sink.Events()), sink.Duplicates(); events != 3 || again != 2 {
				t.Errorf("%d events, %d came again; want 3 and 2", events, again)
			}
		})
	})

	t.Run("the journal is of the future", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var buf bytes.Buffer
			s, err := New(Config{
				Schedules: []*Schedule{parse(t, Entry{Cron: "0 * * * *", CatchUp: All})},
				Last:      since(time.Now().AddDate(10, 0, 0)),
			}, slog.New(slog.NewTextHandler(&buf, nil)))
			if err != nil {
				t.Fatal(err)
			}
			sink := triggertest.NewSink()
			stop := run(t, s, sink)
			time.Sleep(90 * time.Minute)
			stop()
			if n := len(sink.Events()); n != 1 {
				t.Errorf("%d ticks in 90 minutes; want 1", n)
			}
			if n := strings.Count(buf.String(), "clock is behind"); n != 1 {
				t.Errorf("the log tells of it %d times; want once:\n%s", n, &buf)
			}
		})
	})
}

// The source sleeps when there is nothing to do, and looks at the clock often
// enough to notice that the machine did too.
func TestSourceSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		s := source(t, since(time.Unix(0, 0)), parse(t, Entry{Cron: "0 0 29 2 *"}))
		s.now = func() time.Time { looks++; return time.Now() }
		stop := run(t, s, triggertest.NewSink())
		time.Sleep(time.Hour)
		stop()
		if looks < 120 || looks > 400 {
			t.Errorf("the clock was read %d times in an hour; want a few times every 30s", looks)
		}
	})
}

func TestNew(t *testing.T) {
	s := parse(t, Entry{Cron: "0 * * * *"})
	if _, err := New(Config{Schedules: []*Schedule{s, s}, Last: never}, quiet); err == nil || !strings.Contains(err.Error(), "two schedules of the trigger nightly") {
		t.Errorf("one trigger twice: got error %v", err)
	}
}

// A world of schedules that have one tick each, a minute apart, and a clock
// that is set to it when it happens.
type world struct {
	start     time.Time
	clock     clock
	schedules []*Schedule
}

func newWorld(t *testing.T) triggertest.World {
	w := &world{start: time.Now().UTC().Truncate(time.Minute)}
	for n := range 5 {
		at := w.start.Add(time.Duration(n) * time.Hour)
		w.schedules = append(w.schedules, parse(t, Entry{
			Policy: fmt.Sprint("policy-", n), Trigger: "yearly", CatchUp: All,
			Cron: fmt.Sprintf("%d %d %d %d *", at.Minute(), at.Hour(), at.Day(), at.Month()),
		}))
	}
	return w
}

func (w *world) Source(t *testing.T) triggers.Source {
	t.Helper()
	s := source(t, since(w.start), w.schedules...)
	s.now, s.lookEvery = w.clock.now, time.Millisecond
	return s
}

func (w *world) Happen(t *testing.T, n int) string {
	t.Helper()
	w.clock.set(w.start.Add(time.Duration(n) * time.Hour).Sub(w.clock.now()))
	return fmt.Sprint("policy-", n)
}

func TestContract(t *testing.T) { triggertest.Test(t, newWorld) }
