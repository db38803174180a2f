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
	for deadline := time.Now().Add(2 * time.Minute); s.must("DescribeExecution", map[string]any{"executionArn": execution})["status"] == "RUNNING"; time.Sleep(10 * time.Millisecond) {
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
			if n := x.(map[string]any)["itemCount"]; text(n) != "1" {
				t.Errorf("a child has %v items, want 1", n)
			}
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
	if child["mapRunArn"] != arn {
		t.Errorf("a child is told to be of the map run %v, want %s", child["mapRunArn"], arn)
	}
	labelled := text(machine["stateMachineArn"]) + "/each"
	for action, params := range map[string]map[string]any{"DescribeStateMachineForExecution": {"executionArn": names[1]}, "DescribeStateMachine": {"stateMachineArn": labelled}} {
		of := s.must(action, params)
		if of["stateMachineArn"] != labelled || of["label"] != "each" || of["name"] != "spread" || !strings.HasPrefix(text(of["definition"]), `{"ProcessorConfig": {"Mode": "DISTRIBUTED"`) {
			t.Errorf("%s: %v", action, of)
		}
		params["includedData"] = "METADATA_ONLY"
		if of := s.must(action, params); of["definition"] != "{}" {
			t.Errorf("%s of metadata alone has the definition %v", action, of["definition"])
		}
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

// A map run that goes on takes other limits, and one that has ended takes none.
func TestUpdateMapRun(t *testing.T) {
	s := serve(t, newJournal(t))
	s.must("CreateActivity", object{"name": "work"})
	s.create("spread", `{"StartAt": "Each", "States": {"Each": {"Type": "Map", "MaxConcurrency": 1, "End": true,
		"ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "One", "States": {
			"One": {"Type": "Task", "Resource": "`+account+`activity:work", "End": true}}}}}}`)
	execution := s.begin("spread", "x", "[1, 2, 3, 4]")
	worker := func() any {
		return s.must("GetActivityTask", object{"activityArn": account + "activity:work"})["taskToken"]
	}
	first := worker() // the map run goes on, one at a time
	arn := text(s.must("ListMapRuns", object{"executionArn": execution})["mapRuns"].([]any)[0].(map[string]any)["mapRunArn"])
	told := func() string {
		run := s.must("DescribeMapRun", object{"mapRunArn": arn})
		items := run["itemCounts"].(map[string]any)
		return fmt.Sprintf("%v: most %v, tolerates %v and %v %%; %v running, %v pending, %v failed", run["status"], run["maxConcurrency"], run["toleratedFailureCount"],
			run["toleratedFailurePercentage"], items["running"], items["pending"], items["failed"])
	}
	if got, want := told(), "RUNNING: most 1, tolerates 0 and 0 %; 1 running, 3 pending, 0 failed"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	s.must("UpdateMapRun", object{"mapRunArn": arn, "maxConcurrency": 3, "toleratedFailureCount": 2, "toleratedFailurePercentage": 60.5})
	second, third := worker(), worker() // which are there by now
	if got, want := told(), "RUNNING: most 3, tolerates 2 and 60.5 %; 3 running, 1 pending, 0 failed"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	s.must("SendTaskFailure", object{"taskToken": first})
	s.must("SendTaskFailure", object{"taskToken": second})
	s.must("SendTaskSuccess", object{"taskToken": third, "output": "3"})
	s.must("SendTaskSuccess", object{"taskToken": worker(), "output": "4"})
	if x := s.ended(execution); x["status"] != "SUCCEEDED" {
		t.Errorf("two of four failed, which is tolerated by now: %v", x)
	}
	if got, want := told(), "SUCCEEDED: most 3, tolerates 2 and 60.5 %; 0 running, 0 pending, 2 failed"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for reason, params := range map[string]object{"CANNOT_UPDATE_COMPLETED_MAP_RUN": {"mapRunArn": arn, "maxConcurrency": 1}, "MISSING_REQUIRED_PARAMETER": {"mapRunArn": arn}} {
		if _, out := s.call("UpdateMapRun", params); out["__type"] != "ValidationException" || out["reason"] != reason {
			t.Errorf("%v is answered %v, want the reason %s", params, out, reason)
		}
	}
}
