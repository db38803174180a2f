package sfnapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"

	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// A wholeCase is any case that AWS recorded.
type wholeCase struct {
	sequence
	Type          string          `json:"type"`
	Definition    any             `json:"definition"`
	Input         any             `json:"input"`
	RawInput      *string         `json:"input_raw"`
	Machine       string          `json:"state_machine_name"`
	Role          string          `json:"role_arn"`
	ExecutionName string          `json:"execution_name"`
	Tasks         []*recordedTask `json:"tasks"`
	Calls         []struct {
		Action string         `json:"action"`
		When   string         `json:"when"`
		Params map[string]any `json:"params"`
	} `json:"other_calls"`
	Expected struct {
		Status  string           `json:"status"`
		Output  any              `json:"output"`
		Error   string           `json:"error"`
		Cause   any              `json:"cause"`
		History []map[string]any `json:"history"`
		Order   string           `json:"history_order"`
	} `json:"expected"`

	worker string // of its activity, where that has a name
}

// A mark is how a case went: nothing differs where both lists are empty.
type mark struct{ outcome, history []string }

// TestConformance runs what AWS recorded of executions against the API, with
// tasks that call services over their wire, and prints how many agree. A case may
// only differ that docs/conformance.md names.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("executions wait in real time")
	}
	cases := wholeCases(t, "execution")
	listed := differing(t, "Executions")
	type count struct{ ran, outcome, history, withHistory int }
	areas, total := map[string]*count{}, &count{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, 8*runtime.GOMAXPROCS(0))
	for _, c := range cases {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			m := c.mark(t)
			mu.Lock()
			named := listed[c.Name] != ""
			mu.Unlock()
			// Times that the execution has are of one or two seconds, for which a busy
			// machine may stand still: what differs by itself differs again.
			for try := 1; try < 3 && !named && len(m.outcome)+len(m.history) > 0; try++ {
				m = c.mark(t)
			}
			mu.Lock()
			defer mu.Unlock()
			if areas[c.Area] == nil {
				areas[c.Area] = &count{}
			}
			for _, n := range []*count{areas[c.Area], total} {
				n.ran++
				if len(m.outcome) == 0 {
					n.outcome++
				}
				if c.Expected.History != nil {
					n.withHistory++
					if len(m.outcome)+len(m.history) == 0 {
						n.history++
					}
				}
			}
			differs := slices.Concat(m.outcome, m.history)
			switch why := listed[c.Name]; {
			case len(differs) > 0 && why == "":
				t.Errorf("%s/%s:\n%s", c.Area, c.Name, strings.Join(differs[:min(len(differs), 4)], "\n"))
			case len(differs) == 0 && why != "":
				t.Errorf("%s/%s agrees: take it from docs/conformance.md", c.Area, c.Name)
			}
			delete(listed, c.Name)
		})
	}
	wg.Wait()
	for name := range listed {
		t.Errorf("docs/conformance.md names %s, which is no execution that was recorded", name)
	}
	t.Logf("%-28s %9s %9s", "recorded on AWS", "outcome", "history")
	for _, area := range slices.Sorted(maps.Keys(areas)) {
		n := areas[area]
		t.Logf("%-28s %4d/%-4d %4d/%-4d", area, n.outcome, n.ran, n.history, n.withHistory)
	}
	t.Logf("%-28s %4d/%-4d %4d/%-4d", "all", total.outcome, total.ran, total.history, total.withHistory)
	if total.ran < 700 || total.outcome*100 < total.ran*99 || total.history*100 < total.withHistory*97 {
		t.Errorf("%+v: at least 99 of 100 outcomes and 97 of 100 histories are to agree", *total)
	}
}

var (
	hostName = regexp.MustCompile(`<api-endpoint:(\d+)>`)
	whoWorks = regexp.MustCompile(`"WorkerName": *"([^"]+)"`)
)

// wholeCases are the cases of a kind that AWS recorded.
func wholeCases(t *testing.T, want string) (all []*wholeCase) {
	dir := shared(t, "conformance", "asl")
	add := func(data []byte) {
		// One account plays all, and hosts have names that can be hosts'.
		data = bytes.ReplaceAll(data, []byte("222222222222"), []byte("111111111111"))
		data = hostName.ReplaceAll(data, []byte("api$1.execute-api.us-east-1.amazonaws.com"))
		var c wholeCase
		var kind struct{ Kind string }
		if err := decode(data, &kind); err != nil || kind.Kind != want {
			return
		}
		if err := decode(data, &c); err != nil {
			t.Fatal(err)
		}
		if m := whoWorks.FindSubmatch(data); m != nil {
			c.worker = string(m[1])
		}
		if c.AWS {
			all = append(all, &c)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add(data)
	}
	data, err := os.ReadFile(filepath.Join(dir, "choice-operators", "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		add([]byte(line))
	}
	return all
}

var listedCase = regexp.MustCompile(`(?m)^\| ` + "`" + `[\w-]+/([\w.-]+)` + "`" + ` \| (.+) \|$`)

// differing are the cases of a part of docs/conformance.md, and why each differs.
func differing(t *testing.T, part string) map[string]string {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "\n## "+part)
	text, _, _ = strings.Cut(text, "\n## ")
	all := map[string]string{}
	for _, m := range listedCase.FindAllStringSubmatch(text, -1) {
		all[m[1]] = m[2]
	}
	return all
}

// handing tells the cloud when a task has been handed over.
type handing struct {
	*tasks.Tasks
	cloud *recordedCloud
}

func (h handing) Do(ctx context.Context, e asl.Effect, recovered bool, submitted func(json.RawMessage)) (asl.Outcome, error) {
	return h.Tasks.Do(ctx, e, recovered, func(output json.RawMessage) {
		submitted(output)
		h.cloud.handedOver(e.Token())
	})
}

// late is an engine that is made after its tasks.
type late struct{ *engine.Engine }

// account is the daemon as far as executions go, with AWS as the case knew it.
func (c *wholeCase) account(t *testing.T, dir string) (*service, func()) {
	cloud := &recordedCloud{objects: map[string][]byte{}, buckets: map[string]bool{}, tasks: c.Tasks, tells: map[string]func(){}, handlers: map[string]string{}}
	buckets := map[string]string{}
	for _, e := range c.Environment {
		cloud.around = append(cloud.around, e.Op)
		switch e.Op {
		case "create_lambda_function":
			cloud.handlers[e.Params.Function] = e.Params.Handler
		case "create_bucket":
			cloud.buckets[e.Params.Bucket] = true
			buckets[e.Params.Bucket] = filepath.Join(dir, e.Params.Bucket)
		case "put_object":
			body, ok := e.Params.Body.(string)
			if !ok {
				data, _ := json.Marshal(e.Params.Body)
				body = string(data)
			}
			cloud.objects["/"+e.Params.Bucket+"/"+e.Params.Key] = []byte(body)
			path := filepath.Join(dir, e.Params.Bucket, filepath.FromSlash(e.Params.Key))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	server := cloud.serve()
	store, err := objects.New(objects.Config{Buckets: buckets})
	if err != nil {
		t.Error(err)
	}
	var api *sfnapi.Server
	cloud.api = func(ctx context.Context, operation string, body []byte) (int, []byte) {
		return api.Do(ctx, operation, body)
	}
	remote := wire.New(func(_ context.Context, role string) (aws.Config, error) {
		with := aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(), RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
		if role != "" {
			with.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(with), role))
		}
		return with, nil
	})
	e := &late{}
	does, err := tasks.New(tasks.Config{
		Dir: filepath.Join(dir, "jobs"), Shim: []string{"/bin/false"}, Remote: remote, StepFunctions: cloud.api, Executor: e,
		Machines: func() map[string]orchestrator.Machine {
			all, err := api.Machines(context.Background())
			if err != nil {
				t.Error(err)
			}
			return all
		},
	})
	if err != nil {
		t.Error(err)
	}
	s := serve(t, newJournal(t), func(cfg *sfnapi.Config) {
		cfg.Activities = sfnapi.NewActivities(handing{does, cloud})
		e.Engine, err = engine.New(t.Context(), engine.Config{Journal: cfg.Journal, Tasks: cfg.Activities, Objects: store}, nil)
		if err != nil {
			t.Error(err)
		}
		cfg.Engine = e.Engine
	}, func(*sfnapi.Config) {})
	api = s.api
	return s, func() { s.stop(); server.CloseClientConnections(); server.Close() }
}

// mark runs the case.
func (c *wholeCase) mark(t *testing.T) mark {
	dir, err := os.MkdirTemp("", "whole")
	if err != nil {
		t.Error(err)
	}
	defer os.RemoveAll(dir)
	s, stop := c.account(t, dir)
	defer stop()
	wrong := func(format string, args ...any) mark { return mark{outcome: []string{fmt.Sprintf(format, args...)}} }

	role := c.Role
	if len(c.Expected.History) > 0 {
		if d, ok := c.Expected.History[0]["executionStartedEventDetails"].(map[string]any); ok {
			role, _ = d["roleArn"].(string)
		}
	}
	if !strings.HasPrefix(role, "arn:") {
		role = "arn:aws:iam::111111111111:role/conformance"
	}
	definition, err := json.Marshal(c.Definition)
	if err != nil {
		return wrong("%v", err)
	}
	name := c.Machine
	if name == "" {
		name = "machine"
	}
	create := object{"name": name, "definition": string(definition), "roleArn": role, "type": c.Type}
	before := c.Calls
	for _, call := range before {
		if call.When == "before" && strings.HasPrefix(call.Action, "Create") {
			if r, _ := call.Params["roleArn"].(string); r != "" && !strings.HasPrefix(r, "arn:") {
				call.Params["roleArn"] = role
			}
			if status, out := s.call(call.Action, fill(call.Params, nil)); status != 200 {
				return wrong("%s: %v", call.Action, out)
			}
		}
	}
	status, out := s.call("CreateStateMachine", create)
	if status != 200 {
		return wrong("CreateStateMachine: %v", out)
	}
	input := ""
	if c.RawInput != nil {
		input = *c.RawInput
	} else if data, err := json.Marshal(c.Input); err == nil {
		input = string(data)
	}
	input = inDays(input)
	start := object{"stateMachineArn": out["stateMachineArn"], "input": input}
	if c.ExecutionName != "" {
		start["name"] = c.ExecutionName
	}
	var described map[string]any
	var history []any
	if c.Type == "EXPRESS" {
		if status, described = s.call("StartSyncExecution", start); status != 200 {
			return wrong("StartSyncExecution: %v", described)
		}
	} else {
		status, out := s.call("StartExecution", start)
		if status != 200 {
			return wrong("StartExecution: %v", out)
		}
		execution := object{"executionArn": out["executionArn"]}
		working, rest := context.WithCancel(t.Context())
		defer rest()
		for _, call := range before {
			if call.Action == "CreateActivity" {
				go c.work(working, s, "arn:aws:states:us-east-1:111111111111:activity:"+text(call.Params["name"]))
			}
		}
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if _, described = s.call("DescribeExecution", execution); described["status"] != "RUNNING" {
				break
			}
			if _, h := s.call("GetExecutionHistory", execution); c.Expected.Status == "RUNNING" && len(events(h)) >= len(c.Expected.History) || time.Now().After(end) {
				break
			} else if c.Expected.Status == "ABORTED" && len(events(h)) >= len(c.Expected.History)-1 {
				for _, call := range c.Calls {
					if call.Action == "StopExecution" {
						stopped := maps.Clone(call.Params)
						stopped["executionArn"] = execution["executionArn"]
						s.call("StopExecution", stopped)
					}
				}
			}
		}
		_, h := s.call("GetExecutionHistory", object{"executionArn": execution["executionArn"], "maxResults": 1000})
		history = events(h)
	}
	return c.compare(described, history)
}

func events(h map[string]any) []any { all, _ := h["events"].([]any); return all }

var days = regexp.MustCompile(`\$\{now\+(\d+)d\}`)

// inDays puts in times that are so many days ahead.
func inDays(text string) string {
	return days.ReplaceAllStringFunc(text, func(m string) string {
		n := 0
		fmt.Sscan(days.FindStringSubmatch(m)[1], &n)
		return time.Now().UTC().AddDate(0, 0, n).Format("2006-01-02T15:04:05.000Z")
	})
}

// work does the tasks of an activity as they were done when they were recorded.
func (c *wholeCase) work(ctx context.Context, s *service, activity string) {
	for _, t := range c.Tasks {
		if !strings.Contains(t.Resource, ":activity:") {
			continue
		}
		who := object{"activityArn": activity}
		if c.worker != "" {
			who["workerName"] = c.worker
		}
		_, task := s.call("GetActivityTask", who)
		if task["taskToken"] == nil || ctx.Err() != nil {
			return
		}
		switch t.Outcome {
		case "succeeded":
			data, _ := json.Marshal(t.Output)
			s.call("SendTaskSuccess", object{"taskToken": task["taskToken"], "output": string(data)})
		case "failed":
			cause, ok := t.Cause.(string)
			if !ok {
				data, _ := json.Marshal(t.Cause)
				cause = string(data)
			}
			s.call("SendTaskFailure", object{"taskToken": task["taskToken"], "error": t.Error, "cause": cause})
		}
	}
}

// withoutExchange leaves out what SDKs saw of the exchange with a service.
func withoutExchange(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"SdkHttpMetadata", "SdkResponseMetadata", "Headers", "timestamp"} {
			delete(v, k)
		}
		if assigned, ok := v["assignedVariables"].(map[string]any); ok {
			for k, x := range assigned {
				if x == "null" {
					assigned[k] = nil
				}
			}
		}
		for k, x := range v {
			v[k] = withoutExchange(x)
		}
	case []any:
		for i, x := range v {
			v[i] = withoutExchange(x)
		}
	case string:
		return days.ReplaceAllString(v, "date")
	}
	return v
}

func (c *wholeCase) compare(described map[string]any, history []any) (m mark) {
	compared := func(at string, got, want any) []string {
		k := &comparer{bound: map[string]string{}, words: map[string]bool{}, recorded: c.Recorded}
		for _, v := range c.Volatile {
			k.words[v.Placeholder] = true
		}
		k.words["snf_role_arn"], k.words["sfn_role_arn"] = true, true
		k.same(at, loose(loose(withoutExchange(k.normal("", got)))), loose(loose(withoutExchange(want))))
		return k.differences
	}
	want := map[string]any{"status": c.Expected.Status}
	if c.Expected.Status == "" && len(c.Expected.History) > 0 { // an older recording
		return m
	}
	got := map[string]any{"status": described["status"]}
	for name, v := range map[string]any{"output": c.Expected.Output, "error": c.Expected.Error, "cause": c.Expected.Cause} {
		if v != nil && v != "" || described[name] != nil && described[name] != "" {
			want[name], got[name] = v, described[name]
		}
	}
	if out, ok := got["output"].(string); ok { // null is an output
		var v any
		if decode([]byte(out), &v) == nil {
			got["output"] = v
		}
	}
	m.outcome = compared("outcome", got, want)
	if c.Expected.History == nil || history == nil {
		return m
	}
	kinds := func(all []any) (kinds []string) {
		for _, e := range all {
			kinds = append(kinds, text(e.(map[string]any)["type"]))
		}
		return kinds
	}
	var recorded []any
	for _, e := range c.Expected.History {
		recorded = append(recorded, map[string]any(e))
	}
	g, w := kinds(history), kinds(recorded)
	switch c.Expected.Order {
	case "exact":
		m.history = compared("history", history, recorded)
	case "concurrent":
		slices.Sort(g)
		slices.Sort(w)
		if !slices.Equal(g, w) {
			m.history = []string{fmt.Sprintf("events\n got %v\nwant %v", g, w)}
		}
	default: // of which some were lost
		for _, kind := range w {
			if !slices.Contains(g, kind) {
				m.history = append(m.history, kind+" is missing")
			}
		}
	}
	return m
}
