package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

// newRemote makes the executor of Step Functions. It is there whether a policy
// uses it or not: runs of policies that are gone are still shown and stopped.
func (d *daemon) newRemote() (*stepfunctions.Executor, error) {
	settings := d.cfg.Settings.StepFunctions
	if _, err := awsOf(context.Background(), settings.Account(), "", 0); err != nil {
		return nil, fmt.Errorf("stepFunctions: %w", err)
	}
	return stepfunctions.New(stepfunctions.Config{
		AWS: func(ctx context.Context, region string, patience time.Duration) (aws.Config, error) {
			return awsOf(ctx, settings.Account(), region, patience)
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

// remoteUsed says whether anything needs Step Functions.
func (d *daemon) remoteUsed() bool {
	return d.remote.Following() > 0 || slices.ContainsFunc(d.generation.config().Policies, onAWS)
}

// remote looks at which state machines of AWS policies run, without asking AWS.
func (d *doctor) remote() {
	var machines, regions []string
	for _, p := range d.cfg.Policies {
		if !onAWS(p) {
			continue
		}
		if p.ARN == "" {
			d.fail("executor step-functions", "set it where the daemon runs", "the ARN of the state machine of policy %s is not known here", p.Name())
			return
		}
		machines, regions = append(machines, p.ARN), append(regions, regionOf(p.ARN))
	}
	if len(machines) == 0 {
		return
	}
	if _, err := awsOf(d.ctx, d.cfg.Settings.StepFunctions.Account(), regions[0], 0); err != nil {
		d.fail("executor step-functions", "correct stepFunctions in "+d.cfg.File+", or the environment", "%v", err)
		return
	}
	d.ok("executor step-functions", "%s in %s; AWS is not asked", listed(machines), listed(regions))
}
