package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
)

// trainer.sh is a training job that leaves a line in work.log as it begins and
// one as it ends, by the ID of its effect, and is not quick.
const trainerScript = `#!/bin/sh
echo "begin $(basename "$ANNEAL_ML_ROOT") $SM_HP_GROUP" >> "$WORK_LOG"
sleep 0.$((RANDOM_SEED % 3 + 1))
echo '{"accuracy": 0.9}' > "$ANNEAL_ML_ROOT/model/metrics.json"
echo "end $(basename "$ANNEAL_ML_ROOT") $SM_HP_GROUP" >> "$WORK_LOG"
`

const killSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policies]
buckets: {ml: ./bucket}
sources:
  - directory: {path: ./inbox, settle: 20ms}
embedded:
  jobs: 4
  functions:
    Check: {command: [./check.sh], env: {WORK_LOG: %[1]s}}
    Evaluate: {builtin: evaluate-model}
  images:
    trainer: {command: [./trainer.sh], env: {WORK_LOG: %[1]s}}
  topics: {news: team}
notify: {team: log}
`

const killMachine = `{
  "StartAt": "Check",
  "States": {
    "Check": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
      "Parameters": {"FunctionName": "Check", "Payload": {"Data.$": "$.Data"}}, "ResultPath": "$.Checked", "Next": "Train"},
    "Train": {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
      "Parameters": {
        "TrainingJobName.$": "States.Format('{}-{}', $.Job, $$.State.RetryCount)",
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "AlgorithmSpecification": {"TrainingImage": "trainer:latest", "TrainingInputMode": "File"},
        "HyperParameters": {"group.$": "$.Group"},
        "InputDataConfig": [{"ChannelName": "training", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri.$": "$.Data"}}}],
        "OutputDataConfig": {"S3OutputPath": "s3://ml/models/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60}
      },
      "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 3}],
      "ResultPath": "$.Trained", "Next": "Evaluate"},
    "Evaluate": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
      "Parameters": {"FunctionName": "Evaluate", "Payload": {"ModelArtifact.$": "$.Trained.ModelArtifacts.S3ModelArtifacts", "MetricThreshold": 0.5}},
      "ResultPath": "$.Evaluated", "Next": "Tell"},
    "Tell": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish",
      "Parameters": {"TopicArn": "arn:aws:sns:us-east-1:123456789012:news", "Message": {"Group.$": "$.Group"}}, "End": true}
  }
}`

const killPolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: %[1]s}
spec:
  mode: enforce
  model: {group: %[2]s}
  data: {target: y, train: {last: 2}}
  signals:
    rows: {source: data, reduce: rows, since: lastTrained}
    drift: {source: data, window: {objects: 1}, reference: champion}
  triggers:
    - {id: new, event: {type: Object Created}}
  rules:
    - {id: any, if: "signals.rows.value >= 40"}
  guards:
    concurrency: {limit: 1, overlap: buffer-one}
  run:
    stateMachine: {file: machine.asl.json}
    input:
      Group: %[2]s
      Data: {expr: training.prefix}
      Job: {expr: "'job-' + run.id"}
    model:
      state: Evaluate
      artifact: {expr: state.parameters.Payload.ModelArtifact}
      metrics: {expr: state.output.Evaluated.Payload.Metrics}
  promote: {if: "candidate.metrics.accuracy >= champion.metrics.accuracy"}
  notify:
    - {events: [started, failed, promoted], to: team}
`

// TestKill kills the daemon at random moments, again and again, while files
// are dropped and jobs run, and then looks whether anything happened twice or
// not at all.
func TestKill(t *testing.T) {
	kills := 120
	if testing.Short() {
		kills = 10
	}
	dir := t.TempDir()
	work := filepath.Join(dir, "work.log")
	write(t, dir, map[string]string{
		"anneal.yaml":               fmt.Sprintf(killSettings, work),
		"policies/machine.asl.json": killMachine,
		"policies/a.yaml":           fmt.Sprintf(killPolicy, "a", "left"),
		"policies/b.yaml":           fmt.Sprintf(killPolicy, "b", "right"),
		"policies/c.yaml":           fmt.Sprintf(killPolicy, "c", "right"),
		"trainer.sh":                strings.ReplaceAll(trainerScript, "RANDOM_SEED", "$$"),
		"check.sh":                  "#!/bin/sh\necho \"begin $(basename \"$PWD\")\" > /dev/null\ncat > /dev/null\necho '{\"ok\": true}'\n",
		"inbox/.keep":               "",
		"bucket/.keep":              "",
	})
	r := rand.New(rand.NewPCG(1, 2))
	p := &process{t: t, dir: dir}
	dropped := 0
	for range kills {
		p.start()
		for end := time.Now().Add(time.Duration(20+r.IntN(300)) * time.Millisecond); time.Now().Before(end); {
			if r.IntN(3) == 0 {
				drop(t, filepath.Join(dir, "inbox"), fmt.Sprintf("f%04d.csv", dropped), csvBatch(r, 30))
				dropped++
			}
			time.Sleep(time.Duration(10+r.IntN(40)) * time.Millisecond)
		}
		p.kill()
	}
	p = begin(t, dir)

	var runs []anneal.Run
	eventually(t, 2*time.Minute, func() error {
		var events []anneal.Event
		if err := p.get("events?limit=0", &events); err != nil {
			return err
		}
		files := map[string]int{}
		for _, e := range events {
			if e.Source == anneal.SourceDirectory {
				files[e.Subject]++
			}
		}
		for name, n := range files {
			if n != 1 {
				t.Fatalf("file %s became %d events", name, n)
			}
		}
		if len(files) != dropped {
			return fmt.Errorf("%d of %d files have become events", len(files), dropped)
		}
		var policies []controller.PolicyStatus
		if err := p.get("policies", &policies); err != nil {
			return err
		}
		if err := p.get("runs?limit=0", &runs); err != nil {
			return err
		}
		for _, run := range runs {
			if !run.Status.Ended() {
				return fmt.Errorf("run %s is %s", run.ID, run.Status)
			}
		}
		for _, s := range policies {
			if s.Waiting > 0 || s.Rows >= 40 {
				return fmt.Errorf("policy %s has %d wakes and %d rows left", s.Name, s.Waiting, s.Rows)
			}
		}
		return nil
	})
	if len(runs) < 3 {
		t.Errorf("only %d runs: the test tells too little", len(runs))
	}
	for _, run := range runs {
		// A job whose shim was caught before it began may be lost; the machine
		// retries it, under another ID.
		if run.Status != anneal.StatusSucceeded {
			t.Errorf("run %s ended %s: %s %s", run.ID, run.Status, run.Error, run.Cause)
		}
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%.2000s", status, out)
	}
	begun, most := readWork(t, work)
	for id, n := range begun {
		if n != 1 {
			t.Errorf("effect %s began %d processes", id, n)
		}
	}
	for group, n := range most {
		if n > 1 {
			t.Errorf("group %s had %d trainings at a time, and the limit is 1", group, n)
		}
	}
	t.Logf("%d kills, %d files, %d runs, %d jobs", kills, dropped, len(runs), len(begun))
}

// readWork counts the processes each effect began, and the trainings that a
// group had at a time.
func readWork(t *testing.T, path string) (begun, most map[string]int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	begun, most = map[string]int{}, map[string]int{}
	open := map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var what, id, group string
		fmt.Sscan(lines.Text(), &what, &id, &group)
		if what == "begin" {
			begun[id]++
			open[group]++
			most[group] = max(most[group], open[group])
		} else {
			open[group]--
		}
	}
	return begun, most
}

// csvBatch is a small table of random numbers.
func csvBatch(r *rand.Rand, rows int) []byte {
	var b strings.Builder
	b.WriteString("x,z,y\n")
	for range rows {
		fmt.Fprintf(&b, "%.4f,%.4f,%d\n", r.NormFloat64(), r.Float64(), r.IntN(2))
	}
	return []byte(b.String())
}
