package sfnapi

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

type tokenInput struct {
	Token  string `json:"taskToken"`
	Output string `json:"output"`
	Error  string `json:"error"`
	Cause  string `json:"cause"`
}

func (s *Server) sendTaskSuccess(ctx context.Context, in tokenInput) (any, error) {
	if _, _, ok := asl.ParseToken(in.Token); !ok { // which is looked at first
		return told(engine.ErrInvalidToken)
	}
	if why := notJSON(in.Output); why != "" {
		return nil, refuse("InvalidOutput", "Invalid Output: '%s'", why)
	}
	return told(s.cfg.Engine.Resolve(ctx, in.Token, asl.Outcome{Output: json.RawMessage(in.Output)}))
}

func (s *Server) sendTaskFailure(ctx context.Context, in tokenInput) (any, error) {
	return told(s.cfg.Engine.Resolve(ctx, in.Token, asl.Outcome{Error: in.Error, Cause: in.Cause, Failed: true}))
}

func (s *Server) sendTaskHeartbeat(ctx context.Context, in tokenInput) (any, error) {
	return told(s.cfg.Engine.Heartbeat(ctx, in.Token))
}

// told is the answer to who told of a task.
func told(err error) (any, error) {
	switch {
	case errors.Is(err, engine.ErrInvalidToken):
		return nil, refuse("InvalidToken", "Invalid Token: 'Invalid token'")
	case errors.Is(err, engine.ErrNoTask):
		return nil, refuse("TaskDoesNotExist", "Task Does Not Exist: 'Provided task does not exist anymore'")
	case errors.Is(err, engine.ErrTaskClosed):
		return nil, refuse("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
	case errors.Is(err, engine.ErrInvalidOutput):
		return nil, refuse("InvalidOutput", "Invalid Output: '%s'", err)
	}
	return nothing{}, err
}
