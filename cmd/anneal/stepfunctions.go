package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// api is the API of Step Functions and where it is served.
type api struct {
	server   *sfnapi.Server
	listener net.Listener
}

// newAPI takes the port of the API and makes it; nil where it is off.
func (d *daemon) newAPI(activities *sfnapi.Activities, fold sfnapi.Fold) (*api, error) {
	settings := d.cfg.Settings.Embedded
	if settings.Listen == "off" {
		return nil, nil
	}
	cfg := sfnapi.Config{
		Journal: d.journal, Engine: d.engine, Activities: activities,
		Region: settings.Region, Account: settings.Account, Log: d.log,
		Policies: func() map[string]orchestrator.Machine { return embeddedMachines(d.generation.config()) },
		Runs:     d.embeddedRuns,
		Tell:     func(ctx context.Context, events []anneal.Event) error { return d.controller.IngestNews(ctx, events) },
		Trace:    d.tasks.Trace,
	}
	if len(settings.Credentials) > 0 {
		cfg.Signatures = &sfnapi.Signatures{Keys: map[string]string{}, Region: settings.Region}
		for _, id := range sortedKeys(settings.Credentials) {
			key, err := settings.Credentials[id].Resolve()
			if err != nil {
				return nil, usage(fmt.Errorf("embedded.credentials.%s: %w", id, err))
			}
			cfg.Signatures.Keys[id] = key
		}
	}
	d.newLogs()
	cfg.Write = d.logs.write
	if groups, ok := d.logs.(*logGroups); ok {
		cfg.LogGroup = groups.exists
	}
	l, err := d.listen("embedded.listen", settings.Listen)
	if err != nil {
		return nil, err
	}
	return &api{server: sfnapi.New(cfg, fold), listener: l}, nil
}

// serveAPI serves the API.
func (d *daemon) serveAPI(ctx context.Context) error {
	return d.serveHTTP(ctx, d.api.listener, d.api.server)
}

// embeddedRuns are the runs of a policy, newest first.
func (d *daemon) embeddedRuns(ctx context.Context, policy string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		for r, err := range d.journal.Newest(ctx, controller.KindRun, 0) {
			if err != nil {
				yield("", err)
				return
			}
			if seen[r.Key] {
				continue
			}
			seen[r.Key] = true
			var run anneal.Run
			if err := json.Unmarshal(r.Data, &run); err != nil {
				yield("", fmt.Errorf("read run %s: %w", r.Key, err))
				return
			}
			if run.Policy == policy && !yield(run.ID, nil) {
				return
			}
		}
	}
}
