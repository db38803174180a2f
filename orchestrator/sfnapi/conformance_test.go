package sfnapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A sequence is calls that AWS recorded. The README beside the data describes
// the format.
type sequence struct {
	Name        string   `json:"name"`
	Area        string   `json:"area"`
	Kind        string   `json:"kind"`
	Recorded    string   `json:"recorded"`
	AWS         bool     `json:"aws_validated"`
	Needs       []string `json:"needs"`
	Steps       []step   `json:"steps"`
	Environment []struct {
		Op     string `json:"op"`
		Params struct {
			Bucket, Key string
			Body        any
			Function    string `json:"func_name"`
			Handler     string `json:"handler_file"`
			ActivityARN string `json:"activity_arn"`
			Template    struct {
				States map[string]any `json:"States"`
			} `json:"template"`
		} `json:"params"`
	} `json:"environment"`
	Volatile []struct {
		Placeholder string `json:"placeholder"`
	} `json:"volatile"`
}

// A step is one call, or what was waited for.
type step struct {
	ID     int            `json:"id"`
	Action string         `json:"action"`
	Await  string         `json:"await"`
	Op     string         `json:"op"` // of another service
	Params map[string]any `json:"params"`
	Expect map[string]any `json:"expect"`
	Error  *struct {
		Code    string  `json:"code"`
		Message *string `json:"message"`
		Status  int     `json:"http_status"`
		Any     bool    `json:"any"`
		Client  bool    `json:"client_side"` // never sent
	} `json:"expect_error"`
}

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

// elsewhere are needs that another service answers.
var elsewhere = []string{"lambda", "sns", "sqs", "s3", "dynamodb", "events", "callback"}

// TestRecordedCalls makes the calls of each recorded sequence, over HTTP, and
// compares the answers.
func TestRecordedCalls(t *testing.T) {
	type count struct{ agree, ran, elsewhere int }
	areas := map[string]*count{}
	listed := differing(t, "Sequences")
	for _, q := range wholeCases(t, "api") {
		c := areas[q.Area]
		if c == nil {
			c = &count{}
			areas[q.Area] = c
		}
		if onlyElsewhere(q) {
			c.elsewhere++
			continue
		}
		if why := listed[q.Name]; why != "" {
			t.Logf("%s/%s: %s", q.Area, q.Name, why)
			c.ran++
			continue
		}
		c.ran++
		if t.Run(q.Area+"/"+q.Name, func(t *testing.T) {
			s, stop := q.account(t, t.TempDir())
			defer stop()
			q.run(t, s)
		}) {
			c.agree++
		}
	}
	for _, area := range slices.Sorted(maps.Keys(areas)) {
		c := areas[area]
		t.Logf("%-26s %3d of %3d agree, %3d need other services", area, c.agree, c.ran, c.elsewhere)
	}
}

// onlyElsewhere reports whether the sequence cannot run without what is not here:
// templates of CloudFormation, and answers of services that were not recorded. One
// waits for a minute.
func onlyElsewhere(q *wholeCase) bool {
	for _, e := range q.Environment {
		if !slices.Contains([]string{"create_lambda_function", "create_bucket", "put_object", "create_queue", "sfn_activity_consumer"}, e.Op) && slices.ContainsFunc(q.Needs, func(n string) bool { return slices.Contains(elsewhere, n) }) {
			return true
		}
	}
	for i, s := range q.Steps {
		if s.Action == "DescribeStateMachine" && !slices.ContainsFunc(q.Steps[:i], func(x step) bool { return x.Action == "CreateStateMachine" || x.Action == "DeleteStateMachine" }) && s.Error == nil {
			return true // deployed by a template
		}
		if data, _ := json.Marshal(s.Params); strings.Contains(string(data), "WAIT_1_MIN") {
			return true
		}
	}
	return false
}

func (q *sequence) run(t *testing.T, s *service) {
	s.t = t
	answers, last := map[string]any{}, map[string]any{}
	c := &comparer{bound: map[string]string{}, words: map[string]bool{}, recorded: q.Recorded}
	for _, v := range q.Volatile {
		c.words[v.Placeholder] = true
	}
	for _, step := range q.Steps {
		at := fmt.Sprintf("step %d %s%s", step.ID, step.Action, step.Await)
		params := fill(step.Params, answers).(map[string]any)
		switch {
		case step.Await != "":
			s.await(t, at, step.Await, params)
			continue
		case step.Action == "" || step.Op != "" || step.Action[0] >= 'a':
			continue // of another service
		}
		if t, _ := params["nextToken"].(string); strings.HasPrefix(t, "tok:") { // that of the list before
			params["nextToken"] = last["nextToken"]
		}
		status, out := s.call(step.Action, params)
		if step.Action == "StartExecution" {
			for _, e := range q.Environment {
				if e.Op == "sfn_activity_consumer" {
					s.work(e.Params.ActivityARN, e.Params.Template.States)
				}
			}
		}
		answers[strconv.Itoa(step.ID)], last = out, out
		if step.Error != nil && step.Error.Client {
			if status != 400 || out["__type"] != "ValidationException" {
				t.Errorf("%s: %d %v, want a ValidationException", at, status, out)
			}
			continue
		}
		if e := step.Error; e != nil {
			if status == 200 || !e.Any && out["__type"] != e.Code || e.Status != 0 && e.Status != status {
				t.Errorf("%s:\n got %d %v\nwant %d %s %s", at, status, out, e.Status, e.Code, deref(e.Message))
			} else if e.Message != nil {
				c.text(at, text(out["message"]), *e.Message)
			}
			continue
		}
		if status != 200 {
			t.Errorf("%s: %d %v, want success", at, status, out)
			return
		}
		if step.Expect != nil {
			delete(step.Expect, "ResponseMetadata")
			for _, answer := range []map[string]any{out, step.Expect} {
				if b, ok := answer["billingDetails"].(map[string]any); ok { // how long it took here
					delete(b, "billedDurationInMilliseconds")
				}
			}
			c.same(at, withoutExchange(c.normal("", out)), withoutExchange(step.Expect))
		}
	}
	for _, d := range c.differences {
		t.Error(d)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// work does one task of an activity as the recorder's worker did, which was a
// state machine with these states.
func (s *service) work(activity string, states map[string]any) {
	s.t.Helper()
	task := s.must("GetActivityTask", object{"activityArn": activity, "workerName": "BASE_ID_ACTIVITY_CONSUMER"})
	if states["SendHeartbeat"] != nil {
		s.must("SendTaskHeartbeat", object{"taskToken": task["taskToken"]})
	}
	if states["SendSuccess"] != nil {
		s.must("SendTaskSuccess", object{"taskToken": task["taskToken"], "output": task["input"]})
	}
}

// await waits as the recorder did.
func (s *service) await(t *testing.T, at, what string, params map[string]any) {
	t.Helper()
	arn := func(name string) string { return text(params[name]) }
	listed := func(action, list, name string, of object) bool {
		items, _ := s.must(action, of)[list].([]any)
		return slices.ContainsFunc(items, func(x any) bool { return x.(map[string]any)[name] == of["want"] })
	}
	ready := func() bool {
		machine := object{"stateMachineArn": arn("state_machine_arn")}
		switch what {
		case "execution_terminated", "execution_success", "execution_failed", "execution_aborted", "execution_timeout":
			return s.must("DescribeExecution", object{"executionArn": arn("execution_arn")})["status"] != "RUNNING"
		case "execution_started":
			return true
		case "state_machine_listed", "state_machine_not_listed":
			return listed("ListStateMachines", "stateMachines", "stateMachineArn", object{"want": arn("state_machine_arn")}) == (what == "state_machine_listed")
		case "state_machine_version_listed", "state_machine_version_not_listed":
			machine["want"] = arn("state_machine_version_arn")
			return listed("ListStateMachineVersions", "stateMachineVersions", "stateMachineVersionArn", machine) == (what == "state_machine_version_listed")
		case "state_machine_alias_is_created", "state_machine_alias_is_deleted":
			machine["want"] = arn("state_machine_alias_arn")
			return listed("ListStateMachineAliases", "stateMachineAliases", "stateMachineAliasArn", machine) == (what == "state_machine_alias_is_created")
		case "execution_lists_terminated":
			items, _ := s.must("ListExecutions", machine)["executions"].([]any)
			return slices.ContainsFunc(items, func(x any) bool {
				return x.(map[string]any)["executionArn"] == arn("execution_arn") && x.(map[string]any)["status"] != "RUNNING"
			})
		case "list_execution_status":
			items, _ := s.must("ListExecutions", machine)["executions"].([]any)
			return slices.ContainsFunc(items, func(x any) bool {
				return x.(map[string]any)["executionArn"] == arn("execution_arn") && x.(map[string]any)["status"] == arn("status")
			})
		case "on_execution_logs":
			return true
		}
		t.Fatalf("%s: unknown wait", at)
		return false
	}
	for begun := time.Now(); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("%s: waited in vain for %v", at, params)
		}
	}
}

var reference = regexp.MustCompile(`^\$\{(\d+)\.([^}]+)\}$`)

// fill puts answers in the place of references, and text in that of JSON.
func fill(v any, answers map[string]any) any {
	switch v := v.(type) {
	case map[string]any:
		if j, ok := v["$json"]; ok && len(v) == 1 {
			data, _ := json.Marshal(j)
			return string(data)
		}
		out := map[string]any{}
		for k, x := range v {
			out[k] = fill(x, answers)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = fill(x, answers)
		}
		return out
	case string:
		m := reference.FindStringSubmatch(v)
		if m == nil {
			return v
		}
		x := answers[m[1]]
		for _, step := range strings.FieldsFunc(m[2], func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
			switch y := x.(type) {
			case map[string]any:
				x = y[step]
			case []any:
				i, _ := strconv.Atoi(step)
				x = y[i]
			}
		}
		return x
	}
	return v
}

// comparer compares answers with recorded ones, in which some values are masked.
type comparer struct {
	differences []string
	bound       map[string]string // what placeholders stand for
	words       map[string]bool   // placeholders that stand for any value
	recorded    string
}

// later are members that the service answers since.
var later = map[string]string{"redriveCount": "2024-03-15", "redriveStatus": "2023-12", "redriveStatusReason": "2023-12", "encryptionConfiguration": "2024-07",
	"RedriveCount": "2024-03-15", "RedriveStatus": "2024-03-15", "RedriveStatusReason": "2024-03-15"}

// normal brings an answer into the form of the recordings.
func (c *comparer) normal(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k == "timestamp" {
				continue
			}
			if out[k] = c.normal(k, x); strings.Contains(strings.ToLower(k), "timestamp") {
				out[k] = "timestamp"
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = c.normal(key, v[i])
		}
		return v
	case json.Number:
		if strings.HasSuffix(key, "Date") {
			return "datetime"
		}
	case string:
		if strings.Contains(strings.ToLower(key), "timestamp") {
			return "timestamp"
		}
		if len(v) > 0 && (key == "input" || key == "output" || v[0] == '{') {
			var x any
			if json.Unmarshal([]byte(v), &x) == nil {
				d := json.NewDecoder(strings.NewReader(v))
				d.UseNumber()
				d.Decode(&x)
				return c.normal("", x)
			}
		}
	}
	return v
}

func (c *comparer) same(at string, got, want any) {
	if w, ok := want.(string); ok && c.words[w] {
		return
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			c.differs(at, got, want)
			return
		}
		for k, x := range g {
			if _, ok := w[k]; !ok && c.recorded >= later[k] {
				c.differences = append(c.differences, fmt.Sprintf("%s.%s is not expected: %.200v", at, k, x))
			}
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if x, ok := g[k]; ok {
				c.same(at+"."+k, x, w[k])
			} else {
				c.differences = append(c.differences, fmt.Sprintf("%s.%s is missing: %.200v", at, k, w[k]))
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			c.differs(at, got, want)
			return
		}
		for i := range w {
			c.same(fmt.Sprintf("%s[%d]", at, i), g[i], w[i])
		}
	case string:
		if g, ok := got.(string); ok {
			c.text(at, g, w)
		} else if _, isNumber := got.(json.Number); isNumber && w == "datetime" {
			return
		} else if x, ok := c.normal("input", w).(map[string]any); ok { // text in the recording, and parsed here
			c.same(at, got, x)
		} else if _, parsed := got.(map[string]any); parsed { // what is masked keeps the text from being JSON
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.Encode(got) // it was decoded
			c.text(at, strings.TrimSpace(b.String()), w)
		} else {
			c.differs(at, got, want)
		}
	default:
		if fmt.Sprint(got) != fmt.Sprint(want) {
			c.differs(at, got, want)
		}
	}
}

func (c *comparer) differs(at string, got, want any) {
	c.differences = append(c.differences, fmt.Sprintf("%s:\n got %.600v\nwant %.600v", at, got, want))
}

var (
	isoDate     = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)`)
	placeholder = regexp.MustCompile(`<[A-Za-z_][^<>]*>`)
)

// text compares texts: a placeholder is one text, the same in the whole case.
func (c *comparer) text(at, got, want string) {
	got, want = isoDate.ReplaceAllString(got, "date"), isoDate.ReplaceAllString(want, "date")
	if got == "timestamp" && want == "date" {
		return // by its name
	}
	var pattern strings.Builder
	var names []string
	last := 0
	for _, loc := range placeholder.FindAllStringIndex(want, -1) {
		name := want[loc[0]:loc[1]]
		pattern.WriteString(regexp.QuoteMeta(want[last:loc[0]]))
		if b, ok := c.bound[name]; ok && name != "<ArnPart_0idx>" {
			pattern.WriteString(regexp.QuoteMeta(b))
		} else {
			pattern.WriteString("((?s).+)")
			names = append(names, name)
		}
		last = loc[1]
	}
	pattern.WriteString(regexp.QuoteMeta(want[last:]))
	m := regexp.MustCompile("^" + pattern.String() + "$").FindStringSubmatch(got)
	if m == nil {
		c.differs(at, got, want)
		return
	}
	for i, name := range names {
		c.bound[name] = m[i+1]
	}
}
