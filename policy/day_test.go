package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// Each file of testdata is a day in the life of some policies: what happened,
// and after the arrow what was decided. What a line sets stays until it is set
// anew. A wake is something the policies asked for themselves.
//
//	at 09:00  rows=9000 drift.share=0.5    new data, and what is measured
//	at 09:00  rows=missing                 … or why it is not: missing, stale, failed
//	at 09:00  same                         an event without new data
//	at 09:00  object=3000                  an object with so many rows, to be gathered or decided on
//	at 09:00  trigger NAME force epochs=3  by hand
//	at 09:00  pause NAME why | resume NAME by hand
//	at 09:00  approve NAME why | reject NAME what it asked for last, by hand
//	at 09:00  tick NAME TRIGGER            of its schedule
//	at 09:00  ends | fails | aborts        the oldest open run, or the oldest that is stopped
//	at 09:00  promotes                     ends, and its model becomes the champion
//	at 09:00  champion 2 auc=0.8           a promotion
//	at 09:00  explain NAME                 its last decision
//	at 06T09:00                            on 6 January 2026; the first lines are of the 5th, times are UTC
//	at 03-29T09:00                         in another month
func TestDays(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d := newTranscript()
			for i, f := range archive.Files {
				if f.Name != "day" {
					d.add(t, string(f.Data))
					continue
				}
				want := string(f.Data)
				got := d.play(t, want)
				if *update {
					archive.Files[i].Data = []byte(got)
				} else if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", file, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// specOf reads a policy from YAML.
func specOf(t testing.TB, source string) Spec {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ParseSpec(data)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// compile is the policy of a YAML body, in a model group g.
func compile(t *testing.T, body string) *Policy {
	t.Helper()
	p, problems := Compile(specOf(t, header+body))
	if problems != nil {
		t.Fatal(problems)
	}
	return p
}

const header = "apiVersion: anneal/v1alpha1\nkind: RetrainPolicy\nmetadata: {name: p}\nspec:\n  model: {group: g}\n"

// A transcript is being played.
type transcript struct {
	state    *State
	policies map[string]*Policy
	names    []string
	signals  map[string]anneal.Signal
	champion *anneal.Model
	events   map[string]anneal.Event
	open     []anneal.Run
	last     map[string]anneal.Decision
	asked    map[string]string // decision by policy
	windows  int
	object   *anneal.Object // that the event being decided brought
	out      strings.Builder
}

func newTranscript() *transcript {
	return &transcript{
		state: &State{}, policies: map[string]*Policy{}, signals: map[string]anneal.Signal{},
		events: map[string]anneal.Event{}, last: map[string]anneal.Decision{}, asked: map[string]string{},
	}
}

func (d *transcript) add(t *testing.T, source string) {
	t.Helper()
	spec := specOf(t, source)
	p, problems := Compile(spec)
	if problems != nil {
		t.Fatal(problems)
	}
	d.policies[p.Name()] = p
	d.names = append(d.names, p.Name())
	d.state.ApplyPolicy(spec)
}

func (d *transcript) play(t *testing.T, script string) string {
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, " ") || strings.Contains(line, "(wake)") {
			continue // output
		}
		if line == "" || line[0] == '#' {
			d.out.WriteString(line + "\n")
			continue
		}
		command, _, _ := strings.Cut(line, "→")
		words := strings.Fields(command)
		now, ok := moment2026(words[1])
		if !ok || words[0] != "at" {
			t.Fatalf("%q does not begin with a time", line)
		}
		for next, ok := d.state.Next(d.policies); ok && !next.After(now); next, ok = d.state.Next(d.policies) {
			d.wake(t, next)
		}
		d.command(t, now, strings.TrimRight(command, " "), words[2:])
		d.wake(t, now)
	}
	return d.out.String()
}

// moment2026 reads a time of a script.
func moment2026(s string) (time.Time, bool) {
	for layout, day := range map[string]string{"15:04": "01-05T", "02T15:04": "01-", "01-02T15:04": ""} {
		if _, err := time.Parse(layout, s); err == nil {
			at, err := time.Parse("2006-01-02T15:04", "2026-"+day+s)
			return at, err == nil
		}
	}
	return time.Time{}, false
}

// written writes a time as a script does.
func written(t time.Time) string {
	switch {
	case t.Month() != time.January:
		return t.Format("01-02T15:04")
	case t.Day() != 5:
		return t.Format("02T15:04")
	}
	return t.Format("15:04")
}

func (d *transcript) command(t *testing.T, now time.Time, line string, words []string) {
	switch words[0] {
	case "ends", "fails", "aborts", "promotes":
		if len(d.open) == 0 {
			t.Fatalf("%q: no run is open", line)
		}
		i := max(0, slices.IndexFunc(d.open, func(r anneal.Run) bool { return words[0] == "aborts" && d.state.Open[r.ID].Stopping }))
		run := d.open[i]
		d.open = slices.Delete(d.open, i, i+1)
		run.Ended = &now
		run.Status = map[string]anneal.Status{"fails": anneal.StatusFailed, "aborts": anneal.StatusAborted}[words[0]]
		if run.Status == "" {
			run.Status = anneal.StatusSucceeded
		}
		d.state.ApplyRun(run)
		if words[0] == "promotes" {
			d.state.ApplyModel(anneal.Model{Group: "g", Stage: anneal.StageLive, Run: run.ID})
		}
		fmt.Fprintln(&d.out, line)
		return
	case "approve", "reject":
		kind := map[string]string{"approve": anneal.TypeApproved, "reject": anneal.TypeRejected}[words[0]]
		data := anneal.Approval{Policy: words[1], Decision: d.asked[words[1]], Note: strings.Join(words[2:], " ")}
		raw, _ := json.Marshal(data)
		d.decide(t, anneal.Event{Source: anneal.SourceManual, Type: kind, Subject: words[1], Data: raw, Seen: now}, line, anneal.Triggered{})
		return
	case "pause", "resume":
		kind := map[string]string{"pause": anneal.TypePaused, "resume": anneal.TypeResumed}[words[0]]
		raw, _ := json.Marshal(anneal.Paused{Policy: words[1], Note: strings.Join(words[2:], " ")})
		d.decide(t, anneal.Event{Source: anneal.SourceManual, Type: kind, Data: raw, Seen: now}, line, anneal.Triggered{})
		return
	case "tick":
		raw, _ := json.Marshal(map[string]string{"policy": words[1], "trigger": words[2]})
		d.decide(t, anneal.Event{Source: anneal.SourceCron, Type: anneal.TypeScheduledEvent, Data: raw, Seen: now}, line, anneal.Triggered{})
		return
	case "champion":
		version, _ := strconv.Atoi(words[1])
		d.champion = &anneal.Model{Group: "g", Version: version, TrainedAt: now, Metrics: map[string]float64{}}
		for _, w := range words[2:] {
			name, value, _ := strings.Cut(w, "=")
			d.champion.Metrics[name], _ = strconv.ParseFloat(value, 64)
		}
		fmt.Fprintln(&d.out, line)
		return
	case "explain":
		fmt.Fprintln(&d.out, line)
		for l := range strings.Lines(Explain(d.last[words[1]], d.policies[words[1]], now)) {
			d.out.WriteString(strings.TrimRight("  | "+l, " \n") + "\n")
		}
		return
	case "trigger":
		data := anneal.Triggered{Policy: words[1], Parameters: map[string]any{}}
		for _, w := range words[2:] {
			if name, value, ok := strings.Cut(w, "="); ok {
				data.Parameters[name] = value
				if f, err := strconv.ParseFloat(value, 64); err == nil {
					data.Parameters[name] = f
				}
			} else {
				data.Force = w == "force"
			}
		}
		raw, _ := json.Marshal(data)
		d.decide(t, anneal.Event{Source: anneal.SourceManual, Type: anneal.TypeTriggered, Data: raw, Seen: now}, line, data)
		return
	}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			continue // same
		}
		if name == "object" {
			rows, _ := strconv.ParseInt(value, 10, 64)
			d.object = &anneal.Object{Rows: rows}
			continue
		}
		name, field, _ := strings.Cut(name, ".")
		s := d.signals[name]
		if f, err := strconv.ParseFloat(value, 64); err != nil {
			s = anneal.Signal{Status: anneal.SignalStatus(value)}
			if value == "failed" {
				s.Error = "no such column"
			}
		} else {
			s.Status, s.N, s.At = anneal.SignalOK, 100, now
			if field == "share" {
				s.Share = &f
			} else {
				s.Value = &f
			}
		}
		d.signals[name] = s
	}
	if words[0] != "same" {
		d.windows++
	}
	bucket := "b"
	if i := slices.Index(words, "in"); i >= 0 {
		bucket = words[i+1]
	}
	object, _ := json.Marshal(anneal.ObjectCreated{Bucket: anneal.BucketRef{Name: bucket}, Object: anneal.ObjectRef{Key: fmt.Sprintf("training/%d.csv", d.windows)}})
	d.decide(t, anneal.Event{Source: "aws.s3", Type: anneal.TypeObjectCreated, Data: object, Seen: now}, line, anneal.Triggered{})
	d.object = nil
}

// decide asks every policy that the event wakes.
func (d *transcript) decide(t *testing.T, e anneal.Event, line string, hand anneal.Triggered) {
	if e.ID == "" {
		e.ID = fmt.Sprintf("e%d", len(d.events)+1)
	}
	d.events[e.ID] = e
	d.state.ApplyEvent(e)
	woken := false
	defer func() {
		if !woken {
			fmt.Fprintf(&d.out, "%-44s → wakes nothing\n", line)
		}
	}()
	for _, name := range d.names {
		p := d.policies[name]
		trigger, ok, err := p.Matches(e)
		if err != nil {
			fmt.Fprintf(&d.out, "%-44s → no match: %v\n", line, err)
			line = ""
		}
		if !ok {
			continue
		}
		woken = true
		if g, gathered, err := p.Gather(trigger, e, d.object); gathered {
			w := d.state.ApplyGathering(g)
			at, _ := d.state.Next(map[string]*Policy{name: p})
			fmt.Fprintf(&d.out, "%-44s → gathered   %s: %d events, %d objects, %d rows, next due at %s%s\n",
				line, trigger, w.Events, w.Objects, w.Rows, written(at), map[bool]string{true: fmt.Sprint(" ", err)}[err != nil])
			line = ""
			d.reload(t)
			continue
		}
		since := ""
		if at, ok := d.state.Since(e); ok {
			since = "  since " + written(at)
		}
		cause := Cause{Event: e, Trigger: trigger, Signals: map[string]anneal.Signal{}, Champion: d.champion, Parameters: hand.Parameters, Force: hand.Force, TrainingURI: "s3://b/training/"}
		if wake, ok := d.state.Woken(e); ok {
			origin := d.events[wake.Event]
			cause.Origin = &origin
		}
		for name, s := range d.signals {
			s.Window = fmt.Sprintf("w%d", d.windows)
			cause.Signals[name] = s
		}
		before, _ := json.Marshal(d.state)
		decision := Decide(p, d.state, cause)
		a, err := json.Marshal(decision)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(Decide(p, d.state, cause))
		if after, _ := json.Marshal(d.state); !bytes.Equal(a, b) || !bytes.Equal(before, after) {
			t.Fatalf("the same decision twice:\n%s\n%s\nstate before and after:\n%s\n%s", a, b, before, after)
		}
		d.state.ApplyDecision(decision)
		if decision.Verdict == anneal.VerdictRun {
			run, err := NewRun(p, decision)
			if err != nil {
				t.Fatal(err)
			}
			d.open = append(d.open, run)
			d.state.ApplyRun(run)
		}
		d.last[name] = decision
		if decision.Verdict == anneal.VerdictAwaitApproval {
			d.asked[name] = decision.ID
		}
		who := ""
		if len(d.names) > 1 {
			who = name + ": "
		}
		input := ""
		if decision.Input != nil && string(decision.Input) != "{}" {
			input = "  " + string(decision.Input)
		}
		if len(decision.Stops) > 0 {
			input += "  stops " + strings.Join(decision.Stops, ", ")
		}
		if decision.Verdict == anneal.VerdictAwaitApproval {
			input += "  until " + written(*decision.Until)
		}
		fmt.Fprintf(&d.out, "%-44s → %s%-9s  %s%s%s\n", line, who, decision.Verdict, decision.Reason, input, since)
		line = ""

		d.reload(t)
	}
}

// wake decides on what is due, until nothing is.
func (d *transcript) wake(t *testing.T, now time.Time) {
	seen := map[string]bool{}
	for due := d.state.Due(d.policies, now); len(due) > 0; due = d.state.Due(d.policies, now) {
		for _, e := range due {
			if seen[e.ID] {
				t.Fatalf("the wake %s is due again", e.ID)
			}
			seen[e.ID] = true
			d.decide(t, e, fmt.Sprintf("at %s  (wake)", written(now)), anneal.Triggered{})
		}
	}
}

// reload has the state go through its JSON: what was folded so far is as good
// as what it was folded from.
func (d *transcript) reload(t *testing.T) {
	raw, err := json.Marshal(d.state)
	if err != nil {
		t.Fatal(err)
	}
	d.state = &State{}
	if err := json.Unmarshal(raw, d.state); err != nil {
		t.Fatal(err)
	}
}
