package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift/dataset"
	outcomes "github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/policy"
)

// expecting is a policy that estimates losses where an event of type Ask comes.
func expecting(tb testing.TB) *policy.Policy {
	tb.Helper()
	return written(tb, `{"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "p"}, "spec": {
		"model": {"group": "g"},
		"signals": {"expected": {"source": "predictions", "path": "predictions/", "labels": "labels/", "key": "id", "prediction": "y", "label": "y",
			"features": ["a", "b", "c", "d"], "metric": "mae", "window": "1h", "estimate": "dle", "calibration": "14d"}},
		"triggers": [{"id": "any", "event": {"type": "Ask"}}],
		"rules": [{"id": "worse", "if": "signals.expected.value > 100"}]
	}}`)
}

// predicted are the predictions, or what came true, of so many rows from one on.
func predicted(from, rows int, truth bool) []byte {
	var b strings.Builder
	b.WriteString("id,y,a,b,c,d\n")
	for i := from; i < from+rows; i++ {
		y := i * 7 % 1000
		if truth {
			y += i % 13
		}
		fmt.Fprintf(&b, "%d,%d,%d,%d,%d,%d\n", i, y, i%13, i*31%997, i*17%89, i*5%1013)
	}
	return []byte(b.String())
}

// estimates serves a controller that has rows predictions with their labels, and as
// many without.
func estimates(tb testing.TB, rows int, wait func(), change func(*controller.Config)) *served {
	files := map[string][]byte{"1.csv": predicted(0, rows, false), "2.csv": predicted(0, rows, true), "3.csv": predicted(rows, rows, false)}
	s := serve(tb, expecting(tb), opens(files), func(cfg *controller.Config) {
		cfg.Outcomes = func(ctx context.Context, o anneal.Object, form outcomes.Form) (*outcomes.Batch, error) {
			f, err := opens(files)(o)
			if err != nil {
				return nil, err
			}
			return outcomes.Read(ctx, f, path.Base(o.URI), form, dataset.Options{})
		}
		change(cfg)
	})
	for _, name := range []string{"predictions/1.csv", "labels/2.csv"} {
		s.drop(name)
		wait()
	}
	s.drop("predictions/3.csv")
	return s
}

// ask wakes the policy.
func (s *served) ask(n int) anneal.Event {
	s.tb.Helper()
	e := ping("Ask")(n)
	if _, _, err := s.Ingest(s.tb.Context(), e); err != nil {
		s.tb.Fatal(err)
	}
	return e
}

// TestEstimateBesideTheLoop: while losses are estimated the loop goes on; where that
// panics, it is why there is no value.
func TestEstimateBesideTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := estimates(t, 50, func() { time.Sleep(2 * time.Hour) }, func(cfg *controller.Config) {
			cfg.EstimateBy(func(l *outcomes.Loss) outcomes.Measurement {
				if asked++; asked == 2 {
					panic("a tree of nothing")
				}
				time.Sleep(10 * time.Minute)
				return l.Estimate()
			})
		})
		time.Sleep(time.Minute)
		began := time.Now()
		first, second := s.ask(1), s.ask(2)
		s.Status()
		s.drop("labels/none.txt")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the loop waited %s for an estimate", waited)
		}
		if _, err := s.journal.Find(t.Context(), controller.KindSignal, anneal.ID("signal", first.ID, "p", "expected")); err == nil {
			t.Error("it was decided before it was estimated")
		}
		time.Sleep(time.Hour)
		for _, c := range []struct {
			event anneal.Event
			want  string
		}{{first, "ok 5.8 of 50"}, {second, "failed: estimating it panicked: a tree of nothing"}} {
			record, err := s.journal.Find(t.Context(), controller.KindSignal, anneal.ID("signal", c.event.ID, "p", "expected"))
			if err != nil {
				t.Fatal(err)
			}
			var signal anneal.Signal
			json.Unmarshal(record.Data, &signal)
			got := string(signal.Status) + ": " + signal.Error
			if signal.Value != nil {
				got = fmt.Sprintf("%s %.1f of %d", signal.Status, *signal.Value, signal.N)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		}
		s.verify()
	})
}

// BenchmarkEstimate is how long the loop keeps others waiting while losses are
// estimated of 8,192 predictions, learnt from as many: the median of the longest time
// with each.
func BenchmarkEstimate(b *testing.B) {
	s := estimates(b, 8192, func() { time.Sleep(time.Second) }, func(*controller.Config) {})
	time.Sleep(time.Second)
	var longest []time.Duration
	for b.Loop() {
		e, worst := s.ask(len(longest)), time.Duration(0)
		for {
			began := time.Now()
			s.Status()
			worst = max(worst, time.Since(began))
			if _, err := s.journal.Find(b.Context(), controller.KindDecision, anneal.DecisionID("p", e.ID)); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		longest = append(longest, worst)
	}
	slices.Sort(longest)
	b.ReportMetric(longest[len(longest)/2].Seconds()*1e3, "stall-ms")
}
