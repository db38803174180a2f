package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const reactingPolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: react}
spec:
  mode: enforce
  model: {group: g}
  data: {format: csv, target: y}
  triggers:
    - id: done
      event: {source: aws.states, type: Step Functions Execution Status Change, match: "event.data.status == 'SUCCEEDED'"}
  rules: [{id: always, if: "true"}]
  run:
    stateMachine: {file: machine.asl.json}
    input: {From: {expr: event.data.name}}
`

// states asks the API of Step Functions of the daemon in dir for something.
func states(t *testing.T, dir, action, body string) (string, error) {
	address, err := os.ReadFile(filepath.Join(dir, "anneal-data", "address-stepfunctions"))
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimSpace(string(address)), strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", action, resp.Status, data)
	}
	return string(data), err
}

// TestStepFunctions starts an execution by the API of Step Functions, kills the
// daemon while it waits, and finds the run of a policy that reacts to its end.
func TestStepFunctions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml":               "listen: 127.0.0.1:0\npolicies: [./policies]\n",
		"policies/react.yaml":       reactingPolicy,
		"policies/machine.asl.json": `{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}`,
	})
	must := func(action, body string) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			_, err := states(t, dir, action, body)
			return err
		})
	}
	const arn = "arn:aws:states:us-east-1:123456789012:"
	p := begin(t, dir)
	must("CreateStateMachine", `{"name":"m","roleArn":"arn:aws:iam::123456789012:role/r","definition":"{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":1,\"End\":true}}}"}`)
	must("StartExecution", `{"stateMachineArn":"`+arn+`stateMachine:m","name":"x"}`)
	p.kill()
	begin(t, dir)
	eventually(t, 60*time.Second, func() error {
		data, err := states(t, dir, "ListExecutions", `{"stateMachineArn":"`+arn+`stateMachine:react"}`)
		if err != nil {
			return err
		}
		var list struct {
			Executions []struct {
				ARN string `json:"executionArn"`
			} `json:"executions"`
		}
		if err := json.Unmarshal([]byte(data), &list); err != nil || len(list.Executions) != 1 {
			return fmt.Errorf("runs of the policy: %s, %v; want one", data, err)
		}
		data, err = states(t, dir, "DescribeExecution", `{"executionArn":"`+list.Executions[0].ARN+`"}`)
		if err == nil && !strings.Contains(data, `"input":"{\"From\":\"x\"}"`) {
			err = fmt.Errorf("the run: %s", data)
		}
		return err
	})
	if data, err := states(t, dir, "StartExecution", `{"stateMachineArn":"`+arn+`stateMachine:react"}`); err == nil || !strings.Contains(err.Error(), "belongs to the policy") {
		t.Errorf("a start of a policy's machine is answered %s, %v", data, err)
	}
}
