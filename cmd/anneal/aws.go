package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/triggers/sqs"
)

// awsOf is how an account is reached: in its region, else in the one that an ARN or
// URL names, else in the environment's.
func awsOf(ctx context.Context, account configs.Account, named string, patience time.Duration) (aws.Config, error) {
	c := cloud.Config{Region: cmp.Or(account.Region, named), Patience: patience}
	var err error
	if c.Role, err = account.Role.Resolve(); err != nil {
		return aws.Config{}, fmt.Errorf("role: %w", err)
	}
	if c.ExternalID, err = account.ExternalID.Resolve(); err != nil {
		return aws.Config{}, fmt.Errorf("externalId: %w", err)
	}
	return cloud.Load(ctx, c)
}

// queue makes the source of one queue.
func queue(ctx context.Context, settings *configs.SQS, log *slog.Logger) (*sqs.Source, error) {
	queueURL, err := settings.QueueURL.Resolve()
	if err != nil {
		return nil, fmt.Errorf("sqs: queueURL: %w", err)
	}
	with, err := awsOf(ctx, settings.Account(), sqs.Region(queueURL), 0)
	if err != nil {
		return nil, fmt.Errorf("sqs: %w", err)
	}
	source, err := sqs.New(settings.Source(queueURL), with, log)
	if err != nil {
		return nil, fmt.Errorf("sqs: %w", err)
	}
	return source, nil
}

// addQueue makes a source of a queue.
func (d *daemon) addQueue(ctx context.Context, settings *configs.SQS) error {
	source, err := queue(ctx, settings, d.log)
	if err != nil {
		return err
	}
	name := "sqs " + source.Queue()
	for n := 2; d.sources[name] != nil; n++ { // of another account or region
		name = fmt.Sprintf("sqs %s %d", source.Queue(), n)
	}
	d.sources[name] = source
	return nil
}

// queue looks at a queue's settings, and at those of AWS, without asking AWS.
func (d *doctor) queue(settings *configs.SQS) {
	source, err := queue(d.ctx, settings, slog.New(slog.DiscardHandler))
	if err != nil {
		d.fail("source sqs", "correct it in "+d.cfg.File+", or in the environment", "%v", err)
		return
	}
	d.ok("source sqs "+source.Queue(), "in %s; AWS is not asked", source.Region())
}
