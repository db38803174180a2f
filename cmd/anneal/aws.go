package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/triggers/sqs"
)

// awsTries is how often a call is tried before its error is told of.
const awsTries = 3

// awsConfig is how AWS is reached: by the SDK's default chain, in a region and
// as a role where these are not empty. Nothing is asked of AWS here, and
// credentials are read when they are needed.
func awsConfig(ctx context.Context, region, role string) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRetryMode(aws.RetryModeAdaptive), config.WithRetryMaxAttempts(awsTries), config.WithDefaultsMode(aws.DefaultsModeStandard))
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	if region != "" {
		cfg.Region = region
	}
	if role != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role,
			func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "anneal" }))
	}
	return cfg, nil
}

// queue makes the source of one queue.
func queue(ctx context.Context, settings *configs.SQS, log *slog.Logger) (*sqs.Source, error) {
	queueURL, err := settings.QueueURL.Resolve()
	if err != nil {
		return nil, fmt.Errorf("sqs: queueURL: %w", err)
	}
	role, err := settings.Role.Resolve()
	if err != nil {
		return nil, fmt.Errorf("sqs: role: %w", err)
	}
	region := settings.Region
	if region == "" {
		region = sqs.Region(queueURL)
	}
	with, err := awsConfig(ctx, region, role)
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
