package controller_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
)

// An idleExecutor fails the test when it is asked for anything.
type idleExecutor struct {
	orchestrator.Executor // nil: whatever is called is not there
	tb                    testing.TB
}

// observers are policies that want a run of whatever wakes them and may not
// start any; and [watch].
func observers(tb testing.TB) []*policy.Policy {
	tb.Helper()
	matches := []string{
		"true", "event.subject.startsWith('a')", "event.data.n > 3", "event.data.key.matches('^[a-z]+/.*[0-9]$')",
		"event.data.list.exists(x, x == event.data.n)", "has(event.data.deep.deep.deep)", "event.data.text.size() > 1000",
		"event.data.a.b.c == event.data.key || event.time < event.seen", "!(event.data.n in event.data.list)", "string(event.data) == ''",
	}
	policies := []*policy.Policy{watch(tb)}
	for n := range 40 {
		match := &policy.Match{Type: kinds[n%len(kinds)], Match: matches[n%len(matches)]}
		if n%3 == 0 {
			match = &policy.Match{Match: matches[n%len(matches)]}
		}
		if match.Type == anneal.TypeObjectCreated {
			match.Match = "event.data.object.key.size() > 0"
		}
		trigger := policy.Trigger{ID: "any", Event: match}
		if n%2 == 1 {
			trigger.Debounce = &policy.Debounce{Quiet: policy.Duration(time.Second), MaxWait: policy.Duration(2 * time.Second), Key: "event.subject"}
		}
		p := compiled(tb, policy.Spec{
			APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: fmt.Sprintf("o-%d", n)},
			Spec: policy.Body{
				Model:    policy.Model{Group: fmt.Sprintf("g-%d", n%7)},
				Data:     policy.Data{Train: policy.Train{Last: 3}},
				Triggers: []policy.Trigger{trigger},
				Rules:    []policy.Rule{{ID: "always", If: "true"}},
				Run:      &policy.Run{StateMachine: policy.StateMachine{File: "m.asl.json"}, Input: map[string]any{"e": map[string]any{"expr": "event.data"}}},
			},
		})
		policies = append(policies, p)
	}
	return policies
}

var kinds = []string{anneal.TypeObjectCreated, "Order", "", "Scheduled Event", "\u202etxt", "CloudWatch Alarm State Change", strings.Repeat("long", 100)}

// hostile is event number n of those that a seed gives: of any source and type,
// with whatever JSON may be.
func hostile(seed uint64) func(n int) anneal.Event {
	return func(n int) anneal.Event {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		pick := func(from ...string) string { return from[r.IntN(len(from))] }
		now := time.Now().UTC()
		e := anneal.Event{
			SpecVersion: "1.0", ID: anneal.ID("event", "hostile", strconv.Itoa(n)), DataContentType: "application/json",
			Source:  pick("aws.s3", "anneal.directory", "test", "anneal.manual", "anneal.timer", "anneal.cron", "anneal.run", "\x00", "aws.cloudwatch"),
			Type:    kinds[r.IntN(len(kinds))],
			Subject: pick("", "a", "o-1", "watch", "../../etc/passwd", "a\nb", "\U0001F4A3", strconv.Itoa(n)),
			Time:    now.Add(time.Duration(r.Int64N(int64(2*time.Hour))) - time.Hour), Seen: now,
		}
		if e.Source == "anneal.manual" || e.Source == "anneal.timer" || e.Source == "anneal.run" {
			e.Type = "Order" // what wakes by hand is no business of a stranger: the door refuses it
		}
		e.Data = json.RawMessage(value(r, 0))
		if r.IntN(300) == 0 {
			e.Data = json.RawMessage(`{"text":"` + strings.Repeat("x", 1<<r.IntN(17)) + `"}`)
		}
		if r.IntN(300) == 1 {
			depth := 1 + r.IntN(500)
			e.Data = json.RawMessage(strings.Repeat(`{"deep":`, depth) + "1" + strings.Repeat("}", depth))
		}
		return e
	}
}

// value is some JSON.
func value(r *rand.Rand, depth int) string {
	names := []string{"n", "key", "list", "text", "deep", "a", "b", "policy", "trigger", "object", "bucket", "name", "", "n\\u0000", "\\ud83d\\udca3"}
	kind := r.IntN(9)
	if depth == 0 {
		kind = 8
	} else if depth > 4 {
		kind = r.IntN(6)
	}
	switch kind {
	case 0:
		return "null"
	case 1:
		return strconv.FormatInt(r.Int64()-r.Int64(), 10)
	case 2:
		return []string{"1e300", "-0.0", "123456789012345678901234567890", "0.1", "1E-400"}[r.IntN(5)]
	case 3:
		return []string{`"\u0000"`, `"\ud800"`, `"a/b-7"`, `"o-3"`, `""`, "\"\u2028\U0001F4A3\"", `"true"`}[r.IntN(7)]
	case 4:
		return "true"
	case 5:
		return strconv.Itoa(r.IntN(10))
	case 6, 7:
		items := make([]string, r.IntN(5))
		for i := range items {
			items[i] = value(r, depth+1)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	fields := make([]string, r.IntN(6))
	for i := range fields {
		fields[i] = `"` + names[r.IntN(len(names))] + `":` + value(r, depth+1)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// TestHostileEventsStartNothing has all kinds of events come to policies that
// want a run of each and only observe: no executor is asked for anything, and
// what is remembered is as much after the last third as after the first.
func TestHostileEventsStartNothing(t *testing.T) {
	events := 6_000
	if testing.Short() || raceDetector {
		events = 1_500
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const bound = 3 << 20
	if grown := takeHostile(t, seed, events, bound); grown > bound {
		t.Errorf("%d events left %d bytes in memory, five times over, want at most %d", events*2/3, grown, bound)
	}
}

// takeHostile has so many events taken in and decided, and returns by how much
// what is live has grown after the first third. What is bounded in itself, such as
// windows, tables of the index and profiles, may still fill up then: where it is more
// than bound, the last two thirds are taken again, five times at most.
func takeHostile(tb testing.TB, seed uint64, events int, bound int64) (grown int64) {
	policies := observers(tb)
	r := newRigOf(tb, policies...)
	settle := func() {
		for _, p := range policies { // each decides in the order in which its events came
			if _, err := r.Trigger(tb.Context(), p.Name(), nil, false); err != nil {
				tb.Fatal(err)
			}
		}
	}
	r.take(events/3, hostile(seed))
	settle()
	for range 5 {
		before := heap()
		r.take(events-events/3, hostile(seed))
		settle()
		if grown = heap() - before; grown <= bound {
			break
		}
	}
	wanted := false
	for record, err := range r.journal.Read(tb.Context(), 1, false) {
		if err != nil {
			tb.Fatal(err)
		}
		if record.Kind == controller.KindRun {
			tb.Fatalf("a run is recorded: %s", record.Data)
		}
		wanted = wanted || record.Kind == controller.KindDecision && bytes.Contains(record.Data, []byte(`"verdict":"would-run"`))
	}
	if !wanted {
		tb.Error("no policy wanted a run")
	}
	return grown
}

// BenchmarkHostile is [TestHostileEventsStartNothing] with as many events as
// are asked for: -benchtime 1000000x is the long one.
func BenchmarkHostile(b *testing.B) {
	grown := takeHostile(b, 1, max(b.N, 3), math.MaxInt64)
	b.ReportMetric(float64(grown)/1024, "KiB-grown")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
