package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

// An example is a folder of configs/ that is being served from a copy.
type example struct {
	*process
	t *testing.T
}

// serveExample copies an example and serves the copy, with these replacements
// in its settings, policies and state machines besides what a test needs: a free port, and files
// that settle at once.
func serveExample(t *testing.T, name string, replace ...string) example {
	t.Helper()
	source, dir := filepath.Join("..", "..", "configs", name), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	replace = append(replace, "127.0.0.1:8080", "127.0.0.1:0", "{path: ./inbox}", "{path: ./inbox, settle: 20ms}")
	policies, err := filepath.Glob(filepath.Join(dir, "policies", "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(policies, filepath.Join(dir, "anneal.yaml")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return example{begin(t, dir), t}
}

// drop has a file of the example's data appear in its inbox.
func (e example) drop(file, folder string) {
	e.t.Helper()
	data, err := os.ReadFile(filepath.Join(e.dir, "data", file))
	if err != nil {
		e.t.Fatal(err)
	}
	inbox := filepath.Join(e.dir, "inbox", folder)
	if err := os.MkdirAll(inbox, 0o777); err != nil {
		e.t.Fatal(err)
	}
	drop(e.t, inbox, file, data)
}

// succeeded waits for n runs to have done so.
func (e example) succeeded(n int) []anneal.Run {
	e.t.Helper()
	runs := e.ended(n)
	for _, run := range runs {
		if run.Status != anneal.StatusSucceeded {
			e.t.Fatalf("run %s ended %s %q: %s\n%s", run.ID, run.Status, run.Error, run.Cause, e.log)
		}
	}
	return runs
}

// models waits for n models and returns them, the oldest first.
func (e example) models(n int) []anneal.Model {
	e.t.Helper()
	var models []anneal.Model
	eventually(e.t, 30*time.Second, func() error {
		if err := e.get("models", &models); err != nil {
			return err
		}
		if len(models) != n {
			return fmt.Errorf("%d models, want %d", len(models), n)
		}
		return nil
	})
	slices.Reverse(models)
	return models
}

// verdicts are those of the n decisions, the oldest first.
func (e example) verdicts(n int) (verdicts []string) {
	e.t.Helper()
	for _, d := range slices.Backward(e.decided(n)) {
		verdicts = append(verdicts, string(d.Verdict)+" "+d.Rule)
	}
	return verdicts
}

func TestExampleClassicPipeline(t *testing.T) {
	t.Parallel()
	e := serveExample(t, "classic-pipeline")
	e.drop("january.csv", "")
	run := e.succeeded(1)[0]
	want := "ValidateData CheckValidation PreprocessData TrainModel EvaluateModel CheckModelQuality RegisterModel NotifySuccess Done"
	if got := strings.Join(entered(e.history(run.ID)), " "); got != want {
		t.Errorf("states entered:\n%s\nwant\n%s", got, want)
	}
	model := e.models(1)[0]
	if model.ID() != "churn@1" || model.Stage != anneal.StageLive || model.Metrics["accuracy"] < 0.7 || !maps.Equal(model.Importance, map[string]float64{"usage": 1}) {
		t.Errorf("model %+v, want churn@1, live, above the gate, that goes by usage", model)
	}
	checkArtifact(t, e.dir, model.Artifact)
	if got := e.messages(); len(got) != 1 || !strings.Contains(got[0], `"Status":"Success"`) {
		t.Errorf("published %q, want one message of success", got)
	}
	// The world has changed, which is a reason to train anew.
	e.drop("june.csv", "")
	e.succeeded(2)
	if got, want := e.verdicts(2), []string{"run first", "run drifted"}; !slices.Equal(got, want) {
		t.Errorf("verdicts %q, want %q", got, want)
	}
}

func TestExampleParallelVariants(t *testing.T) {
	t.Parallel()
	e := serveExample(t, "parallel-variants")
	e.drop("january.csv", "")
	run := e.succeeded(1)[0]
	states := entered(e.history(run.ID))
	for _, state := range []string{"TrainOnUsage", "TrainOnTickets", "TicketsAreBest", "RegisterModel"} {
		if !slices.Contains(states, state) {
			t.Errorf("states entered: %q, want %s among them", states, state)
		}
	}
	model := e.models(1)[0]
	if !strings.Contains(model.Artifact.URI, "tickets") || model.Stage != anneal.StageLive || model.Metrics["accuracy"] < 0.8 {
		t.Errorf("model %+v, want the variant on tickets, live", model)
	}
}

func TestExampleMapPartitions(t *testing.T) {
	t.Parallel()
	e := serveExample(t, "map-partitions")
	e.drop("january.csv", "")
	e.succeeded(1)
	model := e.models(1)[0]
	for _, region := range []string{"north", "south", "west"} {
		if model.Metrics[region] < 0.7 {
			t.Errorf("metrics %v, want one of %s above 0.7", model.Metrics, region)
		}
	}
	checkArtifact(t, e.dir, model.Artifact)
	bundle, err := os.ReadFile(filepath.Join(e.dir, "bucket", strings.TrimPrefix(model.Artifact.URI, "s3://ml-data/")))
	if err != nil || strings.Count(string(bundle), "model.tar.gz") != 3 {
		t.Errorf("the bundle lists %s (%v), want three models", bundle, err)
	}
}

func TestExampleWeeklySchedule(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for a minute to begin")
	}
	e := serveExample(t, "weekly-schedule", `"0 6 * * MON"`, `"* * * * *"`)
	e.drop("january.csv", "")
	e.oneSucceeded()
	var decisions []anneal.Decision
	if err := e.get("decisions", &decisions); err != nil {
		t.Fatal(err)
	}
	var counted, ran bool
	for _, d := range decisions {
		counted = counted || d.Trigger == "new-data" && d.Verdict == anneal.VerdictHold
		ran = ran || d.Trigger == "weekly" && d.Verdict == anneal.VerdictRun && d.Rule == "weekly"
	}
	if !counted || !ran {
		t.Errorf("decisions %+v, want new data counted and a tick that runs", decisions)
	}
	if model := e.models(1)[0]; model.Stage != anneal.StageLive {
		t.Errorf("model %+v, want a live one", model)
	}

	// As it is written: six o'clock in Berlin, in winter and in summer.
	settings := filepath.Join("..", "..", "configs", "weekly-schedule", "anneal.yaml")
	out, status := e.anneal("schedule", "show", "--config", settings, "--policy", "churn-weekly", "--from", "2026-03-23", "--to", "2026-04-05")
	if status != 0 || !strings.Contains(out, "2026-03-23T06:00:00+01:00") || !strings.Contains(out, "2026-03-30T06:00:00+02:00") {
		t.Errorf("schedule show: status %d\n%s", status, out)
	}
}

// oneSucceeded waits for a first run to do so; more may have begun by then.
func (e example) oneSucceeded() {
	e.t.Helper()
	eventually(e.t, 90*time.Second, func() error {
		var runs []anneal.Run
		if err := e.get("runs", &runs); err != nil {
			return err
		}
		if !slices.ContainsFunc(runs, func(r anneal.Run) bool { return r.Status == anneal.StatusSucceeded }) {
			return fmt.Errorf("none of %d runs has succeeded", len(runs))
		}
		return nil
	})
}

func TestExampleApproval(t *testing.T) {
	t.Parallel()
	e := serveExample(t, "approval")
	e.drop("january.csv", "")
	asked := e.decided(1)[0]
	if asked.Verdict != anneal.VerdictAwaitApproval || asked.Until == nil || asked.Until.Sub(asked.At) != 8*time.Hour {
		t.Fatalf("decision %+v, want one that asks for 8h", asked)
	}
	// The question outlives the daemon.
	e.kill()
	e.process = begin(t, e.dir)
	if out, status := e.anneal("approve", asked.ID, "--note", "for the quarter"); status != 0 || !strings.HasPrefix(out, "run: approved by hand: for the quarter") {
		t.Fatalf("approve: status %d: %s", status, out)
	}
	e.succeeded(1)
	if out, status := e.anneal("approve", asked.ID); status != exitUsage || !strings.Contains(out, "waits for no approval any more") {
		t.Errorf("approve again: status %d: %s", status, out)
	}
	if out, status := e.anneal("approve", e.models(1)[0].Run); status != exitUsage || !strings.Contains(out, "asks for no approval") {
		t.Errorf("approve what did not ask: status %d: %s", status, out)
	}
	// Less data costs less, and is not asked about; more is, and may be refused.
	e.drop("february.csv", "")
	var last anneal.Decision
	eventually(t, 30*time.Second, func() error {
		last = e.decided(1)[0]
		if last.Verdict != anneal.VerdictAwaitApproval {
			return errors.New("nothing is asked yet")
		}
		return nil
	})
	if out, status := e.anneal("reject", last.ID, "--note", "not this week"); status != 0 || !strings.HasPrefix(out, "hold: rejected by hand: not this week") {
		t.Errorf("reject: status %d: %s", status, out)
	}
	e.succeeded(1)
	if out, status := e.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%s", status, out)
	}
}

func TestExampleDegradation(t *testing.T) {
	t.Parallel()
	e := serveExample(t, "degradation")
	e.drop("january.csv", "")
	e.drop("predictions.csv", "predictions") // as the README has it: without waiting for the model
	e.decided(2)
	e.succeeded(1)
	e.models(1)
	e.drop("labels.csv", "labels")
	got := e.verdicts(3)
	runs := slices.DeleteFunc(slices.Clone(got), func(v string) bool { return !strings.HasPrefix(v, "run ") })
	if diff := cmp.Diff([]string{"run first"}, runs); diff != "" || got[2] != "defer degraded" {
		t.Errorf("verdicts %q, want one run and then a defer\n%s", got, e.log)
	}
	last := e.decided(3)[0]
	if quality := last.Signals["quality"]; quality.Status != anneal.SignalOK || quality.N != 50 {
		t.Errorf("signal quality %+v, want it over the 50 predictions that have a label", quality)
	}
}

// Every example says in about ten lines what it is, and is sound. One of which the check
// warns says that, too.
func TestExamplesAreSound(t *testing.T) {
	t.Parallel()
	settings, err := filepath.Glob("../../configs/*/anneal.yaml")
	if err != nil || len(settings) < 6 {
		t.Fatalf("examples: %q, %v", settings, err)
	}
	for _, file := range settings {
		readme, err := os.ReadFile(filepath.Join(filepath.Dir(file), "README.md"))
		if n := strings.Count(string(readme), "\n"); err != nil || n < 8 || n > 20 {
			t.Errorf("%s: the README has %d lines (%v)", file, n, err)
		}
		p := &process{t: t}
		warned := strings.Contains(string(readme), "\nThe check warns of ")
		if out, status := p.anneal("check", "--config", file); status != 0 || strings.Contains(out, "warning") != warned || !strings.Contains(out, "\nsound: 1 policy, 1 state machine\n") {
			t.Errorf("check of %s: status %d\n%s", file, status, out)
		}
	}
}

// The labels of a file are asked for, and looked for until they are there.
func TestExampleHTTPTask(t *testing.T) {
	t.Parallel()
	var posts, looks atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Header.Get("X-Api-Key") != "local-only":
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodPost && posts.Add(1) == 1:
			w.WriteHeader(http.StatusTooManyRequests)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"id": "7"}`)
		case r.URL.String() != "/jobs/7?fields=done&fields=labels":
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprintf(w, `{"done": %t, "labels": 20}`, looks.Add(1) > 1)
		}
	}))
	t.Cleanup(api.Close)
	e := serveExample(t, "http-task", "127.0.0.1:9090", api.Listener.Addr().String())
	drop(t, filepath.Join(e.dir, "inbox"), "january.csv", []byte("x\n1\n"))
	e.succeeded(1)
	if posts.Load() != 2 || looks.Load() != 2 {
		t.Errorf("asked for labels %d times and looked %d times, want 2 and 2", posts.Load(), looks.Load())
	}
	out, status := runOnce("asl", "run", filepath.Join(e.dir, "policies", "labels.asl.json"), "--config", filepath.Join(e.dir, "anneal.yaml"), "--input", filepath.Join(e.dir, "input.json"))
	if status != 0 || !strings.Contains(out, `SUCCEEDED {"File":"january.csv","Job":{"id":"7"},"Labels":{"done":true,"labels":20}}`) {
		t.Errorf("asl run: status %d\n%s", status, out)
	}
}
