package tasks

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// Lambda's limits.
const (
	longestFunction = 15 * time.Minute
	largestResult   = 6291556 // bytes
)

var invokeFields = fields{
	{"ClientContext", text, false},
	{"FunctionName", text, true},
	{"InvocationType", text, false},
	{"LogType", text, false},
	{"Payload", anything, false},
	{"Qualifier", text, false},
}

// function is a Task whose resource is a function's ARN: the parameters are
// the payload, the result is the result.
func (t *Tasks) function(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	if t.cfg.Remote != nil {
		if _, ok := t.lookup(e.Resource); !ok {
			in := value.OfObject(value.Member{Key: "FunctionName", Value: value.OfString(e.Resource)})
			_, o, err := t.callLambda(ctx, e, in, e.Input)
			return o, err
		}
	}
	return t.call(ctx, e, e.Resource, e.Input, false)
}

// invoke is lambda:invoke: the result comes with what the service says of it.
func (t *Tasks) invoke(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	if problem := invokeFields.check(e.Input); problem != "" {
		return runtimeError(e, problem), nil
	}
	var in struct {
		FunctionName, InvocationType, LogType string
		Payload                               json.RawMessage
	}
	if err := json.Unmarshal(e.Input, &in); err != nil {
		return runtimeError(e, err.Error()), nil
	}
	in.Payload = raw(in.Payload)
	if _, ok := t.lookup(in.FunctionName); !ok && t.cfg.Remote != nil {
		return t.invokeLambda(ctx, e, in.Payload)
	}
	if !json.Valid(in.Payload) {
		return awsError("Lambda", "InvalidRequestContentException", fmt.Sprintf("Could not parse request body into json: Could not parse payload into json: %.100q is not JSON", in.Payload), "AWSLambda", 400, "InvalidRequestContentException", e.ID), nil
	}
	out := map[string]any{"ExecutedVersion": "$LATEST", "StatusCode": 200}
	switch in.InvocationType {
	case "", "RequestResponse", "Event":
	case "DryRun":
		if _, ok := t.lookup(in.FunctionName); !ok {
			return t.noFunction(e, in.FunctionName), nil
		}
		return result(e.ID, map[string]any{"StatusCode": 204}, "application/json", 0), nil
	default:
		return runtimeError(e, fmt.Sprintf("InvocationType %q is not built yet (have RequestResponse, Event, DryRun)", in.InvocationType)), nil
	}
	event := in.InvocationType == "Event"
	o, err := t.call(ctx, e, in.FunctionName, in.Payload, event)
	if err != nil || o.Error != "" {
		return o, err
	}
	if event {
		return result(e.ID, map[string]any{"ExecutedVersion": "$LATEST", "Payload": json.RawMessage("{}"), "StatusCode": 202}, "application/json", 0), nil
	}
	out["Payload"] = o.Output
	if in.LogType == "Tail" {
		out["LogResult"] = base64.StdEncoding.EncodeToString([]byte(tail(filepath.Join(t.dir(e.ID), job.Log), 4<<10)))
	}
	return result(e.ID, out, "application/json", len(o.Output)), nil
}

func (f Function) timeout() time.Duration {
	if f.Timeout > 0 {
		return f.Timeout
	}
	return longestFunction
}

func (t *Tasks) lookup(function string) (Function, bool) {
	if f, ok := t.cfg.Functions[functionName(function)]; ok { // as most
		return f, true
	}
	return match(t.cfg.Functions, functionNames(function)...)
}

func (t *Tasks) noFunction(e asl.Effect, name string) asl.Outcome {
	t.cfg.Log.Warn("function not mapped", "function", name, "want", "embedded.functions."+functionNames(name)[0])
	return awsError("Lambda", "ResourceNotFoundException", "Function not found: "+name, "AWSLambda", 404, "ResourceNotFoundException", e.ID)
}

// call runs a function; the outcome's output is what it returned. What becomes
// of an event is nobody's concern: a command is only begun.
func (t *Tasks) call(ctx context.Context, e asl.Effect, name string, payload json.RawMessage, event bool) (asl.Outcome, error) {
	f, ok := t.lookup(name)
	if !ok {
		return t.noFunction(e, name), nil
	}
	if f.Builtin != "" {
		out, err := callBuiltin(ctx, t.cfg.Builtins[f.Builtin], payload)
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		if event {
			return asl.Outcome{}, nil
		}
		if err != nil {
			kind := "Error"
			if k := interface{ ErrorType() string }(nil); errors.As(err, &k) {
				kind = k.ErrorType()
			}
			return functionError(e, kind, err.Error()), nil
		}
		return asl.Outcome{Output: out}, nil
	}

	if f.HTTP != nil {
		o, err := t.callHTTP(ctx, e, f, payload)
		if event && err == nil {
			o = asl.Outcome{}
		}
		return o, err
	}

	dir := t.dir(e.ID)
	state, _, err := job.Describe(dir)
	if err == nil && state == job.New {
		err = job.Launch(ctx, t.cfg.Shim, dir, job.Spec{
			Execution: e.Execution,
			Command:   f.Command,
			Dir:       f.Dir,
			Env: environ(e.ID, map[string]string{
				"AWS_LAMBDA_FUNCTION_NAME":    functionNames(name)[0],
				"AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
			}, f.Env),
			Stdin:   payload,
			Timeout: f.timeout(),
			Capture: largestResult,
		})
	}
	if err != nil {
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		// What definitions retry by AWS's own advice.
		return awsError("Lambda", "ServiceException", err.Error(), "AWSLambda", 500, "ServiceException", e.ID), nil
	}
	if event {
		return asl.Outcome{}, nil
	}
	o, err := job.Wait(ctx, dir)
	if err != nil {
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		return awsError("Lambda", "ServiceException", err.Error(), "AWSLambda", 500, "ServiceException", e.ID), nil
	}
	if o.Lost {
		t.reap(dir)
	}
	return commandResult(e, dir, f, o), nil
}

// callBuiltin keeps a panic of one function from the others.
func callBuiltin(ctx context.Context, f Builtin, payload json.RawMessage) (out json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	out, err = f(ctx, payload)
	if err == nil && !bytes.Equal(out, payload) && !json.Valid(out) { // what it was given is valid
		err = fmt.Errorf("result is not JSON: %.100q", out)
	}
	return out, err
}

// commandResult reads what a function's command left behind.
func commandResult(e asl.Effect, dir string, f Function, o job.Outcome) asl.Outcome {
	id := "RequestId: " + requestID("request", e.ID) + " Error: "
	switch {
	case o.Lost:
		return asl.Outcome{Error: "Lambda.Unknown", Cause: "The cause could not be determined because Lambda did not return an error type. The function's process was killed, or the machine was stopped, while it ran."}
	case o.Problem != "":
		return functionError(e, "Runtime.InvalidEntrypoint", id+o.Problem)
	case o.TimedOut:
		return functionError(e, "Sandbox.Timedout", fmt.Sprintf("%sTask timed out after %.2f seconds", id, f.timeout().Seconds()))
	case o.Stopped:
		return functionError(e, "Runtime.ExitError", id+"Runtime was stopped")
	case o.Overflow:
		return functionError(e, "Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", largestResult))
	}
	out, err := os.ReadFile(filepath.Join(dir, job.Stdout))
	if err != nil {
		return functionError(e, "Runtime.ExitError", id+err.Error())
	}
	if o.Code != 0 {
		var said struct{ ErrorType, ErrorMessage *string }
		if json.Unmarshal(out, &said) == nil && (said.ErrorType != nil || said.ErrorMessage != nil) {
			kind := "Error"
			if said.ErrorType != nil && *said.ErrorType != "" {
				kind = *said.ErrorType
			}
			return asl.Outcome{Error: kind, Cause: strings.TrimSpace(string(out))}
		}
		why := fmt.Sprintf("exit status %d", o.Code)
		if o.Signal != "" {
			why = "signal: " + o.Signal
		}
		if end := strings.TrimSpace(tail(filepath.Join(dir, job.Log), 1<<10)); end != "" {
			why += "\n" + end
		}
		return functionError(e, "Runtime.ExitError", id+"Runtime exited with error: "+why)
	}
	if !json.Valid(out) {
		return functionError(e, "Runtime.MarshalError", fmt.Sprintf("standard output is not one JSON value: %.200q", out))
	}
	return asl.Outcome{Output: json.RawMessage(strings.TrimSpace(string(out)))}
}

// functionError is a function's failure: the type is the error's name, the
// cause is what the function said, as JSON.
func functionError(e asl.Effect, kind, message string) asl.Outcome {
	return asl.Outcome{Error: kind, Cause: string(encode(map[string]any{
		"errorMessage": message,
		"errorType":    kind,
		"requestId":    requestID("request", e.ID),
	}))}
}

// tail is the end of a file, up to n bytes, from the start of a line; empty
// where it cannot be read.
func tail(name string, n int64) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	data, err := io.ReadAll(io.NewSectionReader(f, max(0, size-n), n))
	if err != nil {
		return ""
	}
	s := strings.ToValidUTF8(string(data), "\uFFFD")
	if size > n {
		if _, rest, ok := strings.Cut(s, "\n"); ok && rest != "" {
			s = rest
		}
	}
	return s
}
