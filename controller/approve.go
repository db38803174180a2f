package controller

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
)

// Approve lets a decision that asks for approval have its run, if no guard
// vetoes by now, and returns the decision that comes of it. The note says why,
// in the person's words, and may be empty. A decision that does not ask, or no
// more, is a [NotAskedError], one that is not in the journal
// [journal.ErrNotFound].
func (c *Controller) Approve(ctx context.Context, decision, note string) (anneal.Decision, error) {
	return c.answer(ctx, decision, note, triggers.Approve)
}

// Reject refuses a decision that asks for approval: see [Controller.Approve].
func (c *Controller) Reject(ctx context.Context, decision, note string) (anneal.Decision, error) {
	return c.answer(ctx, decision, note, triggers.Reject)
}

func (c *Controller) answer(ctx context.Context, decision, note string, event func(policy, decision, note, requestID string, now time.Time) (anneal.Event, error)) (anneal.Decision, error) {
	record, err := c.cfg.Journal.Find(ctx, KindDecision, decision)
	if err != nil {
		return anneal.Decision{}, fmt.Errorf("find decision %s: %w", decision, err)
	}
	var asked anneal.Decision
	if err := decode(record, &asked); err != nil {
		return anneal.Decision{}, err
	}
	waits := false
	err = c.do(ctx, func(*batch) error {
		id, asks := c.state.Past.Asking(asked.Policy)
		waits = asks && id == decision
		return nil
	})
	if err != nil {
		return anneal.Decision{}, err
	}
	if !waits {
		return anneal.Decision{}, &NotAskedError{asked}
	}
	return c.ask(ctx, asked.Policy, func(now time.Time) (anneal.Event, error) {
		return event(asked.Policy, decision, note, rand.Text(), now)
	})
}

// A NotAskedError is of a decision that asks for no approval, or no more.
type NotAskedError struct{ Decision anneal.Decision }

func (e *NotAskedError) Error() string {
	if e.Decision.Verdict == anneal.VerdictAwaitApproval {
		return fmt.Sprintf("decision %s waits for no approval any more: it was answered, or nobody did so in time", e.Decision.ID)
	}
	return fmt.Sprintf("decision %s asks for no approval: its verdict is %s", e.Decision.ID, e.Decision.Verdict)
}
