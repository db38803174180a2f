package sfnapi

import (
	"context"
	"time"
)

// expressTimeout ends an Express execution, and the test of a state.
const expressTimeout = 5 * time.Minute

type billing struct {
	Memory   int64 `json:"billedMemoryUsedInMB"`
	Duration int64 `json:"billedDurationInMilliseconds"`
}

// startSyncExecution runs an Express execution and answers what it came to. Where
// its caller goes away it runs on.
func (s *Server) startSyncExecution(ctx context.Context, in startInput) (any, error) {
	m, key, x, err := s.start(ctx, in, true)
	if err != nil {
		return nil, err
	}
	if x, err = s.cfg.Engine.Wait(ctx, key); err != nil {
		return nil, err
	}
	out := struct {
		ARN           string   `json:"executionArn"`
		Machine       string   `json:"stateMachineArn"`
		Name          string   `json:"name"`
		Status        string   `json:"status"`
		Started       *epoch   `json:"startDate"`
		Stopped       *epoch   `json:"stopDate"`
		Error         string   `json:"error,omitempty"`
		Cause         string   `json:"cause,omitempty"`
		Input         *string  `json:"input,omitempty"`
		InputDetails  *hasData `json:"inputDetails,omitempty"`
		Output        *string  `json:"output,omitempty"`
		OutputDetails *hasData `json:"outputDetails,omitempty"`
		Trace         string   `json:"traceHeader,omitempty"`
		Billing       billing  `json:"billingDetails"`
	}{
		x.ARN, s.arn("stateMachine", m.Name), x.Name, string(x.Status), since(x.Started), since(x.Ended), x.Error, x.Cause,
		nil, nil, nil, nil, in.Trace, billing{Memory: 64},
	}
	if in.Included != "METADATA_ONLY" {
		out.Input, out.InputDetails, out.OutputDetails = new(string(x.Input)), &hasData{true}, &hasData{true}
		if x.Error == "" && x.Cause == "" && len(x.Output) > 0 {
			out.Output = new(string(x.Output))
		}
	}
	// Billed by 100 ms that were begun, and 64 MB.
	const step = 100
	out.Billing.Duration = max(step, (x.Ended.Sub(*x.Started).Milliseconds()+step-1)/step*step)
	return out, nil
}
