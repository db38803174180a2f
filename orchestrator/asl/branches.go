package asl

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// MaxConcurrency is how many iterations of a Map run at once at most, whatever
// its own MaxConcurrency.
const MaxConcurrency = 40

// maxResults is how large the outputs of branches may become before
// ResultSelector or the limit of a state's data has a say, in bytes.
const maxResults = 16 * MaxData

// A spread is what a Parallel or Map does at once. It follows from the input
// of the state, so that it need not be kept with the execution.
type spread struct {
	n     int // branches or iterations
	most  int // that run at once
	input value.Value
	items value.Value // of a Map
	tolerance
}

// spread works out what the branches or iterations are.
func (f *frame) spread() (*spread, error) {
	if f.fan != nil {
		return f.fan, nil
	}
	in, err := f.selected(f.st.input, f.raw.v)
	if err != nil {
		return nil, err
	}
	s := &spread{n: len(f.st.branches), most: len(f.st.branches), input: in}
	if f.st.kind == TypeParallel {
		if f.st.parameters != nil {
			if s.input, err = f.st.parameters.eval(f, in, "Parameters"); err != nil {
				return nil, err
			}
		}
		f.fan = s
		return s, f.fits(s.input)
	}
	// What is worked out anew in a later turn has to come to the same.
	f.fixed = true
	defer func() { f.fixed = false }()
	most, err := f.number(f.st.each.most, in)
	if err != nil {
		return nil, err
	}
	limit := int64(MaxConcurrency)
	if f.st.each.distributed {
		limit = MaxChildren
	}
	if s.most = int(limit); 0 < most && most < limit {
		s.most = int(most)
	}
	if f.st.each.reader != nil {
		f.fan = s
		s.n = 0 // nobody knows
		return s, nil
	}
	if f.st.jsonata {
		s.items, err = f.array()
	} else {
		s.items, err = f.at(f.st.each.items, in)
	}
	if err != nil {
		return nil, err
	}
	if f.st.each.distributed && s.items.Kind() == value.Object {
		// Each member is an item.
	} else if s.items.Kind() != value.Array {
		return nil, f.runtime("Reference path \"%s\" must point to array.", f.st.each.items)
	}
	s.n = s.items.Len()
	if f.c.Phase == PhaseBranches && f.st.each.tolerant {
		if s.tolerance, err = f.tolerance(in); err != nil {
			return nil, err
		}
	}
	f.fan = s
	return s, nil
}

// branch begins the branches of a Parallel or the iterations of a Map.
func (f *frame) branch() {
	s, err := f.spread()
	if err != nil {
		f.fail(err)
		return
	}
	started := HistoryEvent{Type: ParallelStateStarted}
	if f.st.kind == TypeMap {
		started = HistoryEvent{Type: MapStateStarted, MapStarted: &MapStartedDetails{Length: s.n}}
	}
	f.t.emit(f.c, started, 0)
	if f.st.each.tolerant {
		if s.tolerance, err = f.tolerance(s.input); err != nil {
			f.fail(err)
			return
		}
	}
	if f.st.each.distributed {
		f.distribute()
		return
	}
	f.c.Phase, f.c.Branches, f.c.Begun, f.c.Failed, f.c.Results = PhaseBranches, nil, 0, 0, nil
	f.t.widen(f)
	f.begin(f.c.LastEvent)
}

// begin begins branches while there are more and there is room, each after the
// event of that ID. With the last one over, the state is.
func (f *frame) begin(after int64) {
	t, c, s := f.t, f.c, f.fan
	held := t.s.size()
	for c.Begun < s.n && len(c.Branches) < s.most {
		i := c.Begun
		b := &Context{
			Path:      c.Path + "/" + c.Name + "/" + strconv.Itoa(i),
			Index:     i,
			Name:      f.st.branches[i%len(f.st.branches)].startAt,
			LastEvent: after,
			up:        c,
		}
		input := s.input
		if f.st.kind == TypeMap {
			var err error
			if input, err = f.item(i); err != nil {
				f.drop(after, err.(*fault).name != ErrRuntime)
				f.fail(err)
				return
			}
			t.emit(b, HistoryEvent{Type: MapIterationStarted, IterationStarted: f.iteration(b)}, 0)
		}
		b.pending = input.Size()
		if held += b.pending; held > maxState { // before all that is written as JSON
			t.tooMuch()
			return
		}
		c.Begun++
		c.Branches = append(c.Branches, b)
		t.goOn(b, datum{v: input})
	}
	if len(c.Branches) == 0 {
		f.gathered()
	}
}

// item is the input of an iteration.
func (f *frame) item(i int) (value.Value, error) {
	return f.selectItem(Item{Index: i, Value: f.fan.items.At(i)})
}

// selectItem is what ItemSelector makes of an item.
func (f *frame) selectItem(item Item) (value.Value, error) {
	if f.st.each.selector == nil {
		return item.Value, nil
	}
	g := *f
	g.ctx, g.current = nil, &item
	v, err := g.st.each.selector.eval(&g, f.fan.input, "ItemSelector")
	if err == nil {
		err = f.fits(v)
	}
	return v, err
}

func (f *frame) iteration(b *Context) *IterationDetails {
	return &IterationDetails{Name: f.c.Name, Index: b.Index}
}

// arrive takes the output of a line that has come to its end.
func (t *turn) arrive(b *Context, d datum) {
	if b.up == nil {
		t.finish(b.LastEvent, StatusSucceeded, "", "", &d)
		return
	}
	f := t.frame(b.up)
	if f == nil {
		return
	}
	c, after := f.c, b.LastEvent
	c.Branches = slices.DeleteFunc(c.Branches, func(x *Context) bool { return x == b })
	for len(c.Results) <= b.Index {
		c.Results = append(c.Results, json.RawMessage("null"))
	}
	c.Results[b.Index] = json.RawMessage(d.json())
	if f.st.kind == TypeMap {
		t.emit(b, HistoryEvent{Type: MapIterationSucceeded, IterationSucceeded: f.iteration(b)}, 0)
	}
	f.ended(b, after)
}

// bear takes the failure of an iteration, which is tolerated.
func (f *frame) bear(b *Context, x *fault, after int64) {
	c := f.c
	for len(c.Results) <= b.Index {
		c.Results = append(c.Results, json.RawMessage("null"))
	}
	c.Results[b.Index] = json.RawMessage(x.output(nil).String())
	f.ended(b, after)
}

// ended goes on after a branch has.
func (f *frame) ended(b *Context, after int64) {
	c := f.c
	c.LastEvent = b.LastEvent
	size := 0
	for _, r := range c.Results {
		size += len(r)
	}
	if size > maxResults {
		f.drop(after, true)
		f.fail(tooLarge(f.st.name))
		return
	}
	f.begin(after)
}

// gathered leaves a Parallel or Map, all of whose branches have ended.
func (f *frame) gathered() {
	items := make([]value.Value, len(f.c.Results))
	for i, r := range f.c.Results {
		items[i], _ = value.Parse(r) // it was a value
	}
	f.c.Results = nil
	f.succeed(value.OfArray(items), f.c.LastEvent)
}

// succeed leaves a Parallel or Map with the outputs of its branches. What follows
// the state follows the event before.
func (f *frame) succeed(result value.Value, before int64) {
	f.t.emit(f.c, HistoryEvent{Type: EventType(string(f.st.kind) + "StateSucceeded")}, 0)
	out, err := f.harvest(datum{v: result})
	if err == nil {
		err = f.fits(out)
	}
	if err != nil {
		f.fail(err)
		return
	}
	f.c.LastEvent = before
	f.leave(out, f.st.next)
}

// fell says that a line has failed for good: what failed in its state is
// neither retried nor caught there. Of what a States.Runtime ends, the end of the
// execution alone is told.
func (f *frame) fell(x *fault) {
	t, b, tell := f.t, f.c, x.name != ErrRuntime
	after := b.LastEvent
	if t.left == nil {
		t.left = t.standing()
	}
	if b.up == nil {
		t.finish(after, StatusFailed, x.name, x.cause, nil)
		return
	}
	p := t.frame(b.up)
	if p == nil {
		return
	}
	if p.st.kind == TypeMap && tell {
		t.append(after, HistoryEvent{Type: MapIterationFailed, IterationFailed: p.iteration(b)}, 0)
	}
	if (f.st.kind == TypeTask || f.st.kind == TypeWait) && tell {
		t.append(after, HistoryEvent{Type: EventType(string(f.st.kind) + "StateAborted")}, 0)
	}
	t.lose(b)
	p.c.Branches = slices.DeleteFunc(p.c.Branches, func(x *Context) bool { return x == b })
	if p.st.each.tolerant {
		p.c.Failed++
		if p.fan.allows(int64(p.c.Failed), int64(p.fan.n)) {
			t.left = nil
			p.bear(b, x, after)
			return
		}
		p.drop(after, true)
		p.fail(&fault{name: ErrExceedToleratedFailure, cause: notTolerated, from: TypeMap})
		return
	}
	p.drop(after, tell)
	p.fail(&fault{name: x.name, cause: x.cause, alias: x.alias, from: p.st.kind})
}

// drop aborts the branches that run, and may tell of it. What becomes of the state
// follows the event after.
func (f *frame) drop(after int64, tell bool) {
	for _, b := range f.c.Branches {
		f.t.abort(f, b, after, tell)
	}
	f.c.Branches, f.c.Results, f.c.Begun, f.c.Failed = nil, nil, 0, 0
	f.c.LastEvent = after
}

// abort ends a branch of p that nobody waits for anymore.
func (t *turn) abort(p *frame, b *Context, after int64, tell bool) {
	t.lose(b)
	told := func(e HistoryEvent) {
		if tell {
			t.append(after, e, 0)
		}
	}
	if p.st.kind == TypeMap {
		told(HistoryEvent{Type: MapIterationAborted, IterationAborted: p.iteration(b)})
	}
	st := t.m.states[b.Name]
	if b.MapRun != "" {
		told(HistoryEvent{Type: MapRunAborted})
	}
	if b.Phase != PhaseReady && st != nil {
		told(HistoryEvent{Type: EventType(string(st.kind) + "StateAborted")})
	}
	t.cancel(b)
	if len(b.Branches) == 0 {
		return
	}
	if f := t.frame(b); f != nil {
		for _, x := range b.Branches {
			t.abort(f, x, after, tell)
		}
	}
}
