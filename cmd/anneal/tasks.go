package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/web"
)

// newTasks is for whom a state machine asked and gave a token to.
func newTasks() *cobra.Command {
	c := &cobra.Command{
		Use:   "tasks",
		Short: "Answer tasks that wait for their token",
		Long: `Answer a task that waits for its token: a state whose resource ends in
.waitForTaskToken handed the token over in its parameters ($$.Task.Token) and goes on
when it is told how the task ended.`,
	}
	c.AddCommand(
		newTell("success", "Tell that a task succeeded", "  anneal tasks success $TOKEN --output '{\"approved\": true}'"),
		newTell("failure", "Tell that a task failed", "  anneal tasks failure $TOKEN --error Rejected --cause 'the data are wrong'"),
		newTell("heartbeat", "Tell that a task is alive", "  anneal tasks heartbeat $TOKEN"),
	)
	return c
}

func newTell(what, short, example string) *cobra.Command {
	var from reach
	var taskOutput, errorName, cause string
	c := &cobra.Command{
		Use:     what + " TOKEN",
		Short:   short,
		Example: example,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, close, err := from.client(cmd.Context())
			if err != nil {
				return err
			}
			defer close()
			body := map[string]string{"taskToken": strings.TrimSpace(args[0])}
			switch what {
			case "success":
				if body["output"], err = argument(taskOutput); err != nil {
					return usage(err)
				}
			case "failure":
				body["error"], body["cause"] = errorName, cause
			}
			var none struct{}
			if _, err := client.call(cmd.Context(), "POST", "/api/v1/tasks/"+what, body, &none); err != nil {
				return err
			}
			return nil
		},
	}
	from.daemonFlags(c)
	switch what {
	case "success":
		c.Flags().StringVar(&taskOutput, "output", "{}", "the task's output, JSON; @FILE reads it from a file")
	case "failure":
		c.Flags().StringVar(&errorName, "error", "", "name of the error, which Retry and Catch see")
		c.Flags().StringVar(&cause, "cause", "", "of the error, in words")
	}
	return c
}

// argument is a value, or what is in the file that @ names.
func argument(s string) (string, error) {
	name, ok := strings.CutPrefix(s, "@")
	if !ok {
		return s, nil
	}
	data, err := os.ReadFile(name)
	return string(data), err
}

// tell hands on what somebody who has a task's token says. Its refusals are
// named as Step Functions names them.
func (d *daemon) tell(ctx context.Context, told web.Told) error {
	var err error
	switch told.What {
	case "success":
		err = d.engine.Resolve(ctx, told.Token, asl.Outcome{Output: json.RawMessage(told.Output)})
	case "failure":
		err = d.engine.Resolve(ctx, told.Token, asl.Outcome{Error: told.Error, Cause: told.Cause, Failed: true})
	default:
		err = d.engine.Heartbeat(ctx, told.Token)
	}
	switch {
	case errors.Is(err, engine.ErrInvalidToken):
		return web.Refuse(http.StatusBadRequest, "InvalidToken: %v", err)
	case errors.Is(err, engine.ErrInvalidOutput):
		return web.Refuse(http.StatusBadRequest, "InvalidOutput: %v", err)
	case errors.Is(err, engine.ErrNoTask):
		return web.Refuse(http.StatusNotFound, "TaskDoesNotExist: %v", err)
	case errors.Is(err, engine.ErrTaskClosed):
		return web.Refuse(http.StatusConflict, "TaskTimedOut: %v", err)
	}
	return err
}

// redrive goes on with a run.
func (d *daemon) redrive(ctx context.Context, run string) (anneal.Run, error) {
	r, err := d.controller.RedriveRun(ctx, run)
	var refused *controller.RedriveError
	if errors.As(err, &refused) {
		return r, web.Refuse(http.StatusConflict, "%v", err)
	}
	if err != nil {
		return r, unavailable(fmt.Errorf("redrive run %s: %w", run, err))
	}
	return r, nil
}
