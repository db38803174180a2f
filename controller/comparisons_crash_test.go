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
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
)

// TestComparisonsSurviveCrashes kills a process whose windows are judged by a witness
// around each of its appends, and starts it again: what it says of each window, and
// decides, is what it says where nothing goes wrong, though the witness is fitted
// anew. Repeated rows are counted all the while.
func TestComparisonsSurviveCrashes(t *testing.T) {
	files := map[string][]byte{
		"reference.csv": rowsOf(1, 400, 0, false),
		"same.csv":      rowsOf(2, 200, 0, false),
		"turned.csv":    rowsOf(3, 200, 0, true),
		"again.csv":     rowsOf(2, 200, 0, false),
		"moved.csv":     rowsOf(5, 200, 3, false),
	}
	order := []string{"reference.csv", "same.csv", "turned.csv", "again.csv", "moved.csv"}
	want, appends := compareThroughCrash(t, files, order, faults{})
	for _, line := range []string{
		"same.csv none witness holds due false repeated 0.00: hold",
		"turned.csv drift witness worse due true repeated 0.00: run again",
	} {
		if !strings.Contains(want, line+"\n") {
			t.Fatalf("undisturbed:\n%swant %q in it", want, line)
		}
	}
	step := 1
	if raceDetector { // fitting is ten times as slow
		step = 7
	}
	for at := 1; at <= appends; at += step {
		for _, before := range []bool{true, false} {
			got, _ := compareThroughCrash(t, files, order, faults{dieAt: at, before: before})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("dead around append %d of %d, before it %t (-want +got):\n%s", at, appends, before, diff)
			}
		}
	}
}

// compareThroughCrash drops the files, one an hour, on processes that die as f says,
// and tells what came of each, and how many appends the first one made.
func compareThroughCrash(t *testing.T, files map[string][]byte, order []string, f faults) (told string, appends int) {
	spec := `{
		"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "crash"},
		"spec": {
			"mode": "enforce", "model": {"group": "g"}, "data": {"target": "y", "train": {"last": 100}},
			"signals": {
				"drift": {"source": "data", "window": {"objects": 1}},
				"repeated": {"source": "data", "quality": "duplicates", "window": {"objects": 3}}
			},
			"triggers": [{"id": "new", "event": {"type": "Object Created"}}],
			"rules": [{"id": "first", "if": "!champion.exists"}, {"id": "again", "if": "signals.drift.verdict == 'drift' && signals.repeated.value < 0.1"}],
			"run": {"stateMachine": {"file": "m.json"}, "model": {
				"state": "Train", "artifact": {"expr": "state.output.artifact"}, "metrics": {"expr": "state.output.metrics"}
			}},
			"promote": {"if": "candidate.version < 2.0"}
		}}`
	p := written(t, spec)
	synctest.Test(t, func(t *testing.T) {
		memory, w := &journal.Memory{}, newWorld(script{conduct: []conduct{{takes: time.Minute}}})
		silent := slog.New(slog.DiscardHandler)
		begin, next := time.Now(), 0
		events := make([]anneal.Event, len(order))
		for i, name := range order {
			events[i] = dropped(name, begin.Add(time.Duration(i)*time.Hour))
		}
		life := func(store *dyingStore, ctx context.Context, cancel context.CancelFunc) error {
			j, err := journal.Open(ctx, store, journal.Options{Logger: silent})
			if err != nil {
				return err
			}
			defer j.Close()
			recovery, err := controller.Recover(ctx, j)
			if err != nil {
				return err
			}
			c := controller.New(controller.Config{
				Journal: j, Log: silent,
				Generation: controller.Generation{Policies: []*policy.Policy{p}, Machines: map[string]orchestrator.Machine{"crash": {Name: "m", Definition: []byte(simMachine)}}},
				Executors:  map[string]orchestrator.Executor{policy.ExecutorEmbedded: w},
				Profile:    opens(files).profile, Open: opens(files).read,
				Stage:    func(context.Context, anneal.Training) error { return nil },
				Staging:  "s3://staging",
				Checksum: func(context.Context, string) (string, int64, error) { return "00", 1, nil },
			}, recovery.State)
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			for ; next < len(events) && ctx.Err() == nil; next++ {
				select {
				case <-time.After(time.Until(events[next].Seen)):
				case <-ctx.Done():
				}
				if _, _, err := c.Ingest(ctx, events[next]); err != nil {
					break // and tell it to the next life
				}
			}
			select {
			case <-time.After(24 * time.Hour):
			case <-ctx.Done():
			}
			died := ctx.Err() != nil
			cancel()
			if err := <-ended; err != nil && !died {
				return err
			}
			if died {
				return errDied
			}
			return nil
		}
		for lives := 0; ; lives++ {
			ctx, cancel := context.WithCancel(t.Context())
			store := &dyingStore{Memory: memory, faults: f, die: cancel}
			if lives > 0 {
				store.faults = faults{}
			}
			err := life(store, ctx, cancel)
			cancel()
			synctest.Wait()
			if lives == 0 {
				appends = store.appends
			}
			if err == nil {
				break
			}
			if !errors.Is(err, errDied) || lives > 1 {
				t.Fatalf("life %d ended: %v", lives, err)
			}
		}
		j, err := journal.Open(t.Context(), memory, journal.Options{ReadOnly: true, Logger: silent})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		var out strings.Builder
		for i, e := range events {
			signal := func(name string) (s anneal.Signal) {
				if record, err := j.Find(t.Context(), controller.KindSignal, anneal.ID("signal", e.ID, "crash", name)); err == nil {
					json.Unmarshal(record.Data, &s)
				}
				return s
			}
			record, err := j.Find(t.Context(), controller.KindDecision, anneal.DecisionID("crash", e.ID))
			if err != nil {
				t.Fatalf("%s is not decided on: %v", order[i], err)
			}
			var d anneal.Decision
			json.Unmarshal(record.Data, &d)
			s, quality, due, repeated := signal("drift"), "none", "unknown", "unknown"
			var c drift.Comparison
			if json.Unmarshal(s.Detail, &c) == nil && c.Quality != nil {
				quality = c.Quality.Verdict
			}
			if s.Due != nil {
				due = fmt.Sprint(*s.Due)
			}
			if r := signal("repeated"); r.Value != nil {
				repeated = fmt.Sprintf("%.2f", *r.Value)
			}
			fmt.Fprintf(&out, "%s %s witness %s due %s repeated %s: %s %s\n", order[i], s.Verdict, quality, due, repeated, d.Verdict, d.Rule)
		}
		for name, n := range w.starts {
			if n != 1 {
				fmt.Fprintf(&out, "run %s started %d times\n", name, n)
			}
		}
		fmt.Fprintf(&out, "%d runs\n", len(w.starts))
		if v, err := controller.Verify(t.Context(), j); err != nil || !v.Sound() {
			t.Fatalf("decisions made again: %+v %v", v, err)
		}
		told = strings.ReplaceAll(out.String(), ": hold \n", ": hold\n")
	})
	return told, appends
}
