package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/policy"
)

// needed finds the old records that something rests on which is open or in use:
//
//   - the policies that decide;
//   - open runs and the runs of the models that may be live (again): the run, its
//     decision with signals and events, its policy, the events of its objects;
//   - the definition and the turns of open runs and executions; the definitions of
//     the API's state machines;
//   - the models themselves, and the profiles of what they were trained on;
//   - the objects that a window or a training may ask for: event and profile; the
//     predictions and labels that a signal is measured on;
//   - what waits: the event of a wake, of a decision that is deferred or asks for
//     approval, with the decision; the first and the
//     last event of a debounce window, a notice on its way.
type needed struct {
	ctx     context.Context
	journal *journal.Journal
	before  uint64            // what is not older stays anyway
	seqs    map[uint64]bool   // found
	looked  map[string]bool   // kind and key
	newest  map[string]uint64 // of open executions, the record of the newest turn; 0: there is none
	open    *engine.Needs     // what those need; nil until executions
	err     error
}

// find adds the newest record of kind with key, and decodes it the first time.
func (n *needed) find(kind, key string, into any) (first bool) {
	name := kind + "\x00" + key
	if n.err != nil || key == "" || n.looked[name] {
		return false
	}
	n.looked[name] = true
	r, err := n.journal.Find(n.ctx, kind, key)
	if errors.Is(err, journal.ErrNotFound) {
		return false
	}
	if err == nil && into != nil {
		err = decode(r, into)
	}
	if err != nil {
		n.err = err
		return false
	}
	if r.Seq < n.before {
		n.seqs[r.Seq] = true
	}
	return true
}

// turn is the number of the newest turn of an execution, 0 if there is none.
func (n *needed) turn(name string) uint64 {
	if n.err != nil {
		return 0
	}
	r, err := n.journal.Find(n.ctx, kindTurn, name)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		n.err = err
	}
	return r.Seq
}

// gone says whether no record of the execution will be left.
func (n *needed) gone(name string) (bool, error) {
	if n.open.Execution(name) {
		return false, nil
	}
	for _, kind := range []string{KindRun, kindTurn} {
		r, err := n.journal.Find(n.ctx, kind, name)
		switch {
		case errors.Is(err, journal.ErrNotFound):
		case err != nil:
			return false, fmt.Errorf("look for what is left of %s: %w", name, err)
		case r.Seq >= n.before || n.seqs[r.Seq]:
			return false, nil
		}
	}
	return true, nil
}

// recovery adds what a fold rests on.
func (n *needed) recovery(r Recovery) {
	s := r.State
	groups := map[string][]*policy.Policy{} // by model group
	for _, name := range sortedKeys(s.Revisions) {
		p := n.policy(s.Revisions[name])
		if p == nil {
			continue
		}
		group := p.Spec.Spec.Model.Group
		groups[group] = append(groups[group], p)
		if d := s.Data[name]; d != nil {
			n.objects(d.Objects, p)
		}
		for _, signal := range sortedKeys(s.Fed[name]) {
			for _, o := range s.Fed[name][signal].Objects {
				n.outcomes(p, signal, o.Labels, o.object())
			}
		}
	}
	for _, id := range sortedKeys(s.Runs) {
		run := s.Runs[id]
		n.run(id)
		if _, open := r.Engine.Open[id]; !open { // it is elsewhere, or has ended a moment ago
			n.newest[id] = max(n.newest[id], n.turn(id))
		}
		n.find(KindMachine, run.Machine, nil)
		n.objects(run.Training.Objects, append(slices.Clone(groups[run.Model]), n.policy(run.Revision))...)
	}
	for name, x := range r.Engine.Open {
		n.newest[name] = max(n.newest[name], x.Seq)
	}
	for _, digest := range r.API.Definitions() {
		n.find(KindMachine, digest, nil)
	}
	for _, name := range sortedKeys(s.Models.Groups) {
		g := s.Models.Groups[name]
		models := slices.Concat(g.Past, g.Recent)
		if g.Champion != nil {
			models = append(models, *g.Champion)
		}
		for _, m := range models {
			n.find(KindModel, m.ID(), nil)
			n.run(m.Run)
			n.objects(m.Objects, groups[name]...)
		}
	}
	for _, w := range s.Wakes {
		n.find(KindEvent, w.Event.ID, nil)
		n.find(KindEvent, w.Origin, nil)
		if p := n.policy(s.Revisions[w.Policy]); p != nil && w.Object != nil {
			n.objects([]anneal.Object{*w.Object}, p)
		}
		for _, f := range w.Feeds {
			n.outcomes(n.policy(s.Revisions[w.Policy]), f.Signal, f.Labels, f.Object)
		}
	}
	for _, name := range sortedKeys(s.Past.Policies) {
		m := s.Past.Policies[name]
		waiting := m.Queue
		if m.Wake != nil {
			waiting = append([]policy.Wake{*m.Wake}, waiting...)
		}
		if m.Approval != nil {
			waiting = append(slices.Clone(waiting), *m.Approval)
		}
		for _, w := range waiting {
			n.find(KindEvent, w.Event, nil)
			n.find(KindEvent, w.Answer, nil)
			n.decision(w.Decision)
		}
		for _, g := range m.Gathered {
			n.find(KindEvent, g.First, nil)
			n.find(KindEvent, g.Newest, nil)
		}
	}
	for _, id := range sortedKeys(s.Unsent) {
		n.find(KindNotice, id, nil)
	}
}

// policy adds a revision of a policy; nil where it is not in the journal. It is
// not compiled.
func (n *needed) policy(revision string) *policy.Policy {
	n.find(KindPolicy, revision, nil)
	if n.err != nil || revision == "" {
		return nil
	}
	r, err := n.journal.Find(n.ctx, KindPolicy, revision)
	if errors.Is(err, journal.ErrNotFound) {
		return nil
	}
	var spec policy.Spec
	if err == nil {
		spec, err = policy.ParseSpec(r.Data)
	}
	if err != nil {
		n.err = fmt.Errorf("policy revision %.12s: %w", revision, err)
		return nil
	}
	return &policy.Policy{Spec: spec, Revision: revision}
}

// run adds a run and what led to it.
func (n *needed) run(id string) {
	var run anneal.Run
	if !n.find(KindRun, id, &run) {
		return
	}
	n.decision(run.Decision)
	n.find(KindPolicy, run.Revision, nil)
	n.objects(run.Training.Objects)
}

// decision adds a decision and what it rests on.
func (n *needed) decision(id string) {
	var d anneal.Decision
	if !n.find(KindDecision, id, &d) {
		return
	}
	n.find(KindEvent, d.Cause, nil)
	for _, name := range sortedKeys(d.Signals) {
		n.find(KindSignal, anneal.ID("signal", d.Cause, d.Policy, name), nil)
	}
}

// objects adds the events that brought objects, and their profiles under the
// schema of each policy.
func (n *needed) objects(objects []anneal.Object, policies ...*policy.Policy) {
	for _, o := range objects {
		n.find(KindEvent, o.Event, nil)
		for _, p := range policies {
			if p != nil {
				n.find(KindProfile, profileKey(p, o), nil)
			}
		}
	}
}

// outcomes adds what was read of an object that feeds a signal.
func (n *needed) outcomes(p *policy.Policy, signal string, labels bool, o anneal.Object) {
	if p == nil {
		return
	}
	if _, ok := p.Spec.Spec.Signals[signal]; ok {
		job := feedJob(p, signal, labels, o)
		n.find(job.kind(), job.key, nil)
		if id, posted := strings.CutPrefix(o.URI, eventURI); posted {
			n.find(KindEvent, id, nil)
		}
	}
}

// executions adds the records of the open executions, in one pass over what is old,
// which begins with record first: there may be a hundred thousand.
func (n *needed) executions(first uint64) error {
	if n.err != nil {
		return n.err
	}
	var err error
	if n.open, err = engine.NeedsOf(n.ctx, n.journal, n.newest); err != nil {
		return err
	}
	look := func(r journal.Record) {
		if n.open.Have(r) || r.Kind == sfnapi.KindExecution && n.open.Execution(r.Key) {
			n.seqs[r.Seq] = true
		}
	}
	for r := range n.journal.Kept() {
		look(r)
	}
	for r, err := range n.journal.Read(n.ctx, first, false, append(n.open.Kinds(), sfnapi.KindExecution)...) {
		if err != nil {
			return err
		}
		if r.Seq >= n.before {
			break
		}
		look(r)
	}
	return nil
}
