package asl

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// WriteMembers writes the members of t, within an object that the caller opened, for
// [WrittenTurn]: the same JSON as package encoding/json makes of it, but for what
// can be told from the rest.
func (t *Turn) WriteMembers(w *value.Writer) {
	w.Key("state")
	t.State.write(w)
	at := time.Time{}
	if len(t.Events) > 0 {
		at = t.Events[0].Timestamp
	}
	w.TimeSome("at", at)
	o := t.outline(len(t.Events), at)
	w.Key("events")
	if t.Events == nil {
		w.Any(nil)
	} else {
		w.Open('[')
		for i := range t.Events {
			o.writeEvent(w, &t.Events[i])
		}
		w.Close(']')
	}
	list(w, "effects", t.Effects, func(e *Effect, w *value.Writer) { o.writeEffect(w, e) })
	if len(t.Cancels) > 0 {
		w.Key("cancels")
		w.Any(t.Cancels)
	}
	w.TimeSome("wake", t.Wake)
	if t.State == nil || t.Status != t.State.Status {
		w.String("status", t.Status)
	}
	w.JSONSome("output", t.Output)
	w.StringSome("error", t.Error)
	w.StringSome("cause", t.Cause)
}

// list writes a member that is an array, unless it is empty.
func list[T any](w *value.Writer, key string, items []T, write func(*T, *value.Writer)) {
	if len(items) == 0 {
		return
	}
	w.Key(key)
	w.Open('[')
	for i := range items {
		write(&items[i], w)
	}
	w.Close(']')
}

func (s *State) write(w *value.Writer) {
	if s == nil {
		w.Any(nil)
		return
	}
	w.Open('{')
	w.Key("execution")
	if s.info == nil {
		from := len(w.Text)
		s.Execution.write(w)
		s.info = slices.Clone(w.Text[from:])
	} else {
		w.Text = append(w.Text, s.info...)
	}
	w.JSON("input", s.Input)
	w.StringSome("given", s.Given)
	w.String("status", s.Status)
	w.Int("nextEvent", s.NextEvent)
	w.TimeSome("deadline", s.Deadline)
	if s.Root != nil {
		w.Key("root")
		s.Root.write(w)
	}
	if s.Left != nil {
		w.Key("left")
		s.Left.write(w)
	}
	w.IntSome("redrives", s.Redrives)
	w.TimeSome("redrivenAt", s.RedrivenAt)
	w.Close('}')
}

func (x *ExecutionInfo) write(w *value.Writer) {
	w.Open('{')
	w.String("arn", x.ARN)
	w.String("name", x.Name)
	w.String("stateMachineArn", x.StateMachineARN)
	w.String("stateMachineName", x.StateMachineName)
	w.StringSome("roleArn", x.RoleARN)
	w.Time("started", x.Started)
	w.TimeSome("deadline", x.Deadline)
	w.StringSome("key", x.Key)
	w.StringSome("startedBy", x.StartedBy)
	w.IntSome("depth", int64(x.Depth))
	w.StringSome("mapRun", x.MapRun)
	w.StringSome("processor", x.Processor)
	w.IntSome("mapItems", x.MapItems)
	w.IntSome("version", int64(x.Version))
	w.StringSome("alias", x.Alias)
	w.TrueSome("tested", x.Tested)
	w.Close('}')
}

func (c *Context) write(w *value.Writer) {
	if c == nil {
		w.Any(nil)
		return
	}
	w.Open('{')
	w.StringSome("path", c.Path)
	w.IntSome("index", int64(c.Index))
	w.String("name", c.Name)
	w.JSON("input", c.Input)
	w.String("phase", string(c.Phase))
	w.TimeSome("entered", c.Entered)
	w.IntSome("enteredEvent", c.EnteredEvent)
	w.IntSome("lastEvent", c.LastEvent)
	w.TimeSome("wake", c.Wake)
	if len(c.Retries) > 0 {
		w.Key("retries")
		w.Any(c.Retries)
	}
	w.IntSome("retryCount", c.RetryCount)
	if c.Effect != nil {
		w.Key("effect")
		c.Effect.write(w)
	}
	w.StringSome("mapRun", c.MapRun)
	list(w, "branches", c.Branches, func(b **Context, w *value.Writer) { (*b).write(w) })
	w.IntSome("begun", int64(c.Begun))
	w.IntSome("failed", int64(c.Failed))
	list(w, "results", c.Results, func(r *json.RawMessage, w *value.Writer) { w.Item(*r) })
	if len(c.Variables) > 0 {
		w.Key("variables")
		w.Open('{')
		for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
			w.AnyKey(name)
			w.Item(c.Variables[name])
		}
		w.Close('}')
	}
	w.Close('}')
}

func (p *Pending) write(w *value.Writer) {
	w.Open('{')
	w.String("id", p.ID)
	w.TrueSome("started", p.Started)
	w.TrueSome("submitted", p.Submitted)
	w.TimeSome("deadline", p.Deadline)
	w.IntSome("heartbeat", p.Heartbeat)
	w.TimeSome("heartbeatDue", p.HeartbeatDue)
	w.Close('}')
}

func (e *Effect) write(w *value.Writer) {
	w.Open('{')
	w.String("id", e.ID)
	w.String("execution", e.Execution)
	w.String("state", e.State)
	w.Int("attempt", int64(e.Attempt))
	w.String("resource", e.Resource)
	w.JSON("input", e.Input)
	w.TimeSome("deadline", e.Deadline)
	w.StringSome("roleArn", e.RoleARN)
	w.StringSome("mapRun", e.MapRun)
	w.Close('}')
}

// write writes what happens often itself, and leaves the rest to package
// encoding/json.
func (e *HistoryEvent) write(w *value.Writer) {
	rest := *e
	rest.StateEntered, rest.StateExited, rest.ExecutionStarted, rest.ExecutionSucceeded = nil, nil, nil, nil
	rest.LambdaScheduled, rest.LambdaSucceeded, rest.TaskStarted, rest.TaskSucceeded = nil, nil, nil, nil
	exited := e.StateExited != nil && (e.StateExited.Assigned != nil || e.StateExited.AssignedDetails != nil)
	scheduled := e.LambdaScheduled != nil && e.LambdaScheduled.TaskCredentials != nil
	if exited || scheduled || rest != (HistoryEvent{ID: e.ID, PreviousID: e.PreviousID, Timestamp: e.Timestamp, Type: e.Type}) {
		w.Any(e)
		return
	}
	w.Open('{')
	w.Int("id", e.ID)
	w.Int("previousEventId", e.PreviousID)
	w.Time("timestamp", e.Timestamp)
	w.String("type", string(e.Type))
	if d := e.ExecutionStarted; d != nil {
		w.Key("executionStartedEventDetails")
		w.Open('{')
		w.String("input", d.Input)
		d.InputDetails.write(w, "inputDetails")
		w.StringSome("roleArn", d.RoleARN)
		w.StringSome("stateMachineVersionArn", d.VersionARN)
		w.StringSome("stateMachineAliasArn", d.AliasARN)
		w.Close('}')
	}
	if d := e.ExecutionSucceeded; d != nil {
		w.Key("executionSucceededEventDetails")
		w.Open('{')
		d.writeMembers(w)
		w.Close('}')
	}
	if d := e.StateEntered; d != nil {
		w.Key("stateEnteredEventDetails")
		w.Open('{')
		w.String("name", d.Name)
		w.String("input", d.Input)
		d.InputDetails.write(w, "inputDetails")
		w.Close('}')
	}
	if d := e.StateExited; d != nil {
		w.Key("stateExitedEventDetails")
		w.Open('{')
		w.String("name", d.Name)
		d.output().writeMembers(w)
		w.Close('}')
	}
	if d := e.TaskStarted; d != nil {
		w.Key("taskStartedEventDetails")
		w.Open('{')
		d.writeMembers(w)
		w.Close('}')
	}
	if d := e.TaskSucceeded; d != nil {
		w.Key("taskSucceededEventDetails")
		w.Open('{')
		d.TaskDetails.writeMembers(w)
		d.OutputDetails.writeMembers(w)
		w.Close('}')
	}
	if d := e.LambdaScheduled; d != nil {
		w.Key("lambdaFunctionScheduledEventDetails")
		w.Open('{')
		w.String("resource", d.Resource)
		w.String("input", d.Input)
		d.InputDetails.write(w, "inputDetails")
		w.IntSome("timeoutInSeconds", d.TimeoutInSeconds)
		w.IntSome("heartbeatInSeconds", d.HeartbeatInSeconds)
		w.Close('}')
	}
	if d := e.LambdaSucceeded; d != nil {
		w.Key("lambdaFunctionSucceededEventDetails")
		w.Open('{')
		d.writeMembers(w)
		w.Close('}')
	}
	w.Close('}')
}

func (d *StateExitedDetails) output() OutputDetails { return OutputDetails{d.Output, d.OutputDetails} }

func (d OutputDetails) writeMembers(w *value.Writer) {
	w.String("output", d.Output)
	d.OutputDetails.write(w, "outputDetails")
}

func (d TaskDetails) writeMembers(w *value.Writer) {
	w.String("resourceType", d.ResourceType)
	w.String("resource", d.Resource)
}

func (d DataDetails) write(w *value.Writer, key string) {
	w.Key(key)
	if d.Truncated {
		w.Text = append(w.Text, `{"truncated":true}`...)
	} else {
		w.Text = append(w.Text, `{"truncated":false}`...)
	}
}
