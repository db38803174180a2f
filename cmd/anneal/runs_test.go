package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

const redriveSettings = `listen: 127.0.0.1:0
policies: [./policies]
buckets: {ml: ./bucket}
embedded:
  functions:
    Ask: {command: [./ask.sh]}
    Flaky: {command: [./flaky.sh]}
    Evaluate: {builtin: noop}
  stateMachines: {child: policies/child.asl.json}
notify: {team: log}
`

const redrivePolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: churn}
spec:
  mode: enforce
  model: {group: churn}
  data: {target: y, train: {last: 2}}
  rules: [{id: always, if: "true"}]
  guards: {concurrency: {limit: 1}}
  run:
    stateMachine: {file: machine.asl.json}
    model:
      state: Evaluate
      artifact: {expr: state.output.Payload.Artifact}
      metrics: {expr: state.output.Payload.Metrics}
  notify: [{events: [failed, promoted], to: team}]
`

// TestRedrive has a run ask a person, evaluate, and fail in a nested execution:
// it goes on from there, and its model is promoted.
func TestRedrive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml":         redriveSettings,
		"policies/churn.yaml": redrivePolicy,
		"policies/machine.asl.json": `{"StartAt": "Ask", "States": {
			"Ask": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
				"Parameters": {"FunctionName": "Ask", "Payload": {"Token.$": "$$.Task.Token"}}, "Next": "Evaluate"},
			"Evaluate": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
				"Parameters": {"FunctionName": "Evaluate", "Payload": {"Artifact": "s3://ml/model", "Metrics": {"accuracy": 0.9}}}, "Next": "Nest"},
			"Nest": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync",
				"Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:child"}, "End": true}}}`,
		"policies/child.asl.json": `{"StartAt": "Flaky", "States": {"Flaky": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:Flaky", "End": true}}}`,
		"ask.sh":                  "#!/bin/sh\necho \"$ANNEAL_EFFECT_ID\" >>asked.log\ncat >token.part && mv token.part token\necho '{}'\n",
		"flaky.sh":                "#!/bin/sh\necho trying hard >&2\ntest -e good && echo '{}'\n",
		"bucket/model":            "weights",
	})
	p := begin(t, dir)
	if out, status := p.anneal("trigger", "churn"); status != 0 {
		t.Fatalf("trigger: %s", out)
	}
	var asked struct{ Token string }
	eventually(t, 30*time.Second, func() error {
		data, err := os.ReadFile(filepath.Join(dir, "token"))
		if err == nil {
			err = json.Unmarshal(data, &asked)
		}
		return err
	})
	var runs []anneal.Run
	if err := p.get("runs", &runs); err != nil {
		t.Fatal(err)
	}
	id := runs[0].ID
	if out, status := p.anneal("runs", "redrive", id); status != exitUsage || !strings.Contains(out, "Execution is RUNNING and cannot be redriven") {
		t.Errorf("redrive of a run that waits: status %d: %s", status, out)
	}
	if out, status := p.anneal("tasks", "success", asked.Token, "--output", `{"approved": true}`); status != 0 {
		t.Fatalf("tasks success: %s", out)
	}
	run := p.ended(1)[0]
	if run.Status != anneal.StatusFailed || run.Error != "States.TaskFailed" || !strings.Contains(run.Cause, "trying hard") {
		t.Fatalf("the run ended %s %s: %s", run.Status, run.Error, run.Cause)
	}
	if out, status := p.anneal("tasks", "failure", asked.Token, "--error", "TooLate"); status != exitUsage || !strings.HasPrefix(out, "anneal: TaskTimedOut: ") {
		t.Errorf("a second answer: status %d: %s", status, out)
	}

	// Another run takes the only place; it fails to be told anything.
	if out, status := p.anneal("trigger", "churn"); status != 0 {
		t.Fatalf("trigger: %s", out)
	}
	if out, status := p.anneal("runs", "redrive", id); status != exitUsage || !strings.Contains(out, "leaves no place beside run churn-") {
		t.Errorf("redrive beside another run: status %d: %s", status, out)
	}
	eventually(t, 30*time.Second, func() error {
		if n := len(lines(t, filepath.Join(dir, "asked.log"))); n != 2 {
			return fmt.Errorf("%d were asked", n)
		}
		return p.get("runs", &runs)
	})
	if out, status := p.anneal("runs", "stop", runs[0].ID, "--cause", "in the way"); status != 0 {
		t.Fatalf("stop: %s", out)
	}
	p.ended(2)

	write(t, dir, map[string]string{"good": ""})
	if out, status := p.anneal("runs", "redrive", id); status != 0 || out != "run "+id+" goes on: redrive 1\n" {
		t.Fatalf("redrive: status %d: %s", status, out)
	}
	eventually(t, 30*time.Second, func() error {
		if err := p.get("runs/"+id, &run); err != nil {
			return err
		}
		if run.Status != anneal.StatusSucceeded || run.Ended == nil || run.Error != "" || run.Redrives != 1 {
			return fmt.Errorf("the run is %+v", run)
		}
		return nil
	})
	var models []anneal.Model
	if err := p.get("models", &models); err != nil {
		t.Fatal(err)
	}
	if len(models) != 1 || models[0].Stage != anneal.StageLive || models[0].Run != id {
		t.Errorf("models %+v, want the run's, live", models)
	}
	if n := len(lines(t, filepath.Join(dir, "asked.log"))); n != 2 {
		t.Errorf("%d were asked: what had succeeded was done again", n)
	}

	var events []asl.HistoryEvent
	if err := p.get("runs/"+id+"/history", &events); err != nil {
		t.Fatal(err)
	}
	redriven := slices.IndexFunc(events, func(e asl.HistoryEvent) bool { return e.Type == asl.ExecutionRedriven })
	if redriven < 0 || events[redriven-1].Type != asl.ExecutionFailed || events[redriven+1].Type != asl.TaskScheduled {
		t.Errorf("the history has its redrive at %d of %d", redriven, len(events))
	}
	var logs []tasks.Log
	if err := p.get("runs/"+id+"/logs", &logs); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, l := range logs {
		told = append(told, l.State+" "+l.Status)
	}
	if want := []string{"Ask exit status 0", "Flaky exit status 1", "Flaky exit status 0"}; !slices.Equal(told, want) {
		t.Errorf("logs %q, want %q", told, want)
	}
	text := fmt.Sprintf("==> Flaky, attempt 1, %s: exit status 1\ntrying hard\n\n==> Flaky, attempt 1, %s: exit status 0\ntrying hard\n", logs[1].Effect, logs[2].Effect)
	if out, _ := p.anneal("runs", "logs", id, "--state", "Flaky"); out != text {
		t.Errorf("logs %q, want %q", out, text)
	}
	if err := p.get("runs/"+id+"/logs/"+strings.Repeat("a", 26), &logs); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the log of another effect: %v", err)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%s", status, out)
	}

	// After the daemon, from its folder.
	p.kill()
	if out, _ := p.anneal("runs", "logs", id, "--data", filepath.Join(dir, "anneal-data"), "--state", "Flaky"); out != text {
		t.Errorf("logs from the folder %q, want %q", out, text)
	}
}
