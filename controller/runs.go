package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/policy"
)

// candidate is what a run left behind to become a model, or why there is none.
type candidate struct {
	model   anneal.Model // what the run says of it
	at      time.Time
	found   bool
	problem string
}

// startRun follows a run to its end in a goroutine of its own. Started again
// after a restart it finds the execution under the same name.
func (c *Controller) startRun(ctx context.Context, run anneal.Run) {
	if c.runs[run.ID] {
		return
	}
	c.runs[run.ID] = true
	c.tasks.Go(func() {
		execution, err := c.execute(ctx, run)
		if ctx.Err() != nil {
			return // goes on elsewhere; adopted at the next start
		}
		end := c.outcome(ctx, run, err)
		if ctx.Err() != nil {
			return
		}
		c.do(ctx, func(b *batch) error { c.endRun(b, run.ID, execution, end); return nil })
	})
}

// execute starts run, or finds it started, and waits for its end. What is
// wrong with the run for good comes back as a FAILED execution.
func (c *Controller) execute(ctx context.Context, run anneal.Run) (orchestrator.Execution, error) {
	failed := func(err error) orchestrator.Execution {
		now := time.Now()
		return orchestrator.Execution{
			Name: run.ID, Status: anneal.StatusFailed, Started: &run.Started, Ended: &now,
			Error: "Anneal.NotStarted", Cause: err.Error(),
		}
	}
	executor, ok := c.cfg.Executors[run.Executor]
	if !ok {
		return failed(fmt.Errorf("executor %q is not configured", run.Executor)), nil
	}
	machine, timeout, err := c.machineOf(ctx, run)
	if err != nil {
		return failed(err), nil
	}
	told := "" // what went wrong, once
	for attempt, unavailable := 0, 0; ; attempt++ {
		execution, err := c.start(ctx, executor, run, machine, timeout)
		if err == nil {
			execution, err = c.redriven(ctx, executor, run, execution)
		}
		if err == nil {
			c.do(ctx, func(b *batch) error { c.runStarted(b, run.ID, execution); return nil })
			if execution.Status.Ended() {
				return execution, nil
			}
			return c.wait(ctx, executor, run)
		}
		if ctx.Err() != nil {
			return orchestrator.Execution{}, context.Cause(ctx)
		}
		if errors.Is(err, orchestrator.ErrUnavailable) { // it says so itself, once
			c.log.Debug("run not started, trying again", "run", run.ID, "err", err)
			unavailable, attempt = unavailable+1, -1
			if err := sleep(ctx, min(notify.Backoff(unavailable), time.Minute)); err != nil {
				return orchestrator.Execution{}, err
			}
			continue
		}
		if attempt >= 8 && !errors.Is(err, objects.ErrUnavailable) || attempt >= awayTries || errors.Is(err, orchestrator.ErrExecutionExists) {
			return failed(err), nil
		}
		if what := err.Error(); what != told {
			c.log.Warn("run not started, trying again", "run", run.ID, "err", err)
			told = what
		}
		if err := sleep(ctx, notify.Backoff(attempt)); err != nil {
			return orchestrator.Execution{}, err
		}
	}
}

// start stages the training data and starts the execution; both do nothing
// where they were done before.
func (c *Controller) start(ctx context.Context, executor orchestrator.Executor, run anneal.Run, machine orchestrator.Machine, timeout time.Duration) (orchestrator.Execution, error) {
	if run.Status == anneal.StatusPending && len(run.Training.Objects) > 0 {
		if err := c.cfg.Stage(ctx, run.Training); err != nil {
			return orchestrator.Execution{}, fmt.Errorf("stage training data: %w", err)
		}
	}
	return executor.Start(ctx, orchestrator.StartInput{
		Name: run.ID, Machine: machine, Input: run.Input, Timeout: timeout, Begun: run.Status != anneal.StatusPending,
	})
}

func (c *Controller) wait(ctx context.Context, executor orchestrator.Executor, run anneal.Run) (orchestrator.Execution, error) {
	for attempt := 0; ; attempt++ {
		execution, err := executor.Wait(ctx, run.ID)
		if err == nil {
			return execution, nil
		}
		if ctx.Err() != nil {
			return orchestrator.Execution{}, context.Cause(ctx)
		}
		level := slog.LevelWarn
		if errors.Is(err, orchestrator.ErrUnavailable) { // it says so itself, once
			level = slog.LevelDebug
		}
		c.log.Log(ctx, level, "run not followed, trying again", "run", run.ID, "err", err)
		if err := sleep(ctx, notify.Backoff(attempt)); err != nil {
			return orchestrator.Execution{}, err
		}
	}
}

// machineOf returns what a run executes and for how long at most. A run that
// is open across a reload keeps the policy it was decided by.
func (c *Controller) machineOf(ctx context.Context, run anneal.Run) (orchestrator.Machine, time.Duration, error) {
	p, err := c.policyOf(ctx, run)
	if err != nil {
		return orchestrator.Machine{}, 0, err
	}
	machine, err := c.machine(ctx, run.Policy, run.Machine)
	if err != nil {
		return orchestrator.Machine{}, 0, err
	}
	return machine, time.Duration(p.Spec.Spec.Run.Timeout), nil
}

// outcome finds the model that the execution of a run made, where it ended without err.
func (c *Controller) outcome(ctx context.Context, run anneal.Run, err error) candidate {
	if err != nil {
		return candidate{problem: err.Error()}
	}
	p, err := c.policyOf(ctx, run)
	if err != nil {
		return candidate{problem: err.Error()}
	}
	spec := p.Spec.Spec.Run
	executor := c.cfg.Executors[run.Executor]
	if spec == nil || spec.Model == nil || executor == nil {
		return candidate{}
	}
	history, err := c.wholeHistory(ctx, executor, run)
	if err != nil {
		return candidate{problem: fmt.Sprintf("read the history: %v", err)}
	}
	state, ok := asl.Succeeded(history, spec.Model.State)
	if !ok {
		return candidate{}
	}
	model, err := p.Candidate(run, policy.StateResult{Parameters: state.Parameters, Input: state.Input, Output: state.Output})
	if err != nil {
		return candidate{problem: fmt.Sprintf("read the model from state %s: %v", spec.Model.State, err)}
	}
	artifact := &model.Artifact
	if artifact.SHA256, artifact.Bytes, err = c.cfg.Checksum(ctx, artifact.URI); err != nil {
		artifact.Problem = err.Error()
	}
	return candidate{model: model, at: state.Exited, found: true}
}

// wholeHistory reads the history of an ended run, however long that cannot be had.
func (c *Controller) wholeHistory(ctx context.Context, executor orchestrator.Executor, run anneal.Run) ([]asl.HistoryEvent, error) {
	for attempt := 0; ; attempt++ {
		history, err := executor.History(ctx, run.ID)
		if !errors.Is(err, orchestrator.ErrUnavailable) {
			return history, err
		}
		c.log.Debug("history not read, trying again", "run", run.ID, "err", err)
		if err := sleep(ctx, notify.Backoff(attempt)); err != nil {
			return nil, err
		}
	}
}

// policyOf returns the policy that decided on run, as it was then.
func (c *Controller) policyOf(ctx context.Context, run anneal.Run) (*policy.Policy, error) {
	if p := c.generation.Load().policy(run.Policy); p != nil && p.Revision == run.Revision {
		return p, nil
	}
	return policyRevision(ctx, c.cfg.Journal, run.Revision)
}

// runStarted records that the execution is under way.
func (c *Controller) runStarted(b *batch, id string, execution orchestrator.Execution) {
	run, open := c.state.Runs[id]
	if !open || run.Status != anneal.StatusPending {
		return
	}
	run.Status = anneal.StatusRunning
	if execution.Started != nil {
		run.Started = *execution.Started
	}
	run.ExecutionARN = execution.ARN
	b.put(KindRun, run.ID, run)
	c.log.Info("run started", "run", run.ID, "policy", run.Policy, "rows", run.Training.Rows)
	c.tell(b, run.Policy, anneal.NoticeStarted, func(channel string) anneal.Notice { return notify.Started(channel, run) })
}

// endRun records the end of a run, the model it made, and what becomes of it.
func (c *Controller) endRun(b *batch, id string, execution orchestrator.Execution, made candidate) {
	run, open := c.state.Runs[id]
	if !open {
		return
	}
	ended := time.Now()
	if execution.Ended != nil {
		ended = *execution.Ended
	}
	run.Status = execution.Status
	run.Ended = &ended
	if execution.ARN != "" {
		run.ExecutionARN = execution.ARN
	}
	if execution.Started != nil {
		run.Started = *execution.Started
	}
	run.Error, run.Cause = execution.Error, execution.Cause
	b.put(KindRun, run.ID, run)
	delete(c.runs, run.ID)
	log := c.log.With("run", run.ID, "policy", run.Policy, "status", run.Status)
	if run.Error != "" {
		log = log.With("error", run.Error)
	}
	log.Info("run ended")
	if run.Status != anneal.StatusSucceeded {
		c.tell(b, run.Policy, anneal.NoticeFailed, func(channel string) anneal.Notice { return notify.Failed(channel, run) })
	} else {
		c.tell(b, run.Policy, anneal.NoticeSucceeded, func(channel string) anneal.Notice { return notify.Succeeded(channel, run) })
		c.resolve(b, run.Policy, anneal.NoticeFailed, run.ID, ended, "Run "+run.ID+" has succeeded.")
	}
	if made.problem != "" {
		c.log.Error("no model from run", "run", run.ID, "err", made.problem)
	}
	if made.found {
		c.enter(b, run, made, ended)
	}
}

// enter puts the candidate into the registry and promotes it if it is better.
func (c *Controller) enter(b *batch, run anneal.Run, made candidate, at time.Time) {
	model := c.state.Models.Candidate(run, made.model, made.at)
	promoted, reason := false, "the run did not succeed"
	champion := c.state.Models.Champion(run.Model)
	if run.Status == anneal.StatusSucceeded {
		p, err := c.policyOf(context.Background(), run)
		if err == nil {
			promoted, reason = p.Promote(model, champion, at)
		} else {
			reason = err.Error()
		}
	}
	model.Reason = reason
	b.put(KindModel, model.ID(), model)
	c.log.Info("model trained", "model", model.ID(), "run", run.ID, "promoted", promoted, "reason", reason)
	if model.ImportanceProblem != "" {
		c.log.Warn("model without the importance of its columns", "model", model.ID(), "run", run.ID, "err", model.ImportanceProblem)
	}
	if !promoted {
		return
	}
	changes := c.state.Models.PromoteModel(model, at, reason)
	b.then = append(b.then, func(ctx context.Context) {
		for _, p := range c.generation.Load().Policies {
			if p.Spec.Spec.Model.Group == model.Group {
				c.fitAhead(ctx, p)
			}
		}
	})
	for _, m := range slices.Backward(changes) { // the new champion's is the newest record
		b.put(KindModel, m.ID(), m)
		if m.Stage == anneal.StageLive {
			c.tell(b, run.Policy, anneal.NoticePromoted, func(channel string) anneal.Notice {
				return notify.Promoted(channel, run.Policy, m, champion)
			})
		}
	}
}

// makeWay stops an open run for another, in a goroutine of its own. One that is
// not started yet is stopped when it is.
func (c *Controller) makeWay(ctx context.Context, id string) {
	c.tasks.Go(func() {
		for attempt := 0; ; attempt++ {
			err := c.StopRun(ctx, id, "makes way for a newer run")
			var closed *notOpenError
			if err == nil || errors.As(err, &closed) || ctx.Err() != nil {
				return
			}
			c.log.Debug("run not stopped yet, trying again", "run", id, "err", err)
			if sleep(ctx, notify.Backoff(attempt)) != nil {
				return
			}
		}
	})
}

type notOpenError struct{ run string }

func (e *notOpenError) Error() string { return fmt.Sprintf("run %s is not open", e.run) }

// StopRun ends the execution of an open run.
func (c *Controller) StopRun(ctx context.Context, id, cause string) error {
	var run anneal.Run
	err := c.do(ctx, func(*batch) error {
		var open bool
		if run, open = c.state.Runs[id]; !open {
			return &notOpenError{id}
		}
		return nil
	})
	if err != nil {
		return err
	}
	executor, ok := c.cfg.Executors[run.Executor]
	if !ok {
		return fmt.Errorf("executor %q is not configured", run.Executor)
	}
	return executor.Stop(ctx, id, "Anneal.Stopped", cause)
}

// History returns the history of a run's execution.
func (c *Controller) History(ctx context.Context, run anneal.Run) ([]asl.HistoryEvent, error) {
	executor, ok := c.cfg.Executors[run.Executor]
	if !ok {
		return nil, fmt.Errorf("executor %q is not configured", run.Executor)
	}
	return executor.History(ctx, run.ID)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
