// Package stepfunctions executes state machines on AWS Step Functions.
//
// It is an [orchestrator.Executor]. An execution has the name that its caller
// derived, and Step Functions refuses a name twice: what was started before, by
// this process or by one that was killed, is found under its name and adopted.
// Nothing is known here alone; what machine a run is of is asked of Config.Known.
//
// Executions are followed by one loop for all of them ([Executor.Run]). Events
// that tell of a change ([Executor.Told]) have it look at once; without any it
// looks by itself, at many executions of one machine in one call, ever more
// seldom the longer they run, and with a bounded number of calls a second
// however many are open. What an event says is never taken for what is.
//
// Express state machines give no handle on what they run: see express.go for
// what is promised of them.
//
// An AWS that does not answer, or refuses for a while, is
// [orchestrator.ErrUnavailable]; [Executor.Condition] says what is wrong, and
// what to do. That it is asked again is left to the caller; what is followed
// goes on being followed.
package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator"
)

// Config is what an executor works with.
type Config struct {
	// AWS makes the configuration of a client: for a region, and with the time
	// that an answer may take to begin.
	AWS func(ctx context.Context, region string, patience time.Duration) (aws.Config, error)
	// Known is what was recorded of a run; [orchestrator.ErrNotFound] for none.
	Known func(ctx context.Context, name string) (Known, error)
	Log   *slog.Logger // default: nowhere

	// Gap is the least time between two calls by which executions are followed.
	// 200ms if zero.
	Gap time.Duration
}

// Known is what was recorded of a run.
type Known struct {
	Machine   string // ARN of the state machine, with its version or alias
	Execution string // ARN of its execution; empty as long as none is recorded
}

// An Executor is the [orchestrator.Executor] of Step Functions.
type Executor struct {
	cfg  Config
	wake chan struct{} // there is something to look at
	busy chan struct{} // of calls that are not the loop's

	mu         sync.Mutex
	clients    map[string]*sfn.Client             // guarded by mu; by region
	conditions map[string]*condition              // guarded by mu; by machine
	expresses  map[string]bool                    // guarded by mu; by machine: its type, which never changes
	following  map[string]*followed               // guarded by mu; by name
	held       map[string]*expressRun             // guarded by mu; by name
	timeouts   map[string]time.Duration           // guarded by mu; of ended executions that may be redriven next
	polls      map[string]*polling                // guarded by mu; by machine
	waiting    map[string]*orchestrator.Execution // guarded by mu; by name: what could not be started yet, and its end if it was stopped
}

// callers is how many calls are made at a time beside the loop's.
const callers = 8

// New makes an executor. It asks nothing of AWS.
func New(cfg Config) *Executor {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Gap == 0 {
		cfg.Gap = 200 * time.Millisecond
	}
	return &Executor{
		cfg: cfg, wake: make(chan struct{}, 1), busy: make(chan struct{}, callers),
		clients: map[string]*sfn.Client{}, conditions: map[string]*condition{}, expresses: map[string]bool{},
		following: map[string]*followed{}, held: map[string]*expressRun{}, timeouts: map[string]time.Duration{},
		polls: map[string]*polling{}, waiting: map[string]*orchestrator.Execution{},
	}
}

// Start implements [orchestrator.Executor]. The definition is that of
// Machine.ARN; that of the input is not looked at.
func (e *Executor) Start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	x, err := e.start(ctx, in)
	if err != nil { // it is tried again, until somebody stops it
		e.mu.Lock()
		if _, known := e.waiting[in.Name]; !known {
			e.waiting[in.Name] = nil
		}
		e.mu.Unlock()
	}
	if err != nil {
		return orchestrator.Execution{}, fmt.Errorf("start execution %s: %w", in.Name, err)
	}
	return x, nil
}

func (e *Executor) start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	m, err := parseMachine(in.Machine.ARN)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	if in.Name == "" {
		return orchestrator.Execution{}, errors.New("it has no name") // AWS would make one, each time another
	}
	if stopped := e.stoppedBefore(in.Name); stopped != nil {
		return *stopped, nil
	}
	if len(in.Input) == 0 {
		in.Input = json.RawMessage(`{}`)
	}
	isExpress, err := e.isExpress(ctx, m)
	switch {
	case err != nil && !gone(err):
		return orchestrator.Execution{}, err
	case isExpress:
		return e.startExpress(in, m)
	}
	if in.Begun {
		return e.adopt(ctx, in, m)
	}
	if err == nil {
		var out *sfn.StartExecutionOutput
		out, err = call(ctx, e, m, "StartExecution", func(ctx context.Context, c *sfn.Client) (*sfn.StartExecutionOutput, error) {
			return c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &m.text, Name: &in.Name, Input: aws.String(string(in.Input))})
		})
		if err == nil {
			if express(aws.ToString(out.ExecutionArn)) { // unreachable as long as a type is for good
				return orchestrator.Execution{}, fmt.Errorf("%s is an Express state machine", m.base)
			}
			x := orchestrator.Execution{
				Name: in.Name, ARN: aws.ToString(out.ExecutionArn), Machine: m.base, Status: anneal.StatusRunning, Started: utc(out.StartDate), Input: in.Input,
			}
			e.follow(m, x, in.Timeout)
			if s := e.stoppedBefore(in.Name); s != nil { // meanwhile
				return x, e.Stop(ctx, in.Name, s.Error, s.Cause)
			}
			return x, nil
		}
		if !gone(err) && !isCode(err, "ExecutionAlreadyExists") {
			return orchestrator.Execution{}, err
		}
	}
	// It was begun before, or its machine is no longer there to begin it.
	x, lost := e.describe(ctx, m, m.execution(in.Name))
	switch {
	case errors.Is(lost, orchestrator.ErrNotFound) && isCode(err, "ExecutionAlreadyExists"):
		return x, fmt.Errorf("%w: %v, and it is not shown yet", orchestrator.ErrUnavailable, err)
	case errors.Is(lost, orchestrator.ErrNotFound):
		return x, err
	case lost != nil:
		return x, lost
	case x.Input == nil:
		return x, fmt.Errorf("%w: its input is not shown: grant the role kms:Decrypt on the key of the state machine %s", orchestrator.ErrUnavailable, m.name)
	case !orchestrator.SameJSON(x.Input, in.Input):
		return x, fmt.Errorf("%w: %s", orchestrator.ErrExecutionExists, x.ARN)
	case !x.Status.Ended():
		e.follow(m, x, in.Timeout)
	case in.Timeout > 0:
		e.mu.Lock()
		e.timeouts[in.Name] = in.Timeout
		e.mu.Unlock()
	}
	return x, nil
}

// adopt answers an execution that was begun before, once it is seen. It is looked
// for with all others of its machine, so that many cost little after a restart;
// and as its name is free again some time after its end, it is not begun.
func (e *Executor) adopt(ctx context.Context, in orchestrator.StartInput, m machine) (orchestrator.Execution, error) {
	x := orchestrator.Execution{Name: in.Name, ARN: m.execution(in.Name), Machine: m.base, Status: anneal.StatusRunning, Input: in.Input}
	f := e.follow(m, x, in.Timeout)
	select {
	case <-f.seen:
	case <-ctx.Done():
		return orchestrator.Execution{}, ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.x.Status.Ended() && in.Timeout > 0 {
		e.timeouts[in.Name] = in.Timeout
	}
	return f.x, nil
}

// isExpress reports the type of a state machine.
func (e *Executor) isExpress(ctx context.Context, m machine) (bool, error) {
	e.mu.Lock()
	is, known := e.expresses[m.base]
	e.mu.Unlock()
	if known {
		return is, nil
	}
	out, err := call(ctx, e, m, "DescribeStateMachine", func(ctx context.Context, c *sfn.Client) (*sfn.DescribeStateMachineOutput, error) {
		return c.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &m.base, IncludedData: types.IncludedDataMetadataOnly})
	})
	if err != nil {
		return false, err
	}
	is = out.Type == types.StateMachineTypeExpress
	e.mu.Lock()
	e.expresses[m.base] = is
	e.mu.Unlock()
	return is, nil
}

// resolve is where an execution is.
func (e *Executor) resolve(ctx context.Context, name string) (machine, string, error) {
	e.mu.Lock()
	f := e.following[name]
	e.mu.Unlock()
	if f != nil {
		return f.machine, f.arn, nil
	}
	known, err := e.cfg.Known(ctx, name)
	if err != nil {
		return machine{}, "", err
	}
	m, err := parseMachine(known.Machine)
	if err != nil {
		return machine{}, "", err
	}
	if known.Execution != "" {
		return m, known.Execution, nil
	}
	return m, m.execution(name), nil
}

// Describe implements [orchestrator.Executor]. Of an Express execution it is
// known only that it cannot be redriven.
func (e *Executor) Describe(ctx context.Context, name string) (orchestrator.Execution, error) {
	if x, is := e.heldExpress(name); is {
		return x, nil
	}
	m, arn, err := e.resolve(ctx, name)
	if err == nil && express(arn) {
		return orchestrator.Execution{Name: name, ARN: arn, Machine: m.base, Fixed: expressFixed}, nil
	}
	var x orchestrator.Execution
	if err == nil {
		x, err = e.describe(ctx, m, arn)
	}
	if err != nil {
		return orchestrator.Execution{}, fmt.Errorf("describe execution %s: %w", name, err)
	}
	return x, nil
}

// describe asks where an execution stands, without its input and output where
// those cannot be decrypted.
func (e *Executor) describe(ctx context.Context, m machine, arn string) (orchestrator.Execution, error) {
	in := &sfn.DescribeExecutionInput{ExecutionArn: &arn}
	ask := func(ctx context.Context, c *sfn.Client) (*sfn.DescribeExecutionOutput, error) {
		out, err := c.DescribeExecution(ctx, in)
		if err != nil && strings.HasPrefix(codeOf(err), "Kms") {
			return c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn, IncludedData: types.IncludedDataMetadataOnly})
		}
		return out, err
	}
	out, err := call(ctx, e, m, "DescribeExecution", ask)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	x := orchestrator.Execution{
		Name: aws.ToString(out.Name), ARN: aws.ToString(out.ExecutionArn), Machine: aws.ToString(out.StateMachineArn),
		Status: anneal.Status(out.Status), Started: utc(out.StartDate), Ended: utc(out.StopDate),
		Input: raw(out.Input), Output: raw(out.Output), Error: aws.ToString(out.Error), Cause: aws.ToString(out.Cause),
		Redrives: int64(aws.ToInt32(out.RedriveCount)), Redriven: utc(out.RedriveDate),
	}
	switch {
	case out.Status == types.ExecutionStatusPendingRedrive:
		x.Status = anneal.StatusRunning
	case x.Status == anneal.StatusAborted && x.Error == timeoutError:
		x.Status = anneal.StatusTimedOut
	}
	if !x.Status.Ended() {
		x.Ended = nil // AWS leaves the date of the last end on one that was redriven
	}
	if out.RedriveStatus != types.ExecutionRedriveStatusRedrivable && out.RedriveStatus != "" {
		x.Fixed = aws.ToString(out.RedriveStatusReason)
		if x.Fixed == "" {
			x.Fixed = fmt.Sprintf("Execution is %s", out.RedriveStatus)
		}
	}
	return x, nil
}

// Wait implements [orchestrator.Executor]. It needs Run.
func (e *Executor) Wait(ctx context.Context, name string) (orchestrator.Execution, error) {
	x, err := e.wait(ctx, name)
	if err != nil {
		return orchestrator.Execution{}, fmt.Errorf("wait for execution %s: %w", name, err)
	}
	return x, nil
}

func (e *Executor) wait(ctx context.Context, name string) (orchestrator.Execution, error) {
	e.mu.Lock()
	f, held := e.following[name], e.held[name]
	delete(e.timeouts, name)
	e.mu.Unlock()
	if held != nil {
		return e.runExpress(ctx, held)
	}
	if f == nil {
		m, arn, err := e.resolve(ctx, name)
		if err != nil {
			return orchestrator.Execution{}, err
		}
		if express(arn) {
			return orchestrator.Execution{}, errors.New("an Express execution is followed by the process that began it alone")
		}
		x, err := e.describe(ctx, m, arn)
		if err != nil || x.Status.Ended() {
			return x, err
		}
		f = e.follow(m, x, 0)
	}
	select {
	case <-f.done:
		return f.x, nil
	case <-ctx.Done():
		return orchestrator.Execution{}, ctx.Err()
	}
}

// What AWS takes of the reason of a stop, in characters.
const (
	maxError = 256
	maxCause = 32768
)

// stoppedBefore is the end of an execution that was stopped before it had begun;
// nil for another.
func (e *Executor) stoppedBefore(name string) *orchestrator.Execution {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.waiting[name]
}

// Stop implements [orchestrator.Executor]. What could not be started so far is
// not started any more.
func (e *Executor) Stop(ctx context.Context, name, errorName, cause string) error {
	if _, is := e.heldExpress(name); is {
		return fmt.Errorf("stop execution %s: %s", name, expressUnstoppable)
	}
	m, arn, err := e.resolve(ctx, name)
	switch {
	case err != nil:
	case express(arn):
		err = errors.New(expressUnstoppable)
	default:
		err = e.stop(ctx, m, arn, errorName, cause)
	}
	if errors.Is(err, orchestrator.ErrNotFound) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, waits := e.waiting[name]; waits {
			now := time.Now().UTC()
			e.waiting[name] = &orchestrator.Execution{Name: name, Machine: m.base, Status: anneal.StatusAborted, Started: &now, Ended: &now, Error: errorName, Cause: cause}
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("stop execution %s: %w", name, err)
	}
	e.look(name)
	return nil
}

func (e *Executor) stop(ctx context.Context, m machine, arn, errorName, cause string) error {
	in := &sfn.StopExecutionInput{ExecutionArn: &arn}
	if errorName != "" {
		in.Error = aws.String(cut(errorName, maxError))
	}
	if cause != "" {
		in.Cause = aws.String(cut(cause, maxCause))
	}
	_, err := call(ctx, e, m, "StopExecution", func(ctx context.Context, c *sfn.Client) (*sfn.StopExecutionOutput, error) {
		return c.StopExecution(ctx, in)
	})
	return err
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(slices.Concat(r[:most-1], []rune("…")))
	}
	return s
}

func raw(s *string) json.RawMessage {
	if s == nil {
		return nil
	}
	return json.RawMessage(*s)
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}
