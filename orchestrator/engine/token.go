package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// Errors of tokens, as Step Functions tells them apart.
var (
	ErrInvalidToken = errors.New("this is no task token")
	ErrNoTask       = errors.New("there is no task of this token")
	// ErrTaskClosed says that the task has ended, timed out, or was stopped.
	ErrTaskClosed = errors.New("the task of this token no longer waits")
	// ErrInvalidOutput says that what a task should come to is not JSON, or too
	// long.
	ErrInvalidOutput = errors.New("invalid output")
)

// Resolve tells how a task ended that waits for its token ([asl.Effect.Token])
// to come back. It returns when that is durable.
func (e *Engine) Resolve(ctx context.Context, token string, o asl.Outcome) error {
	if len(o.Output) > asl.MaxData {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrInvalidOutput, len(o.Output), asl.MaxData)
	}
	if failed := o.Failed || o.Error != "" || o.Cause != ""; !failed && !validOutput(o.Output) {
		return fmt.Errorf("%w: %.100q is not JSON", ErrInvalidOutput, o.Output)
	}
	return e.tell(ctx, token, func(x *execution, effect string, env asl.Env) asl.Turn {
		return x.machine.Resolve(x.state, effect, o, env)
	})
}

// Heartbeat tells that a task which waits for its token is alive.
func (e *Engine) Heartbeat(ctx context.Context, token string) error {
	return e.tell(ctx, token, func(x *execution, effect string, env asl.Env) asl.Turn {
		return x.machine.Heartbeat(x.state, effect, env)
	})
}

func (e *Engine) tell(ctx context.Context, token string, step func(x *execution, effect string, env asl.Env) asl.Turn) error {
	name, effect, ok := asl.ParseToken(token)
	if !ok {
		return fmt.Errorf("token %.100q: %w", token, ErrInvalidToken)
	}
	x, err := e.find(ctx, name)
	if err != nil {
		return fmt.Errorf("execution %s: %w", name, err)
	}
	if x == nil {
		return e.closed(ctx, name, effect)
	}
	done := make(chan struct{})
	waits := false
	e.mu.Lock()
	if e.open[name] == x { // else it has ended meanwhile
		e.post(x, input{done: done, step: func(env asl.Env) asl.Turn {
			if waits = x.byToken(effect); !waits {
				return asl.Turn{State: x.state, Wake: x.state.Wake()}
			}
			return step(x, effect, env)
		}})
	} else {
		close(done)
	}
	e.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("execution %s: %w", name, ctx.Err())
	}
	if !waits {
		return e.closed(ctx, name, effect)
	}
	return nil
}

// closed says why nothing waits for an effect.
func (e *Engine) closed(ctx context.Context, name, effect string) error {
	asked := false
	_, err := e.turns(ctx, name, func(t turnRecord) bool {
		for _, x := range t.Effects {
			asked = asked || x.ID == effect
		}
		return !asked
	})
	switch {
	case err != nil && !errors.Is(err, orchestrator.ErrNotFound):
		return fmt.Errorf("execution %s: %w", name, err)
	case asked:
		return fmt.Errorf("execution %s: %w", name, ErrTaskClosed)
	}
	return fmt.Errorf("execution %s: %w", name, ErrNoTask)
}

// byToken reports whether the outcome of an effect is waited for that may be
// told by token.
func (x *execution) byToken(effect string) bool {
	return x.machine.HasToken(x.state, effect)
}
