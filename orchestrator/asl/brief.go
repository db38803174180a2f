package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Most of what a turn tells can be seen from the rest of it: IDs follow each other,
// all happens at one time, and what one state gives is what the next one gets. That
// is not written. An event that is as a rule is an array, brief:
//
//	["LambdaFunctionSucceeded","{}"],["TaskStateExited","S0"],["TaskStateEntered","S1"]
//
// of its type, what it names, and its data, unless that is what the event before told,
// or at the beginning the input of the state that the execution is in after the turn.
// Of an effect that is missing which the state has too. What is otherwise, and what was
// written before there were brief events, is an object with all members.

// maxParts is how many things a brief event names.
const maxParts = 3

// parts are what an event names, and its data; data is nil where it has none. It is
// false where the event tells more than that.
func (e *HistoryEvent) parts(room *[maxParts]*string) (names []*string, data *string, ok bool) {
	switch e.Type {
	case LambdaFunctionStarted:
		return nil, nil, true
	case LambdaFunctionScheduled:
		if d := e.LambdaScheduled; d != nil && d.TimeoutInSeconds == 0 && d.HeartbeatInSeconds == 0 && d.TaskCredentials == nil {
			room[0] = &d.Resource
			return room[:1], &d.Input, !d.InputDetails.Truncated
		}
	case LambdaFunctionSucceeded:
		if d := e.LambdaSucceeded; d != nil {
			return nil, &d.Output, !d.OutputDetails.Truncated
		}
	case ExecutionSucceeded:
		if d := e.ExecutionSucceeded; d != nil {
			return nil, &d.Output, !d.OutputDetails.Truncated
		}
	case TaskScheduled:
		if d := e.TaskScheduled; d != nil && d.TimeoutInSeconds == 0 && d.HeartbeatInSeconds == 0 && d.TaskCredentials == nil {
			*room = [...]*string{&d.ResourceType, &d.Resource, &d.Region}
			return room[:], &d.Parameters, true
		}
	case TaskStarted:
		if d := e.TaskStarted; d != nil {
			room[0], room[1] = &d.ResourceType, &d.Resource
			return room[:2], nil, true
		}
	case TaskSucceeded:
		if d := e.TaskSucceeded; d != nil {
			room[0], room[1] = &d.ResourceType, &d.TaskDetails.Resource
			return room[:2], &d.Output, !d.OutputDetails.OutputDetails.Truncated
		}
	default:
		switch d, x := e.StateEntered, e.StateExited; {
		case d != nil && strings.HasSuffix(string(e.Type), stateEntered):
			room[0] = &d.Name
			return room[:1], &d.Input, !d.InputDetails.Truncated
		case x != nil && strings.HasSuffix(string(e.Type), stateExited):
			room[0] = &x.Name
			return room[:1], &x.Output, !x.OutputDetails.Truncated && x.Assigned == nil && x.AssignedDetails == nil
		}
	}
	return nil, nil, false
}

const (
	stateEntered = "StateEntered"
	stateExited  = "StateExited"
)

// blank is an event of a type that may be brief.
func blank(kind EventType) (e HistoryEvent, ok bool) {
	e.Type = kind
	switch kind {
	case LambdaFunctionStarted:
	case LambdaFunctionScheduled:
		e.LambdaScheduled = &WorkScheduledDetails{}
	case LambdaFunctionSucceeded:
		e.LambdaSucceeded = &OutputDetails{}
	case ExecutionSucceeded:
		e.ExecutionSucceeded = &OutputDetails{}
	case TaskScheduled:
		e.TaskScheduled = &TaskScheduledDetails{}
	case TaskStarted:
		e.TaskStarted = &TaskDetails{}
	case TaskSucceeded:
		e.TaskSucceeded = &TaskOutputDetails{}
	default:
		switch {
		case strings.HasSuffix(string(kind), stateEntered):
			e.StateEntered = &StateEnteredDetails{}
		case strings.HasSuffix(string(kind), stateExited):
			e.StateExited = &StateExitedDetails{}
		default:
			return e, false
		}
	}
	return e, true
}

// An outline is what is known of a turn before its events and effects are: what is
// left out of them.
type outline struct {
	state    *State
	next     int64     // ID of the next event
	at       time.Time // of all
	told     string    // the data that was told last; empty: none was
	resource string    // of the function that was scheduled last
}

// outline is that of a turn with n events, the first at the given time.
func (t *Turn) outline(n int, at time.Time) outline {
	o := outline{state: t.State, at: at}
	if t.State != nil {
		o.next = t.State.NextEvent - int64(n)
	}
	return o
}

// past goes past an event.
func (o *outline) past(e *HistoryEvent) {
	if o.next++; e.LambdaScheduled != nil {
		o.resource = e.LambdaScheduled.Resource
	}
}

// input is that of the state that the execution is in, in no branch.
func (o *outline) input() json.RawMessage {
	if o.state == nil || o.state.Root == nil {
		return nil
	}
	return o.state.Root.Input
}

// known says whether an event with this data need not tell it.
func (o *outline) known(data string) bool {
	if o.told == "" {
		return string(o.input()) == data
	}
	return o.told == data
}

// writeEvent writes the next event.
func (o *outline) writeEvent(w *value.Writer, e *HistoryEvent) {
	var room [maxParts]*string
	names, data, ok := e.parts(&room)
	if !ok || e.ID != o.next || e.PreviousID != e.ID-1 || e.Timestamp != o.at || data != nil && *data == "" {
		e.write(w)
		o.past(e)
		return
	}
	w.Open('[')
	w.Text = value.AppendQuoted(w.Text, string(e.Type))
	for _, name := range names {
		w.Text = value.AppendQuoted(append(w.Text, ','), *name)
	}
	if data != nil && !o.known(*data) {
		w.Text = value.AppendQuoted(append(w.Text, ','), *data)
		o.told = *data
	}
	w.Close(']')
	o.past(e)
}

// readEvent reads the next event.
func (o *outline) readEvent(text json.RawMessage) (e HistoryEvent, err error) {
	if len(text) > 0 && text[0] == '[' {
		e, err = o.readBrief(text)
	} else {
		err = json.Unmarshal(text, &e)
	}
	o.past(&e)
	return e, err
}

func (o *outline) readBrief(text json.RawMessage) (HistoryEvent, error) {
	var parts []string
	if err := json.Unmarshal(text, &parts); err != nil {
		return HistoryEvent{}, err
	}
	if len(parts) == 0 {
		return HistoryEvent{}, errors.New("an event without a type")
	}
	e, ok := blank(EventType(parts[0]))
	if !ok {
		return e, fmt.Errorf("an event of type %s, which is never brief", parts[0])
	}
	e.ID, e.PreviousID, e.Timestamp = o.next, o.next-1, o.at
	var room [maxParts]*string
	names, data, _ := e.parts(&room)
	rest := parts[1:]
	if extra := len(rest) - len(names); extra < 0 || extra > 1 || extra == 1 && data == nil {
		return e, fmt.Errorf("a %s with %d parts, want %d", parts[0], len(rest), len(names))
	}
	for i, name := range names {
		*name = rest[i]
	}
	if len(rest) > len(names) {
		o.told = rest[len(names)]
	}
	switch {
	case data == nil:
	case o.told != "":
		*data = o.told
	default:
		*data = string(o.input())
	}
	return e, nil
}

// usual is how an effect is as a rule of which the ID alone is known; without it, the
// one that the execution waits for in no branch.
func (o *outline) usual(id string) (e Effect, ok bool) {
	if o.state == nil || o.state.Root == nil {
		return e, false
	}
	c := o.state.Root
	if id != "" {
		c = o.state.waiting(id)
	}
	if c == nil || c.Effect == nil || c.Input == nil {
		return e, false
	}
	return Effect{
		ID: c.Effect.ID, Execution: o.state.Execution.Handle(), State: c.Name, Attempt: int(c.RetryCount),
		Resource: o.resource, Input: c.Input, Deadline: c.Effect.Deadline,
	}, true
}

// writeEffect writes an effect, when all events are written.
func (o *outline) writeEffect(w *value.Writer, e *Effect) {
	u, ok := o.usual("")
	inBranch := !ok || u.ID != e.ID
	if inBranch {
		u, ok = o.usual(e.ID)
	}
	if !ok || e.ID == "" || e.Execution != u.Execution || e.State != u.State || e.Attempt != u.Attempt || e.Deadline != u.Deadline || e.Input == nil {
		e.write(w)
		return
	}
	w.Open('{')
	if inBranch {
		w.String("id", e.ID)
	}
	if e.Resource != u.Resource {
		w.String("resource", e.Resource)
	}
	if !bytes.Equal(e.Input, u.Input) {
		w.JSON("input", e.Input)
	}
	w.StringSome("roleArn", e.RoleARN)
	w.StringSome("mapRun", e.MapRun)
	w.Close('}')
}

// readEffect reads an effect, when all events are read.
func (o *outline) readEffect(text json.RawMessage) (e Effect, err error) {
	var which struct {
		ID        string
		Execution *string
	}
	if err := json.Unmarshal(text, &which); err != nil {
		return e, err
	}
	if which.Execution == nil {
		usual, ok := o.usual(which.ID)
		if !ok {
			return e, fmt.Errorf("effect %q is not waited for", which.ID)
		}
		e = usual
		e.Input = nil // whose memory it is not
		defer func() {
			if e.Input == nil {
				e.Input = usual.Input
			}
		}()
	}
	err = json.Unmarshal(text, &e)
	return e, err
}

// A WrittenTurn is the JSON of a turn as [Turn.WriteMembers] writes it, or package
// encoding/json.
type WrittenTurn struct {
	plainTurn
	Events  []json.RawMessage `json:"events"`
	Effects []json.RawMessage `json:"effects"`
	Status  *string           `json:"status"`
	At      time.Time         `json:"at"` // of brief events
}

type plainTurn Turn

// UnmarshalJSON reads a [WrittenTurn].
func (t *Turn) UnmarshalJSON(text []byte) error {
	var written WrittenTurn
	err := json.Unmarshal(text, &written)
	if err == nil {
		*t, err = written.Turn()
	}
	return err
}

// Turn is the turn.
func (t *WrittenTurn) Turn() (Turn, error) {
	turn := Turn(t.plainTurn)
	if t.Status != nil {
		turn.Status = *t.Status
	} else if turn.State != nil {
		turn.Status = turn.State.Status
	}
	o := turn.outline(len(t.Events), t.At)
	if t.Events != nil {
		turn.Events = make([]HistoryEvent, len(t.Events))
	}
	for i, text := range t.Events {
		var err error
		if turn.Events[i], err = o.readEvent(text); err != nil {
			return turn, fmt.Errorf("event %d: %w", o.next-1, err)
		}
	}
	for _, text := range t.Effects {
		e, err := o.readEffect(text)
		if err != nil {
			return turn, err
		}
		turn.Effects = append(turn.Effects, e)
	}
	return turn, nil
}
