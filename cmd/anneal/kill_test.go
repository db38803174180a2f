package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
)

// ask.sh is a function that hands a task's token over, to a person who looks
// into the folder tokens now and then.
const askScript = `#!/bin/sh
echo "begin $ANNEAL_EFFECT_ID ask" >> "$WORK_LOG.functions"
cat > "tokens/.$ANNEAL_EFFECT_ID" && mv "tokens/.$ANNEAL_EFFECT_ID" "tokens/$ANNEAL_EFFECT_ID"
echo '{}'
`

// mark.sh is a function that leaves a line and fails now and then.
const markScript = `#!/bin/sh
echo "begin $ANNEAL_EFFECT_ID mark" >> "$WORK_LOG.functions"
cat > /dev/null
test $(($$ % 4)) != 0 || exit 1
echo '{"marked": true}'
`

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
  - webhook: {path: /hooks/ci, secret: {file: ./hook.secret}}
embedded:
  jobs: 4
  functions:
    Check: {command: [./check.sh], env: {WORK_LOG: %[1]s}}
    Mark: {command: [./mark.sh], env: {WORK_LOG: %[1]s}}
    Ask: {command: [./ask.sh], env: {WORK_LOG: %[1]s}}
    Evaluate: {builtin: evaluate-model}
  stateMachines: {marks: policies/marks.asl.json}
  images:
    trainer: {command: [./trainer.sh], env: {WORK_LOG: %[1]s}}
  topics: {news: team}
notify: {team: log}
`

const killMachine = `{
  "StartAt": "Check",
  "States": {
    "Check": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
      "Parameters": {"FunctionName": "Check", "Payload": {"Data.$": "$.Data"}}, "ResultPath": "$.Checked", "Next": "Both"},
    "Both": {"Type": "Parallel", "ResultSelector": {"Trained.$": "$[0]", "Marked.$": "$[1]"}, "ResultPath": "$.Both", "Next": "Ask", "Branches": [
    {"StartAt": "Train", "States": {"Train": {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
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
      "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 3}], "End": true}}},
    {"StartAt": "Marks", "States": {"Marks": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
      "Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:marks", "Input": {"parts": [1, 2, 3]}},
      "OutputPath": "$.Output", "End": true}}}]},
    "Ask": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
      "Parameters": {"FunctionName": "Ask", "Payload": {"token.$": "$$.Task.Token"}}, "ResultPath": "$.Answer",
      "Retry": [{"ErrorEquals": ["Lambda.Unknown"], "IntervalSeconds": 1, "MaxAttempts": 3}], "Next": "Evaluate"},
    "Evaluate": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
      "Parameters": {"FunctionName": "Evaluate", "Payload": {"ModelArtifact.$": "$.Both.Trained.ModelArtifacts.S3ModelArtifacts", "MetricThreshold": 0.5}},
      "ResultPath": "$.Evaluated", "Next": "Tell"},
    "Tell": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish",
      "Parameters": {"TopicArn": "arn:aws:sns:us-east-1:123456789012:news", "Message": {"Group.$": "$.Group"}}, "End": true}
  }
}`

// marksMachine is nested in the other.
const marksMachine = `{
  "StartAt": "Each",
  "States": {"Each": {"Type": "Map", "ItemsPath": "$.parts", "MaxConcurrency": 2, "End": true, "ItemProcessor": {"StartAt": "Mark", "States": {
    "Mark": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "Mark", "Payload.$": "$"},
      "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 20}], "OutputPath": "$.Payload", "End": true}}}}}
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

// killTicks is woken by webhooks and every minute; what a kill lets it miss it
// makes up.
const killTicks = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: ticks}
spec:
  timeZone: Europe/Berlin
  model: {group: ticks}
  triggers:
    - {id: told, event: {type: Webhook Received}, debounce: {quiet: 1s, maxWait: 5s}}
    - {id: minute, schedule: {cron: "* * * * *", catchUp: all}}
  rules:
    - {id: always, if: "true"}
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
		"policies/marks.asl.json":   marksMachine,
		"ask.sh":                    askScript,
		"mark.sh":                   markScript,
		"tokens/.keep":              "",
		"policies/a.yaml":           fmt.Sprintf(killPolicy, "a", "left"),
		"policies/b.yaml":           fmt.Sprintf(killPolicy, "b", "right"),
		"policies/c.yaml":           fmt.Sprintf(killPolicy, "c", "right"),
		"trainer.sh":                strings.ReplaceAll(trainerScript, "RANDOM_SEED", "$$"),
		"check.sh":                  "#!/bin/sh\necho \"begin $(basename \"$PWD\")\" > /dev/null\ncat > /dev/null\necho '{\"ok\": true}'\n",
		"policies/ticks.yaml":       killTicks,
		"hook.secret":               "whsec_" + standardKey,
		"inbox/.keep":               "",
		"bucket/.keep":              "",
	})
	r := rand.New(rand.NewPCG(1, 2))
	p := &process{t: t, dir: dir}
	dropped := 0
	answered := map[string]bool{}
	hooks := &sender{t: t, p: p}
	for range kills {
		p.start()
		// However slow the machine is, each daemon is left a file or finds one.
		for end, first := time.Now().Add(time.Duration(20+r.IntN(300))*time.Millisecond), true; first || time.Now().Before(end); first = false {
			if first || r.IntN(3) == 0 {
				drop(t, filepath.Join(dir, "inbox"), fmt.Sprintf("f%04d.csv", dropped), csvBatch(r, 30))
				dropped++
			}
			if p.reached() {
				answerTasks(t, p, answered)
				hooks.send()
			}
			time.Sleep(time.Duration(10+r.IntN(40)) * time.Millisecond)
		}
		p.kill()
	}
	p = begin(t, dir)
	hooks.p = p
	eventually(t, 10*time.Second, func() error { return hooks.send() })

	var runs []anneal.Run
	var told map[string]int // events of webhooks
	var ticks []time.Time   // newest first
	eventually(t, 2*time.Minute, func() error {
		answerTasks(t, p, answered)
		var events []anneal.Event
		if err := p.get("events?limit=0", &events); err != nil {
			return err
		}
		var decisions []anneal.Decision
		if err := p.get("decisions?limit=0", &decisions); err != nil {
			return err
		}
		decided := map[string]int{} // by cause
		for _, d := range decisions {
			decided[d.Cause]++
		}
		files, undecided := map[string]int{}, 0
		told, ticks = map[string]int{}, nil
		for _, e := range events {
			switch e.Source {
			case anneal.SourceDirectory:
				files[e.Subject]++
				if n := decided[e.ID]; n > 3 {
					t.Fatalf("three policies have made %d decisions about file %s", n, e.Subject)
				} else if n < 3 {
					undecided++
				}
			case anneal.SourceCron:
				ticks = append(ticks, e.Time)
			case anneal.SourceTimer, anneal.SourceRun, anneal.SourceManual:
			default:
				told[e.ID]++
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
		if undecided > 0 { // until then the policies are at rest, because they know nothing of them
			return fmt.Errorf("%d files are not decided on", undecided)
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
	for _, id := range hooks.acknowledged {
		if told[id] != 1 {
			t.Errorf("a webhook was acknowledged as event %s, of which there are %d", id, told[id])
		}
	}
	if len(told) != len(hooks.acknowledged) {
		t.Errorf("%d webhooks were acknowledged and became %d events", len(hooks.acknowledged), len(told))
	}
	for i := 1; i < len(ticks); i++ {
		if apart := ticks[i-1].Sub(ticks[i]); apart != time.Minute {
			t.Errorf("the ticks %s and %s are %s apart, and one comes every minute", ticks[i], ticks[i-1], apart)
		}
	}
	functions, _ := readWork(t, work+".functions")
	for id, n := range functions {
		if n != 1 {
			t.Errorf("function effect %s began %d processes", id, n)
		}
	}
	if len(answered) < len(runs) || len(functions) < 4*len(runs) {
		t.Errorf("%d tokens were handed over and %d functions ran in %d runs", len(answered), len(functions), len(runs))
	}
	t.Logf("%d kills, %d files, %d webhooks, %d ticks, %d runs, %d jobs, %d functions, %d tokens",
		kills, dropped, len(told), len(ticks), len(runs), len(begun), len(functions), len(answered))
}

// reached reports whether the daemon says where it listens, and notes it.
func (p *process) reached() bool {
	address, err := os.ReadFile(filepath.Join(p.dir, "anneal-data", "address"))
	p.server = strings.TrimSpace(string(address))
	return err == nil && p.server != ""
}

// A sender sends one webhook after another, each until it is acknowledged.
type sender struct {
	t            *testing.T
	p            *process
	n            int
	acknowledged []string // events
}

func (s *sender) send() error {
	id, body := fmt.Sprintf("msg_%d", s.n), fmt.Sprintf(`{"n": %d}`, s.n)
	req, err := http.NewRequest("POST", s.p.server+"/hooks/ci", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range signStandard(s.t, standardKey, id, time.Now(), body) {
		req.Header.Set(name, value)
	}
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var event struct{ ID string }
	if resp.StatusCode != http.StatusAccepted || json.Unmarshal(answer, &event) != nil || event.ID == "" {
		return fmt.Errorf("webhook %s: %d: %s", id, resp.StatusCode, answer)
	}
	s.acknowledged = append(s.acknowledged, event.ID)
	s.n++
	return nil
}

// answerTasks tells each task that has handed its token over that it has
// succeeded, until the daemon has heard it.
func answerTasks(t *testing.T, p *process, answered map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "tokens", "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if answered[file] {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var payload struct{ Token string }
		if err := json.Unmarshal(data, &payload); err != nil {
			t.Fatal(err)
		}
		out, status := p.anneal("tasks", "success", payload.Token, "--output", `{"approved": true}`)
		switch {
		case status == 0, strings.Contains(out, "TaskTimedOut"): // it was heard before a kill
			answered[file] = true
		case status == exitUsage:
			t.Fatalf("tasks success: %s", out)
		}
	}
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
