package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/web"
)

// encoded is v as the controller records it.
func encoded(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var at = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// Values with every field set, and one with none: what is written of both must
// be as described.
var (
	half     = 0.5
	object   = anneal.Object{URI: "s3://b/<script>alert(1)</script>.csv", Version: "v", Bytes: 1, Rows: 2, Ragged: 3, Event: "e1", Seen: at}
	training = anneal.Training{Objects: []anneal.Object{object}, Rows: 2, Bytes: 1, Prefix: "s3://b/p/", Manifest: "s3://b/p.manifest"}
	event    = anneal.Event{
		SpecVersion: "1.0", ID: "e1", Source: "aws.s3", Type: "Object Created", Subject: "<script>alert(1)</script>", Time: at,
		DataContentType: "application/json", Data: json.RawMessage(`{"a":1}`), Seen: at,
	}
	bad    = anneal.Event{SpecVersion: "1.0", ID: "e2", Source: "x", Type: "t", Time: at, Seen: at, Parked: "not <b>JSON</b>", Raw: []byte("{")}
	signal = anneal.Signal{ID: "s1", Name: "drift", Policy: "p", Model: "m", Value: &half, Share: &half, N: 3, At: at, Age: 1, Status: anneal.SignalOK, Error: "x", Cause: "e1", Window: "w", Verdict: "drift", Detail: json.RawMessage(comparison)}
	// comparison is what a drift signal comes from, as the data name their columns.
	comparison = `{"share": 0.5, "verdict": "drift", "drifted": 1, "tested": 2, "referenceRows": 2000, "currentRows": 1488, "alpha": 0.025, "attribution": ["<script>column"],
		"importance": {"held": 1, "unknown": ["<i>gone"]}, "season": {"season": "year", "part": "July", "of": 24000, "drifted": 2}, "columnsAlone": "no target <yet>",
		"outlook": {"verdict": "unknown", "rows": 1488, "shift": 0.021, "strange": 0.4, "tolerance": 0.05}, "facts": [{"kind": "range", "column": "<b>", "text": "beyond"}],
		"columns": [{"name": "<script>column", "type": "numeric", "verdict": "drift", "effect": "mean 1 → 2", "importance": 0.75, "moved": [{"part": "> <b>9", "reference": 0.1, "current": 0.62}], "since": "june.csv", "tests": [{"test": "ks", "statistic": 0.61, "verdict": "drift"}, {"test": "js", "statistic": 0.9, "verdict": "drift", "advisory": true}]},
			{"name": "few", "type": "numeric", "verdict": "too few rows", "effect": "3 rows", "importance": 0.25, "tests": [], "notMeasured": [{"test": "es", "why": "more <rows>"}]},
			{"name": "y", "type": "categorical", "target": true, "importance": 0, "verdict": "none", "effect": "", "tests": [{"test": "psi", "statistic": 0.01, "verdict": "none"}]}],
		"quality": {"task": "classification", "verdict": "worse", "rows": 10, "metrics": [{"metric": "accuracy", "reference": 0.82, "current": 0.73, "worse": 0.09, "low": 0.071, "high": 0.11, "tolerance": 0.05, "verdict": "worse"}]}}`
	said = anneal.Decision{
		ID: "d1", Policy: "p", Cause: "e1", Trigger: "t", At: at, Verdict: anneal.VerdictRun, Reason: "because <i>", Rule: "r", Until: &at, Stops: []string{"x"},
		Rules:   []anneal.RuleResult{{ID: "r", Result: anneal.True, Clauses: []anneal.Clause{{Expr: "a < b", Value: 1.5}, {Expr: "c", Value: nil}}, For: "1 of 2"}},
		Guards:  []anneal.GuardResult{{ID: "cooldown", Veto: true, Until: &at, Detail: "d"}, {ID: "budget"}},
		Signals: map[string]anneal.SignalValue{"drift": {Value: &half, Share: &half, N: 1, At: at, Age: 2, Status: anneal.SignalOK, Window: "w"}, "none": {Status: anneal.SignalMissing}},
		Model:   "m", Champion: "m@1", Training: training, Revision: "rev", Parameters: map[string]any{"a": 1}, Force: true, Input: json.RawMessage(`{}`),
	}
	run = anneal.Run{
		ID: "d1", Policy: "p", Model: "m", Decision: "d1", Executor: "embedded", Status: anneal.StatusFailed, Started: at, Ended: &at, ExecutionARN: "arn",
		Error: "States.Runtime", Cause: "<script>alert(1)</script>", ConcurrencyKey: "m", Machine: "x", Revision: "rev", Training: training, Input: json.RawMessage(`{}`),
	}
	model  = anneal.Model{Group: "m", Version: 1, Stage: anneal.StageLive, Metrics: map[string]float64{"accuracy": 0.5}, Artifact: anneal.Artifact{URI: "u", SHA256: "x", Bytes: 1, Problem: "p"}, Run: "d1", TrainedAt: at, Objects: []anneal.Object{object}, StageAt: at, Reason: "r"}
	notice = anneal.Notice{ID: "n1", Kind: anneal.NoticeHeld, Channel: "c", Policy: "p", Model: "m", Cause: "d1", At: at, Subject: "<script>", Text: "t", Reason: "r", Group: "g", With: "n0", Delivered: &at, Attempts: 1, Status: 500, Error: "e", GivenUp: true}
	stands = web.Policy{Name: "p", Mode: policy.Enforce, Paused: "x", Model: "m", Revision: "rev", Champion: "m@1", Metrics: model.Metrics, Objects: 1, Waiting: 1, Rows: 1, OpenRuns: []string{"d1"}, NextWake: &at, Gathered: []policy.Gathered{{Policy: "p", Trigger: "t", Key: "k", First: "e", Newest: "e", Opened: at, Last: at, Events: 1, Objects: 1, Rows: 1, Woken: &at}}, Asks: "d9"}
	story  = []asl.HistoryEvent{
		{ID: 1, Timestamp: at, Type: "ExecutionStarted", ExecutionStarted: &asl.StartedDetails{Input: "{}"}},
		{ID: 2, PreviousID: 1, Timestamp: at, Type: asl.TaskStateEntered, StateEntered: &asl.StateEnteredDetails{Name: "<script>Train", Input: "{}"}},
		{ID: 3, PreviousID: 2, Timestamp: at, Type: asl.TaskFailed, TaskFailed: &asl.TaskErrorDetails{}},
	}
)

// whole is a handler with something of everything.
func whole(t *testing.T, change func(*web.Config)) http.Handler {
	t.Helper()
	j := open(t,
		[3]string{"event", "e0", encoded(t, anneal.Event{ID: "e0", Type: "t"})}, [3]string{"event", "e1", encoded(t, event)}, [3]string{"event", "e2", encoded(t, bad)},
		[3]string{"signal", "s0", encoded(t, anneal.Signal{ID: "s0", Name: "rows", Status: anneal.SignalMissing})}, [3]string{"signal", "s1", encoded(t, signal)},
		[3]string{"decision", "d0", encoded(t, anneal.Decision{ID: "d0", Verdict: anneal.VerdictSuppressed})}, [3]string{"decision", "d1", encoded(t, said)},
		[3]string{"run", "d0", encoded(t, anneal.Run{ID: "d0", Status: anneal.StatusRunning})}, [3]string{"run", "d1", encoded(t, run)},
		[3]string{"model", "m@0", encoded(t, anneal.Model{Group: "z", Stage: anneal.StageCandidate})}, [3]string{"model", "m@1", encoded(t, model)},
		[3]string{"notice", "n0", encoded(t, anneal.Notice{ID: "n0", Kind: anneal.NoticeMessage, Subject: "s"})}, [3]string{"notice", "n1", encoded(t, notice)},
	)
	decides := func(context.Context, string, string) (anneal.Decision, error) { return said, nil }
	taken := func() ([]web.Ingested, error) { return []web.Ingested{{ID: "e1"}}, nil }
	cfg := web.Config{
		Journal: j,
		Ready:   func() (bool, map[string]string) { return true, map[string]string{"journal": "ok"} },
		Ingest:  func(context.Context, []byte) ([]web.Ingested, error) { return taken() },
		Replay:  func(context.Context, string) ([]web.Ingested, error) { return taken() },
		Trigger: func(context.Context, string, map[string]any, bool) (anneal.Decision, error) { return said, nil },
		Pause:   decides, Resume: decides, Approve: decides, Reject: decides,
		Explain: func(context.Context, anneal.Decision) (string, error) { return "because <script>", nil },
		Verify: func(context.Context) (web.Verification, error) {
			return web.Verification{Divergent: []web.Divergence{{Decision: "d1", Problem: "p", Recorded: []byte(`{}`), Again: []byte(`1`)}}}, nil
		},
		History: func(context.Context, anneal.Run) ([]asl.HistoryEvent, error) { return story, nil },
		Policies: func() []web.Policy {
			return []web.Policy{stands, {Name: "q", Mode: policy.Observe, OpenRuns: []string{}}}
		},
		Stop:    func(context.Context, string, string) error { return nil },
		Metrics: http.NotFoundHandler(),
		Executions: web.Executions{
			Redrive: func(context.Context, string) (anneal.Run, error) { return run, nil },
			Logs: func(context.Context, anneal.Run) ([]tasks.Log, error) {
				return []tasks.Log{{State: "Train", Effect: "f", Started: &at}, {Effect: "g"}}, nil
			},
			OpenLog: func(context.Context, anneal.Run, string) (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader("<script>")), nil
			},
			Tell: func(context.Context, web.Told) error { return nil },
		},
	}
	if change != nil {
		change(&cfg)
	}
	return web.New(cfg)
}

// TestShown looks at what the page of each noun says of it before its record.
func TestShown(t *testing.T) {
	h := whole(t, nil)
	for _, c := range []struct {
		path string
		says []string
	}{
		{"/signals/s1", []string{"<b>drift</b> of p: 0.5", "1 of 2 have drifted, of 1,488 rows beside 2,000 of the reference", "&lt;script&gt;column", "mean 1 → 2", "since june.csv", "ks <b>0.61</b>", "A model fitted on the reference, on the current rows: worse", "<b>&lt;b&gt;</b>: beyond",
			"tested at a level of 0.025", "with 50 % of the importance", "What moved most: <b>&lt;script&gt;column</b>", "Too few rows to tell of <b>few</b>", "<b>July</b> (year), of 24,000 rows in all",
			"Not judged by the target: no target &lt;yet&gt;", "Importance of what is no column: &lt;i&gt;gone", "moved by 0.021, and 40.0 % of 1,488 rows are strange",
			"75 %", "&gt; &lt;b&gt;9 <b>10.0 % → 62.0 %</b>", "es is not measured: it needs more &lt;rows&gt;", "0.071 to 0.11"}},
		{"/signals/s0", []string{"missing", "<b>rows</b> of : –"}},
		{"/models/m@1", []string{"live", "by run <a class=\"id\" href=\"/runs/d1\">d1</a>", "Version 1", "<th scope=\"row\">accuracy</th><td class=\"n\">0.5</td>", "Trained on"}},
		{"/events/e2", []string{"<b>t</b> of x", "not &lt;b&gt;JSON&lt;/b&gt;"}},
		{"/notices/n1", []string{"<b>&lt;script&gt;</b>", "to c", "<pre class=\"words\">t</pre>"}},
		{"/runs/d1", []string{"<td class=\"n\">1</td>"}},
	} {
		body := ask(h, "GET", c.path, "").Body.String()
		for _, want := range c.says {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %q:\n%s", c.path, want, body)
			}
		}
		if strings.Contains(body, "ks <b>") && strings.Contains(body, "js <b>") {
			t.Errorf("%s counts an advisory test", c.path)
		}
	}
}

// TestOpenAPI asks for everything that the description has, with items of which
// all is set and items of which nothing is, and holds each answer to its
// schema, with no field that the schema has not.
func TestOpenAPI(t *testing.T) {
	h := whole(t, nil)
	w := ask(h, "GET", "/api/v1/openapi.json", "")
	var spec struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]struct {
				Content map[string]struct{ Schema any }
			}
		}
		Webhooks map[string]any
	}
	if err := json.Unmarshal(w.Body.Bytes(), &spec); err != nil {
		t.Fatal(err)
	}
	compiler := strict(t, w.Body.Bytes())
	if spec.OpenAPI != "3.1.0" || spec.Webhooks["notice"] == nil {
		t.Errorf("openapi %s, webhooks %v", spec.OpenAPI, spec.Webhooks)
	}
	if _, err := compiler.Compile("api.json#/components/schemas/News"); err != nil {
		t.Errorf("schema of what webhooks are sent: %v", err)
	}
	bodies := map[string]string{"tasks-": `{"taskToken":"t"}`, "events-create": `{"specversion":"1.0"}`}
	var operations []string
	asked := 0
	for path, methods := range spec.Paths {
		for method, operation := range methods {
			operations = append(operations, operation.OperationID)
			ids := []string{"1"}
			if method == "get" && !strings.Contains(path, "/logs/") {
				ids = []string{"0", "1"}
			}
			for _, n := range ids {
				url := path
				for noun, id := range map[string]string{"events": "e", "signals": "s", "decisions": "d", "runs": "d", "models": "m@", "notices": "n"} {
					url = strings.Replace(url, noun+"/{id}", noun+"/"+id+n, 1)
				}
				url = strings.NewReplacer("{policy}", "p", "{effect}", "f", "{what}", "success").Replace(url)
				switch operation.OperationID { // what can only be done to some
				case "events-replay":
					url = strings.Replace(url, "e1", "e2", 1)
				case "runs-stop":
					url = strings.Replace(url, "d1", "d0", 1)
				}
				body := ""
				for id, b := range bodies {
					if strings.HasPrefix(operation.OperationID, id) {
						body = b
					}
				}
				w := ask(h, strings.ToUpper(method), url, body)
				asked++
				status := "200"
				if w.Code == http.StatusAccepted {
					status = "202"
				}
				described, ok := operation.Responses[status]
				media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
				if _, has := described.Content[media]; !ok || !has || w.Code >= 300 {
					t.Errorf("%s %s: answered %d, %s: %s", method, url, w.Code, media, w.Body)
					continue
				}
				if media != "application/json" {
					continue
				}
				pointer := "api.json#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path) + "/" + method + "/responses/" + status + "/content/application~1json/schema"
				schema, err := compiler.Compile(pointer)
				if err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					continue
				}
				answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(answer); err != nil {
					t.Errorf("%s %s: not as described: %v\n%s", method, url, err, w.Body)
				}
			}
		}
	}
	slices.Sort(operations)
	if unique := slices.Compact(slices.Clone(operations)); len(unique) != len(operations) || asked < 40 {
		t.Errorf("%d answers, operations %q", asked, operations)
	}
	// A refusal is described too.
	schema, err := compiler.Compile("api.json#/components/schemas/Error")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(ask(h, "GET", "/api/v1/runs/none", "").Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(answer); err != nil {
		t.Errorf("a refusal is not as described: %v", err)
	}
}

// strict compiles a description whose objects have no field but theirs.
func strict(t *testing.T, spec []byte) *jsonschema.Compiler {
	t.Helper()
	all, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec))
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range all.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any) {
		schema.(map[string]any)["additionalProperties"] = false
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("api.json", all); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestHead checks that what can be got can be asked about.
func TestHead(t *testing.T) {
	h := whole(t, nil)
	for _, path := range []string{"/", "/api/v1/runs", "/api/v1/runs/d1", "/livez", "/readyz", "/api/v1/openapi.json", "/assets/anneal.css"} {
		if w := ask(h, "HEAD", path, ""); w.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
	}
}

var outside = regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]`)

// TestPagesEscape shows every page with hostile names in everything: nothing of
// them is markup, and nothing is loaded from elsewhere.
func TestPagesEscape(t *testing.T) {
	h := whole(t, nil)
	for _, path := range []string{
		"/", "/events", "/signals", "/decisions", "/runs", "/models", "/notices", "/events?status=parked", "/decisions?policy=%3Cscript%3E", "/runs?since=x%22%3E%3Cscript%3E",
		"/events/e1", "/events/e2", "/signals/s1", "/decisions/d1", "/decisions/d0", "/runs/d1", "/runs/d0", "/models/m@1", "/notices/n1", "/runs/%3Cscript%3E",
	} {
		w := ask(h, "GET", path, "")
		page := w.Body.String()
		if w.Code >= 500 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		rest := strings.Replace(page, `<script src="/assets/anneal.js" defer></script>`, "", 1)
		if strings.Contains(rest, "<script") || strings.Contains(page, "<b>JSON") || strings.Contains(page, "because <i>") {
			t.Errorf("%s has markup from outside", path)
		}
		if strings.Contains(page, " style=") || strings.Contains(page, " onclick=") || outside.MatchString(regexp.MustCompile(`(href|src|action)="[^"]*"`).FindString(page)) {
			t.Errorf("%s reaches out, or has what its policy forbids", path)
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
	if w := ask(h, "GET", "/runs/none", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "no run") {
		t.Errorf("a page that is not there: %d %s", w.Code, w.Body)
	}
}
