package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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
	Idle bool      `json:"idle,omitempty"` // it waits for that and nothing else
}

// openedSize is about how long one is in JSON, with its name, in bytes.
const openedSize = 128

// Write writes the JSON of a fold. There may be a hundred thousand open executions:
// package encoding/json takes three times the memory.
func (f *Fold) Write(w *value.Writer) {
	w.Text = slices.Grow(w.Text, openedSize*len(f.Open))
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
		if string(s.rest) == "}" {
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
		f.Open[r.Key] = Opened{Seq: r.Seq, Wake: h.Wake, Idle: !h.Waits && !h.Wake.IsZero()}
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
		if c.MapRun != "" { // its children are stopped by themselves
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
	// In the order of their turns, so that what was asked for first is.
	type named struct {
		name string
		Opened
	}
	all := make([]named, 0, len(fold.Open))
	for name, o := range fold.Open {
		all = append(all, named{name, o})
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Compare(a.Seq, b.Seq) })
	e.open = make(map[string]*execution, len(all))
	for _, o := range all {
		if err := e.reopen(ctx, o.name, o.Opened); err != nil {
			return fmt.Errorf("execution %s: %w", o.name, err)
		}
	}
	// Children whose map run nobody waits for anymore were to be stopped.
	waited := map[string]bool{}
	for _, x := range e.open {
		if x.desk == nil {
			continue // it waits for none, and is no child
		}
		for _, id := range x.state.MapRuns() {
			waited[id] = true
		}
	}
	for _, o := range all {
		x := e.open[o.name]
		if x.desk == nil {
			continue
		}
		arn := x.state.Execution.MapRun
		if arn == "" {
			continue
		}
		e.children++
		x.of = e.mapRunOf(asl.MapRunID(arn))
		if !waited[x.of.id] && x.broken == nil {
			e.stopChild(x)
		}
	}
	return nil
}

// reopen makes one open execution from its newest turn. One that only waits for a
// time is not read before that. One that cannot go on is kept to be ended, and
// does not keep the others from going on.
func (e *Engine) reopen(ctx context.Context, name string, o Opened) error {
	x := &execution{name: name, started: e.begun, at: -1, seq: o.Seq, alive: true}
	e.open[name] = x
	if o.Idle {
		x.wake = o.Wake
		e.times.add(x)
		return nil
	}
	if err := e.sit(ctx, x); err != nil {
		return err
	}
	e.rouseAt(x, x.state.Wake())
	if x.broken == nil {
		x.again, x.broken = e.asked(ctx, x.state)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if x.broken != nil {
		x.again, x.inbox = nil, []input{{}}
	}
	x.busy = true
	e.ready = append(e.ready, x)
	return nil
}

// asked reads effects from the turns that asked for them, in the order in which
// they did.
func (e *Engine) asked(ctx context.Context, s *asl.State) ([]asl.Effect, error) {
	var effects []asl.Effect
	pending := map[string]uint64{}
	for p := range s.Pending() {
		pending[p.ID] = p.Asked
	}
	records := slices.Sorted(maps.Values(pending))
	for _, at := range slices.Compact(records) {
		t, err := e.turnAt(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("effects of record %d: %w", at, err)
		}
		for _, effect := range t.Effects {
			if pending[effect.ID] == at {
				effects = append(effects, effect)
			}
		}
	}
	if len(effects) < len(pending) {
		return nil, fmt.Errorf("only %d of the %d effects %v are in the records that asked for them", len(effects), len(pending), slices.Sorted(maps.Keys(pending)))
	}
	return effects, nil
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
