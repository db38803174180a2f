package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/policy"
)

// estimated is what predictions are expected to be worth where that has to be learnt,
// for the newest wake of a signal; or why it cannot be. It belongs to the loop, and is
// made by the workers. A wake is decided when its losses are estimated.
type estimated struct {
	key string
	of  outcome.Measurement
	odd string
}

// estimateKey is a signal, and the identity of what is estimated when it is measured
// under an ID: policies decide in order, so that tells what has come before.
func (c *Controller) estimateKey(p *policy.Policy, name, signal string) (of, key string) {
	parts := []string{"estimate", signal, p.Revision}
	if champion := c.state.Models.Champion(p.Group()); champion != nil {
		parts = append(parts, champion.ID(), champion.StageAt.UTC().Format(time.RFC3339Nano))
	}
	return anneal.ID(p.Name(), name), anneal.ID(parts...)
}

// losses says whether the losses that w needs are estimated, and has those estimated that
// are not. What hinders that is found again, and told, when the signal is measured.
func (c *Controller) losses(ctx context.Context, w *wake, p *policy.Policy) bool {
	if w.Silent || byHand(w.Trigger) || p.Gathers(w.Trigger, w.Event) {
		return true
	}
	ready := true
	for _, name := range sortedKeys(p.Spec.Spec.Signals) {
		s := p.Spec.Spec.Signals[name]
		if s.Estimate != outcome.DLE {
			continue
		}
		of, key := c.estimateKey(p, name, anneal.ID("signal", w.Event.ID, p.Name(), name))
		if c.estimates[of].key == key {
			continue
		}
		if c.comparisons.wanted[key] {
			ready = false
			continue
		}
		fed := *c.state.fed(p.Name(), name)
		fed.Objects = slices.Clone(fed.Objects)
		for _, r := range c.feedsOf(p, w) {
			if r.Signal == name {
				fed.add(r)
			}
		}
		have, err := c.joins.of(ctx, c.cfg.Journal, p, name, fed.Objects)
		if err != nil {
			continue
		}
		m, loss := have.join.Begin(c.question(p, s, w.Event.Seen), time.Duration(s.Calibration))
		if loss == nil {
			c.estimates[of] = estimated{key: key, of: m}
			continue
		}
		ready = false
		c.comparisons.want(againJob{key: key, signal: of, loss: loss})
	}
	return ready
}

// estimate learns losses and asks for them; where that panics, odd says so.
func (c *Controller) estimate(job againJob) (e estimated) {
	e.key = job.key
	if p := dataset.Catch(func() { e.of = c.cfg.estimate(job.loss) }); p != nil {
		e.odd = fmt.Sprintf("estimating it panicked: %v", c.panicked("estimating", p))
	}
	return e
}
