package asl

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/items"
)

// shared is a folder of the test data that is kept beside the repository.
func shared(t testing.TB, elements ...string) string {
	t.Helper()
	root := os.Getenv("ANNEAL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elements...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("no shared test data: %v", err)
		}
		t.Skipf("no shared test data: %v", err)
	}
	return path
}

// A recording is one execution that AWS recorded. The README beside the data
// describes the format.
type recording struct {
	Name          string          `json:"name"`
	Area          string          `json:"area"`
	Type          string          `json:"type"`
	Recorded      string          `json:"recorded"`
	Definition    json.RawMessage `json:"definition"`
	Input         json.RawMessage `json:"input"`
	Machine       string          `json:"state_machine_name"`
	Role          string          `json:"role_arn"`
	ExecutionName string          `json:"execution_name"`
	Tasks         []recordedTask  `json:"tasks"`
	Environment   []struct {
		Op     string `json:"op"`
		Params struct{ Bucket, Key, Body string }
	} `json:"environment"`
	Volatile []struct {
		Placeholder string `json:"placeholder"`
	} `json:"volatile"`
	Expected struct {
		Status  string            `json:"status"`
		Output  json.RawMessage   `json:"output"`
		Error   string            `json:"error"`
		Cause   json.RawMessage   `json:"cause"`
		History []json.RawMessage `json:"history"`
		Order   string            `json:"history_order"`
	} `json:"expected"`
}

type recordedTask struct {
	State     string          `json:"state"`
	Resource  string          `json:"resource"`
	Kind      string          `json:"resourceType"`
	Outcome   string          `json:"outcome"`
	Output    json.RawMessage `json:"output"`
	Error     string          `json:"error"`
	Cause     json.RawMessage `json:"cause"`
	Submitted json.RawMessage `json:"submitted_output"`
	Input     json.RawMessage `json:"input"`
	EventID   int64           `json:"event_id"`
}

func recordings(t testing.TB) []recording {
	dir := shared(t, "conformance", "asl")
	var all []recording
	add := func(data []byte) {
		var r recording
		var kind struct{ Kind string }
		if err := json.Unmarshal(data, &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind != "execution" {
			return
		}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add(data)
	}
	f, err := os.Open(filepath.Join(dir, "choice-operators", "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		add(lines.Bytes())
	}
	return all
}

// TestRecordedExecutions runs every recorded execution whose definition is
// built whole, answers its tasks as AWS did, and compares outcome and history.
func TestRecordedExecutions(t *testing.T) {
	ran, passed, skipped := 0, 0, 0
	for _, r := range recordings(t) {
		m, err := Parse(r.Definition, "case.asl.json")
		if err != nil && !slices.ContainsFunc(err.(Problems).Errors(), func(p Problem) bool { return !strings.Contains(p.Message, "not built yet") }) {
			skipped++
			continue
		}
		ran++
		if why, ok := notTheCores[r.Name]; ok {
			t.Logf("%s/%s: %s", r.Area, r.Name, why)
			continue
		}
		if t.Run(r.Area+"/"+r.Name, func(t *testing.T) {
			if err != nil {
				t.Fatalf("the definition is refused:\n%v\n%s", err, r.Definition)
			}
			r.check(t, m)
		}) {
			passed++
		}
	}
	t.Logf("%d of %d recorded executions agree; %d use what is not built yet", passed, ran, skipped)
	if ran < 700 {
		t.Errorf("only %d recordings ran", ran)
	}
}

// notTheCores are recordings in which the service refused a task before it was
// scheduled: what it checks is known to the integration, not to the language.
var notTheCores = map[string]string{
	"activities_activity_task_on_deleted":                           "the activity does not exist",
	"apigetway_task_service_invoke_with_headers_singleStringHeader": "the integration refuses the parameters",
}

func (r *recording) check(t *testing.T, m *Machine) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	turn, history := r.run(t, m, now, true)
	c := comparison{words: map[string]bool{}, redrive: r.Recorded > "2024"}
	defer func() {
		for _, d := range c.differences {
			t.Error(d)
		}
	}()
	for _, v := range r.Volatile {
		c.words[v.Placeholder] = true
	}
	if turn.Status != r.Expected.Status {
		t.Errorf("status %s (%s: %s), want %s", turn.Status, turn.Error, turn.Cause, r.Expected.Status)
	}
	if turn.Error != r.Expected.Error {
		t.Errorf("error %q, want %q", turn.Error, r.Expected.Error)
	}
	if len(r.Expected.Cause) > 0 {
		c.same("cause", value.OfString(turn.Cause), parse(t, r.Expected.Cause))
	}
	if len(r.Expected.Output) > 0 && r.Expected.Status == StatusSucceeded {
		c.same("output", parse(t, turn.Output), parse(t, r.Expected.Output))
	}
	if r.Expected.History == nil {
		return
	}
	got := make([]value.Value, len(history))
	for i, e := range history {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var members []value.Member
		for v, k := parse(t, data), 0; k < v.Len(); k++ {
			if v.Key(k) != "timestamp" {
				members = append(members, value.Member{Key: v.Key(k), Value: v.At(k)})
			}
		}
		got[i] = value.OfObject(members...)
	}
	want := make([]value.Value, len(r.Expected.History))
	for i, data := range r.Expected.History {
		want[i] = parse(t, data)
	}
	if r.Recorded < "2024-11" {
		besideMapRun(want)
	}
	switch r.Expected.Order {
	case "parallel-normalised":
		c.normalized(got, want)
	case "concurrent":
		c.concurrent(got, want)
	default:
		c.exact(got, want)
	}
}

// besideMapRun has MapStateExited follow MapRunStarted, as in the recordings since
// November 2024, and here. In the earlier ones it follows MapRunSucceeded.
func besideMapRun(history []value.Value) {
	id := func(e value.Value, key string) int64 { n, _ := member(e, key).Int(); return n }
	began := map[int64]int64{} // what MapRunSucceeded follows, by its ID
	for i, e := range history {
		switch member(e, "type").Text() {
		case string(MapRunSucceeded):
			began[id(e, "id")] = id(e, "previousEventId")
		case "MapStateExited":
			if n := began[id(e, "previousEventId")]; n != 0 {
				history[i] = e.With("previousEventId", value.OfInt(n))
			}
		}
	}
}

// exact compares histories event by event.
func (c *comparison) exact(got, want []value.Value) {
	for i := range min(len(got), len(want)) {
		c.same(fmt.Sprintf("event %d", i+1), got[i], want[i])
	}
	if len(got) != len(want) {
		c.errorf("%d events, want %d", len(got), len(want))
	}
}

// concurrent compares histories in which the events of different lines may
// come in another order: each event must be there after the same events of its
// line, which previousEventId tells.
func (c *comparison) concurrent(got, want []value.Value) {
	try := *c
	if try.exact(got, want); len(try.differences) == len(c.differences) {
		return
	}
	chains := func(events []value.Value) []string {
		chain := map[int64]string{0: ""}
		all := make([]string, len(events))
		for i, e := range events {
			id, before, kind := member(e, "id"), member(e, "previousEventId"), member(e, "type")
			n, _ := id.Int()
			p, _ := before.Int()
			all[i] = chain[p] + " " + kind.Text()
			chain[n] = all[i]
		}
		return all
	}
	bare := func(e value.Value) value.Value {
		return e.With("id", value.Value{}).With("previousEventId", value.Value{})
	}
	g, w := chains(got), chains(want)
	used := make([]bool, len(got))
	for i := range want {
		found := false
		for k := range got {
			if used[k] || g[k] != w[i] {
				continue
			}
			try := comparison{words: c.words, redrive: c.redrive}
			if try.same("", bare(got[k]), bare(want[i])); len(try.differences) == 0 {
				used[k], found = true, true
				break
			}
		}
		if !found {
			c.errorf("no event is like\n%s\nafter%s", want[i], w[i])
		}
	}
	for k := range got {
		if !used[k] {
			c.errorf("not expected:\n%s\nafter%s", got[k], g[k])
		}
	}
}

// normalized compares with a history in which the events of the branches were
// sorted, lost their IDs, and are not all there: what has an ID must be where
// it was, and the types must be the same.
func (c *comparison) normalized(got, want []value.Value) {
	kinds := map[string]int{}
	for _, e := range got {
		kinds[member(e, "type").Text()] |= 1
	}
	for _, w := range want {
		kinds[member(w, "type").Text()] |= 2
		id, _ := member(w, "id").Int()
		if id == 0 {
			continue
		}
		if int(id) > len(got) {
			c.errorf("no event %d", id)
			continue
		}
		c.same(fmt.Sprintf("event %d", id), got[id-1], w)
	}
	for kind, where := range kinds {
		if where != 3 && kind != "ParallelStateSucceeded" && kind != "ParallelStateFailed" { // always lost
			c.errorf("%s is on one side only", kind)
		}
	}
}

func member(v value.Value, key string) value.Value {
	x, _ := v.Find(key)
	return x
}

// run drives the execution to its end, or to where the recording ends; if
// reload, through the JSON of its state.
func (r *recording) run(t *testing.T, m *Machine, now time.Time, reload bool) (Turn, []HistoryEvent) {
	input := r.Input
	if i := strings.Index(string(input), "${now+"); i >= 0 {
		days, rest, _ := strings.Cut(string(input[i+len("${now+"):]), "d}")
		n, _ := strconv.Atoi(days)
		input = json.RawMessage(string(input[:i]) + now.AddDate(0, 0, n).Format("2006-01-02T15:04:05.000Z") + rest)
	}
	name := r.ExecutionName
	if name == "" {
		name = "execution-name"
	}
	machine := r.Machine
	if machine == "" {
		machine = "machine"
	}
	var started HistoryEvent // the role that the caller named
	if len(r.Expected.History) > 0 {
		json.Unmarshal(r.Expected.History[0], &started) // as far as it goes: input is not a string here
	}
	if started.ExecutionStarted != nil {
		r.Role = started.ExecutionStarted.RoleARN
	}
	info := ExecutionInfo{
		ARN:  "arn:aws:states:us-east-1:111111111111:execution:" + machine + ":" + name,
		Name: name, StateMachineName: machine,
		StateMachineARN: "arn:aws:states:us-east-1:111111111111:stateMachine:" + machine,
		RoleARN:         r.Role, Started: now,
	}
	tasks := slices.Clone(r.Tasks)
	return r.drive(t, m, Start(m, info, input, Env{Now: now}), &tasks, now, reload)
}

// drive takes an execution from its first turn to its end, and answers its
// tasks.
func (r *recording) drive(t *testing.T, m *Machine, turn Turn, recorded *[]recordedTask, now time.Time, reload bool) (Turn, []HistoryEvent) {
	history, waiting := turn.Events, turn.Effects
	tasks := *recorded
	defer func() { *recorded = tasks }()
	child := turn.State.Execution.Processor != ""
	lost := r.lost()
	step := func(next Turn) {
		turn = next
		if reload {
			turn.State = roundTrip(t, turn.State)
		}
		history, waiting = append(history, turn.Events...), append(waiting, turn.Effects...)
		waiting = slices.DeleteFunc(waiting, func(e Effect) bool { return !slices.Contains(turn.State.Effects(), e.ID) })
	}
	for turn.Status == StatusRunning {
		if len(waiting) == 0 {
			if turn.Wake.IsZero() || r.Expected.Status == StatusRunning {
				break
			}
			now = turn.Wake
			step(m.Tick(turn.State, Env{Now: now}))
			continue
		}
		e := waiting[0]
		if e.MapRun != "" {
			*recorded = tasks
			outcome := r.mapRun(t, m, turn.State, e, recorded, now, reload)
			tasks = *recorded
			step(m.Resolve(turn.State, e.ID, outcome, Env{Now: now}))
			continue
		}
		i := slices.IndexFunc(tasks, func(x recordedTask) bool {
			return (x.State == "" || x.State == e.State) && strings.HasSuffix(e.Resource, x.Resource) && x.isFor(t, e, r.Expected.Order)
		})
		if i < 0 && child { // what children did was not recorded; the functions give what they get
			output := e.Input
			if strings.HasSuffix(e.Resource, "lambda:invoke") {
				output = json.RawMessage(`{"Payload":` + string(e.Input) + `}`)
			}
			step(m.Resolve(turn.State, e.ID, Outcome{Output: output}, Env{Now: now}))
			continue
		}
		if i < 0 {
			t.Fatalf("no recorded task for %s (%s) %s", e.State, e.Resource, e.Input)
		}
		task := tasks[i]
		tasks = slices.Delete(tasks, i, i+1)
		now = now.Add(time.Second)
		if slices.ContainsFunc(tasks, func(x recordedTask) bool { return x.Outcome == "timed_out" }) {
			now = now.Add(-time.Second) // others began to wait at the same time
		}
		env := Env{Now: now}
		if worker, ok := r.worker(task); ok {
			step(m.Started(turn.State, e.ID, worker, env))
		}
		if len(task.Submitted) > 0 {
			step(m.Submitted(turn.State, e.ID, task.Submitted, env))
		}
		outcome := task.Outcome
		if outcome == "none" && r.Expected.Order == "parallel-normalised" {
			// It has lost which outcome was whose.
			outcome = "succeeded"
			if len(lost) > 0 {
				outcome, task.Error, task.Cause = "failed", lost[0].Error, lost[0].Cause
				lost = lost[1:]
			}
		}
		switch outcome {
		case "succeeded":
			step(m.Resolve(turn.State, e.ID, Outcome{Output: task.Output}, env))
		case "failed":
			o := Outcome{Error: task.Error, Failed: true}
			switch c := parse(t, task.Cause); c.Kind() {
			case value.String:
				o.Cause = c.Text()
			case value.Object:
				o.Cause = c.String()
			}
			if o.Error == ErrDataLimitExceeded {
				o = Outcome{Output: json.RawMessage(`"` + strings.Repeat("é", MaxData/2) + `"`)}
			}
			step(m.Resolve(turn.State, e.ID, o, env))
		case "timed_out": // nobody answers
			waiting = slices.DeleteFunc(waiting, func(x Effect) bool { return x.ID == e.ID })
		default:
			return turn, history
		}
	}
	return turn, history
}

// mapRun does what a distributed Map asks for, as an engine would: its children
// one after the other.
func (r *recording) mapRun(t *testing.T, m *Machine, s *State, e Effect, recorded *[]recordedTask, now time.Time, reload bool) Outcome {
	run, err := m.MapRun(s, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	all := run.Items()
	if run.Reader != nil {
		var failed *items.Error
		if all, err = r.read(t, *run.Reader); errors.As(err, &failed) {
			return Outcome{Error: ErrItemReaderFailed, Cause: failed.Reason}
		} else if err != nil {
			t.Fatal(err)
		}
	}
	results, index, failures := []json.RawMessage{}, 0, int64(0)
	batch := run.Batch()
	begin := func() {
		if batch.Len() == 0 {
			return
		}
		info := run.Child(index, batch.Len(), now)
		turn, _ := r.drive(t, m, Start(m, info, batch.Input(), Env{Now: now}), recorded, now, reload)
		if turn.Status != StatusSucceeded {
			failures += int64(batch.Len())
		}
		results = append(results, run.Results(Child{Info: info, Status: turn.Status, Input: batch.Input(), Output: turn.Output, Error: turn.Error, Cause: turn.Cause})...)
		index, batch = index+1, run.Batch()
	}
	for _, item := range all {
		v, err := run.Input(item)
		if err != nil {
			f := err.(*fault)
			return Outcome{Error: f.name, Cause: f.cause}
		}
		if !batch.Takes(v) {
			begin()
		}
		if batch.Add(v); batch.Full() {
			begin()
		}
	}
	begin()
	if !run.Tolerates(failures, int64(len(all))) {
		return NotTolerated()
	}
	if run.Writer.Parameters != nil {
		return Outcome{Output: run.Written()}
	}
	data, err := json.Marshal(results)
	if err != nil {
		t.Fatal(err)
	}
	return Outcome{Output: data}
}

// read reads items from the objects that there were.
func (r *recording) read(t *testing.T, spec Reader) ([]Item, error) {
	buckets := map[string]string{}
	for _, x := range r.Environment {
		switch x.Op {
		case "create_bucket":
			buckets[x.Params.Bucket] = t.TempDir()
		case "put_object":
			if err := os.WriteFile(filepath.Join(buckets[x.Params.Bucket], x.Params.Key), []byte(x.Params.Body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	store, err := objects.New(objects.Config{Buckets: buckets})
	if err != nil {
		t.Fatal(err)
	}
	in, err := items.Open(t.Context(), store, items.Spec(spec))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var all []Item
	for {
		x, err := in.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Item{Index: len(all), Value: x.Value, Source: x.Source})
	}
}

// lost are the failures in the history that are more than those of the tasks.
func (r *recording) lost() []recordedTask {
	var all []recordedTask
	for _, data := range r.Expected.History {
		var e struct {
			Failed *recordedTask `json:"taskFailedEventDetails"`
		}
		if json.Unmarshal(data, &e); e.Failed != nil {
			all = append(all, *e.Failed)
		}
	}
	for _, x := range r.Tasks {
		if x.Outcome == "failed" && len(all) > 0 {
			all = all[1:]
		}
	}
	return all
}

// isFor reports whether a task was recorded for what the effect sends. Where
// the order is certain, the next one is.
func (x recordedTask) isFor(t *testing.T, e Effect, order string) bool {
	if order == "exact" || len(x.Input) == 0 {
		return true
	}
	c := comparison{words: map[string]bool{}}
	c.same("input", parse(t, e.Input), parse(t, x.Input))
	return len(c.differences) == 0
}

// TestCrash runs the recorded executions once with the state as it is and once
// with the state reloaded from its JSON after each turn: there must be no
// difference.
func TestCrash(t *testing.T) {
	ran := 0
	for _, r := range recordings(t) {
		m, err := Parse(r.Definition, "case.asl.json")
		if err != nil || notTheCores[r.Name] != "" {
			continue
		}
		ran++
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		turn, history := r.run(t, m, now, false)
		again, other := r.run(t, m, now, true)
		a, _ := json.Marshal([]any{turn, history})
		b, _ := json.Marshal([]any{again, other})
		if string(a) != string(b) {
			t.Errorf("%s/%s:\n   kept %.600s\nreloaded %.600s", r.Area, r.Name, a, b)
		}
	}
	if ran < 700 {
		t.Errorf("only %d recordings ran", ran)
	}
}

// worker is who started an activity's task.
func (r *recording) worker(task recordedTask) (string, bool) {
	for _, data := range r.Expected.History {
		var e HistoryEvent
		if json.Unmarshal(data, &e); e.Type == ActivityStarted && e.PreviousID == task.EventID {
			return e.ActivityStarted.WorkerName, true
		}
	}
	return "", false
}

func roundTrip(t testing.TB, s *State) *State {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	back := &State{}
	if err := json.Unmarshal(data, back); err != nil {
		t.Fatal(err)
	}
	return back
}

func parse(t testing.TB, data []byte) value.Value {
	t.Helper()
	if len(data) == 0 {
		return value.Value{}
	}
	v, err := value.Parse(data)
	if err != nil {
		t.Fatalf("%v: %.200s", err, data)
	}
	return v
}

// comparison compares a result with a recording, in which some values are
// masked.
type comparison struct {
	differences []string
	words       map[string]bool // placeholders that stand for any value
	redrive     bool            // RedriveCount was in the context object when it was recorded
}

var (
	isoDate     = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)`)
	placeholder = regexp.MustCompile(`<+[A-Za-z_][^<>]*>(:\d+>)?|\$\{now\+\d+d\}`)
)

func (c *comparison) errorf(format string, args ...any) {
	c.differences = append(c.differences, fmt.Sprintf(format, args...))
}

func (c *comparison) same(at string, got, want value.Value) {
	if want.Kind() == value.String && c.words[want.Text()] {
		return
	}
	if got.Kind() == value.String && want.Kind() != value.String {
		if v, err := value.ParseString(got.Text()); err == nil {
			got = v
		}
	}
	if got.Kind() != want.Kind() {
		if want.Kind() == value.String && placeholder.FindString(want.Text()) == want.Text() && want.Text() != "" {
			return
		}
		c.errorf("%s:\n got %.300s\nwant %.300s", at, got, want)
		return
	}
	switch got.Kind() {
	case value.Array:
		if got.Len() != want.Len() {
			c.errorf("%s:\n got %.300s\nwant %.300s", at, got, want)
			return
		}
		for i := range got.Len() {
			c.same(fmt.Sprintf("%s[%d]", at, i), got.At(i), want.At(i))
		}
	case value.Object:
		for i := range got.Len() {
			key := got.Key(i)
			w, ok := want.Find(key)
			if !ok && key == "RedriveCount" && !c.redrive {
				continue
			}
			if !ok {
				c.errorf("%s.%s is not expected:\n got %.300s", at, key, got.At(i))
				continue
			}
			if strings.Contains(strings.ToLower(key), "timestamp") && (w.Text() == "timestamp" || w.Text() == "date") {
				continue
			}
			c.same(at+"."+key, got.At(i), w)
		}
		for i := range want.Len() {
			if _, ok := got.Find(want.Key(i)); !ok {
				c.errorf("%s.%s is missing:\nwant %.300s", at, want.Key(i), want.At(i))
			}
		}
	case value.String:
		c.text(at, got.Text(), want.Text())
	default:
		if !value.Equal(got, want) {
			c.errorf("%s:\n got %s\nwant %s", at, got, want)
		}
	}
}

func (c *comparison) text(at, got, want string) {
	got, want = isoDate.ReplaceAllString(got, "date"), isoDate.ReplaceAllString(want, "date")
	if got == want {
		return
	}
	g, errG := value.ParseString(got)
	if errG == nil && g.Kind() == value.String {
		c.text(at, g.Text(), want)
		return
	}
	w, errW := value.ParseString(want)
	if errG == nil && errW == nil && g.Kind() == value.Object && w.Kind() == value.Object {
		c.same(at, g, w)
		return
	}
	var pattern strings.Builder
	last := 0
	for _, loc := range placeholder.FindAllStringIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[last:loc[0]]) + "(?s:.+)")
		last = loc[1]
	}
	pattern.WriteString(regexp.QuoteMeta(want[last:]))
	if !regexp.MustCompile("^" + pattern.String() + "$").MatchString(got) {
		c.errorf("%s:\n got %.400q\nwant %.400q", at, got, want)
	}
}
