package triggers_test

import (
	"math"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

func TestManual(t *testing.T) {
	now := time.Date(2026, 7, 1, 14, 0, 0, 0, time.FixedZone("CEST", 7200))
	manual := func(request string, now time.Time) anneal.Event {
		e, err := triggers.Manual("churn", map[string]any{"days": 30}, true, request, now)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := manual("request", now)
	triggertest.Check(t, e)
	const data = `{"policy":"churn","parameters":{"days":30},"force":true}`
	if e.Source != "anneal.manual" || e.Type != "Policy Triggered" || string(e.Data) != data || !e.Time.Equal(now) || !e.Seen.Equal(now) {
		t.Errorf("got %s, %s, %s at %s", e.Source, e.Type, e.Data, e.Time)
	}
	if again := manual("request", now.Add(time.Hour)); again.ID != e.ID {
		t.Errorf("told again, a request has IDs %s and %s", e.ID, again.ID)
	}
	if other := manual("another", now); other.ID == e.ID {
		t.Errorf("two requests have one ID, %s", e.ID)
	}
	if _, err := triggers.Manual("churn", map[string]any{"days": math.NaN()}, false, "request", now); err == nil {
		t.Error("NaN has no JSON form; want an error")
	}
}
