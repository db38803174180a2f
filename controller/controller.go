// Package controller is the loop: it takes each event from the journal, has
// measured what must be measured, lets the policies decide, starts the runs
// they decided on, turns what the runs produce into models, and tells people.
//
// One goroutine owns all of that. It alone appends signals, decisions, runs,
// models and notices, and its [State] is a fold of those records, so that a
// restart goes on exactly where the last one stopped and [Verify] can make
// every decision again and compare. What takes time (profiling an object,
// following an execution, delivering a notice) happens in goroutines of its
// own, which hand their result to the loop; what they had not handed over when
// the process died is done again, under the same ID.
//
// What the loop does in one go is one append: a decision, the signals it rests
// on and the run it asks for are in the journal together or not at all, and
// nothing is done outside before they are.
package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/cloudwatch"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/report"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
)

// Config is what a controller works with.
type Config struct {
	Journal *journal.Journal
	Log     *slog.Logger

	// Generation decides until another one is loaded: see [Controller.Load].
	Generation Generation
	// Executors run the state machines, by the name used in spec.run.executor.
	Executors map[string]orchestrator.Executor
	// Told is told each event as it is taken from the journal, in order; nil:
	// nobody. It must not wait.
	Told func(anneal.Event)

	// Profile reads an object once and summarises it. An error means that the
	// object cannot be read as data, now or later.
	Profile func(ctx context.Context, object anneal.Object, opt dataset.Options) (*profile.Profile, error)
	// Outcomes reads an object once and takes from it the predictions or labels
	// that a signal asks for. An error is as with Profile.
	Outcomes func(ctx context.Context, object anneal.Object, form outcome.Form) (*outcome.Batch, error)
	// Report reads another tool's report. An error is as with Profile.
	Report func(ctx context.Context, object anneal.Object, form report.Form) (*report.Report, error)
	// Open opens a version of an object that was profiled, to read its rows once more.
	// Nil: drift is what profiles say, and no more.
	Open func(ctx context.Context, object anneal.Object) (io.ReadCloser, error)
	// compare is [drift.Compare], and estimate [outcome.Loss.Estimate]; a test has others.
	compare  func(reference, current *profile.Profile, opt drift.Options) drift.Comparison
	estimate func(*outcome.Loss) outcome.Measurement
	// Metrics reads metrics of CloudWatch up to a moment, one reading for each
	// query, and gives up when ctx ends. Nil: there are none.
	Metrics func(ctx context.Context, queries []cloudwatch.Query, until time.Time) []cloudwatch.Reading
	// Workers is how many objects are profiled, or windows compared, at a time; 0
	// means 2.
	Workers int
	// Stage puts exactly a training's objects under its prefix, and makes its
	// manifest. It may be asked for again.
	Stage func(ctx context.Context, training anneal.Training) error
	// Staging is the URI under which runs find their training data.
	Staging Staging
	// Checksum reads an artifact and returns its SHA-256 in hex and its bytes.
	Checksum func(ctx context.Context, uri string) (string, int64, error)

	// Channels deliver notices, by the name used in `to`.
	Channels map[string]notify.Channel
	// Terms are what they want, where they want anything.
	Terms map[string]notify.Terms

	// Retention is how old records become. 0: nothing is ever given up.
	Retention time.Duration
	// Prune removes what these executions, runs among them, have left behind
	// outside the journal: no record of them is left. It may be asked again.
	Prune func(ctx context.Context, executions []string) error
}

// A Controller is the loop and its state.
type Controller struct {
	cfg        Config
	log        *slog.Logger
	generation atomic.Pointer[Generation] // stored by the loop

	state *State // owned by the loop

	inbox    chan input
	asked    chan chan Status
	ended    chan struct{} // closed when Run returns
	arriving arriving
	news     news
	texts    sync.Pool // of *[]byte, to write news with
	reading  allowance // of events between the journal and the loop
	waiters  waiters
	status   atomic.Pointer[Status]
	full     atomic.Bool // the journal has no space, and the loop waits

	forgotten forgotten
	retained  atomic.Pointer[Retained]

	profiles    profiles
	readings    readings
	comparisons comparisons
	joins       joins
	estimates   map[string]estimated // by policy and signal
	tasks       sync.WaitGroup       // goroutines the loop started
	notices     map[string]bool
	runs        map[string]bool

	gathering map[string]*gathering // by channel and group
}

// New returns a controller that goes on from state, the fold of the whole
// journal: see [Recover]. It owns state from here on, and does nothing before
// [Controller.Run].
func New(cfg Config, state *State) *Controller {
	if cfg.Workers == 0 {
		cfg.Workers = 2
	}
	if cfg.compare == nil {
		cfg.compare = drift.Compare
	}
	if cfg.estimate == nil {
		cfg.estimate = (*outcome.Loss).Estimate
	}
	c := &Controller{
		cfg:     cfg,
		log:     cfg.Log,
		state:   state,
		inbox:   make(chan input),
		asked:   make(chan chan Status),
		ended:   make(chan struct{}),
		notices: map[string]bool{},
		runs:    map[string]bool{},

		estimates: map[string]estimated{},
		gathering: map[string]*gathering{},
	}
	c.generation.Store(cfg.Generation.index())
	c.profiles, c.readings, c.comparisons = newProfiles(cfg), newReadings(), newComparisons()
	c.publishStatus()
	return c
}

// input is something for the loop to do, and where to say that it is durable.
type input struct {
	do   func(*batch) error
	done chan error
}

// do has f done by the loop and returns when what it put is durable.
func (c *Controller) do(ctx context.Context, f func(*batch) error) error {
	in := input{do: f, done: make(chan error, 1)}
	select {
	case c.inbox <- in:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-in.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// maxBatch bounds what one append holds; maxWakes bounds how many wakes wait
// to be decided before no more events are taken, so that a flood of files
// costs disk and not memory.
const (
	maxBatch = 256
	maxWakes = 1024
)

// Run is the loop. It returns nil when ctx ends and an error when the journal
// can no longer be written; executions go on either way.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		cancel(errStopped)
		c.tasks.Wait()
		c.publishStatus()
		close(c.ended)
	}()
	events := make(chan taken, maxBatch) // what came while the loop was busy
	c.tasks.Go(func() { cancel(c.follow(ctx, c.state.Taken+1, events)) })
	for range c.cfg.Workers {
		c.tasks.Go(func() { c.profileWorker(ctx) })
	}
	c.tasks.Go(func() { c.metricReader(ctx) })
	c.tasks.Go(func() { c.retain(ctx) })
	b := newBatch(c)
	if err := c.begin(ctx, b); err != nil {
		return err
	}
	c.resume(b)
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		more := c.decideReady(ctx, b)
		if err := c.commit(ctx, b); err != nil {
			if ctx.Err() != nil {
				return stopCause(ctx)
			}
			return fmt.Errorf("append to the journal: %w", err)
		}
		for _, then := range b.then {
			then(ctx)
		}
		c.forget()
		b = newBatch(c)
		if more || c.profiles.fresh {
			c.profiles.fresh = false
			continue
		}
		wake.Reset(c.untilNextWake(time.Now()))
		from := events
		if c.state.Wakes.full() {
			from = nil
		}
		job, jobs := c.profiles.next()
		again, agains := c.comparisons.next()
		read, reads := c.readings.next(time.Now())
		select {
		case <-ctx.Done():
			return stopCause(ctx)
		case jobs <- job:
			c.profiles.started()
		case agains <- again:
			c.comparisons.started(again)
		case reads <- read:
			c.readings.started()
		case in := <-c.inbox:
			c.handle(b, in)
		case answer := <-c.asked:
			answer <- c.publishStatus()
		case t := <-from:
			c.take(b, t)
			c.takeMore(b, from)
		case <-wake.C: // decideReady looks for what is due
		}
	}
}

var errStopped = errors.New("the controller has stopped")

// stopCause is the error that ended ctx, nil where that is only an end.
func stopCause(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, errStopped) {
		return nil
	}
	return err
}

func (c *Controller) handle(b *batch, in input) {
	err := in.do(b)
	b.then = append(b.then, func(context.Context) { in.done <- err })
}

// taken is an event read back from the journal.
type taken struct {
	seq   uint64
	event anneal.Event
}

// follow reads events from the journal, from record number from on, for ever.
func (c *Controller) follow(ctx context.Context, from uint64, events chan<- taken) error {
	for record, err := range c.cfg.Journal.Read(ctx, from, true, KindEvent) {
		if err != nil {
			return fmt.Errorf("follow the journal: %w", err)
		}
		t := taken{seq: record.Seq}
		event, known := c.news.take(record.Key)
		if t.event = event; !known {
			if err := json.Unmarshal(record.Data, &t.event); err != nil {
				return fmt.Errorf("read event record %d: %w", record.Seq, err)
			}
		}
		if err := c.reading.take(ctx, sizeOf(t.event)); err != nil {
			return err
		}
		select {
		case events <- t:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}

// takeMore takes the events that are there already, so that a burst costs one
// append and not one each.
func (c *Controller) takeMore(b *batch, events <-chan taken) {
	for n := 1; n < maxBatch && !c.state.Wakes.full() && b.taken.Wakes.bytes() < maxTakenBytes; n++ {
		select {
		case t := <-events:
			c.take(b, t)
		default:
			return
		}
	}
}

// take opens a wake for each policy that the event concerns.
func (c *Controller) take(b *batch, t taken) {
	c.reading.give(sizeOf(t.event))
	b.taken.UpTo = t.seq
	if c.cfg.Told != nil {
		c.cfg.Told(t.event)
	}
	g := c.generation.Load()
	woken := map[string]bool{}
	for _, m := range g.woken.Match(t.event) {
		if m.Err != nil {
			c.log.Debug("trigger could not be evaluated", "policy", m.Policy.Name(), "event", t.event.ID, "err", m.Err)
		}
		if m.Woken {
			woken[m.Policy.Name()] = true
			b.open(c.wake(m, t.event, feeds(m.Policy, t.event)))
		}
	}
	if w, ok := c.state.Past.Woken(t.event); ok && g.policy(w.Policy) == nil {
		b.open(&wake{Policy: w.Policy, Event: t.event}) // so that it is known to have been in vain
	} else if asked := t.event; asked.Source == anneal.SourceManual && g.policy(asked.Subject) == nil {
		b.then = append(b.then, func(context.Context) { c.waiters.inVain(anneal.DecisionID(asked.Subject, asked.ID)) })
	}
	for _, p := range g.fed {
		if fed := feeds(p, t.event); len(fed) > 0 && !woken[p.Name()] {
			b.open(c.wake(policy.Matched{Policy: p}, t.event, fed))
		}
	}
}

// dataObject is the object that an `Object Created` event brought.
func dataObject(e anneal.Event) (anneal.Object, bool) {
	if e.Type != anneal.TypeObjectCreated {
		return anneal.Object{}, false
	}
	var data anneal.ObjectCreated
	if err := json.Unmarshal(e.Data, &data); err != nil || data.Object.Key == "" {
		return anneal.Object{}, false
	}
	return anneal.Object{
		URI: data.URI(), Version: data.ObjectVersion(), Bytes: data.Object.Size,
		Event: e.ID, Seen: e.Seen, VersionID: data.Object.Versioned(), ETag: strings.Trim(data.Object.ETag, `"`),
	}, true
}

// resume goes on with what was under way when the last process ended.
func (c *Controller) resume(b *batch) {
	for _, id := range sortedKeys(c.state.Runs) {
		run := c.state.Runs[id]
		b.then = append(b.then, func(ctx context.Context) { c.startRun(ctx, run) })
	}
	for _, id := range c.state.Past.Stopping() {
		b.then = append(b.then, func(ctx context.Context) { c.makeWay(ctx, id) })
	}
	for _, id := range sortedKeys(c.state.Unsent) {
		notice := c.state.Unsent[id]
		if notice.With == "" { // the others are told with theirs
			b.then = append(b.then, func(ctx context.Context) { c.deliver(ctx, notice, 0) })
		}
	}
}

// untilNextWake is how long the loop may sleep before a deferred decision is
// due: at least a millisecond, at most an hour.
func (c *Controller) untilNextWake(now time.Time) time.Duration {
	at, ok := c.state.Past.Next(c.generation.Load().byName)
	if !ok {
		return time.Hour
	}
	return min(max(at.Sub(now), time.Millisecond), time.Hour)
}
