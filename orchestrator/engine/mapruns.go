package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// ErrNoMapRun says that there is no map run of an ARN.
var ErrNoMapRun = errors.New("no map run of this ARN")

func (e *Engine) mapRunRecord(ctx context.Context, id string) (mapRunRecord, error) {
	var rec mapRunRecord
	r, err := e.journal.Find(ctx, kindMapRun, id)
	if errors.Is(err, journal.ErrNotFound) {
		return rec, orchestrator.ErrNotFound
	}
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(r.Data, &rec); err != nil {
		return rec, fmt.Errorf("read map run in record %d: %w", r.Seq, err)
	}
	return rec, nil
}

// MapRuns are the map runs of an execution, oldest first.
func (e *Engine) MapRuns(ctx context.Context, execution string) ([]MapRun, error) {
	events, err := e.History(ctx, execution)
	if err != nil {
		return nil, err
	}
	var runs []MapRun
	for _, event := range events {
		if event.MapRunStarted == nil {
			continue
		}
		run, err := e.DescribeMapRun(ctx, event.MapRunStarted.MapRunARN)
		if errors.Is(err, ErrNoMapRun) {
			last := events[len(events)-1]
			if !last.Ended() {
				continue // it is about to begin, and nothing else can be told of it
			}
			run, err = MapRun{ARN: event.MapRunStarted.MapRunARN, Execution: execution, Status: asl.StatusAborted, Started: event.Timestamp, Stopped: last.Timestamp}, nil
		}
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// DescribeMapRun says where a map run stands: to the item while it runs.
func (e *Engine) DescribeMapRun(ctx context.Context, arn string) (MapRun, error) {
	id := asl.MapRunID(arn)
	rec, err := e.mapRunRecord(ctx, id)
	if errors.Is(err, orchestrator.ErrNotFound) || err == nil && rec.ARN != arn {
		return MapRun{}, fmt.Errorf("map run %s: %w", arn, ErrNoMapRun)
	}
	if err != nil {
		return MapRun{}, fmt.Errorf("map run %s: %w", arn, err)
	}
	if run, ok := e.liveMapRun(id); ok {
		return run, nil
	}
	// What nobody has noted: the children after Begun, and that nobody waits.
	for i := rec.Begun; ; i++ {
		t, err := e.newest(ctx, asl.ChildName(id, i))
		if errors.Is(err, orchestrator.ErrNotFound) {
			break
		}
		if err != nil {
			return MapRun{}, fmt.Errorf("map run %s: %w", arn, err)
		}
		rec.Executions.add(t.Status, 1)
		rec.Items.add(t.Status, t.State.Execution.MapItems)
	}
	if rec.Status == asl.StatusRunning {
		t, err := e.newest(ctx, rec.Execution)
		if err != nil {
			return MapRun{}, fmt.Errorf("map run %s: %w", arn, err)
		}
		if !slices.Contains(t.State.MapRuns(), id) {
			rec.Status = asl.StatusAborted
			if n := len(t.Events); n > 0 {
				rec.Stopped = t.Events[n-1].Timestamp
			}
		}
	}
	return rec.MapRun, nil
}

// liveMapRun is a map run as it stands in this process.
func (e *Engine) liveMapRun(id string) (MapRun, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.runs[id]
	if r == nil || r.rec.ARN == "" {
		return MapRun{}, false
	}
	rec := r.rec
	for _, b := range r.blocks {
		rec.Items, rec.Executions = rec.Items.plus(b.items), rec.Executions.plus(b.executions)
	}
	for _, c := range r.open {
		rec.Executions.Running++
		rec.Items.Running += c.items
	}
	return rec.MapRun, true
}

// A MapRunUpdate is what of a map run to change; nil stays.
type MapRunUpdate struct {
	MaxConcurrency      *int // 0: as many as there may be
	ToleratedCount      *int64
	ToleratedPercentage *float64
}

// ErrMapRunEnded says that a map run can no longer be changed.
var ErrMapRunEnded = errors.New("the map run has ended")

// UpdateMapRun changes a map run that runs. It returns when that is durable.
func (e *Engine) UpdateMapRun(ctx context.Context, arn string, u MapRunUpdate) error {
	run, err := e.DescribeMapRun(ctx, arn)
	if err != nil {
		return err
	}
	e.mu.Lock()
	r := e.runs[asl.MapRunID(arn)]
	if r == nil || r.rec.ARN != arn || run.Status != asl.StatusRunning {
		e.mu.Unlock()
		return fmt.Errorf("map run %s: %w", arn, ErrMapRunEnded)
	}
	if u.MaxConcurrency != nil {
		r.rec.MaxConcurrency = *u.MaxConcurrency
	}
	if u.ToleratedCount != nil {
		r.rec.ToleratedCount = u.ToleratedCount
	}
	if u.ToleratedPercentage != nil {
		r.rec.ToleratedPercentage = u.ToleratedPercentage
	}
	e.mu.Unlock()
	if err := e.saveMapRun(ctx, r); err != nil {
		return fmt.Errorf("map run %s: %w", arn, err)
	}
	r.signal()
	return nil
}

// MapRunExecutions are the child executions of a map run by their index, from
// the one of that index on, at most n.
func (e *Engine) MapRunExecutions(ctx context.Context, arn string, from, n int) ([]orchestrator.Execution, error) {
	if _, err := e.DescribeMapRun(ctx, arn); err != nil {
		return nil, err
	}
	var all []orchestrator.Execution
	for i := from; i < from+n; i++ {
		x, err := e.newest(ctx, asl.ChildName(asl.MapRunID(arn), i))
		if errors.Is(err, orchestrator.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("executions of map run %s: %w", arn, err)
		}
		all = append(all, describe(x.Turn))
	}
	return all, nil
}
