package controller

import (
	"encoding/json"
	"testing"

	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/journal"
)

// TestFound folds drift signals: each lowers the level of the next, unless it found
// something that the model uses; signals without a test change nothing; and a state read back goes on
// as the one that was written.
func TestFound(t *testing.T) {
	s := newState()
	level := func() float64 { return s.Found["p"]["drift"].Level(drift.DefaultAlpha) }
	apply := func(data string) {
		t.Helper()
		if err := s.Apply(journal.Record{Kind: KindSignal, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	first := level()
	apply(`{"name": "drift", "policy": "p", "detail": {"alpha": 0.01, "drifted": 0}}`)
	second := level()
	if !(first > second && second > 0) {
		t.Errorf("levels are %v and then %v: want them to fall", first, second)
	}
	for _, other := range []string{
		`{"name": "rows", "policy": "p", "detail": null}`,
		`{"name": "drift", "policy": "p", "status": "missing"}`,
		`{"name": "drift", "policy": "p", "detail": {"drifted": 3}}`, // by the rules of another tool
		`{"name": "drift", "policy": "q", "detail": {"alpha": 0.01, "drifted": 3}}`,
	} {
		if apply(other); level() != second {
			t.Errorf("%s: the level is %v, want %v", other, level(), second)
		}
	}
	apply(`{"name": "drift", "policy": "p", "detail": {"alpha": 0.01, "drifted": 2}}`)
	if level() <= second {
		t.Errorf("a discovery leaves the level at %v", level())
	}
	found := level()
	apply(`{"name": "drift", "policy": "p", "detail": {"alpha": 0.01, "drifted": 2, "share": 0}}`)
	if level() >= found {
		t.Errorf("columns that the model does not use leave the level at %v, which was %v", level(), found)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	before := level()
	s = newState()
	if err := json.Unmarshal(data, s); err != nil {
		t.Fatal(err)
	}
	if level() != before {
		t.Errorf("read back, the level is %v, want %v", level(), before)
	}
}

// TestSavings folds windows that drift signals were measured on, each once, and what the
// policy's runs cost that came to a model; a state read back goes on as the one that was
// written.
func TestSavings(t *testing.T) {
	s := newState()
	for _, step := range []struct {
		kind, data string
		saved      int
	}{
		{KindRun, `{"id": "first", "policy": "p", "status": "PENDING"}`, 0},
		{KindRun, `{"id": "first", "policy": "p", "status": "SUCCEEDED"}`, 0}, // before any window
		{KindSignal, `{"name": "drift", "policy": "p", "window": "a", "due": false}`, 3},
		{KindSignal, `{"name": "drift", "policy": "p", "window": "a", "due": false}`, 3},
		{KindSignal, `{"name": "drift", "policy": "p", "window": "b", "status": "missing"}`, 3},
		{KindSignal, `{"name": "drift", "policy": "p", "window": "b", "due": true}`, 4},
		{KindRun, `{"id": "r", "policy": "p", "status": "PENDING"}`, 4},
		{KindRun, `{"id": "r", "policy": "p", "status": "FAILED"}`, 4},
		{KindRun, `{"id": "r", "policy": "p", "status": "RUNNING", "redrives": 1}`, 4},
		{KindSignal, `{"name": "drift", "policy": "p", "window": "c", "due": true}`, 5},
		{KindRun, `{"id": "other", "policy": "q", "status": "PENDING"}`, 5},
		{KindRun, `{"id": "other", "policy": "q", "status": "SUCCEEDED"}`, 5},
		{KindRun, `{"id": "r", "policy": "p", "status": "SUCCEEDED", "redrives": 1}`, 3},
		{KindRun, `{"id": "r", "policy": "p", "status": "SUCCEEDED", "redrives": 1}`, 3},
	} {
		if err := s.Apply(journal.Record{Kind: step.kind, Data: []byte(step.data)}); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		s = newState()
		if err := json.Unmarshal(data, s); err != nil {
			t.Fatal(err)
		}
		if got := s.Savings["p"]["drift"].Saved; got != step.saved {
			t.Errorf("%s %s: %d windows are saved, want %d", step.kind, step.data, got, step.saved)
		}
	}
}
