package asl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A turn that comes to one of these stops and goes on at the next Tick, which
// is due at once: a turn is one record, and a loop must not make it endless. As each
// record has all that the execution holds, much of it has longer turns.
const (
	turnEvents = 2_000
	turnBytes  = 4 << 20
)

// maxState is how much data an execution may hold at once, in bytes: each of
// its branches has an input of its own.
const maxState = 32 << 20

// fewEvents is how many events a turn has as a rule: one state is left, a Task
// entered.
const fewEvents = 5

// turn is a Turn in the making.
type turn struct {
	m     *Machine
	s     *State // its own copy
	env   Env
	room  *Room
	out   Turn
	bytes int  // of the data in its events
	most  int  // such bytes, that a line begins nothing after
	full  bool // there was an event more than a history may have

	ready []ready             // lines that can go on
	gone  map[*Context]bool   // lines that were aborted in this turn; nil: none
	wide  map[*Context]*frame // of Parallel and Map states, as one is asked for again and again; nil: none
	left  *Context            // where the execution stood as a line fell; nil: none did, or it was handled

	input  *value.Value // of the execution, once it was asked for
	random *rand.Rand
	steps  int // of JSONata
}

// A ready is a line that can enter its state, with this input; one that was
// redriven has entered it already.
type ready struct {
	c       *Context
	d       datum
	entered bool
	kept    bool // its input is still that of c, which is read when it is its turn
}

// Start begins an execution with input, a JSON text; an empty one is {}. It is told
// as it is written; the states get it compact.
func Start(m *Machine, info ExecutionInfo, input json.RawMessage, env Env) Turn {
	if info.Started.IsZero() {
		info.Started = env.Now
	}
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	startAt, timeout := m.entry(info)
	s := &State{Execution: info, Input: input, Status: StatusRunning, NextEvent: 1, Deadline: info.Deadline, Root: &Context{Name: startAt}}
	if timeout > 0 {
		if d := info.Started.Add(timeout); s.Deadline.IsZero() || d.Before(s.Deadline) {
			s.Deadline = d
		}
	}
	t := m.turn(s, env)
	v, text, err := value.ParseText(input) // null, where it is no JSON
	d := datum{v, text}
	given := d.json()
	s.Input = json.RawMessage(given)
	if err == nil && given != string(input) && utf8.Valid(input) {
		s.Given = string(input)
		given = s.Given
	}
	t.emit(s.Root, HistoryEvent{Type: ExecutionStarted, ExecutionStarted: &StartedDetails{Input: given, RoleARN: info.RoleARN}}, len(given))
	s.Root.LastEvent = 0 // as AWS records it: the first state follows nothing
	switch {
	case err != nil:
		t.finish(1, StatusFailed, ErrRuntime, fmt.Sprintf("The input of the execution: %v", err), nil)
	case len(input) > MaxData:
		t.finish(1, StatusFailed, ErrDataLimitExceeded, "The input of the execution exceeds the maximum number of bytes service limit.", nil)
	default:
		t.input = &v
		t.goOn(s.Root, d)
	}
	return t.done()
}

// entry is where an execution begins, and how long it may take; 0 is for ever.
func (m *Machine) entry(info ExecutionInfo) (startAt string, timeout time.Duration) {
	if st := m.states[info.Processor]; st != nil && len(st.branches) == 1 {
		return st.branches[0].startAt, 0
	}
	return m.startAt, time.Duration(m.timeout) * time.Second
}

// begin is a turn on a copy of s.
func (m *Machine) begin(s *State, env Env) *turn { return m.turn(s.clone(), env) }

func (m *Machine) turn(s *State, env Env) *turn {
	room := env.Room
	if room == nil {
		room = &Room{}
	}
	if room.events == nil {
		room.events = make([]HistoryEvent, 0, fewEvents)
	}
	t := &room.turn
	*t = turn{m: m, s: s, env: env, room: room, ready: room.ready[:0], most: max(turnBytes, s.size()/4), out: Turn{Status: s.Status, Events: room.events}}
	return t
}

// unchanged is the turn in which nothing happened.
func unchanged(s *State) Turn { return Turn{State: s, Status: s.Status, Wake: s.Wake()} }

// done goes on until all lines wait.
func (t *turn) done() Turn {
	t.run()
	switch {
	case t.s.Ended():
	case t.full:
		t.finish(t.s.NextEvent-1, StatusFailed, "", "", nil)
	case t.s.size() > maxState:
		t.tooMuch()
	}
	t.out.State = t.s
	t.out.Status = t.s.Status
	t.out.Wake = t.s.Wake()
	t.room.events = t.out.Events
	return t.out
}

// tooMuch ends an execution that holds more than maxState.
func (t *turn) tooMuch() {
	t.finish(t.s.NextEvent-1, StatusFailed, ErrDataLimitExceeded, fmt.Sprintf("The execution holds more data at once than %d bytes.", maxState), nil)
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
		t.finish(0, StatusTimedOut, ErrTimeout, "", nil) // after nothing, as AWS records it
		return t.done()
	}
	live := slices.Collect(t.s.contexts())
	// All that took too long is told before anything comes of it.
	late := map[*Context]*fault{}
	for _, c := range live {
		if t.s.Ended() {
			break
		}
		if e := c.Effect; e != nil && (due(e.Deadline) || due(e.HeartbeatDue)) {
			if f := t.frame(c); f != nil {
				late[c] = f.timedOut(!due(e.Deadline))
			}
		}
	}
	for _, c := range live {
		if t.s.Ended() || t.gone[c] || late[c] == nil && !due(c.Wake) {
			continue
		}
		if late[c] == nil && c.Phase == PhaseReady && t.m.states[c.Name] != nil {
			c.Wake = time.Time{}
			t.ready = append(t.ready, ready{c: c, kept: true})
			continue
		}
		f := t.frame(c)
		if f == nil {
			continue
		}
		c.Wake = time.Time{}
		switch {
		case late[c] != nil:
			f.fail(late[c])
		case c.Phase == PhaseWait:
			f.waited()
		case c.Phase == PhaseRetry:
			c.RetryCount++
			f.attempt()
		}
	}
	return t.done()
}

// Stop ends an execution as StopExecution does: ABORTED.
func (m *Machine) Stop(s *State, errorName, cause string, env Env) Turn {
	if s.Ended() {
		return unchanged(s)
	}
	t := m.begin(s, env)
	t.finish(0, StatusAborted, errorName, cause, nil) // as above
	return t.done()
}

// emit appends an event with n bytes of data to the line of c.
func (t *turn) emit(c *Context, e HistoryEvent, n int) {
	if t.append(c.LastEvent, e, n) {
		c.LastEvent = t.s.NextEvent - 1
	}
}

// tell is emit where it is done often: the caller says what the event tells. An event
// is large, and room for it on the stack of every execution costs more than the rest.
func (t *turn) tell(c *Context, kind EventType, n int) *HistoryEvent {
	if t.s.NextEvent >= MaxEvents {
		t.full = true
		return new(HistoryEvent)
	}
	e := t.next(c.LastEvent, kind)
	t.bytes += n
	c.LastEvent = e.ID
	return e
}

// append appends an event that follows the one with the ID after. It reports
// whether the history had a place for it.
func (t *turn) append(after int64, e HistoryEvent, n int) bool {
	if t.s.NextEvent >= MaxEvents {
		t.full = true
		return false
	}
	t.record(after, e)
	t.bytes += n
	return true
}

func (t *turn) record(after int64, e HistoryEvent) {
	next := t.next(after, e.Type)
	e.ID, e.PreviousID, e.Timestamp = next.ID, next.PreviousID, next.Timestamp
	*next = e
}

// next is the next event of the history, which follows the one with the ID after.
func (t *turn) next(after int64, kind EventType) *HistoryEvent {
	n := len(t.out.Events)
	t.out.Events = slices.Grow(t.out.Events, 1)[:n+1] // what is behind is clear
	e := &t.out.Events[n]
	e.ID, e.PreviousID, e.Timestamp, e.Type = t.s.NextEvent, after, t.env.Now, kind
	t.s.NextEvent++
	return e
}

// finish ends the execution. The event that says so has a place in every
// history; one that has no place for more ends it as failed.
func (t *turn) finish(after int64, status, errorName, cause string, output *datum) {
	if t.full {
		status, errorName, cause = StatusFailed, ErrRuntime, fmt.Sprintf("The execution reached the maximum number of history events (%d).", MaxEvents)
	}
	for x := range t.s.contexts() {
		t.cancel(x)
	}
	if status != StatusSucceeded {
		t.s.Left = cmp.Or(t.left, t.s.Root)
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
	t.record(after, e)
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
	st := t.m.states[c.Name]
	activity := st != nil && st.kind == TypeTask && st.task.resource.service == serviceActivity
	t.out.Cancels = append(t.out.Cancels, Cancel{Effect: c.Effect.ID, MapRun: c.MapRun, Activity: activity, Asked: c.Effect.Asked})
	c.Effect = nil
}

// size is how much data the execution holds, in bytes.
func (s *State) size() int {
	n := 0
	for c := range s.contexts() {
		n += len(c.Input) + c.pending
		for _, v := range c.Variables {
			n += len(v)
		}
		for _, r := range c.Results {
			n += len(r)
		}
	}
	return n
}

// goOn has a line enter its state, once it is its turn.
func (t *turn) goOn(c *Context, d datum) {
	c.Phase, c.Wake, c.Effect = PhaseReady, time.Time{}, nil
	t.ready = append(t.ready, ready{c: c, d: d})
}

// run has the lines that can go on enter their next states, one after the
// other, until all wait, the execution has ended or the turn is long enough.
func (t *turn) run() {
	for len(t.ready) > 0 && !t.s.Ended() && !t.full {
		if !t.ready[0].entered && (len(t.out.Events) >= turnEvents || t.bytes >= t.most || t.steps >= turnSteps) {
			for _, r := range t.ready {
				if r.c.Wake = t.env.Now; !r.kept {
					r.c.Input, r.c.pending = json.RawMessage(r.d.json()), 0
				}
			}
			return
		}
		next := t.ready[0]
		if t.ready = t.ready[1:]; len(t.ready) == 0 {
			t.ready = t.room.ready[:0]
		}
		switch {
		case t.gone[next.c]:
		case next.entered:
			t.again(next.c)
		case next.kept:
			if f := t.frame(next.c); f != nil {
				t.enter(next.c, f.raw)
			}
		default:
			t.enter(next.c, next.d)
		}
	}
}

func (t *turn) enter(c *Context, d datum) {
	st := t.m.states[c.Name]
	if st == nil {
		t.finish(c.LastEvent, StatusFailed, ErrRuntime, fmt.Sprintf("The definition has no state '%s'.", c.Name), nil)
		return
	}
	c.Entered, c.EnteredEvent = t.env.Now, t.s.NextEvent
	c.Retries, c.RetryCount, c.Effect = nil, 0, nil
	text, before := d.json(), c.LastEvent
	t.tell(c, st.enters, len(text)).StateEntered = t.room.entered.add(StateEnteredDetails{Name: st.name, Input: text})
	c.Input, c.pending = rawOf(text, c.Input), 0
	t.room.frames.add(frame{t: t, c: c, st: st, raw: d, entry: true, before: before}).enter()
}

// frame is one state being executed: what its expressions can see.
type frame struct {
	t   *turn
	c   *Context
	st  *state
	raw datum // its input, before InputPath

	ctx      *value.Value // the context object, once it was asked for
	fan      *spread      // of a Parallel or Map, once it was asked for
	current  *Item        // that an ItemSelector is evaluated for
	assigned assignments  // what Assign gives, until the state is left

	entry     bool         // this is the turn in which it is entered
	before    int64        // the event that its entry follows
	given     datum        // $states.result
	harvested bool         // there is one
	caught    *value.Value // $states.errorOutput
	fixed     bool         // time and randomness are those of the state's entry
}

// frame is the state that c is in; nil where the definition has no such state
// or the input cannot be read, which ends the execution.
func (t *turn) frame(c *Context) *frame {
	if f := t.wide[c]; f != nil {
		return f
	}
	v, text, err := value.ParseText(c.Input)
	st := t.m.states[c.Name]
	f := t.room.frames.add(frame{t: t, c: c, st: st, raw: datum{v, text}})
	if st != nil && err == nil && c.Phase == PhaseBranches {
		_, err = f.spread()
		t.widen(f)
	}
	if st == nil || err != nil {
		t.finish(c.LastEvent, StatusFailed, ErrRuntime, fmt.Sprintf("The execution cannot go on in the state '%s' with this definition.", c.Name), nil)
		return nil
	}
	return f
}

// widen keeps the frame of a Parallel or Map state.
func (t *turn) widen(f *frame) {
	if t.wide == nil {
		t.wide = map[*Context]*frame{}
	}
	t.wide[f.c] = f
}

// lose takes a line out that was aborted.
func (t *turn) lose(c *Context) {
	if t.gone == nil {
		t.gone = map[*Context]bool{}
	}
	t.gone[c] = true
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

// rawOf is a text as JSON: what it probably is, where it is that.
func rawOf(text string, probably json.RawMessage) json.RawMessage {
	if string(probably) == text {
		return probably
	}
	return json.RawMessage(text)
}

// rand is the turn's source of randomness: the seed, mixed with the place in
// the execution.
func (f *frame) rand() *rand.Rand {
	t := f.t
	if t.random == nil {
		x := t.s.Execution
		t.random = rand.New(rand.NewPCG(t.env.Seed, hashed(x.ARN, x.Name, t.s.NextEvent, f.c.RetryCount)))
	}
	return t.random
}

// hashed is a number for a place in an execution.
func hashed(place ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, place...)
	return h.Sum64()
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
	switch f.st.kind {
	case TypeTask, TypeParallel, TypeMap:
		state = append(state, value.Member{Key: "RetryCount", Value: value.OfInt(f.c.RetryCount)})
	}
	execution := []value.Member{
		{Key: "Id", Value: text(x.ARN)},
		{Key: "Input", Value: *t.input},
		{Key: "StartTime", Value: text(x.Started.UTC().Format(isoTime))},
		{Key: "Name", Value: text(x.Name)},
		{Key: "RoleArn", Value: text(x.RoleARN)},
	}
	if x.RoleARN == "" {
		execution[len(execution)-1].Value = value.Value{}
	}
	if !x.Tested {
		execution = append(execution, value.Member{Key: "RedriveCount", Value: value.OfInt(t.s.Redrives)}) // 0 of an Express one too
	}
	if t.s.Redrives > 0 {
		execution = append(execution, value.Member{Key: "RedriveTime", Value: text(t.s.RedrivenAt.UTC().Format(isoTime))})
	}
	members := []value.Member{
		{Key: "Execution", Value: value.OfObject(execution...)},
		{Key: "StateMachine", Value: value.OfObject(
			value.Member{Key: "Id", Value: text(x.StateMachineARN)},
			value.Member{Key: "Name", Value: text(x.StateMachineName)},
		)},
		{Key: "State", Value: value.OfObject(state...)},
	}
	if f.st.task.resource.token {
		members = append(members, value.Member{Key: "Task", Value: value.OfObject(
			value.Member{Key: "Token", Value: text(token(x.Handle(), f.effectID()))},
		)})
	}
	if item, ok := f.mapItem(); ok {
		members = append(members, value.Member{Key: "Map", Value: value.OfObject(value.Member{Key: "Item", Value: item.context()})})
	}
	v := value.OfObject(members...)
	f.ctx = &v
	return v
}

// mapItem is the item of the innermost iteration.
func (f *frame) mapItem() (item Item, ok bool) {
	if f.current != nil {
		return *f.current, true
	}
	for c := f.c; c.up != nil; c = c.up {
		if st := f.t.m.states[c.up.Name]; st == nil || st.kind != TypeMap {
			continue
		}
		if p := f.t.frame(c.up); p != nil && c.Index < p.fan.n {
			return Item{Index: c.Index, Value: p.fan.items.At(c.Index)}, true
		}
	}
	return item, false
}

// region is that of the execution's ARN.
func (t *turn) region() string {
	parts := strings.SplitN(t.s.Execution.ARN, ":", 5)
	if len(parts) < 5 {
		return "us-east-1"
	}
	return cmp.Or(parts[3], "us-east-1")
}
