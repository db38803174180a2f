package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// runCommands are those of `anneal runs` besides list and show.
func runCommands(from *reach) []*cobra.Command {
	return []*cobra.Command{newRunHistory(from), newRunStop()}
}

func newRunHistory(from *reach) *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "history RUN",
		Short: "Show the history of a run's execution, as Step Functions would",
		Args:  cobra.ExactArgs(1),
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
			var raw json.RawMessage
			if _, err := client.call(cmd.Context(), "GET", "/api/v1/history/"+url.PathEscape(args[0]), nil, &raw); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), raw)
			}
			var events []asl.HistoryEvent
			if err := json.Unmarshal(raw, &events); err != nil {
				return broken(err)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "ID\tAT\tTYPE\tDETAIL")
			for _, e := range events {
				fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", e.ID, clock(e.Timestamp), e.Type, printable(summary(e)))
			}
			return t.Flush()
		},
	}
	from.flags(c)
	out.flags(c)
	return c
}

func newRunStop() *cobra.Command {
	var from reach
	var cause string
	c := &cobra.Command{
		Use:   "stop RUN",
		Short: "Abort an open run and the jobs it started",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, close, err := from.client(cmd.Context())
			if err != nil {
				return err
			}
			defer close()
			var run anneal.Run
			body := map[string]string{"cause": cause}
			if _, err := client.call(cmd.Context(), "POST", "/api/v1/runs/"+url.PathEscape(args[0])+"/stop", body, &run); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "run %s is being stopped\n", run.ID)
			return nil
		},
	}
	from.daemonFlags(c)
	c.Flags().StringVar(&cause, "cause", "stopped by hand", "why, for the execution's history")
	return c
}

// journalHistory reads the history of embedded executions from a journal.
func journalHistory(j *journal.Journal) func(context.Context, anneal.Run) (any, error) {
	return func(ctx context.Context, run anneal.Run) (any, error) {
		e, err := engine.New(ctx, engine.Config{Journal: j}, &engine.Fold{})
		if err != nil {
			return nil, err
		}
		return e.History(ctx, run.ID)
	}
}

// summary is what a history event tells of, in one short line.
func summary(e asl.HistoryEvent) string {
	failed := func(d asl.ErrorDetails) string { return fmt.Sprintf("%s: %.120s", d.Error, d.Cause) }
	switch {
	case e.StateEntered != nil:
		return e.StateEntered.Name
	case e.StateExited != nil:
		return e.StateExited.Name
	case e.TaskScheduled != nil:
		return e.TaskScheduled.ResourceType + ":" + e.TaskScheduled.Resource
	case e.TaskFailed != nil:
		return failed(e.TaskFailed.ErrorDetails)
	case e.TaskTimedOut != nil:
		return failed(e.TaskTimedOut.ErrorDetails)
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
