package sfnapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What is told of the run of a distributed Map and of its children.
func TestMapRuns(t *testing.T) {
	s := serve(t, newJournal(t))
	machine := s.must("CreateStateMachine", map[string]any{"name": "spread", "roleArn": "arn:aws:iam::111111111111:role/r", "definition": `{
		"StartAt": "Each", "States": {"Each": {"Type": "Map", "Label": "each", "ToleratedFailureCount": 1, "End": true,
		"ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "One", "States": {
			"One": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "Bad"}], "Default": "Good"},
			"Good": {"Type": "Succeed"}, "Bad": {"Type": "Fail", "Error": "Two"}}}}}}`})
	execution := s.must("StartExecution", map[string]any{"stateMachineArn": machine["stateMachineArn"], "input": "[1, 2, 3]"})["executionArn"]
	for deadline := time.Now().Add(20 * time.Second); s.must("DescribeExecution", map[string]any{"executionArn": execution})["status"] == "RUNNING"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
	runs := s.must("ListMapRuns", map[string]any{"executionArn": execution})["mapRuns"].([]any)
	if len(runs) != 1 {
		t.Fatalf("%d map runs", len(runs))
	}
	arn := runs[0].(map[string]any)["mapRunArn"].(string)
	if !strings.HasPrefix(arn, "arn:aws:states:us-east-1:111111111111:mapRun:spread/each:") {
		t.Errorf("map run %s", arn)
	}
	run := s.must("DescribeMapRun", map[string]any{"mapRunArn": arn})
	counts := run["itemCounts"].(map[string]any)
	if run["status"] != "SUCCEEDED" || run["executionArn"] != execution || fmt.Sprintf("%v %v %v %v", counts["total"], counts["succeeded"], counts["failed"], counts["pending"]) != "3 2 1 0" {
		t.Errorf("the map run: %v", run)
	}
	var names []string
	page := map[string]any{"mapRunArn": arn, "maxResults": 2}
	for {
		out := s.must("ListExecutions", page)
		for _, x := range out["executions"].([]any) {
			names = append(names, x.(map[string]any)["executionArn"].(string))
		}
		if page["nextToken"] = out["nextToken"]; out["nextToken"] == nil {
			break
		}
	}
	if len(names) != 3 {
		t.Fatalf("children %v", names)
	}
	child := s.must("DescribeExecution", map[string]any{"executionArn": names[1]})
	if child["error"] != "Two" || child["input"] != "2" || !strings.HasSuffix(child["stateMachineArn"].(string), ":stateMachine:spread/each") {
		t.Errorf("a child: %v", child)
	}
	if events := s.must("GetExecutionHistory", map[string]any{"executionArn": names[0]})["events"].([]any); len(events) != 6 {
		t.Errorf("its history has %d events", len(events))
	}
	if failed := s.must("ListExecutions", map[string]any{"mapRunArn": arn, "statusFilter": "FAILED"})["executions"].([]any); len(failed) != 1 {
		t.Errorf("%d children failed", len(failed))
	}
	if status, out := s.call("UpdateMapRun", map[string]any{"mapRunArn": arn, "maxConcurrency": 1}); status != 400 {
		t.Errorf("an update after the end: %d %v", status, out)
	}
	if status, out := s.call("DescribeMapRun", map[string]any{"mapRunArn": arn + "0"}); status != 400 || !strings.HasSuffix(out["__type"].(string), "ResourceNotFound") {
		t.Errorf("another map run: %d %v", status, out)
	}
}
