// Package tasks runs what a state machine asks for: it takes Step Functions'
// resource ARNs to where they run, which is configuration and not definition.
//
//	lambda:invoke, a Lambda ARN                a built-in function, a local command, an HTTP endpoint
//	sagemaker:createTrainingJob[.sync]         a local process or a container under /opt/ml's contract
//	sagemaker:createProcessingJob[.sync]       the same
//	states:startExecution[.sync[:2]]           an execution of the engine itself
//	sns:publish, sqs:sendMessage               a channel
//	aws-sdk:s3                                 objects of buckets that are folders
//	aws-sdk:sfn                                the daemon's own API
//	http:invoke                                an HTTPS API, by a connection
//
// What is not mapped goes to AWS where that is allowed ([Config.Remote]), and so do
// dynamodb, events:putEvents, apigateway:invoke and the other services of aws-sdk.
//
// All but the SageMaker jobs may wait for their token too (.waitForTaskToken).
//
// What comes back, and how it fails, is shaped as AWS shapes it, so that a
// definition's paths, Retry and Catch work unchanged.
//
// Promises: the effect's ID is the handle of local commands, containers and
// nested executions. [Tasks.Do] looks for it first, attaches to what it finds,
// and starts one at most once per effect. Built-in functions, HTTP endpoints, HTTPS
// APIs and publishing have no such handle: they are repeated when a daemon ends between
// doing them and recording that. A resource
// that is not mapped is refused by name, by [Tasks.Check] where the definition
// names it and by Do where the input does.
//
// Functions, objects, channels and the engine are handed in.
package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/httptask"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// Config is where things run.
type Config struct {
	// Dir is where jobs have their folders, each named by its effect's ID.
	Dir string
	// Shim is the command of the shim, without the folder; default: this
	// program with the argument "shim".
	Shim []string

	// Functions, Images and Topics are looked up by name: exactly, then by the
	// longest glob (`*` any run of letters, `?` one). A function and a topic
	// match by name or ARN, an image by the last component of its repository
	// without tag, or by URI, and a state machine by name or ARN.
	Functions map[string]Function
	Images    map[string]Image
	Topics    map[string]string // of SNS, and queues of SQS, to the channel
	// Connections are how HTTPS APIs are called: by name or ARN, looked up as those
	// above. Hosts are those that they may lead to, nil for all.
	Connections map[string]httptask.Settings
	Hosts       []string
	// Region and Account are those of the ARNs of what runs here, and Region what HTTPS
	// APIs are told. Default us-east-1 and 123456789012; the account of a job is that of
	// its role, where it has one.
	Region, Account string
	// Machines are those that nested executions run, at the time of asking.
	Machines func() map[string]orchestrator.Machine

	// Jobs is how many SageMaker jobs run at a time; the rest wait. Default 2.
	Jobs int
	// Grace is how long a job has from SIGTERM to SIGKILL; default 30 s.
	Grace time.Duration

	// Builtins are the functions of this program, by the name that
	// [Function.Builtin] has. One may be called more than once for one effect.
	Builtins map[string]Builtin
	// Publish gives a message to a channel. The same effect may publish more
	// than once; it is then the same message.
	Publish func(ctx context.Context, effect, topic, channel, subject, message string) error
	// Objects is where jobs read their input and leave their output.
	Objects Objects
	// Buckets are those that Objects has.
	Buckets []string
	// Remote calls AWS for what nothing here stands in for; nil: that is refused.
	Remote *wire.Client
	// StepFunctions answers an operation of Step Functions, aws-sdk:sfn, with what
	// HTTP would have as status and body; nil: AWS does.
	StepFunctions func(ctx context.Context, operation string, body []byte) (int, []byte)
	// Executor runs nested executions: the one whose effects these are.
	Executor Executor

	Log *slog.Logger // default: nowhere
}

// A Function is where a Lambda function runs: one of Builtin, Command and HTTP.
type Function struct {
	Builtin string // a name in [Config.Builtins]
	HTTP    *HTTP

	Command []string          // program and arguments; payload on stdin, result on stdout
	Dir     string            // where the command runs, and what it is relative to
	Env     map[string]string // added to its environment
	Timeout time.Duration     // default 15 min, Lambda's longest; not of a Builtin
}

// An Image is the local command that stands for a container image, or what runs
// containers of it.
type Image struct {
	// Container is docker or podman, a command of that interface. Command is
	// then the entry point, in place of the image's own, and may be empty.
	Container string

	Command []string
	Dir     string // where the command runs, and what it is relative to
	Env     map[string]string
}

// A Builtin is a function of this program, called as a Lambda function is. An
// error with a method ErrorType() string chooses the name that Retry and Catch
// see; others are called Error.
type Builtin func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error)

// Objects reads and writes objects by URI.
type Objects interface {
	// List gives the URIs of all objects that begin with prefix, in order.
	List(ctx context.Context, prefix string) ([]string, error)
	// Open opens an object. What it gives may have ModTime() time.Time.
	Open(ctx context.Context, uri string) (io.ReadCloser, error)
	// Write makes or replaces an object, whole or not at all.
	Write(ctx context.Context, uri string, r io.Reader) error
}

// An Executor is what nested executions need of an [orchestrator.Executor].
type Executor interface {
	Start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error)
	Describe(ctx context.Context, name string) (orchestrator.Execution, error)
	Stop(ctx context.Context, name, errorName, cause string) error
}

// Tasks does effects. It is safe for concurrent use.
type Tasks struct {
	cfg    Config
	queue  *queue // of jobs
	begins *queue // of nested executions that are begun
	client *http.Client
	wake   chan struct{} // a detached job was added, or there is something to end

	http        *httptask.Client
	connections map[string]*httptask.Connection // of the settings

	mu     sync.Mutex
	doing  map[string]*doing // guarded by mu; what is being done, by effect ID
	stops  bool              // guarded by mu; Stop was called
	ending []noted           // guarded by mu; what Run has to end
	lost   map[string]bool   // guarded by mu; services of AWS that were not reached when last called

	remembered map[string]known // guarded by mu; connections of AWS, by role and ARN
}

// New checks the settings.
func New(cfg Config) (*Tasks, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if cfg.Jobs <= 0 {
		cfg.Jobs = 2
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Region, cfg.Account = cmp.Or(cfg.Region, "us-east-1"), cmp.Or(cfg.Account, "123456789012")
	if cfg.Machines == nil {
		cfg.Machines = func() map[string]orchestrator.Machine { return nil }
	}
	if len(cfg.Shim) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the program for the shim: %w", err)
		}
		cfg.Shim = []string{exe, "shim"}
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Functions)) {
		f := cfg.Functions[name]
		switch {
		case one(f.Builtin != "", len(f.Command) > 0, f.HTTP != nil) != 1:
			problems = append(problems, fmt.Errorf("function %q: set one of builtin, command and http", name))
		case f.Builtin != "" && cfg.Builtins[f.Builtin] == nil:
			problems = append(problems, fmt.Errorf("function %q: unknown builtin %q (have %s)", name, f.Builtin, list(cfg.Builtins)))
		case f.HTTP != nil:
			if _, err := f.HTTP.endpoint(); err != nil {
				problems = append(problems, fmt.Errorf("function %q: %w", name, err))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Images)) {
		if image := cfg.Images[name]; len(image.Command) == 0 && image.Container == "" {
			problems = append(problems, fmt.Errorf("image %q: set its command or container", name))
		}
	}
	connections := map[string]*httptask.Connection{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Connections)) {
		c, err := httptask.NewConnection(cfg.Connections[name], cfg.Hosts)
		if err != nil {
			problems = append(problems, fmt.Errorf("connection %q: %w", name, err))
		}
		connections[name] = c
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Tasks{
		cfg:    cfg,
		queue:  newQueue(cfg.Jobs),
		begins: newQueue(maxBegins),
		client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		wake:   make(chan struct{}, 1),
		doing:  map[string]*doing{},
		lost:   map[string]bool{},

		http:        &httptask.Client{Region: cfg.Region},
		connections: connections,
		remembered:  map[string]known{},
	}, nil
}

// Do does an effect and answers how it ended. It may be called again for the
// same effect, by another process too. submitted is called when a job was
// accepted that Do goes on to wait for; its output is what the service answered.
//
// The error is ctx's: what was begun goes on, and a later Do finds it. Of what is waited
// for elsewhere it is [orchestrator.ErrLater] or an [orchestrator.Until].
func (t *Tasks) Do(ctx context.Context, e asl.Effect, recovered bool, submitted func(output json.RawMessage)) (asl.Outcome, error) {
	if recovered {
		t.cfg.Log.Debug("effect found again", "effect", e.ID, "resource", e.Resource)
	}
	doing := &doing{Context: ctx}
	t.mu.Lock()
	t.doing[e.ID] = doing
	stops := t.stops
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.doing, e.ID)
		t.mu.Unlock()
		doing.stop()
	}()

	// Stop first leaves word and then looks for who is doing it; here it is the
	// other way round, so that one sees the other. What is begun for the first time
	// only this process can have stopped.
	if recovered || stops {
		if stopped, err := job.Stopped(t.dir(e.ID)); err == nil && stopped {
			return wasStopped, nil
		}
	}
	o, err := t.do(doing, e, submitted)
	if _, until := errors.AsType[*orchestrator.Until](err); err == nil || until || errors.Is(err, orchestrator.ErrLater) {
		return o, err
	}
	if ctx.Err() != nil {
		return asl.Outcome{}, ctx.Err()
	}
	return wasStopped, nil
}

// wasStopped is the outcome of what nobody waits for any more.
var wasStopped = asl.Outcome{Error: "States.TaskFailed", Cause: "The task was stopped."}

func (t *Tasks) do(ctx context.Context, e asl.Effect, submitted func(json.RawMessage)) (asl.Outcome, error) {
	if filepath.Base(e.ID) != e.ID || strings.HasPrefix(e.ID, ".") {
		return runtimeError(e, fmt.Sprintf("%q is no effect ID", e.ID)), nil
	}
	service, action := integration(e.Resource)
	if plain, ok := strings.CutSuffix(action, ".waitForTaskToken"); ok && service != "http" {
		o, err := t.handOver(ctx, e, service, plain)
		if err != nil || o.Error != "" || len(o.Output) > asl.MaxData {
			return o, err
		}
		submitted(o.Output)
		return asl.Outcome{}, orchestrator.ErrLater
	}
	switch service + ":" + action {
	case "lambda:function":
		return t.function(ctx, e)
	case "sagemaker:createTrainingJob.sync":
		return t.sync(ctx, e, training, submitted)
	case "sagemaker:createProcessingJob.sync":
		return t.sync(ctx, e, processing, submitted)
	case "sagemaker:createTrainingJob":
		return t.async(e, training), nil
	case "sagemaker:createProcessingJob":
		return t.async(e, processing), nil
	case "states:startExecution.sync", "states:startExecution.sync:2":
		return t.startExecution(ctx, e, strings.TrimPrefix(action, "startExecution"), submitted)
	}
	return t.handOver(ctx, e, service, action)
}

// handOver does what has an answer at once, and may wait for its token then.
func (t *Tasks) handOver(ctx context.Context, e asl.Effect, service, action string) (asl.Outcome, error) {
	switch service + ":" + action {
	case "lambda:invoke":
		return t.invoke(ctx, e)
	case "sns:publish":
		return t.publish(ctx, e)
	case "sqs:sendMessage":
		return t.sendMessage(ctx, e)
	case "states:startExecution":
		return t.startExecution(ctx, e, "", nil)
	case "events:putEvents":
		return t.putEvents(ctx, e)
	case "apigateway:invoke":
		return t.invokeAPI(ctx, e)
	case "http:invoke":
		return t.invokeHTTP(ctx, e)
	case "dynamodb:getItem", "dynamodb:putItem", "dynamodb:updateItem", "dynamodb:deleteItem":
		return t.direct(ctx, e, service, action, "", params(e))
	}
	if service == "aws-sdk" {
		return t.sdk(ctx, e, action)
	}
	return runtimeError(e, notBuilt(e.Resource).Error()), nil
}

// Stop ends an effect that is no longer waited for. It does not wait for the
// end, and does nothing for what has ended; what has not begun never will.
func (t *Tasks) Stop(ctx context.Context, effect string) {
	t.mu.Lock()
	t.stops = true
	t.mu.Unlock()
	if err := job.Stop(t.dir(effect)); err != nil {
		t.cfg.Log.ErrorContext(ctx, "job not stopped", "effect", effect, "err", err)
	}
	t.mu.Lock()
	if doing := t.doing[effect]; doing != nil {
		doing.stop()
	}
	t.mu.Unlock()
	t.end(effect)
}

// stopIfAsked ends what an effect has begun where Stop came while it did.
func (t *Tasks) stopIfAsked(effect string) {
	if stopped, err := job.Stopped(t.dir(effect)); err == nil && stopped {
		t.end(effect)
	}
}

// end has Run end what an effect began elsewhere.
func (t *Tasks) end(effect string) {
	n, err := t.noted(effect)
	if err != nil {
		t.cfg.Log.Error("task not stopped", "effect", effect, "err", err)
	}
	if n.Child == "" && n.Container == "" {
		return
	}
	t.mu.Lock()
	t.ending = append(t.ending, n)
	t.mu.Unlock()
	t.rouse()
}

// rouse has Run look again.
func (t *Tasks) rouse() {
	select {
	case t.wake <- struct{}{}:
	default: // Run has been woken already
	}
}

// dir is the folder of an effect.
func (t *Tasks) dir(effect string) string { return filepath.Join(t.cfg.Dir, effect) }

// integration splits a resource ARN into the service and what is asked of it;
// a function's own ARN asks for `function`.
func integration(resource string) (service, action string) {
	var p [7]string
	rest, more := resource, true
	for i := range p {
		if !more {
			return "", ""
		}
		if p[i] = rest; i < len(p)-1 {
			p[i], rest, more = strings.Cut(rest, ":")
		}
	}
	switch {
	case p[0] != "arn":
		return "", ""
	case p[2] == "states":
		return p[5], p[6]
	case p[2] == "lambda" && p[5] == "function":
		return "lambda", "function"
	}
	return p[2], p[5]
}

// runtimeError is the end of a task that could not be begun.
func runtimeError(e asl.Effect, problem string) asl.Outcome {
	return asl.Outcome{Error: asl.ErrRuntime, Cause: fmt.Sprintf("An error occurred while executing the state '%s'. %s", e.State, cannotStart(e, problem))}
}

// environ is the small fixed environment of a command, and what is added;
// later maps win.
func environ(effect string, added ...map[string]string) []string {
	all := map[string]string{"LANG": "C.UTF-8", "ANNEAL_EFFECT_ID": effect}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			all[name] = v
		}
	}
	for _, m := range added {
		maps.Copy(all, m)
	}
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// one counts what is true.
func one(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// list names what a map has, for a message.
func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
