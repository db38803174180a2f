package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A Fold is what the engine must know of the journal to begin: which
// executions are open, and which effects were let go of last. It is small,
// and its JSON is all of it, so that it may be part of a checkpoint.
type Fold struct {
	Form    Form              `json:"form,omitempty"`    // the newest of the turns
	Open    map[string]Opened `json:"open"`              // by name
	Dropped []Dropped         `json:"dropped,omitempty"` // oldest first
}

// An Opened execution is one that is open.
type Opened struct {
	Seq  uint64    `json:"seq"`            // record of its newest turn
	Wake time.Time `json:"wake,omitzero"`  // when it must be looked at
	Idle bool      `json:"idle,omitempty"` // nothing is to be done for it before that, or before it is told of its tasks by token
	// Offers are all that is to be done for it before that; nil: that is not known.
	Offers Offers `json:"offers,omitempty"`
}

// openedSize and offerSize are about how long these are in JSON, the one with its name,
// the other without that of its activity, in bytes.
const openedSize, offerSize = 128, 72

// Write writes the JSON of a fold. There may be a hundred thousand open executions:
// package encoding/json takes three times the memory.
func (f *Fold) Write(w *value.Writer) {
	size := openedSize * len(f.Open)
	for _, o := range f.Open {
		if n := len(o.Offers); n > 0 {
			size += n*offerSize + len(o.Offers[0].Activity)
		}
	}
	w.Text = slices.Grow(w.Text, size)
	w.Open('{')
	w.IntSome("form", int64(f.Form))
	w.Key("open")
	w.Open('{')
	for name, o := range f.Open {
		w.AnyKey(name)
		w.Open('{')
		w.Int("seq", int64(o.Seq))
		w.TimeSome("wake", o.Wake)
		w.TrueSome("idle", o.Idle)
		if len(o.Offers) > 0 {
			w.Key("offers")
			o.Offers.write(w)
		}
		w.Close('}')
	}
	w.Close('}')
	if len(f.Dropped) > 0 {
		w.Key("dropped")
		w.Any(f.Dropped)
	}
	w.Close('}')
}

// UnmarshalJSON reads what is written otherwise, too, and what was the number of the
// record alone.
func (o *Opened) UnmarshalJSON(data []byte) error {
	*o = Opened{}
	s := headScan{rest: data}
	if s.skip(`{"seq":`) && s.number(&o.Seq) && (!s.skip(`,"wake":`) || s.time(&o.Wake)) {
		o.Idle = s.skip(`,"idle":true`)
		if (!s.skip(`,"offers":`) || s.offers(&o.Offers)) && string(s.rest) == "}" {
			return nil
		}
	}
	*o = Opened{}
	if len(data) > 0 && data[0] != '{' {
		return json.Unmarshal(data, &o.Seq)
	}
	type plain Opened
	return json.Unmarshal(data, (*plain)(o))
}

// A Dropped is an effect that a turn stopped waiting for. The engine may have
// ended before it could tell.
type Dropped struct {
	Effect string    `json:"effect"`
	At     time.Time `json:"at"`
}

// told is how long after a turn its effects have certainly been told that they
// are no longer waited for, unless the engine ended first: much longer than it
// takes.
const told = time.Hour

// Apply takes the next record of the journal; it reads turns only.
func (f *Fold) Apply(r journal.Record) error {
	if r.Kind != kindTurn {
		return nil
	}
	h, err := HeadOf(r)
	if err != nil {
		return err
	}
	if h.Status == asl.StatusRunning {
		if f.Open == nil {
			f.Open = map[string]Opened{}
		}
		for i := range h.Offers {
			h.Offers[i].Record = cmp.Or(h.Offers[i].Record, r.Seq)
		}
		f.Open[r.Key] = Opened{Seq: r.Seq, Wake: h.Wake, Idle: h.Handed || !h.Waits && !h.Wake.IsZero(), Offers: h.Offers}
	} else {
		delete(f.Open, r.Key)
	}
	f.Form = max(f.Form, h.Form)
	now := h.Last.Timestamp
	if now.IsZero() {
		return nil
	}
	f.Dropped = slices.DeleteFunc(f.Dropped, func(d Dropped) bool { return d.At.Before(now.Add(-told)) })
	if !h.Cancels {
		return nil
	}
	t, err := decodeTurn(r)
	if err != nil {
		return err
	}
	for _, c := range t.Cancels {
		if c.MapRun != "" || c.Activity { // its children are stopped by themselves; nothing is begun here
			continue
		}
		f.Dropped = append(f.Dropped, Dropped{Effect: c.Effect, At: now})
	}
	return nil
}

// recover makes the open executions again.
func (e *Engine) recover(ctx context.Context, fold *Fold) error {
	if fold == nil {
		fold = &Fold{}
		for r, err := range e.journal.Read(ctx, 0, false) {
			if err == nil {
				err = fold.Apply(r)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, d := range fold.Dropped {
		e.stops = append(e.stops, d.Effect)
	}
	e.open = make(map[string]*execution, len(fold.Open))
	var seqs []uint64 // of the turns that must be read
	read := map[uint64]*execution{}
	for name, o := range fold.Open {
		x := &execution{name: name, started: e.begun, at: -1, seq: o.Seq, alive: true}
		e.open[name] = x
		if offered := e.broker != nil && len(o.Offers) > 0; offered || o.Idle {
			e.rouseAt(x, o.Wake)
			for _, offer := range o.Offers {
				offer.Execution = name
				e.offers = append(e.offers, offer)
			}
		} else {
			seqs, read[o.Seq] = append(seqs, o.Seq), x
		}
	}
	slices.Sort(seqs)
	waited := map[string]bool{} // map runs
	found := 0
	for r, err := range e.journal.These(ctx, seqs) {
		if err != nil {
			return err
		}
		t, err := decodeTurn(r)
		if err == nil {
			err = e.reopen(ctx, read[r.Seq], t)
		}
		if err != nil {
			return fmt.Errorf("execution %s: %w", r.Key, err)
		}
		for _, id := range t.State.MapRuns() {
			waited[id] = true
		}
		found++
	}
	if found < len(seqs) {
		return fmt.Errorf("only %d of the newest turns of %d open executions are in the journal: %w", found, len(seqs), journal.ErrNotFound)
	}
	if err := e.asked(ctx); err != nil {
		return err
	}
	slices.SortStableFunc(e.offers, func(a, b Offer) int { return cmp.Compare(a.Record, b.Record) })
	for _, o := range e.offers {
		e.broker.Offer(o)
	}
	e.offers = nil
	// Children whose map run nobody waits for anymore were to be stopped.
	for _, seq := range seqs {
		if x := read[seq]; x.of != nil && !waited[x.of.id] && !x.isBroken() {
			e.stopChild(x)
		}
	}
	return nil
}

// An again is an effect that was asked for before a restart, and that something is
// still to be done for.
type again struct {
	x      *execution
	record uint64      // of the turn that asked for it
	id     string      // of the effect
	effect *asl.Effect // nil until that turn is read
	past
}

// A past is what is known of an effect from before a restart.
type past struct {
	asked     bool // for
	submitted bool // which the execution has heard, and need not hear again
}

// find looks for the effect in the turn that asked for it.
func (a *again) find(t turnRecord) {
	for i := range t.Effects {
		if t.Effects[i].ID == a.id {
			a.effect = &t.Effects[i]
		}
	}
}

// reopen makes one open execution from its newest turn. One that cannot go on is
// kept to be ended, and does not keep the others from going on.
func (e *Engine) reopen(ctx context.Context, x *execution, t turnRecord) (err error) {
	if x.desk, err = e.deskFor(ctx, t); err != nil {
		return err
	}
	e.rouseAt(x, x.state.Wake())
	if arn := x.state.Execution.MapRun; arn != "" {
		e.children++
		x.of = e.mapRunOf(asl.MapRunID(arn))
	}
	if x.broken != nil {
		e.post(x, input{})
		return nil
	}
	for p, activity := range x.machine.Owed(x.state) {
		if activity != "" && e.broker != nil {
			e.offers = append(e.offers, Offer{activity, x.name, p.ID, p.Asked})
			continue
		}
		a := again{x: x, record: p.Asked, id: p.ID, past: past{true, p.Submitted}}
		if p.Asked == x.seq {
			a.find(t)
		}
		e.again = append(e.again, a)
	}
	e.rest(x)
	return nil
}

// asked reads the effects that turns before the newest ones asked for, and puts all in
// the order in which they were.
func (e *Engine) asked(ctx context.Context) error {
	slices.SortStableFunc(e.again, func(a, b again) int { return cmp.Compare(a.record, b.record) })
	earlier := map[uint64][]*again{}
	for i := range e.again {
		if a := &e.again[i]; a.effect == nil {
			earlier[a.record] = append(earlier[a.record], a)
		}
	}
	for r, err := range e.journal.These(ctx, slices.Sorted(maps.Keys(earlier))) {
		if err != nil {
			return fmt.Errorf("effects of executions: %w", err)
		}
		t, err := decodeTurn(r)
		for _, a := range earlier[r.Seq] {
			if err == nil {
				a.find(t)
			} else if err := e.give(ctx, a.x, err); err != nil {
				return err
			}
		}
	}
	for _, a := range e.again {
		if a.effect == nil {
			if err := e.give(ctx, a.x, fmt.Errorf("effect %s is not in record %d, which asked for it", a.id, a.record)); err != nil {
				return err
			}
		}
	}
	e.again = slices.DeleteFunc(e.again, func(a again) bool { return a.x.isBroken() })
	return nil
}

// give gives an execution up, which cannot go on for that reason.
func (e *Engine) give(ctx context.Context, x *execution, why error) error {
	if x.isBroken() {
		return nil
	}
	if err := e.sit(ctx, x); err != nil {
		return fmt.Errorf("execution %s: %w", x.name, err)
	}
	x.broken = why
	e.post(x, input{})
	return nil
}

// resume has the effects done that were asked for before a restart. Nobody goes on with
// an execution before all of its own are begun: then one may be stopped again.
func (e *Engine) resume(ctx context.Context, wg *sync.WaitGroup) error {
	all := e.again
	e.again = nil
	var held []*execution
	e.mu.Lock()
	for _, a := range all {
		if !a.x.busy { // else it is in ready
			a.x.busy = true
			held = append(held, a.x)
		}
	}
	e.mu.Unlock()
	for _, a := range all {
		if a.effect.MapRun == "" {
			e.spawn(ctx, wg, a.x, *a.effect, a.past)
			continue
		}
		if err := e.sit(ctx, a.x); err != nil {
			return fmt.Errorf("execution %s: %w", a.x.name, err)
		}
		e.distribute(ctx, wg, a.x, *a.effect)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range held {
		if x.busy = len(x.inbox) > 0; x.busy {
			e.ready = append(e.ready, x)
		}
	}
	return nil
}

// machine reads a definition from the journal.
func (e *Engine) machine(ctx context.Context, digest string) (*asl.Machine, error) {
	e.mu.Lock()
	m := e.machines[digest].machine
	e.mu.Unlock()
	if m != nil {
		return m, nil
	}
	r, err := e.journal.Find(ctx, KindMachine, digest)
	if err != nil {
		return nil, err
	}
	m, err = asl.Parse(r.Data, digest)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", digest, err)
	}
	e.mu.Lock()
	e.machines[digest] = recorded{m, r.Seq}
	e.mu.Unlock()
	return m, nil
}
