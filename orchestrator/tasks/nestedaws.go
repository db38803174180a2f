package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// elsewhere reports whether the state machine that an effect begins is at AWS: it
// is none of those here, nor has the effect begun one here.
func (t *Tasks) elsewhere(ctx context.Context, e asl.Effect) bool {
	var in struct{ Name, StateMachineArn string }
	if t.cfg.Remote == nil || json.Unmarshal(e.Input, &in) != nil || in.StateMachineArn == "" {
		return false
	}
	names := machineNames(in.StateMachineArn)
	if _, ok := match(t.cfg.Machines(), names...); ok {
		return false
	}
	if in.Name == "" {
		in.Name = requestID("execution", e.ID)
	}
	_, err := t.cfg.Executor.Describe(ctx, names[0]+":"+in.Name)
	return err != nil
}

// pollStepFunctions is how long after the first look at an execution at AWS there
// is the next; later ones are further apart, up to slowestPoll.
const (
	pollStepFunctions = time.Second
	slowestPoll       = 15 * time.Second
)

// startAtAWS is [Tasks.startExecution] of a state machine at AWS. The name that an
// execution is given here is the effect's own, so that it is begun once.
func (t *Tasks) startAtAWS(ctx context.Context, e asl.Effect, sync string, submitted func(json.RawMessage)) (asl.Outcome, error) {
	in, w := params(e), optimized["states"]
	named, ours := in.Find("Name")
	if ours = !ours || named.Kind() == value.Null; ours {
		named = value.OfString(requestID("execution", e.ID))
		in = in.With("Name", named)
	}
	machine, _ := in.Find("StateMachineArn")
	call := func(ctx context.Context, action string, in value.Value) (*wire.Response, *failure, error) {
		return t.remote(ctx, e, w, wire.Request{Service: "sfn", Action: action, Params: in})
	}
	arn := executionOf(machine.Text(), named.Text())
	starting, cancel := ctx, context.CancelFunc(func() {})
	if sync != "" { // what it begins is to be stopped, if nobody waits for it by then
		starting, cancel = lasting(ctx, endTime)
	}
	resp, failed, err := call(starting, "startExecution", in)
	cancel()
	switch {
	case err != nil && sync == "":
		return asl.Outcome{}, err
	case err != nil:
		return asl.Outcome{}, t.stopAtAWS(ctx, e, whichExecution(arn), err)
	}
	switch {
	case failed != nil && (!ours || failed.Error != "StepFunctions.ExecutionAlreadyExistsException"):
		return failed.Outcome, nil
	case failed == nil && sync == "":
		return answered(resp, resp.Output), nil
	case failed == nil:
		submitted(answered(resp, resp.Output).Output)
		if v, ok := resp.Output.Find("ExecutionArn"); ok {
			arn = v.Text()
		}
	}
	which := whichExecution(arn)
	for wait := pollStepFunctions; ; wait = min(2*wait, slowestPoll) {
		resp, failed, err := call(ctx, "describeExecution", which)
		switch {
		case err != nil:
			return asl.Outcome{}, t.stopAtAWS(ctx, e, which, err)
		case failed != nil && !failed.passing:
			return failed.Outcome, nil
		case failed == nil && sync == "": // it had been begun before
			started, _ := resp.Output.Find("StartDate")
			return answered(resp, value.OfObject(value.Member{Key: "ExecutionArn", Value: value.OfString(arn)}, value.Member{Key: "StartDate", Value: started})), nil
		case failed == nil:
			if o, ended := describedOutcome(resp.Output, sync == ".sync:2"); ended {
				return o, nil
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return asl.Outcome{}, t.stopAtAWS(ctx, e, which, ctx.Err())
		}
	}
}

// endTime is how long a call may take that is made, or goes on, though nobody waits
// for its effect any more.
const endTime = 10 * time.Second

// lasting is a context that ends so long after another one.
func lasting(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	lasts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(more, cancel) })
	return lasts, func() { stop(); cancel() }
}

// whichExecution are the parameters that say which one.
func whichExecution(arn string) value.Value {
	return value.OfObject(value.Member{Key: "ExecutionArn", Value: value.OfString(arn)})
}

// stopAtAWS ends an execution at AWS whose effect nobody waits for any more. What
// it returns is why.
func (t *Tasks) stopAtAWS(ctx context.Context, e asl.Effect, which value.Value, why error) error {
	if stopped, err := job.Stopped(t.dir(e.ID)); err != nil || !stopped {
		return why // the daemon ends, and goes on with it when it begins again
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	_, failed, err := t.remote(ending, e, optimized["states"], wire.Request{Service: "sfn", Action: "stopExecution", Params: which})
	if failed != nil {
		err = errors.New(failed.Cause)
	}
	if err != nil {
		t.cfg.Log.Error("execution at aws not stopped", "effect", e.ID, "err", err)
	}
	return why
}

// executionOf is the ARN of an execution of a state machine.
func executionOf(machine, name string) string {
	prefix, rest, _ := strings.Cut(machine, ":stateMachine:")
	rest, _, _ = strings.Cut(rest, ":") // a version or alias
	return prefix + ":execution:" + rest + ":" + name
}

// describedOutcome is what an execution came to that DescribeExecution tells of.
func describedOutcome(x value.Value, parsed bool) (asl.Outcome, bool) {
	status, _ := x.Find("Status")
	if !anneal.Status(status.Text()).Ended() {
		return asl.Outcome{}, false
	}
	if parsed && anneal.Status(status.Text()) == anneal.StatusSucceeded {
		for _, name := range []string{"Input", "Output"} {
			if v, ok := x.Find(name); ok {
				if inner, err := value.ParseString(v.Text()); err == nil {
					x = x.With(name, inner)
				}
			}
		}
	}
	if anneal.Status(status.Text()) == anneal.StatusSucceeded {
		return asl.Outcome{Output: x.Append(nil)}, true
	}
	return asl.Outcome{Error: asl.ErrTaskFailed, Cause: x.String()}, true
}
