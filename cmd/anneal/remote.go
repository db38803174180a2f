package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

// newRemote makes the executor of Step Functions. It is there whether a policy
// uses it or not: runs of policies that are gone are still shown and stopped.
func (d *daemon) newRemote() (*stepfunctions.Executor, error) {
	settings := d.cfg.Settings.StepFunctions
	role, err := settings.Role.Resolve()
	if err != nil {
		return nil, fmt.Errorf("stepFunctions: role: %w", err)
	}
	externalID, err := settings.ExternalID.Resolve()
	if err != nil {
		return nil, fmt.Errorf("stepFunctions: externalId: %w", err)
	}
	return stepfunctions.New(stepfunctions.Config{
		AWS: func(ctx context.Context, region string, patience time.Duration) (aws.Config, error) {
			return cloud.Load(ctx, cloud.Config{Region: region, Role: role, ExternalID: externalID, Patience: patience})
		},
		Known: d.knownRun,
		Log:   d.log,
	}), nil
}

// knownRun is what the journal has of a run on Step Functions.
func (d *daemon) knownRun(ctx context.Context, name string) (stepfunctions.Known, error) {
	record, err := d.journal.Find(ctx, controller.KindRun, name)
	if errors.Is(err, journal.ErrNotFound) {
		return stepfunctions.Known{}, orchestrator.ErrNotFound
	}
	if err != nil {
		return stepfunctions.Known{}, err
	}
	var run anneal.Run
	if err := json.Unmarshal(record.Data, &run); err != nil {
		return stepfunctions.Known{}, fmt.Errorf("read run %s: %w", name, err)
	}
	return stepfunctions.Known{Machine: run.Machine, Execution: run.ExecutionARN}, nil
}

// remoteCondition is what is wrong with Step Functions; used says whether
// anything needs it.
func (d *daemon) remoteCondition() (wrong string, used bool) {
	wrong, used = d.remote.Condition(), d.remote.Following() > 0
	for _, p := range d.generation.config().Policies {
		used = used || onAWS(p)
	}
	return wrong, used || wrong != ""
}
