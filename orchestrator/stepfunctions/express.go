package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator"
)

// An Express execution has no handle: its name may be used again and again, and
// it can be neither described nor stopped; nor does EventBridge hear of it. So it
// is run synchronously, and its result is the answer. It is begun once at most:
//
//   - Start only takes it in. The caller makes that durable, and Wait begins it.
//   - What was taken in by a process that is gone may have run or not, which
//     nobody can tell: it ends as FAILED with Anneal.ExecutionLost, and is not
//     begun again.
//   - So does one whose answer was lost on the way.

// An expressRun is an Express execution that was taken in.
type expressRun struct {
	machine machine
	input   orchestrator.StartInput
	busy    chan struct{}          // held by who begins it
	x       orchestrator.Execution // guarded by Executor.mu
}

const (
	expressFixed       = "Express executions cannot be redriven"
	expressUnstoppable = "an Express execution cannot be stopped; it ends within five minutes"
	// expressTime is the five minutes that an Express execution may take, and some
	// for the answer to come.
	expressTime = 5*time.Minute + 30*time.Second
	// mostHeld is from how many on those that have ended are forgotten here.
	mostHeld = 1000
)

func (e *Executor) startExpress(in orchestrator.StartInput, m machine) (orchestrator.Execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run := e.held[in.Name]; run != nil {
		if !orchestrator.SameJSON(run.input.Input, in.Input) {
			return orchestrator.Execution{}, orchestrator.ErrExecutionExists
		}
		return run.x, nil
	}
	if !json.Valid(in.Input) {
		return orchestrator.Execution{}, errors.New("its input is not JSON")
	}
	now := time.Now().UTC()
	x := orchestrator.Execution{Name: in.Name, Machine: m.base, Status: anneal.StatusRunning, Started: &now, Input: in.Input, Fixed: expressFixed}
	run := &expressRun{machine: m, input: in, busy: make(chan struct{}, 1), x: x}
	if len(e.held) >= mostHeld {
		maps.DeleteFunc(e.held, func(_ string, r *expressRun) bool { return r.x.Status.Ended() })
	}
	if in.Begun {
		run.end(anneal.StatusFailed, lostError, "The daemon was stopped while the Express execution ran, if it had begun. Step Functions cannot tell what came of it; its log may.")
	}
	e.held[in.Name] = run
	return run.x, nil
}

// end ends an execution here.
func (r *expressRun) end(status anneal.Status, errorName, cause string) {
	now := time.Now().UTC()
	r.x.Status, r.x.Ended, r.x.Error, r.x.Cause = status, &now, errorName, cause
}

// heldExpress is an Express execution that was taken in here.
func (e *Executor) heldExpress(name string) (orchestrator.Execution, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	run := e.held[name]
	if run == nil {
		return orchestrator.Execution{}, false
	}
	return run.x, true
}

// runExpress begins an Express execution and waits for its end.
func (e *Executor) runExpress(ctx context.Context, run *expressRun) (orchestrator.Execution, error) {
	select {
	case run.busy <- struct{}{}:
		defer func() { <-run.busy }()
	case <-ctx.Done():
		return orchestrator.Execution{}, ctx.Err()
	}
	if x, _ := e.heldExpress(run.input.Name); x.Status.Ended() {
		return x, nil
	}
	m, in, within := run.machine, run.input, expressTime
	timed := in.Timeout > 0 && in.Timeout < within
	if timed {
		within = in.Timeout
	}
	// The client is its own: with another patience, and with one try alone, since a
	// second would begin it anew.
	with, err := e.cfg.AWS(ctx, m.region, expressTime)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	client := sfn.NewFromConfig(with, func(o *sfn.Options) { o.Retryer = aws.NopRetryer{} }, plainHost)
	sent := false
	out, err := callNow(ctx, e, m, "StartSyncExecution", within, func(ctx context.Context, _ *sfn.Client) (*sfn.StartSyncExecutionOutput, error) {
		out, err := client.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: &m.text, Name: &in.Name, Input: aws.String(string(in.Input))})
		sent = mayHaveBegun(err)
		return out, err
	})
	if ctx.Err() != nil || err != nil && !sent && errors.Is(err, orchestrator.ErrUnavailable) {
		return orchestrator.Execution{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil:
		run.x.ARN, run.x.Status, run.x.Output = aws.ToString(out.ExecutionArn), anneal.Status(out.Status), raw(out.Output)
		run.x.Started, run.x.Ended = utc(out.StartDate), utc(out.StopDate)
		run.x.Error, run.x.Cause = aws.ToString(out.Error), aws.ToString(out.Cause)
	case sent && timed && errors.Is(err, context.DeadlineExceeded):
		run.end(anneal.StatusTimedOut, timeoutError, "The run took longer than its timeout of "+in.Timeout.String()+". Step Functions ends it by itself.")
	case sent:
		run.end(anneal.StatusFailed, lostError, "The answer of the Express execution was lost, and what came of it cannot be asked for: "+err.Error())
	default:
		run.end(anneal.StatusFailed, "Anneal.NotStarted", err.Error())
	}
	return run.x, nil
}

// mayHaveBegun reports whether a call that ended in err may have reached Step
// Functions and begun something.
func mayHaveBegun(err error) bool {
	var unanswered *smithyhttp.RequestSendError
	var dial *net.OpError
	var cancelled *smithy.CanceledError
	var answer *smithyhttp.ResponseError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return false
	case errors.As(err, &unanswered), errors.As(err, &cancelled):
		return true
	}
	return errors.As(err, &answer) && answer.HTTPStatusCode() >= 500
}

// plainHost keeps the SDK from putting sync- before the name of a host that is
// not AWS's own.
func plainHost(o *sfn.Options) {
	if o.BaseEndpoint == nil || strings.Contains(*o.BaseEndpoint, ".amazonaws.") {
		return
	}
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("PlainHost",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
			}), middleware.Before)
	})
}
