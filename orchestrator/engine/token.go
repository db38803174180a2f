package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// ErrLater is answered by [Tasks.Do] where somebody else tells the outcome, by
// the effect's ID.
var ErrLater = errors.New("the outcome is told later")

// ErrNoTask says that no task waits for an outcome under a token: it has ended,
// timed out or was stopped, or there never was one.
var ErrNoTask = errors.New("no task waits under this token")

// Resolve tells how a task ended that waits for its token, which is the ID of
// its effect, to come back. It returns when that is durable.
func (e *Engine) Resolve(ctx context.Context, token string, o asl.Outcome) error {
	return e.tell(ctx, token, func(x *execution, env asl.Env) asl.Turn {
		return x.machine.Resolve(x.state, token, o, env)
	})
}

// Heartbeat tells that a task which waits for its token is alive.
func (e *Engine) Heartbeat(ctx context.Context, token string) error {
	return e.tell(ctx, token, func(x *execution, env asl.Env) asl.Turn {
		return x.machine.Heartbeat(x.state, token, env)
	})
}

func (e *Engine) tell(ctx context.Context, token string, step func(*execution, asl.Env) asl.Turn) error {
	done := make(chan struct{})
	waits := false
	e.mu.Lock()
	x := e.tokens[token]
	if x != nil {
		e.post(x, input{done: done, step: func(env asl.Env) asl.Turn {
			waits = x.waits(token) // it may have ended since it was looked up
			return step(x, env)
		}})
	}
	e.mu.Unlock()
	if x == nil {
		return fmt.Errorf("token %s: %w", token, ErrNoTask)
	}
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("token %s: %w", token, ctx.Err())
	}
	if !waits {
		return fmt.Errorf("token %s: %w", token, ErrNoTask)
	}
	return nil
}

// waits reports whether an effect's outcome is waited for.
func (x *execution) waits(effect string) bool {
	_, ok := x.pending[effect]
	return ok
}

// expect keeps Engine.tokens: the effects that an execution waits for, those of
// asked among them, and no others.
func (e *Engine) expect(x *execution, asked []asl.Effect) {
	tokens := x.tokens[:0]
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range x.tokens {
		if x.waits(id) {
			tokens = append(tokens, id)
		} else {
			delete(e.tokens, id)
		}
	}
	for _, effect := range asked {
		if effect.ByToken() && x.waits(effect.ID) {
			tokens = append(tokens, effect.ID)
			e.tokens[effect.ID] = x
		}
	}
	x.tokens = tokens
}
