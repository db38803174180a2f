package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
)

// A RedriveError says why a run is not redriven.
type RedriveError struct{ Run, Reason string }

func (e *RedriveError) Error() string {
	return fmt.Sprintf("run %s is not redriven: %s", e.Run, e.Reason)
}

// RedriveRun goes on with a run that did not end well, from what failed, and
// returns it as it is then: RUNNING. It counts as open again, so a concurrency
// guard may refuse it, and what it comes to in the end is what counts. It is no
// new decision, and costs no budget. The error is a [RedriveError] where it
// cannot be redriven, and [journal.ErrNotFound] for none.
func (c *Controller) RedriveRun(ctx context.Context, id string) (anneal.Run, error) {
	refuse := func(format string, args ...any) error { return &RedriveError{id, fmt.Sprintf(format, args...)} }
	run, err := c.runOf(ctx, id)
	if err != nil {
		return run, err
	}
	executor, ok := c.cfg.Executors[run.Executor]
	if !ok {
		return run, fmt.Errorf("executor %q is not configured", run.Executor)
	}
	execution, err := executor.Describe(ctx, id)
	switch {
	case errors.Is(err, orchestrator.ErrNotFound):
		return run, refuse("it was never started")
	case err != nil:
		return run, err
	case execution.Fixed != "":
		return run, refuse("%s", execution.Fixed)
	case execution.Ended != nil && time.Since(*execution.Ended) > orchestrator.RedrivableFor:
		return run, refuse("it ended on %s, more than 14 days ago", execution.Ended.UTC().Format(time.DateOnly))
	}
	err = c.do(ctx, func(b *batch) error {
		if _, open := c.state.Runs[id]; open {
			return refuse("it has not ended")
		}
		p, err := c.policyOf(ctx, run)
		if now := c.generation.Load().policy(run.Policy); now != nil {
			p, err = now, nil
		}
		if err != nil {
			return err
		}
		if others := p.InTheWay(&c.state.Past, run); len(others) > 0 {
			return refuse("the concurrency guard of policy %s leaves no place beside run %s", run.Policy, others[0])
		}
		run.Status, run.Ended, run.Error, run.Cause = anneal.StatusRunning, nil, "", ""
		run.Redrives = int(execution.Redrives) + 1
		b.put(KindRun, run.ID, run)
		b.then = append(b.then, func(ctx context.Context) { c.startRun(ctx, run) })
		c.log.Info("run redriven", "run", run.ID, "policy", run.Policy)
		return nil
	})
	return run, err
}

// runOf is the newest record of a run.
func (c *Controller) runOf(ctx context.Context, id string) (run anneal.Run, err error) {
	r, err := c.cfg.Journal.Find(ctx, KindRun, id)
	if errors.Is(err, journal.ErrNotFound) {
		return run, fmt.Errorf("run %s: %w", id, err)
	}
	if err == nil {
		err = decode(r, &run)
	}
	return run, err
}

// redriven is the execution of a run, redriven as often as the run says.
func (c *Controller) redriven(ctx context.Context, executor orchestrator.Executor, run anneal.Run, x orchestrator.Execution) (orchestrator.Execution, error) {
	if int(x.Redrives) >= run.Redrives || !x.Status.Ended() {
		return x, nil
	}
	again, err := executor.Redrive(ctx, run.ID)
	if errors.Is(err, orchestrator.ErrNotRedrivable) {
		c.log.Warn("run not redriven", "run", run.ID, "err", err)
		return x, nil // it ends as it did
	}
	return again, err
}
