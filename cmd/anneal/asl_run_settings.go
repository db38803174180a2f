package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

// settle has the tasks of a rehearsal done as a settings file says, in a folder of
// its own, which the function that it returns removes. What people would be told goes
// to tell instead, nothing goes to AWS, and no other state machine is begun.
func (r *rehearsal) settle(file string, tell io.Writer) (remove func(), err error) {
	cfg, err := configs.Load(file, loadOptions())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "anneal-run-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	cfg.Settings.Data = configs.Folder(dir)
	cfg.Settings.Embedded.AWS, cfg.Settings.Embedded.Listen = "deny", "off"
	buckets := map[string]string{}
	for name, folder := range cfg.Settings.Buckets {
		buckets[name] = string(folder)
	}
	d := &daemon{cfg: cfg, log: discarded()}
	if d.objects, err = objects.New(objects.Config{Buckets: buckets}); err != nil {
		return nil, err
	}
	does, err := d.tasksConfig(buckets, configs.Secret.Resolve)
	if err != nil {
		return nil, err
	}
	does.Machines = func() map[string]orchestrator.Machine { return nil }
	does.Publish = func(_ context.Context, _, topic, channel, subject, message string) error {
		_, err := fmt.Fprintf(tell, "%s to channel %s: %s\n", topic, channel, strings.TrimPrefix(subject+": "+message, ": "))
		return err
	}
	if r.tasks, err = tasks.New(does); err != nil {
		return nil, err
	}
	if len(buckets) > 0 && r.objects == nil {
		r.objects = d.objects
	}
	return func() { os.RemoveAll(dir) }, nil
}

// errLate says that a state timed out before its task ended.
var errLate = errors.New("the task takes too long")

// does does a task as the settings say. It takes as long as it takes, and a task that
// its state gives less is let go.
func (r *rehearsal) does(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	for _, resource := range r.machine.Resources() {
		if resource.State != e.State {
			continue
		}
		if err := r.tasks.Check(resource); err != nil {
			return asl.Outcome{}, fmt.Errorf("%w; or give it a response with --mocks and --case, as a run neither goes to AWS nor begins other state machines", err)
		}
	}
	doing, cancel := ctx, func() {}
	if !e.Deadline.IsZero() {
		doing, cancel = context.WithTimeout(ctx, e.Deadline.Sub(r.now))
	}
	defer cancel()
	begun := time.Now()
	o, err := r.tasks.Do(doing, e, false, func(json.RawMessage) {})
	switch {
	case errors.Is(err, orchestrator.ErrLater):
		return o, fmt.Errorf("the state %s waits until somebody tells how its task ended: give it a response with --mocks and --case", e.State)
	case err != nil:
		r.tasks.Stop(context.WithoutCancel(ctx), e.ID)
		if ctx.Err() == nil && doing.Err() != nil {
			return o, errLate
		}
		return o, fmt.Errorf("the state %s: %w", e.State, err)
	}
	r.now = r.now.Add(time.Since(begun).Truncate(time.Millisecond))
	return o, nil
}

// lacks says what a state that calls something needs.
func (r *rehearsal) lacks(e asl.Effect) error {
	if r.testCase == "" {
		return fmt.Errorf("the state %s calls %s: give it a response with --mocks and --case, or settings with --config", e.State, e.Resource)
	}
	return fmt.Errorf("the state %s calls %s, and the test case %s has no response for it", e.State, cmp.Or(e.Resource, "a distributed Map"), r.testCase)
}
