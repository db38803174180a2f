package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// An execution is one that has not ended. Whoever set busy owns it, and what is
// on its desk, without a lock. There may be very many that wait: what it has
// besides is small.
type execution struct {
	name    string
	started chan struct{} // guarded by Engine.mu; closed when the first turn is durable, or failed
	ended   chan struct{} // guarded by Engine.mu; what Engine.end gives; nil: nobody has asked
	inbox   []input       // guarded by Engine.mu; what has happened to it
	wake    time.Time     // guarded by Engine.mu; when it must be looked at, while at >= 0
	seq     uint64        // record of the newest turn
	of      *mapRun       // that it is a child of; nil: of none

	at       int32 // guarded by Engine.mu; place in Engine.times; -1: none
	failed   bool  // not begun after all; set before started is closed
	alive    bool  // guarded by Engine.mu; its first turn is durable, and its last is not
	busy     bool  // guarded by Engine.mu; it is in ready, or being worked on
	stopping bool  // guarded by Engine.mu; its map run stops it

	// What it takes to go on; nil while it waits and its newest turn, which says
	// all of it, lies in the journal. Set under Engine.mu.
	*desk
}

// A desk is what is at hand of an execution that goes on.
type desk struct {
	broken  error // why it cannot go on; the next input ends it
	machine *asl.Machine
	digest  string
	state   *asl.State
	durable *asl.State   // guarded by Engine.mu; state, for others to read
	todo    asl.Turn     // durable, and not acted on yet
	offered []asl.Effect // of the newest turn, those that are tasks of activities
	end     asl.Turn     // the last one, where it is a child
}

// maxDesks is how many executions that wait are kept at hand: those that waited
// last.
const maxDesks = 1000

// A rested execution waits since its turn in record seq.
type rested struct {
	x   *execution
	seq uint64
}

// rest takes an execution that waits from now on, and clears the desk of the one
// that has waited for longest, where there are too many. The caller holds mu.
func (e *Engine) rest(x *execution) {
	if x.desk == nil {
		return
	}
	e.rested = append(e.rested, rested{x, x.seq})
	if len(e.rested) <= maxDesks {
		return
	}
	r := e.rested[0]
	e.rested = e.rested[1:]
	if x := r.x; !x.busy && x.alive && x.seq == r.seq && x.desk != nil && x.broken == nil {
		x.desk, x.inbox = nil, nil // which is empty, but has memory
	}
}

// sit gets what an execution needs to go on, where it is not at hand.
func (e *Engine) sit(ctx context.Context, x *execution) error {
	if x.desk != nil {
		return nil
	}
	t, err := e.turnAt(ctx, x.seq)
	if err != nil {
		return err
	}
	d, err := e.deskFor(ctx, t)
	if err != nil {
		return err
	}
	e.seat(x, d)
	return nil
}

// seat gives an execution its desk.
func (e *Engine) seat(x *execution, d *desk) {
	e.mu.Lock()
	x.desk = d
	e.mu.Unlock()
}

// deskFor is the desk of an execution with that newest turn.
func (e *Engine) deskFor(ctx context.Context, t turnRecord) (d *desk, err error) {
	d = &desk{digest: t.Machine, state: t.State, durable: t.State, offered: ofActivities(t.Effects)}
	if d.machine, d.broken = e.machine(ctx, t.Machine); d.broken != nil {
		return d, ctx.Err()
	}
	return d, nil
}

// stands takes the newest turn of an execution, which is durable. The caller holds
// mu.
func (e *Engine) stands(x *execution, turn asl.Turn) {
	x.durable, x.alive = x.state, !x.state.Ended()
	for _, effect := range ofActivities(turn.Effects) {
		if e.broker != nil {
			e.broker.Offer(Offer{effect.Resource, effect.Execution, effect.ID, x.seq})
		}
	}
	if !x.alive {
		e.lately.add(x.name, describe(turn))
	}
	e.rouseAt(x, turn.Wake)
}

// rouseAt has an execution looked at when that time comes; zero is never. The caller
// holds mu.
func (e *Engine) rouseAt(x *execution, wake time.Time) {
	if x.at >= 0 {
		if wake.Equal(x.wake) {
			return
		}
		e.times.remove(x)
	}
	if !wake.IsZero() {
		x.wake = wake
		e.times.add(x)
		if x.at == 0 {
			e.signal()
		}
	}
}

// isBroken says whether it cannot go on. The caller owns it.
func (x *execution) isBroken() bool { return x.desk != nil && x.broken != nil }

// over says whether the end of an execution is durable: it is among the open ones for a
// little longer. The caller holds mu.
func (x *execution) over() bool {
	return x.desk != nil && x.durable != nil && x.durable.Ended()
}

// An input is something that happened to an execution.
type input struct {
	step    func(asl.Env) asl.Turn // reads the execution's state; changes nothing; nil: effect has ended
	effect  string
	outcome asl.Outcome         // of effect
	until   *orchestrator.Until // if not nil, tells outcome: it is asked where the turn is made
	tick    bool                // it is that a time has come
	done    chan<- struct{}     // if not nil, closed when the turn is durable
}

// turn is what the core makes of an input.
func (x *execution) turn(in input, env asl.Env) asl.Turn {
	if in.step != nil {
		return in.step(env)
	}
	return x.machine.Resolve(x.state, in.effect, in.outcome, env)
}

// post hands an input to an execution. The caller holds mu.
func (e *Engine) post(x *execution, in input) {
	x.inbox = append(x.inbox, in)
	if !x.busy {
		x.busy = true
		e.ready = append(e.ready, x)
		e.signal()
	}
}

// tick is the input that a time has come. The caller holds mu.
func (e *Engine) tick(x *execution) {
	e.post(x, input{tick: true, step: func(env asl.Env) asl.Turn { return x.machine.Tick(x.state, env) }})
}

// mostFree is how many goroutines wait for an execution to lead: those are spared
// the growth of their stacks.
const mostFree = 64

// leads leads one execution after another, as long as there are some.
func (e *Engine) leads(ctx context.Context, wg *sync.WaitGroup, x *execution) {
	for {
		e.lead(ctx, wg, x)
		if e.free.Add(1) > mostFree {
			e.free.Add(-1)
			return
		}
		select {
		case x = <-e.next:
			e.free.Add(-1)
		case <-ctx.Done():
			return
		}
	}
}

// lead works on an execution that is its own until it waits, does the last of what
// it waits for, and so on: a chain of tasks takes one goroutine.
func (e *Engine) lead(ctx context.Context, wg *sync.WaitGroup, x *execution) {
	for left := e.act(ctx, wg, x); ; left = e.act(ctx, wg, x) {
		in, more := e.hear(ctx, x, left == nil)
		switch {
		case more && left != nil:
			e.spawn(ctx, wg, x, *left, past{})
		case !more && left != nil && e.do(ctx, x, left, past{}):
			in, more = e.hear(ctx, x, true)
		}
		if !more {
			return
		}
		if err := e.turn(ctx, x, in); err != nil {
			if ctx.Err() == nil {
				e.fail(fmt.Errorf("execution %s: %w", x.name, err))
			}
			return
		}
	}
}

// hear is the next input of an execution. Where there is none, the execution is
// over or waits, and is the caller's no longer; rests says that it may wait for long.
func (e *Engine) hear(ctx context.Context, x *execution, rests bool) (in input, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !x.alive {
		// Who asked for something meanwhile is answered: it is over.
		for _, in := range x.inbox {
			if in.done != nil {
				close(in.done)
			}
		}
		delete(e.open, x.name)
		if x.of != nil {
			e.children--
			x.of.over(x.name, x.end)
		}
		if x.ended != nil {
			close(x.ended)
		}
		e.tellFollowers(x)
		return input{}, false
	}
	if len(x.inbox) == 0 || ctx.Err() != nil {
		x.busy = false
		if rests {
			e.rest(x)
		}
		return input{}, false
	}
	in = x.inbox[0]
	x.inbox[0] = input{}
	if len(x.inbox) > 1 {
		x.inbox = x.inbox[1:]
	} else {
		x.inbox = x.inbox[:0] // with its memory
	}
	return in, true
}

// turn takes one input: it makes the turn, and makes it durable.
func (e *Engine) turn(ctx context.Context, x *execution, in input) error {
	if err := e.sit(ctx, x); err != nil {
		return err
	}
	if in.until != nil {
		if ended, err := e.ended(ctx, x, &in); !ended {
			return err
		}
	}
	room := e.room()
	turn := e.step(ctx, x, in, room)
	if turn.State != x.state {
		w := e.writer()
		record, err := x.record(w, turn)
		if err != nil {
			return err
		}
		if !turn.State.Ended() {
			// The events are written. While this waits for the disk, others make
			// their turns where they lay, which the processor has at hand still.
			turn.Events = nil
			e.clear(room)
			room = nil
		}
		seq, err := e.append(ctx, record)
		if err != nil {
			return err
		}
		e.put(w)
		x.advance(turn, seq)
	}
	e.mu.Lock()
	e.stands(x, turn)
	e.mu.Unlock()
	if room != nil {
		turn.Events = nil
		e.clear(room)
	}
	x.todo = turn
	if in.done != nil {
		close(in.done)
	}
	return nil
}

// step is what an input comes to now, made in room.
func (e *Engine) step(ctx context.Context, x *execution, in input, room *asl.Room) asl.Turn {
	now := time.Now().UTC()
	turn, err := asl.Turn{}, x.broken
	if err == nil {
		env := e.env(x, now)
		if x.of == nil { // else its end is told with the events
			env.Room = room
		}
		turn, err = guard(func() asl.Turn { return x.turn(in, env) })
	}
	if err == nil && turn.State == x.state && in.tick && !turn.Wake.IsZero() && !turn.Wake.After(now) {
		err = errors.New("the execution does not go on")
	}
	if err != nil {
		e.log.ErrorContext(ctx, "execution failed by the engine", "run", x.name, "err", err)
		turn = x.park(err, now)
	}
	return turn
}

// append makes a turn durable. A full disk is waited for: what has happened
// must not be forgotten. Nor is it when ctx ends meanwhile: a commit takes no time.
func (e *Engine) append(ctx context.Context, r ...journal.Record) (uint64, error) {
	for {
		seq, err := e.journal.Append(context.Background(), r...)
		if !errors.Is(err, journal.ErrFull) {
			return seq, err
		}
		e.log.ErrorContext(ctx, "turn not recorded, trying again", "run", r[0].Key, "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// act does what the newest turn asks for, now that it is durable, except for the
// last effect, which it leaves to the caller: nil where there is none.
func (e *Engine) act(ctx context.Context, wg *sync.WaitGroup, x *execution) (left *asl.Effect) {
	if x.desk == nil {
		return nil // it was acted on
	}
	turn := x.todo
	x.todo = asl.Turn{}
	for _, c := range turn.Cancels {
		switch {
		case c.MapRun != "":
			e.abandon(c.Effect)
		case c.Activity && e.broker != nil:
			e.broker.Withdraw(c.Effect, c.Asked)
		default:
			e.tasks.Stop(ctx, c.Effect)
		}
	}
	for i, effect := range turn.Effects {
		switch {
		case effect.MapRun != "":
			e.distribute(ctx, wg, x, effect)
		case e.broker != nil && effect.OfActivity(): // it was offered
		case x.of == nil && i == len(turn.Effects)-1:
			left = &turn.Effects[i]
		default:
			e.spawn(ctx, wg, x, effect, past{})
		}
	}
	return left
}

// do has one effect done, and hands its outcome to the execution. mine says that
// the execution is the caller's from now on.
func (e *Engine) do(ctx context.Context, x *execution, effect *asl.Effect, before past) (mine bool) {
	outcome, err := e.try(ctx, *effect, before.asked, func(output json.RawMessage) {
		if before.submitted {
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.post(x, input{step: func(env asl.Env) asl.Turn {
			return x.machine.Submitted(x.state, effect.ID, output, env)
		}})
	})
	if ctx.Err() != nil {
		return false
	}
	until, follows := errors.AsType[*orchestrator.Until](err)
	if follows && x.of != nil {
		// So many tasks of a map run's children may be done at a time, and no more.
		if _, err := e.Wait(ctx, until.Execution); err != nil && ctx.Err() != nil {
			return false
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if errors.Is(err, orchestrator.ErrLater) || follows && e.follow(follower{x, effect.ID, until}) {
		if !x.busy && x.alive {
			e.rest(x)
		}
		return false
	}
	if err != nil && !follows {
		outcome = asl.Outcome{Error: asl.ErrTaskFailed, Cause: err.Error()}
	}
	x.inbox = append(x.inbox, input{effect: effect.ID, outcome: outcome, until: until})
	mine = !x.busy
	x.busy = true
	return mine
}

// try keeps a panic in one task from the others.
func (e *Engine) try(ctx context.Context, effect asl.Effect, recovered bool, submitted func(json.RawMessage)) (o asl.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.ErrorContext(ctx, "task panicked", "run", effect.Execution, "effect", effect.ID, "err", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the task panicked: %v", p)
		}
	}()
	return e.tasks.Do(ctx, effect, recovered, submitted)
}

// guard keeps a panic in one execution from the others.
func guard(step func() asl.Turn) (turn asl.Turn, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return step(), nil
}

// env is what a turn at this time depends on besides the state. The seed is
// the execution's own, so that a turn which is made again is the same.
func (e *Engine) env(x *execution, now time.Time) asl.Env {
	seed := uint64(14695981039346656037) // FNV-1a
	for i := range len(x.name) {
		seed = (seed ^ uint64(x.name[i])) * 1099511628211
	}
	return asl.Env{Now: now, Seed: seed, Refuses: e.refuses}
}

// park is the turn that ends an execution which the core cannot go on with.
func (x *execution) park(why error, now time.Time) asl.Turn {
	s := *x.state
	cause := fmt.Sprintf("The engine could not go on: %.1000s", why)
	event := asl.HistoryEvent{
		ID: s.NextEvent, Timestamp: now, Type: asl.ExecutionFailed,
		ExecutionFailed: &asl.ErrorDetails{Error: asl.ErrRuntime, Cause: cause},
	}
	if s.Root != nil {
		event.PreviousID = s.Root.LastEvent
	}
	s.NextEvent++
	s.Status, s.Root = asl.StatusFailed, nil
	turn := asl.Turn{State: &s, Events: []asl.HistoryEvent{event}, Status: s.Status, Error: asl.ErrRuntime, Cause: cause}
	for p := range x.state.Pending() {
		turn.Cancels = append(turn.Cancels, asl.Cancel{Effect: p.ID})
	}
	return turn
}

// record is the turn as it is journaled, written with w.
func (x *execution) record(w *value.Writer, turn asl.Turn) (journal.Record, error) {
	w.Reset()
	head := headOf(turn)
	if head.Waits && turn.State.Execution.MapRun == "" {
		head.Handed, head.Offers = x.waitsFor(turn.State)
	}
	t := turnRecord{Head: head, Machine: x.digest, Previous: x.seq, Pending: pendingIn(turn.State), Turn: turn}
	if t.write(w); w.Err != nil {
		return journal.Record{}, fmt.Errorf("write turn: %w", w.Err)
	}
	return journal.Record{Kind: kindTurn, Key: x.name, Data: w.Text}, nil
}

// waitsFor says of what an execution waits for whether all of it was handed over, or, if
// not, which tasks of activities are the rest; nil: there is more.
func (x *execution) waitsFor(s *asl.State) (handed bool, offers Offers) {
	handed = true
	for p, activity := range x.machine.Owed(s) {
		if handed = false; activity == "" {
			return false, nil
		}
		offers = append(offers, Offer{Activity: activity, Effect: p.ID, Record: p.Asked})
	}
	return handed, offers
}

// advance takes the turn of the last record, which is durable as record seq.
func (x *execution) advance(turn asl.Turn, seq uint64) {
	for p := range turn.State.Pending() {
		if p.Asked == 0 {
			p.Asked = seq
		}
	}
	x.state, x.seq, x.offered = turn.State, seq, ofActivities(turn.Effects)
	if x.of != nil && turn.State.Ended() {
		x.end = turn
	}
}
