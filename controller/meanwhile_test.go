package controller_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
)

// slowStore is a store in which something happens meanwhile.
type slowStore struct {
	*journal.Memory
	trims, loads func() // nil: nothing
}

func (s *slowStore) Trim(ctx context.Context, before uint64) error {
	if s.trims != nil {
		s.trims()
	}
	return s.Memory.Trim(ctx, before)
}

func (s *slowStore) Load(ctx context.Context, name string) ([]byte, error) {
	blob, err := s.Memory.Load(ctx, name)
	if s.loads != nil {
		s.loads()
	}
	return blob, err
}

// An event that comes again while its record is given up is no news.
func TestDuplicateWhileTrimming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{Memory: &journal.Memory{}}
		j, err := journal.Open(t.Context(), store, journal.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		recovery, err := controller.Recover(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		c := controller.New(controller.Config{Journal: j, Log: slog.New(slog.DiscardHandler), Retention: 24 * time.Hour}, recovery.State)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		ping := func(id string) anneal.Event {
			return anneal.Event{SpecVersion: "1.0", ID: id, Source: "x", Type: "ping", Time: time.Now().UTC(), Seen: time.Now().UTC()}
		}
		ingest := func(id string) bool {
			_, duplicate, err := c.Ingest(t.Context(), ping(id))
			if err != nil {
				t.Error(err)
			}
			return duplicate
		}
		again := make(chan bool, 1)
		store.trims = func() {
			if _, err := j.Find(ctx, controller.KindEvent, "first"); err == nil {
				return // it is there still
			}
			store.trims = nil
			go func() { again <- ingest("first") }()
			time.Sleep(time.Minute)
		}
		for _, id := range []string{"first", "second", "third"} {
			if ingest(id) {
				t.Errorf("the %s event is no news", id)
			}
			time.Sleep(20 * time.Hour)
		}
		time.Sleep(48 * time.Hour)
		select {
		case duplicate := <-again:
			if !duplicate {
				t.Error("an event that was told again while its record was trimmed is taken for news")
			}
		default:
			t.Error("the record of the first event was never trimmed")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A journal that is cut while it is folded comes to the same.
func TestRecoverWhileCut(t *testing.T) {
	records := told(t, newScript(2000))
	whole := holding(t, records)
	want := standing(t, whole)
	whole.Close()
	store := &slowStore{Memory: &journal.Memory{}}
	if _, err := journal.Import(t.Context(), store, each(records)); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), store, journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	cuts := 0
	for _, r := range records {
		if r.Kind != controller.KindEvent || r.Seq < uint64(len(records)/2) {
			continue
		}
		store.loads = func() {
			store.loads = nil
			if _, err := controller.Cut(t.Context(), j, r.Seq, time.Now()); err != nil {
				t.Fatal(err)
			}
			cuts++
		}
		if diff := cmp.Diff(want, standing(t, j)); diff != "" {
			t.Fatalf("folded while cut before %d: %s", r.Seq, diff)
		}
		if cuts == 3 {
			return
		}
	}
	t.Errorf("%d cuts, want 3: the story tells too little", cuts)
}
