package asl

import (
	"cmp"
	"encoding/json"
	"iter"
	"slices"
	"time"
)

// The limits of Step Functions that an execution is held to.
const (
	MaxEvents = 25_000     // in one history
	MaxData   = 256 * 1024 // bytes of JSON: input and output of states and tasks
)

// An Env is what a turn depends on besides the state of the execution: what a
// running process would take from its clock and its source of randomness.
type Env struct {
	Now  time.Time
	Seed uint64 // of jitter, States.UUID and States.MathRandom; it is mixed with the place in the execution
	// Room is memory to make the turn in; nil: there is none.
	Room *Room
	// Refuses says why an effect cannot be begun at all, and nothing where it can;
	// nil: every one can. It is asked before anything is scheduled.
	Refuses func(Effect) string
}

// ExecutionInfo identifies an execution. It is what the context object tells
// of it.
type ExecutionInfo struct {
	ARN              string    `json:"arn"`
	Name             string    `json:"name"`
	StateMachineARN  string    `json:"stateMachineArn"`
	StateMachineName string    `json:"stateMachineName"`
	RoleARN          string    `json:"roleArn,omitempty"`
	Started          time.Time `json:"started"`
	// Deadline is when the execution times out, whatever the definition says
	// of TimeoutSeconds; zero is never.
	Deadline time.Time `json:"deadline,omitzero"`
	// Key is by which its engine knows it, where that is not the name.
	Key string `json:"key,omitempty"`
	// StartedBy is the effect that began it, where it is nested; Depth is how
	// many executions are above it then.
	StartedBy string `json:"startedBy,omitempty"`
	Depth     int    `json:"depth,omitempty"`
	// MapRun is the ARN of the map run that began it, and Processor the Map
	// state whose states it executes, where it is the child execution of a
	// distributed Map.
	MapRun    string `json:"mapRun,omitempty"`
	Processor string `json:"processor,omitempty"`
	MapItems  int64  `json:"mapItems,omitempty"` // how many items it has
	// Version and Alias are by which the state machine was named as it was started.
	Version int    `json:"version,omitempty"`
	Alias   string `json:"alias,omitempty"`
	// Tested says that it is one state alone, which nobody can redrive and no history tells of.
	Tested bool `json:"tested,omitempty"`
}

// Handle is by which the engine of the execution knows it.
func (x ExecutionInfo) Handle() string { return cmp.Or(x.Key, x.Name) }

// A State is where an execution stands: plain data, whose JSON is all that is
// needed to go on. It is never changed by a turn, which makes a new one.
type State struct {
	Execution ExecutionInfo   `json:"execution"`
	Input     json.RawMessage `json:"input"`           // of the execution, compact
	Given     string          `json:"given,omitempty"` // Input as it was written, where that is not compact
	Status    string          `json:"status"`
	NextEvent int64           `json:"nextEvent"`         // ID of the next history event
	Deadline  time.Time       `json:"deadline,omitzero"` // when the whole execution times out
	Root      *Context        `json:"root,omitempty"`    // nil once the execution has ended

	// Left is where an execution stood as it ended otherwise than well: what
	// Redrive goes on from.
	Left       *Context  `json:"left,omitempty"`
	Redrives   int64     `json:"redrives,omitempty"` // how often it was redriven
	RedrivenAt time.Time `json:"redrivenAt,omitzero"`

	info []byte // JSON of Execution, which does not change, once it was written
}

// InputText is the input of the execution as it was written.
func (s *State) InputText() json.RawMessage {
	if s.Given != "" {
		return json.RawMessage(s.Given)
	}
	return s.Input
}

// The statuses of an execution.
const (
	StatusRunning   = "RUNNING"
	StatusSucceeded = "SUCCEEDED"
	StatusFailed    = "FAILED"
	StatusTimedOut  = "TIMED_OUT"
	StatusAborted   = "ABORTED"
)

// A Phase says what a context is waiting for.
type Phase string

// The phases.
const (
	PhaseReady    Phase = "ready"    // to enter its state at the next tick: the turn became too long
	PhaseWait     Phase = "wait"     // for the end of a Wait state
	PhaseRetry    Phase = "retry"    // for the next attempt of a Task, Parallel or Map
	PhaseTask     Phase = "task"     // for the outcome of an effect
	PhaseBranches Phase = "branches" // for the branches of a Parallel or the iterations of a Map
)

// A Context is one line of control in an execution: the first one, or a branch
// of a Parallel or an iteration of a Map, in the context that is in that state.
type Context struct {
	Path         string          `json:"path,omitempty"`  // of the branch it is; empty at the root
	Index        int             `json:"index,omitempty"` // of the branch or iteration it is
	Name         string          `json:"name"`            // of the state it is in
	Input        json.RawMessage `json:"input"`           // of that state
	Phase        Phase           `json:"phase"`
	Entered      time.Time       `json:"entered,omitzero"`
	EnteredEvent int64           `json:"enteredEvent,omitempty"`
	LastEvent    int64           `json:"lastEvent,omitempty"` // ID of the newest event in this line
	Wake         time.Time       `json:"wake,omitzero"`       // in phases wait and retry
	Retries      []int64         `json:"retries,omitempty"`   // attempts that each retrier has made
	RetryCount   int64           `json:"retryCount,omitempty"`
	Effect       *Pending        `json:"effect,omitempty"` // in phase task
	MapRun       string          `json:"mapRun,omitempty"` // ID of the run of the distributed Map that it is in

	// In phase branches: those that run, in the order in which they began; how
	// many have begun; the outputs of those that have ended, by index.
	Branches []*Context        `json:"branches,omitempty"`
	Begun    int               `json:"begun,omitempty"`
	Failed   int               `json:"failed,omitempty"` // iterations, that were tolerated
	Results  []json.RawMessage `json:"results,omitempty"`

	// Those that states of this line have assigned. A branch reads those of the
	// lines around it too.
	Variables map[string]json.RawMessage `json:"variables,omitempty"`

	up      *Context // whose branch it is; nil at the root; known in a turn only
	own     Pending  // memory for Effect
	pending int      // size of the input that it begins with, until that is Input
}

// A Pending is an effect whose outcome is waited for.
type Pending struct {
	ID           string    `json:"id"`
	Started      bool      `json:"started,omitempty"`     // a worker has taken it, where it is an activity
	Submitted    bool      `json:"submitted,omitempty"`   // the work goes on elsewhere
	Deadline     time.Time `json:"deadline,omitzero"`     // TimeoutSeconds
	Heartbeat    int64     `json:"heartbeat,omitempty"`   // HeartbeatSeconds; 0 is none
	HeartbeatDue time.Time `json:"heartbeatDue,omitzero"` // by when a heartbeat must come

	// Asked is the record of the turn that asked for it, which whoever keeps the
	// turns may note here; 0: this one. It is no part of the JSON.
	Asked uint64 `json:"-"`
}

// Ended reports whether the execution is over.
func (s *State) Ended() bool { return s.Status != StatusRunning }

// Wake is when [Machine.Tick] has something to do; zero is never.
func (s *State) Wake() time.Time {
	wake := s.Deadline
	earlier := func(t time.Time) {
		if !t.IsZero() && (wake.IsZero() || t.Before(wake)) {
			wake = t
		}
	}
	for c := range s.contexts() {
		earlier(c.Wake)
		if e := c.Effect; e != nil {
			earlier(e.Deadline)
			earlier(e.HeartbeatDue)
		}
	}
	if s.Ended() {
		return time.Time{}
	}
	return wake
}

// Pending are the effects whose outcome is waited for.
func (s *State) Pending() iter.Seq[*Pending] {
	return func(yield func(*Pending) bool) {
		for c := range s.contexts() {
			if c.Effect != nil && !yield(c.Effect) {
				return
			}
		}
	}
}

// Effects are their IDs.
func (s *State) Effects() []string {
	var ids []string
	for p := range s.Pending() {
		ids = append(ids, p.ID)
	}
	return ids
}

// MapRuns are the IDs of the map runs whose end is waited for.
func (s *State) MapRuns() []string {
	var ids []string
	for c := range s.contexts() {
		if c.Effect != nil && c.MapRun != "" {
			ids = append(ids, c.MapRun)
		}
	}
	return ids
}

// Submitted reports whether the work of an effect that is waited for was handed
// over and goes on elsewhere.
func (s *State) Submitted(effect string) bool {
	c := s.waiting(effect)
	return c != nil && c.Effect.Submitted
}

// contexts are all lines of control, each before its branches.
func (s *State) contexts() iter.Seq[*Context] {
	return func(yield func(*Context) bool) {
		if s.Root == nil || !yield(s.Root) {
			return
		}
		for all := s.Root.Branches; len(all) > 0; {
			var next []*Context
			for _, c := range all {
				if c == nil { // nothing that was written here
					continue
				}
				if !yield(c) {
					return
				}
				next = append(next, c.Branches...)
			}
			all = next
		}
	}
}

// waiting is the context that waits for the effect; nil if there is none.
func (s *State) waiting(effect string) *Context {
	for c := range s.contexts() {
		if c.Effect != nil && c.Effect.ID == effect {
			return c
		}
	}
	return nil
}

// clone is a copy that may be changed.
func (s *State) clone() *State {
	t := &struct {
		State
		root Context
	}{State: *s}
	if s.Root != nil {
		s.Root.copyTo(&t.root, nil)
		t.Root = &t.root
	}
	return &t.State
}

func (c *Context) clone(up *Context) *Context {
	d := new(Context)
	c.copyTo(d, up)
	return d
}

// copyTo makes d a copy of c, whose branch up is.
func (c *Context) copyTo(d, up *Context) {
	*d = *c
	d.up = up
	d.Retries = slices.Clone(c.Retries)
	d.Results = slices.Clone(c.Results)
	if c.Effect != nil {
		d.await(*c.Effect)
	}
	d.Branches = nil
	if n := len(c.Branches); n > 0 {
		copies := make([]Context, n)
		d.Branches = make([]*Context, n)
		for i, b := range c.Branches {
			b.copyTo(&copies[i], d)
			d.Branches[i] = &copies[i]
		}
	}
}

// await has c wait for an effect.
func (c *Context) await(p Pending) {
	c.own = p
	c.Effect = &c.own
}
