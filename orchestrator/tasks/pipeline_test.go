package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// article reads the pipeline that users start from, and an input for it.
func article(t *testing.T) (definition []byte, input map[string]any) {
	t.Helper()
	root := os.Getenv("ANNEAL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(root, "pipeline")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no shared data: %v", err)
	}
	definition, err := os.ReadFile(filepath.Join(dir, "article.asl.json"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "article.input.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &input); err != nil {
		t.Fatal(err)
	}
	return definition, input
}

// correct is the pipeline without its fault, and with a Retry that gives each
// attempt a fresh name.
func correct(t *testing.T, definition []byte) []byte {
	t.Helper()
	var d struct {
		StartAt string
		States  map[string]map[string]any
	}
	if err := json.Unmarshal(definition, &d); err != nil {
		t.Fatal(err)
	}
	d.States["RegisterModel"]["ResultPath"] = "$.Registered"
	train := d.States["TrainModel"]
	train["Retry"] = []any{map[string]any{"ErrorEquals": []any{"States.TaskFailed"}, "IntervalSeconds": 1, "BackoffRate": 1}}
	parameters := train["Parameters"].(map[string]any)
	parameters["TrainingJobName.$"] = "States.Format('{}-{}', $.TrainingJobName, $$.State.RetryCount)"
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// pipelineBench is a bench on which the article's functions and images are
// processes; each leaves a line in the file marks.
func pipelineBench(t *testing.T, train string) *bench {
	b := newBench(t, func(c *Config) {
		sh := func(script string) Function {
			return Function{Command: []string{"/bin/sh", "-c", script}, Dir: c.Images["training"].Dir}
		}
		c.Functions = map[string]Function{
			"ValidateTrainingData": sh(`echo validate >>marks; if grep -q bad; then echo '{"IsValid": false, "Reason": "bad"}'; else echo '{"IsValid": true}'; fi`),
			"Evaluate*":            sh(`echo evaluate >>marks; if grep -q '"MetricThreshold":0.99'; then p=false; else p=true; fi; echo '{"PassedThreshold": '$p', "Metrics": {"accuracy": 0.8}}'`),
			"RegisterModel":        sh(`echo register >>marks; cat`),
		}
		c.Images["preprocessing"] = Image{Command: []string{"/bin/sh", "process.sh"}, Dir: c.Images["training"].Dir}
		c.Topics = map[string]string{"ml-training-notifications": "team"}
	})
	b.put("s3://ml-data/training/2026-11-22/day.csv", "1,2\n")
	b.script("process.sh", `echo process >>marks; sed s/1/one/ $ANNEAL_ML_ROOT/processing/input/day.csv >$ANNEAL_ML_ROOT/processing/output/clean.csv`)
	b.script("train.sh", `echo train >>marks; `+train)
	return b
}

func TestArticlePipeline(t *testing.T) {
	original, input := article(t)
	const works = `cat $SM_CHANNEL_TRAINING/clean.csv >$SM_MODEL_DIR/model; echo trained`
	// It fails until it was begun three times.
	const third = `[ $(grep -c train marks) = 3 ] || { echo "diverged" >&2; exit 1; }; ` + works
	with := func(name string, v any) map[string]any {
		m := map[string]any{}
		for k, v := range input {
			m[k] = v
		}
		m[name] = v
		return m
	}
	tests := []struct {
		name       string
		definition []byte
		input      map[string]any
		train      string
		status     anneal.Status
		err        string
		ran        string
		told       string // is in the message
		last       string // state that was entered last
	}{
		{"everything well", original, input, works, "FAILED", "States.Runtime", "validate process train evaluate register", "", "NotifySuccess"},
		{"invalid data", original, with("DataPath", "s3://ml-data/bad/"), works, "SUCCEEDED", "", "validate", `"Status":"ValidationFailed"`, "NotifyValidationFailure"},
		{"failed gate", original, with("AccuracyThreshold", 0.99), works, "SUCCEEDED", "", "validate process train evaluate", `"Status":"BelowThreshold"`, "NotifyLowQuality"},
		{"failing trainer", original, input, "exit 1", "FAILED", "States.TaskFailed", "validate process train", "", "TrainModel"},
		{"corrected", correct(t, original), input, works, "SUCCEEDED", "", "validate process train evaluate register", `"TrainingJobName":"train-2026-11-22-0"`, "NotifySuccess"},
		{"corrected, failing twice", correct(t, original), input, third, "SUCCEEDED", "", "validate process train train train evaluate register", `"TrainingJobName":"train-2026-11-22-2"`, "NotifySuccess"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := pipelineBench(t, tt.train)
			j, err := file.OpenJournal(t.Context(), t.TempDir(), journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			e, err := engine.New(t.Context(), engine.Config{Journal: j, Tasks: b.Tasks}, nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- e.Run(ctx) }()
			data, err := json.Marshal(tt.input)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Start(ctx, orchestrator.StartInput{Name: "run", Machine: orchestrator.Machine{Name: "article", Definition: tt.definition}, Input: data}); err != nil {
				t.Fatal(err)
			}
			x, err := e.Wait(ctx, "run")
			if err != nil {
				t.Fatal(err)
			}
			if x.Status != tt.status || x.Error != tt.err {
				t.Errorf("ended %s %s: %s, want %s %s", x.Status, x.Error, x.Cause, tt.status, tt.err)
			}
			if ran := strings.Join(strings.Fields(b.read(filepath.Join(b.work, "marks"))), " "); ran != tt.ran {
				t.Errorf("ran %s, want %s", ran, tt.ran)
			}
			if told := strings.Join(b.told, "\n"); !strings.Contains(told, tt.told) || (tt.told == "") != (told == "") {
				t.Errorf("told %q, want %q", told, tt.told)
			}
			events, err := e.History(ctx, "run")
			if err != nil {
				t.Fatal(err)
			}
			last := ""
			for _, ev := range events {
				if ev.StateEntered != nil {
					last = ev.StateEntered.Name
				}
			}
			if last != tt.last {
				t.Errorf("last state %s, want %s", last, tt.last)
			}
			if strings.Contains(tt.ran, "evaluate") {
				models, err := filepath.Glob(b.objects.file("s3://ml-data/models/*/output/model.tar.gz"))
				if err != nil || len(models) != 1 {
					t.Fatalf("models %v, %v", models, err)
				}
				if diff := cmp.Diff([]string{"644 model one,2\n"}, untar(t, b.read(models[0]))); diff != "" {
					t.Errorf("model (-want +got):\n%s", diff)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// The daemon of TestKillDaemon runs so many executions of this machine.
const (
	killed  = 15
	machine = `{"StartAt": "Check", "States": {
		"Check": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:Mark", "ResultPath": null, "Next": "Train"},
		"Train": {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "ResultPath": "$.trained", "Parameters": {
			"TrainingJobName.$": "$$.Execution.Name",
			"RoleArn": "arn:aws:iam::123456789:role/R",
			"AlgorithmSpecification": {"TrainingImage": "mark", "TrainingInputMode": "File"},
			"OutputDataConfig": {"S3OutputPath": "s3://data/models"},
			"ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
			"StoppingCondition": {}}, "Next": "Rest"},
		"Rest": {"Type": "Wait", "Seconds": 1, "Next": "Register"},
		"Register": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "Mark", "Payload.$": "$.trained.ModelArtifacts"}, "End": true}}}`
)

// daemon is a process that runs executions in a folder until all have ended.
func daemon(dir string) error {
	ctx := context.Background()
	j, err := file.OpenJournal(ctx, filepath.Join(dir, "journal"), journal.Options{})
	// A child that was being forked when its parent was killed holds the lock
	// until it has become a shim.
	for end := time.Now().Add(2 * time.Minute); errors.Is(err, journal.ErrInUse) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		j, err = file.OpenJournal(ctx, filepath.Join(dir, "journal"), journal.Options{})
	}
	if err != nil {
		return err
	}
	defer j.Close()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	mark := []string{"/bin/sh", "-c", `echo "$ANNEAL_EFFECT_ID" >>` + filepath.Join(dir, "marks") + `; sleep 0.1; echo '{}'`}
	t, err := New(Config{
		Dir: filepath.Join(dir, "jobs"), Shim: []string{exe, "shim"}, Jobs: 3, Objects: folder(filepath.Join(dir, "objects")),
		Functions: map[string]Function{"Mark": {Command: mark, Dir: dir}},
		Images:    map[string]Image{"mark": {Command: mark, Dir: dir}},
	})
	if err != nil {
		return err
	}
	e, err := engine.New(ctx, engine.Config{Journal: j, Tasks: t}, nil)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- e.Run(ctx) }()
	for i := range killed {
		in := orchestrator.StartInput{Name: fmt.Sprintf("run-%02d", i), Machine: orchestrator.Machine{Name: "mark", Definition: []byte(machine)}}
		if _, err := e.Start(ctx, in); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() {
		for i := range killed {
			x, err := e.Wait(ctx, fmt.Sprintf("run-%02d", i))
			if err == nil && x.Status != anneal.StatusSucceeded {
				err = fmt.Errorf("%s ended %s %s: %s", x.Name, x.Status, x.Error, x.Cause)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("run: %w", err)
	case err := <-done:
		return err
	}
}

// A daemon is killed again and again under load. Each effect is one process.
func TestKillDaemon(t *testing.T) {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for {
		cmd := exec.Command(exe, "daemon", dir)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		life := time.Duration(random.Int64N(int64(120 * time.Millisecond)))
		if kills == 30 {
			life = 5 * time.Minute
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("after %d kills: %v\n%s", kills, err, out.String())
			}
			if kills < 3 { // the jobs alone take several lives
				t.Errorf("it was killed %d times only", kills)
			}
		case <-time.After(life):
			cmd.Process.Kill()
			<-ended
			if kills++; kills > 30 {
				t.Fatalf("it does not end:\n%s", out.String())
			}
			continue
		}
		break
	}
	data, err := os.ReadFile(filepath.Join(dir, "marks"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(data))
	slices.Sort(got)
	if once := slices.Compact(slices.Clone(got)); len(got) != len(once) || len(got) != 3*killed {
		t.Errorf("%d processes for %d effects, want %d for %d", len(got), len(once), 3*killed, 3*killed)
	}
	j, err := file.OpenJournal(t.Context(), filepath.Join(dir, "journal"), journal.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	asked := map[string]bool{}
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		var turn asl.Turn
		if r.Kind == "turn" {
			if err := json.Unmarshal(r.Data, &turn); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range turn.Effects {
			asked[e.ID] = true
		}
	}
	for _, id := range got {
		if !asked[id] {
			t.Errorf("a process ran for %s, which nobody asked for", id)
		}
	}
	t.Logf("%d kills, %d effects", kills, len(asked))
}
