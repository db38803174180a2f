package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

const (
	startExecution = "arn:aws:states:::states:startExecution"
	machinePrefix  = "arn:aws:states:us-east-1:111111111111:stateMachine:"
)

// house is a bench with an engine. The two need each other, so the engine is
// reached through it.
type house struct {
	*bench
	*engine.Engine
	store *journal.Memory
	stop  func()
}

func newHouse(t *testing.T, machines map[string]string, change func(*Config)) *house {
	t.Helper()
	h := &house{store: new(journal.Memory)}
	h.bench = newBench(t, func(c *Config) {
		c.Executor = h
		all := map[string]orchestrator.Machine{}
		for name, definition := range machines {
			all[name] = orchestrator.Machine{Definition: []byte(definition)}
		}
		c.Machines = func() map[string]orchestrator.Machine { return all }
		if change != nil {
			change(c)
		}
	})
	h.run(t)
	t.Cleanup(func() { h.stop() })
	return h
}

// run begins a process over what is stored.
func (h *house) run(t *testing.T) {
	t.Helper()
	j, err := journal.Open(t.Context(), h.store, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if h.Engine, err = engine.New(t.Context(), engine.Config{Journal: j, Tasks: h.Tasks}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- h.Engine.Run(ctx) }()
	go func() { ended <- h.Tasks.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Errorf("run: %v", err)
		}
		j.Close()
	}
}

func (h *house) Stop(ctx context.Context, name, errorName, cause string) error {
	return h.Engine.Stop(ctx, name, errorName, cause)
}

func (h *house) Check(r asl.Resource) error { return h.Tasks.Check(r) }

// begin starts an execution of a machine with one Task.
func (h *house) begin(t *testing.T, name, resource, parameters string) {
	t.Helper()
	definition := fmt.Sprintf(`{"StartAt": "Call", "States": {"Call": {"Type": "Task", "Resource": %q, "Parameters": %s, "End": true}}}`, resource, parameters)
	if _, err := h.Start(t.Context(), orchestrator.StartInput{Name: name, Machine: orchestrator.Machine{Name: "parent", Definition: []byte(definition)}}); err != nil {
		t.Fatal(err)
	}
}

func (h *house) ended(t *testing.T, name string) orchestrator.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	x, err := h.Wait(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// running waits until an execution runs.
func (h *house) running(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		x, err := h.Describe(t.Context(), name)
		if err == nil && x.Status == anneal.StatusRunning {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("execution %s does not run: %+v, %v", name, x, err)
		}
	}
}

var childMachines = map[string]string{
	"child": `{"StartAt": "Hand on", "States": {"Hand on": {"Type": "Pass", "Result": {"Arg1": "argument1"}, "End": true}}}`,
	"echo":  `{"StartAt": "Hand on", "States": {"Hand on": {"Type": "Pass", "End": true}}}`,
	"fails": `{"StartAt": "Fail", "States": {"Fail": {"Type": "Fail", "Error": "SomeFailure", "Cause": "as expected"}}}`,
	"late":  `{"TimeoutSeconds": 1, "StartAt": "Hold", "States": {"Hold": {"Type": "Wait", "Seconds": 100000, "End": true}}}`,
	"waits": `{"StartAt": "Hold", "States": {"Hold": {"Type": "Wait", "Seconds": 100000, "End": true}}}`,
	"itself": `{"StartAt": "Again", "States": {"Again": {"Type": "Task", "Resource": "` + startExecution + `.sync:2",
		"Parameters": {"StateMachineArn": "` + machinePrefix + `itself", "Input": {}}, "End": true}}}`,
	"team-*": `{"StartAt": "Who", "States": {"Who": {"Type": "Pass", "Parameters": {"me.$": "$$.StateMachine.Name"}, "End": true}}}`,
	"tells": `{"StartAt": "Tell", "States": {"Tell": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish",
		"Parameters": {"TopicArn": "arn:aws:sns:us-east-1:1:news", "Message.$": "$.token"}, "Next": "Hold"}, "Hold": {"Type": "Wait", "Seconds": 100000, "End": true}}}`,
}

func TestNested(t *testing.T) {
	h := newHouse(t, childMachines, nil)
	tests := []struct {
		name, resource, parameters string
		output                     []string // are in the output
		err                        string
		cause                      []string // are in the cause
	}{
		{"answer", "", `{"StateMachineArn": "child"}`, []string{`"ExecutionArn":"arn:aws:states:us-east-1:123456789012:execution:child:`, `"StartDate":`, `"HttpStatusCode":200`}, "", nil},
		{"text", ".sync", `{"StateMachineArn": "` + machinePrefix + `child", "Name": "TestStartTarget", "Input": null}`,
			[]string{`"Output":"{\"Arg1\":\"argument1\"}"`, `"Input":"{}"`, `"Name":"TestStartTarget"`, `"Status":"SUCCEEDED"`, `"InputDetails":{"Included":true}`,
				`"StateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:child"`, `"RedriveStatusReason":"Execution is SUCCEEDED and cannot be redriven"`}, "", nil},
		{"parsed", ".sync:2", `{"StateMachineArn": "` + machinePrefix + `echo", "Input": {"rows": [1, 2]}}`, []string{`"Output":{"rows":[1,2]}`, `"Input":{"rows":[1,2]}`}, "", nil},
		{"input-as-text", ".sync", `{"StateMachineArn": "echo", "Input": "\"as text\""}`, []string{`"Output":"\"as text\""`}, "", nil},
		{"a-glob", ".sync:2", `{"StateMachineArn": "` + machinePrefix + `team-red"}`, []string{`"me":"team-red"`}, "", nil},
		{"a-version", ".sync:2", `{"StateMachineArn": "` + machinePrefix + `team-red:7"}`, []string{`"me":"team-red"`}, "", nil},
		{"fails", ".sync", `{"StateMachineArn": "fails"}`, nil, "States.TaskFailed", []string{`"Error":"SomeFailure"`, `"Cause":"as expected"`, `"Status":"FAILED"`, `"Input":"{}"`}},
		{"fails-parsed", ".sync:2", `{"StateMachineArn": "fails", "Input": {"rows": 1}}`, nil, "States.TaskFailed", []string{`"Error":"SomeFailure"`, `"Input":"{\"rows\":1}"`}},
		{"late", ".sync", `{"StateMachineArn": "late"}`, nil, "States.TaskFailed", []string{`{"ExecutionArn":`, `"Status":"TIMED_OUT"`}},
		{"of-one-name", ".sync:2", `{"StateMachineArn": "echo", "Name.$": "$$.Execution.Name", "Input": {}}`, []string{`"Name":"of-one-name"`}, "", nil},
		{"no-machine", "", `{"StateMachineArn.$": "$$.Execution.Name"}`, nil, "StepFunctions.StateMachineDoesNotExistException", []string{"State Machine Does Not Exist: 'no-machine' (Service: AWSStepFunctions; Status Code: 400; Error Code: StateMachineDoesNotExist; "}},
		{"bad-input", "", `{"StateMachineArn": "echo", "Input": "{"}`, nil, "StepFunctions.InvalidExecutionInputException", []string{"Invalid State Machine Execution Input"}},
		{"bad-name", ".sync", `{"StateMachineArn": "echo", "Name": "a b"}`, nil, "StepFunctions.InvalidNameException", []string{"Invalid Name: 'a b' (Service: AWSStepFunctions; Status Code: 400; Error Code: InvalidName; "}},
		{"long-name", "", `{"StateMachineArn": "echo", "Name": "` + strings.Repeat("a", 81) + `"}`, nil, "StepFunctions.InvalidNameException", []string{"Invalid Name: 'aaa"}},
		{"another-field", "", `{"StateMachineArn": "echo", "Inputs": {}}`, nil, "States.Runtime", []string{"The field 'Inputs' is not supported"}},
		{"itself", ".sync:2", `{"StateMachineArn": "itself"}`, nil, "States.TaskFailed", []string{"States.TaskFailed"}},
	}
	for _, tt := range tests {
		h.begin(t, tt.name, startExecution+tt.resource, tt.parameters)
		x := h.ended(t, tt.name)
		if x.Error != tt.err {
			t.Errorf("%s ended %s %s: %.300s, want error %q", tt.name, x.Status, x.Error, x.Cause, tt.err)
		}
		for _, part := range tt.output {
			if !strings.Contains(string(x.Output), part) {
				t.Errorf("%s: output %s, want %s in it", tt.name, x.Output, part)
			}
		}
		for _, part := range tt.cause {
			if !strings.Contains(x.Cause, part) {
				t.Errorf("%s: cause %.500s, want %s in it", tt.name, x.Cause, part)
			}
		}
	}
	deepest := 0
	for r, err := range h.records(t) {
		if err != nil {
			t.Fatal(err)
		}
		var turn asl.Turn
		if err := json.Unmarshal(r.Data, &turn); r.Kind == "turn" && err == nil {
			deepest = max(deepest, turn.State.Execution.Depth)
		}
	}
	if deepest != maxDepth {
		t.Errorf("a machine that begins itself came %d deep, want %d", deepest, maxDepth)
	}
}

func (h *house) records(t *testing.T) func(func(journal.Record, error) bool) {
	j, err := journal.Open(t.Context(), h.store, journal.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return j.Read(t.Context(), 0, false)
}

// A version or an alias that is named is what runs, and not the machine as it stands.
func TestNestedVersion(t *testing.T) {
	pass := func(result string) []byte {
		return []byte(`{"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": "` + result + `", "End": true}}}`)
	}
	latest := orchestrator.Machine{Definition: pass("latest"), Qualified: func(qualifier string) (orchestrator.Machine, error) {
		if qualifier == "1" {
			return orchestrator.Machine{Definition: pass("first")}, nil
		}
		return orchestrator.Machine{}, fmt.Errorf("%s: %w", qualifier, orchestrator.ErrNotFound)
	}}
	h := newHouse(t, nil, func(c *Config) {
		c.Machines = func() map[string]orchestrator.Machine { return map[string]orchestrator.Machine{"m": latest} }
	})
	for _, tt := range []struct{ name, machine, output, cause string }{
		{"plain", "m", `"Output":"latest"`, ""},
		{"by-arn", machinePrefix + "m", `"Output":"latest"`, ""},
		{"version", machinePrefix + "m:1", `"Output":"first"`, ""},
		{"none", machinePrefix + "m:2", "", "State Machine Does Not Exist: '" + machinePrefix + "m:2' ("},
	} {
		h.begin(t, tt.name, startExecution+".sync:2", `{"StateMachineArn": "`+tt.machine+`"}`)
		if x := h.ended(t, tt.name); !strings.Contains(string(x.Output), tt.output) || !strings.Contains(x.Cause, tt.cause) || (x.Error != "") != (tt.cause != "") {
			t.Errorf("%s: output %s, %s: %s", tt.name, x.Output, x.Error, x.Cause)
		}
	}
}

// A name that is given is taken for good; what runs under it with the same
// input is joined, as on AWS.
func TestNestedNames(t *testing.T) {
	h := newHouse(t, childMachines, nil)
	call := func(name, resource, parameters string) orchestrator.Execution {
		h.begin(t, name, startExecution+resource, parameters)
		return h.ended(t, name)
	}
	if x := call("first", "", `{"StateMachineArn": "waits", "Name": "one", "Input": {"a": 1}}`); x.Error != "" {
		t.Fatalf("first: %s %s", x.Error, x.Cause)
	}
	if x := call("joins", "", `{"StateMachineArn": "waits", "Name": "one", "Input": {"a": 1}}`); x.Error != "" {
		t.Errorf("joins: %s %s", x.Error, x.Cause)
	}
	exists := "StepFunctions.ExecutionAlreadyExistsException"
	if x := call("other-input", "", `{"StateMachineArn": "waits", "Name": "one", "Input": {"a": 2}}`); x.Error != exists || !strings.Contains(x.Cause, "Execution Already Exists: 'arn:aws:states:us-east-1:123456789012:execution:waits:one'") {
		t.Errorf("other input: %s %s", x.Error, x.Cause)
	}
	if x := call("other-machine", ".sync", `{"StateMachineArn": "echo", "Name": "one", "Input": {"a": 1}}`); x.Error != "" {
		t.Errorf("other machine: %s %s", x.Error, x.Cause)
	}
	if x := call("ended", "", `{"StateMachineArn": "echo", "Name": "one", "Input": {"a": 1}}`); x.Error != exists {
		t.Errorf("ended: %s %s", x.Error, x.Cause)
	}
}

// A nested execution that is waited for ends with the one that began it, and
// is found again after a restart; one that is not waited for goes on.
func TestNestedStop(t *testing.T) {
	h := newHouse(t, childMachines, nil)
	h.begin(t, "waits-for-it", startExecution+".sync", `{"StateMachineArn": "waits", "Name": "awaited"}`)
	h.begin(t, "does-not", startExecution, `{"StateMachineArn": "waits", "Name": "left"}`)
	h.running(t, "waits:awaited")
	h.running(t, "waits:left")
	h.stop()
	h.Tasks.cfg.Machines = func() map[string]orchestrator.Machine { return nil } // what was begun goes on
	h.run(t)
	h.running(t, "waits-for-it")
	if err := h.Stop(t.Context(), "waits-for-it", "Superseded", "newer data"); err != nil {
		t.Fatal(err)
	}
	if x := h.ended(t, "waits:awaited"); x.Status != anneal.StatusAborted || !strings.HasPrefix(x.Cause, "The Task state in AWS Step Functions execution [arn:aws:states:") || !strings.Contains(x.Cause, "waits-for-it] which") {
		t.Errorf("the nested execution ended %s: %s", x.Status, x.Cause)
	}
	if x := h.ended(t, "does-not"); x.Status != anneal.StatusSucceeded {
		t.Errorf("the other one ended %s", x.Status)
	}
	h.running(t, "waits:left")
	if x, err := h.Describe(t.Context(), "waits:awaited"); err != nil || x.Depth != 1 || x.StartedBy == "" {
		t.Errorf("nested execution %+v, %v", x, err)
	}
}

// gated looks executions up once the gate is open.
type gated struct {
	Executor
	gate   atomic.Pointer[chan struct{}]
	inside atomic.Int64 // lookups that wait for it
}

func (g *gated) Describe(ctx context.Context, name string) (orchestrator.Execution, error) {
	g.inside.Add(1)
	<-*g.gate.Load()
	g.inside.Add(-1)
	return g.Executor.Describe(ctx, name)
}

// After a restart the nested executions that are waited for are looked up a few at a time,
// and waiting for them keeps nobody from being looked up.
func TestNestedMany(t *testing.T) {
	const many = maxBegins + 100
	g := &gated{}
	h := newHouse(t, childMachines, func(c *Config) { g.Executor, c.Executor = c.Executor, g })
	open := make(chan struct{})
	close(open)
	g.gate.Store(&open)
	for i := range many {
		h.begin(t, fmt.Sprint("parent-", i), startExecution+".sync", `{"StateMachineArn": "waits", "Name.$": "$$.Execution.Name"}`)
	}
	for i := range many {
		h.running(t, fmt.Sprint("waits:parent-", i))
	}
	h.stop()
	gate := make(chan struct{})
	g.gate.Store(&gate)
	h.run(t)
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		h.begins.mu.Lock()
		waiting, inside := len(h.begins.waiting), g.inside.Load()
		h.begins.mu.Unlock()
		if waiting == many-maxBegins && inside == maxBegins {
			break
		}
		if inside > maxBegins || time.Now().After(end) {
			t.Errorf("%d are looked up and %d wait for that; want %d of %d looked up", inside, waiting, maxBegins, many)
			break
		}
	}
	close(gate)
	for _, i := range []int{0, many / 2, many - 1} {
		if err := h.Stop(t.Context(), fmt.Sprint("waits:parent-", i), "Enough", ""); err != nil {
			t.Fatal(err)
		}
		if x := h.ended(t, fmt.Sprint("parent-", i)); x.Error != "States.TaskFailed" || !strings.Contains(x.Cause, `"Error":"Enough"`) {
			t.Errorf("parent %d ended %s %s: %s", i, x.Status, x.Error, x.Cause)
		}
	}
}

// Tokens by every way that has one.
func TestTokens(t *testing.T) {
	marks := filepath.Join(t.TempDir(), "token")
	h := newHouse(t, childMachines, func(c *Config) {
		sh := func(script string) Function { return Function{Command: []string{"/bin/sh", "-c", script}} }
		c.Functions = map[string]Function{
			"Ask":   sh("cat >" + marks + ".part; mv " + marks + ".part " + marks + "; echo '\"asked\"'"),
			"Slow":  sh("cat >" + marks + ".part; mv " + marks + ".part " + marks + "; sleep 1000"),
			"Fails": sh("echo no >&2; exit 1"),
		}
	})
	message := func() string {
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if data, err := os.ReadFile(marks); err == nil {
				os.Remove(marks)
				return string(data)
			}
		}
		t.Fatal("nobody was asked")
		return ""
	}
	told := func() string {
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			h.mu.Lock()
			n := h.told
			h.told = nil
			h.mu.Unlock()
			if len(n) > 0 {
				return n[0]
			}
		}
		t.Fatal("nothing was published")
		return ""
	}
	last := func(s string) string { return s[strings.LastIndex(s, "|")+1:] }
	tests := []struct {
		name, resource, parameters string
		token                      func() string
		child                      string // that is begun
	}{
		{"lambda", lambdaInvoke, `{"FunctionName": "Ask", "Payload.$": "States.JsonToString($$.Task.Token)"}`, func() string { return strings.Trim(message(), `"`) }, ""},
		{"lambda-that-has-not-ended", lambdaInvoke, `{"FunctionName": "Slow", "Payload.$": "States.JsonToString($$.Task.Token)"}`, func() string { return strings.Trim(message(), `"`) }, ""},
		{"lambda-as-an-event", lambdaInvoke, `{"FunctionName": "Slow", "InvocationType": "Event", "Payload.$": "States.JsonToString($$.Task.Token)"}`, func() string { return strings.Trim(message(), `"`) }, ""},
		{"sns", publish, `{"TopicArn": "arn:aws:sns:us-east-1:1:news", "Message.$": "$$.Task.Token"}`, func() string { return last(told()) }, ""},
		{"sqs", "arn:aws:states:::sqs:sendMessage", `{"QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/news", "MessageBody.$": "$$.Task.Token"}`, func() string { return last(told()) }, ""},
		{"nested", startExecution, `{"StateMachineArn": "tells", "Name": "nested", "Input": {"token.$": "$$.Task.Token"}}`, func() string { return last(told()) }, "tells:nested"},
		{"nested-that-is-waited-for", startExecution + ".sync", `{"StateMachineArn": "tells", "Name": "sync", "Input": {"token.$": "$$.Task.Token"}}`, func() string { return last(told()) }, "tells:sync"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resource := tt.resource
			if !strings.HasSuffix(resource, ".sync") {
				resource += ".waitForTaskToken"
			}
			h.begin(t, tt.name, resource, tt.parameters)
			token := tt.token()
			if err := h.Resolve(t.Context(), token, asl.Outcome{Output: json.RawMessage(`{`)}); !errors.Is(err, engine.ErrInvalidOutput) {
				t.Errorf("no JSON: %v", err)
			}
			if err := h.Resolve(t.Context(), token, asl.Outcome{Output: json.RawMessage(`"` + strings.Repeat("x", asl.MaxData) + `"`)}); !errors.Is(err, engine.ErrInvalidOutput) {
				t.Errorf("too much: %v", err)
			}
			if err := h.Heartbeat(t.Context(), token); err != nil {
				t.Errorf("heartbeat: %v", err)
			}
			if err := h.Resolve(t.Context(), token, asl.Outcome{Output: json.RawMessage(`{"yes": true}`)}); err != nil {
				t.Fatal(err)
			}
			if x := h.ended(t, tt.name); x.Status != anneal.StatusSucceeded || string(x.Output) != `{"yes":true}` {
				t.Errorf("ended %s %s %s: %s", x.Status, x.Output, x.Error, x.Cause)
			}
			for what, err := range map[string]error{
				"resolve again": h.Resolve(t.Context(), token, asl.Outcome{Output: json.RawMessage(`1`)}),
				"heartbeat":     h.Heartbeat(t.Context(), token),
			} {
				if !errors.Is(err, engine.ErrTaskClosed) {
					t.Errorf("%s after the end: %v", what, err)
				}
			}
			if tt.child != "" { // it goes on
				h.running(t, tt.child)
			}
		})
	}

	h.begin(t, "a-function-that-fails", lambdaInvoke+".waitForTaskToken", `{"FunctionName": "Fails", "Payload.$": "States.JsonToString($$.Task.Token)"}`)
	if x := h.ended(t, "a-function-that-fails"); x.Error != "Runtime.ExitError" {
		t.Errorf("ended %s %s", x.Status, x.Error)
	}
	stranger := asl.Effect{Execution: "lambda", ID: "nobody"}
	nowhere := asl.Effect{Execution: "none", ID: "nobody"}
	for token, want := range map[string]error{"": engine.ErrInvalidToken, "%": engine.ErrInvalidToken, "abcd": engine.ErrInvalidToken, stranger.Token(): engine.ErrNoTask, nowhere.Token(): engine.ErrNoTask} {
		if err := h.Heartbeat(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("token %q: %v, want %v", token, err, want)
		}
	}
}
