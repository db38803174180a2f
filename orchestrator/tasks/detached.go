package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// async accepts a job that nobody waits for. Its effect is done with the
// answer; the job is kept in a list on disk until [Tasks.Run] has seen it to
// its end.
func (t *Tasks) async(e asl.Effect, k *jobKind) asl.Outcome {
	j, refused := t.accept(e, k)
	if refused != nil {
		return *refused
	}
	err := createFile(t.listed(e.ID), encode(e))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return awsError("SageMaker", "AmazonSageMakerException", err.Error(), "AmazonSageMaker", 500, "InternalFailure", e.ID)
	}
	t.rouse()
	return j.accepted()
}

// listed is where a job that nobody waits for is kept in mind.
func (t *Tasks) listed(effect string) string {
	return filepath.Join(t.cfg.Dir, ".detached", effect+".json")
}

// Run sees the jobs to their end that were asked for without .sync, those from
// before a restart too, and ends the nested executions and containers of effects
// that were stopped. It ends with ctx; the jobs go on.
func (t *Tasks) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	followed := map[string]bool{}
	for {
		t.mu.Lock()
		ending := t.ending
		t.ending = nil
		t.mu.Unlock()
		for _, n := range ending {
			wg.Go(func() { t.finish(ctx, n) })
		}
		entries, err := os.ReadDir(filepath.Dir(t.listed("")))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list detached jobs: %w", err)
		}
		for _, entry := range entries {
			id, ok := strings.CutSuffix(entry.Name(), ".json")
			if !ok || followed[id] {
				continue
			}
			followed[id] = true
			wg.Go(func() {
				if err := t.followDetached(ctx, id); err != nil && ctx.Err() == nil {
					t.cfg.Log.ErrorContext(ctx, "detached job not followed", "effect", id, "err", err)
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		}
	}
}

// finish ends what a stopped effect began elsewhere.
func (t *Tasks) finish(ctx context.Context, n noted) {
	var err error
	if n.Child != "" {
		by := n.Execution
		if x, err := t.cfg.Executor.Describe(ctx, by); err == nil {
			by = x.ARN
		}
		err = t.cfg.Executor.Stop(ctx, n.Child, "", "The Task state in AWS Step Functions execution ["+by+"] which was managing this resource was aborted")
		if errors.Is(err, orchestrator.ErrNotFound) {
			err = nil // not begun
		}
	} else if err = t.stopContainer(ctx, n.Engine, n.Container); err == nil {
		_, err = engineCommand(ctx, n.Engine, nil, "rm", "-f", n.Container)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, errNoContainer) {
		t.cfg.Log.ErrorContext(ctx, "not stopped", "execution", n.Child, "container", n.Container, "err", err)
	}
}

func (t *Tasks) followDetached(ctx context.Context, id string) error {
	data, err := os.ReadFile(t.listed(id))
	if err != nil {
		return err
	}
	var e asl.Effect
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read %s: %w", t.listed(id), err)
	}
	k := training
	if _, action := integration(e.Resource); action == "createProcessingJob" {
		k = processing
	}
	j, refused := t.accept(e, k)
	if refused != nil {
		return fmt.Errorf("%s: %s", refused.Error, refused.Cause)
	}
	o, err := t.follow(ctx, j)
	if err != nil {
		return err
	}
	t.cfg.Log.InfoContext(ctx, "job ended", "job", j.name, "effect", id, "error", o.Error, "cause", o.Cause)
	return os.Remove(t.listed(id))
}
