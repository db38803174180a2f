package triggers_test

import (
	"math"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

func TestOwnEvents(t *testing.T) {
	now := time.Date(2026, 7, 1, 14, 0, 0, 0, time.FixedZone("CEST", 7200))
	due := now.Add(-time.Minute)
	manual, err := triggers.Manual("churn", map[string]any{"days": 30}, true, "request", now)
	if err != nil {
		t.Fatal(err)
	}
	ended := anneal.Run{ID: "churn-1", Policy: "churn", Status: anneal.StatusFailed, Ended: &due}
	for _, test := range []struct {
		event              anneal.Event
		source, kind, data string
		time               time.Time
	}{
		{manual, "anneal.manual", "Policy Triggered", `{"policy":"churn","parameters":{"days":30},"force":true}`, now},
		{triggers.DeferredWake("churn", "churn-1", due, now), "anneal.timer", "Deferred Wake", `{"policy":"churn","decision":"churn-1"}`, due},
		{triggers.RunEnded(ended, now), "anneal.run", "Run Ended", `{"policy":"churn","run":"churn-1","status":"FAILED"}`, due},
		{triggers.RunEnded(anneal.Run{ID: "churn-2"}, now), "anneal.run", "Run Ended", `{"policy":"","run":"churn-2","status":""}`, now},
	} {
		e := test.event
		triggertest.Check(t, e)
		if e.Source != test.source || e.Type != test.kind || string(e.Data) != test.data || !e.Time.Equal(test.time) || !e.Seen.Equal(now) {
			t.Errorf("got  %s, %s, %s at %s\nwant %s, %s, %s at %s", e.Source, e.Type, e.Data, e.Time, test.source, test.kind, test.data, test.time)
		}
	}
	if _, err := triggers.Manual("churn", map[string]any{"days": math.NaN()}, false, "request", now); err == nil {
		t.Error("NaN has no JSON form; want an error")
	}
}

// What is told again has the same ID, whenever that is; what is not, has not.
func TestOwnIDs(t *testing.T) {
	now := time.Date(2026, 7, 1, 14, 0, 0, 0, time.UTC)
	later := now.Add(time.Hour)
	manual := func(request string, now time.Time) anneal.Event {
		e, err := triggers.Manual("churn", nil, false, request, now)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, pair := range [][2]anneal.Event{
		{manual("a", now), manual("a", later)},
		{triggers.DeferredWake("churn", "d", now, now), triggers.DeferredWake("churn", "d", now, later)},
		{triggers.RunEnded(anneal.Run{ID: "r"}, now), triggers.RunEnded(anneal.Run{ID: "r"}, later)},
	} {
		if pair[0].ID != pair[1].ID {
			t.Errorf("told again, %s has IDs %s and %s", pair[0].Type, pair[0].ID, pair[1].ID)
		}
	}
	ids := make(map[string]bool)
	for _, e := range []anneal.Event{
		manual("a", now), manual("b", now),
		triggers.DeferredWake("churn", "a", now, now), triggers.DeferredWake("churn", "b", now, now),
		triggers.RunEnded(anneal.Run{ID: "a"}, now), triggers.RunEnded(anneal.Run{ID: "b"}, now),
	} {
		ids[e.ID] = true
	}
	if len(ids) != 6 {
		t.Errorf("6 events have %d IDs", len(ids))
	}
}
