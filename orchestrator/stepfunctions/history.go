package stepfunctions

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// pageOfHistory is how many events AWS gives at most in one answer.
const pageOfHistory = 1000

// History implements [orchestrator.Executor], with [orchestrator.ErrNoHistory]
// for an Express execution.
func (e *Executor) History(ctx context.Context, name string) ([]asl.HistoryEvent, error) {
	events, err := e.history(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("history of execution %s: %w", name, err)
	}
	return events, nil
}

func (e *Executor) history(ctx context.Context, name string) ([]asl.HistoryEvent, error) {
	if _, is := e.heldExpress(name); is {
		return nil, orchestrator.ErrNoHistory
	}
	m, arn, err := e.resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	if express(arn) {
		return nil, orchestrator.ErrNoHistory
	}
	var events []asl.HistoryEvent
	in := &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: pageOfHistory}
	for {
		out, err := call(ctx, e, m, "GetExecutionHistory", func(ctx context.Context, c *sfn.Client) (*sfn.GetExecutionHistoryOutput, error) {
			return c.GetExecutionHistory(ctx, in)
		})
		if err != nil {
			return nil, err
		}
		for _, h := range out.Events {
			event, err := eventOf(h)
			if err != nil {
				return nil, err
			}
			events = append(events, event)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return events, nil
		}
	}
}

// eventOf is an event as the engine has it. Both have the names of Step
// Functions' API, the SDK's with other capitals, which decoding does not mind.
func eventOf(h types.HistoryEvent) (asl.HistoryEvent, error) {
	var event asl.HistoryEvent
	data, err := json.Marshal(h)
	if err == nil {
		err = json.Unmarshal(data, &event)
	}
	if err != nil {
		return event, fmt.Errorf("read event %d: %w", h.Id, err)
	}
	event.Timestamp = event.Timestamp.UTC()
	// An execution is stopped by this error when its time is over.
	if a := event.ExecutionAborted; a != nil && a.Error == timeoutError {
		event.Type, event.ExecutionTimedOut, event.ExecutionAborted = asl.ExecutionTimedOut, a, nil
	}
	return event, nil
}
