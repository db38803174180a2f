package sfnapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// endless is tasks that go on until they are stopped.
type endless struct{ echo }

func (endless) Do(ctx context.Context, _ asl.Effect, _ bool, _ func(json.RawMessage)) (asl.Outcome, error) {
	<-ctx.Done()
	return asl.Outcome{}, ctx.Err()
}

// An ask makes a call without a socket, so that time can be virtual.
type ask func(action string, params object) (status int, out map[string]any)

// inside is the API in the bubble of a test, on tasks that never end.
func inside(t *testing.T) ask {
	j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	activities := sfnapi.NewActivities(endless{})
	e, err := engine.New(t.Context(), engine.Config{Journal: j, Tasks: activities}, nil)
	if err != nil {
		t.Fatal(err)
	}
	api := sfnapi.New(sfnapi.Config{Journal: j, Engine: e, Activities: activities, Account: "111111111111"}, sfnapi.Fold{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{e.Run, api.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait(); j.Close() })
	return func(action string, params object) (int, map[string]any) {
		body, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		var out map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s: %v: %s", action, err, w.Body)
		}
		return w.Code, out
	}
}

const calls = `{"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:111111111111:function:f"`

// TestStateEnds tests a state whose task goes on for ever: the service gives it five
// minutes, the state itself may give it less, and a Catch can deal with it.
func TestStateEnds(t *testing.T) {
	for _, tt := range []struct {
		name, state string
		want        map[string]any
	}{
		{"after five minutes", calls + `, "End": true}`, map[string]any{"status": "FAILED", "error": "States.Timeout"}},
		{"caught", calls + `, "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "Late"}], "End": true}`,
			map[string]any{"status": "CAUGHT_ERROR", "error": "States.Timeout", "nextState": "Late", "output": `{"Error":"States.Timeout","Cause":""}`}},
	} {
		synctest.Test(t, func(t *testing.T) {
			call := inside(t)
			begun := time.Now()
			status, out := call("TestState", object{"definition": tt.state, "roleArn": "arn:aws:iam::1:role/r", "input": "{}"})
			if took := time.Since(begun); took != 5*time.Minute {
				t.Errorf("%s: took %s", tt.name, took)
			}
			delete(out, "cause")
			if diff := cmp.Diff(tt.want, out); status != http.StatusOK || diff != "" {
				t.Errorf("%s: %d, want - got +\n%s", tt.name, status, diff)
			}
		})
	}
}

// TestSyncEnds runs Express executions to their end, which their callers wait for: at
// the latest after five minutes.
func TestSyncEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := inside(t)
		create := func(name, definition string) string {
			_, out := call("CreateStateMachine", object{"name": name, "definition": definition, "roleArn": "arn:aws:iam::1:role/r", "type": "EXPRESS"})
			return text(out["stateMachineArn"])
		}
		slow := create("slow", `{"StartAt": "A", "States": {"A": `+calls+`, "End": true}}}`)
		begun := time.Now()
		status, out := call("StartSyncExecution", object{"stateMachineArn": slow, "input": `{"a":1}`})
		if status != http.StatusOK || out["status"] != "TIMED_OUT" || time.Since(begun) != 5*time.Minute {
			t.Errorf("after %s: %d %v; want TIMED_OUT after five minutes", time.Since(begun), status, out)
		}
		if billing, _ := out["billingDetails"].(map[string]any); billing["billedDurationInMilliseconds"] != 300_000. || billing["billedMemoryUsedInMB"] != 64. {
			t.Errorf("%v; want five minutes and 64 MB", out["billingDetails"])
		}
		wait := create("wait", `{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3, "End": true}}}`)
		for _, tt := range []struct {
			included string
			data     map[string]any
		}{
			{"", map[string]any{"input": `{"a":1}`, "output": `{"a":1}`, "inputDetails": map[string]any{"included": true}, "outputDetails": map[string]any{"included": true}}},
			{"ALL_DATA", map[string]any{"input": `{"a":1}`, "output": `{"a":1}`, "inputDetails": map[string]any{"included": true}, "outputDetails": map[string]any{"included": true}}},
			{"METADATA_ONLY", map[string]any{}},
		} {
			params := object{"stateMachineArn": wait, "name": "n", "input": `{"a":1}`, "includedData": tt.included}
			if tt.included == "" {
				delete(params, "includedData")
			}
			status, out := call("StartSyncExecution", params)
			if status != http.StatusOK || out["status"] != "SUCCEEDED" || out["name"] != "n" || out["startDate"] == nil || out["stopDate"] == nil {
				t.Errorf("%s: %d %v", tt.included, status, out)
			}
			for _, key := range []string{"status", "name", "startDate", "stopDate", "executionArn", "stateMachineArn", "billingDetails"} {
				delete(out, key)
			}
			if diff := cmp.Diff(tt.data, out); diff != "" {
				t.Errorf("%s: want - got +\n%s", tt.included, diff)
			}
		}
		if status, out := call("StartSyncExecution", object{"stateMachineArn": wait, "includedData": "SOME"}); status != http.StatusBadRequest {
			t.Errorf("%d %v", status, out)
		}
	})
}

// TestWorkerLimit lets a thousand workers wait for one activity, and refuses one more;
// those go with nothing after a minute, and others may come.
func TestWorkerLimit(t *testing.T) {
	const most = 1000 // "Quotas related to API throttling", pollers of one activity
	synctest.Test(t, func(t *testing.T) {
		call := inside(t)
		_, a := call("CreateActivity", object{"name": "a"})
		_, b := call("CreateActivity", object{"name": "b"})
		begun := time.Now()
		var wg sync.WaitGroup
		worker := func(activity any) {
			wg.Go(func() {
				if status, out := call("GetActivityTask", object{"activityArn": activity, "workerName": "w"}); status != http.StatusOK || out["taskToken"] != nil || time.Since(begun) != time.Minute {
					t.Errorf("a worker: %d %v after %s; want nothing after a minute", status, out, time.Since(begun))
				}
			})
		}
		for range most {
			worker(a["activityArn"])
		}
		synctest.Wait()
		status, out := call("GetActivityTask", object{"activityArn": a["activityArn"]})
		if status != http.StatusBadRequest || out["__type"] != "com.amazonaws.swf.service.v2.model#ActivityWorkerLimitExceeded" && out["__type"] != "ActivityWorkerLimitExceeded" {
			t.Errorf("one more: %d %v; want ActivityWorkerLimitExceeded", status, out)
		}
		worker(b["activityArn"]) // another activity has room
		wg.Wait()
		begun = time.Now()
		worker(a["activityArn"])
		wg.Wait()
	})
}

// TestExpress runs Express executions, of which nothing can be asked afterwards.
func TestExpress(t *testing.T) {
	s := serve(t, newJournal(t))
	machine := s.must("CreateStateMachine", object{"name": "e", "definition": breaks, "roleArn": "arn:aws:iam::1:role/r", "type": "EXPRESS"})["stateMachineArn"]
	first := s.must("StartExecution", object{"stateMachineArn": machine, "name": "n", "input": "{}"})["executionArn"]
	if again := s.must("StartExecution", object{"stateMachineArn": machine, "name": "n", "input": "{}"})["executionArn"]; again == first {
		t.Errorf("%s was begun twice; want another execution of the same name", first)
	}
	for _, action := range []string{"DescribeExecution", "GetExecutionHistory", "StopExecution", "RedriveExecution", "DescribeStateMachineForExecution"} {
		if status, out := s.call(action, object{"executionArn": first}); status != 400 || out["message"] != "Invalid Arn: 'Resource type not valid in this context: express'" {
			t.Errorf("%s: %d %v", action, status, out)
		}
	}
	if status, out := s.call("ListExecutions", object{"stateMachineArn": machine}); status != 400 || out["message"] != "This operation is not supported by this type of state machine" {
		t.Errorf("ListExecutions: %d %v", status, out)
	}
	out := s.must("StartSyncExecution", object{"stateMachineArn": machine, "input": "{}"})
	if out["status"] != "FAILED" || out["error"] != "Broken" || out["cause"] != "worn" || out["output"] != nil {
		t.Errorf("%v; want FAILED, Broken: worn", out)
	}
}
