package controller_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/witness"
	"github.com/anneal-ml/anneal/policy"
)

// A history is a recorded data set: a reference and batches after it.
type history struct {
	dir            string
	Target, Format string
	Ignore         []string
	batches        []string // names of the files, in their order
}

func readHistory(t *testing.T, name string) history {
	t.Helper()
	dir := filepath.Join(cmp.Or(os.Getenv("ANNEAL_SHARED"), filepath.Join("..", "..", "shared")), "drift", "datasets", name)
	h := history{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "schema.json"))
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("the recorded data are needed: %v", err)
		}
		t.Skipf("without the recorded data: %v", err)
	}
	if err := json.Unmarshal(data, &h); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "batch_*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for _, f := range files {
		h.batches = append(h.batches, filepath.Base(f))
	}
	return h
}

func (h history) reference() string { return "reference." + h.Format }

func (h history) open(o anneal.Object) (io.ReadCloser, error) {
	return os.Open(filepath.Join(h.dir, path.Base(o.URI)))
}

// policy trains on the reference, and then as often as rule says.
func (h history) policy(t testing.TB, rule string) *policy.Policy {
	t.Helper()
	ignore, _ := json.Marshal(append([]string{}, h.Ignore...))
	text := fmt.Sprintf(`{
		"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "history"},
		"spec": {
			"mode": "enforce", "model": {"group": "g"}, "data": {"target": %q, "train": {"last": 100}},
			"signals": {"drift": {"source": "data", "window": {"objects": 1}, "ignore": %s}},
			"triggers": [{"id": "new", "event": {"type": "Object Created"}}],
			"rules": [{"id": "first", "if": "!champion.exists"}, {"id": "again", "if": %q}],
			"run": {"stateMachine": {"file": "m.json"}, "model": {
				"state": "Train", "artifact": {"expr": "state.output.artifact"}, "metrics": {"expr": "state.output.metrics"}
			}},
			"promote": {"if": "true"}
		}}`, h.Target, ignore, rule)
	return written(t, text)
}

// replayed is what a daemon made of a history.
type replayed struct {
	signals map[string]anneal.Signal // by batch
	runs    int                      // after the first
}

func (r replayed) comparison(t *testing.T, batch string) drift.Comparison {
	t.Helper()
	var c drift.Comparison
	if s := r.signals[batch]; s.Status != anneal.SignalOK {
		t.Fatalf("%s: the signal is %s: %s", batch, s.Status, s.Error)
	} else if err := json.Unmarshal(s.Detail, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// replay gives a controller the files one after another, and time to train. Without
// rows, it has the profiles alone.
func (h history) replay(t *testing.T, rule string, rows bool) replayed {
	r := replayed{signals: map[string]anneal.Signal{}}
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, h.policy(t, rule), h.open, func(cfg *controller.Config) {
			cfg.Staging = "s3://staging"
			if rows {
				cfg.Open = opener(h.open).read
			}
		})
		for _, name := range append([]string{h.reference()}, h.batches...) {
			c.drop(name)
			time.Sleep(time.Hour)
		}
		events, last := map[string]string{}, h.batches[len(h.batches)-1]
		for record, err := range c.journal.Read(t.Context(), 1, false) {
			if err != nil {
				t.Fatal(err)
			}
			switch record.Kind {
			case controller.KindEvent:
				var e anneal.Event
				json.Unmarshal(record.Data, &e)
				events[e.ID] = e.Subject
			case controller.KindSignal:
				var s anneal.Signal
				json.Unmarshal(record.Data, &s)
				r.signals[events[s.Cause]] = s
			case controller.KindDecision:
				var d anneal.Decision
				json.Unmarshal(record.Data, &d)
				if d.Verdict == anneal.VerdictRun && d.Rule == "again" && events[d.Cause] != last { // what is trained after the last batch serves none
					r.runs++
				}
			}
		}
		if v := c.verify(); v.Agreed != len(h.batches)+1 {
			t.Errorf("%d decisions made again, want %d", v.Agreed, len(h.batches)+1)
		}
	})
	return r
}

// TestHistories replays real histories through a controller, and counts alarms
// without degradation and degradation without alarm. A model was degraded where
// its accuracy or AUC was 0.05 lower, or its error 25 % higher, than over the
// newest quarter of the reference. Evidently's rules are judged by what it itself
// found.
func TestHistories(t *testing.T) {
	if raceDetector {
		t.Skip("it is ten times as slow")
	}
	type count struct{ alarms, false, missed int }
	var lines [4]string
	t.Run("sets", func(t *testing.T) {
		for i, name := range []string{"elec2", "bike", "bank", "employment"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := readHistory(t, name)
				var expected struct {
					Batches []struct {
						Batch       string
						Drift       bool `json:"dataset_drift"`
						Performance struct {
							GBM struct {
								Degraded bool `json:"degraded_time_split"`
							}
						}
					}
				}
				data, err := os.ReadFile(filepath.Join(h.dir, "expected.json"))
				if err == nil {
					err = json.Unmarshal(data, &expected)
				}
				if err != nil {
					t.Fatal(err)
				}
				counts := map[string]*count{"evidently": {}, "columns": {}, "rows": {}}
				replays := map[string]replayed{"columns": h.replay(t, "false", false), "rows": h.replay(t, "false", true)}
				for i, b := range expected.Batches {
					for of, c := range counts {
						alarm, degraded := b.Drift, b.Performance.GBM.Degraded
						if of != "evidently" {
							own := replays[of].comparison(t, h.batches[i])
							alarm = own.Verdict == drift.Drift
							if (own.Quality != nil) != (of == "rows") {
								t.Errorf("%s: %s alone: %+v %q", of, b.Batch, own.Quality, own.ColumnsAlone)
							}
						}
						if alarm {
							c.alarms++
						}
						switch {
						case alarm && !degraded:
							c.false++
						case !alarm && degraded:
							c.missed++
						}
					}
				}
				for _, of := range []string{"evidently", "columns", "rows"} {
					c := counts[of]
					lines[i] += fmt.Sprintf("%-12s %-10s %6d %6d %6d\n", name, of, c.alarms, c.false, c.missed)
				}
				if own, e := counts["rows"], counts["evidently"]; own.false > e.false || own.missed > e.missed || name == "employment" && own.alarms+counts["columns"].alarms > 0 {
					t.Errorf("%d alarms, %d false and %d missed; Evidently's rules give %d, %d and %d", own.alarms, own.false, own.missed, e.alarms, e.false, e.missed)
				}
			})
		}
	})
	t.Logf("\n%-12s %-10s %6s %6s %6s\n%s", "HISTORY", "BY", "ALARMS", "FALSE", "MISSED", strings.Join(lines[:], ""))
}

// TestRetrain replays real histories through a controller that retrains when
// drift is due, on all rows so far: at least nine tenths of what retraining before
// each batch gains over never doing so, with half as many trainings. The models are
// of gradient boosting; the metric is the mean over the batches of what the README of the data
// names: AUC, or the mean absolute error.
func TestRetrain(t *testing.T) {
	if raceDetector {
		t.Skip("it is ten times as slow")
	}
	for name, metric := range map[string]string{"elec2": "auc", "bike": "mae", "bank": "auc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := readHistory(t, name)
			add := func(rows *witness.Rows, name string, types map[string]dataset.Type) *witness.Rows {
				f, err := h.open(anneal.Object{URI: name})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := rows.Add(t.Context(), f, name, dataset.Options{Columns: types}); err != nil {
					t.Fatal(err)
				}
				return rows
			}
			f, err := h.open(anneal.Object{URI: h.reference()})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			reference, err := profile.Build(t.Context(), f, h.reference(), dataset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			columns := drift.WitnessColumns(reference, drift.Options{Target: h.Target, Ignore: h.Ignore})
			so := add(&witness.Rows{}, h.reference(), reference.Schema())
			var first *witness.Witness
			replay := h.replay(t, "signals.drift.due", true)
			var never, told, always float64
			batches := float64(len(h.batches))
			for _, name := range h.batches {
				w, err := witness.Fit(so, h.Target, columns)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = w
				}
				batch := add(&witness.Rows{}, name, reference.Schema())
				q := replay.comparison(t, name).Quality
				i := slices.IndexFunc(q.Metrics, func(m witness.Metric) bool { return m.Metric == metric })
				n, a := first.Worth(batch)[metric], w.Worth(batch)[metric]
				never, told, always = never+n/batches, told+q.Metrics[i].Current/batches, always+a/batches
				add(so, name, reference.Schema())
			}
			gain := (told - never) / (always - never)
			t.Logf("%s: %s never %.4f, when told %.4f, always %.4f: %.0f %% of the gain with %d retrainings for %d batches", name, metric, never, told, always, 100*gain, replay.runs, len(h.batches))
			if gain < 0.9 || 2*replay.runs > len(h.batches) {
				t.Errorf("%.1f %% of the gain with %d retrainings for %d batches: want 90 %% with half as many", 100*gain, replay.runs, len(h.batches))
			}
		})
	}
}
