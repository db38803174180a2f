package controller

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers"
)

// wake is what an event wakes a policy for, by a trigger or by what it feeds.
func (c *Controller) wake(m policy.Matched, e anneal.Event, fed []feed) *wake {
	p, trigger := m.Policy, m.Trigger
	w := &wake{Policy: p.Name(), Trigger: trigger, Event: e, Staging: c.cfg.Staging, Feeds: fed, Silent: !m.Woken}
	if trigger == policy.TriggerManual {
		var t anneal.Triggered
		if json.Unmarshal(e.Data, &t) == nil {
			w.Parameters, w.Force = t.Parameters, t.Force
		}
	}
	if again, ok := c.state.Past.Woken(e); ok {
		w.Origin, w.Parameters, w.Force = again.Event, again.Parameters, again.Force
	}
	if object, ok := dataObject(e); ok && len(fed) == 0 && !besideReport(p, object.URI) {
		w.Object = &object
	}
	return w
}

// decideReady decides each wake whose data is measured. A policy decides in
// the order its events came: one that still waits holds back those behind it.
// There is more to do at once where a batch was filled.
func (c *Controller) decideReady(ctx context.Context, b *batch) (more bool) {
	waits := map[string]bool{}
	for _, w := range slices.Clone(c.state.Wakes) {
		if len(b.records) >= maxBatch {
			return true
		}
		if waits[w.Policy] {
			continue
		}
		switch ready, unreadable := c.measured(ctx, w); {
		case unreadable != "":
			c.park(b, w, unreadable)
		case ready:
			c.decide(ctx, b, w)
		default:
			waits[w.Policy] = true
		}
	}
	for _, e := range c.state.Past.Due(c.generation.Load().byName, time.Now().UTC()) {
		b.put(KindEvent, e.ID, e)
	}
	return false
}

// decide lets the policy of w decide, and has done what it decides.
func (c *Controller) decide(ctx context.Context, b *batch, w *wake) {
	p := c.generation.Load().policy(w.Policy)
	if p == nil && w.Silent {
		c.swallow(b, w)
		return
	}
	if p == nil {
		d := anneal.Decision{
			ID: anneal.DecisionID(w.Policy, w.Event.ID), Policy: w.Policy, Cause: w.Event.ID, Trigger: w.Trigger, At: w.Event.Seen,
			Verdict: anneal.VerdictSuppressed, Reason: "the policy is no longer loaded",
		}
		b.put(KindDecision, d.ID, d)
		b.then = append(b.then, func(context.Context) { c.waiters.decided(d) })
		return
	}
	c.feed(b, p, w)
	if w.Silent {
		c.swallow(b, w)
		return
	}
	object := w.Object
	if object != nil {
		o := *object
		read := c.profiles.known[profileKey(p, o)]
		o.Rows, o.Ragged = read.rows, read.ragged
		b.put(KindObject, "", objectRecord{Policy: w.Policy, Object: o, Keep: p.Spec.Spec.Data.Train, Window: widestWindow(p)})
		object = &o
	}
	gathering, gathers, err := p.Gather(w.Trigger, w.Event, object)
	if err != nil {
		c.log.Warn("debounce key could not be evaluated", "policy", p.Name(), "event", w.Event.ID, "err", err)
	}
	if gathers {
		b.put(KindGathered, "", gathering)
		return
	}
	signals := map[string]anneal.Signal{}
	if !byHand(w.Trigger) {
		c.watch(ctx, b, p, w.Event.Seen)
		for _, name := range sortedKeys(p.Spec.Spec.Signals) {
			s := c.measure(ctx, p, name, w)
			signals[name] = s
			b.put(KindSignal, s.ID, s)
		}
	}
	cause, err := causeOf(ctx, c.cfg.Journal, c.state, p, w, signals)
	if err != nil {
		b.fail(err)
		return
	}
	d := policy.Decide(p, &c.state.Past, cause)
	b.put(KindDecision, d.ID, d)
	b.then = append(b.then, func(context.Context) { c.waiters.decided(d) })
	c.tell(b, d.Policy, anneal.NoticeDecided, func(channel string) anneal.Notice { return notify.Decided(channel, d) })
	c.log.Info("decided", "policy", d.Policy, "verdict", d.Verdict, "reason", d.Reason, "decision", d.ID, "event", d.Cause)
	for _, id := range d.Stops {
		b.then = append(b.then, func(ctx context.Context) { c.makeWay(ctx, id) })
	}
	if d.Trigger == policy.TriggerResume {
		c.resolve(b, d.Policy, anneal.NoticeHeld, d.ID, d.At, "It was "+d.Reason+".")
	}
	switch d.Verdict {
	case anneal.VerdictRun:
		c.open(b, p, d)
		fallthrough
	case anneal.VerdictWouldRun:
		c.resolve(b, d.Policy, anneal.NoticeHeld, d.ID, d.At, "It has decided: "+string(d.Verdict)+", "+d.Reason+".")
	case anneal.VerdictHold, anneal.VerdictDefer, anneal.VerdictAwaitApproval, anneal.VerdictError:
		if byHand(w.Trigger) {
			return
		}
		c.tell(b, d.Policy, anneal.NoticeHeld, func(channel string) anneal.Notice { return notify.Held(channel, d) })
	}
}

// open records the run that d asks for, and starts it once that is durable.
func (c *Controller) open(b *batch, p *policy.Policy, d anneal.Decision) {
	run, err := policy.NewRun(p, d)
	if err != nil {
		b.fail(err)
		return
	}
	run.Machine = digestOf(c.generation.Load().Machines[p.Name()])
	b.put(KindRun, run.ID, run)
	b.then = append(b.then, func(ctx context.Context) { c.startRun(ctx, run) })
}

// Staging is the URI under which runs find their training data, without a
// slash at the end.
type Staging string

// prefix is the URI under which exactly the objects of a run's training lie.
func (s Staging) prefix(run string) string { return string(s) + "/" + run + "/" }

// manifest is the URI of their manifest.
func (s Staging) manifest(run string) string { return string(s) + "/" + run + ".manifest" }

// causeOf gathers what a decision about w rests on, from records before it.
func causeOf(ctx context.Context, j *journal.Journal, s *State, p *policy.Policy, w *wake, signals map[string]anneal.Signal) (policy.Cause, error) {
	id := anneal.DecisionID(p.Name(), w.Event.ID)
	var gathered *time.Time
	if since, ok := s.Past.Since(w.Event); ok {
		gathered = &since
	}
	cause := policy.Cause{
		Event:    w.Event,
		Trigger:  w.Trigger,
		Signals:  signals,
		Champion: s.Models.Champion(p.Spec.Spec.Model.Group),
		Training: s.data(w.Policy).training(p.Spec.Spec.Data.Train, w.Event.Seen, gathered),

		Parameters: w.Parameters,
		Force:      w.Force,
	}
	cause.TrainingURI, cause.ManifestURI = w.Staging.prefix(id), w.Staging.manifest(id)
	cause.Training.Prefix, cause.Training.Manifest = cause.TrainingURI, cause.ManifestURI
	if w.Origin != "" {
		record, err := j.Find(ctx, KindEvent, w.Origin)
		if err != nil {
			return cause, fmt.Errorf("find event %s, which decision %s is about: %w", w.Origin, id, err)
		}
		cause.Origin = new(anneal.Event)
		if err := decode(record, cause.Origin); err != nil {
			return cause, err
		}
	}
	return cause, nil
}

// park puts the event of a wake aside, which cannot be processed, and says why.
// What is unfit for predictions or labels of one policy may be good for another.
func (c *Controller) park(b *batch, w *wake, reason string) {
	e, only := w.Event, ""
	if len(w.Feeds) > 0 {
		only = w.Policy
	}
	c.log.Error("event parked", "event", e.ID, "subject", e.Subject, "reason", reason)
	woken := []string{}
	for _, w := range c.state.Wakes {
		if w.Event.ID == e.ID && (only == "" || only == w.Policy) {
			woken = append(woken, w.Policy)
		}
	}
	b.put(KindParked, e.ID, parkedRecord{Event: e.ID, Policy: only, Reason: reason, At: time.Now().UTC()})
	e.Parked = reason
	for _, name := range woken {
		c.tell(b, name, anneal.NoticeParked, func(channel string) anneal.Notice { return notify.Parked(channel, e) })
	}
}

func widestWindow(p *policy.Policy) int {
	n := 0
	for _, s := range p.Spec.Spec.Signals {
		n = max(n, s.Window.Objects)
		if s.Quality == policy.QualityRows {
			n = max(n, rowHistory+1)
		}
	}
	return n
}

// waiters are those who wait for a decision that is still to be made.
type waiters struct {
	mu sync.Mutex
	by map[string]chan anneal.Decision // guarded by mu; by decision ID; closed where it is not made
}

func (w *waiters) expect(decision string) <-chan anneal.Decision {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]chan anneal.Decision{}
	}
	w.by[decision] = make(chan anneal.Decision, 1)
	return w.by[decision]
}

func (w *waiters) forget(decision string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.by, decision)
}

func (w *waiters) decided(d anneal.Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.by[d.ID]; ok {
		ch <- d
		delete(w.by, d.ID)
	}
}

// inVain has nobody wait for a decision that is not made: its policy was unloaded
// before the question was taken.
func (w *waiters) inVain(decision string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.by[decision]; ok {
		close(ch)
		delete(w.by, decision)
	}
}

// An UnknownPolicyError is of a policy that is not loaded.
type UnknownPolicyError struct {
	Policy string
	Have   []string
}

func (e *UnknownPolicyError) Error() string {
	return fmt.Sprintf("no policy %q is loaded (have %q)", e.Policy, e.Have)
}

// A ParametersError is of parameters that a policy's schema refuses.
type ParametersError struct{ Err error }

func (e *ParametersError) Error() string { return e.Err.Error() }
func (e *ParametersError) Unwrap() error { return e.Err }

// Trigger wakes a policy by hand and returns what it decided. Force skips the
// rules, never a guard. A policy that is not loaded is an
// [UnknownPolicyError], parameters that it refuses are a [ParametersError].
func (c *Controller) Trigger(ctx context.Context, name string, parameters map[string]any, force bool) (anneal.Decision, error) {
	p := c.generation.Load().policy(name)
	if p == nil {
		return anneal.Decision{}, &UnknownPolicyError{Policy: name, Have: sortedKeys(c.generation.Load().byName)}
	}
	if err := p.CheckParameters(parameters); err != nil {
		return anneal.Decision{}, &ParametersError{err}
	}
	return c.ask(ctx, name, func(now time.Time) (anneal.Event, error) {
		return triggers.Manual(name, parameters, force, rand.Text(), now)
	})
}
