// Package engine executes state machines inside this process, over the journal.
//
// It works in turns. What happened to an execution - it began, a task ended, a
// time came, somebody stopped it - goes into the pure core (package asl), which
// answers how it stands then. That is one record in the journal. Only when it
// is durable are its effects done, its timers set, and those who asked answered.
//
// It promises: an execution goes on after a crash from its last turn; an effect
// is asked for under one ID, however often the process is restarted, and after
// a restart as recovered; an outcome that comes late or twice changes nothing.
// An execution has one owner at a time and costs no goroutine while it waits;
// the appends of many share commits. One that panics or does not go on fails
// alone. An ended execution is read from the journal and takes no memory, but for
// the last ones, which take four MiB together.
//
// The children of a distributed Map are executions of their own, and begin in
// the order of the items; what is not read yet takes no memory. A restart goes
// on with those that had begun, and begins none twice.
//
// A task that waits for its token to come back is told its outcome by Resolve;
// who hands the token over is the task's matter. A token comes back whenever it
// does: before the task has ended, and after a restart.
//
// When Run ends, what runs outside goes on: nothing is stopped by a restart.
// What a task is and where it runs is left to [Tasks].
package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Tasks does the effects of executions.
type Tasks interface {
	// Do does an effect and blocks until it has ended; it calls submitted once
	// work was handed over that it goes on to wait for. After a restart it is
	// called with recovered for what had not ended: it must look whether the
	// work is there before it begins it. An error only says that ctx ended; the
	// work may go on. It is [orchestrator.ErrLater] where the work was handed over
	// to somebody who tells the outcome by token ([asl.Effect.ByToken]); a
	// restart does not ask for that again, once it was submitted or a worker has
	// taken it. It is an [orchestrator.Until] where the work is another execution of
	// this engine.
	Do(ctx context.Context, e asl.Effect, recovered bool, submitted func(output json.RawMessage)) (asl.Outcome, error)
	// Stop ends an effect that is no longer waited for, begun or not. It does
	// not wait, and may be called again.
	Stop(ctx context.Context, effect string)
	// Check says before an execution starts whether there is something to call.
	Check(r asl.Resource) error
}

// A Refuser is [Tasks] that know what cannot be begun at all.
type Refuser interface {
	// Refuses says why, as the end of a sentence about the state; empty: it can be
	// tried.
	Refuses(e asl.Effect) string
}

// Config is what an engine works with.
type Config struct {
	Journal *journal.Journal
	Tasks   Tasks
	// Region and Account are those of ARNs. Default us-east-1 and 123456789012.
	Region, Account string
	// Objects is where distributed Maps read their items and write their
	// results; nil: nowhere.
	Objects *objects.Store
	Log     *slog.Logger // default: nowhere
}

// An Engine is the embedded [orchestrator.Executor].
type Engine struct {
	journal *journal.Journal
	tasks   Tasks
	objects *objects.Store
	log     *slog.Logger
	arns    string                  // how ARNs begin
	refuses func(asl.Effect) string // of tasks; nil: they do not know
	broker  Broker                  // tasks; nil: they are none
	rooms   sync.Pool               // of *asl.Room
	writers sync.Pool               // of *value.Writer
	next    chan *execution         // to a leader that is free
	free    atomic.Int64            // leaders
	stops   []string                // effects to be stopped again when Run begins
	again   []again                 // effects to be done when Run begins
	offers  Offers                  // found by recover, until it tells the broker of them
	wake    chan struct{}           // there is something in ready, or an earlier time
	begun   chan struct{}           // closed: it has begun, or has ended

	mu       sync.Mutex
	open     map[string]*execution    // guarded by mu; those that have not ended
	machines map[string]recorded      // guarded by mu; by digest of the definition
	ready    []*execution             // guarded by mu; to be worked on
	rested   []rested                 // guarded by mu; those that wait with their desk, the longest first
	times    times                    // guarded by mu; when open executions must be looked at
	failed   error                    // guarded by mu; why Run must end
	runs     map[string]*mapRun       // guarded by mu; map runs that are not over, by ID
	effects  map[string]*distribution // guarded by mu; what is done for them, by the effect that asks for it
	children int                      // guarded by mu; how many of open are of map runs
	follows  followers                // guarded by mu; by the open execution
	lately   lately                   // guarded by mu
}

// New reads the open executions from the journal. fold, if not nil, is what its
// caller has folded from the whole journal already; otherwise New reads it.
// Nothing is done before Run.
func New(ctx context.Context, cfg Config, fold *Fold) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		journal:  cfg.Journal,
		tasks:    cfg.Tasks,
		objects:  cfg.Objects,
		log:      cfg.Log,
		arns:     "arn:aws:states:" + cmp.Or(cfg.Region, "us-east-1") + ":" + cmp.Or(cfg.Account, "123456789012") + ":",
		wake:     make(chan struct{}, 1),
		begun:    make(chan struct{}),
		next:     make(chan *execution),
		open:     map[string]*execution{},
		machines: map[string]recorded{},
		runs:     map[string]*mapRun{},
		effects:  map[string]*distribution{},
		follows:  followers{},
	}
	if r, ok := cfg.Tasks.(Refuser); ok {
		e.refuses = r.Refuses
	}
	e.broker, _ = cfg.Tasks.(Broker)
	close(e.begun)
	if err := e.recover(ctx, fold); err != nil {
		return nil, fmt.Errorf("recover executions: %w", err)
	}
	return e, nil
}

// Run executes, until ctx ends or the journal fails. It may be called once.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, effect := range e.stops {
		e.tasks.Stop(ctx, effect)
	}
	if err := e.resume(ctx, &wg); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e.mu.Lock()
		now := time.Now()
		for len(e.times) > 0 && !e.times[0].wake.After(now) {
			e.tick(e.times.take())
		}
		ready := e.ready
		e.ready = nil
		if len(e.times) > 0 {
			timer.Reset(time.Until(e.times[0].wake))
		}
		err := e.failed
		e.mu.Unlock()
		if err != nil {
			return err
		}
		for _, x := range ready {
			select {
			case e.next <- x:
			default:
				wg.Go(func() { e.leads(ctx, &wg, x) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-timer.C:
		}
	}
}

// room is memory for a turn that nobody uses, until it is cleared.
func (e *Engine) room() *asl.Room {
	if r, ok := e.rooms.Get().(*asl.Room); ok {
		return r
	}
	return new(asl.Room)
}

func (e *Engine) clear(r *asl.Room) {
	r.Clear()
	e.rooms.Put(r)
}

// writer is one that nobody uses, until it is put back.
func (e *Engine) writer() *value.Writer {
	if w, ok := e.writers.Get().(*value.Writer); ok {
		return w
	}
	return &value.Writer{Text: make([]byte, 0, 4<<10)}
}

// mostText is how many bytes of text a writer may have in hand and be used again.
const mostText = 64 << 10

// put takes a writer back: the journal has what it wrote.
func (e *Engine) put(w *value.Writer) {
	if cap(w.Text) <= mostText {
		e.writers.Put(w)
	}
}

// signal has Run look again.
func (e *Engine) signal() {
	select {
	case e.wake <- struct{}{}:
	default: // it will
	}
}

// fail ends Run.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	if e.failed == nil {
		e.failed = err
	}
	e.mu.Unlock()
	e.signal()
}

// Start implements [orchestrator.Executor]. The definition is parsed, and its
// resources are checked, before anything is recorded.
func (e *Engine) Start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	x, err := e.start(ctx, in)
	if err != nil {
		return orchestrator.Execution{}, fmt.Errorf("start execution %s: %w", in.Name, err)
	}
	return x, nil
}

func (e *Engine) start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	if err := checkName(in.Name); err != nil {
		return orchestrator.Execution{}, fmt.Errorf("%w: %w", orchestrator.ErrInvalidName, err)
	}
	if in.Key == "" {
		in.Key = in.Name
	}
	if len(in.Input) == 0 {
		in.Input = json.RawMessage("{}")
	}
	if !json.Valid(in.Input) {
		return orchestrator.Execution{}, errors.New("the input is not JSON")
	}
	x, other, err := e.take(ctx, in.Key)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	if other {
		known, err := e.Describe(ctx, in.Key)
		if err != nil {
			return orchestrator.Execution{}, err
		}
		return existing(known, in)
	}
	if in.Depth > 0 && e.crowded() {
		e.release(x)
		return orchestrator.Execution{}, ErrTooMany
	}
	begun := false
	defer func() {
		if !begun {
			e.release(x)
		}
	}()
	if known, err := e.newest(ctx, in.Key); err == nil {
		return existing(describe(known.Turn), in)
	} else if !errors.Is(err, orchestrator.ErrNotFound) {
		return orchestrator.Execution{}, err
	}

	if len(in.Machine.Definition) == 0 {
		return orchestrator.Execution{}, errors.New("the embedded engine needs the definition, not an ARN")
	}
	digest := in.Machine.Digest
	if digest == "" {
		digest = Digest(in.Machine.Definition)
	}
	e.mu.Lock()
	known := e.machines[digest]
	e.mu.Unlock()
	m := known.machine
	if m == nil {
		var err error
		if m, err = asl.Parse(in.Machine.Definition, in.Machine.Name); err != nil {
			return orchestrator.Execution{}, err
		}
	}
	var unmapped []error
	for _, r := range m.Calls() {
		unmapped = append(unmapped, e.tasks.Check(r))
	}
	if err := errors.Join(unmapped...); err != nil {
		return orchestrator.Execution{}, &UnmappedError{err}
	}
	records := in.Beside
	if known.seq < e.journal.First() { // it is not known to be there still
		r, err := e.journal.Find(ctx, KindMachine, digest)
		known = recorded{m, r.Seq}
		if errors.Is(err, journal.ErrNotFound) {
			records = append(slices.Clip(records), journal.Record{Kind: KindMachine, Key: digest, Data: in.Machine.Definition})
		} else if err != nil {
			return orchestrator.Execution{}, err
		}
	}

	now := time.Now().UTC()
	info := asl.ExecutionInfo{
		ARN:              cmp.Or(in.ARN, e.arns+"execution:"+in.Machine.Name+":"+in.Name),
		Name:             in.Name,
		StateMachineARN:  cmp.Or(in.Machine.ARN, e.arns+"stateMachine:"+in.Machine.Name),
		StateMachineName: in.Machine.Name,
		RoleARN:          in.Machine.Role,
		Started:          now,
		StartedBy:        in.StartedBy,
		Depth:            in.Depth,
		Version:          in.Machine.Version,
		Alias:            in.Machine.Alias,
	}
	if in.Key != in.Name {
		info.Key = in.Key
	}
	if in.Timeout > 0 {
		info.Deadline = now.Add(in.Timeout)
	}
	e.seat(x, &desk{machine: m, digest: digest})
	env := e.env(x, now)
	room := e.room()
	if x.of == nil { // else its end is told with the events
		env.Room = room
	}
	turn, err := guard(func() asl.Turn { return asl.Start(m, info, in.Input, env) })
	if err != nil {
		return orchestrator.Execution{}, err
	}
	w := e.writer()
	record, err := x.record(w, turn)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	seq, err := e.journal.Append(ctx, append(records, record)...)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	e.put(w)
	begun = true
	if known.seq == 0 {
		known.seq = seq - 1
	}
	e.mu.Lock()
	e.machines[digest] = known
	e.mu.Unlock()
	e.enter(x, turn, seq)
	is := describe(turn)
	turn.Events = nil
	e.clear(room)
	return is, nil
}

// Open is how many executions are open, or about to be, whose key begins with prefix.
func (e *Engine) Open(prefix string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for key, x := range e.open {
		if strings.HasPrefix(key, prefix) && !x.over() {
			n++
		}
	}
	return n
}

// maxNested is how many executions may be open when a nested one begins, so that
// machines which begin each other come to an end.
const maxNested = 10_000

// A recorded machine is one whose definition is in the journal.
type recorded struct {
	machine *asl.Machine
	seq     uint64 // of its record, which is there while the journal has not given it up
}

// An UnmappedError says that an execution was not begun because there is nothing
// to call for some of its tasks.
type UnmappedError struct{ Err error }

func (e *UnmappedError) Error() string { return e.Err.Error() }
func (e *UnmappedError) Unwrap() error { return e.Err }

// ErrTooMany says that a nested execution was not begun because too many are
// open.
var ErrTooMany = fmt.Errorf("%d executions are open", maxNested)

func (e *Engine) crowded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)-e.children > maxNested
}

// take takes a name, so that one of many wins. other says that an execution
// has it that is open.
func (e *Engine) take(ctx context.Context, name string) (x *execution, other bool, err error) {
	for {
		e.mu.Lock()
		open := e.open[name]
		if open == nil {
			x = &execution{name: name, started: make(chan struct{}), at: -1}
			e.open[name] = x
			e.mu.Unlock()
			return x, false, nil
		}
		started := open.started
		e.mu.Unlock()
		select {
		case <-started:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
		if !open.failed { // else it was not begun after all
			return nil, true, nil
		}
	}
}

// release gives a name back that was taken in vain.
func (e *Engine) release(x *execution) {
	e.mu.Lock()
	delete(e.open, x.name)
	x.failed = true
	e.tellFollowers(x)
	e.mu.Unlock()
	close(x.started)
}

// enter has an execution worked on whose first turn in this process is durable: by a
// leader that is free, or else by one that Run finds.
func (e *Engine) enter(x *execution, turn asl.Turn, seq uint64) {
	x.advance(turn, seq)
	e.mu.Lock()
	e.stands(x, turn)
	x.busy = true
	x.todo = turn
	x.todo.Events = nil // they have been told
	close(x.started)
	x.started = e.begun // with no memory of its own
	e.mu.Unlock()
	select {
	case e.next <- x:
	default:
		e.mu.Lock()
		e.ready = append(e.ready, x)
		e.mu.Unlock()
		e.signal()
	}
}

// existing answers the execution x that has the name, if it has the input.
func existing(x orchestrator.Execution, in orchestrator.StartInput) (orchestrator.Execution, error) {
	if in.Fresh && x.Status.Ended() || !orchestrator.SameJSON(x.Input, in.Input) {
		return orchestrator.Execution{}, orchestrator.ErrExecutionExists
	}
	return x, nil
}

// Describe implements [orchestrator.Executor].
func (e *Engine) Describe(ctx context.Context, name string) (orchestrator.Execution, error) {
	// Its first turn may be durable, and be heard of, a moment before it is at hand.
	_, err := e.find(ctx, name)
	if err == nil {
		if x, ok := e.atHand(name); ok {
			return x, nil
		}
		var turn turnRecord
		if turn, err = e.newest(ctx, name); err == nil {
			return describe(turn.Turn), nil
		}
	}
	return orchestrator.Execution{}, fmt.Errorf("describe execution %s: %w", name, err)
}

// atHand is where an execution stands that goes on, or has ended lately, if that is
// in memory.
func (e *Engine) atHand(name string) (orchestrator.Execution, bool) {
	e.mu.Lock()
	x := e.open[name]
	if x == nil || !x.alive {
		defer e.mu.Unlock()
		ended, ok := e.lately.ends[name]
		return ended, ok
	}
	var s *asl.State
	if x.desk != nil {
		s = x.durable
	}
	e.mu.Unlock()
	if s == nil {
		return orchestrator.Execution{}, false
	}
	return describe(asl.Turn{State: s, Status: s.Status}), true
}

// Running says whether an execution of this name goes on, from memory.
func (e *Engine) Running(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.open[name]
	return x != nil && x.alive
}

// History implements [orchestrator.Executor].
func (e *Engine) History(ctx context.Context, name string) ([]asl.HistoryEvent, error) {
	turns, err := e.turns(ctx, name, func(turnRecord) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("history of execution %s: %w", name, err)
	}
	var events []asl.HistoryEvent
	for _, t := range turns {
		events = append(events, t.Events...)
	}
	return events, nil
}

// Effects are what an execution has asked for so far, oldest first.
func (e *Engine) Effects(ctx context.Context, name string) ([]asl.Effect, error) {
	turns, err := e.turns(ctx, name, func(turnRecord) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("effects of execution %s: %w", name, err)
	}
	var effects []asl.Effect
	for _, t := range turns {
		effects = append(effects, t.Effects...)
	}
	return effects, nil
}

// turns reads the turns of an execution, the newest first, while more says so,
// and gives them the oldest first: those that the journal has not given up.
func (e *Engine) turns(ctx context.Context, name string, more func(turnRecord) bool) ([]turnRecord, error) {
	turn, err := e.newest(ctx, name)
	if err != nil {
		return nil, err
	}
	turns := []turnRecord{turn}
	for more(turn) && turn.Previous != 0 {
		turn, err = e.turnAt(ctx, turn.Previous)
		if errors.Is(err, journal.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		turns = append(turns, turn)
	}
	slices.Reverse(turns)
	return turns, nil
}

// Wait implements [orchestrator.Executor].
func (e *Engine) Wait(ctx context.Context, name string) (orchestrator.Execution, error) {
	x, err := e.find(ctx, name)
	if err != nil {
		return orchestrator.Execution{}, fmt.Errorf("wait for execution %s: %w", name, err)
	}
	if x != nil {
		select {
		case <-e.end(x):
		case <-ctx.Done():
			return orchestrator.Execution{}, fmt.Errorf("wait for execution %s: %w", name, ctx.Err())
		}
	}
	return e.Describe(ctx, name)
}

// Stop implements [orchestrator.Executor]. It returns when the end is durable,
// which needs Run.
func (e *Engine) Stop(ctx context.Context, name, errorName, cause string) error {
	x, err := e.find(ctx, name)
	if err == nil && x == nil {
		// It may have begun since it was looked for.
		var is orchestrator.Execution
		if is, err = e.Describe(ctx, name); err == nil && !is.Status.Ended() {
			x, err = e.find(ctx, name)
		}
	}
	if err != nil {
		return fmt.Errorf("stop execution %s: %w", name, err)
	}
	if x == nil {
		return nil // it has ended
	}
	done := make(chan struct{})
	e.mu.Lock()
	if e.open[name] != x { // it has ended meanwhile
		e.mu.Unlock()
		return nil
	}
	e.post(x, input{done: done, step: func(env asl.Env) asl.Turn {
		return x.machine.Stop(x.state, errorName, cause, env)
	}})
	e.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop execution %s: %w", name, ctx.Err())
	}
}

// find is the open execution of that name, once it has begun; nil if there is
// none.
func (e *Engine) find(ctx context.Context, name string) (*execution, error) {
	e.mu.Lock()
	x := e.open[name]
	if x == nil {
		e.mu.Unlock()
		return nil, nil
	}
	started := x.started
	e.mu.Unlock()
	select {
	case <-started:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if x.failed {
		return nil, nil
	}
	return x, nil
}

// end is closed when the last turn of an execution that has begun is durable, and it
// has let go of its name.
func (e *Engine) end(x *execution) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open[x.name] != x {
		return e.begun
	}
	if x.ended == nil {
		x.ended = make(chan struct{})
	}
	return x.ended
}

// describe is what a turn says of its execution. It keeps no more of the turn than
// that.
func describe(turn asl.Turn) orchestrator.Execution {
	s := turn.State
	x := orchestrator.Execution{
		Name:    s.Execution.Name,
		ARN:     s.Execution.ARN,
		Status:  anneal.Status(turn.Status),
		Started: new(s.Execution.Started),
		Input:   s.InputText(),
		Output:  turn.Output,
		Error:   turn.Error,
		Cause:   turn.Cause,

		Machine:   s.Execution.StateMachineARN,
		Redrives:  s.Redrives,
		Fixed:     s.NotRedrivable(),
		StartedBy: s.Execution.StartedBy,
		Depth:     s.Execution.Depth,
		MapRun:    s.Execution.MapRun,
		Items:     s.Execution.MapItems,
		Version:   s.Execution.Version,
		Alias:     s.Execution.Alias,
	}
	if s.Redrives > 0 {
		x.Redriven = new(s.RedrivenAt)
	}
	if s.Ended() && len(turn.Events) > 0 {
		x.Ended = new(turn.Events[len(turn.Events)-1].Timestamp)
	}
	return x
}

// checkName keeps Step Functions' rules for names, so that a run may move
// there.
func checkName(name string) error {
	if n := len([]rune(name)); n < 1 || n > 80 {
		return fmt.Errorf("the name has %d letters, want 1 to 80", n)
	}
	for _, r := range name {
		if r <= ' ' || r >= 0x7f && r <= 0x9f || strings.ContainsRune("<>{}[]?*\"#%\\^|~`$&,;:/", r) {
			return fmt.Errorf("the name has the letter %q, which Step Functions does not allow", r)
		}
	}
	return nil
}

func validOutput(output json.RawMessage) bool {
	_, err := value.Parse(output)
	return err == nil
}
