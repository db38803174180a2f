package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

// Kleene's tables: T is true, F false, U unknown, through a missing signal or
// an evaluation error alike.
func TestThreeValued(t *testing.T) {
	p := map[string]*Policy{}
	for _, op := range []string{"A && B", "A || B", "!A", "A ? B : true", "A == B"} {
		condition := strings.NewReplacer("A", "(signals.a.value > 0)", "B", "(event.data.b > 0)").Replace(op)
		p[op] = compile(t, "  signals: {a: {source: data, reduce: rows}}\n  rules: [{id: r, if: '"+condition+"'}]\n")
	}
	for _, row := range []struct{ op, want string }{ // A over B: TT TF TU, FT FF FU, UT UF UU
		{"A && B", "TFU FFF UFU"},
		{"A || B", "TTT TFU TUU"},
		{"!A", "FFF TTT UUU"},
		{"A ? B : true", "TFU TTT UUU"},
		{"A == B", "TFU FTU UUU"},
	} {
		var got strings.Builder
		for _, a := range "TFU" {
			if got.Len() > 0 {
				got.WriteByte(' ')
			}
			for _, b := range "TFU" {
				cause := Cause{Event: anneal.Event{ID: "e"}, Signals: map[string]anneal.Signal{"a": {Status: anneal.SignalMissing}}}
				if a != 'U' {
					value := map[rune]float64{'T': 1, 'F': -1}[a]
					cause.Signals["a"] = anneal.Signal{Status: anneal.SignalOK, Value: &value}
				}
				if b != 'U' {
					cause.Event.Data = fmt.Appendf(nil, `{"b":%d}`, map[rune]int{'T': 1, 'F': -1}[b])
				}
				result := Decide(p[row.op], &State{}, cause).Rules[0].Result
				got.WriteByte(strings.ToUpper(string(result))[0])
			}
		}
		if got.String() != row.want {
			t.Errorf("%s: got %s, want %s", row.op, got.String(), row.want)
		}
	}
}

// A clause is what it is whatever else is unknown.
func TestClauses(t *testing.T) {
	p := compile(t, `
  signals: {a: {source: data, reduce: rows}, b: {source: data, window: {objects: 1}}}
  rules:
    - {id: r, if: "signals.b.share < signals.a.value && champion.metrics['auc'] > champion.metrics[event.data.name] || event.data.list.exists(x, x > 3 && now > champion.trainedAt) || signals.a.status == 'ok' && champion.age > days(2)"}
`)
	one := 1.0
	d := Decide(p, &State{}, Cause{
		Event:    anneal.Event{ID: "e", Seen: time.Unix(300_000, 0).UTC(), Data: json.RawMessage(`{"name":"f1","list":[1,5]}`)},
		Signals:  map[string]anneal.Signal{"a": {Status: anneal.SignalOK, Value: &one}},
		Champion: &anneal.Model{Group: "g", Version: 1, TrainedAt: time.Unix(0, 0).UTC(), Metrics: map[string]float64{"auc": 0.5}},
	})
	var got []string
	for _, c := range d.Rules[0].Clauses {
		got = append(got, fmt.Sprintf("%s = %v", c.Expr, c.Value))
	}
	want := []string{
		"signals.b.share < signals.a.value = <nil>",
		`champion.metrics["auc"] > champion.metrics[event.data.name] = <nil>`,
		"event.data.list.exists(x, x > 3 && now > champion.trainedAt) = true",
		`signals.a.status == "ok" = true`,
		"champion.age > days(2) = true",
		"signals.b.share = <nil>",
		"signals.a.value = 1",
		`champion.metrics["auc"] = 0.5`,
		"champion.metrics[event.data.name] = <nil>",
		"champion.metrics = 1 entry",
		"event.data.name = f1",
		"event.data.list = 2 items",
		"now = 1970-01-04T11:20:00Z",
		"champion.trainedAt = 1970-01-01T00:00:00Z",
		"signals.a.status = ok",
		"champion.age = 3d11h20m",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clauses (-want +got):\n%s", diff)
	}
	if d.Rules[0].Result != anneal.True {
		t.Errorf("result %s, want true", d.Rules[0].Result)
	}
}

// Storms of events on three policies, two of them of one model: no limit is
// ever passed, no guard is passed by force, a buffered wake is never lost, and
// the state after a restart is the state before it.
func TestStorm(t *testing.T) {
	bodies := []string{
		"  mode: enforce\n  rules: [{id: r, if: 'signals.a.value > 0.3'}]\n  signals: {a: {source: data, reduce: rows}}\n" +
			"  guards: {cooldown: {for: 90s}, concurrency: {limit: 2, overlap: buffer-one}}\n  run: {stateMachine: {file: x}}\n",
		"  mode: enforce\n  rules: [{id: r, if: 'newly(signals.a.value > 0.5)'}]\n  signals: {a: {source: data, reduce: rows}}\n" +
			"  guards: {concurrency: {limit: 1, overlap: buffer-one}}\n  run: {stateMachine: {file: x}}\n",
		"  mode: enforce\n  rules: [{id: r, if: 'signals.a.value > 0.9'}]\n  signals: {a: {source: data, reduce: rows}}\n" +
			"  guards: {cooldown: {for: 5m, after: any}, concurrency: {key: \"'all'\", limit: 3, overlap: skip}}\n  run: {stateMachine: {file: x}}\n",
	}
	policies := map[string]*Policy{}
	for i, body := range bodies {
		p, problems := Compile(specOf(t, strings.Replace(header, "{name: p}", fmt.Sprintf("{name: p%d}", i), 1)+body))
		if problems != nil {
			t.Fatal(problems)
		}
		policies[p.Name()] = p
	}
	seeds := uint64(30)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		random, state := rand.New(rand.NewPCG(seed, 1)), &State{}
		for _, p := range policies {
			state.ApplyPolicy(p.Spec)
		}
		now, n := time.Unix(1_000_000, 0).UTC(), 0
		open := map[string]anneal.Run{}
		forced := map[string]bool{}
		runs := 0
		decide := func(name string, e anneal.Event, force bool) {
			p := policies[name]
			a := random.Float64()
			cause := Cause{Event: e, Signals: map[string]anneal.Signal{"a": {Status: anneal.SignalOK, Value: &a}}, Force: force}
			d := Decide(p, state, cause)
			vetoed := firstVeto(d.Guards) != ""
			if vetoed && d.Verdict == anneal.VerdictRun {
				t.Fatalf("seed %d: %s runs past the guard %s", seed, d.ID, firstVeto(d.Guards))
			}
			if d.Force && !vetoed && d.Verdict != anneal.VerdictRun {
				t.Fatalf("seed %d: %s is forced and unguarded, but %s", seed, d.ID, d.Verdict)
			}
			forced[d.ID] = d.Force
			state.ApplyDecision(d)
			if d.Verdict != anneal.VerdictRun {
				return
			}
			runs++
			run, err := NewRun(p, d)
			if err != nil {
				t.Fatal(err)
			}
			state.ApplyRun(run)
			open[run.ID] = run
			under := 0
			for _, o := range open {
				if o.ConcurrencyKey == run.ConcurrencyKey {
					under++
				}
			}
			if limit := p.Spec.Spec.Guards.Concurrency.Limit; under > limit {
				t.Fatalf("seed %d: %d runs under %s, limit %d", seed, under, run.ConcurrencyKey, limit)
			}
		}
		step := func(quiet bool) {
			now = now.Add(time.Duration(random.IntN(60)) * time.Second)
			names := sortedKeys(policies)
			if !quiet {
				for range random.IntN(4) { // several at one instant
					n++
					e := anneal.Event{ID: fmt.Sprint("e", n), Source: "x", Seen: now}
					decide(names[random.IntN(3)], e, random.IntN(4) == 0)
				}
			}
			for _, id := range sortedKeys(open) {
				if quiet || random.IntN(5) == 0 {
					run := open[id]
					run.Status, run.Ended = anneal.StatusSucceeded, &now
					if random.IntN(3) == 0 {
						run.Status = anneal.StatusFailed
					}
					state.ApplyRun(run)
					delete(open, id)
				}
			}
			for _, e := range state.Due(policies, now) {
				state.ApplyEvent(e)
				decide(e.Subject, e, false)
			}
			raw, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			state = &State{}
			if err := json.Unmarshal(raw, state); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(state); string(again) != string(raw) {
				t.Fatalf("seed %d: snapshot\n%s\nread back\n%s", seed, raw, again)
			}
		}
		for range 80 {
			step(false)
		}
		for range 60 {
			step(true)
		}
		for name, m := range state.Policies {
			if m.Wake != nil {
				t.Errorf("seed %d: %s still waits: %+v", seed, name, *m.Wake)
			}
		}
		if runs < 5 || !slices.ContainsFunc(sortedKeys(forced), func(id string) bool { return forced[id] }) {
			t.Errorf("seed %d: only %d runs: the storm proves nothing", seed, runs)
		}
	}
}

func TestMatches(t *testing.T) {
	p := compile(t, `
  triggers:
    - {id: files, event: {source: anneal.directory, type: Object Created, match: "event.data.object.key.startsWith('a/')"}}
    - {id: large, event: {type: Object Created, match: "event.data.object.size > 1000000 && model.group == 'g'"}}
    - {id: alarm, event: {source: aws.cloudwatch}}
  rules: [{id: r, if: "true"}]
`)
	for _, test := range []struct {
		name    string
		event   anneal.Event
		trigger string
		err     string
	}{
		{"first", anneal.Event{Source: "anneal.directory", Type: "Object Created", Data: json.RawMessage(`{"object":{"key":"a/b","size":1}}`)}, "files", ""},
		{"second", anneal.Event{Source: "aws.s3", Type: "Object Created", Data: json.RawMessage(`{"object":{"key":"b","size":1000001}}`)}, "large", ""},
		{"none", anneal.Event{Source: "aws.s3", Type: "Object Created", Data: json.RawMessage(`{"object":{"key":"a/b","size":1}}`)}, "", ""},
		{"other type", anneal.Event{Source: "aws.s3", Type: "Object Deleted", Data: json.RawMessage(`{"object":{"key":"a/b","size":1}}`)}, "", ""},
		{"source alone", anneal.Event{Source: "aws.cloudwatch", Type: "x"}, "alarm", ""},
		{"error, then a match", anneal.Event{Source: "anneal.directory", Type: "Object Created", Data: json.RawMessage(`{"object":{"size":2e6}}`)}, "large", "trigger files of policy p: event.data.object.key.startsWith('a/'): no such key: key"},
		{"no data", anneal.Event{Source: "aws.s3", Type: "Object Created"}, "", "trigger large of policy p: event.data.object.size > 1000000 && model.group == 'g': event.data is not known"},
		{"parked", anneal.Event{Source: "aws.cloudwatch", Parked: "no JSON"}, "", ""},
		{"by hand", anneal.Event{Source: anneal.SourceManual, Data: json.RawMessage(`{"policy":"p"}`)}, TriggerManual, ""},
		{"by hand, another", anneal.Event{Source: anneal.SourceManual, Data: json.RawMessage(`{"policy":"q"}`)}, "", ""},
		{"timer", anneal.Event{Source: anneal.SourceTimer, Data: json.RawMessage(`{"policy":"p"}`)}, TriggerTimer, ""},
		{"run", anneal.Event{Source: anneal.SourceRun, Data: json.RawMessage(`{"policy":"p"}`)}, TriggerRun, ""},
	} {
		trigger, ok, err := p.Matches(test.event)
		if got := fmt.Sprint(err); trigger != test.trigger && ok || ok != (test.trigger != "") || err != nil && got != test.err || err == nil && test.err != "" {
			t.Errorf("%s: got %q %t %v, want %q %q", test.name, trigger, ok, err, test.trigger, test.err)
		}
	}
}

func TestCandidate(t *testing.T) {
	run := "  run: {stateMachine: {file: x}, model: {state: Register, artifact: ARTIFACT, metrics: METRICS}}\n  rules: [{id: r, if: 'true'}]\n"
	for _, test := range []struct{ name, artifact, metrics, uri, numbers, err string }{
		{"article", "{expr: state.parameters.Payload.ModelArtifact}", "{expr: state.parameters.Payload.Metrics}", "s3://b/m.tar.gz", "map[auc:0.9 n:3]", "<nil>"},
		{"made up", "{expr: \"'s3://b/' + run.id + '/' + model.group\"}", "{auc: {expr: state.parameters.Payload.Metrics.auc}, one: 1}", "s3://b/run1/g", "map[auc:0.9 one:1]", "<nil>"},
		{"constant", "s3://b/always", "{}", "s3://b/always", "map[]", "<nil>"},
		{"no artifact", "{expr: state.output.Artifact}", "{}", "", "map[]", "spec.run.model.artifact: state.output.Artifact: state.output is not known"},
		{"a number", "{expr: state.parameters.Payload.Metrics.n}", "{}", "", "map[]", "spec.run.model.artifact gives 3, not a URI"},
		{"no metrics", "s3://b/m", "{expr: state.parameters.Metrics}", "s3://b/m", "map[]", "spec.run.model.metrics: state.parameters.Metrics: no such key: Metrics"},
		{"odd metrics", "s3://b/m", "{expr: state.parameters.Payload.ModelArtifact}", "s3://b/m", "map[]", "spec.run.model.metrics gives s3://b/m.tar.gz, not a map of numbers"},
	} {
		p := compile(t, strings.NewReplacer("ARTIFACT", test.artifact, "METRICS", test.metrics).Replace(run))
		made, err := p.Candidate(anneal.Run{ID: "run1"}, StateResult{
			Parameters: json.RawMessage(`{"Payload":{"ModelArtifact":"s3://b/m.tar.gz","Metrics":{"auc":0.9,"n":3,"note":"x","matrix":[[1]]}}}`),
		})
		if made.Artifact.URI != test.uri || fmt.Sprint(made.Metrics) != test.numbers || fmt.Sprint(err) != test.err || made.Importance != nil || made.ImportanceProblem != "" {
			t.Errorf("%s: got %+v %v, want %s %s %s", test.name, made, err, test.uri, test.numbers, test.err)
		}
	}
}

// TestCandidateImportance takes what columns are worth to a model, and the model also
// where that is not what it should be.
func TestCandidateImportance(t *testing.T) {
	for _, test := range []struct{ importance, want, problem string }{
		{"{expr: state.output.Importance}", "map[age:0 hour:2 price:0.5]", ""},
		{"{expr: state.output.Rows}", "map[price:0.5]", ""},
		{"{expr: state.output.None}", "map[]", ""},
		{"{expr: \"has(state.output.Gain) ? state.output.Gain : null\"}", "map[]", ""},
		{"{price: {expr: state.output.Importance.hour}, hour: 3}", "map[hour:3 price:2]", ""},
		{"{price: 1, hour: 3}", "map[hour:3 price:1]", ""},
		{"{expr: \"{'price': 0.0/0.0}\"}", "map[]", "spec.run.model.importance: {'price': 0.0/0.0}: the number NaN has no JSON"},
		{"{expr: \"{'price': -state.output.Importance.hour}\"}", "map[]", `spec.run.model.importance: column "price" has -2: want a number from 0 on, such as the size of a coefficient`},
		{"{expr: state.output.Gain}", "map[]", "spec.run.model.importance: state.output.Gain: no such key: Gain"},
		{"{expr: state.output.Artifact}", "map[]", `spec.run.model.importance: "s3://b/m" is no object of columns and numbers, such as {"price": 0.6, "hour": 0.4}`},
	} {
		p := compile(t, "  run: {stateMachine: {file: x}, model: {state: Register, artifact: {expr: state.output.Artifact}, importance: "+test.importance+"}}\n  rules: [{id: r, if: 'true'}]\n")
		made, err := p.Candidate(anneal.Run{ID: "run1"}, StateResult{
			Output: json.RawMessage(`{"Artifact":"s3://b/m","Importance":{"price":0.5,"hour":2,"age":0},"Rows":[{"feature":"price","importance":0.5}],"None":null}`),
		})
		if err != nil || made.Artifact.URI != "s3://b/m" || fmt.Sprint(made.Importance) != test.want || made.ImportanceProblem != test.problem {
			t.Errorf("%s: %+v, %v; want %s, %q", test.importance, made, err, test.want, test.problem)
		}
	}
}

func TestPromote(t *testing.T) {
	body := "  rules: [{id: r, if: 'true'}]\n"
	better := compile(t, body+"  promote: {if: 'candidate.metrics.auc >= champion.metrics.auc + 0.01'}\n")
	model := func(auc string) *anneal.Model {
		m := &anneal.Model{Group: "g", Version: 1, Metrics: map[string]float64{}}
		if auc != "" {
			var f float64
			fmt.Sscan(auc, &f)
			m.Metrics["auc"] = f
		}
		return m
	}
	for _, test := range []struct {
		name                string
		p                   *Policy
		candidate, champion *anneal.Model
		want                bool
		reason              string
	}{
		{"first", better, model(""), nil, true, "the first of its group"},
		{"better", better, model("0.9"), model("0.8"), true, "promote.if: candidate.metrics.auc 0.9, champion.metrics.auc 0.8"},
		{"not enough", better, model("0.805"), model("0.8"), false, "not promote.if: candidate.metrics.auc 0.805, champion.metrics.auc 0.8"},
		{"unknown", better, model(""), model("0.8"), false, "promote.if is unknown: no such key: auc"},
		{"no block", compile(t, body), model("0.9"), model("0.8"), false, "the policy has no promote.if"},
	} {
		got, reason := test.p.Promote(*test.candidate, test.champion, time.Time{})
		if got != test.want || reason != test.reason {
			t.Errorf("%s: got %t %q, want %t %q", test.name, got, reason, test.want, test.reason)
		}
	}
}

func TestParameters(t *testing.T) {
	p := compile(t, `
  parameters:
    type: object
    properties: {epochs: {type: integer, minimum: 1, default: 3}, day: {type: string, format: date}, deep: {properties: {x: {enum: [1, 2]}}}}
    required: [epochs]
    additionalProperties: false
  rules: [{id: r, if: "true"}]
`)
	for _, test := range []struct {
		given map[string]any
		want  string
	}{
		{nil, "<nil>"},
		{map[string]any{"epochs": 5, "day": "2026-01-05"}, "<nil>"},
		{map[string]any{"epochs": 5.5}, "parameters of policy p: epochs: got number, want integer"},
		{map[string]any{"epochs": "5", "deep": map[string]any{"x": 3}}, "parameters of policy p: deep.x: value must be one of 1, 2; epochs: got string, want integer"},
		{map[string]any{"day": "soon"}, "parameters of policy p: day: 'soon' is not valid date: parsing time \"soon\" as \"2006-01-02\": cannot parse \"soon\" as \"2006\""},
		{map[string]any{"epoch": 1}, "parameters of policy p: additional properties 'epoch' not allowed"},
	} {
		if got := fmt.Sprint(p.CheckParameters(test.given)); got != test.want {
			t.Errorf("%v: got %s, want %s", test.given, got, test.want)
		}
	}
	none := compile(t, "  rules: [{id: r, if: \"true\"}]\n")
	want := "policy p takes no parameters, not a, b: spec.parameters would declare them"
	if got := fmt.Sprint(none.CheckParameters(map[string]any{"b": 1, "a": 2})); got != want {
		t.Errorf("without a schema: got %s, want %s", got, want)
	}
}

func TestDuration(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"90s", "90s"}, {"60s", "1m"}, {"15m", "15m"}, {"36h", "36h"}, {"24h", "1d"}, {"14d", "2w"}, {"2w", "2w"}, {"0s", "0s"},
		{"90", `"90" is not a duration: write 90s`},
		{"PT15M", `"PT15M" is not a duration: write 15m`},
		{"P1DT12H", `"P1DT12H" is not a duration: write 36h`},
		{"P2W", `"P2W" is not a duration: write 2w`},
		{"1h30m", `"1h30m" is not a duration: write 90m`},
		{"1.5h", `"1.5h" is not a duration: write 90m`},
		{"15 min", `"15 min" is not a duration: write a number and one of s, m, h, d, w, such as 15m or 14d`},
		{"-5m", `"-5m" is not a duration: write a number and one of s, m, h, d, w, such as 15m or 14d`},
		{"", `"" is not a duration: write a number and one of s, m, h, d, w, such as 15m or 14d`},
		{"99999999999999w", `"99999999999999w" is not a duration: write a number and one of s, m, h, d, w, such as 15m or 14d`},
	} {
		d, err := ParseDuration(test.text)
		got := d.String()
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: got %s, want %s", test.text, got, test.want)
		}
		if again, err2 := ParseDuration(d.String()); err == nil && (err2 != nil || again != d) {
			t.Errorf("%q: %s reads back as %v, %v", test.text, d, again, err2)
		}
	}
}

// What is decided does not hang on the order of a map.
func TestOrder(t *testing.T) {
	p := compile(t, `
  rules: [{id: r, if: "event.data.m.map(k, k)[0] == 'a'"}]
  run: {stateMachine: {file: x}, input: {keys: {expr: "event.data.m.map(k, k)"}, inner: {expr: "event.data.l.map(m, m.map(k, k))"}, best: {expr: "champion.metrics.map(k, k)"}}}
`)
	data := json.RawMessage(`{"m":{"f":1,"b":2,"c":3,"a":4,"e":5,"d":6},"l":[{"y":1,"x":2,"z":3}]}`)
	champion := &anneal.Model{Metrics: map[string]float64{"r2": 1, "mae": 2, "auc": 3}}
	for range 50 {
		d := Decide(p, &State{}, Cause{Event: anneal.Event{ID: "e", Data: data}, Champion: champion})
		want := `{"best":["auc","mae","r2"],"inner":[["x","y","z"]],"keys":["a","b","c","d","e","f"]}`
		if string(d.Input) != want {
			t.Fatalf("input %s (%s), want %s", d.Input, d.Reason, want)
		}
	}
	_, problems := Compile(specOf(t, header+"  rules: [{id: r, if: \"{'b': 1, 'a': 2}.map(k, k)[0] == 'a'\"}]\n"))
	if want := "spec.rules[0].if: a loop over a map that is written here has no order: write a list"; problems.Error() != want {
		t.Errorf("a loop over a literal: got %v, want %s", problems, want)
	}
}

// What a spec says survives the journal, digit for digit.
func TestSpecJSON(t *testing.T) {
	spec := specOf(t, header+`
  data: {train: {since: 90d}}
  rules: [{id: r, if: "1 < 2 && '&' != '<'", for: null}]
  timeZone: UTC
  triggers:
    - {id: a, event: {source: x}, debounce: {quiet: 15m}}
    - {id: b, schedule: {cron: "0 0 * * *"}}
    - {id: c, schedule: {cron: "0 0 * * *", catchUp: all}}
  guards: {cooldown: {for: 36h}, concurrency: {overlap: allow-all}, breaker: {failed: 3}, backoff: {initial: 1h, factor: 1.1}, budget: {runs: 1, per: 1d}, blackout: [{cron: "0 0 * * *", for: 1h}]}
  run: {stateMachine: {file: x}, timeout: 6h, input: {big: 12345678901234567890, small: 0.1, list: [{expr: "1e3"}, null]}}
`)
	a, err := spec.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSpec(a)
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("JSON twice:\n%s\n%s", a, b)
	}
	p, problems := Compile(spec)
	q, more := Compile(again)
	if problems != nil || more != nil {
		t.Fatal(problems, more)
	}
	full, problems := Compile(p.Spec) // as it is journaled, with the defaults
	if problems != nil {
		t.Fatal(problems)
	}
	if p.Revision != q.Revision || p.Revision != full.Revision {
		t.Errorf("revisions differ: %s %s %s", p.Revision, q.Revision, full.Revision)
	}
	want := `{"big":12345678901234567890,"list":[1000,null],"small":0.1}`
	if d := Decide(q, &State{}, Cause{Event: anneal.Event{ID: "e"}, Force: true}); string(d.Input) != want {
		t.Errorf("input %s (%s), want %s", d.Input, d.Reason, want)
	}
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		"signals.a.value > 0.5", "!champion.exists && newly(signals.a.value >= 3)", "event.data.x.all(y, y.z in ['a'])", "days(1) < champion.age",
		"signals.a", "has(event.data.x) ? event.data.x : true", "champion.metrics['a'] / 0.0 > 1.0", "timestamp('x') > now", "a.b.c(d)", "\"é\" + foo",
		"event.data.map(x, x)[0]", "newly(newly(true))", "{'a': 1}.a == 1", "type(now) == google.protobuf.Timestamp", "signals.a.at + days(3) > now", "'x'.matches('[')",
		"event.data.m.map(k, k)", "event.data.m.filter(k, event.data.m[k] > 2)[0] == 'c'", "{'a': 1}.map(k, k)", "string(event.data.m)",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec := Spec{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "p"}, Spec: Body{
			Model:   Model{Group: "g"},
			Signals: map[string]Signal{"a": {Source: SourceData, Reduce: ReduceRows}},
			Rules:   []Rule{{ID: "r", If: text}},
			Run:     &Run{StateMachine: StateMachine{File: "x"}, Input: map[string]any{"x": map[string]any{"expr": text}}},
		}}
		p, problems := Compile(spec)
		if (p == nil) == (problems == nil) {
			t.Fatalf("%q: policy %v, problems %v", text, p, problems)
		}
		for _, problem := range problems {
			if problem.Offset < -1 || problem.Offset > len(text) || problem.Message == "" || problem.Path == "" {
				t.Errorf("%q: problem %+v", text, problem)
			}
		}
		if p == nil {
			return
		}
		one := 1.0
		for _, cause := range []Cause{
			{Event: anneal.Event{ID: "a"}},
			{Event: anneal.Event{ID: "b", Data: json.RawMessage(`{"x":[1,{"z":"a"}],"m":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}}`), Seen: time.Unix(9e9, 0)}, Force: true,
				Champion: &anneal.Model{Metrics: map[string]float64{"a": 1}}, Signals: map[string]anneal.Signal{"a": {Status: anneal.SignalOK, Value: &one}}},
		} {
			d := Decide(p, &State{}, cause)
			a, err := json.Marshal(d)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if b, _ := json.Marshal(Decide(p, &State{}, cause)); string(a) != string(b) {
				t.Errorf("%q decides differently:\n%s\n%s", text, a, b)
			}
			if Explain(d, p, cause.Event.Seen) == "" {
				t.Errorf("%q: nothing to explain", text)
			}
			state := &State{}
			state.ApplyDecision(d)
		}
	})
}
