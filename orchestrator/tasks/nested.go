package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// maxDepth is how many executions may be above a nested one.
const maxDepth = 100

var startExecutionFields = fields{
	{"Input", anything, false},
	{"Name", text, false},
	{"StateMachineArn", text, true},
	{"TraceHeader", text, false},
}

// maxBegins is how many nested executions are begun, or found begun, at a time: a
// restart asks for all of them at once.
const maxBegins = 64

// startExecution begins an execution of another state machine, and with .sync
// leaves it to the engine to wait for its end. An execution that is given no name is
// named after the effect, so that beginning it again finds it.
func (t *Tasks) startExecution(ctx context.Context, e asl.Effect, sync string, submitted func(json.RawMessage)) (asl.Outcome, error) {
	effect := e.ID // what waits keeps no more of e
	broken := func(err error) asl.Outcome {
		return awsError("StepFunctions", "AWSStepFunctionsException", err.Error(), "AWSStepFunctions", 500, "InternalFailure", effect)
	}
	x, key, refused, err := t.begin(ctx, e, sync != "")
	switch {
	case errors.Is(err, errElsewhere):
		return t.startAtAWS(ctx, e, sync, submitted)
	case err != nil && ctx.Err() != nil:
		return asl.Outcome{}, ctx.Err()
	case err != nil:
		return broken(err), nil
	case refused != nil:
		return *refused, nil
	}
	begun := result(e.ID, map[string]any{"ExecutionArn": x.ARN, "StartDate": millis(x.Started)}, "application/x-amz-json-1.0", len(x.ARN)+len(`{"executionArn":"","startDate":1.234567890123E9}`))
	if sync == "" {
		return begun, nil
	}
	submitted(begun.Output)
	parsed := sync == ".sync:2"
	return asl.Outcome{}, &orchestrator.Until{Execution: key, Outcome: func(x orchestrator.Execution, err error) asl.Outcome {
		if err != nil {
			return broken(err)
		}
		return nestedOutcome(x, parsed)
	}}
}

// errElsewhere says that the state machine of an effect is at AWS.
var errElsewhere = errors.New("the state machine is at AWS")

// begin begins the execution that the effect asks for, or finds it begun. With
// awaited it will be stopped with the effect.
func (t *Tasks) begin(ctx context.Context, e asl.Effect, awaited bool) (x orchestrator.Execution, key string, refused *asl.Outcome, err error) {
	if err := t.begins.enter(ctx, time.Time{}, false); err != nil {
		return x, "", nil, err
	}
	defer t.begins.leave()
	if t.elsewhere(ctx, e) {
		return x, "", nil, errElsewhere
	}
	refuse := func(o asl.Outcome) (orchestrator.Execution, string, *asl.Outcome, error) { return x, "", &o, nil }
	if problem := startExecutionFields.check(e.Input); problem != "" {
		return refuse(runtimeError(e, problem))
	}
	var in struct {
		Name, StateMachineArn string
		Input                 json.RawMessage
	}
	if err := json.Unmarshal(e.Input, &in); err != nil {
		return refuse(runtimeError(e, err.Error()))
	}
	if in.Name == "" {
		in.Name = requestID("execution", e.ID)
	}
	name := machineNames(in.StateMachineArn)[0]
	key = name + ":" + in.Name // no name has a colon
	// What this effect has begun it goes on with, whatever the settings say now.
	x, err = t.cfg.Executor.Describe(ctx, key)
	if err == nil && x.StartedBy == e.ID || err != nil && !errors.Is(err, orchestrator.ErrNotFound) {
		return x, key, nil, err
	}
	arn, beside := t.executionARN(name, in.Name), []journal.Record(nil)
	machine, ok := match(t.cfg.Machines(), machineNames(in.StateMachineArn)...)
	if q := qualifier(in.StateMachineArn); ok && q != "" && machine.Qualified != nil {
		if machine, err = machine.Qualified(q); err != nil && !errors.Is(err, orchestrator.ErrNotFound) {
			return x, key, nil, err
		}
		ok = err == nil
	}
	if !ok {
		t.cfg.Log.Warn("state machine not mapped", "machine", in.StateMachineArn, "want", "embedded.stateMachines."+name)
		return refuse(sfnError(e, "StateMachineDoesNotExist", "State Machine Does Not Exist: '"+in.StateMachineArn+"'"))
	}
	machine.Name = name
	if machine.Begin != nil {
		if key, arn, beside, err = machine.Begin(in.Name); err != nil {
			return x, key, nil, err
		}
		x, err = t.cfg.Executor.Describe(ctx, key)
		if err == nil && x.StartedBy == e.ID || err != nil && !errors.Is(err, orchestrator.ErrNotFound) {
			return x, key, nil, err
		}
	}
	input, err := executionInput(in.Input)
	if err != nil {
		return refuse(sfnError(e, "InvalidExecutionInput", "Invalid State Machine Execution Input: '"+err.Error()+"'"))
	}
	parent, err := t.cfg.Executor.Describe(ctx, e.Execution)
	if err != nil {
		return x, key, nil, fmt.Errorf("the execution of the task: %w", err)
	}
	if parent.Depth >= maxDepth {
		return refuse(sfnError(e, "ExecutionLimitExceeded", fmt.Sprintf("The execution would be nested more than %d deep", maxDepth)))
	}
	if awaited {
		// So that Stop finds it, whenever it comes.
		if err := t.note(e, noted{Execution: e.Execution, Child: key}); err != nil {
			return x, key, nil, err
		}
		defer t.stopIfAsked(e.ID)
	}
	x, err = t.cfg.Executor.Start(ctx, orchestrator.StartInput{
		Name: in.Name, Key: key, Machine: machine, Input: input, StartedBy: e.ID, Depth: parent.Depth + 1,
		ARN: arn, Beside: beside,
	})
	if errors.Is(err, orchestrator.ErrExecutionExists) || err == nil && x.StartedBy != e.ID && x.Status.Ended() {
		return refuse(sfnError(e, "ExecutionAlreadyExists", "Execution Already Exists: '"+arn+"'"))
	}
	if errors.Is(err, orchestrator.ErrInvalidName) {
		return refuse(sfnError(e, "InvalidName", "Invalid Name: '"+in.Name+"'"))
	}
	return x, key, nil, err
}

// executionInput is what a nested execution begins with: a string is the text
// of it.
func executionInput(input json.RawMessage) (json.RawMessage, error) {
	var text string
	switch {
	case len(input) == 0 || string(input) == "null":
		return json.RawMessage("{}"), nil
	case json.Unmarshal(input, &text) != nil:
		return input, nil
	case !json.Valid([]byte(text)):
		return nil, fmt.Errorf("%.100q is not JSON", text)
	}
	return json.RawMessage(text), nil
}

// nestedOutcome is DescribeExecution's answer about an execution that ended.
// Input and output are text, or, where parsed and it succeeded, JSON.
func nestedOutcome(x orchestrator.Execution, parsed bool) asl.Outcome {
	data := func(v json.RawMessage) any {
		if parsed && x.Status == anneal.StatusSucceeded {
			return v
		}
		return string(v)
	}
	included := map[string]bool{"Included": true}
	d := description{
		"ExecutionArn":    x.ARN,
		"Input":           data(x.Input),
		"InputDetails":    included,
		"Name":            x.ARN[strings.LastIndex(x.ARN, ":")+1:],
		"RedriveCount":    x.Redrives,
		"RedriveStatus":   "REDRIVABLE",
		"StartDate":       millis(x.Started),
		"StateMachineArn": x.Machine,
		"Status":          x.Status,
		"StopDate":        millis(x.Ended),
	}
	if x.Fixed != "" {
		d["RedriveStatus"], d["RedriveStatusReason"] = "NOT_REDRIVABLE", x.Fixed
	}
	if x.Status == anneal.StatusSucceeded {
		d["Output"], d["OutputDetails"] = data(x.Output), included
		return asl.Outcome{Output: encode(d)}
	}
	if x.Error != "" && x.Status != anneal.StatusTimedOut { // as DescribeExecution
		d["Error"] = x.Error
	}
	// A cause in a cause is quoted once more each time.
	for cause := []rune(x.Cause); len(cause) > 0; cause = cause[:len(cause)/2] {
		d["Cause"] = string(cause)
		if len(encode(d)) <= maxCause {
			break
		}
		delete(d, "Cause")
	}
	return asl.Outcome{Error: "States.TaskFailed", Cause: string(encode(d))}
}

// maxCause is how long Step Functions lets a cause be, in bytes.
const maxCause = 32768

// millis is a time as Step Functions hands it on.
func millis(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMilli()
}

func sfnError(e asl.Effect, code, message string) asl.Outcome {
	return awsError("StepFunctions", code+"Exception", message, "AWSStepFunctions", 400, code, e.ID)
}

// machineNames are the names of a state machine: its own, without a version or
// alias, then its ARN.
func machineNames(arn string) []string {
	name := arn
	if i := strings.LastIndex(arn, ":stateMachine:"); i >= 0 {
		name, _, _ = strings.Cut(arn[i+len(":stateMachine:"):], ":")
	}
	return []string{name, arn}
}

// qualifier is the version or alias that the ARN of a state machine ends with.
func qualifier(arn string) string {
	_, rest, _ := strings.Cut(arn, ":stateMachine:")
	_, qualifier, _ := strings.Cut(rest, ":")
	return qualifier
}

func (t *Tasks) executionARN(machine, name string) string {
	return "arn:aws:states:" + t.cfg.Region + ":" + t.cfg.Account + ":execution:" + machine + ":" + name
}

// A noted is what an effect's folder tells of what was begun elsewhere.
type noted struct {
	Execution string `json:"execution"`           // that the effect belongs to
	Child     string `json:"child,omitempty"`     // key of a nested execution that ends with the effect
	Container string `json:"container,omitempty"` // name of a container
	Engine    string `json:"engine,omitempty"`    // the command that runs it
}

// note writes down, durably, what is about to be begun; what was noted before
// stays.
func (t *Tasks) note(e asl.Effect, n noted) error {
	err := createFile(filepath.Join(t.dir(e.ID), job.EffectFile), encode(n))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// noted reads it; the zero value where there is none.
func (t *Tasks) noted(effect string) (noted, error) { return readNoted(t.dir(effect)) }

func readNoted(dir string) (n noted, err error) {
	data, err := os.ReadFile(filepath.Join(dir, job.EffectFile))
	if errors.Is(err, os.ErrNotExist) {
		return noted{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	return n, err
}
