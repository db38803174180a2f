package controller_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
)

// Several events at once become durable together, each once, however they
// overlap and in whatever order they are told.
func TestIngestAll(t *testing.T) {
	j := openMemory(t, &journal.Memory{})
	defer j.Close()
	recovery, err := controller.Recover(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	c := controller.New(controller.Config{Journal: j, Log: slog.New(slog.DiscardHandler)}, recovery.State)
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	batch := func(ns ...int) []anneal.Event {
		var events []anneal.Event
		for _, n := range ns {
			events = append(events, fileEvent(n, false, at))
		}
		return events
	}
	if _, _, err := c.Ingest(t.Context(), batch(1)[0]); err != nil {
		t.Fatal(err)
	}
	got, err := c.IngestAll(t.Context(), batch(0, 1, 2, 0))
	if want := []int{1, 3}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the duplicates are %v, error %v; want %v: one is stored, one is told twice", got, err, want)
	}
	if got, err := c.IngestAll(t.Context(), nil); err != nil || len(got) > 0 {
		t.Errorf("no events have the duplicates %v, error %v; want none", got, err)
	}

	// Two who bring the same in opposite orders do not wait for each other.
	var both sync.WaitGroup
	duplicates := make([]int, 20)
	for i := range duplicates {
		both.Go(func() {
			ns := []int{10, 11, 12, 13, 14}
			if i%2 == 0 {
				slices.Reverse(ns)
			}
			d, err := c.IngestAll(t.Context(), batch(ns...))
			if err != nil {
				t.Error(err)
			}
			duplicates[i] = len(d)
		})
	}
	both.Wait()
	slices.Sort(duplicates)
	if duplicates[0] != 0 || duplicates[1] != 5 {
		t.Errorf("of twenty who bring the same five, they were known to %v; want to all but one", duplicates)
	}
	var subjects []string
	for r, err := range j.Read(t.Context(), 1, false) {
		if err != nil {
			t.Fatal(err)
		}
		var e anneal.Event
		if err := json.Unmarshal(r.Data, &e); err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, e.ID)
	}
	if len(subjects) != 8 {
		t.Errorf("%d events are stored; want 8", len(subjects))
	}
	for i, n := range []int{1, 0, 2} {
		if want := batch(n)[0].ID; subjects[i] != want {
			t.Errorf("event %d stored is %s; want %s, of file %d", i, subjects[i], want, n)
		}
	}
}

// News are recorded and taken by the loop as what was read of their records would be.
func TestIngestNews(t *testing.T) {
	j := openMemory(t, &journal.Memory{})
	defer j.Close()
	recovery, err := controller.Recover(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan anneal.Event)
	c := controller.New(controller.Config{Journal: j, Log: slog.New(slog.DiscardHandler), Told: func(e anneal.Event) { told <- e }}, recovery.State)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	defer run.Wait()
	defer cancel()
	run.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, event := range []anneal.Event{
		{SpecVersion: "1.0", ID: "a", Source: "aws.states", Type: "Changed", Time: time.Now().UTC(), Seen: time.Now().UTC(),
			Subject: "of \"a\"", DataContentType: "application/json", Data: json.RawMessage(`{"a":1}`)},
		{SpecVersion: "1.0", ID: "b", Source: "aws.states", Type: "Changed", Time: time.Now().UTC(), Seen: time.Now().UTC(), Parked: "why"},
		{SpecVersion: "1.0", ID: "large", Source: "aws.states", Type: "Changed", Time: time.Now().UTC(), Seen: time.Now().UTC(),
			Data: json.RawMessage(`"` + strings.Repeat("x", 10_000) + `"`)},
	} {
		if err := c.IngestNews(t.Context(), []anneal.Event{event}); err != nil {
			t.Fatal(err)
		}
		got := <-told
		r, err := j.Find(t.Context(), controller.KindEvent, event.ID)
		if err != nil {
			t.Fatal(err)
		}
		var read, usual anneal.Event
		if err := json.Unmarshal(r.Data, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(read, got); diff != "" {
			t.Errorf("the loop takes %s otherwise than it is read (-read +taken)\n%s", event.ID, diff)
		}
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &usual); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(usual, read); diff != "" {
			t.Errorf("%s is recorded otherwise than other events (-others +this)\n%s", event.ID, diff)
		}
	}
}
