package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/policy"
)

// remote is an executor elsewhere, which at times does not answer. It has one
// execution, which outlives those who ask.
type remote struct {
	mu      sync.Mutex
	away    int      // guarded by mu; calls that get no answer
	asked   []string // guarded by mu; starts
	started time.Time
	ends    chan struct{}
}

func (r *remote) answers() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away > 0 {
		r.away--
		return fmt.Errorf("call: %w", orchestrator.ErrUnavailable)
	}
	return nil
}

func (r *remote) Start(_ context.Context, in orchestrator.StartInput) (orchestrator.Execution, error) {
	if err := r.answers(); err != nil {
		return orchestrator.Execution{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, fmt.Sprintf("%s begun=%t", in.Machine.ARN, in.Begun))
	return orchestrator.Execution{Name: in.Name, ARN: "arn:x", Status: anneal.StatusRunning, Started: &r.started}, nil
}

func (r *remote) Wait(ctx context.Context, name string) (orchestrator.Execution, error) {
	select {
	case <-r.ends:
		return orchestrator.Execution{Name: name, ARN: "arn:x", Status: anneal.StatusSucceeded, Started: &r.started, Ended: new(time.Now())}, nil
	case <-ctx.Done():
		return orchestrator.Execution{}, ctx.Err()
	}
}

func (r *remote) History(context.Context, string) ([]asl.HistoryEvent, error) {
	if err := r.answers(); err != nil {
		return nil, err
	}
	return []asl.HistoryEvent{
		{ID: 1, Type: asl.TaskStateEntered, StateEntered: &asl.StateEnteredDetails{Name: "Register", Input: `{}`}},
		{ID: 2, PreviousID: 1, Type: asl.TaskSucceeded},
		{ID: 3, PreviousID: 2, Type: "TaskStateExited", StateExited: &asl.StateExitedDetails{Name: "Register", Output: `{"uri": "s3://m/1"}`}},
	}, nil
}

func (r *remote) Describe(context.Context, string) (orchestrator.Execution, error) {
	return orchestrator.Execution{}, errors.New("not asked for here")
}
func (r *remote) Stop(context.Context, string, string, string) error { return nil }
func (r *remote) Redrive(context.Context, string) (orchestrator.Execution, error) {
	return orchestrator.Execution{}, errors.New("not asked for here")
}

// A run elsewhere waits for as long as its executor does not answer, keeps the
// machine that it was decided with, and is not begun again by the next process.
func TestRemoteRun(t *testing.T) {
	p := compiled(t, policy.Spec{
		APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: "p"},
		Spec: policy.Body{
			Mode: policy.Enforce, Model: policy.Model{Group: "g"},
			Rules: []policy.Rule{{ID: "always", If: "true"}},
			Run: &policy.Run{
				Executor: policy.ExecutorStepFunctions, StateMachine: policy.StateMachine{ARN: "arn:a"},
				Model: &policy.RunModel{State: "Register", Artifact: map[string]any{"expr": "state.output.uri"}},
			},
		},
	})
	synctest.Test(t, func(t *testing.T) {
		memory, r := new(journal.Memory), &remote{away: 30, started: time.Now(), ends: make(chan struct{})}
		var told []string
		// A process, until stop.
		process := func(arn string) (c *controller.Controller, j *journal.Journal, stop func()) {
			j, err := journal.Open(t.Context(), memory, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			recovery, err := controller.Recover(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			c = controller.New(controller.Config{
				Journal: j, Log: slog.New(slog.DiscardHandler),
				Generation: controller.Generation{Policies: []*policy.Policy{p}, Machines: map[string]orchestrator.Machine{"p": {Name: "p", ARN: arn}}},
				Executors:  map[string]orchestrator.Executor{policy.ExecutorStepFunctions: r},
				Told:       func(e anneal.Event) { told = append(told, e.ID) },
				Checksum:   func(context.Context, string) (string, int64, error) { return "00", 1, nil },
			}, recovery.State)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			return c, j, func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				j.Close()
			}
		}
		run := func(j *journal.Journal, id string, want anneal.Status) (run anneal.Run) {
			t.Helper()
			synctest.Wait()
			record, err := j.Find(t.Context(), controller.KindRun, id)
			if err == nil {
				err = json.Unmarshal(record.Data, &run)
			}
			if err != nil || run.Status != want || run.Machine != "arn:a" {
				t.Fatalf("run %+v, %v; want it %s on arn:a", run, err, want)
			}
			return run
		}
		c, j, stop := process("arn:a")
		d, err := c.Trigger(t.Context(), "p", nil, false)
		if err != nil || d.Verdict != anneal.VerdictRun {
			t.Fatalf("%+v, %v", d, err)
		}
		time.Sleep(10 * time.Minute)
		run(j, d.ID, anneal.StatusPending)
		time.Sleep(time.Hour)
		run(j, d.ID, anneal.StatusRunning)
		event := anneal.Event{SpecVersion: "1.0", ID: "e", Source: "aws.states", Type: "Step Functions Execution Status Change", Data: json.RawMessage(`{}`), Seen: time.Now()}
		if _, _, err := c.Ingest(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"e"}, told[max(0, len(told)-1):]); diff != "" {
			t.Errorf("events told (-want +got):\n%s", diff)
		}
		stop()

		_, j, stop = process("arn:b")
		defer func() { stop() }()
		run(j, d.ID, anneal.StatusRunning)
		r.mu.Lock()
		r.away = 12 // of the history, then
		r.mu.Unlock()
		close(r.ends)
		run(j, d.ID, anneal.StatusRunning)
		time.Sleep(time.Hour)
		run(j, d.ID, anneal.StatusSucceeded)
		if _, err := j.Find(t.Context(), controller.KindModel, anneal.ModelID("g", 1)); err != nil {
			t.Errorf("its model: %v", err)
		}
		if diff := cmp.Diff([]string{"arn:a begun=false", "arn:a begun=true"}, r.asked); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}
