// Package tasks runs what a state machine asks for: it takes Step Functions'
// resource ARNs to where they run, which is configuration and not definition.
//
//	lambda:invoke, a Lambda ARN                a built-in function, or a local command
//	sagemaker:createTrainingJob[.sync]         a local process under /opt/ml's contract
//	sagemaker:createProcessingJob[.sync]       the same
//	sns:publish                                a channel
//
// What comes back, and how it fails, is shaped as AWS shapes it, so that a
// definition's paths, Retry and Catch work unchanged.
//
// Promises: the effect's ID is the handle of local commands. [Tasks.Do] looks
// for it first, attaches to what it finds, and starts a command at most once
// per effect. Built-in functions and publishing have no such handle: they are
// repeated when a daemon ends between doing them and recording that. A resource
// that is not mapped is refused by name, by [Tasks.Check] where the definition
// names it and by Do where the input does.
//
// Functions, objects and channels are handed in.
package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
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
	// without tag, or by URI.
	Functions map[string]Function
	Images    map[string]Image
	Topics    map[string]string // to the channel

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

	Log *slog.Logger // default: nowhere
}

// A Function is where a Lambda function runs: one of Builtin and Command.
type Function struct {
	Builtin string // a name in [Config.Builtins]

	Command []string          // program and arguments; payload on stdin, result on stdout
	Dir     string            // where the command runs, and what it is relative to
	Env     map[string]string // added to its environment
	Timeout time.Duration     // default 15 min, Lambda's longest
}

// An Image is the local command that stands for a container image.
type Image struct {
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
	Open(ctx context.Context, uri string) (io.ReadCloser, error)
	// Write makes or replaces an object, whole or not at all.
	Write(ctx context.Context, uri string, r io.Reader) error
}

// Tasks does effects. It is safe for concurrent use.
type Tasks struct {
	cfg   Config
	queue *queue
	wake  chan struct{} // a detached job was added

	mu     sync.Mutex
	cancel map[string]context.CancelFunc // guarded by mu; what is being done, by effect ID
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
		case (f.Builtin == "") == (len(f.Command) == 0):
			problems = append(problems, fmt.Errorf("function %q: set one of builtin and command", name))
		case f.Builtin != "" && cfg.Builtins[f.Builtin] == nil:
			problems = append(problems, fmt.Errorf("function %q: unknown builtin %q (have %s)", name, f.Builtin, list(cfg.Builtins)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Images)) {
		if len(cfg.Images[name].Command) == 0 {
			problems = append(problems, fmt.Errorf("image %q: set its command", name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Tasks{
		cfg:    cfg,
		queue:  newQueue(cfg.Jobs),
		wake:   make(chan struct{}, 1),
		cancel: map[string]context.CancelFunc{},
	}, nil
}

// Do does an effect and answers how it ended. It may be called again for the
// same effect, by another process too. submitted is called when a job was
// accepted that Do goes on to wait for; its output is what the service answered.
//
// The error is ctx's: what was begun goes on, and a later Do finds it.
func (t *Tasks) Do(ctx context.Context, e asl.Effect, recovered bool, submitted func(output json.RawMessage)) (asl.Outcome, error) {
	if recovered {
		t.cfg.Log.Debug("effect found again", "effect", e.ID, "resource", e.Resource)
	}
	doing, cancel := context.WithCancel(ctx)
	defer cancel()
	t.mu.Lock()
	t.cancel[e.ID] = cancel
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.cancel, e.ID)
		t.mu.Unlock()
	}()

	// Stop first leaves word and then looks for who is doing it; here it is the
	// other way round, so that one sees the other.
	if stopped, err := job.Stopped(t.dir(e.ID)); err == nil && stopped {
		return wasStopped, nil
	}
	o, err := t.do(doing, e, submitted)
	if err == nil {
		return o, nil
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
	switch service + ":" + action {
	case "lambda:function":
		return t.function(ctx, e)
	case "lambda:invoke":
		return t.invoke(ctx, e)
	case "sagemaker:createTrainingJob.sync":
		return t.sync(ctx, e, training, submitted)
	case "sagemaker:createProcessingJob.sync":
		return t.sync(ctx, e, processing, submitted)
	case "sagemaker:createTrainingJob":
		return t.async(e, training), nil
	case "sagemaker:createProcessingJob":
		return t.async(e, processing), nil
	case "sns:publish":
		return t.publish(ctx, e)
	}
	return runtimeError(e, notBuilt(e.Resource).Error()), nil
}

// Stop ends an effect that is no longer waited for. It does not wait for the
// end, and does nothing for what has ended; what has not begun never will.
func (t *Tasks) Stop(ctx context.Context, effect string) {
	if err := job.Stop(t.dir(effect)); err != nil {
		t.cfg.Log.ErrorContext(ctx, "job not stopped", "effect", effect, "err", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if cancel := t.cancel[effect]; cancel != nil {
		cancel()
	}
}

// dir is the folder of an effect.
func (t *Tasks) dir(effect string) string { return filepath.Join(t.cfg.Dir, effect) }

// integration splits a resource ARN into the service and what is asked of it;
// a function's own ARN asks for `function`.
func integration(resource string) (service, action string) {
	p := strings.SplitN(resource, ":", 7)
	switch {
	case len(p) < 7 || p[0] != "arn":
		return "", ""
	case p[2] == "states":
		return p[5], p[6]
	case p[2] == "lambda" && p[5] == "function":
		return "lambda", "function"
	}
	return p[2], p[5]
}

// runtimeError is how Step Functions refuses to begin a task at all.
func runtimeError(e asl.Effect, problem string) asl.Outcome {
	return asl.Outcome{
		Error: "States.Runtime",
		Cause: fmt.Sprintf("An error occurred while executing the state '%s'. The Parameters '%s' could not be used to start the Task: [%s]", e.State, e.Input, problem),
	}
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

// list names what a map has, for a message.
func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
