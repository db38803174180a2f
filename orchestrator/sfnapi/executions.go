package sfnapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// A start is what the API records of an execution that it starts.
type start struct {
	Machine string `json:"machine"` // its ID
	Name    string `json:"name"`
	Version int    `json:"version,omitempty"`
	Alias   string `json:"alias,omitempty"`
	Trace   string `json:"trace,omitempty"`
	revision
}

// text is the record as package encoding/json writes it, for a fifth of the time.
func (b *start) text() ([]byte, error) {
	w := value.Writer{Text: make([]byte, 0, 512)}
	w.Open('{')
	w.String("machine", b.Machine)
	w.String("name", b.Name)
	w.IntSome("version", int64(b.Version))
	w.StringSome("alias", b.Alias)
	w.StringSome("trace", b.Trace)
	w.StringSome("revision", b.Revision)
	w.Time("updated", b.Updated)
	w.String("digest", b.Digest)
	w.String("role", b.Role)
	for _, setting := range []struct {
		key string
		set json.RawMessage
	}{{"logging", b.Logging}, {"tracing", b.Tracing}, {"encryption", b.Encryption}} {
		if len(setting.set) > 0 { // as it was given: Any writes it on one line
			w.Key(setting.key)
			w.Any(setting.set)
		}
	}
	w.Close('}')
	return w.Text, w.Err
}

type startInput struct {
	ARN   string  `json:"stateMachineArn"`
	Name  string  `json:"name"`
	Input *string `json:"input"`
	Trace string  `json:"traceHeader"`

	Included string `json:"includedData"` // of StartSyncExecution
}

func (in *startInput) read(given members) {
	in.ARN, in.Name = given.text("stateMachineArn"), given.text("name")
	in.Trace, in.Included = given.text("traceHeader"), given.text("includedData")
	if !null(given.of("input")) {
		in.Input = new(given.text("input"))
	}
}

type startOutput struct {
	ARN     string
	Started epoch
}

func (out startOutput) write(w *value.Writer) {
	w.Open('{')
	w.String("executionArn", out.ARN)
	w.Key("startDate")
	w.Text = out.Started.append(w.Text)
	w.Close('}')
}

func (s *Server) startExecution(ctx context.Context, in startInput) (any, error) {
	m, _, x, err := s.start(ctx, in, false)
	if err != nil {
		return nil, err
	}
	return startOutput{s.executionARN(m, x), epoch(*x.Started)}, nil
}

// executionARN is the ARN of an execution as the API tells it: one of a policy may be
// of before these had the account of the settings.
func (s *Server) executionARN(m *machine, x orchestrator.Execution) string {
	if m.policy {
		return s.arn("execution", m.Name, x.Name)
	}
	return x.ARN
}

// start begins an execution, or finds it begun, and answers its key with it.
func (s *Server) start(ctx context.Context, in startInput, sync bool) (m *machine, key string, x orchestrator.Execution, err error) {
	fail := func(err error) (*machine, string, orchestrator.Execution, error) {
		return nil, "", orchestrator.Execution{}, err
	}
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return fail(err)
	}
	input := "{}"
	if in.Input != nil {
		input = *in.Input
	}
	m, ok := s.machine(a.name())
	switch {
	case !ok:
		return fail(noMachine(a.text))
	case m.policy:
		return fail(readOnly(m.Name))
	case m.Deleting:
		return fail(refuse("StateMachineDeleting", "State Machine is being deleted: '%s'", a.text))
	case sync && m.Type != typeExpress:
		return fail(unsupportedType())
	}
	if in.Name == "" {
		in.Name = uuid(random())
	} else if err := checkName(in.Name); err != nil {
		return fail(err)
	}
	if why := notJSON(input); why != "" {
		return fail(refuse("InvalidExecutionInput", "Invalid State Machine Execution Input: '%s'", why))
	}
	begin, ok := m.begin(a.qualifier())
	if !ok {
		return fail(noMachine(a.text))
	}
	begin.Name, begin.Trace = in.Name, in.Trace
	run := orchestrator.StartInput{Name: in.Name, Key: m.key(in.Name), Input: json.RawMessage(input), Fresh: true}
	run.ARN = s.arn("execution", m.Name, in.Name)
	if m.Type == typeExpress {
		id := uuid(random())
		run.Key, run.ARN, run.Timeout = m.key(id), s.arn("express", m.Name, in.Name, id), expressTimeout
	}
	definition, err := s.definition(ctx, begin.Digest)
	if err != nil {
		return fail(err)
	}
	data, err := begin.text()
	if err != nil {
		return fail(fmt.Errorf("write start of %s: %w", run.Key, err))
	}
	run.Machine = orchestrator.Machine{Name: m.Name, Definition: definition, Digest: begin.Digest, ARN: s.arn("stateMachine", m.Name), Role: begin.Role,
		Version: begin.Version, Alias: begin.Alias}
	run.Beside = []journal.Record{{Kind: KindExecution, Key: run.Key, Data: data}}
	x, err = s.cfg.Engine.Start(ctx, run)
	var unmapped *engine.UnmappedError
	switch {
	case errors.Is(err, orchestrator.ErrExecutionExists):
		return fail(alreadyStarted(run.ARN))
	case errors.As(err, &unmapped):
		return fail(invalid("The state machine calls what this engine does not have: %s", unmapped))
	case err != nil:
		return fail(err)
	}
	return m, run.Key, x, nil
}

// begin is a start of the machine as it stands, or as the version or alias has it;
// false where there is none.
func (m *machine) begin(qualifier string) (b start, ok bool) {
	b = start{Machine: m.ID, revision: m.revision}
	if qualifier == "" {
		return b, true
	}
	v, ok := m.version(qualifier)
	if al := m.alias(qualifier); !ok && al != nil {
		b.Alias = qualifier
		v, ok = m.version(strconv.Itoa(al.pick()))
	}
	if ok {
		b.Version, b.revision = v.Number, v.revision
	}
	return b, ok
}

func alreadyStarted(arn string) error {
	return refuse("ExecutionAlreadyExists", "Execution Already Exists: '%s'", arn)
}

func unsupportedType() error {
	return refuse("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
}

type executionInput struct {
	ARN      string `json:"executionArn"`
	Included string `json:"includedData"`
	Token    string `json:"clientToken"`
}

func noExecution(arn string) error {
	return refuse("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", arn)
}

// execution finds an execution by its ARN.
func (s *Server) execution(ctx context.Context, text string) (m *machine, key string, x orchestrator.Execution, err error) {
	a, err := parseARN(text, "execution")
	if err != nil {
		return nil, "", x, err
	}
	if m, x, ok := s.childOf(ctx, a); ok {
		return m, x.Name, x, nil
	}
	m, ok := s.machine(a.name())
	if !ok {
		return nil, "", x, noExecution(text)
	}
	key = m.key(a.qualifier())
	x, err = s.cfg.Engine.Describe(ctx, key)
	if errors.Is(err, orchestrator.ErrNotFound) || err == nil && m.policy && !strings.HasSuffix(x.Machine, ":"+m.Name) {
		return nil, "", x, noExecution(text)
	}
	return m, key, x, err
}

// began is what was recorded of a start; of the run of a policy that is nothing.
func (s *Server) began(ctx context.Context, m *machine, key string) (start, error) {
	data, err := s.startOf(ctx, key)
	if errors.Is(err, journal.ErrNotFound) {
		return start{Machine: m.ID, revision: m.revision}, nil
	}
	var b start
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		return b, fmt.Errorf("read start of %s: %w", key, err)
	}
	return b, nil
}

type hasData struct {
	Included bool `json:"included"`
}

// An item is what ListExecutions tells of an execution.
type item struct {
	ARN      string `json:"executionArn"`
	Machine  string `json:"stateMachineArn"`
	Version  string `json:"stateMachineVersionArn,omitempty"`
	Alias    string `json:"stateMachineAliasArn,omitempty"`
	Name     string `json:"name"`
	Status   string `json:"status"`
	Started  *epoch `json:"startDate"`
	Stopped  *epoch `json:"stopDate,omitempty"`
	Redrives int64  `json:"redriveCount"`
	Redriven *epoch `json:"redriveDate,omitempty"`
	MapRun   string `json:"mapRunArn,omitempty"`
	Items    int64  `json:"itemCount,omitempty"` // in the list of a map run
}

func (s *Server) item(m *machine, b start, x orchestrator.Execution) item {
	if x.MapRun != "" {
		return childItem(x)
	}
	it := item{
		ARN: s.executionARN(m, x), Machine: s.arn("stateMachine", m.Name), Name: x.Name, Status: string(x.Status),
		Started: since(x.Started), Stopped: since(x.Ended), Redrives: x.Redrives, Redriven: since(x.Redriven),
	}
	if b.Version > 0 {
		it.Version = s.versionARN(m, b.Version)
	}
	if b.Alias != "" {
		it.Alias = s.arn("stateMachine", m.Name, b.Alias)
	}
	return it
}

type executionOutput struct {
	item
	Input         *string  `json:"input,omitempty"`
	InputDetails  *hasData `json:"inputDetails,omitempty"`
	Output        *string  `json:"output,omitempty"`
	OutputDetails *hasData `json:"outputDetails,omitempty"`
	Error         string   `json:"error,omitempty"`
	Cause         string   `json:"cause,omitempty"`
	Trace         string   `json:"traceHeader,omitempty"`
	RedriveStatus string   `json:"redriveStatus"`
	RedriveReason string   `json:"redriveStatusReason,omitempty"`
}

func (s *Server) describeExecution(ctx context.Context, in executionInput) (any, error) {
	m, key, x, err := s.execution(ctx, in.ARN)
	if err != nil {
		return nil, err
	}
	return s.described(ctx, m, key, x, in.Included != "METADATA_ONLY")
}

func (s *Server) described(ctx context.Context, m *machine, key string, x orchestrator.Execution, data bool) (executionOutput, error) {
	b, err := s.began(ctx, m, key)
	out := executionOutput{item: s.item(m, b, x), Error: x.Error, Cause: x.Cause, Trace: b.Trace}
	if m.Type == typeStandard && string(x.Status) == asl.StatusTimedOut {
		out.Error = "" // which the history alone tells
	}
	if data {
		out.Input, out.InputDetails = new(string(x.Input)), &hasData{true}
		if x.Status.Ended() && x.Error == "" && x.Cause == "" && len(x.Output) > 0 {
			out.Output, out.OutputDetails = new(string(x.Output)), &hasData{true}
		}
	}
	out.RedriveStatus, out.RedriveReason = "REDRIVABLE", ""
	switch {
	case m.Deleting:
		out.RedriveStatus, out.RedriveReason = "NOT_REDRIVABLE", deletingReason
	case x.Fixed != "":
		out.RedriveStatus, out.RedriveReason = "NOT_REDRIVABLE", x.Fixed
	case x.Ended != nil && time.Since(*x.Ended) > orchestrator.RedrivableFor:
		out.RedriveStatus, out.RedriveReason = "NOT_REDRIVABLE", "Execution is past redrive period of 14 days"
	}
	return out, err
}

type forExecutionOutput struct {
	ARN        string              `json:"stateMachineArn"`
	Name       string              `json:"name"`
	Definition string              `json:"definition"`
	Role       string              `json:"roleArn"`
	Updated    epoch               `json:"updateDate"`
	Logging    json.RawMessage     `json:"loggingConfiguration"`
	Tracing    json.RawMessage     `json:"tracingConfiguration"`
	Encryption json.RawMessage     `json:"encryptionConfiguration"`
	MapRun     string              `json:"mapRunArn,omitempty"`
	Label      string              `json:"label,omitempty"`
	Revision   string              `json:"revisionId,omitempty"`
	Variables  map[string][]string `json:"variableReferences,omitempty"`
}

func (s *Server) describeStateMachineForExecution(ctx context.Context, in executionInput) (any, error) {
	m, key, x, err := s.execution(ctx, in.ARN)
	if err != nil {
		return nil, err
	}
	b, err := s.began(ctx, m, key)
	if err != nil {
		return nil, err
	}
	out := forExecutionOutput{
		ARN: s.arn("stateMachine", m.Name), Name: m.Name, Role: b.Role, Updated: epoch(b.Updated), Revision: b.Revision,
		Logging: shown(b.Logging, defaultLogging), Tracing: shown(b.Tracing, defaultTracing), Encryption: shown(b.Encryption, defaultEncryption),
	}
	definition, err := s.machineDefinition(ctx, m, b.Digest)
	if err != nil {
		return nil, err
	}
	if x.MapRun != "" {
		_, out.Label = labelled(x.Machine)
		out.ARN, out.MapRun = x.Machine, x.MapRun
		if definition, err = processor(definition, s.arn("stateMachine", m.Name), out.Label); err != nil {
			return nil, err
		}
	}
	out.Definition, out.Variables = included(in.Included, definition)
	return out, nil
}

type listExecutionsInput struct {
	ARN     string `json:"stateMachineArn"`
	MapRun  string `json:"mapRunArn"`
	Status  string `json:"statusFilter"`
	Redrive string `json:"redriveFilter"`
	page
}

// listExecutions reads the starts in the journal, newest first.
func (s *Server) listExecutions(ctx context.Context, in listExecutionsInput) (any, error) {
	switch {
	case in.ARN == "" && in.MapRun == "":
		return nil, invalid("Must provide a StateMachine ARN or MapRun ARN")
	case in.ARN != "" && in.MapRun != "":
		return nil, invalid("Must specify exactly one of stateMachineArn or mapRunArn")
	}
	if in.MapRun != "" {
		return s.listMapRunExecutions(ctx, in)
	}
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return nil, err
	}
	if in.Status == "PENDING_REDRIVE" {
		return nil, invalid("PENDING_REDRIVE can be filtered for with mapRunArn only")
	}
	m, ok := s.machine(a.name())
	switch {
	case !ok:
		return nil, noMachine(in.ARN)
	case m.Type == typeExpress:
		return nil, unsupportedType()
	}
	of := strings.Join([]string{"executions", m.ID, a.qualifier(), in.Status, in.Redrive}, ":")
	after, err := in.after(of)
	if err != nil {
		return nil, err
	}
	items, last, next := []item{}, "", ""
	// add takes an execution in, and says whether to go on.
	add := func(place, key string, b start) (bool, error) {
		x, err := s.cfg.Engine.Describe(ctx, key)
		if errors.Is(err, orchestrator.ErrNotFound) || m.policy && !strings.HasSuffix(x.Machine, ":"+m.Name) {
			return true, nil // it is older than the retention
		}
		if err != nil {
			return false, err
		}
		if in.Status != "" && in.Status != string(x.Status) || in.Redrive != "" && (in.Redrive == "REDRIVEN") != (x.Redrives > 0) {
			return true, nil
		}
		if q := a.qualifier(); q != "" && q != strconv.Itoa(b.Version) && q != b.Alias {
			return true, nil
		}
		if len(items) == in.size() {
			next = token(of, last)
			return false, nil
		}
		items, last = append(items, s.item(m, b, x)), place
		return true, nil
	}
	if m.policy {
		err = s.policyRuns(ctx, m, after, add)
	} else {
		err = s.started(ctx, m, after, in.Status == string(anneal.StatusRunning), add)
	}
	return struct {
		Items []item `json:"executions"`
		Next  string `json:"nextToken,omitempty"`
	}{items, next}, err
}

// started gives the executions that were started, newest first, or only the running
// ones.
func (s *Server) started(ctx context.Context, m *machine, after string, running bool, add func(place, key string, b start) (bool, error)) error {
	var before uint64
	if after != "" {
		var err error
		if before, err = strconv.ParseUint(after, 10, 64); err != nil {
			return refuse("InvalidToken", "Invalid Token: 'Invalid token'")
		}
	}
	prefix := m.key("")
	last := s.cfg.Journal.Last()
	left := s.cfg.Engine.Open(prefix) // after last: of those up to there it counts all that go on
	if running && left == 0 {
		return nil
	}
	for r, err := range s.newestStarts(ctx, before) {
		if err != nil {
			return fmt.Errorf("list executions of %s: %w", m.Name, err)
		}
		if !strings.HasPrefix(r.Key, prefix) || running && !s.cfg.Engine.Running(r.Key) {
			continue // what has ended need not be read
		}
		if r.Seq <= last {
			left--
		}
		var b start
		if err := json.Unmarshal(r.Data, &b); err != nil {
			return fmt.Errorf("read start in record %d: %w", r.Seq, err)
		}
		if more, err := add(strconv.FormatUint(r.Seq, 10), r.Key, b); err != nil || !more {
			return err
		}
		if running && left == 0 {
			return nil // all have been seen
		}
	}
	return nil
}

func (s *Server) policyRuns(ctx context.Context, m *machine, after string, add func(place, key string, b start) (bool, error)) error {
	if s.cfg.Runs == nil {
		return nil
	}
	for run, err := range s.cfg.Runs(ctx, m.Name) {
		if err != nil {
			return fmt.Errorf("list runs of %s: %w", m.Name, err)
		}
		if after != "" {
			if run == after {
				after = ""
			}
			continue
		}
		if more, err := add(run, run, start{}); err != nil || !more {
			return err
		}
	}
	return nil
}

type historyInput struct {
	ARN     string `json:"executionArn"`
	Reverse bool   `json:"reverseOrder"`
	Data    *bool  `json:"includeExecutionData"`
	page
}

// A historyEvent is one as the API writes it.
type historyEvent struct {
	asl.HistoryEvent
	Timestamp epoch `json:"timestamp"`
}

func (s *Server) getExecutionHistory(ctx context.Context, in historyInput) (any, error) {
	m, key, _, err := s.execution(ctx, in.ARN)
	if err != nil {
		return nil, err
	}
	of := "history:" + m.ID + ":" + key + ":" + strconv.FormatBool(in.Reverse)
	after, err := in.after(of)
	if err != nil {
		return nil, err
	}
	events, err := s.cfg.Engine.History(ctx, key)
	if err != nil {
		return nil, err
	}
	if in.Reverse {
		slices.Reverse(events)
	}
	begin, err := strconv.Atoi("0" + after)
	if err != nil {
		return nil, refuse("InvalidToken", "Invalid Token: 'Invalid token'")
	}
	if in.Reverse && begin > 0 { // there may be newer ones by now
		begin = slices.IndexFunc(events, func(e asl.HistoryEvent) bool { return e.ID < int64(begin) })
	} else {
		begin = slices.IndexFunc(events, func(e asl.HistoryEvent) bool { return e.ID > int64(begin) })
	}
	if begin < 0 {
		begin = len(events)
	}
	end, next := min(len(events), begin+in.size()), ""
	if end < len(events) {
		next = token(of, strconv.FormatInt(events[end-1].ID, 10))
	}
	out := []any{}
	for _, e := range events[begin:end] {
		told := any(historyEvent{e, epoch(e.Timestamp)})
		if in.Data != nil && !*in.Data {
			if told, err = withoutData(told); err != nil {
				return nil, err
			}
		}
		out = append(out, told)
	}
	return struct {
		Events []any  `json:"events"`
		Next   string `json:"nextToken,omitempty"`
	}{out, next}, nil
}

// withoutData is an event without the inputs and outputs in its details.
func withoutData(event any) (any, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	for _, details := range members {
		if d, ok := details.(map[string]any); ok {
			for _, name := range []string{"input", "inputDetails", "output", "outputDetails", "assignedVariables", "assignedVariablesDetails"} {
				delete(d, name)
			}
		}
	}
	return members, nil
}

type stopInput struct {
	ARN   string `json:"executionArn"`
	Error string `json:"error"`
	Cause string `json:"cause"`
}

func (s *Server) stopExecution(ctx context.Context, in stopInput) (any, error) {
	m, key, x, err := s.execution(ctx, in.ARN)
	if err != nil {
		return nil, err
	}
	if m.policy {
		return nil, invalid("The execution is a run of the policy '%s': anneal runs stop %s", m.Name, key)
	}
	if err = s.cfg.Engine.Stop(ctx, key, in.Error, in.Cause); err != nil {
		return nil, err
	}
	if x, err = s.cfg.Engine.Describe(ctx, key); err != nil {
		return nil, err
	}
	return struct {
		Stopped *epoch `json:"stopDate"`
	}{since(x.Ended)}, nil
}
