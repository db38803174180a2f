package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/web"
)

// runCommands are those of `anneal runs` besides list and show.
func runCommands(from *reach) []*cobra.Command {
	return []*cobra.Command{newRunHistory(from), newRunLogs(from), newRunStop(), newRunRedrive()}
}

func newRunHistory(from *reach) *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "history RUN",
		Short: "Show the history of a run's execution, as Step Functions would",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := show(cmd, from, out, "GET", "/api/v1/runs/"+url.PathEscape(args[0])+"/history", nil, writeHistory)
			return err
		},
	}
	from.flags(c)
	out.flags(c)
	return c
}

// writeHistory writes a history as a table.
func writeHistory(w io.Writer, events []asl.HistoryEvent) error {
	var table bytes.Buffer
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tAT\tTYPE\tSTATE\tDETAIL")
	states := statesOf(events)
	for _, e := range events {
		// Each row has all cells, or the columns would end with it.
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", e.ID, clock(e.Timestamp), e.Type, printable(states[e.ID]), printable(summary(e)))
	}
	t.Flush() // into memory
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func newRunStop() *cobra.Command {
	var from reach
	var out output
	var cause string
	c := &cobra.Command{
		Use:   "stop RUN",
		Short: "Abort an open run and the jobs it started",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, body := "/api/v1/runs/"+url.PathEscape(args[0])+"/stop", web.StopRequest{Cause: cause}
			_, err := show(cmd, &from, out, "POST", path, body, func(w io.Writer, run anneal.Run) error {
				_, err := fmt.Fprintf(w, "run %s is being stopped\n", run.ID)
				return err
			})
			return err
		},
	}
	from.daemonFlags(c)
	out.flags(c)
	c.Flags().StringVar(&cause, "cause", "stopped by hand", "why, for the execution's history")
	return c
}

func newRunRedrive() *cobra.Command {
	var from reach
	var out output
	c := &cobra.Command{
		Use:   "redrive RUN",
		Short: "Go on with a run that failed, from what failed",
		Long: `Go on with a run that FAILED, TIMED_OUT or was ABORTED in the last 14 days, from the
states that did not succeed, in branches too: with the same input and definition, and
attempts and timeouts counted anew. What had succeeded is not done again. The run is
RUNNING again, and what it comes to in the end is what counts.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/api/v1/runs/" + url.PathEscape(args[0]) + "/redrive"
			_, err := show(cmd, &from, out, "POST", path, nil, func(w io.Writer, run anneal.Run) error {
				_, err := fmt.Fprintf(w, "run %s goes on: redrive %d\n", run.ID, run.Redrives)
				return err
			})
			return err
		},
	}
	from.daemonFlags(c)
	out.flags(c)
	return c
}

func newRunLogs(from *reach) *cobra.Command {
	var out output
	var state string
	c := &cobra.Command{
		Use:   "logs RUN",
		Short: "Show what the local jobs and functions of a run printed",
		Long: `Show what the local jobs and functions of a run printed, the oldest first, those of
nested executions too. Of a log, the first and the last 8 MiB are kept. With -o json,
what there is, without the text.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			client, close, err := from.client(cmd.Context())
			if err != nil {
				return err
			}
			defer close()
			path := "/api/v1/runs/" + url.PathEscape(args[0]) + "/logs"
			logs := []tasks.Log{}
			if _, err := client.call(cmd.Context(), "GET", path, nil, &logs); err != nil {
				return err
			}
			if state != "" {
				logs = slices.DeleteFunc(logs, func(l tasks.Log) bool { return l.State != state })
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), logs)
			}
			if len(logs) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no local job or function has a log")
			}
			for i, l := range logs {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				fmt.Fprintf(cmd.OutOrStdout(), "==> %s, attempt %d, %s: %s\n", printable(l.State), l.Attempt+1, l.Effect, printable(l.Status))
				var text string
				if _, err := client.call(cmd.Context(), "GET", path+"/"+url.PathEscape(l.Effect), nil, &text); err != nil {
					return err
				}
				fmt.Fprint(cmd.OutOrStdout(), text)
				if text != "" && !strings.HasSuffix(text, "\n") {
					fmt.Fprintln(cmd.OutOrStdout())
				}
			}
			return nil
		},
	}
	from.flags(c)
	out.flags(c)
	c.Flags().StringVar(&state, "state", "", "only those of this state")
	return c
}

// executionLogs finds the logs of executions in the folder of jobs.
type executionLogs struct {
	engine *engine.Engine
	jobs   string
}

// list lists the logs of an execution and of those nested in it.
func (x executionLogs) list(ctx context.Context, execution string) ([]tasks.Log, error) {
	effects, err := x.engine.Effects(ctx, execution)
	if err != nil {
		return nil, err
	}
	logs := []tasks.Log{}
	for _, e := range effects {
		l, ok, err := tasks.LogOf(x.jobs, e)
		if err != nil {
			return nil, err
		}
		if ok {
			logs = append(logs, l)
		}
		child, err := tasks.Nested(x.jobs, e.ID)
		if err != nil || child == "" {
			continue // it is no nested execution
		}
		nested, err := x.list(ctx, child)
		if errors.Is(err, orchestrator.ErrNotFound) {
			continue // it did not begin
		}
		if err != nil {
			return nil, err
		}
		logs = append(logs, nested...)
	}
	return logs, nil
}

func (x executionLogs) logs(ctx context.Context, run anneal.Run) ([]tasks.Log, error) {
	logs, err := x.list(ctx, run.ID)
	if errors.Is(err, orchestrator.ErrNotFound) {
		return []tasks.Log{}, nil // never started, or elsewhere
	}
	return logs, err
}

func (x executionLogs) open(ctx context.Context, run anneal.Run, effect string) (io.ReadCloser, error) {
	logs, err := x.list(ctx, run.ID)
	if err != nil && !errors.Is(err, orchestrator.ErrNotFound) {
		return nil, err
	}
	if !slices.ContainsFunc(logs, func(l tasks.Log) bool { return l.Effect == effect }) {
		return nil, web.Refuse(http.StatusNotFound, "run %s has no log of effect %q", run.ID, effect)
	}
	return tasks.OpenLog(x.jobs, effect)
}

// readEngine is an engine that reads a journal, and runs nothing.
func readEngine(ctx context.Context, j *journal.Journal) (*engine.Engine, error) {
	return engine.New(ctx, engine.Config{Journal: j}, &engine.Fold{})
}

// ofItsState are the types of events that follow one of their own state.
var ofItsState = regexp.MustCompile(`^(Task|LambdaFunction|Activity)(Scheduled|Started|Submitted|Succeeded|(Schedule|Start|Submit)?Failed|TimedOut)|^(Map|Parallel)StateStarted$`)

// statesOf are the states that the events of a history belong to, by the ID of
// the event.
func statesOf(events []asl.HistoryEvent) map[int64]string {
	states := map[int64]string{}
	for _, e := range events {
		switch {
		case e.StateEntered != nil:
			states[e.ID] = e.StateEntered.Name
		case e.StateExited != nil:
			states[e.ID] = e.StateExited.Name
		case ofItsState.MatchString(string(e.Type)):
			states[e.ID] = states[e.PreviousID]
		}
	}
	return states
}

// journalHistory reads the history of embedded executions from a journal.
func journalHistory(j *journal.Journal) func(context.Context, anneal.Run) ([]asl.HistoryEvent, error) {
	return func(ctx context.Context, run anneal.Run) ([]asl.HistoryEvent, error) {
		if run.Executor == policy.ExecutorStepFunctions {
			return nil, web.Refuse(http.StatusNotFound, "the history of run %s is on AWS: ask the daemon for it (%s)", run.ID, run.ExecutionARN)
		}
		e, err := readEngine(ctx, j)
		if err != nil {
			return nil, err
		}
		history, err := e.History(ctx, run.ID)
		return history, historyError(err, run)
	}
}

// historyError says where a history is gone: the run is kept for the sake of
// its model, and its execution is not.
func historyError(err error, run anneal.Run) error {
	if run.Executor == policy.ExecutorStepFunctions && errors.Is(err, orchestrator.ErrNotFound) {
		return web.Refuse(http.StatusNotFound, "Step Functions has no history of run %s: it has not begun, or ended more than 90 days ago", run.ID)
	}
	if run.Status.Ended() && (errors.Is(err, orchestrator.ErrNotFound) || errors.Is(err, journal.ErrNotFound)) {
		return web.Refuse(http.StatusNotFound, "the history of run %s is older than the retention, or was never recorded here", run.ID)
	}
	return err
}

// summary is what a history event tells of, in one short line.
func summary(e asl.HistoryEvent) string {
	failed := func(d asl.ErrorDetails) string {
		return strings.Trim(fmt.Sprintf("%s: %.120s", d.Error, d.Cause), ": ")
	}
	switch {
	case e.ExecutionRedriven != nil:
		return fmt.Sprintf("redrive %d", e.ExecutionRedriven.RedriveCount)
	case e.IterationStarted != nil:
		return fmt.Sprintf("iteration %d", e.IterationStarted.Index)
	case e.IterationSucceeded != nil:
		return fmt.Sprintf("iteration %d", e.IterationSucceeded.Index)
	case e.IterationFailed != nil:
		return fmt.Sprintf("iteration %d", e.IterationFailed.Index)
	case e.IterationAborted != nil:
		return fmt.Sprintf("iteration %d", e.IterationAborted.Index)
	case e.TaskScheduled != nil:
		return e.TaskScheduled.ResourceType + ":" + e.TaskScheduled.Resource
	case e.TaskFailed != nil:
		return failed(e.TaskFailed.ErrorDetails)
	case e.TaskTimedOut != nil:
		return failed(e.TaskTimedOut.ErrorDetails)
	case e.TaskSubmitFailed != nil:
		return failed(e.TaskSubmitFailed.ErrorDetails)
	case e.TaskStartFailed != nil:
		return failed(e.TaskStartFailed.ErrorDetails)
	case e.LambdaScheduleFailed != nil:
		return failed(*e.LambdaScheduleFailed)
	case e.LambdaStartFailed != nil:
		return failed(*e.LambdaStartFailed)
	case e.ActivityScheduleFailed != nil:
		return failed(*e.ActivityScheduleFailed)
	case e.LambdaScheduled != nil:
		return e.LambdaScheduled.Resource
	case e.LambdaTimedOut != nil:
		return failed(*e.LambdaTimedOut)
	case e.ActivityFailed != nil:
		return failed(*e.ActivityFailed)
	case e.ActivityTimedOut != nil:
		return failed(*e.ActivityTimedOut)
	case e.LambdaFailed != nil:
		return failed(*e.LambdaFailed)
	case e.ExecutionFailed != nil:
		return failed(*e.ExecutionFailed)
	case e.ExecutionTimedOut != nil:
		return failed(*e.ExecutionTimedOut)
	case e.ExecutionAborted != nil:
		return failed(*e.ExecutionAborted)
	}
	return ""
}
