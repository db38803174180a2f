package stepfunctions

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/orchestrator"
)

const (
	callTime = 30 * time.Second // of a call with all its tries
	patience = 10 * time.Second // for an answer to begin
)

// remedies are of the errors of Step Functions, by code.
//
// Source: "Errors" of the actions in the Step Functions API Reference.
var remedies = map[string]string{ // constant
	"StateMachineDoesNotExist":     "there is no such state machine, version or alias: correct stateMachine.arn of the policy, or make it",
	"StateMachineDeleting":         "the state machine is being deleted: give the policy another stateMachine.arn",
	"StateMachineLimitExceeded":    "the account has too many state machines: ask AWS to raise the quota",
	"InvalidArn":                   "the ARN is not accepted: correct stateMachine.arn of the policy",
	"ExecutionLimitExceeded":       "the account has as many open executions as it may: stop some, or ask AWS to raise the quota; it is tried again",
	"InvalidExecutionInput":        "the input is not accepted: it is JSON of at most 256 KiB",
	"InvalidName":                  "the name of the execution is not accepted",
	"KmsAccessDeniedException":     "grant the role kms:Decrypt and kms:GenerateDataKey on the key of the state machine",
	"KmsInvalidStateException":     "the key of the state machine is disabled or being deleted: enable it",
	"KmsThrottlingException":       "AWS asks for fewer requests of KMS: they are made fewer",
	"StateMachineTypeNotSupported": "the type of the state machine does not have this",
}

// answers are codes that say something of one execution, and not that anything
// is wrong with AWS or its settings.
var answers = []string{"ExecutionAlreadyExists", "ExecutionDoesNotExist", "ExecutionNotRedrivable", "InvalidExecutionInput", "InvalidName", "ValidationException"} // constant

// lasting are codes that asking again does not change.
var lasting = []string{"StateMachineDoesNotExist", "StateMachineDeleting", "StateMachineTypeNotSupported", "InvalidArn"} // constant

// A refusal is what has come of a call, in one line with its remedy.
type refusal struct {
	code, line string
	later      bool // asking again may help
	err        error
}

func (r *refusal) Error() string { return r.line }

func (r *refusal) Unwrap() error { return r.err }

func (r *refusal) Is(target error) bool { return r.later && target == orchestrator.ErrUnavailable }

func isCode(err error, codes ...string) bool {
	var r *refusal
	return errors.As(err, &r) && slices.Contains(codes, r.code)
}

// gone reports whether err says that there is no state machine to begin anything.
func gone(err error) bool { return isCode(err, "StateMachineDoesNotExist", "StateMachineDeleting") }

func codeOf(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

// A condition is how calls for one machine go.
type condition struct {
	*cloud.Condition
	service cloud.Service
	last    time.Time // when one was made
}

func (e *Executor) condition(m machine) *condition {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.conditions[m.base]
	if c == nil {
		service := cloud.Service{Name: "Step Functions", Prefix: "states", Region: m.region, Resource: "the state machine " + m.name, Remedies: remedies}
		c = &condition{Condition: service.Watch(e.cfg.Log), service: service}
		e.conditions[m.base] = c
	}
	c.last = time.Now()
	return c
}

// stale is when what was wrong with a machine is forgotten, as nothing asks for
// it any more. What is wanted is asked for more often than that.
const stale = 15 * time.Minute

// Condition is what is wrong at present; empty: nothing.
func (e *Executor) Condition() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, c := range e.conditions {
		if wrong := c.String(); wrong != "" && time.Since(c.last) < stale {
			all = append(all, c.service.Resource+": "+wrong)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// client is that of a machine's region.
func (e *Executor) client(ctx context.Context, m machine) (*sfn.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.clients[m.region]; c != nil {
		return c, nil
	}
	with, err := e.cfg.AWS(ctx, m.region, patience)
	if err != nil {
		return nil, err
	}
	c := sfn.NewFromConfig(with)
	e.clients[m.region] = c
	return c, nil
}

// call makes a call by its deadline, few at a time. Its error is
// [orchestrator.ErrNotFound], a refusal, or that ctx has ended.
func call[O any](ctx context.Context, e *Executor, m machine, action string, do func(context.Context, *sfn.Client) (O, error)) (out O, err error) {
	select {
	case e.busy <- struct{}{}:
		defer func() { <-e.busy }()
	case <-ctx.Done():
		return out, ctx.Err()
	}
	return callNow(ctx, e, m, action, callTime, do)
}

// callNow is call, without a wait for others.
func callNow[O any](ctx context.Context, e *Executor, m machine, action string, within time.Duration, do func(context.Context, *sfn.Client) (O, error)) (out O, err error) {
	c, began := e.condition(m), time.Now()
	client, err := e.client(ctx, m)
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		out, err = do(limited, client)
	}
	if ctx.Err() != nil && err != nil {
		return out, ctx.Err()
	}
	code := codeOf(err)
	if slices.Contains(answers, code) {
		c.Note(ctx, action, began, nil)
	} else {
		c.Note(ctx, action, began, err)
	}
	switch {
	case err == nil:
		return out, nil
	case code == "ExecutionDoesNotExist":
		return out, orchestrator.ErrNotFound
	}
	later := !slices.Contains(answers, code) && !slices.Contains(lasting, code)
	return out, &refusal{code, c.service.Explain(action, err), later, err}
}
