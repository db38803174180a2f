package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

// TestSemantics plays the rows of the tables in docs/semantics.md that are
// marked as this package's.
func TestSemantics(t *testing.T) {
	plays := map[string]func(*testing.T, row){
		"times": playTime, "unknown": playUnknown, "rules": playRules, "newly": playNewly, "for": playFor,
		"order": playOrder, "guards": playGuard, "clocks": playClocks, "overlap": playOverlap, "waits": playWaits,
		"debounce": playDebounce, "pause": playPause, "reload": playReload, "modes": playModes,
	}
	text, err := os.ReadFile("../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := markedTables(string(text), "policy/")
	played := 0
	for name, rows := range tables {
		t.Run(name, func(t *testing.T) {
			if name == "approval" {
				playApproval(t, rows)
				return
			}
			play := plays[name]
			if play == nil || len(rows) == 0 {
				t.Fatalf("nothing plays the %d rows of the table %s", len(rows), name)
			}
			for _, r := range rows {
				t.Run(strings.Join(r.cells, " | "), func(t *testing.T) { play(t, r) })
			}
		})
		played += len(rows)
	}
	for name := range plays {
		if tables[name] == nil {
			t.Errorf("docs/semantics.md has no table %s", name)
		}
	}
	t.Logf("%d rows of %d tables", played, len(tables))
}

// A row is the cells of one, without their backquotes.
type row struct{ cells []string }

// is fails where what came of the row is not what its cell i says.
func (r row) is(t *testing.T, i int, got string) {
	t.Helper()
	if got != r.cells[i] {
		t.Errorf("got %s, the table says %s", got, r.cells[i])
	}
}

// markedTables are the tables after a mark `<!-- test: PREFIX… -->`, by the rest
// of the mark. A cell's `\|` is a bar.
func markedTables(text, prefix string) map[string][]row {
	tables, name, line := map[string][]row{}, "", 0
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if mark, ok := strings.CutPrefix(l, "<!-- test: "+prefix); ok {
			name, line = strings.TrimSuffix(mark, " -->"), 0
			tables[name] = nil
			continue
		}
		if l == "" && line == 0 {
			continue
		}
		if !strings.HasPrefix(l, "|") {
			name = ""
		}
		if line++; name == "" || line <= 2 {
			continue
		}
		l = strings.NewReplacer("`", "", `\|`, "\x00").Replace(strings.Trim(l, "|"))
		var r row
		for cell := range strings.SplitSeq(l, "|") {
			r.cells = append(r.cells, strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|")))
		}
		tables[name] = append(tables[name], r)
	}
	return tables
}

// A scene is one policy p, and what happens to it after midnight of a Monday.
type scene struct {
	t     *testing.T
	state *State
	p     *Policy
	n     int
	hooks map[string]string // what each event is called, by ID
	runs  []anneal.Run      // open ones
	// signals are those that are measured at the next decision.
	signals map[string]anneal.Signal
}

var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// newScene is a scene of a policy that always wants a run, but for the events
// called unwanted, with more of its body.
func newScene(t *testing.T, body string) *scene {
	t.Helper()
	s := &scene{t: t, state: &State{}, hooks: map[string]string{}, signals: map[string]anneal.Signal{}}
	s.load(body)
	return s
}

func sceneBody(body string) string {
	body = "  " + body
	for key, value := range map[string]string{
		"mode": "enforce", "timeZone": "UTC", "run": "{stateMachine: {file: x}}",
		"rules":    `[{id: always, if: "event.subject != 'unwanted'"}]`,
		"triggers": "[{id: new, event: {source: x}}]",
	} {
		if !strings.Contains("\n"+body, "\n  "+key+":") {
			body += fmt.Sprintf("\n  %s: %s", key, value)
		}
	}
	return "\n" + body + "\n"
}

// load is a reload of the policy.
func (s *scene) load(body string) {
	s.t.Helper()
	s.p = compile(s.t, sceneBody(body))
	s.state.ApplyPolicy(s.p.Spec)
}

func (s *scene) policies() map[string]*Policy { return map[string]*Policy{"p": s.p} }

// event is one that comes from outside, called so.
func (s *scene) event(called string, at time.Time) anneal.Event {
	s.n++
	e := anneal.Event{ID: fmt.Sprint("e", s.n), Source: "x", Subject: called, Time: at, Seen: at}
	s.hooks[e.ID] = called
	return e
}

// comes is an event that is decided on: one called forced is so.
func (s *scene) comes(called string, at time.Time) anneal.Decision {
	return s.decide(s.event(called, at), "new", strings.HasPrefix(called, "forced"))
}

func (s *scene) decide(e anneal.Event, trigger string, force bool) anneal.Decision {
	s.t.Helper()
	c := Cause{Event: e, Trigger: trigger, Force: force, Signals: s.signals}
	if w, ok := s.state.Woken(e); ok {
		c.Origin = &anneal.Event{ID: w.Event, Source: "x", Subject: s.hooks[w.Event], Seen: e.Seen}
	}
	d := Decide(s.p, s.state, c)
	s.state.ApplyDecision(d)
	if d.Verdict == anneal.VerdictRun {
		run, err := NewRun(s.p, d)
		if err != nil {
			s.t.Fatal(err)
		}
		s.state.ApplyRun(run)
		s.runs = append(s.runs, run)
		if c.Origin != nil {
			s.hooks[run.ID] = s.hooks[c.Origin.ID]
		} else {
			s.hooks[run.ID] = s.hooks[e.ID]
		}
	}
	return d
}

// byHand is a pause or a resume.
func (s *scene) byHand(kind string, at time.Time) {
	s.t.Helper()
	s.n++
	raw, _ := json.Marshal(anneal.Paused{Policy: "p"})
	e := anneal.Event{ID: fmt.Sprint("e", s.n), Source: anneal.SourceManual, Type: kind, Data: raw, Seen: at}
	trigger, _, _ := s.p.Matches(e)
	s.decide(e, trigger, false)
}

// due takes in the wakes that are due, and decides on them, until none is.
func (s *scene) due(at time.Time) (decided []anneal.Decision) {
	s.t.Helper()
	seen := map[string]bool{}
	for due := s.state.Due(s.policies(), at); len(due) > 0; due = s.state.Due(s.policies(), at) {
		for _, e := range due {
			if seen[e.ID] {
				s.t.Fatalf("the wake %s is due again", e.ID)
			}
			seen[e.ID] = true
			s.state.ApplyEvent(e)
			trigger, ok, err := s.p.Matches(e)
			if !ok || err != nil {
				s.t.Fatalf("%s wakes nothing: %v", e.Type, err)
			}
			decided = append(decided, s.decide(e, trigger, false))
		}
	}
	return decided
}

// next is when the policy next wakes itself, in time since the beginning.
func (s *scene) next() string {
	at, ok := s.state.Next(s.policies())
	if !ok {
		return "–"
	}
	return long(at.Sub(monday))
}

// long writes a time as the tables do: 1h30m.
func long(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func after(t *testing.T, text string) time.Time {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return monday.Add(d)
}

// run is one of the model group, of another policy, that was decided on and
// ended at that time, or stays open.
func (s *scene) run(how string, at time.Time) {
	s.t.Helper()
	s.n++
	run := anneal.Run{ID: fmt.Sprint("r", s.n), Policy: "other", Model: "g", Status: anneal.StatusPending, Started: at}
	s.state.ApplyRun(run)
	if how == "open" {
		s.hooks[run.ID] = "R"
		s.runs = append(s.runs, run)
		return
	}
	status, ok := map[string]anneal.Status{
		"succeeds": anneal.StatusSucceeded, "promoted": anneal.StatusSucceeded, "fails": anneal.StatusFailed,
		"times out": anneal.StatusTimedOut, "stopped": anneal.StatusAborted, "makes way": anneal.StatusAborted,
	}[how]
	if !ok {
		s.t.Fatalf("a run cannot be %q", how)
	}
	if how == "makes way" {
		s.state.ApplyDecision(anneal.Decision{Policy: "other", Verdict: anneal.VerdictHold, At: at, Stops: []string{run.ID}})
	}
	run.Status, run.Ended = status, &at
	s.state.ApplyRun(run)
	if how == "promoted" {
		s.state.ApplyModel(anneal.Model{Group: "g", Run: run.ID, Stage: anneal.StageLive})
	}
}

// ends has the oldest open run succeed.
func (s *scene) ends(at time.Time) {
	run := s.runs[0]
	s.runs = s.runs[1:]
	run.Status, run.Ended = anneal.StatusSucceeded, &at
	if s.state.Open[run.ID].Stopping {
		run.Status = anneal.StatusAborted
	}
	s.state.ApplyRun(run)
}

func playTime(t *testing.T, r row) {
	s := newScene(t, "guards: {cooldown: {for: 12h}}")
	s.run("succeeds", monday)
	e := s.event("event", after(t, r.cells[1]))
	var err error
	if e.Time, err = time.Parse(time.RFC3339, r.cells[0]); err != nil {
		t.Fatal(err)
	}
	d := s.decide(e, "new", false)
	r.is(t, 2, long(d.At.Sub(monday)))
	r.is(t, 3, map[anneal.Verdict]string{anneal.VerdictRun: "yes", anneal.VerdictDefer: "no"}[d.Verdict])
}

// measure is a signal that makes `> 0.5` true, false or unknown.
func measure(result string) anneal.Signal {
	value := map[string]float64{"true": 1, "T": 1}[result]
	if result == "unknown" {
		return anneal.Signal{Status: anneal.SignalMissing}
	}
	return anneal.Signal{Status: anneal.SignalOK, Value: &value}
}

const twoSignals = "signals: {a: {source: data, reduce: rows}, b: {source: data, reduce: rows}}\n  "

func playUnknown(t *testing.T, r row) {
	for i, rule := range []string{"signals.a.value > 0.5 && signals.b.value > 0.5", "signals.a.value > 0.5 || signals.b.value > 0.5", "!(signals.a.value > 0.5)"} {
		s := newScene(t, twoSignals+fmt.Sprintf("rules: [{id: r, if: %q}, {id: b, if: signals.b.value > 0.5}]", rule))
		s.signals = map[string]anneal.Signal{"a": measure(r.cells[0]), "b": measure(r.cells[1])}
		r.is(t, 2+i, string(s.comes("event", monday).Rules[0].Result))
	}
}

func playRules(t *testing.T, r row) {
	policies := []string{MissingHold, MissingIgnore, MissingRun}
	if first, _, _ := strings.Cut(r.cells[2], " "); first != "any" {
		policies = []string{first}
	}
	seconds := []string{"unknown", "false"}
	if r.cells[1] != "any" {
		seconds = map[string][]string{"yes": seconds[:1], "no": seconds[1:]}[r.cells[1]]
	}
	for _, missing := range policies {
		for _, second := range seconds {
			s := newScene(t, twoSignals+"onMissingSignal: "+missing+"\n  "+
				"rules: [{id: unsure, if: signals.b.value > 0.5}, {id: sure, if: signals.a.value > 0.5}]")
			s.signals = map[string]anneal.Signal{"a": measure(map[string]string{"yes": "true"}[r.cells[0]]), "b": measure(second)}
			d := s.comes("event", monday)
			r.is(t, 3, map[anneal.Verdict]string{anneal.VerdictRun: "yes", anneal.VerdictHold: "no"}[d.Verdict])
			reason := map[bool]string{strings.HasPrefix(d.Reason, "sure:"): "the first true rule",
				strings.Contains(d.Reason, "signal b is missing"): "the signal that is missing",
				strings.HasPrefix(d.Reason, "no rule is true"):    "no rule is true"}[true]
			r.is(t, 4, reason)
		}
	}
}

func playNewly(t *testing.T, r row) {
	body := twoSignals + "rules: [{id: edge, if: newly(signals.a.value > 0.5)}, {id: b, if: signals.b.value > 0.5}]\n  guards: {blackout: [{cron: '0 6 * * *', for: 1h}]}"
	s := newScene(t, body)
	see := func(is string, at time.Time) string {
		s.signals = map[string]anneal.Signal{"a": measure(is), "b": measure("false")}
		raw, _ := json.Marshal(s.state) // a restart
		s.state = &State{}
		if err := json.Unmarshal(raw, s.state); err != nil {
			t.Fatal(err)
		}
		return string(s.comes("event", at).Rules[0].Result)
	}
	if r.cells[0] != "never looked at" {
		for was := range strings.SplitSeq(r.cells[0], ", ") {
			see(was, monday)
		}
	}
	at, clear := monday.Add(time.Hour), func() {}
	switch r.cells[2] {
	case "nothing":
	case "a guard":
		at = monday.Add(6 * time.Hour)
	case "a pause by hand":
		s.byHand(anneal.TypePaused, at)
		clear = func() { s.byHand(anneal.TypeResumed, at) }
	case "mode: paused":
		s.load("mode: paused\n  " + body)
		clear = func() { s.load(body) }
	case "an input that cannot be evaluated":
		s.load(body + "\n  run: {stateMachine: {file: x}, input: {x: {expr: event.data.x}}}")
		clear = func() { s.load(body) }
	default:
		t.Fatalf("nothing is known of %q", r.cells[2])
	}
	r.is(t, 3, see(r.cells[1], at))
	clear()
	r.is(t, 4, see("true", monday.Add(8*time.Hour)))
}

func playFor(t *testing.T, r row) {
	for i, f := range []string{"{windows: 2, of: 3}", "{windows: 2}"} {
		s := newScene(t, twoSignals+"rules: [{id: r, if: signals.a.value > 0.5, for: "+f+"}, {id: b, if: signals.b.value > 0.5}]")
		s.signals["b"] = measure("false")
		window, last := 0, ""
		for word := range strings.FieldsSeq(strings.NewReplacer(",", " ", "the same window again", "again").Replace(r.cells[0])) {
			if word != "again" {
				window++
				s.signals["a"] = measure(word)
			}
			a := s.signals["a"]
			a.Window = fmt.Sprint("w", window)
			s.signals["a"] = a
			last = string(s.comes("event", monday).Rules[0].Result)
		}
		r.is(t, 1+i, last)
	}
}

func playOrder(t *testing.T, r row) {
	guards := map[string]string{
		"breaker": "{failed: 1, within: 10h}", "blackout": "[{cron: '0 2 * * *', for: 3h}]", "backoff": "{initial: 5h}",
		"cooldown": "{for: 8h}", "concurrency": "{}", "budget": "{runs: 1, per: 12h}",
	}
	ends := map[string]string{"when the breaker closes": "11h", "when the budget has room": "13h", "when the backoff is over": "6h", "when the cooldown is over": "8h", "–": "–"}
	// The guards are written in another order than they are asked in.
	names := strings.Split(r.cells[0], ", ")
	body := "guards:"
	for _, name := range slices.Backward(names) {
		body += "\n    " + name + ": " + guards[name]
	}
	s := newScene(t, body)
	s.run("succeeds", monday)
	s.run("fails", monday.Add(time.Hour))
	s.run("open", monday.Add(time.Hour))
	d := s.comes("event", monday.Add(2*time.Hour))
	var vetoes []string
	for _, g := range d.Guards {
		if g.Veto {
			vetoes = append(vetoes, g.ID)
		}
	}
	if diff := cmp.Diff(names, vetoes); diff != "" {
		t.Errorf("vetoes in this order (-table +got):\n%s", diff)
	}
	reason, _, _ := strings.Cut(d.Reason, ":")
	r.is(t, 1, reason)
	r.is(t, 2, string(d.Verdict))
	if got := s.next(); got != ends[r.cells[3]] {
		t.Errorf("looked at again at %s, the table says %s", got, ends[r.cells[3]])
	}
	if (d.Verdict == anneal.VerdictDefer) != (d.Until != nil) {
		t.Errorf("%s until %v", d.Verdict, d.Until)
	}
}

func playGuard(t *testing.T, r row) {
	body := "guards: {" + r.cells[0] + "}"
	if strings.Contains(r.cells[0], "notPromoted") {
		body += "\n  run: {stateMachine: {file: x}, model: {state: T, artifact: {expr: state.output.a}}}"
	}
	for _, force := range []bool{false, true} {
		s := newScene(t, body)
		if r.cells[1] != "–" {
			for what := range strings.SplitSeq(r.cells[1], ", ") {
				i := strings.LastIndex(what, " ")
				if at := after(t, what[i+1:]); what[:i] == "resumed" {
					s.byHand(anneal.TypeResumed, at)
				} else {
					s.run(what[:i], at)
				}
			}
		}
		d := s.comes(map[bool]string{false: "event", true: "forced"}[force], after(t, r.cells[2]))
		r.is(t, 3, string(d.Verdict))
		r.is(t, 4, s.next())
		if r.cells[4] == "–" {
			continue
		}
		before := after(t, r.cells[4]).Add(-time.Nanosecond)
		if early := s.due(before); len(early) > 0 {
			t.Errorf("decided at %s, before its time", before)
		}
		if again := s.due(after(t, r.cells[4])); len(again) != 1 || again[0].Verdict != anneal.VerdictRun {
			t.Errorf("then decided: %v, want one run", again)
		}
	}
}

func playClocks(t *testing.T, r row) {
	s := newScene(t, "timeZone: "+r.cells[0]+"\n  guards: {blackout: ["+r.cells[1]+"]}")
	var times [2]time.Time
	for i := range times {
		var err error
		if times[i], err = time.Parse(time.RFC3339, r.cells[2+i]); err != nil {
			t.Fatal(err)
		}
	}
	for at, in := range map[time.Time]bool{times[0].Add(-time.Second): false, times[0]: true, times[1].Add(-time.Second): true, times[1]: false} {
		until, _, is := s.p.Blackout(at)
		if is != in || in && !until.Equal(times[1]) {
			t.Errorf("at %s: in a blackout %t, until %s", at, is, until)
		}
	}
}

// overlapping is the concurrency guard of a table's first cell.
func overlapping(cell string) string {
	overlap, _, _ := strings.Cut(cell, " ")
	return "guards: {concurrency: {overlap: " + overlap + "}}"
}

func playOverlap(t *testing.T, r row) {
	s := newScene(t, overlapping(r.cells[0]))
	s.run("open", monday)
	at := monday.Add(time.Hour)
	stopped := "goes on"
	for i := range 3 {
		d := s.comes(fmt.Sprint(i+1), at)
		got := string(d.Verdict)
		for _, id := range d.Stops {
			got += ", stops " + s.hooks[id]
			if s.hooks[id] == "R" {
				stopped = "is stopped"
			}
		}
		r.is(t, 1+i, got)
	}
	r.is(t, 4, stopped)
	var then []string
	for range 10 {
		if len(s.runs) == 0 {
			break
		}
		at = at.Add(time.Hour)
		s.ends(at)
		for _, d := range s.due(at) {
			if d.Verdict == anneal.VerdictRun {
				then = append(then, s.hooks[d.ID])
			}
		}
	}
	if len(then) == 0 {
		then = []string{"–"}
	}
	r.is(t, 5, strings.Join(then, ", "))
	if left := s.state.Policies["p"].waiting(); len(left) > 0 {
		t.Errorf("all is over, and %v waits still", left)
	}
}

func playWaits(t *testing.T, r row) {
	s := newScene(t, "guards: {concurrency: {overlap: "+r.cells[0]+"}, blackout: [{cron: '0 1 * * *', for: 5h}]}\n  rules: [{id: always, if: \"!event.subject.startsWith('unwanted')\"}]")
	s.comes(r.cells[1], monday.Add(time.Hour))
	s.comes(r.cells[2], monday.Add(2*time.Hour))
	var waits []string
	for _, w := range s.state.Policies["p"].waiting() {
		waits = append(waits, s.hooks[w.Event])
		if w.Force != strings.HasPrefix(s.hooks[w.Event], "forced") {
			t.Errorf("%s waits, forced %t", s.hooks[w.Event], w.Force)
		}
	}
	r.is(t, 3, strings.Join(waits, ", "))
}

// gather is an event that comes to a window, with an object of so many rows.
func (s *scene) gather(called string, at time.Time, rows int64) {
	s.t.Helper()
	g, ok, err := s.p.Gather("new", s.event(called, at), &anneal.Object{Rows: rows})
	if !ok || err != nil {
		s.t.Fatal(ok, err)
	}
	s.state.ApplyGathering(g)
}

func gathers(debounce string) string {
	return "triggers: [{id: new, event: {source: x}, debounce: " + debounce + "}]"
}

func playDebounce(t *testing.T, r row) {
	s := newScene(t, gathers(r.cells[0]))
	for word := range strings.FieldsSeq(r.cells[1]) {
		minute, rows, _ := strings.Cut(word, ":")
		n, _ := strconv.ParseInt(rows, 10, 64)
		s.gather("event", after(t, minute+"m"), n)
	}
	at, ok := s.state.Next(s.policies())
	if !ok {
		t.Fatal("never complete")
	}
	r.is(t, 2, fmt.Sprint(int(at.Sub(monday).Minutes())))
	if len(s.due(at.Add(-1))) > 0 || len(s.due(at)) != 1 || len(s.state.Policies["p"].Gathered) > 0 {
		t.Error("not decided on once, at its time")
	}
}

func playPause(t *testing.T, r row) {
	body := "guards: {concurrency: {overlap: buffer-one}, blackout: [{cron: '0 0 * * *', for: 1h}]}"
	at := monday.Add(2 * time.Hour)
	s := newScene(t, body)
	prepare := map[string]func(){
		"a window is complete":                 func() { s.load(gathers("{quiet: 1h}") + "\n  " + body); s.gather("event", at, 1) },
		"a deferred decision is due":           func() { s.comes("event", monday.Add(30*time.Minute)) },
		"a run ends that a decision waits for": func() { s.run("open", at); s.comes("event", at) },
	}[r.cells[1]]
	if prepare != nil {
		prepare()
	}
	var over func()
	switch spec := s.p.Spec; r.cells[0] {
	case "by hand":
		s.byHand(anneal.TypePaused, at)
		over = func() { s.byHand(anneal.TypeResumed, at) }
	case "mode: paused":
		enforced := s.p
		spec.Spec.Mode = Paused
		s.p, _ = Compile(spec)
		s.state.ApplyPolicy(s.p.Spec)
		over = func() { s.p = enforced; s.state.ApplyPolicy(s.p.Spec) }
	default:
		t.Fatalf("nothing is known of %q", r.cells[0])
	}
	at = at.Add(3 * time.Hour)
	var each, then []string
	switch {
	case r.cells[1] == "a run ends that a decision waits for":
		s.ends(at)
	case r.cells[1] == "resumed by hand":
		s.byHand(anneal.TypeResumed, at)
		each = append(each, "hold")
	case prepare == nil && r.cells[1] != "–":
		for called := range strings.SplitSeq(r.cells[1], ", ") {
			each = append(each, string(s.comes(called, at).Verdict))
		}
	}
	for _, d := range s.due(at) {
		t.Errorf("decided in the pause: %s", d.Verdict)
	}
	if next := s.next(); next != "–" {
		t.Errorf("in the pause it wakes itself at %s", next)
	}
	over()
	for _, d := range s.due(at) {
		then = append(then, string(d.Verdict))
	}
	none := func(list []string) string {
		if len(list) == 0 {
			return "–"
		}
		return strings.Join(list, ", ")
	}
	r.is(t, 2, none(each))
	r.is(t, 3, none(then))
}

func playReload(t *testing.T, r row) {
	hour := func(n int) time.Time { return monday.Add(time.Duration(n) * time.Hour) }
	const ruleOf = twoSignals + "rules: [{id: r, if: '%s', for: {windows: 2}}, {id: b, if: signals.b.value > 0.5}]"
	var body string
	var s *scene
	see := func(window string) string {
		s.signals = map[string]anneal.Signal{"a": measure("true"), "b": measure("false")}
		a := s.signals["a"]
		a.Window = window
		s.signals["a"] = a
		return string(s.comes("event", monday).Rules[0].Result)
	}
	switch r.cells[0] {
	case "nothing":
		s = newScene(t, "")
	case "a window of quiet: 1h, since 0m":
		body = gathers("{quiet: 1h}")
		s = newScene(t, body)
		s.gather("event", monday, 1)
	case "a decision deferred until 1h":
		body = "guards: {blackout: [{cron: '0 0 * * *', for: 1h}]}"
		s = newScene(t, body)
		s.comes("event", monday)
	case "a decision that a breaker holds":
		s = newScene(t, "guards: {breaker: {failed: 1}}")
		s.run("fails", monday)
		s.comes("event", monday)
	case "a decision that waits for a place":
		s = newScene(t, overlapping(BufferOne))
		s.run("open", monday)
		s.comes("event", monday)
	case "three decisions that wait for a place":
		s = newScene(t, overlapping(BufferAll))
		s.run("open", monday)
		for i := range 3 {
			s.comes(fmt.Sprint(i+1), monday)
		}
	case "a rule that was true in 1 of 2 windows":
		body = fmt.Sprintf(ruleOf, "signals.a.value > 0.5")
		s = newScene(t, body)
		see("w1")
	default:
		t.Fatalf("nothing is known of %q", r.cells[0])
	}
	// away has the policy gone until that time, and a wake that is due first
	// come meanwhile, if it comes.
	away := func(comes bool, until time.Time) {
		if comes {
			for _, e := range s.state.Due(s.policies(), hour(1)) {
				s.state.ApplyEvent(e)
				s.state.ApplyDecision(anneal.Decision{ID: anneal.DecisionID("p", e.ID), Policy: "p", Cause: e.ID, At: e.Seen, Verdict: anneal.VerdictSuppressed})
			}
		}
		if due := s.state.Due(map[string]*Policy{}, until); len(due) > 0 {
			t.Errorf("%s wakes a policy that is gone", due[0].Type)
		}
		s.load(body)
	}
	now := monday
	switch r.cells[1] {
	case "anything":
		s.load("guards: {cooldown: {for: 1h}}")
	case "quiet: 2h":
		s.load(gathers("{quiet: 2h}"))
	case "gathers no more", "has no such guard":
		s.load("")
	case "has the trigger under another name":
		s.load("triggers: [{id: other, event: {source: x}, debounce: {quiet: 5h}}]")
	case "has another key":
		s.load(gathers("{quiet: 1h, key: event.type}"))
	case "is gone, and is back at 30m":
		away(false, monday.Add(30*time.Minute))
	case "is gone, and is back at 3h":
		away(false, hour(3))
		now = hour(3)
	case "is gone when it is complete, and is back at 3h", "is gone when it is due, and is back at 3h":
		away(true, hour(3))
		now = hour(3)
	case "limit: 2":
		s.load("guards: {concurrency: {limit: 2, overlap: buffer-one}}")
	case "overlap: skip", "overlap: cancel-other", "overlap: buffer-one":
		s.load(overlapping(strings.TrimPrefix(r.cells[1], "overlap: ")))
	case "has another if":
		s.load(fmt.Sprintf(ruleOf, "signals.a.value > 0.4"))
	case "has another guard":
		s.load(body + "\n  guards: {cooldown: {for: 1h}}")
	case "is gone, and is back":
		s.load(body)
	default:
		t.Fatalf("nothing is known of %q", r.cells[1])
	}
	if strings.HasPrefix(r.cells[2], "counts") {
		r.is(t, 2, map[string]string{"true": "counts on", "false": "counts anew"}[see("w2")])
		return
	}
	got := "–"
	var waits []Wake
	if m := s.state.Policies["p"]; m != nil {
		waits = m.waiting()
	}
	what := "decided"
	if strings.HasPrefix(r.cells[0], "a window") {
		what = "complete"
	}
	decided := s.due(now)
	at, later := s.state.Next(s.policies())
	switch {
	case len(decided) == 1 && now.Equal(monday):
		got = what + " at once"
	case len(decided) == 1:
		got = what + " at " + long(now.Sub(monday))
	case len(decided) > 1:
		got = "decided more than once"
	case later:
		got = what + " at " + long(at.Sub(monday))
		if len(s.due(at)) != 1 {
			t.Error("and then not decided once")
		}
	case len(waits) == 1 && strings.HasPrefix(r.cells[0], "three"):
		got = map[string]string{"3": "the newest waits on"}[s.hooks[waits[0].Event]]
	case len(waits) == 1:
		got = "waits on"
	case r.cells[0] != "nothing":
		got = "let go"
	}
	r.is(t, 2, got)
}

func playModes(t *testing.T, r row) {
	modes := []string{"observe", "enforce", "paused"}
	if first, _, _ := strings.Cut(r.cells[2], " ("); first != "any" {
		modes = strings.Split(first, ", ")
	}
	guards := map[string][]string{
		"no":                            {""},
		"one that knows its end, first": {"cooldown: {for: 2h}", "cooldown: {for: 2h}, concurrency: {}", "backoff: {initial: 1h}, budget: {runs: 1, per: 1d}", "blackout: [{cron: '0 0 * * *', for: 1h}]", "budget: {runs: 1, per: 1d}"},
		"breaker or concurrency, first": {"concurrency: {}", "concurrency: {}, budget: {runs: 1, per: 1d}", "breaker: {failed: 1}, cooldown: {for: 2h}"},
	}[r.cells[1]]
	if r.cells[1] == "any" {
		guards = []string{"", "cooldown: {for: 2h}", "concurrency: {}", "breaker: {failed: 1}"}
	}
	if guards == nil {
		t.Fatalf("nothing is known of %q", r.cells[1])
	}
	called := map[string][]string{"yes": {"event"}, "no": {"unwanted"}, "any": {"event", "unwanted"}}[r.cells[0]]
	for _, mode := range modes {
		for _, guard := range guards {
			for _, event := range called {
				verdicts := strings.Split(r.cells[3], ", or ")
				for i, asks := range []string{"", "\n  approval: {timeout: 1h}"} {
					s := newScene(t, "mode: "+mode+"\n  guards: {"+guard+"}"+asks)
					if guard != "" {
						s.run("succeeds", monday)
						s.run("fails", monday)
						s.run("open", monday)
					}
					want, _, _ := strings.Cut(verdicts[min(i, len(verdicts)-1)], " ")
					if d := s.comes(event, monday.Add(time.Minute)); string(d.Verdict) != want {
						t.Errorf("mode %s, guards %q, %s%s: got %s, the table says %s", mode, guard, event, asks, d.Verdict, want)
					}
				}
			}
		}
	}
}

// playApproval plays each row that begins with `and` after the one before it.
func playApproval(t *testing.T, rows []row) {
	var s *scene
	var asked anneal.Decision
	answer := func(at time.Time) anneal.Decision {
		raw, _ := json.Marshal(anneal.Approval{Policy: "p", Decision: asked.ID})
		e := anneal.Event{ID: fmt.Sprint("answer ", at), Source: anneal.SourceManual, Type: anneal.TypeApproved, Subject: "p", Data: raw, Seen: at}
		s.state.ApplyEvent(e)
		return s.decide(e, TriggerApprove, false)
	}
	for _, r := range rows {
		happens := r.cells[0]
		if !strings.HasPrefix(happens, "and ") && !strings.HasSuffix(happens, "a second time") {
			body := twoSignals + "rules: [{id: a, if: signals.a.value > 0.5}, {id: b, if: signals.b.value > 0.5}]\n  guards: {cooldown: {for: 1h}}\n  " +
				`approval: {if: "signals.b.value < 0.5", timeout: 8h`
			if strings.Contains(happens, "onTimeout: run") {
				body += ", onTimeout: run"
			}
			s = newScene(t, body+"}")
			s.signals = map[string]anneal.Signal{"a": measure("true"), "b": measure("false")}
			asked = s.comes("event", monday)
			if asked.Verdict != anneal.VerdictAwaitApproval {
				t.Fatalf("it does not ask: %s, %s", asked.Verdict, asked.Reason)
			}
		}
		one := func(decided []anneal.Decision) anneal.Decision {
			if len(decided) != 1 {
				t.Fatalf("%s: decided %d times", happens, len(decided))
			}
			return decided[0]
		}
		hour := func(n int) time.Time { return monday.Add(time.Duration(n) * time.Hour) }
		var d anneal.Decision
		switch happens {
		case "anneal approve":
			d = answer(hour(1))
		case "anneal approve, and no rule is true any more":
			s.signals["a"] = measure("false")
			d = answer(hour(1))
		case "anneal approve, and a guard has come to veto":
			s.run("succeeds", hour(1))
			d = answer(hour(1))
		case "and that guard's time is over":
			d = one(s.due(hour(2)))
		case "anneal approve a second time", "and then anneal approve":
			d = answer(hour(3))
		case "anneal reject":
			raw, _ := json.Marshal(anneal.Approval{Policy: "p", Decision: asked.ID})
			e := anneal.Event{ID: "rejected", Source: anneal.SourceManual, Type: anneal.TypeRejected, Subject: "p", Data: raw, Seen: hour(1)}
			s.state.ApplyEvent(e)
			d = s.decide(e, TriggerReject, false)
		case "timeout is over, onTimeout: hold (default)", "timeout is over, onTimeout: run":
			if early := s.due(hour(8).Add(-1)); len(early) > 0 {
				t.Errorf("%s: decided before its time", happens)
			}
			d = one(s.due(hour(8)))
		case "another event wants a run that is asked about":
			d = s.comes("event", hour(1))
		case "another event wants a run that is not asked about":
			s.signals["b"] = measure("true")
			d = s.comes("event", hour(1))
		case "anneal approve in a pause":
			s.byHand(anneal.TypePaused, hour(1))
			d = answer(hour(2))
		case "and the policy is resumed":
			s.byHand(anneal.TypeResumed, hour(3))
			d = one(s.due(hour(3)))
		case "timeout is over in a pause, and the policy is resumed":
			s.byHand(anneal.TypePaused, hour(1))
			if early := s.due(hour(9)); len(early) > 0 {
				t.Errorf("%s: decided in the pause", happens)
			}
			s.byHand(anneal.TypeResumed, hour(10))
			d = one(s.due(hour(10)))
		case "anneal approve in a pause, after timeout":
			s.byHand(anneal.TypePaused, hour(1))
			d = answer(hour(9))
		default:
			t.Fatalf("nothing is known of %q", happens)
		}
		said := map[string]string{"it asks already": "asks for approval already", "it waits for no approval": "waits for no approval", "the rule": "a: a.value 1", "the guard": "cooldown: "}[r.cells[2]]
		if said == "" {
			said = r.cells[2]
		}
		if string(d.Verdict) != r.cells[1] || !strings.Contains(d.Reason, said) {
			t.Errorf("%s: got %s, %s; the table says %s, %s", happens, d.Verdict, d.Reason, r.cells[1], r.cells[2])
		}
	}
}

// What a breaker has held is decided on when that has closed, though the daemon
// was down at that time; once, where something newer wants a run as well.
func TestBreakerHasClosed(t *testing.T) {
	for called, want := range map[string]anneal.Verdict{"unwanted": anneal.VerdictHold, "event": anneal.VerdictRun} {
		s := newScene(t, "guards: {breaker: {failed: 1, within: 1h}}")
		s.run("fails", monday)
		s.comes("event", monday.Add(time.Minute))
		later := monday.Add(2 * time.Hour)
		newer := s.comes(called, later)
		runs := 0
		for _, d := range append(s.due(later), newer) {
			if d.Verdict == anneal.VerdictRun {
				runs++
			}
		}
		if newer.Verdict != want || runs != 1 {
			t.Errorf("%s comes after: %s, and %d runs in all, want %s and 1", called, newer.Verdict, runs, want)
		}
	}
}
