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
//	at 09:00  trigger NAME force epochs=3  by hand
//	at 09:00  ends | fails                 the oldest open run
//	at 09:00  champion 2 auc=0.8           a promotion
//	at 09:00  explain NAME                 its last decision
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
func specOf(t *testing.T, source string) Spec {
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
	windows  int
	out      strings.Builder
}

func newTranscript() *transcript {
	return &transcript{
		state: &State{}, policies: map[string]*Policy{}, signals: map[string]anneal.Signal{},
		events: map[string]anneal.Event{}, last: map[string]anneal.Decision{},
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
		at, err := time.Parse("15:04", words[1])
		if err != nil || words[0] != "at" {
			t.Fatalf("%q does not begin with a time", line)
		}
		now := time.Date(2026, 1, 5, at.Hour(), at.Minute(), 0, 0, time.UTC)
		for next, ok := d.state.Next(d.policies); ok && !next.After(now); next, ok = d.state.Next(d.policies) {
			d.wake(t, next)
		}
		d.command(t, now, strings.TrimRight(command, " "), words[2:])
		d.wake(t, now)
	}
	return d.out.String()
}

func (d *transcript) command(t *testing.T, now time.Time, line string, words []string) {
	switch words[0] {
	case "ends", "fails":
		run := d.open[0]
		d.open = d.open[1:]
		run.Ended, run.Status = &now, anneal.StatusSucceeded
		if words[0] == "fails" {
			run.Status = anneal.StatusFailed
		}
		d.state.ApplyRun(run)
		fmt.Fprintln(&d.out, line)
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
	object, _ := json.Marshal(anneal.ObjectCreated{Bucket: anneal.BucketRef{Name: "b"}, Object: anneal.ObjectRef{Key: fmt.Sprintf("training/%d.csv", d.windows)}})
	d.decide(t, anneal.Event{Source: "aws.s3", Type: anneal.TypeObjectCreated, Data: object, Seen: now}, line, anneal.Triggered{})
}

// decide asks every policy that the event wakes.
func (d *transcript) decide(t *testing.T, e anneal.Event, line string, hand anneal.Triggered) {
	if e.ID == "" {
		e.ID = fmt.Sprintf("e%d", len(d.events)+1)
	}
	d.events[e.ID] = e
	d.state.ApplyEvent(e)
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
		who := ""
		if len(d.names) > 1 {
			who = name + ": "
		}
		input := ""
		if decision.Input != nil && string(decision.Input) != "{}" {
			input = "  " + string(decision.Input)
		}
		fmt.Fprintf(&d.out, "%-44s → %s%-9s  %s%s\n", line, who, decision.Verdict, decision.Reason, input)
		line = ""

		// What was folded so far is as good as what it was folded from.
		raw, err := json.Marshal(d.state)
		if err != nil {
			t.Fatal(err)
		}
		d.state = &State{}
		if err := json.Unmarshal(raw, d.state); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *transcript) wake(t *testing.T, now time.Time) {
	for _, e := range d.state.Due(d.policies, now) {
		d.decide(t, e, fmt.Sprintf("at %s  (wake)", now.Format("15:04")), anneal.Triggered{})
		if slices.ContainsFunc(d.state.Due(d.policies, now), func(o anneal.Event) bool { return o.ID == e.ID }) {
			t.Fatalf("the wake %s is due again", e.ID)
		}
	}
}
