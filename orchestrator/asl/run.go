package asl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A turn that comes to one of these stops and goes on at the next Tick, which
// is due at once: a turn is one record, and a loop must not make it endless.
const (
	turnEvents = 2_000
	turnBytes  = 4 << 20
)

// turn is a Turn in the making.
type turn struct {
	m     *Machine
	s     *State // its own copy
	env   Env
	out   Turn
	bytes int  // of the data in its events
	full  bool // there was an event more than a history may have

	input  *value.Value // of the execution, once it was asked for
	random *rand.Rand
}

// Start begins an execution with input, a JSON text; an empty one is {}.
func Start(m *Machine, info ExecutionInfo, input json.RawMessage, env Env) Turn {
	if info.Started.IsZero() {
		info.Started = env.Now
	}
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	s := &State{Execution: info, Input: input, Status: StatusRunning, NextEvent: 1, Deadline: info.Deadline, Root: &Context{Name: m.startAt}}
	if m.timeout > 0 {
		if d := info.Started.Add(time.Duration(m.timeout) * time.Second); s.Deadline.IsZero() || d.Before(s.Deadline) {
			s.Deadline = d
		}
	}
	t := &turn{m: m, s: s, env: env, out: Turn{Status: StatusRunning}}
	v, err := value.Parse(input) // null, where it is no JSON
	d := datum{v: v}
	s.Input = json.RawMessage(d.json())
	t.emit(s.Root, HistoryEvent{Type: ExecutionStarted, ExecutionStarted: &StartedDetails{Input: d.text, RoleARN: info.RoleARN}}, len(d.text))
	s.Root.LastEvent = 0 // as AWS records it: the first state follows nothing
	switch {
	case err != nil:
		t.finish(s.Root, StatusFailed, ErrRuntime, fmt.Sprintf("The input of the execution: %v", err), nil)
	case len(input) > MaxData:
		t.finish(s.Root, StatusFailed, ErrDataLimitExceeded, "The input of the execution exceeds the maximum number of bytes service limit.", nil)
	default:
		t.input = &v
		t.advance(s.Root, d)
	}
	return t.done()
}

// begin is a turn on a copy of s.
func (m *Machine) begin(s *State, env Env) *turn {
	return &turn{m: m, s: s.clone(), env: env, out: Turn{Status: s.Status}}
}

// unchanged is the turn in which nothing happened.
func unchanged(s *State) Turn { return Turn{State: s, Status: s.Status, Wake: s.Wake()} }

func (t *turn) done() Turn {
	t.out.State = t.s
	t.out.Status = t.s.Status
	t.out.Wake = t.s.Wake()
	return t.out
}

// Tick is to be called when [Turn.Wake] has come: waits end, attempts are made
// again, what took too long times out. Called earlier it changes nothing.
func (m *Machine) Tick(s *State, env Env) Turn {
	due := func(at time.Time) bool { return !at.IsZero() && !at.After(env.Now) }
	if !due(s.Wake()) {
		return unchanged(s)
	}
	t := m.begin(s, env)
	if due(s.Deadline) {
		t.finish(t.s.Root, StatusTimedOut, ErrTimeout, "", nil)
		return t.done()
	}
	for _, c := range t.s.contexts() {
		if t.s.Ended() {
			break
		}
		f := t.frame(c)
		if f == nil {
			continue
		}
		switch e := c.Effect; {
		case e != nil && (due(e.Deadline) || due(e.HeartbeatDue)):
			f.timedOut(!due(e.Deadline))
		case !due(c.Wake):
		case c.Phase == PhaseReady:
			c.Wake = time.Time{}
			t.advance(c, f.raw)
		case c.Phase == PhaseWait:
			c.Wake = time.Time{}
			if f.waited() {
				t.advance(c, f.raw)
			}
		case c.Phase == PhaseRetry:
			c.Wake = time.Time{}
			c.RetryCount++
			if f.schedule() {
				t.advance(c, f.raw)
			}
		}
		t.check(c)
	}
	return t.done()
}

// Stop ends an execution as StopExecution does: ABORTED.
func (m *Machine) Stop(s *State, errorName, cause string, env Env) Turn {
	if s.Ended() {
		return unchanged(s)
	}
	t := m.begin(s, env)
	t.finish(t.s.Root, StatusAborted, errorName, cause, nil)
	return t.done()
}

// emit appends an event with n bytes of data to the history of c.
func (t *turn) emit(c *Context, e HistoryEvent, n int) {
	if t.s.NextEvent >= MaxEvents {
		t.full = true
		return
	}
	t.record(c, e)
	t.bytes += n
}

func (t *turn) record(c *Context, e HistoryEvent) {
	e.ID, e.PreviousID, e.Timestamp = t.s.NextEvent, c.LastEvent, t.env.Now
	t.s.NextEvent++
	c.LastEvent = e.ID
	t.out.Events = append(t.out.Events, e)
}

// finish ends the execution. The event that says so has a place in every
// history.
func (t *turn) finish(c *Context, status, errorName, cause string, output *datum) {
	for _, x := range t.s.contexts() {
		t.cancel(x)
	}
	e := HistoryEvent{}
	switch details := (&ErrorDetails{Error: errorName, Cause: cause}); status {
	case StatusSucceeded:
		e.Type, e.ExecutionSucceeded = ExecutionSucceeded, &OutputDetails{Output: output.json()}
		t.out.Output = json.RawMessage(output.json())
	case StatusFailed:
		e.Type, e.ExecutionFailed = ExecutionFailed, details
	case StatusTimedOut:
		e.Type, e.ExecutionTimedOut = ExecutionTimedOut, details
	case StatusAborted:
		e.Type, e.ExecutionAborted = ExecutionAborted, details
	}
	t.record(c, e)
	t.s.Status, t.s.Root = status, nil
	t.out.Error, t.out.Cause = errorName, cause
}

// cancel lets go of the effect that c waits for.
func (t *turn) cancel(c *Context) {
	if c.Effect == nil {
		return
	}
	for i, e := range t.out.Effects {
		if e.ID == c.Effect.ID { // nobody has heard of it yet
			t.out.Effects = append(t.out.Effects[:i], t.out.Effects[i+1:]...)
			c.Effect = nil
			return
		}
	}
	t.out.Cancels = append(t.out.Cancels, Cancel{Effect: c.Effect.ID})
	c.Effect = nil
}

// check ends an execution whose history is full.
func (t *turn) check(c *Context) {
	if t.full && !t.s.Ended() {
		t.finish(c, StatusFailed, ErrRuntime, fmt.Sprintf("The execution reached the maximum number of history events (%d).", MaxEvents), nil)
	}
}

// advance enters the state that c has come to, and the next, until it waits
// or the execution ends.
func (t *turn) advance(c *Context, d datum) {
	for !t.s.Ended() {
		if t.full {
			t.check(c)
			return
		}
		if len(t.out.Events) >= turnEvents || t.bytes >= turnBytes {
			c.Phase, c.Wake, c.Input = PhaseReady, t.env.Now, json.RawMessage(d.json())
			return
		}
		st := t.m.states[c.Name]
		if st == nil {
			t.finish(c, StatusFailed, ErrRuntime, fmt.Sprintf("The definition has no state '%s'.", c.Name), nil)
			return
		}
		f := &frame{t: t, c: c, st: st, raw: d}
		c.Entered, c.EnteredEvent = t.env.Now, t.s.NextEvent
		c.Retries, c.RetryCount, c.Effect = nil, 0, nil
		t.emit(c, HistoryEvent{
			Type:         EventType(string(st.kind) + "StateEntered"),
			StateEntered: &StateEnteredDetails{Name: st.name, Input: d.json()},
		}, len(d.json()))
		if !f.enter() {
			c.Input = json.RawMessage(d.json())
			return
		}
		d = f.raw
	}
}

// frame is one state being executed: what its expressions can see.
type frame struct {
	t   *turn
	c   *Context
	st  *state
	raw datum // its input, before InputPath; after it was left, its output

	ctx *value.Value // the context object, once it was asked for
}

// frame is the state that c is in; nil where the definition has no such state
// or the input cannot be read, which ends the execution.
func (t *turn) frame(c *Context) *frame {
	v, err := value.Parse(c.Input)
	st := t.m.states[c.Name]
	if st == nil || err != nil {
		t.finish(c, StatusFailed, ErrRuntime, fmt.Sprintf("The execution cannot go on in the state '%s' with this definition.", c.Name), nil)
		return nil
	}
	return &frame{t: t, c: c, st: st, raw: datum{v: v}}
}

// datum is a value and, once it was needed, its JSON. That is always written
// anew, compact: as it comes back from the JSON of a State it could be spaced
// or escaped in another way than it was in the turn before.
type datum struct {
	v    value.Value
	text string
}

func (d *datum) json() string {
	if d.text == "" {
		d.text = d.v.String()
	}
	return d.text
}

// rand is the turn's source of randomness: the seed, mixed with the place in
// the execution.
func (f *frame) rand() *rand.Rand {
	t := f.t
	if t.random == nil {
		h := fnv.New64a()
		fmt.Fprintln(h, t.s.Execution.ARN, t.s.Execution.Name, t.s.NextEvent, f.c.RetryCount)
		t.random = rand.New(rand.NewPCG(t.env.Seed, h.Sum64()))
	}
	return t.random
}

// isoTime is how times are written in the context object.
const isoTime = "2006-01-02T15:04:05.000Z"

// context is the context object: what $$ stands for.
func (f *frame) context() value.Value {
	if f.ctx != nil {
		return *f.ctx
	}
	t, text := f.t, value.OfString
	if t.input == nil {
		v, _ := value.Parse(t.s.Input) // it was JSON at the start
		t.input = &v
	}
	x := t.s.Execution
	state := []value.Member{
		{Key: "Name", Value: text(f.c.Name)},
		{Key: "EnteredTime", Value: text(f.c.Entered.UTC().Format(isoTime))},
	}
	if f.st.kind == TypeTask {
		state = append(state, value.Member{Key: "RetryCount", Value: value.OfInt(f.c.RetryCount)})
	}
	members := []value.Member{
		{Key: "Execution", Value: value.OfObject(
			value.Member{Key: "Id", Value: text(x.ARN)},
			value.Member{Key: "Input", Value: *t.input},
			value.Member{Key: "StartTime", Value: text(x.Started.UTC().Format(isoTime))},
			value.Member{Key: "Name", Value: text(x.Name)},
			value.Member{Key: "RoleArn", Value: text(x.RoleARN)},
			value.Member{Key: "RedriveCount", Value: value.OfInt(0)},
		)},
		{Key: "StateMachine", Value: value.OfObject(
			value.Member{Key: "Id", Value: text(x.StateMachineARN)},
			value.Member{Key: "Name", Value: text(x.StateMachineName)},
		)},
		{Key: "State", Value: value.OfObject(state...)},
	}
	if f.st.task.resource.token {
		members = append(members, value.Member{Key: "Task", Value: value.OfObject(
			value.Member{Key: "Token", Value: text(f.effectID())},
		)})
	}
	v := value.OfObject(members...)
	f.ctx = &v
	return v
}

// region is that of the execution's ARN.
func (t *turn) region() string {
	parts := strings.SplitN(t.s.Execution.ARN, ":", 5)
	if len(parts) < 5 {
		return "us-east-1"
	}
	return cmp.Or(parts[3], "us-east-1")
}
