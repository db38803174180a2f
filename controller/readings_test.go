package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift/cloudwatch"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/policy"
)

// A monitor is CloudWatch, as the controller knows it.
type monitor struct {
	points []cloudwatch.Point // newest first
	err    error
	silent bool // nothing is answered
	calls  []int
	back   time.Duration // of the last call
}

func (m *monitor) read(ctx context.Context, queries []cloudwatch.Query, until time.Time) []cloudwatch.Reading {
	m.calls, m.back = append(m.calls, len(queries)), queries[0].Back
	all := make([]cloudwatch.Reading, len(queries))
	if m.silent {
		<-ctx.Done()
		m.err = errors.New("no answer in time")
	}
	for i := range all {
		all[i].Err = m.err
		for _, p := range m.points {
			if m.err == nil && !p.Begins.Before(until.Add(-queries[i].Back)) {
				all[i].Points = append(all[i].Points, p)
			}
		}
	}
	return all
}

// metricPolicy wakes at orders and runs where a metric is above 5.
func metricPolicy(t *testing.T, name, metric, debounce string) *policy.Policy {
	t.Helper()
	return written(t, fmt.Sprintf(`{"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": %q}, "spec": {
		"model": {"group": %[1]q},
		"signals": {"p99": {"source": "cloudwatch", "namespace": "N", "metric": %q, "stat": "p99", "period": "5m", "staleAfter": "15m"}},
		"triggers": [{"id": "order", "event": {"type": "Order"}%s}],
		"rules": [{"id": "slow", "if": "signals.p99.value > 5.0"}]}}`, name, metric, debounce))
}

// TestMetricSignals has a policy decide on a metric, as minutes go by. Each
// decision can be made again from the journal alone.
func TestMetricSignals(t *testing.T) {
	at := func(begin time.Time, minute int) time.Time {
		return begin.Add(time.Duration(minute) * time.Minute)
	}
	type point struct {
		begins int // minute
		value  float64
	}
	for _, c := range []struct {
		name  string
		steps []struct {
			minute int
			points []point
			err    string
			want   string
		}
	}{
		{"what is whole counts, and each datapoint with its age", []struct {
			minute int
			points []point
			err    string
			want   string
		}{
			{10, nil, "", "hold: signal p99 is missing: CloudWatch has no datapoint of N p99 in the 40m before"},
			{22, []point{{20, 9}, {15, 4}}, "", "hold: no rule is true: slow (p99.value 4) (4, 120 s old, ok)"},
			{26, []point{{20, 9}, {15, 4}}, "", "would-run: slow: p99.value 9 (9, 60 s old, ok)"},
			{50, []point{{20, 9}, {15, 4}}, "", "hold: signal p99 is stale: the newest datapoint ended at 2000-01-01T00:25:00Z"},
		}},
		{"a failed call keeps the last value until it is stale", []struct {
			minute int
			points []point
			err    string
			want   string
		}{
			{10, nil, "Throttling: slower", "hold: signal p99 is failed: Throttling: slower"},
			{11, []point{{5, 9}}, "", "would-run: slow: p99.value 9 (9, 60 s old, ok)"},
			{20, nil, "Throttling: slower", "would-run: slow: p99.value 9 (9, 600 s old, ok)"},
			{26, nil, "Throttling: slower", "hold: signal p99 is stale: the newest datapoint ended at 2000-01-01T00:10:00Z; Throttling: slower"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &monitor{}
				c0, j, stop := metricController(t, m, metricPolicy(t, "churn", "p99", ""))
				begin := time.Now()
				for _, step := range c.steps {
					time.Sleep(time.Until(at(begin, step.minute)))
					m.points, m.err = nil, nil
					for _, p := range step.points {
						m.points = append(m.points, cloudwatch.Point{Begins: at(begin, p.begins).UTC(), Value: p.value})
					}
					if step.err != "" {
						m.err = errors.New(step.err)
					}
					sell(t, c0, fmt.Sprint(step.minute))
					synctest.Wait()
					if got := decided(t, j); got != step.want {
						t.Errorf("at %dm\n got %s\nwant %s", step.minute, got, step.want)
					}
				}
				stop()
				v, err := controller.Verify(context.Background(), j)
				if err != nil || !v.Sound() || v.Decisions != len(c.steps) {
					t.Errorf("decisions made again: %+v, %v", v, err)
				}
			})
		})
	}
}

// One call is for all policies that wait, and none is made where nothing newer is
// to be had or an event is only gathered.
func TestMetricCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &monitor{}
		var policies []*policy.Policy
		for n := range 30 {
			policies = append(policies, metricPolicy(t, fmt.Sprint("p", n), fmt.Sprint("m", n%20), ""))
		}
		policies = append(policies, metricPolicy(t, "gathers", "other", `, "debounce": {"quiet": "30m"}`))
		c, _, stop := metricController(t, m, policies...)
		defer stop()
		begin := time.Now()
		for n, minute := range []int{7, 7, 8, 9, 11} {
			m.points = []cloudwatch.Point{{Begins: begin.Add(time.Duration(minute/5*5-5) * time.Minute).UTC(), Value: 1}}
			time.Sleep(time.Until(begin.Add(time.Duration(minute) * time.Minute)))
			sell(t, c, fmt.Sprint(n))
			synctest.Wait()
		}
		if diff := cmp.Diff([]int{20, 20}, m.calls); diff != "" {
			t.Errorf("queries of each call (-want +got):\n%s", diff)
		}
	})
}

// CloudWatch that does not answer holds up those that ask it, for a while, and
// nobody else.
func TestMetricsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &monitor{silent: true}
		c, j, stop := metricController(t, m, metricPolicy(t, "churn", "p99", ""))
		defer stop()
		sell(t, c, "1")
		synctest.Wait()
		if got := decided(t, j); got != "" {
			t.Errorf("decided at once: %s", got)
		}
		if s := c.Status(); s.Waiting != 1 || s.Oldest == nil {
			t.Errorf("the loop does not say how it stands while it waits: %+v", s)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := decided(t, j), "hold: signal p99 is failed: no answer in time"; got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	})
}

// What an event is decided on is what was so when it was seen, however long ago.
func TestMetricLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &monitor{}
		c, j, stop := metricController(t, m, metricPolicy(t, "churn", "p99", ""))
		defer stop()
		seen := time.Now()
		time.Sleep(26 * time.Hour)
		m.points = []cloudwatch.Point{{Begins: time.Now().Add(-5 * time.Minute).UTC(), Value: 1}, {Begins: seen.Add(-6 * time.Minute).UTC(), Value: 9}}
		sell(t, c, "now")
		synctest.Wait()
		if _, _, err := c.Ingest(t.Context(), anneal.Event{SpecVersion: "1.0", ID: "late", Source: "shop", Type: "Order", Time: seen.UTC(), Seen: seen.UTC()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, want := decided(t, j), "would-run: slow: p99.value 9 (9, 60 s old, ok)"; got != want {
			t.Errorf("got %s; want %s", got, want)
		}
		if least := 26*time.Hour + 20*time.Minute; m.back < least {
			t.Errorf("asked for the last %s; want %s at least", m.back, least)
		}
	})
}

func metricController(t *testing.T, m *monitor, policies ...*policy.Policy) (*controller.Controller, *journal.Journal, func()) {
	t.Helper()
	j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	recovery, err := controller.Recover(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	c := controller.New(controller.Config{
		Journal: j, Log: slog.New(slog.DiscardHandler), Generation: controller.Generation{Policies: policies}, Metrics: m.read,
	}, recovery.State)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, j, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func sell(t *testing.T, c *controller.Controller, id string) {
	t.Helper()
	_, _, err := c.Ingest(t.Context(), anneal.Event{
		SpecVersion: "1.0", ID: anneal.ID("order", id), Source: "shop", Type: "Order", Time: time.Now().UTC(), Seen: time.Now().UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// decided is the newest decision, with the signal that it saw.
func decided(t *testing.T, j *journal.Journal) string {
	t.Helper()
	for r, err := range j.Newest(t.Context(), controller.KindDecision, 0) {
		var d anneal.Decision
		if err != nil || json.Unmarshal(r.Data, &d) != nil {
			t.Fatal(err)
		}
		said := string(d.Verdict) + ": " + strings.TrimPrefix(d.Reason, "rule ")
		if s := d.Signals["p99"]; s.Value != nil {
			said += fmt.Sprintf(" (%v, %v s old, %s)", *s.Value, s.Age, s.Status)
		}
		return said
	}
	return ""
}
