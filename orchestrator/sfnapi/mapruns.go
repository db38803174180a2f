package sfnapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

type mapRunInput struct {
	Execution string `json:"executionArn"`
	ARN       string `json:"mapRunArn"`
	page

	MaxConcurrency      *int     `json:"maxConcurrency"`
	ToleratedCount      *int64   `json:"toleratedFailureCount"`
	ToleratedPercentage *float64 `json:"toleratedFailurePercentage"`
}

type mapRunItem struct {
	Execution string `json:"executionArn"`
	ARN       string `json:"mapRunArn"`
	Machine   string `json:"stateMachineArn,omitempty"`
	Started   *epoch `json:"startDate"`
	Stopped   *epoch `json:"stopDate,omitempty"`
}

// counts are how many items or executions stand how, as the service tells it.
type counts struct {
	Pending         int64 `json:"pending"`
	Running         int64 `json:"running"`
	Succeeded       int64 `json:"succeeded"`
	Failed          int64 `json:"failed"`
	TimedOut        int64 `json:"timedOut"`
	Aborted         int64 `json:"aborted"`
	Total           int64 `json:"total"`
	Written         int64 `json:"resultsWritten"`
	NotRedrivable   int64 `json:"failuresNotRedrivable"`
	PendingRedriven int64 `json:"pendingRedrive"`
}

func countsOf(c engine.Counts, total, written int64) counts {
	known := c.Ended() + c.Running
	total = max(total, known)
	return counts{Pending: total - known, Running: c.Running, Succeeded: c.Succeeded, Failed: c.Failed, TimedOut: c.TimedOut, Aborted: c.Aborted, Total: total, Written: written}
}

// listMapRuns answers the map runs of an execution, newest first.
func (s *Server) listMapRuns(ctx context.Context, in mapRunInput) (any, error) {
	_, key, x, err := s.execution(ctx, in.Execution)
	if err != nil {
		return nil, err
	}
	runs, err := s.cfg.Engine.MapRuns(ctx, key)
	if err != nil {
		return nil, err
	}
	items, places := make([]mapRunItem, len(runs)), map[string]string{}
	for i, r := range runs {
		at := len(runs) - 1 - i
		items[at] = mapRunItem{Execution: x.ARN, ARN: r.ARN, Machine: x.Machine, Started: since(&r.Started), Stopped: since(&r.Stopped)}
		places[r.ARN] = fmt.Sprintf("%09d", at)
	}
	items, next, err := cut(items, func(x mapRunItem) string { return places[x.ARN] }, in.page, "mapRuns:"+key)
	return struct {
		Items []mapRunItem `json:"mapRuns"`
		Next  string       `json:"nextToken,omitempty"`
	}{items, next}, err
}

// mapRun finds a map run by its ARN.
func (s *Server) mapRun(ctx context.Context, arn string) (engine.MapRun, error) {
	if _, err := parseARN(arn, "mapRun"); err != nil {
		return engine.MapRun{}, err
	}
	r, err := s.cfg.Engine.DescribeMapRun(ctx, arn)
	if errors.Is(err, engine.ErrNoMapRun) {
		err = noResource(arn)
	}
	return r, err
}

func (s *Server) describeMapRun(ctx context.Context, in mapRunInput) (any, error) {
	r, err := s.mapRun(ctx, in.ARN)
	if err != nil {
		return nil, err
	}
	x, err := s.cfg.Engine.Describe(ctx, r.Execution)
	if err != nil {
		return nil, err
	}
	out := struct {
		ARN        string  `json:"mapRunArn"`
		Execution  string  `json:"executionArn"`
		Status     string  `json:"status"`
		Started    *epoch  `json:"startDate"`
		Stopped    *epoch  `json:"stopDate,omitempty"`
		Most       int     `json:"maxConcurrency"`
		Percentage float64 `json:"toleratedFailurePercentage"`
		Count      int64   `json:"toleratedFailureCount"`
		Items      counts  `json:"itemCounts"`
		Executions counts  `json:"executionCounts"`
		Redrives   int64   `json:"redriveCount"`
		Redriven   *epoch  `json:"redriveDate,omitempty"`
	}{
		ARN: r.ARN, Execution: x.ARN, Status: r.Status, Started: since(&r.Started), Stopped: since(&r.Stopped), Most: r.MaxConcurrency,
		Items: countsOf(r.Items, r.Total, r.Written), Executions: countsOf(r.Executions, 0, 0), Redrives: r.Redrives, Redriven: since(&r.RedrivenAt),
	}
	if r.ToleratedPercentage != nil {
		out.Percentage = *r.ToleratedPercentage
	}
	if r.ToleratedCount != nil {
		out.Count = *r.ToleratedCount
	}
	return out, nil
}

func (s *Server) updateMapRun(ctx context.Context, in mapRunInput) (any, error) {
	if _, err := s.mapRun(ctx, in.ARN); err != nil {
		return nil, err
	}
	if in.MaxConcurrency == nil && in.ToleratedCount == nil && in.ToleratedPercentage == nil {
		return nil, invalid("At least one of maxConcurrency, toleratedFailureCount or toleratedFailurePercentage must be specified").because(reasonMissing)
	}
	err := s.cfg.Engine.UpdateMapRun(ctx, in.ARN, engine.MapRunUpdate{
		MaxConcurrency: in.MaxConcurrency, ToleratedCount: in.ToleratedCount, ToleratedPercentage: in.ToleratedPercentage,
	})
	if errors.Is(err, engine.ErrMapRunEnded) {
		err = invalid("Map Run is not running: '%s'", in.ARN).because(reasonEnded)
	}
	return nothing{}, err
}

// listMapRunExecutions are the child executions of a map run, in the order of
// the items.
func (s *Server) listMapRunExecutions(ctx context.Context, in listExecutionsInput) (any, error) {
	if _, err := s.mapRun(ctx, in.MapRun); err != nil {
		return nil, err
	}
	of := "children:" + in.MapRun + ":" + in.Status + ":" + in.Redrive
	after, err := in.after(of)
	if err != nil {
		return nil, err
	}
	from, _ := strconv.Atoi(after) // a token of ours; empty: 0
	items, next := []item{}, ""
	for next == "" {
		some, err := s.cfg.Engine.MapRunExecutions(ctx, in.MapRun, from, in.size())
		if err != nil {
			return nil, err
		}
		for _, x := range some {
			if len(items) == in.size() {
				next = token(of, strconv.Itoa(from))
				break
			}
			from++
			if in.Status != "" && in.Status != string(x.Status) || in.Redrive != "" && (in.Redrive == "REDRIVEN") != (x.Redrives > 0) {
				continue
			}
			it := childItem(x)
			it.Items = x.Items
			items = append(items, it)
		}
		if len(some) < in.size() {
			break
		}
	}
	return struct {
		Items []item `json:"executions"`
		Next  string `json:"nextToken,omitempty"`
	}{items, next}, nil
}

func childItem(x orchestrator.Execution) item {
	return item{ARN: x.ARN, Machine: x.Machine, Name: x.Name, Status: string(x.Status), Started: since(x.Started), Stopped: since(x.Ended), Redrives: x.Redrives, Redriven: since(x.Redriven), MapRun: x.MapRun}
}

// childOf finds the child execution of a distributed Map by its ARN, in which the
// machine has the label of the Map.
func (s *Server) childOf(ctx context.Context, a arn) (m *machine, x orchestrator.Execution, ok bool) {
	name, _, labelled := strings.Cut(a.name(), "/")
	if m, ok = s.machine(name); !ok || !labelled {
		return nil, x, false
	}
	x, err := s.cfg.Engine.Describe(ctx, a.qualifier())
	return m, x, err == nil && x.ARN == a.text && x.MapRun != ""
}
