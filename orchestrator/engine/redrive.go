package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Redrive implements [orchestrator.Executor]. The execution keeps the definition
// that it began with.
func (e *Engine) Redrive(ctx context.Context, name string) (orchestrator.Execution, error) {
	return e.RedriveBeside(ctx, name)
}

// RedriveBeside is [Engine.Redrive], with records that become durable with it.
func (e *Engine) RedriveBeside(ctx context.Context, name string, beside ...journal.Record) (orchestrator.Execution, error) {
	x, err := e.redrive(ctx, name, beside)
	if err != nil {
		return orchestrator.Execution{}, fmt.Errorf("redrive execution %s: %w", name, err)
	}
	return x, nil
}

func (e *Engine) redrive(ctx context.Context, name string, beside []journal.Record) (orchestrator.Execution, error) {
	x, err := e.reclaim(ctx, name)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	begun := false
	defer func() {
		if !begun {
			e.release(x)
		}
	}()
	r, err := e.journal.Find(ctx, kindTurn, name)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	t, err := decodeTurn(r)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	now := time.Now().UTC()
	if why := t.State.NotRedrivable(); why != "" {
		return orchestrator.Execution{}, fmt.Errorf("%w: %s", orchestrator.ErrNotRedrivable, why)
	}
	if ended := describe(t.Turn).Ended; ended == nil || now.Sub(*ended) > orchestrator.RedrivableFor {
		return orchestrator.Execution{}, fmt.Errorf("%w: it ended more than 14 days ago", orchestrator.ErrNotRedrivable)
	}
	x.seq = r.Seq
	e.seat(x, &desk{state: t.State, digest: t.Machine})
	if x.machine, err = e.machine(ctx, t.Machine); err != nil {
		return orchestrator.Execution{}, err
	}
	turn, err := guard(func() asl.Turn { return x.machine.Redrive(x.state, e.env(x, now)) })
	if err != nil {
		return orchestrator.Execution{}, err
	}
	record, err := x.record(&value.Writer{}, turn)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	e.mu.Lock()
	e.lately.drop(name)
	e.mu.Unlock()
	seq, err := e.journal.Append(ctx, append(beside, record)...)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	begun = true
	if arn := turn.State.Execution.MapRun; arn != "" {
		e.mu.Lock()
		e.children++
		x.of = e.mapRunOf(asl.MapRunID(arn))
		e.mu.Unlock()
	}
	e.enter(x, turn, seq)
	return describe(turn), nil
}

// reclaim takes the name of an execution that has ended.
func (e *Engine) reclaim(ctx context.Context, name string) (*execution, error) {
	for {
		open, err := e.find(ctx, name)
		if err != nil {
			return nil, err
		}
		t, err := e.newest(ctx, name)
		if err != nil {
			return nil, err
		}
		if !t.State.Ended() {
			return nil, fmt.Errorf("%w: %s", orchestrator.ErrNotRedrivable, t.State.NotRedrivable())
		}
		if open != nil { // its end is durable, and is being acted on
			select {
			case <-e.end(open):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		x, other, err := e.take(ctx, name)
		if err != nil || !other {
			return x, err
		}
	}
}
