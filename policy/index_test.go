package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
)

// matchForms are matches of triggers; K is a number.
var matchForms = []string{
	"",
	"event.data.object.key.startsWith('pK/')",
	"event.data.object.key.startsWith('p')",
	"event.data.object.key == 'pK/a.csv'",
	"'pK/a.csv' == event.data.object.key",
	"event.data.bucket.name == 'bK' && event.data.object.key.startsWith('pK/')",
	"event.data.object.key.startsWith('pK/') || event.data.bucket.name == 'b1'",
	"!(event.data.object.key == 'pK/a.csv')",
	"event.data.object.size > 50 && event.data.object.key.endsWith('.csv')",
	"event.subject == 'sK'",
	"event.data.object.etag == 'x'",
	"event.data['object']['key'] == 'pK/a.csv'",
	"event.data.object.key == model.group + '/a.csv'",
	"'a'.startsWith(event.subject)",
}

// The index wakes exactly those that wake when each is asked.
func TestIndexAsksTheRightOnes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var policies []*Policy
	for n := range 120 {
		var triggers []string
		for i := range 1 + r.IntN(2) {
			match := strings.ReplaceAll(matchForms[r.IntN(len(matchForms))], "K", fmt.Sprint(r.IntN(5)))
			event := fmt.Sprintf("match: %q", match)
			if match == "" || r.IntN(3) > 0 {
				event += ", type: Object Created"
			}
			if r.IntN(3) == 0 {
				event += ", source: aws.s3"
			}
			triggers = append(triggers, fmt.Sprintf("{id: t%d, event: {%s}}", i, event))
		}
		head := strings.NewReplacer("{name: p}", fmt.Sprintf("{name: p%d}", n), "{group: g}", fmt.Sprintf("{group: p%d}", n%5)).Replace(header)
		p, problems := Compile(specOf(t, head+"\n  mode: enforce\n  rules: [{id: r, if: \"true\"}]\n  run: {stateMachine: {file: x}}\n  triggers: ["+strings.Join(triggers, ", ")+"]\n"))
		if problems != nil {
			t.Fatal(problems)
		}
		policies = append(policies, p)
	}
	index := NewIndex(policies)
	woken := 0
	for range 400 {
		e := anneal.Event{
			ID: "e", Source: []string{"aws.s3", "anneal.directory"}[r.IntN(2)], Type: []string{"Object Created", "Other"}[r.IntN(2)],
			Subject: fmt.Sprintf("s%d", r.IntN(5)), Seen: time.Unix(0, 0),
			Data: json.RawMessage(fmt.Sprintf(`{"bucket":{"name":"b%d"},"object":{"key":"p%d/%c.csv","size":%d}}`, r.IntN(5), r.IntN(5), 'a'+r.IntN(2), r.IntN(100))),
		}
		switch r.IntN(12) {
		case 0:
			e.Data = json.RawMessage(`{"object": 7}`)
		case 1:
			e.Data = nil
		case 2:
			e = event("e", anneal.SourceManual, anneal.TypeTriggered, "p7", anneal.Triggered{Policy: "p7"}, time.Unix(0, 0))
		case 3:
			e.Parked = "torn"
		}
		var got, want []string
		for _, m := range index.Match(e) {
			if m.Woken {
				got = append(got, m.Policy.Name()+" "+m.Trigger)
			}
		}
		for _, p := range policies {
			if trigger, ok, _ := p.Matches(e); ok {
				want = append(want, p.Name()+" "+trigger)
			}
		}
		woken += len(want)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("event %+v:\ngot\n%s\nwant\n%s", e, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if woken == 0 {
		t.Error("nothing was woken: the test shows nothing")
	}
}

// alike are n policies that differ in names and in what their matches look for.
func alike(tb testing.TB, n int) []*Policy {
	tb.Helper()
	var k Compiler
	policies := make([]*Policy, n)
	for i := range policies {
		body := fmt.Sprintf(`
  mode: observe
  signals: {rows: {source: data, reduce: rows, since: lastTrained}, drift: {source: data, window: {objects: 3}, reference: champion}}
  triggers: [{id: new, event: {type: Object Created, match: "event.data.object.key.startsWith('team-%d/')"}, debounce: {quiet: 15m}}]
  rules:
    - {id: first, if: "!champion.exists && signals.rows.value >= 8000"}
    - {id: drifted, if: "signals.drift.share >= 0.5 && signals.rows.value >= 5000"}
    - {id: stale, if: "champion.age > days(30) && signals.rows.value > 0"}
  guards: {cooldown: {for: 24h}, concurrency: {limit: 1}}
`, i)
		head := strings.NewReplacer("{name: p}", fmt.Sprintf("{name: p%d}", i), "{group: g}", fmt.Sprintf("{group: p%d}", i)).Replace(header)
		var problems Problems
		if policies[i], problems = k.Compile(specOf(tb, head+body)); problems != nil {
			tb.Fatal(problems)
		}
	}
	return policies
}

// BenchmarkIndex asks 10,000 policies about each event, of which one wakes.
func BenchmarkIndex(b *testing.B) {
	index := NewIndex(alike(b, 10_000))
	for n := 0; b.Loop(); n++ {
		e := anneal.Event{Type: anneal.TypeObjectCreated, Data: json.RawMessage(fmt.Sprintf(`{"bucket":{"name":"b"},"object":{"key":"team-%d/a.csv","size":1}}`, n%10_000))}
		if m := index.Match(e); len(m) != 1 {
			b.Fatalf("%d policies are woken, want 1", len(m))
		}
	}
}
