// Package orchestrator starts runs and follows them to their end.
//
// An [Executor] runs executions of state machines written in Amazon States
// Language: the embedded engine (package engine), or Step Functions. The
// policy that wants a run cannot tell which. orchestratortest is the contract
// of both.
//
// It promises what a controller needs that may be killed at any moment: an
// execution has the name that its caller derived from its decision, and
// starting it again gives the same execution.
//
// What a run means, which machine it uses and what becomes of its result are
// left to others.
package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// An Executor runs state machines. Its methods may be called concurrently.
// Those that take a name answer [ErrNotFound] for one that was never started.
type Executor interface {
	// Start begins an execution, and returns when that is durable. It is
	// idempotent: with the name and the input of an execution that was started
	// before, running or ended, it answers that one, even if the definition
	// has changed since; with another input it answers ErrExecutionExists.
	Start(ctx context.Context, in StartInput) (Execution, error)

	// Wait blocks until the execution has ended, or ctx has.
	Wait(ctx context.Context, name string) (Execution, error)

	// Describe says where an execution stands.
	Describe(ctx context.Context, name string) (Execution, error)

	// History is what has happened so far, oldest first.
	History(ctx context.Context, name string) ([]asl.HistoryEvent, error)

	// Stop ends an execution as ABORTED, and its jobs as far as they can be
	// reached. It does nothing to one that has ended.
	Stop(ctx context.Context, name, errorName, cause string) error

	// Redrive goes on with an execution that did not end well, from the states
	// that failed, and returns when that is durable. It answers
	// ErrNotRedrivable, with the reason, for one that has succeeded or runs, or
	// ended more than RedrivableFor ago.
	Redrive(ctx context.Context, name string) (Execution, error)
}

// RedrivableFor is how long after its end an execution can be redriven.
const RedrivableFor = 14 * 24 * time.Hour

// Errors of executors.
var (
	ErrExecutionExists = errors.New("an execution of this name has another input")
	ErrInvalidName     = errors.New("no name of an execution")
	ErrNotFound        = errors.New("no execution of this name")
	ErrNotRedrivable   = errors.New("not redrivable")
	ErrNoHistory       = errors.New("an Express execution has no history; what its state machine logs is in CloudWatch Logs")
	// ErrUnavailable says that nobody can tell at present: asked again later, the
	// answer is another.
	ErrUnavailable = errors.New("the executor does not answer at present")
)

// ErrLater is answered for an effect whose outcome somebody else tells, by its
// token.
var ErrLater = errors.New("the outcome is told later")

// An Until is answered, as an error, for an effect that ends when an execution of the
// same executor does.
type Until struct {
	Execution string // its key
	// Outcome is what the effect then comes to, by what the execution came to, or by
	// why that cannot be told.
	Outcome func(Execution, error) asl.Outcome
}

func (u *Until) Error() string { return "the outcome is that of execution " + u.Execution }

// A StartInput is what to run.
type StartInput struct {
	// Name is 1 to 80 letters, digits, `-`, `_`, `.` or others that Step
	// Functions allows.
	Name string
	// Key is by which the executor knows it, in the place of Name: executions of
	// several machines may have one name.
	Key     string
	Machine Machine
	Input   json.RawMessage // a JSON value; empty: {}
	// Timeout ends the execution as TIMED_OUT; zero: only the definition's own
	// does.
	Timeout time.Duration
	// Begun says that the caller has recorded the beginning of this execution. An
	// executor on AWS does not begin it then, where it is gone.
	Begun bool

	// StartedBy is the effect that begins a nested execution, and Depth how many
	// executions are above it.
	StartedBy string
	Depth     int

	// Fresh refuses the name of an execution that has ended, whatever its input.
	// The embedded engine alone knows it.
	Fresh bool

	// ARN is that of the execution, for the embedded engine; empty: it makes one.
	ARN string
	// Beside are records that the embedded engine makes durable with the
	// execution's beginning, and only with it.
	Beside []journal.Record
}

// A Machine is a definition, or where Step Functions has it.
type Machine struct {
	Name       string // by which people know it
	Definition []byte // in Amazon States Language
	Digest     string // SHA-256 of Definition in hex, if it is known; empty: it is not
	ARN        string
	Role       string // ARN of the role that its executions tell they have
	Version    int    // by which version it was named; 0: by none
	Alias      string // by which alias it was named; empty: by none

	// Begin is how the embedded engine is to know an execution of this name that
	// another one begins: by its key, its ARN, and what is recorded with it. Nil:
	// by the names of both.
	Begin func(name string) (key, arn string, beside []journal.Record, err error)

	// Qualified is the machine as a version or an alias of it has it; [ErrNotFound]
	// where there is none. Nil: whatever stands there is taken for the machine itself.
	Qualified func(qualifier string) (Machine, error)
}

// An Execution is where one run of a machine stands.
type Execution struct {
	Name    string
	ARN     string
	Machine string        // ARN of the state machine
	Status  anneal.Status // RUNNING or an end
	Started *time.Time
	Ended   *time.Time // nil while it runs
	Input   json.RawMessage
	Output  json.RawMessage // where it SUCCEEDED
	Error   string          // where it did not
	Cause   string          // of the Error

	Redrives  int64      // how often it was redriven
	Redriven  *time.Time // last; nil: never
	Fixed     string     // why it cannot be redriven, in Step Functions' words; empty: it can
	StartedBy string     // as in StartInput
	Depth     int        // as in StartInput
	MapRun    string     // ARN of the map run that began it, where it is a child of a distributed Map
	Items     int64      // of that map run, which it has
	Version   int        // as in Machine
	Alias     string     // as in Machine
}
