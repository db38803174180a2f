package stepfunctions_test

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/orchestratortest"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

// A deployed executor puts the definition of what it starts onto the service
// first, as a deployment does.
type deployed struct {
	*stepfunctions.Executor
	s *service

	mu   sync.Mutex
	made string // guarded by mu; the definition that is there
}

const contract = account + "stateMachine:contract"

func (d *deployed) Start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	if err := d.deploy(ctx, string(in.Machine.Definition)); err != nil {
		return orchestrator.Execution{}, err
	}
	in.Machine = orchestrator.Machine{ARN: contract}
	return d.Executor.Start(ctx, in)
}

func (d *deployed) deploy(ctx context.Context, definition string) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch d.made {
	case definition:
		return nil
	case "":
		_, err = d.s.client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("contract"), Definition: &definition, RoleArn: aws.String(role)})
	default:
		_, err = d.s.client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: aws.String(contract), Definition: &definition})
	}
	if err == nil {
		d.made = definition
	}
	return err
}

// TestContract holds the executor to what the engine is held to, over the wire.
func TestContract(t *testing.T) {
	orchestratortest.Test(t, func(t *testing.T) orchestrator.Executor {
		s := serve(t)
		return &deployed{Executor: s.executor(t, io.Discard, contract), s: s}
	})
}
