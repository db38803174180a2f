package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// articlePath is the state machine that users start from, as it was published.
func articlePath(t *testing.T) string {
	t.Helper()
	shared := os.Getenv("ANNEAL_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	path, err := filepath.Abs(filepath.Join(shared, "pipeline", "article.asl.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("the published state machine is needed: %v", err)
		}
		t.Skipf("without the published state machine: %v", err)
	}
	return path
}

// articleSettings map its three functions, two images and one topic.
const articleSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policies]
staging: s3://ml-data/staging
buckets: {ml-data: ./bucket}
sources:
  - directory: {path: ./inbox, settle: 20ms}
embedded:
  functions:
    ValidateTrainingData: {command: [./validate.sh]}
    EvaluateModel: {builtin: evaluate-model}
    RegisterModel: {builtin: register-model}
  images:
    preprocessing: {command: [./preprocess.sh]}
    training: {command: [./train.sh]}
  topics: {ml-training-notifications: team}
notify: {team: log}
`

// articlePolicy gives it the input it was published with, but for the names of
// jobs, which must be new each time.
const articlePolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: article}
spec:
  mode: enforce
  model: {group: article}
  data: {train: {last: 1}}
  signals:
    rows: {source: data, reduce: rows, since: lastTrained}
  triggers:
    - {id: new-data, event: {type: Object Created}}
  rules:
    - {id: enough, if: "signals.rows.value >= 2"}
  run:
    stateMachine: {file: %s}
    input:
      DataPath: {expr: training.prefix}
      ProcessedDataPath: {expr: "'s3://ml-data/processed/' + run.id + '/'"}
      ModelOutputPath: s3://ml-data/models/
      ProcessingJobName: {expr: "'preprocess-' + run.id"}
      TrainingJobName: {expr: "'train-' + run.id"}
      TrainingImage: 123456789.dkr.ecr.us-east-1.amazonaws.com/training:latest
      HyperParameters: {epochs: "20", learning_rate: "0.1"}
      AccuracyThreshold: 0.7
    model:
      state: RegisterModel
      artifact: {expr: state.parameters.Payload.ModelArtifact}
      metrics: {expr: state.parameters.Payload.Metrics}
  notify:
    - {events: [failed, promoted], to: team}
`

const (
	validScript      = "#!/bin/sh\ncat > /dev/null\necho '{\"IsValid\": true, \"Reason\": \"\"}'\n"
	invalidScript    = "#!/bin/sh\ncat > /dev/null\necho '{\"IsValid\": false, \"Reason\": \"column y is constant\"}'\n"
	brokenScript     = "#!/bin/sh\ncat > /dev/null\necho 'no such column' >&2\nexit 1\n"
	preprocessScript = "#!/bin/sh\ncp \"$ANNEAL_ML_ROOT\"/processing/input/* \"$ANNEAL_ML_ROOT/processing/output/\"\n"
	// articleTrainer is told its accuracy; it finds the processed rows and the
	// hyperparameters where SageMaker puts them.
	articleTrainer = `#!/bin/sh
set -e
echo "$TRAINING_JOB_NAME" >> jobs.log
grep -q '"epochs": *"20"' "$ANNEAL_ML_ROOT/input/config/hyperparameters.json"
test "$SM_HP_LEARNING_RATE" = 0.1
grep -q '3,1' "$ANNEAL_ML_ROOT/input/data/training/"*.csv
echo '{"accuracy": %s}' > "$ANNEAL_ML_ROOT/model/metrics.json"
`
	failingTrainer = "#!/bin/sh\necho \"$TRAINING_JOB_NAME\" >> jobs.log\necho 'ValueError: y has one class' > \"$ANNEAL_ML_ROOT/output/failure\"\nexit 1\n"
)

// TestArticle runs the published state machine, unchanged, to each of its ends.
// They are those that it comes to on AWS.
func TestArticle(t *testing.T) {
	machine := articlePath(t)
	for _, story := range []struct {
		name      string
		validate  string
		train     string
		status    anneal.Status
		err       string // of the run
		cause     string // in it
		states    string // entered
		trainings int
		message   string // published; empty for none
		model     bool
	}{
		{
			name: "invalid data", validate: invalidScript, train: failingTrainer,
			status:  anneal.StatusSucceeded,
			states:  "ValidateData CheckValidation NotifyValidationFailure",
			message: `{"Status":"ValidationFailed","Reason":"column y is constant"}`,
		},
		{
			name: "failed gate", validate: validScript, train: fmt.Sprintf(articleTrainer, "0.6"),
			status:    anneal.StatusSucceeded,
			states:    "ValidateData CheckValidation PreprocessData TrainModel EvaluateModel CheckModelQuality NotifyLowQuality",
			trainings: 1,
			message:   `{"Status":"BelowThreshold","Metrics":{"accuracy":0.6}}`,
		},
		{
			name: "failing trainer", validate: validScript, train: failingTrainer,
			status: anneal.StatusFailed, err: "States.TaskFailed", cause: "ValueError: y has one class",
			states:    "ValidateData CheckValidation PreprocessData TrainModel",
			trainings: 1,
		},
		{
			name: "all well", validate: validScript, train: fmt.Sprintf(articleTrainer, "0.9"),
			status: anneal.StatusFailed, err: "States.Runtime", cause: "'$.TrainingResult.TrainingJobName'",
			states:    "ValidateData CheckValidation PreprocessData TrainModel EvaluateModel CheckModelQuality RegisterModel NotifySuccess",
			trainings: 1,
			model:     true,
		},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, map[string]string{
				"anneal.yaml":           articleSettings,
				"policies/article.yaml": fmt.Sprintf(articlePolicy, machine),
				"validate.sh":           story.validate,
				"preprocess.sh":         preprocessScript,
				"train.sh":              story.train,
				"inbox/.keep":           "",
				"bucket/.keep":          "",
			})
			p := begin(t, dir)
			drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,0\n2,1\n3,1\n"))
			run := p.ended(1)[0]
			if run.Status != story.status || run.Error != story.err || !strings.Contains(run.Cause, story.cause) {
				t.Errorf("the run ended %s %q: %s\nwant %s %q: … %s …", run.Status, run.Error, run.Cause, story.status, story.err, story.cause)
			}
			history := p.history(run.ID)
			if got := strings.Join(entered(history), " "); got != story.states {
				t.Errorf("states entered:\n%s\nwant\n%s", got, story.states)
			}
			jobs := lines(t, filepath.Join(dir, "jobs.log"))
			if len(jobs) != story.trainings || story.trainings > 0 && jobs[0] != "train-"+run.ID {
				t.Errorf("training jobs: %q, want %d of the run", jobs, story.trainings)
			}
			if got := p.messages(); !slices.Equal(got, without("", story.message)) {
				t.Errorf("published: %q, want %q", got, story.message)
			}
			var models []anneal.Model
			if err := p.get("models", &models); err != nil {
				t.Fatal(err)
			}
			if !story.model {
				if len(models) > 0 {
					t.Errorf("models: %v, want none", models)
				}
				return
			}
			want := []anneal.Model{{
				Group: "article", Version: 1, Stage: anneal.StageCandidate, Run: run.ID,
				Metrics: map[string]float64{"accuracy": 0.9}, Objects: run.Training.Objects, Reason: "the run did not succeed",
			}}
			if diff := cmp.Diff(want, models, cmpopts.IgnoreFields(anneal.Model{}, "Artifact", "TrainedAt", "StageAt")); diff != "" {
				t.Errorf("models (-want +got):\n%s", diff)
			}
			checkArtifact(t, dir, models[0].Artifact)
		})
	}
}

// TestArticleValidatorBreaks has the validator fail: its Retry tries it three
// times more, for 14 s in all, and its Catch ends the run through NotifyFailure.
func TestArticleValidatorBreaks(t *testing.T) {
	machine := articlePath(t)
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml":           articleSettings,
		"policies/article.yaml": fmt.Sprintf(articlePolicy, machine),
		"validate.sh":           brokenScript,
		"preprocess.sh":         preprocessScript,
		"train.sh":              failingTrainer,
		"inbox/.keep":           "",
		"bucket/.keep":          "",
	})
	p := begin(t, dir)
	drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,0\n2,1\n3,1\n"))
	run := p.ended(1)[0]
	if run.Status != anneal.StatusSucceeded {
		t.Errorf("the run ended %s %q: %s, want SUCCEEDED", run.Status, run.Error, run.Cause)
	}
	history := p.history(run.ID)
	if got, want := strings.Join(entered(history), " "), "ValidateData NotifyFailure"; got != want {
		t.Errorf("states entered: %s, want %s", got, want)
	}
	var tried int
	for _, e := range history {
		if e.Type == "TaskFailed" {
			tried++
		}
	}
	if tried != 4 {
		t.Errorf("the validator failed %d times, want 4", tried)
	}
	got := p.messages()
	if len(got) != 1 || !strings.Contains(got[0], `"Error":{"Error":"Runtime.ExitError"`) || !strings.Contains(got[0], "no such column") {
		t.Errorf("published: %q, want the validator's error", got)
	}
}

// ended waits until there have been n runs and all have ended; oldest first.
func (p *process) ended(n int) []anneal.Run {
	p.t.Helper()
	var runs []anneal.Run
	eventually(p.t, time.Minute, func() error {
		if err := p.get("runs", &runs); err != nil {
			return err
		}
		for _, r := range runs {
			if !r.Status.Ended() {
				return fmt.Errorf("run %s is %s", r.ID, r.Status)
			}
		}
		if len(runs) != n {
			return fmt.Errorf("%d runs, want %d", len(runs), n)
		}
		return nil
	})
	slices.Reverse(runs)
	return runs
}

func (p *process) history(run string) []asl.HistoryEvent {
	p.t.Helper()
	var history []asl.HistoryEvent
	if err := p.get("runs/"+run+"/history", &history); err != nil {
		p.t.Fatal(err)
	}
	return history
}

// messages are what state machines have published, once all is delivered;
// oldest first.
func (p *process) messages() []string {
	p.t.Helper()
	var notices []anneal.Notice
	eventually(p.t, 30*time.Second, func() error {
		if err := p.get("notices", &notices); err != nil {
			return err
		}
		for _, n := range notices {
			if n.Delivered == nil {
				return fmt.Errorf("notice %s (%s) is not delivered: %s", n.ID, n.Subject, n.Error)
			}
		}
		return nil
	})
	var texts []string
	for _, n := range slices.Backward(notices) {
		if n.Kind == anneal.NoticeMessage {
			texts = append(texts, n.Text)
		}
	}
	return texts
}

// entered are the names of the states entered, in order.
func entered(history []asl.HistoryEvent) []string {
	var names []string
	for _, e := range history {
		if e.StateEntered != nil {
			names = append(names, e.StateEntered.Name)
		}
	}
	return names
}

// lines are those of a file, none if it is not there.
func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

func without(unwanted string, texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == unwanted })
}
