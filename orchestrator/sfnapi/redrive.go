package sfnapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
)

// kindRedrive is a list of [redriveToken], the last one first; its key is that of the
// execution.
const kindRedrive = "sfn-redrive"

// A redriveToken is a client token that an execution was redriven with.
type redriveToken struct {
	Token    string    `json:"token"`
	At       time.Time `json:"at"`
	Redrives int64     `json:"redrives"` // how often it was, with this
}

// How many client tokens are known again, and how long.
const (
	mostTokens = 10
	tokenAge   = 15 * time.Minute
)

// deletingReason is why an execution of a machine that is being deleted cannot be
// redriven.
const deletingReason = "State machine is in DELETING status"

// redriveExecution redrives an execution once for each client token, however often it
// is asked to.
func (s *Server) redriveExecution(ctx context.Context, in executionInput) (any, error) {
	m, key, x, err := s.execution(ctx, in.ARN)
	switch {
	case err != nil:
		return nil, err
	case m.policy:
		return nil, invalid("The execution is a run of the policy '%s': anneal runs redrive %s", m.Name, key)
	case m.Deleting:
		return nil, refuse("ExecutionNotRedrivable", "%s", deletingReason)
	}
	tokens, err := s.redriveTokens(ctx, key)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	if i := slices.IndexFunc(tokens, func(t redriveToken) bool { return t.Token == in.Token }); i >= 0 && in.Token != "" && now.Sub(tokens[i].At) < tokenAge {
		if at := tokens[i].At; tokens[i].Redrives < x.Redrives || x.Redriven == nil {
			return redriven{since(&at)}, nil
		}
		return redriven{since(x.Redriven)}, nil
	}
	var beside []journal.Record
	if in.Token != "" {
		tokens = slices.Insert(tokens, 0, redriveToken{in.Token, now, x.Redrives + 1})
		data, err := json.Marshal(tokens[:min(len(tokens), mostTokens)])
		if err != nil {
			return nil, fmt.Errorf("write tokens of %s: %w", key, err)
		}
		beside = []journal.Record{{Kind: kindRedrive, Key: key, Data: data}}
	}
	x, err = s.cfg.Engine.RedriveBeside(ctx, key, beside...)
	if errors.Is(err, orchestrator.ErrNotRedrivable) {
		_, why, _ := strings.Cut(err.Error(), orchestrator.ErrNotRedrivable.Error()+": ")
		return nil, refuse("ExecutionNotRedrivable", "%s", why)
	}
	if err != nil {
		return nil, err
	}
	return redriven{since(x.Redriven)}, nil
}

type redriven struct {
	At *epoch `json:"redriveDate"`
}

// redriveTokens are those that an execution was redriven with.
func (s *Server) redriveTokens(ctx context.Context, key string) (tokens []redriveToken, err error) {
	r, err := s.cfg.Journal.Find(ctx, kindRedrive, key)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(r.Data, &tokens)
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens of %s: %w", key, err)
	}
	return tokens, nil
}
