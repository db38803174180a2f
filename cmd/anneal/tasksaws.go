package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// longestAnswer is longer than a function of Lambda runs.
const longestAnswer = 16 * time.Minute

// reachAWS lets tasks call AWS, where that is allowed, and the daemon's own API of
// Step Functions.
func (d *daemon) reachAWS(cfg *tasks.Config, read func(configs.Secret) (string, error)) error {
	settings := d.cfg.Settings.Embedded
	if settings.Listen != "off" {
		cfg.StepFunctions = func(ctx context.Context, operation string, body []byte) (int, []byte) {
			if d.api == nil { // tasks are done once all parts are there
				return http.StatusServiceUnavailable, []byte("{}")
			}
			return d.api.server.Do(ctx, operation, body)
		}
	}
	if settings.AWS != "allow" {
		return nil
	}
	own, err := read(settings.Role)
	if err != nil {
		return fmt.Errorf("embedded.role: %w", err)
	}
	d.wire = wire.New(func(ctx context.Context, role string) (aws.Config, error) {
		found, err := cloud.Load(ctx, cloud.Config{})
		if err != nil {
			return aws.Config{}, err
		}
		return cloud.Load(ctx, cloud.Config{Region: cmp.Or(found.Region, settings.Region), Role: cmp.Or(role, own), Patience: longestAnswer})
	})
	cfg.Remote = d.wire
	return nil
}
