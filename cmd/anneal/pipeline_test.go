package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cmd/anneal/demo"
)

const pipelineSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policies]
staging: s3://ml-data/staging
buckets: {ml-data: ./bucket}
sources:
  - directory: {path: ./inbox, settle: 20ms}
embedded:
  functions:
    ValidateTrainingData: {builtin: validate-data}
    EvaluateModel: {builtin: evaluate-model}
    RegisterModel: {builtin: register-model}
  images:
    trainer: {command: [./train.sh]}
  topics: {ml-training-notifications: team}
notify: {team: log}
`

const pipelinePolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: prices}
spec:
  mode: enforce
  model: {group: prices}
  data: {target: y, train: {last: 2}}
  signals:
    rows: {source: data, reduce: rows, since: lastTrained}
  triggers:
    - {id: new-data, event: {type: Object Created}}
  rules:
    - {id: enough, if: "signals.rows.value >= 4"}
  guards:
    concurrency: {limit: 1, overlap: buffer-one}
  run:
    stateMachine: {file: %s}
    input:
      DataPath: {expr: training.prefix}
      TrainingJobName: {expr: "'train-' + run.id"}
      ModelOutputPath: s3://ml-data/models/
      HyperParameters: {target: y}
      Metric: accuracy
      MetricThreshold: 0.5
    timeout: %s
    model:
      state: RegisterModel
      artifact: {expr: state.parameters.Payload.ModelArtifact}
      metrics: {expr: state.parameters.Payload.Metrics}
  promote: {if: "candidate.metrics.accuracy >= champion.metrics.accuracy"}
  notify:
    - {events: [started, failed, promoted], to: team}
`

// thirdTimeTrainer fails twice and then works.
const thirdTimeTrainer = `#!/bin/sh
set -e
echo "$TRAINING_JOB_NAME" >> jobs.log
if [ "$(wc -l < jobs.log)" -lt 3 ]; then
	echo 'out of luck' > "$ANNEAL_ML_ROOT/output/failure"
	exit 1
fi
ls "$ANNEAL_ML_ROOT/input/data/training" > files.log
echo '{"accuracy": 0.8}' > "$ANNEAL_ML_ROOT/model/metrics.json"
`

// endlessTrainer has a child, as trainers do, and neither ends by itself.
const endlessTrainer = `#!/bin/sh
sleep 1000 &
echo "$$ $!" > pids.part && mv pids.part pids.log
wait
`

// patientTrainer ends when there is a file `go`.
const patientTrainer = `#!/bin/sh
echo "$TRAINING_JOB_NAME" >> jobs.log
while [ ! -e go ]; do sleep 0.02; done
echo '{"accuracy": 0.8}' > "$ANNEAL_ML_ROOT/model/metrics.json"
`

// pipelineProject is a project with the pipeline of the demo and a trainer.
func pipelineProject(t *testing.T, trainer, timeout string) (dir string) {
	t.Helper()
	machine, err := filepath.Abs("demo/files/policies/pipeline.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml":          pipelineSettings,
		"policies/prices.yaml": fmt.Sprintf(pipelinePolicy, machine, timeout),
		"train.sh":             trainer,
		"inbox/.keep":          "",
		"bucket/.keep":         "",
	})
	return dir
}

// TestPipelineTriesAgain has the trainer fail twice: each attempt has a job
// name of its own, and the third one's model is promoted.
func TestPipelineTriesAgain(t *testing.T) {
	t.Parallel()
	dir := pipelineProject(t, thirdTimeTrainer, "1m")
	p := begin(t, dir)
	drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,0\n2,1\n3,1\n"))
	p.decided(1)
	drop(t, filepath.Join(dir, "inbox"), "b.csv", []byte("x,y\n4,0\n5,1\n"))
	run := p.ended(1)[0]
	if run.Status != anneal.StatusSucceeded {
		t.Fatalf("the run ended %s %q: %s, want SUCCEEDED", run.Status, run.Error, run.Cause)
	}
	jobs := lines(t, filepath.Join(dir, "jobs.log"))
	want := []string{"train-" + run.ID + "-0", "train-" + run.ID + "-1", "train-" + run.ID + "-2"}
	if !slices.Equal(jobs, want) {
		t.Errorf("training jobs %q, want %q", jobs, want)
	}
	if got := lines(t, filepath.Join(dir, "files.log")); len(got) != 2 {
		t.Errorf("the trainer found %q, want the two files", got)
	}

	var models []anneal.Model
	if err := p.get("models", &models); err != nil {
		t.Fatal(err)
	}
	if len(models) != 1 || models[0].ID() != "prices@1" || models[0].Stage != anneal.StageLive || models[0].Run != run.ID {
		t.Fatalf("models %+v, want prices@1, live", models)
	}
	if diff := cmp.Diff(map[string]float64{"accuracy": 0.8}, models[0].Metrics); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	checkArtifact(t, dir, models[0].Artifact)

	// From the model back to the events.
	var events []anneal.Event
	if err := p.get("events", &events); err != nil {
		t.Fatal(err)
	}
	var lineage []anneal.Object
	for _, e := range slices.Backward(events) {
		if e.Source != anneal.SourceDirectory {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, "inbox", e.Subject))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		lineage = append(lineage, anneal.Object{
			URI: "s3://inbox/" + e.Subject, Version: hex.EncodeToString(sum[:]), Bytes: int64(len(data)),
			Rows: int64(strings.Count(string(data), "\n") - 1), Event: e.ID, Seen: e.Seen,
		})
	}
	if len(lineage) != 2 {
		t.Errorf("%d files have become events, want 2", len(lineage))
	}
	if diff := cmp.Diff(lineage, models[0].Objects); diff != "" {
		t.Errorf("objects that the model was trained on (-want +got):\n%s", diff)
	}

	message := fmt.Sprintf(`{"Status":"Success","TrainingJobName":"train-%s-2","Metrics":{"accuracy":0.8}}`, run.ID)
	if got := p.messages(); !slices.Equal(got, []string{message}) {
		t.Errorf("published %q, want %q", got, message)
	}
	var notices []anneal.Notice
	if err := p.get("notices", &notices); err != nil {
		t.Fatal(err)
	}
	told := map[anneal.NoticeKind]int{}
	for _, n := range notices {
		told[n.Kind]++
	}
	if diff := cmp.Diff(map[anneal.NoticeKind]int{anneal.NoticeStarted: 1, anneal.NoticePromoted: 1, anneal.NoticeMessage: 1}, told); diff != "" {
		t.Errorf("notices by kind (-want +got):\n%s", diff)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%s", status, out)
	}
}

// TestPipelineTimesOut has a trainer that never ends: the run's timeout ends it,
// with all its processes. On a machine that stands still a run may be over before its
// trainer has begun: then another one is started.
func TestPipelineTimesOut(t *testing.T) {
	t.Parallel()
	dir := pipelineProject(t, endlessTrainer, "2s")
	p := begin(t, dir)
	var run anneal.Run
	for n := 1; len(lines(t, filepath.Join(dir, "pids.log"))) == 0; n++ {
		if n > 10 {
			t.Fatal("no training has begun")
		}
		drop(t, filepath.Join(dir, "inbox"), fmt.Sprintf("%d.csv", n), fmt.Appendf(nil, "x,y\n1,0\n2,1\n3,1\n4,%d\n", n))
		run = p.ended(n)[n-1]
	}
	pids := trainerProcesses(t, dir)
	if run.Status != anneal.StatusTimedOut || run.Error != "States.Timeout" {
		t.Errorf("the run ended %s %q: %s, want TIMED_OUT", run.Status, run.Error, run.Cause)
	}
	gone(t, pids)
	var models []anneal.Model
	if err := p.get("models", &models); err != nil {
		t.Fatal(err)
	}
	if len(models) > 0 {
		t.Errorf("models %v, want none", models)
	}
}

// TestPipelineStopped stops a run by hand.
func TestPipelineStopped(t *testing.T) {
	t.Parallel()
	dir := pipelineProject(t, endlessTrainer, "1h")
	p := begin(t, dir)
	drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,0\n2,1\n3,1\n4,0\n"))
	pids := trainerProcesses(t, dir)
	var runs []anneal.Run
	eventually(t, 10*time.Second, func() error { // its trainer may have begun before that is recorded
		if err := p.get("runs", &runs); err != nil {
			return err
		}
		if len(runs) != 1 || runs[0].Status != anneal.StatusRunning {
			return fmt.Errorf("runs %+v, want one, RUNNING", runs)
		}
		return nil
	})
	if out, status := p.anneal("runs", "stop", runs[0].ID, "--cause", "the data were wrong"); status != 0 {
		t.Fatalf("runs stop: status %d: %s", status, out)
	}
	run := p.ended(1)[0]
	if run.Status != anneal.StatusAborted || run.Cause != "the data were wrong" {
		t.Errorf("the run ended %s %q: %s, want ABORTED with the cause", run.Status, run.Error, run.Cause)
	}
	gone(t, pids)
	if out, status := p.anneal("runs", "stop", runs[0].ID); status != exitUsage || !strings.Contains(out, "has ended") {
		t.Errorf("runs stop of an ended run: status %d: %s", status, out)
	}
	if out, status := p.anneal("runs", "stop", "nightly-none"); status != exitUsage {
		t.Errorf("runs stop of no run: status %d: %s", status, out)
	}
}

// TestPipelineOutlivesDaemon stops the daemon in order while a job trains, and
// starts it again: the job goes on, and is not begun again.
func TestPipelineOutlivesDaemon(t *testing.T) {
	t.Parallel()
	dir := pipelineProject(t, patientTrainer, "1h")
	p := begin(t, dir)
	drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,0\n2,1\n3,1\n4,0\n"))
	log := filepath.Join(dir, "jobs.log")
	eventually(t, 30*time.Second, func() error {
		if len(lines(t, log)) == 0 {
			return fmt.Errorf("no training has begun")
		}
		return nil
	})
	for range 2 {
		p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil { // how long it takes, [TestStop] looks at
			t.Fatalf("the daemon ended with %v, want status 0\n%s", err, p.log)
		}
		p = begin(t, dir)
	}
	write(t, dir, map[string]string{"go": ""})
	run := p.ended(1)[0]
	if run.Status != anneal.StatusSucceeded {
		t.Errorf("the run ended %s %q: %s, want SUCCEEDED", run.Status, run.Error, run.Cause)
	}
	if got, want := lines(t, log), []string{"train-" + run.ID + "-0"}; !slices.Equal(got, want) {
		t.Errorf("training jobs %q, want %q", got, want)
	}
	if got := p.messages(); len(got) != 1 {
		t.Errorf("published %q, want one message", got)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%s", status, out)
	}
}

// TestDemoProjectIsSound checks the projects that the demo writes.
func TestDemoProjectIsSound(t *testing.T) {
	t.Parallel()
	for _, project := range []struct {
		name  string
		write func(dir string) error
	}{
		{"market", func(dir string) error { return demo.WriteMarket(dir, annealBinary) }},
		{"prices", func(dir string) error {
			return demo.WriteProject(dir, annealBinary, demo.ProjectOptions{
				Name: "prices", Target: "price, net: \"EUR\"", Task: demo.Regression, Ignore: []string{"id"}, ReferenceRows: 100, BatchRows: 10,
			})
		}},
	} {
		dir := t.TempDir()
		if err := project.write(dir); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(annealBinary, "check", "--config", filepath.Join(dir, "anneal.yaml")).CombinedOutput()
		want := fmt.Sprintf("policy %s: enforce, 2 rules for model %[1]s, 1 trigger\nsound: 1 policy, 1 state machine\n", project.name)
		if err != nil || string(out) != want {
			t.Errorf("check of project %s: %v\n%s\nwant\n%s", project.name, err, out, want)
		}
	}
}

// decided waits until there are n decisions.
func (p *process) decided(n int) []anneal.Decision {
	p.t.Helper()
	var decisions []anneal.Decision
	eventually(p.t, time.Minute, func() error {
		if err := p.get("decisions?limit=0", &decisions); err != nil {
			return err
		}
		if len(decisions) < n {
			return fmt.Errorf("%d decisions, want %d", len(decisions), n)
		}
		return nil
	})
	return decisions
}

// trainerProcesses waits for the endless trainer and returns its processes.
func trainerProcesses(t *testing.T, dir string) (pids []int) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		words := lines(t, filepath.Join(dir, "pids.log"))
		if len(words) != 2 {
			return fmt.Errorf("no training has begun")
		}
		for _, word := range words {
			pid, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return nil
	})
	return pids
}

// gone waits until none of the processes is there.
func gone(t *testing.T, pids []int) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		for _, pid := range pids {
			if running(pid) {
				return fmt.Errorf("process %d is still there", pid)
			}
		}
		return nil
	})
}

// running reports whether there is a process that has not ended; one that
// nobody has waited for has.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// checkArtifact reads the artifact of a model in the bucket ml-data of the
// project in dir and compares its bytes and checksum.
func checkArtifact(t *testing.T, dir string, artifact anneal.Artifact) {
	t.Helper()
	key, ok := strings.CutPrefix(artifact.URI, "s3://ml-data/")
	if !ok {
		t.Fatalf("the artifact is %q, want one in s3://ml-data/", artifact.URI)
	}
	data, err := os.ReadFile(filepath.Join(dir, "bucket", filepath.FromSlash(key)))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != artifact.SHA256 || int64(len(data)) != artifact.Bytes {
		t.Errorf("the artifact has %d bytes and SHA-256 %x, recorded are %d and %s", len(data), sum, artifact.Bytes, artifact.SHA256)
	}
}
