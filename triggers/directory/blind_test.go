package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// blind runs a source that the system tells nothing, in virtual time.
func (in *inbox) blind(t *testing.T, sink *triggertest.Sink) (stop func()) {
	t.Helper()
	s, err := New(Config{Path: in.path, Cache: in.cache}, slog.New(slog.NewTextHandler(&in.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.run(ctx, sink, nil); close(ended) }()
	return func() { cancel(); <-ended }
}

// What the system does not tell is found by the look at the whole folder.
func TestBlind(t *testing.T) {
	in := newInbox(t)
	in.write(t, "before.csv", "1")
	synctest.Test(t, func(t *testing.T) {
		sink := triggertest.NewSink()
		stop := in.blind(t, sink)
		at := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := len(sink.Events()); got != want {
				t.Fatalf("got %d events; want %d", got, want)
			}
		}
		at(2*time.Second, 0)
		at(time.Second, 1) // settled

		in.write(t, "sub/after.csv", "2")
		at(20*time.Second, 1)
		at(13*time.Second, 2) // seen at 30 s, settled 2 s later
		in.write(t, "sub/after.csv", "two")
		at(33*time.Second, 3)

		if err := os.RemoveAll(in.path); err != nil {
			t.Fatal(err)
		}
		at(time.Hour, 3)
		in.write(t, "back.csv", "3")
		at(33*time.Second, 4)
		if n := strings.Count(in.log.String(), "waiting for it"); n != 1 {
			t.Errorf("an hour without the folder is told %d times; want once", n)
		}
		stop()
	})
}

// However long a look takes, what it finds settles together and keeps its order.
func TestLongLook(t *testing.T) {
	in := newInbox(t)
	for n := 1; n <= 30; n++ {
		in.Happen(t, n)
		in.write(t, fmt.Sprintf("%d\xff", n), "") // is warned of, where it lies among the others
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Path: in.path}, slog.New(slog.NewTextHandler(sleeper{}, nil)))
		if err != nil {
			t.Fatal(err)
		}
		sink := triggertest.NewSink()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.run(ctx, sink, nil); close(ended) }()
		time.Sleep(time.Hour)
		stop()
		<-ended
		events := sink.Events()
		if len(events) != 30 {
			t.Fatalf("got %d events; want 30", len(events))
		}
		for i, e := range events {
			if want := fmt.Sprintf("batch_%02d.csv", i+1); e.Subject != want {
				t.Errorf("event %d is %s; want %s", i+1, e.Subject, want)
			}
		}
	})
}

// A sleeper is a log on a slow disk.
type sleeper struct{}

func (sleeper) Write(p []byte) (int, error) {
	time.Sleep(2 * time.Second)
	return len(p), nil
}

// While a file changes between looks, it is not taken.
func TestBlindGrowing(t *testing.T) {
	in := newInbox(t)
	synctest.Test(t, func(t *testing.T) {
		sink := triggertest.NewSink()
		stop := in.blind(t, sink)
		content := ""
		for range 60 {
			content += "line\n"
			in.write(t, "a.csv", content)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := len(sink.Events()); got != 0 {
			t.Errorf("a file was taken %d times while it grew", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		events := sink.Events()
		if len(events) != 1 || !strings.Contains(string(events[0].Data), `"size":300`) {
			t.Errorf("got %+v; want one event of 300 bytes", events)
		}
		stop()
	})
}

// A sink that refuses is tried less and less often, and at least every 30 s.
func TestBackoff(t *testing.T) {
	in := newInbox(t)
	in.write(t, "a.csv", "1")
	synctest.Test(t, func(t *testing.T) {
		sink := triggertest.NewSink()
		begun := time.Now()
		var tries []time.Duration
		sink.Refuse = func(anneal.Event) error {
			tries = append(tries, time.Since(begun))
			if time.Since(begun) < 10*time.Minute {
				return errors.New("no space left on device")
			}
			return nil
		}
		stop := in.blind(t, sink)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		stop()
		if len(sink.Events()) != 1 {
			t.Errorf("got %d events; want 1", len(sink.Events()))
		}
		for i, at := range tries[1:] {
			if wait := at - tries[i]; wait < shortestWait || wait > longestWait {
				t.Errorf("tried at %s and then at %s", tries[i], at)
			}
		}
		if len(tries) > 35 {
			t.Errorf("tried %d times in 10 min", len(tries))
		}
	})
}

// A file that goes or changes between settling and reading is not told.
func TestChangedBeforeRead(t *testing.T) {
	in := newInbox(t)
	in.write(t, "a.csv", "1")
	root, err := os.OpenRoot(in.path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	w := &watch{}
	now, _ := w.look(root, "a.csv")
	d := &deliverer{cfg: Config{Path: in.path}}
	if _, changed, err := d.read(t.Context(), file{key: "a.csv", stamp: now}); changed || err != nil {
		t.Errorf("unchanged: got changed %v, %v", changed, err)
	}
	in.write(t, "a.csv", "22")
	if _, changed, err := d.read(t.Context(), file{key: "a.csv", stamp: now}); !changed || err != nil {
		t.Errorf("rewritten: got changed %v, %v", changed, err)
	}
	if err := os.Remove(filepath.Join(in.path, "a.csv")); err != nil {
		t.Fatal(err)
	}
	if _, changed, err := d.read(t.Context(), file{key: "a.csv", stamp: now}); !changed || err != nil {
		t.Errorf("removed: got changed %v, %v", changed, err)
	}
}
