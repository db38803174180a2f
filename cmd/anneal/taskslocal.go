package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

// newTasks makes what does the tasks of executions, as the settings say; read resolves
// their secrets.
func (d *daemon) newTasks(buckets map[string]string, read func(configs.Secret) (string, error)) (*tasks.Tasks, error) {
	cfg, err := d.tasksConfig(buckets, read)
	if err != nil {
		return nil, err
	}
	return tasks.New(cfg)
}

// tasksConfig is where the settings have tasks run.
func (d *daemon) tasksConfig(buckets map[string]string, read func(configs.Secret) (string, error)) (tasks.Config, error) {
	cfg := tasks.Config{
		Dir:       d.jobs(),
		Functions: map[string]tasks.Function{},
		Images:    map[string]tasks.Image{},
		Topics:    d.cfg.Settings.Embedded.Topics,
		Jobs:      d.cfg.Settings.Embedded.Jobs,
		Builtins:  d.builtins(),
		Publish: func(ctx context.Context, effect, topic, channel, subject, message string) error {
			return d.controller.Publish(ctx, effect, channel, subject, message)
		},
		Objects:  jobObjects{d.objects},
		Machines: d.nestedMachines,
		Executor: lateEngine{d},
		Buckets:  sortedKeys(d.cfg.Settings.Buckets),
		Region:   d.cfg.Settings.Embedded.Region,
		Account:  d.cfg.Settings.Embedded.Account,
		Log:      d.log,
	}
	if err := d.reachAWS(&cfg, read); err != nil {
		return cfg, err
	}
	if err := d.connect(&cfg, read); err != nil {
		return cfg, err
	}
	// What a local process needs to resolve s3:// URIs as anneal does.
	mapped, err := json.Marshal(buckets)
	if err != nil {
		return cfg, fmt.Errorf("encode the buckets: %w", err)
	}
	env := func(given map[string]configs.Secret) (map[string]string, error) {
		env := map[string]string{"ANNEAL_BUCKETS": string(mapped)}
		for name, secret := range given {
			value, err := read(secret)
			if err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", name, err)
			}
			env[name] = value
		}
		return env, nil
	}
	for name, f := range d.cfg.Settings.Embedded.Functions {
		e, err := env(f.Env)
		if err != nil {
			return cfg, fmt.Errorf("function %s: %w", name, err)
		}
		h, err := httpFunction(f.HTTP, read)
		if err != nil {
			return cfg, fmt.Errorf("function %s: %w", name, err)
		}
		cfg.Functions[name] = tasks.Function{
			Builtin: f.Builtin, HTTP: h, Command: f.Command, Dir: d.cfg.Dir(), Env: e, Timeout: time.Duration(f.Timeout),
		}
	}
	for name, image := range d.cfg.Settings.Embedded.Images {
		e, err := env(image.Env)
		if err != nil {
			return cfg, fmt.Errorf("image %s: %w", name, err)
		}
		cfg.Images[name] = tasks.Image{Container: image.Container, Command: image.Command, Dir: d.cfg.Dir(), Env: e}
	}
	return cfg, nil
}

func httpFunction(h *configs.HTTP, read func(configs.Secret) (string, error)) (*tasks.HTTP, error) {
	if h == nil {
		return nil, nil
	}
	url, err := read(h.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	out := &tasks.HTTP{URL: url, Headers: map[string]string{}}
	for name, secret := range h.Headers {
		if out.Headers[name], err = read(secret); err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
	}
	return out, nil
}

// nestedMachines are the state machines that others can begin: those that the
// settings name, those of policies by the policy's name, and those of the API.
func (d *daemon) nestedMachines() map[string]orchestrator.Machine {
	cfg := d.generation.newest()
	all := map[string]orchestrator.Machine{}
	if d.api != nil {
		machines, err := d.api.server.Machines(context.Background())
		if err != nil {
			d.log.Warn("state machines of the API cannot be begun", "err", err)
		}
		maps.Copy(all, machines)
	}
	maps.Copy(all, embeddedMachines(cfg))
	for name, file := range cfg.Settings.Embedded.StateMachines {
		all[name] = orchestrator.Machine{Name: name, Definition: cfg.Machines[string(file)].Definition}
	}
	return all
}

// lateEngine is the daemon's engine, for the tasks that it is made with.
type lateEngine struct{ d *daemon }

func (l lateEngine) Start(ctx context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	return l.d.engine.Start(ctx, in)
}
func (l lateEngine) Describe(ctx context.Context, name string) (orchestrator.Execution, error) {
	return l.d.engine.Describe(ctx, name)
}
func (l lateEngine) Stop(ctx context.Context, name, errorName, cause string) error {
	return l.d.engine.Stop(ctx, name, errorName, cause)
}
