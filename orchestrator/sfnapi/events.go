package sfnapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

const (
	sourceStates = "aws.states"
	typeStatus   = "Step Functions Execution Status Change"
)

// A statusDetail is the detail of an event that an execution's status has
// changed, with times in milliseconds since 1970.
type statusDetail struct {
	ARN           string   `json:"executionArn"`
	Machine       string   `json:"stateMachineArn"`
	Name          string   `json:"name"`
	Status        string   `json:"status"`
	Started       *int64   `json:"startDate"`
	Stopped       *int64   `json:"stopDate"`
	Input         *string  `json:"input"`
	Output        *string  `json:"output"`
	Version       *string  `json:"stateMachineVersionArn"`
	Alias         *string  `json:"stateMachineAliasArn"`
	Redrives      int64    `json:"redriveCount"`
	Redriven      *int64   `json:"redriveDate"`
	RedriveStatus string   `json:"redriveStatus"`
	RedriveReason *string  `json:"redriveStatusReason"`
	InputDetails  *hasData `json:"inputDetails"`
	OutputDetails *hasData `json:"outputDetails"`
	Error         *string  `json:"error"`
	Cause         *string  `json:"cause"`
}

// tell makes events of changes of status. It tries again until ctx ends: what has
// happened must not be forgotten.
func (s *Server) tell(ctx context.Context, changes []change) {
	if s.cfg.Tell == nil {
		return
	}
	for {
		err := s.tellOnce(ctx, changes)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.log.ErrorContext(ctx, "changes of status not told, trying again", "changes", len(changes), "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) tellOnce(ctx context.Context, changes []change) error {
	events := make([]anneal.Event, 0, len(changes))
	for _, c := range changes {
		e, err := s.eventOf(ctx, c)
		if errors.Is(err, orchestrator.ErrNotFound) {
			continue // older than the retention
		}
		if err != nil {
			return fmt.Errorf("execution %s: %w", c.Key, err)
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		return nil
	}
	return s.cfg.Tell(ctx, events)
}

// eventOf is the event of a change.
func (s *Server) eventOf(ctx context.Context, c change) (anneal.Event, error) {
	x, err := s.cfg.Engine.Describe(ctx, c.Key)
	if err != nil {
		return anneal.Event{}, err
	}
	d := statusDetail{
		ARN: x.ARN, Machine: x.Machine, Name: x.Name, Status: c.Status, Started: millis(x.Started),
		Redrives: x.Redrives, Redriven: millis(x.Redriven), RedriveStatus: "NOT_REDRIVABLE",
		RedriveReason: new("Execution is " + c.Status + " and cannot be redriven"),
	}
	if x.Version > 0 {
		d.Version = new(fmt.Sprintf("%s:%d", x.Machine, x.Version))
	}
	if x.Alias != "" {
		d.Alias = new(x.Machine + ":" + x.Alias)
	}
	switch status := anneal.Status(c.Status); {
	case !status.Ended():
	case status == anneal.StatusSucceeded:
		d.Stopped = millis(&c.At)
		if x.Status == status {
			d.Output = new(string(x.Output))
		}
	default:
		d.Stopped, d.RedriveStatus, d.RedriveReason = millis(&c.At), "REDRIVABLE", nil
		if x.Status == status { // else it was redriven meanwhile
			d.Error, d.Cause = given(x.Error), given(x.Cause)
			if x.Fixed != "" {
				d.RedriveStatus, d.RedriveReason = "NOT_REDRIVABLE", &x.Fixed
			}
		}
	}
	d.Input = new(string(x.Input))
	d.fit()
	return anneal.Event{
		SpecVersion: "1.0", ID: c.Event, Source: sourceStates, Type: typeStatus, Subject: x.ARN,
		Time: c.At, DataContentType: "application/json", Data: d.text(), Seen: time.Now().UTC(),
	}, nil
}

// text is the detail as package encoding/json writes it, for a fifth of the time.
func (d *statusDetail) text() []byte {
	w := &value.Writer{Text: make([]byte, 0, 480+len(d.ARN)+len(d.Machine)+len(d.Name))} // which others have as a rule
	str := func(key string, s *string) {
		if s == nil {
			w.JSON(key, nil)
		} else {
			w.String(key, *s)
		}
	}
	number := func(key string, n *int64) {
		if n == nil {
			w.JSON(key, nil)
		} else {
			w.Int(key, *n)
		}
	}
	details := func(key string, in *hasData) {
		switch {
		case in == nil:
			w.JSON(key, nil)
		case in.Included:
			w.JSON(key, json.RawMessage(`{"included":true}`))
		default:
			w.JSON(key, json.RawMessage(`{"included":false}`))
		}
	}
	w.Open('{')
	w.String("executionArn", d.ARN)
	w.String("stateMachineArn", d.Machine)
	w.String("name", d.Name)
	w.String("status", d.Status)
	number("startDate", d.Started)
	number("stopDate", d.Stopped)
	str("input", d.Input)
	str("output", d.Output)
	str("stateMachineVersionArn", d.Version)
	str("stateMachineAliasArn", d.Alias)
	w.Int("redriveCount", d.Redrives)
	number("redriveDate", d.Redriven)
	w.String("redriveStatus", d.RedriveStatus)
	str("redriveStatusReason", d.RedriveReason)
	details("inputDetails", d.InputDetails)
	details("outputDetails", d.OutputDetails)
	str("error", d.Error)
	str("cause", d.Cause)
	w.Close('}')
	return w.Text
}

// maxTold is how long an input and an output may be in an event of the service, as they
// are written in it ("Automating Step Functions event delivery with EventBridge").
const maxTold = 248 << 10

// fit leaves out the output where it is too long, and the input where both together
// are, and says which is in.
func (d *statusDetail) fit() {
	written := func(text *string) int {
		if text == nil {
			return 0
		}
		return len(value.AppendQuoted(nil, *text))
	}
	input, output := len(*d.Input), 0
	if d.Output != nil {
		output = len(*d.Output)
	}
	if 6*(input+output)+4 > maxTold { // it may be, were each letter escaped
		input, output = written(d.Input), written(d.Output)
	}
	if d.InputDetails = (&hasData{input+output <= maxTold}); !d.InputDetails.Included {
		d.Input = nil
	}
	if d.Output == nil {
		return
	}
	if d.OutputDetails = (&hasData{output <= maxTold}); !d.OutputDetails.Included {
		d.Output = nil
	}
}

// given is a text, or nil where there is none.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func millis(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	return new(t.UnixMilli())
}
