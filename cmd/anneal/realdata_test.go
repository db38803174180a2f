package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cmd/anneal/demo"
	"github.com/anneal-ml/anneal/objects"
)

// sharedDataset is the folder of a recorded data set.
func sharedDataset(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(cmp.Or(os.Getenv("ANNEAL_SHARED"), filepath.Join("..", "..", "..", "shared")), "drift", "datasets", name)
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("the recorded data are needed: %v", err)
		}
		t.Skipf("without the recorded data: %v", err)
	}
	return dir
}

// TestRealData serves real histories, batch by batch, with the policy that the
// demo writes for them.
func TestRealData(t *testing.T) {
	for _, set := range []struct {
		name, target, task, metric string
		ignore                     []string
		better                     func(live, never float64) bool
	}{
		{"elec2", "class", demo.Classification, "accuracy", nil, func(live, never float64) bool { return live > never }},
		{"bike", "cnt", demo.Regression, "mae", []string{"instant", "yr", "casual", "registered"}, func(live, never float64) bool { return live < never }},
	} {
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			files, err := demo.Batches(sharedDataset(t, set.name))
			if err != nil {
				t.Fatal(err)
			}
			summary, err := demo.Summarise(files, set.target, set.ignore)
			if err != nil {
				t.Fatal(err)
			}
			if summary.Task != set.task {
				t.Errorf("the task is taken for %s, want %s", summary.Task, set.task)
			}
			dir := t.TempDir()
			err = demo.WriteProject(dir, annealBinary, demo.ProjectOptions{
				Name: set.name, Target: set.target, Task: summary.Task, Ignore: set.ignore,
				ReferenceRows: summary.ReferenceRows, BatchRows: summary.BatchRows,
			})
			if err != nil {
				t.Fatal(err)
			}
			settings, err := os.ReadFile(filepath.Join(dir, "anneal.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, map[string]string{"anneal.yaml": strings.Replace(string(settings), "127.0.0.1:8080", "127.0.0.1:0", 1)})
			h := &history{t: t, p: begin(t, dir), metric: set.metric}
			for _, file := range files {
				h.drop(file)
			}
			h.check(len(files))
			live, never := h.live/h.rows, h.never/h.rows
			t.Logf("%s over %.0f rows: %.4g with retraining, %.4g without", set.metric, h.rows, live, never)
			if !set.better(live, never) {
				t.Errorf("%s is %.4g with retraining and %.4g without: it should be better", set.metric, live, never)
			}
		})
	}
}

// A history plays batches to a daemon and measures its champions on each batch
// before they can have seen it.
type history struct {
	t      *testing.T
	p      *process
	metric string

	champion, first *demo.Model
	championID      string

	rows, live, never float64 // the metric is summed over rows
}

func (h *history) drop(file string) {
	h.t.Helper()
	rows, err := demo.ReadFile(file)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.champion != nil {
		n := float64(len(rows.Records))
		h.rows += n
		h.live += n * h.score(h.champion, rows)
		h.never += n * h.score(h.first, rows)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		h.t.Fatal(err)
	}
	name := filepath.Base(file)
	drop(h.t, filepath.Join(h.p.dir, demo.Inbox), name, data)
	eventually(h.t, time.Minute, func() error {
		var events []anneal.Event
		if err := h.p.get("events?limit=20", &events); err != nil {
			return err
		}
		i := slices.IndexFunc(events, func(e anneal.Event) bool { return e.Subject == name })
		if i < 0 {
			return fmt.Errorf("no event of %s yet", name)
		}
		var decisions []anneal.Decision
		if err := h.p.get("decisions?limit=20", &decisions); err != nil {
			return err
		}
		if !slices.ContainsFunc(decisions, func(d anneal.Decision) bool { return d.Cause == events[i].ID }) {
			return fmt.Errorf("no decision about %s yet", name)
		}
		return h.settled()
	})
	h.follow()
}

// settled reports an open run.
func (h *history) settled() error {
	var runs []anneal.Run
	if err := h.p.get("runs?limit=5", &runs); err != nil {
		return err
	}
	for _, r := range runs {
		if !r.Status.Ended() {
			return fmt.Errorf("run %s is %s", r.ID, r.Status)
		}
	}
	return nil
}

// follow loads the champion, if it is a new one.
func (h *history) follow() {
	h.t.Helper()
	var models []anneal.Model
	if err := h.p.get("models?limit=0", &models); err != nil {
		h.t.Fatal(err)
	}
	for _, m := range models {
		if m.Stage != anneal.StageLive || m.ID() == h.championID {
			continue
		}
		store, err := objects.New(objects.Config{Buckets: map[string]string{"ml-data": filepath.Join(h.p.dir, demo.Bucket)}})
		if err != nil {
			h.t.Fatal(err)
		}
		model, err := demo.Load(context.Background(), store, m.Artifact.URI)
		if err != nil {
			h.t.Fatal(err)
		}
		if sum, n, err := store.Checksum(context.Background(), m.Artifact.URI); err != nil || sum != m.Artifact.SHA256 || n != m.Artifact.Bytes {
			h.t.Errorf("model %s: artifact has SHA-256 %s and %d bytes (%v), recorded are %s and %d", m.ID(), sum, n, err, m.Artifact.SHA256, m.Artifact.Bytes)
		}
		h.champion, h.championID = model, m.ID()
		if h.first == nil {
			h.first = model
		}
	}
}

func (h *history) score(m *demo.Model, rows *demo.Rows) float64 {
	metrics, _, err := m.Score(rows)
	if err != nil {
		h.t.Fatal(err)
	}
	return metrics[h.metric]
}

// check looks at what the whole history came to.
func (h *history) check(batches int) {
	h.t.Helper()
	var decisions []json.RawMessage
	var runs []anneal.Run
	var models []anneal.Model
	for path, into := range map[string]any{"decisions?limit=0": &decisions, "runs?limit=0": &runs, "models?limit=0": &models} {
		if err := h.p.get(path, into); err != nil {
			h.t.Fatal(err)
		}
	}
	drifted, held := 0, 0
	for _, raw := range decisions {
		var d anneal.Decision
		if err := json.Unmarshal(raw, &d); err != nil {
			h.t.Fatal(err)
		}
		switch d.Verdict {
		case anneal.VerdictRun:
			if d.Rule == "drifted" {
				drifted++
			}
		case anneal.VerdictHold:
			held++
		}
		if d.Reason == "" || len(d.Rules) == 0 || strings.Contains(string(raw), `"failed"`) {
			h.t.Errorf("decision %s gives no reason, no rules, or has a failed signal: %s", d.ID, raw)
		}
	}
	if held == 0 || drifted == 0 {
		h.t.Errorf("%d holds and %d runs for drift: want some of each", held, drifted)
	}
	if len(runs)*2 > batches {
		h.t.Errorf("%d runs for %d batches: want at most half as many", len(runs), batches)
	}
	promoted := 0
	for _, m := range models {
		if m.Stage == anneal.StageLive || m.Stage == anneal.StageRetired {
			promoted++
		}
		if len(m.Objects) == 0 || m.Objects[0].Event == "" {
			h.t.Errorf("model %s does not say what it was trained on: %+v", m.ID(), m.Objects)
		}
	}
	if promoted < 2 {
		h.t.Errorf("%d models were promoted: want some", promoted)
	}
	if out, status := h.p.anneal("decisions", "verify"); status != 0 {
		h.t.Errorf("decisions verify: status %d\n%.2000s", status, out)
	}
	h.t.Logf("%d decisions, %d runs (%d for drift), %d models, %d promoted", len(decisions), len(runs), drifted, len(models), promoted)
}
