package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud/cloudtest"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// remotePolicy runs on Step Functions.
const remotePolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: churn}
spec:
  mode: enforce
  model: {group: churn}
  data: {format: csv, target: y}
  triggers:
    - {id: new, event: {type: Object Created}}
  rules: [{id: always, if: "true"}]
  run:
    executor: step-functions
    stateMachine: {arn: {env: CHURN_ARN}, file: pipeline.asl.json}
    input: {Artifact: {expr: training.prefix}}
    timeout: 1h
    model:
      state: Register
      artifact: {expr: state.parameters.Payload.Artifact}
      metrics: {expr: state.output.Payload.Metrics}
  promote: {if: "candidate.metrics.accuracy >= champion.metrics.accuracy"}
`

// remoteMachine trains until there is a file `go` in the folder of whoever runs it.
const remoteMachine = `{"StartAt": "Train", "States": {
  "Train": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "Train"}, "ResultPath": null, "Next": "Register"},
  "Register": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true,
    "Parameters": {"FunctionName": "Register", "Payload": {"Artifact.$": "$.Artifact", "Metrics": {"accuracy": 0.9}}}}
}}`

// TestStepFunctionsExecutor has one daemon be Step Functions, by its API, for
// another whose policy runs there. Both are killed while a run is open.
func TestStepFunctionsExecutor(t *testing.T) {
	t.Parallel()
	address := "127.0.0.1:" + cloudtest.Port(t) // which it has again when it is started again
	far, near := t.TempDir(), t.TempDir()
	write(t, far, map[string]string{
		"anneal.yaml": "listen: 127.0.0.1:0\npolicies: [./policies]\nembedded: {listen: '" + address + "', functions: {Register: {builtin: noop}, " +
			"Train: {command: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; echo {}']}}}\n",
		"policies/react.yaml":       strings.Replace(reactingPolicy, "mode: enforce", "mode: observe", 1),
		"policies/machine.asl.json": `{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}`,
	})
	aws := begin(t, far)
	call := func(action, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %s, %v", action, resp.Status, data, err)
		}
		return string(data)
	}
	const machine = "arn:aws:states:us-east-1:123456789012:stateMachine:churn"
	definition, err := json.Marshal(remoteMachine)
	if err != nil {
		t.Fatal(err)
	}
	call("CreateStateMachine", fmt.Sprintf(`{"name":"churn","roleArn":"arn:aws:iam::123456789012:role/r","publish":true,"definition":%s}`, definition))

	write(t, near, map[string]string{
		"anneal.yaml":                "listen: 127.0.0.1:0\nembedded: {listen: 'off'}\nsources: [{directory: {path: ./inbox, settle: 20ms}}]\n",
		"policies/churn.yaml":        remotePolicy,
		"policies/pipeline.asl.json": remoteMachine,
		"inbox/.keep":                "",
	})
	p := &process{t: t, dir: near, env: []string{
		"CHURN_ARN=" + machine + ":1", "AWS_ENDPOINT_URL_SFN=http://" + address,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_CONFIG_FILE=/nowhere", "AWS_EC2_METADATA_DISABLED=true",
	}}
	restart := func() {
		p.start()
		p.awaitReady()
	}
	restart()
	r := rand.New(rand.NewPCG(1, 2))
	newest := func(n int, status anneal.Status) (run anneal.Run) {
		t.Helper()
		eventually(t, time.Minute, func() error {
			var runs []anneal.Run
			if err := p.get("runs", &runs); err != nil || len(runs) != n || runs[0].Status != status {
				return fmt.Errorf("runs: %+v, %v; want %d and the newest %s\n%s\n%s", runs, err, n, status, p.log, p.readyz())
			}
			run = runs[0]
			return nil
		})
		return run
	}

	drop(t, filepath.Join(near, "inbox"), "one.csv", csvBatch(r, 20))
	run := newest(1, anneal.StatusRunning)
	if want := strings.Replace(machine, "stateMachine", "execution", 1) + ":" + run.ID; run.ExecutionARN != want || run.Executor != "step-functions" || run.Machine != machine+":1" {
		t.Errorf("the run is %+v, want the execution %s", run, want)
	}
	eventually(t, 10*time.Second, func() error {
		if got := p.readyz(); !strings.Contains(got, `"executor step-functions":"ok"`) && !strings.Contains(got, "executor step-functions: ok") {
			return fmt.Errorf("/readyz: %s", got)
		}
		return nil
	})
	aws.kill() // AWS is lost, which is seen and changes nothing
	eventually(t, time.Minute, func() error {
		if got := p.readyz(); !strings.Contains(got, "degraded: the state machine churn: Step Functions in us-east-1 cannot be reached") || p.status("/readyz") != http.StatusOK {
			return fmt.Errorf("/readyz: %s", got)
		}
		return nil
	})
	if got := p.page("/metrics"); !strings.Contains(got, `anneal_executor_ok{executor="step-functions"} 0`) {
		t.Error("the metric does not say that Step Functions is lost")
	}
	newest(1, anneal.StatusRunning)
	p.kill()
	restart() // without AWS
	newest(1, anneal.StatusRunning)
	aws.start()
	aws.awaitReady()
	trained := filepath.Join(far, "go")
	write(t, far, map[string]string{"go": ""})
	run = newest(1, anneal.StatusSucceeded)
	var models []anneal.Model
	if err := p.get("models", &models); err != nil || len(models) != 1 || models[0].Stage != anneal.StageLive || models[0].Metrics["accuracy"] != 0.9 || models[0].Artifact.URI != run.Training.Prefix {
		t.Errorf("models %+v, %v; want one that is live, with its metrics", models, err)
	}
	eventually(t, 10*time.Second, func() error {
		if got := p.readyz(); strings.Contains(got, "degraded") {
			return fmt.Errorf("/readyz: %s", got)
		}
		return nil
	})
	types := func() (all []asl.EventType) {
		for _, e := range p.history(run.ID) {
			all = append(all, e.Type)
		}
		return all
	}
	if got := types(); got[0] != asl.ExecutionStarted || got[len(got)-1] != asl.ExecutionSucceeded || !slices.Contains(got, asl.LambdaFunctionScheduled) && !slices.Contains(got, asl.TaskScheduled) {
		t.Errorf("the history is %v", got)
	}

	// Stopped and redriven by a person, with a kill in between.
	if err := os.Remove(trained); err != nil {
		t.Fatal(err)
	}
	drop(t, filepath.Join(near, "inbox"), "two.csv", csvBatch(r, 20))
	run = newest(2, anneal.StatusRunning)
	if out, status := p.anneal("runs", "stop", run.ID); status != 0 {
		t.Fatalf("stop: %d %s", status, out)
	}
	if run = newest(2, anneal.StatusAborted); run.Error != "Anneal.Stopped" {
		t.Errorf("it ended with %s: %s", run.Error, run.Cause)
	}
	if out, status := p.anneal("runs", "redrive", run.ID); status != 0 {
		t.Fatalf("redrive: %d %s", status, out)
	}
	p.kill()
	write(t, far, map[string]string{"go": ""})
	restart()
	if run = newest(2, anneal.StatusSucceeded); run.Redrives != 1 {
		t.Errorf("%d redrives, want 1", run.Redrives)
	}
	if out, status := p.anneal("runs", "redrive", run.ID); status == 0 || !strings.Contains(out, "SUCCEEDED") {
		t.Errorf("redrive of what has succeeded: %d %s", status, out)
	}
	if got := types(); !slices.Contains(got, asl.ExecutionRedriven) {
		t.Errorf("the history is %v", got)
	}
	if got := strings.Count(call("ListExecutions", `{"stateMachineArn":"`+machine+`"}`), `"executionArn"`); got != 2 {
		t.Errorf("%d executions, want one a run: 2", got)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("verify: %s", out)
	}
}
