package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/policy"
)

// brittle does every task at once; it fails while it is broken.
type brittle struct{ broken atomic.Bool }

func (b *brittle) Do(context.Context, asl.Effect, bool, func(json.RawMessage)) (asl.Outcome, error) {
	if b.broken.Load() {
		return asl.Outcome{Error: "Broken"}, nil
	}
	return asl.Outcome{Output: json.RawMessage(`{}`)}, nil
}
func (b *brittle) Stop(context.Context, string) {}
func (b *brittle) Check(asl.Resource) error     { return nil }

// deaf is an engine that does not redrive.
type deaf struct{ *engine.Engine }

func (deaf) Redrive(context.Context, string) (orchestrator.Execution, error) {
	return orchestrator.Execution{}, errors.New("no answer")
}

// A run that is redriven is open from the record that says so; a process that
// ends before the execution goes on leaves it to the next one.
func TestRedriveRun(t *testing.T) {
	p := compiled(t, policy.Spec{
		APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: "p"},
		Spec: policy.Body{
			Mode: policy.Enforce, Model: policy.Model{Group: "g"},
			Rules:  []policy.Rule{{ID: "always", If: "true"}},
			Guards: policy.Guards{Concurrency: &policy.Concurrency{Limit: 1}},
			Run:    &policy.Run{StateMachine: policy.StateMachine{File: "m"}},
		},
	})
	machine := orchestrator.Machine{Name: "p", Definition: []byte(`{"StartAt": "Train", "States": {"Train": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true}}}`)}
	synctest.Test(t, func(t *testing.T) {
		memory, tasks := new(journal.Memory), new(brittle)
		// A process, until stop.
		process := func(hears bool) (c *controller.Controller, j *journal.Journal, stop func()) {
			j, err := journal.Open(t.Context(), memory, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			recovery, err := controller.Recover(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			e, err := engine.New(t.Context(), engine.Config{Journal: j, Tasks: tasks}, recovery.Engine)
			if err != nil {
				t.Fatal(err)
			}
			var executor orchestrator.Executor = e
			if !hears {
				executor = deaf{e}
			}
			c = controller.New(controller.Config{
				Journal: j, Log: slog.New(slog.DiscardHandler),
				Generation: controller.Generation{Policies: []*policy.Policy{p}, Machines: map[string]orchestrator.Machine{"p": machine}},
				Executors:  map[string]orchestrator.Executor{policy.ExecutorEmbedded: executor},
			}, recovery.State)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 2)
			go func() { ended <- e.Run(ctx) }()
			go func() { ended <- c.Run(ctx) }()
			return c, j, func() {
				cancel()
				if err := errors.Join(<-ended, <-ended); err != nil {
					t.Error(err)
				}
				j.Close()
			}
		}
		run := func(j *journal.Journal, id string) (run anneal.Run) {
			t.Helper()
			synctest.Wait()
			r, err := j.Find(t.Context(), controller.KindRun, id)
			if err == nil {
				err = json.Unmarshal(r.Data, &run)
			}
			if err != nil {
				t.Fatal(err)
			}
			return run
		}

		tasks.broken.Store(true)
		c, j, stop := process(false)
		d, err := c.Trigger(t.Context(), "p", nil, false)
		if err != nil || d.Verdict != anneal.VerdictRun {
			t.Fatalf("%+v, %v", d, err)
		}
		if r := run(j, d.ID); r.Status != anneal.StatusFailed || r.Error != "Broken" {
			t.Fatalf("run %+v, want it FAILED", r)
		}
		tasks.broken.Store(false)
		if r, err := c.RedriveRun(t.Context(), d.ID); err != nil || r.Status != anneal.StatusRunning {
			t.Fatalf("redrive: %+v, %v", r, err)
		}
		if r := run(j, d.ID); r.Status != anneal.StatusRunning || r.Ended != nil || r.Error != "" || r.Redrives != 1 {
			t.Errorf("run %+v, want it RUNNING", r)
		}
		var refused *controller.RedriveError
		if _, err := c.RedriveRun(t.Context(), d.ID); !errors.As(err, &refused) || refused.Reason != "it has not ended" {
			t.Errorf("redrive again: %v", err)
		}
		if other, err := c.Trigger(t.Context(), "p", nil, false); err != nil || other.Verdict != anneal.VerdictHold {
			t.Errorf("beside it: %s %s, %v, want a hold", other.Verdict, other.Reason, err)
		}
		stop() // before the execution heard of it

		c, j, stop = process(true)
		defer func() { stop() }()
		if r := run(j, d.ID); r.Status != anneal.StatusSucceeded || r.Redrives != 1 || r.Error != "" {
			t.Errorf("run %+v, want it SUCCEEDED", r)
		}
		if _, err := c.RedriveRun(t.Context(), d.ID); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "SUCCEEDED and cannot be redriven") {
			t.Errorf("redrive after success: %v", err)
		}
		if _, err := c.RedriveRun(t.Context(), "none"); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("redrive of none: %v", err)
		}

		// Two weeks are over.
		tasks.broken.Store(true)
		if d, err = c.Trigger(t.Context(), "p", nil, false); err != nil || d.Verdict != anneal.VerdictRun {
			t.Fatalf("%+v, %v", d, err)
		}
		run(j, d.ID)
		time.Sleep(15 * 24 * time.Hour)
		if _, err := c.RedriveRun(t.Context(), d.ID); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "more than 14 days ago") {
			t.Errorf("redrive of an old run: %v", err)
		}
	})
}
