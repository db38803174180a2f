package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/items"
)

// kindMapRun is a mapRunRecord; its key is the run's ID.
const kindMapRun = "map-run"

const (
	// blockSize is after how many children a map run notes how far it is: what a
	// restart looks at again.
	blockSize = 1000
	// together is how many children begin in one append at most.
	together = 64
	// maxDoing is how many tasks of the children of one map run are done at a
	// time; the rest wait, without a goroutine.
	maxDoing = 128
	// maxChildren is how many child executions are open in the whole engine
	// before each map run begins one at a time.
	maxChildren = 20_000
)

// Counts are how many items or child executions of a map run stand how.
type Counts struct {
	Running   int64 `json:"running"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	TimedOut  int64 `json:"timedOut"`
	Aborted   int64 `json:"aborted"`
}

// Ended are those that have.
func (c Counts) Ended() int64 { return c.Succeeded + c.lost() }

// lost are those that did not end well.
func (c Counts) lost() int64 { return c.Failed + c.TimedOut + c.Aborted }

func (c *Counts) add(status string, n int64) {
	switch status {
	case asl.StatusSucceeded:
		c.Succeeded += n
	case asl.StatusTimedOut:
		c.TimedOut += n
	case asl.StatusAborted:
		c.Aborted += n
	case asl.StatusRunning:
		c.Running += n
	default:
		c.Failed += n
	}
}

// plus is the sum, without what runs.
func (c Counts) plus(d Counts) Counts {
	return Counts{0, c.Succeeded + d.Succeeded, c.Failed + d.Failed, c.TimedOut + d.TimedOut, c.Aborted + d.Aborted}
}

// A MapRun is where the run of a distributed Map stands.
type MapRun struct {
	ARN       string    `json:"mapRunArn"`
	Execution string    `json:"execution"` // whose Map it is: by which the engine knows it
	Status    string    `json:"status"`    // RUNNING, SUCCEEDED, FAILED or ABORTED
	Started   time.Time `json:"started"`
	Stopped   time.Time `json:"stopped,omitzero"`
	Error     string    `json:"error,omitempty"`
	Cause     string    `json:"cause,omitempty"`

	MaxConcurrency      int      `json:"maxConcurrency"`
	ToleratedCount      *int64   `json:"toleratedFailureCount,omitempty"`
	ToleratedPercentage *float64 `json:"toleratedFailurePercentage,omitempty"`

	Items      Counts    `json:"items"`
	Executions Counts    `json:"executions"`
	Total      int64     `json:"total"`   // items that are known of
	Written    int64     `json:"written"` // results of them that were exported
	Redrives   int64     `json:"redrives,omitempty"`
	RedrivenAt time.Time `json:"redrivenAt,omitzero"`
}

// A mapRunRecord is a map run in the journal, as it was when its first children
// had ended: the counts are of those before Begun.
type mapRunRecord struct {
	MapRun
	Effect string `json:"effect"`
	Begun  int    `json:"begun"` // children that need not be looked at again
	Taken  int64  `json:"taken"` // items that were read for them
}

// A mapRun is a map run in this process.
type mapRun struct {
	id    string
	alone sync.Mutex // held by who runs it
	saves sync.Mutex // held while its record is written
	wake  chan struct{}

	users   int              // guarded by Engine.mu; who run it or want to
	rec     mapRunRecord     // guarded by Engine.mu; but for Items and Executions, which are those before Begun
	blocks  []*block         // guarded by Engine.mu; children from Begun on
	open    map[string]child // guarded by Engine.mu; those that run, by name
	ended   []childEnd       // guarded by Engine.mu; what nobody has looked at yet
	doing   int              // guarded by Engine.mu; tasks of children that are being done
	waiting []func()         // guarded by Engine.mu; those that will be
}

// A block is blockSize children that follow each other.
type block struct {
	from       int
	taken      int64 // items before them
	size       int   // children that have begun
	items      Counts
	executions Counts
}

type child struct {
	index int
	items int64
	x     *execution
}

type childEnd struct {
	name string
	turn asl.Turn // its last
}

// mapRunOf is the map run of that ID. The caller holds mu, or nobody else knows
// the engine yet.
func (e *Engine) mapRunOf(id string) *mapRun {
	r := e.runs[id]
	if r == nil {
		r = &mapRun{id: id, wake: make(chan struct{}, 1), open: map[string]child{}}
		e.runs[id] = r
	}
	return r
}

func (r *mapRun) signal() {
	select {
	case r.wake <- struct{}{}:
	default: // it will
	}
}

// over takes the end of a child. The caller holds mu.
func (r *mapRun) over(name string, end asl.Turn) {
	if _, ok := r.open[name]; ok {
		r.ended = append(r.ended, childEnd{name, end})
		r.signal()
	}
}

// spawn has an effect done: of a child, once there is room.
func (e *Engine) spawn(ctx context.Context, wg *sync.WaitGroup, x *execution, effect asl.Effect, before past) {
	r := x.of
	if r == nil {
		wg.Go(func() {
			if e.do(ctx, x, &effect, before) {
				e.lead(ctx, wg, x)
			}
		})
		return
	}
	do := func() {
		if e.do(ctx, x, &effect, before) {
			e.mu.Lock()
			e.ready = append(e.ready, x)
			e.mu.Unlock()
			e.signal()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.doing >= maxDoing {
		r.waiting = append(r.waiting, do)
		return
	}
	r.doing++
	wg.Go(func() {
		for do != nil {
			do()
			e.mu.Lock()
			if do = nil; len(r.waiting) > 0 && ctx.Err() == nil {
				do, r.waiting = r.waiting[0], r.waiting[1:]
			} else {
				r.doing--
			}
			e.mu.Unlock()
		}
	})
}

// distribute runs a map run, which an execution asks for by an effect.
func (e *Engine) distribute(ctx context.Context, wg *sync.WaitGroup, x *execution, effect asl.Effect) {
	e.mu.Lock()
	r := e.mapRunOf(effect.MapRun)
	r.users++
	// The state is as it is while the effect is waited for.
	d := &distribution{e: e, r: r, ctx: ctx, machine: x.machine, digest: x.digest, state: x.state, effect: effect}
	e.effects[effect.ID] = d
	e.mu.Unlock()
	wg.Go(func() {
		r.alone.Lock() // an earlier life of it may have children to stop
		defer r.alone.Unlock()
		outcome, err := e.guarded(ctx, effect, d.run)
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.effects, effect.ID)
		if r.users--; r.users == 0 {
			delete(e.runs, r.id)
		}
		switch {
		case ctx.Err() != nil, errors.Is(err, errAborted):
			return
		case errors.As(err, new(journalError)):
			if e.failed == nil {
				e.failed = fmt.Errorf("map run %s: %w", r.id, err)
			}
			e.signal()
			return
		case err != nil:
			e.log.ErrorContext(ctx, "map run failed by the engine", "run", effect.Execution, "err", err)
			outcome = asl.Outcome{Error: asl.ErrRuntime, Cause: fmt.Sprintf("The engine could not go on: %.1000s", err)}
		}
		e.post(x, input{step: func(env asl.Env) asl.Turn {
			return x.machine.Resolve(x.state, effect.ID, outcome, env)
		}})
	})
}

// guarded keeps a panic in one map run from the others.
func (e *Engine) guarded(ctx context.Context, effect asl.Effect, run func() (asl.Outcome, error)) (o asl.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.ErrorContext(ctx, "map run panicked", "run", effect.Execution, "effect", effect.ID, "err", p)
			err = fmt.Errorf("the map run panicked: %v", p)
		}
	}()
	return run()
}

// abandon ends the map run of an effect that is no longer waited for.
func (e *Engine) abandon(effect string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.effects[effect]; d != nil {
		d.stopped = true
		d.r.signal()
	}
}

// errAborted says that nobody waits for the map run.
var errAborted = errors.New("the map run was aborted")

// A journalError is why the journal takes or gives no more.
type journalError struct{ error }

func (e journalError) Unwrap() error { return e.error }

// A distribution is one life of a map run: from its beginning, a restart or a
// redrive to its end.
type distribution struct {
	e       *Engine
	r       *mapRun
	ctx     context.Context
	machine *asl.Machine
	digest  string
	state   *asl.State
	effect  asl.Effect
	stopped bool // guarded by Engine.mu; nobody waits for it anymore

	spec   *asl.MapRun
	before bool // there may be children of an earlier life
	source source
	batch  *asl.Batch // the beginning of the next child
	item   *value.Value
	taken  int64 // items that have been read
	next   int   // index of the next child
	total  int64 // items there are, once known; else -1

	kept map[int]asl.Child // guarded by Engine.mu; children that have ended, by index, while there is room
	size int               // guarded by Engine.mu; bytes that they take
}

// A source gives items until io.EOF.
type source interface {
	Next() (asl.Item, error)
	Skip(n int64) error
	Close() error
}

// run brings the map run to its end.
func (d *distribution) run() (asl.Outcome, error) {
	e, r := d.e, d.r
	var err error
	if d.spec, err = d.machine.MapRun(d.state, d.effect.ID); err != nil {
		return asl.Outcome{}, err
	}
	if err := d.begin(); err != nil {
		return asl.Outcome{}, err
	}
	outcome, err := d.children()
	if err != nil {
		return outcome, err
	}
	e.mu.Lock()
	status := asl.StatusSucceeded
	switch {
	case d.stopped:
		status = asl.StatusAborted
	case outcome.Error != "":
		status = asl.StatusFailed
	}
	e.mu.Unlock()
	if status != asl.StatusAborted {
		if outcome, err = d.results(outcome); err != nil {
			return outcome, err
		}
		if outcome.Error != "" {
			status = asl.StatusFailed
		}
	}
	e.mu.Lock()
	r.rec.Status, r.rec.Stopped, r.rec.Error, r.rec.Cause = status, time.Now().UTC(), outcome.Error, outcome.Cause
	e.mu.Unlock()
	if err := d.save(); err != nil {
		return outcome, err
	}
	if status == asl.StatusAborted {
		return outcome, errAborted
	}
	return outcome, nil
}

// begin takes up the record of the run, or makes it.
func (d *distribution) begin() error {
	e, r, now := d.e, d.r, time.Now().UTC()
	rec, err := e.mapRunRecord(d.ctx, r.id)
	switch {
	case errors.Is(err, orchestrator.ErrNotFound):
		rec = mapRunRecord{MapRun: MapRun{
			ARN: d.spec.ARN, Execution: d.effect.Execution, Started: now, MaxConcurrency: d.spec.MaxConcurrency,
			ToleratedCount: d.spec.ToleratedCount, ToleratedPercentage: d.spec.ToleratedPercentage,
		}}
	case err != nil:
		return journalError{err}
	default:
		d.before = true
		if d.spec.Redrives > rec.Redrives {
			rec.Redrives, rec.RedrivenAt = d.spec.Redrives, now
			rec.Begun, rec.Taken, rec.Items, rec.Executions = 0, 0, Counts{}, Counts{}
		}
	}
	rec.Status, rec.Stopped, rec.Error, rec.Cause, rec.Effect = asl.StatusRunning, time.Time{}, "", "", d.effect.ID
	e.mu.Lock()
	r.rec, r.blocks = rec, nil
	e.mu.Unlock()
	d.next, d.taken, d.total, d.kept = rec.Begun, rec.Taken, -1, map[int]asl.Child{}
	return d.save()
}

// save writes the record of the run.
func (d *distribution) save() error { return d.e.saveMapRun(d.ctx, d.r) }

func (e *Engine) saveMapRun(ctx context.Context, r *mapRun) error {
	r.saves.Lock()
	defer r.saves.Unlock()
	e.mu.Lock()
	data, err := json.Marshal(r.rec)
	e.mu.Unlock()
	if err != nil {
		return fmt.Errorf("write map run: %w", err)
	}
	if _, err := e.append(ctx, journal.Record{Kind: kindMapRun, Key: r.id, Data: data}); err != nil {
		return journalError{err}
	}
	return nil
}

// children begins child executions and waits for their ends, until there are
// none or too many have failed. The outcome has the error, if there is one.
func (d *distribution) children() (asl.Outcome, error) {
	e, r := d.e, d.r
	var failed *items.Error
	outcome, exhausted := asl.Outcome{}, false
	fail := func(o asl.Outcome) {
		outcome, exhausted = o, true
		d.stopAll()
	}
	err := d.openSource()
	if d.source != nil {
		defer d.source.Close()
	}
	for {
		switch fault, isFault := err.(interface{ Fault() (string, string) }); {
		case err == nil:
		case errors.As(err, &failed):
			fail(asl.Outcome{Error: asl.ErrItemReaderFailed, Cause: failed.Reason})
		case isFault:
			name, cause := fault.Fault()
			fail(asl.Outcome{Error: name, Cause: cause})
		default:
			return outcome, err
		}
		err = nil
		e.mu.Lock()
		ends := r.ended
		r.ended = nil
		for _, end := range ends {
			d.count(end)
		}
		stopped, running := d.stopped, len(r.open)
		room := min(d.limit()-running, together)
		if running > 0 && e.children >= maxChildren {
			room = 0
		}
		lost := d.totals().lost()
		e.mu.Unlock()
		if len(ends) > 0 {
			if err := d.note(); err != nil {
				return outcome, err
			}
		}
		switch {
		case outcome.Error != "":
		case stopped:
			fail(asl.Outcome{Error: "Aborted"})
		case !d.tolerates(lost):
			fail(asl.NotTolerated())
		}
		if exhausted && running == 0 {
			return outcome, nil
		}
		if !exhausted && room > 0 {
			exhausted, err = d.beginSome(room)
			continue
		}
		select {
		case <-r.wake:
		case <-d.ctx.Done():
			return outcome, d.ctx.Err()
		}
	}
}

// limit is how many children may run. The caller holds mu.
func (d *distribution) limit() int {
	if n := d.r.rec.MaxConcurrency; n > 0 {
		return min(n, asl.MaxChildren)
	}
	return asl.MaxChildren
}

// totals are the items that have ended. The caller holds mu.
func (d *distribution) totals() Counts { return d.r.totals() }

func (r *mapRun) totals() Counts {
	c := r.rec.Items
	for _, b := range r.blocks {
		c = c.plus(b.items)
	}
	return c
}

// tolerates reports whether so many items may fail, as far as one can say.
func (d *distribution) tolerates(lost int64) bool {
	d.e.mu.Lock()
	count, percent := d.r.rec.ToleratedCount, d.r.rec.ToleratedPercentage
	d.e.mu.Unlock()
	spec := *d.spec
	spec.ToleratedCount, spec.ToleratedPercentage = count, percent
	if percent != nil && d.total < 0 {
		if count == nil {
			return true // of how many, nobody knows yet
		}
		spec.ToleratedPercentage = nil
	}
	return spec.Tolerates(lost, d.total)
}

// count takes the end of a child. The caller holds mu.
func (d *distribution) count(end childEnd) {
	r := d.r
	c, ok := r.open[end.name]
	if !ok {
		return
	}
	delete(r.open, end.name)
	d.counted(c.index, c.items, end.turn)
}

// counted notes a child that has ended. The caller holds mu.
func (d *distribution) counted(index int, n int64, end asl.Turn) {
	b := d.r.blocks[(index-d.r.blocks[0].from)/blockSize]
	b.executions.add(end.Status, 1)
	b.items.add(end.Status, n)
	if c := childOf(end); d.size+sizeOf(c) <= maxKept {
		d.kept[index] = c
		d.size += sizeOf(c)
	}
}

// note makes durable how far the run is, where that is worth it.
func (d *distribution) note() error {
	e, r := d.e, d.r
	e.mu.Lock()
	moved := false
	for len(r.blocks) > 1 && r.blocks[0].executions.Ended() == blockSize {
		b := r.blocks[0]
		r.rec.Begun, r.rec.Taken = r.blocks[1].from, r.blocks[1].taken
		r.rec.Items, r.rec.Executions = r.rec.Items.plus(b.items), r.rec.Executions.plus(b.executions)
		r.blocks = r.blocks[1:]
		moved = true
	}
	e.mu.Unlock()
	if !moved {
		return nil
	}
	return d.save()
}

// stopAll stops the children that run, and waits for those of an earlier life
// that nobody has looked at yet.
func (d *distribution) stopAll() {
	d.e.mu.Lock()
	var all []*execution
	for _, x := range d.e.open {
		if x.of == d.r {
			all = append(all, x)
		}
	}
	// By their names, so that a test can tell what comes of it.
	slices.SortFunc(all, func(a, b *execution) int { return strings.Compare(a.name, b.name) })
	for _, x := range all {
		d.e.stopChild(x)
	}
	all = slices.DeleteFunc(all, func(x *execution) bool { _, ok := d.r.open[x.name]; return ok })
	d.e.mu.Unlock()
	for _, x := range all {
		select {
		case <-d.e.end(x):
		case <-d.ctx.Done():
			return
		}
	}
}

// stopChild stops an execution, without waiting. The caller holds mu.
func (e *Engine) stopChild(x *execution) {
	if e.open[x.name] == x && !x.stopping {
		x.stopping = true
		e.post(x, input{step: func(env asl.Env) asl.Turn { return x.machine.Stop(x.state, "", "", env) }})
	}
}

// given are items that are in the input of the Map.
type given []asl.Item

func (g *given) Next() (asl.Item, error) {
	if len(*g) == 0 {
		return asl.Item{}, io.EOF
	}
	x := (*g)[0]
	*g = (*g)[1:]
	return x, nil
}

func (g *given) Skip(n int64) error {
	*g = (*g)[min(n, int64(len(*g))):]
	return nil
}

func (g *given) Close() error { return nil }

// read are items that are read from objects.
type read struct{ *items.Reader }

func (r read) Next() (asl.Item, error) {
	x, err := r.Reader.Next()
	return asl.Item{Value: x.Value, Source: x.Source}, err
}

// openSource begins to read where the run is.
func (d *distribution) openSource() error {
	if d.spec.Reader == nil {
		all := given(d.spec.Items())
		d.total = int64(len(all))
		d.source = &all
	} else {
		if d.e.objects == nil {
			return &items.Error{Reason: "no objects can be read here"}
		}
		in, err := items.Open(d.ctx, d.e.objects, items.Spec(*d.spec.Reader))
		if err != nil {
			return err
		}
		d.source = read{in}
	}
	d.batch = d.spec.Batch()
	return d.source.Skip(d.taken)
}

// gather reads the items of the next child. There is none at io.EOF.
func (d *distribution) gather() error {
	d.batch = d.spec.Batch()
	for !d.batch.Full() {
		if d.item == nil {
			x, err := d.source.Next()
			if err == io.EOF && d.batch.Len() > 0 {
				return nil
			}
			if err != nil {
				return err
			}
			x.Index = int(d.taken)
			v, err := d.spec.Input(x)
			if err != nil {
				return err
			}
			d.item = &v
		}
		if !d.batch.Takes(*d.item) {
			return nil
		}
		d.batch.Add(*d.item)
		d.item = nil
		d.taken++
	}
	return nil
}

// beginSome begins up to n children, in one append. done says that there are no
// more.
func (d *distribution) beginSome(n int) (done bool, err error) {
	e, r := d.e, d.r
	var begun []child
	var turns []asl.Turn
	var records []journal.Record
	for range n {
		taken := d.taken
		if err = d.gather(); err == io.EOF {
			d.total, done, err = d.taken, true, nil
			break
		}
		if err != nil {
			done = true
			break
		}
		index := d.next
		d.next++
		e.mu.Lock()
		if k := len(r.blocks); k == 0 || r.blocks[k-1].size == blockSize {
			r.blocks = append(r.blocks, &block{from: index, taken: taken})
		}
		r.blocks[len(r.blocks)-1].size++
		r.rec.Total = max(r.rec.Total, d.taken, d.total)
		e.mu.Unlock()
		c := child{index: index, items: int64(d.batch.Len())}
		name := asl.ChildName(r.id, index)
		if d.before {
			known, err := d.adopt(name, c)
			if err != nil {
				return true, err
			}
			if known {
				continue
			}
		}
		now := time.Now().UTC()
		c.x = &execution{
			name: name, started: make(chan struct{}), at: -1, of: r,
			desk: &desk{machine: d.machine, digest: d.digest},
		}
		info, input := d.spec.Child(index, d.batch.Len(), now), d.batch.Input()
		turn, err := guard(func() asl.Turn { return asl.Start(d.machine, info, input, d.e.env(c.x, now)) })
		if err != nil {
			return true, err
		}
		record, err := c.x.record(&value.Writer{}, turn)
		if err != nil {
			return true, err
		}
		begun, turns, records = append(begun, c), append(turns, turn), append(records, record)
	}
	if len(records) == 0 {
		return done, err
	}
	e.mu.Lock()
	for _, c := range begun {
		e.open[c.x.name] = c.x
		e.children++
		r.open[c.x.name] = c
	}
	e.mu.Unlock()
	last, appendErr := e.append(d.ctx, records...)
	if appendErr != nil {
		return true, journalError{appendErr}
	}
	for i, c := range begun {
		e.enter(c.x, turns[i], last-uint64(len(records)-1-i))
	}
	return done, err
}

// child reads the newest turn of a child.
func (d *distribution) child(name string) (turnRecord, error) {
	t, err := d.e.newest(d.ctx, name)
	if err != nil && !errors.Is(err, orchestrator.ErrNotFound) {
		err = journalError{err}
	}
	return t, err
}

// adopt takes a child that an earlier life of the run has begun, and redrives it
// where the run is redriven. It is false for one that was not.
func (d *distribution) adopt(name string, c child) (known bool, err error) {
	e, r := d.e, d.r
	for {
		// One that somebody redrives just now may not begin after all.
		x, err := e.find(d.ctx, name)
		if err != nil {
			return false, err
		}
		e.mu.Lock()
		if e.open[name] != x {
			e.mu.Unlock()
			continue
		}
		if x != nil && !x.stopping {
			c.x = x
			r.open[name] = c
			e.mu.Unlock()
			return true, nil
		}
		redriven := r.rec.RedrivenAt
		e.mu.Unlock()
		if x != nil {
			select {
			case <-e.end(x):
			case <-d.ctx.Done():
				return false, d.ctx.Err()
			}
		}
		t, err := d.child(name)
		if errors.Is(err, orchestrator.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if err := d.ctx.Err(); err != nil {
			return false, err
		}
		if !t.State.Ended() {
			continue // it has ended meanwhile
		}
		// One that ended after the redrive has had its further chance.
		ended := describe(t.Turn).Ended
		if t.Status != asl.StatusSucceeded && t.State.NotRedrivable() == "" && ended != nil && ended.Before(redriven) {
			if _, err := e.Redrive(d.ctx, name); err != nil && !e.Running(name) { // else somebody else did
				return false, err
			}
			continue
		}
		e.mu.Lock()
		d.counted(c.index, c.items, t.Turn)
		e.mu.Unlock()
		return true, nil
	}
}
