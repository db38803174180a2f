package sfnapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/httptask"
)

type testStateInput struct {
	Definition string  `json:"definition"`
	StateName  string  `json:"stateName"`
	Role       string  `json:"roleArn"`
	Input      *string `json:"input"`
	Variables  string  `json:"variables"`
	Level      string  `json:"inspectionLevel"`
	Reveal     bool    `json:"revealSecrets"`
	Context    string  `json:"context"`
	Mock       *struct {
		Result *string `json:"result"`
		Error  *struct {
			Error string `json:"error"`
			Cause string `json:"cause"`
		} `json:"errorOutput"`
		Validation string `json:"fieldValidationMode"`
	} `json:"mock"`
	Configuration struct {
		Retries    *int64 `json:"retrierRetryCount"`
		CausedBy   string `json:"errorCausedByState"`
		Failures   *int   `json:"mapIterationFailureCount"`
		ReaderData string `json:"mapItemReaderData"`
	} `json:"stateConfiguration"`
}

type testStateOutput struct {
	Output     *string        `json:"output,omitempty"`
	Error      string         `json:"error,omitempty"`
	Cause      string         `json:"cause,omitempty"`
	Inspection map[string]any `json:"inspectionData,omitempty"`
	Next       string         `json:"nextState,omitempty"`
	Status     string         `json:"status"`
}

// A stateText is a state as it is written.
type stateText map[string]json.RawMessage

func (st stateText) text(name string) string {
	var s string
	json.Unmarshal(st[name], &s) // else it is none
	return s
}

// with is the state with some fields in the place of others; those that are nil
// are left out.
func (st stateText) with(fields map[string]any) stateText {
	out := stateText{}
	for k, v := range st {
		out[k] = v
	}
	for k, v := range fields {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k], _ = json.Marshal(v) // texts and numbers only
	}
	return out
}

// A stateTest is one state that is tested: it is run by the same core as
// executions, alone in a machine of its own.
type stateTest struct {
	s       *Server
	in      testStateInput
	state   stateText
	kind    string
	jsonata bool

	name      string // of the state, in the context object
	execution asl.ExecutionInfo
	given     json.RawMessage // input of the execution
	entered   time.Time
	token     string // of the task; empty: any
	variables map[string]json.RawMessage

	retryCount int64 // of the context object

	exchange httptask.Exchange // of an HTTP Task
}

// testState runs one state, with a mock in the place of what it calls.
func (s *Server) testState(ctx context.Context, in testStateInput) (any, error) {
	t := &stateTest{s: s, in: in}
	if err := t.read(); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := t.setting(); err != nil {
		return nil, err
	}
	p, err := t.run(ctx, t.subject(), t.input())
	if err != nil {
		return nil, err
	}
	out := p.testStateOutput
	if in.Level == "DEBUG" || in.Level == "TRACE" {
		if out.Inspection, err = t.inspect(ctx, p); err != nil {
			return nil, err
		}
		if x := t.exchange; x.Request != nil {
			out.Inspection["request"] = x.Request
			if x.Response != nil {
				out.Inspection["response"] = x.Response
			}
		}
	}
	if p.early {
		out.Output = nil
	}
	return out, nil
}

func (t *stateTest) input() json.RawMessage {
	if t.in.Input == nil {
		return json.RawMessage("{}")
	}
	return json.RawMessage(*t.in.Input)
}

// read finds the state in the definition.
func (t *stateTest) read() error {
	if err := notJSON(t.in.Definition); err != "" {
		return refuseDefinition(t.in.Definition, typeStandard)
	}
	if t.in.Input != nil {
		if why := notJSON(*t.in.Input); why != "" {
			return refuse("InvalidExecutionInput", "Invalid State Machine Execution Input: '%s'", why)
		}
	}
	var machine stateText
	if json.Unmarshal([]byte(t.in.Definition), &machine) != nil {
		return refuseDefinition(t.in.Definition, typeStandard)
	}
	language := machine.text("QueryLanguage")
	if t.state = machine; t.in.StateName != "" || machine["States"] != nil {
		if t.in.StateName == "" {
			return invalid("StateName must be specified when the definition is a state machine")
		}
		var ok bool
		if t.state, language, ok = find(machine, t.in.StateName, language, 0); !ok {
			return invalid("State not found in definition")
		}
	}
	if own := t.state.text("QueryLanguage"); own != "" {
		language = own
	}
	t.kind, t.jsonata = t.state.text("Type"), language == "JSONata"
	return nil
}

// deepest is how deep in a machine a state is looked for.
const deepest = 32

// inside are the machines in a state.
func (st stateText) inside() []stateText {
	var all []stateText
	json.Unmarshal(st["Branches"], &all) // none, where there are none
	for _, field := range []string{"ItemProcessor", "Iterator"} {
		var p stateText
		if json.Unmarshal(st[field], &p) == nil {
			all = append(all, p)
		}
	}
	return all
}

// find is the state of that name, wherever in a machine it is, and its language.
func find(machine stateText, name, language string, depth int) (stateText, string, bool) {
	if own := machine.text("QueryLanguage"); own != "" {
		language = own
	}
	var states map[string]stateText
	if depth > deepest || json.Unmarshal(machine["States"], &states) != nil {
		return nil, "", false
	}
	if st, ok := states[name]; ok {
		return st, language, true
	}
	for _, st := range states {
		for _, b := range st.inside() {
			if found, l, ok := find(b, name, language, depth+1); ok {
				return found, l, true
			}
		}
	}
	return nil, "", false
}

// check keeps the rules of mocks.
func (t *stateTest) check() error {
	mock, many := t.in.Mock, t.kind == "Map" || t.kind == "Parallel"
	if t.in.Role != "" {
		if err := checkRole(t.in.Role); err != nil {
			return err
		}
	}
	if mock == nil {
		c := t.in.Configuration
		for _, only := range []struct {
			given bool
			name  string
		}{{t.in.Context != "", "Context"}, {c.Retries != nil, "RetrierRetryCount"}, {c.CausedBy != "", "ErrorCausedByState"},
			{c.Failures != nil, "MapIterationFailureCount"}, {c.ReaderData != "", "MapItemReaderData"}} {
			if only.given {
				return invalid("TestState does not support %s when a mock is not specified.", only.name)
			}
		}
		switch {
		case many:
			return refuse("InvalidDefinition", "TestState API does not support Map or Parallel states. Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]")
		case t.kind == "Task" && t.in.Role == "":
			return invalid("RoleArn must be specified when testing a Task state")
		}
		return nil
	}
	switch {
	case mock.Result != nil && mock.Error != nil || mock.Result == nil && mock.Error == nil:
		return invalid("A test mock should have only one of the following fields: [result, errorOutput].")
	case t.in.Reveal:
		return invalid("TestState does not support RevealSecrets when a mock is specified.")
	case t.kind != "Task" && !many:
		return invalid("State type '%s' is not supported when a mock is specified", t.kind)
	case many && !t.holds(t.in.Configuration.CausedBy):
		return invalid("State not found in definition")
	}
	if mock.Result == nil {
		return nil
	}
	if notJSON(*mock.Result) != "" {
		return invalid("Mocked result must be valid JSON.")
	}
	var items []json.RawMessage
	array := json.Unmarshal([]byte(*mock.Result), &items) == nil
	var object map[string]json.RawMessage
	switch {
	case t.kind == "Map" && t.state["ResultWriter"] != nil:
		if json.Unmarshal([]byte(*mock.Result), &object) != nil {
			return invalid("Mocked result must be a JSON object.")
		}
	case many && !array:
		return invalid("Mocked result must be an array.")
	case t.kind == "Parallel":
		var branches []json.RawMessage
		json.Unmarshal(t.state["Branches"], &branches) // none, where there are none
		if len(branches) != len(items) {
			return invalid("Mocked result must contain the same number of items as number of Parallel branches.")
		}
	case t.kind == "Map" && t.in.Configuration.Failures != nil && *t.in.Configuration.Failures > len(items):
		return invalid("Map iteration failure count must be less than or equal to the number of Map iterations")
	case t.kind == "Task" && mock.Validation != "NONE":
		if problem := checkResult(t.state.text("Resource"), []byte(*mock.Result), mock.Validation != "PRESENT"); problem != "" {
			return invalid("Mock result schema validation error: %s", problem)
		}
	}
	return nil
}

// holds reports whether the state of that name is in this one; no name is in all.
func (t *stateTest) holds(name string) bool {
	return name == "" || slices.ContainsFunc(t.state.inside(), func(m stateText) bool {
		_, _, ok := find(m, name, "", 0)
		return ok
	})
}

// contextFields are the members of a context object that may be given.
var contextFields = map[string][]string{
	"Execution":    {"Id", "Input", "Name", "RoleArn", "StartTime", "RedriveCount", "RedriveTime"},
	"State":        {"EnteredTime", "Name", "RetryCount"},
	"StateMachine": {"Id", "Name"},
	"Task":         {"Token"},
}

// setting is the execution that the state is tested in.
func (t *stateTest) setting() error {
	now := time.Now().UTC()
	machine, name := uuid(random()), uuid(random())
	t.name, t.entered, t.given = "StateName", now, t.input()
	t.execution = asl.ExecutionInfo{
		ARN: t.s.arn("express", machine, name), Name: name, RoleARN: t.in.Role, Started: now,
		StateMachineARN: t.s.arn("stateMachine", machine), StateMachineName: machine, Tested: true,
	}
	if t.in.Variables != "" {
		if err := json.Unmarshal([]byte(t.in.Variables), &t.variables); err != nil {
			return invalid("Variables must be a JSON object")
		}
	}
	if n := t.in.Configuration.Retries; n != nil {
		t.retryCount = *n
	}
	if t.in.Context == "" {
		return nil
	}
	var given map[string]map[string]json.RawMessage
	if err := json.Unmarshal([]byte(t.in.Context), &given); err != nil {
		return invalid("Invalid Context object provided: it must be a JSON object of objects")
	}
	for _, part := range sorted(given) {
		known, ok := contextFields[part]
		switch {
		case part == "Map":
			return invalid("Invalid Context object provided: 'Map' field is not supported when mocking a Context object")
		case !ok:
			return invalid("Invalid Context object provided: Field '%s' is not allowed", part)
		}
		for _, field := range sorted(given[part]) {
			if !slices.Contains(known, field) {
				return invalid("Invalid Context object provided: Field '%s' is not allowed", field)
			}
		}
	}
	var wrong error
	set := func(part, field string, into any) {
		if raw := given[part][field]; raw != nil && json.Unmarshal(raw, into) != nil && wrong == nil {
			wrong = invalid("Invalid Context object provided: Field '%s' is of the wrong type", field)
		}
	}
	x := &t.execution
	set("Execution", "Id", &x.ARN)
	set("Execution", "Name", &x.Name)
	set("Execution", "RoleArn", &x.RoleARN)
	set("Execution", "StartTime", &x.Started)
	set("Execution", "Input", &t.given)
	set("StateMachine", "Id", &x.StateMachineARN)
	set("StateMachine", "Name", &x.StateMachineName)
	set("State", "Name", &t.name)
	set("State", "EnteredTime", &t.entered)
	set("State", "RetryCount", &t.retryCount)
	set("Task", "Token", &t.token)
	return wrong
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// mocked is the resource of the Task that stands for a Map or a Parallel: what
// comes after its result is the same.
const mocked = "arn:aws:lambda:us-east-1:123456789012:function:mock"

// subject is the state as it is run.
func (t *stateTest) subject() stateText {
	if t.kind != "Map" && t.kind != "Parallel" {
		return t.state
	}
	st := t.state.with(map[string]any{"Type": "Task", "Resource": mocked})
	for field := range st {
		if !slices.Contains([]string{"Type", "Comment", "QueryLanguage", "Resource", "Next", "End", "InputPath", "OutputPath", "ResultPath", "ResultSelector", "Retry", "Catch", "Assign", "Output"}, field) {
			delete(st, field)
		}
	}
	return st
}

// A probe is what a state has come to.
type probe struct {
	testStateOutput
	sent    string        // what its task was called with
	result  string        // of its task
	handled *asl.Handling // of its error; nil: there was none, or it was the end
	backoff int64         // in seconds
	early   bool          // it failed before anything was called

	assigned map[string]string // to variables, in JSON
}

// run runs a state on an input.
func (t *stateTest) run(ctx context.Context, st stateText, input json.RawMessage) (p probe, err error) {
	m, err := t.machine(st)
	if err != nil {
		return p, err
	}
	if why, failed := t.itemsFail(ctx, st, input); failed {
		return probe{testStateOutput: testStateOutput{Status: "FAILED", Error: asl.ErrRuntime, Cause: why}, early: true}, nil
	}
	env := t.env()
	begun := t.begin(st, input)
	turn := m.Tick(begun, env)
	events, handled, token := turn.Events, turn.Handled, ""
	for range 3 { // a task is called, a wait ends
		root := turn.State.Root
		if root == nil || root.Name != t.name || root.Phase == asl.PhaseRetry {
			break
		}
		switch root.Phase {
		case asl.PhaseWait:
			env.Now = root.Wake
			turn = m.Tick(turn.State, env)
		case asl.PhaseTask:
			if len(turn.Effects) == 0 {
				break
			}
			e := turn.Effects[0]
			p.sent, token = string(e.Input), e.Token()
			o, err := t.outcome(ctx, e)
			if err != nil {
				return p, err
			}
			p.result = string(o.Output)
			turn = m.Resolve(turn.State, e.ID, o, env)
		}
		events, handled = append(events, turn.Events...), append(handled, turn.Handled...)
	}
	entered := 0
	if t.again(st) { // it was before
		entered = 1
	}
	for _, h := range handled {
		if h.State == t.name {
			p.handled = &h
		}
	}
	p.conclude(turn, events, entered, env.Now)
	if t.token != "" && token != "" { // the one that the core makes stands for it
		p.sent = strings.ReplaceAll(p.sent, token, t.token)
		if p.Output != nil {
			p.Output = new(strings.ReplaceAll(*p.Output, token, t.token))
		}
	}
	return p, nil
}

func (t *stateTest) env() asl.Env {
	return asl.Env{Now: t.entered, Seed: uint64(t.entered.UnixNano())}
}

// begin is an execution that is to enter the state, or to try it again where
// that was tried before.
func (t *stateTest) begin(st stateText, input json.RawMessage) *asl.State {
	c := &asl.Context{Name: t.name, Input: input, Phase: asl.PhaseReady, Wake: t.entered, Variables: t.variables}
	if t.again(st) {
		c.Phase, c.Entered, c.EnteredEvent = asl.PhaseRetry, t.entered, 1
		c.RetryCount = t.retryCount - 1 // it is one more then
		if n := t.in.Configuration.Retries; n != nil {
			var retriers []json.RawMessage
			json.Unmarshal(st["Retry"], &retriers) // it was parsed
			c.Retries = slices.Repeat([]int64{*n}, len(retriers))
		}
	}
	return &asl.State{Execution: t.execution, Input: t.given, Status: asl.StatusRunning, NextEvent: 1, Root: c}
}

// again reports whether the state was tried before.
func (t *stateTest) again(st stateText) bool {
	n := t.in.Configuration.Retries
	return slices.Contains([]string{"Task", "Map"}, st.text("Type")) && (t.retryCount > 0 || n != nil && *n > 0)
}

// machine is a machine that has the state alone, and an end wherever it leads.
func (t *stateTest) machine(st stateText) (*asl.Machine, error) {
	end := json.RawMessage(`{"Type":"Succeed"}`)
	states := map[string]any{}
	targets := []string{st.text("Next"), st.text("Default")}
	for _, field := range []string{"Catch", "Choices"} {
		var rules []stateText
		json.Unmarshal(st[field], &rules) // what is wrong is told by Parse
		for _, r := range rules {
			targets = append(targets, r.text("Next"))
		}
	}
	for _, name := range targets {
		if name != "" {
			states[name] = end
		}
	}
	language := "JSONPath"
	if t.jsonata {
		language = "JSONata"
	}
	if st["QueryLanguage"] == nil {
		st = st.with(map[string]any{"QueryLanguage": language})
	}
	states[t.name] = st
	text, err := json.Marshal(map[string]any{"StartAt": t.name, "States": states})
	if err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	m, err := asl.Parse(text, "definition")
	var problems asl.Problems
	if !errors.As(err, &problems) {
		return m, err
	}
	var all []string
	for _, p := range problems.Errors() {
		d := translate(p)
		at := strings.TrimPrefix(d.Location, "/States/"+t.name)
		all = append(all, d.Code+": "+d.Message+" at "+"/"+strings.TrimPrefix(at, "/"))
	}
	return nil, refuse("InvalidDefinition", "Invalid State Machine Definition: '%s'", strings.Join(all, ", "))
}

// outcome is how the task of the state ends.
func (t *stateTest) outcome(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	mock := t.in.Mock
	switch {
	case mock == nil:
		if e.ByToken() || strings.Contains(e.Resource, ".sync") {
			return asl.Outcome{}, invalid("TestState does not support this integration when a mock is not specified.")
		}
		doing, cancel := context.WithTimeout(ctx, expressTimeout)
		defer cancel()
		var o asl.Outcome
		var err error
		if t.s.cfg.Trace != nil && t.in.Level == "TRACE" && calledHTTP(e.Resource) {
			o, t.exchange, err = t.s.cfg.Trace(doing, e, t.in.Reveal)
		} else {
			o, err = t.s.cfg.Activities.Do(doing, e, false, func(json.RawMessage) {})
		}
		switch {
		case ctx.Err() != nil:
		case doing.Err() != nil:
			return asl.Outcome{Error: asl.ErrTimeout}, nil
		case err != nil:
			return asl.Outcome{Error: asl.ErrTaskFailed, Cause: err.Error()}, nil
		}
		return o, err
	case mock.Error != nil:
		branch := t.kind == "Parallel" && t.in.Configuration.CausedBy != ""
		return asl.Outcome{Error: mock.Error.Error, Cause: mock.Error.Cause, Failed: true, Branch: branch}, nil
	case t.exceeded():
		return asl.Outcome{Error: "States.ExceedToleratedFailureThreshold", Cause: "The specified tolerated failure threshold was exceeded"}, nil
	}
	return asl.Outcome{Output: json.RawMessage(*mock.Result)}, nil
}

// exceeded reports whether more iterations of a Map failed than it tolerates.
func (t *stateTest) exceeded() bool {
	failed := t.in.Configuration.Failures
	if t.kind != "Map" || failed == nil {
		return false
	}
	var items []json.RawMessage
	json.Unmarshal([]byte(*t.in.Mock.Result), &items) // it was checked
	if most, ok := t.number(context.Background(), "ToleratedFailureCount"); ok && float64(*failed) > most {
		return true
	}
	most, ok := t.number(context.Background(), "ToleratedFailurePercentage")
	return ok && len(items) > 0 && float64(*failed)*100/float64(len(items)) > most
}

// conclude says what the turns have come to.
func (p *probe) conclude(turn asl.Turn, events []asl.HistoryEvent, entered int, now time.Time) {
	for _, e := range events {
		if e.StateEntered != nil {
			if entered++; entered == 2 {
				p.Next = e.StateEntered.Name
			}
		}
		if e.StateExited != nil && entered == 1 {
			p.assigned = e.StateExited.Assigned
		}
	}
	if p.handled != nil {
		p.Error, p.Cause = p.handled.Error, p.handled.Cause
	}
	root := turn.State.Root
	switch {
	case root != nil && root.Phase == asl.PhaseRetry:
		p.Status, p.backoff = "RETRIABLE", int64(root.Wake.Sub(now)/time.Second)
	case turn.Status == asl.StatusSucceeded: // where it goes on, whatever is next ends with its output
		p.Status, p.Output = "SUCCEEDED", new(string(turn.Output))
		if p.handled != nil {
			p.Status = "CAUGHT_ERROR"
		}
	default:
		p.Status, p.Error, p.Cause = "FAILED", turn.Error, turn.Cause
	}
}
