package controller

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers"
)

// Pause has a policy decide nothing but hold until it is resumed, and returns
// the decision that says so. What comes meanwhile is kept: it is decided on
// afterwards. The note says why, in the person's words, and may be empty. A
// policy that is not loaded is an [UnknownPolicyError].
func (c *Controller) Pause(ctx context.Context, name, note string) (anneal.Decision, error) {
	return c.ask(ctx, name, func(now time.Time) (anneal.Event, error) {
		return triggers.Pause(name, note, rand.Text(), now)
	})
}

// Resume ends a pause, and what a breaker holds: see [Controller.Pause].
func (c *Controller) Resume(ctx context.Context, name, note string) (anneal.Decision, error) {
	return c.ask(ctx, name, func(now time.Time) (anneal.Event, error) {
		return triggers.Resume(name, note, rand.Text(), now)
	})
}

// ask brings in an event that is meant for one policy and returns what that
// decides.
func (c *Controller) ask(ctx context.Context, name string, make func(now time.Time) (anneal.Event, error)) (anneal.Decision, error) {
	unknown := func() error {
		return &UnknownPolicyError{Policy: name, Have: sortedKeys(c.generation.Load().byName)}
	}
	if c.generation.Load().policy(name) == nil {
		return anneal.Decision{}, unknown()
	}
	event, err := make(time.Now().UTC())
	if err != nil {
		return anneal.Decision{}, err
	}
	id := anneal.DecisionID(name, event.ID)
	decided := c.waiters.expect(id)
	defer c.waiters.forget(id)
	if _, _, err := c.Ingest(ctx, event); err != nil {
		return anneal.Decision{}, err
	}
	select {
	case d, made := <-decided:
		if !made {
			return anneal.Decision{}, unknown()
		}
		return d, nil
	case <-ctx.Done():
		return anneal.Decision{}, fmt.Errorf("wait for decision %s: %w", id, context.Cause(ctx))
	}
}

// byHand reports whether a trigger is a person's word that starts nothing: no
// signal and no notice belongs to it.
func byHand(trigger string) bool {
	return trigger == policy.TriggerPause || trigger == policy.TriggerResume || trigger == policy.TriggerReject
}
