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
