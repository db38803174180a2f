package engine

import (
	"context"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// A follower is an effect that ends when another execution does. There may be thousands:
// none has a goroutine.
type follower struct {
	x      *execution // whose effect it is
	effect string
	until  *orchestrator.Until
}

// followers are those of open executions.
type followers map[*execution][]follower

// follow has f hear when the execution is over that it follows. It is false where none of
// that name is open. The caller holds mu.
func (e *Engine) follow(f follower) bool {
	x := e.open[f.until.Execution]
	if x == nil {
		return false
	}
	e.follows[x] = append(e.follows[x], f)
	return true
}

// tellFollowers has those look who follow an execution that is open no longer. The caller
// holds mu.
func (e *Engine) tellFollowers(x *execution) {
	for _, f := range e.follows[x] {
		e.post(f.x, input{effect: f.effect, until: f.until})
	}
	delete(e.follows, x)
}

// ended has an input of x, by which an effect ends with another execution, tell what
// becomes of the effect. It is false where that execution goes on, as after a redrive: x
// hears of it again.
func (e *Engine) ended(ctx context.Context, x *execution, in *input) (bool, error) {
	for {
		is, err := e.Describe(ctx, in.until.Execution)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil || is.Status.Ended() {
			effect, until := in.effect, in.until
			in.step = func(env asl.Env) asl.Turn {
				return x.machine.Resolve(x.state, effect, until.Outcome(is, err), env)
			}
			return true, nil
		}
		e.mu.Lock()
		follows := e.follow(follower{x, in.effect, in.until})
		e.mu.Unlock()
		if follows {
			return false, nil
		}
	}
}
