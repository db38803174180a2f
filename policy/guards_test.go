package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

func TestCron(t *testing.T) {
	for _, test := range []struct{ cron, want string }{
		{"30 2 * * *", "2000-01-01T02:30:00Z"},
		{"  */15  9-17 * JAN,feb mon-FRI ", "2000-01-03T09:00:00Z"},
		{"0 0 29 2 *", "2000-02-29T00:00:00Z"},
		{"0 0 13 * 5", "2000-01-07T00:00:00Z"}, // either day
		{"", "a cron is missing: five fields, minute, hour, day of month, month, day of week"},
		{"@daily", `"@daily" is no cron: write five fields, such as "0 * * * *" for @hourly or "0 0 * * *" for @daily`},
		{"TZ=UTC 0 0 * * *", `"TZ=UTC 0 0 * * *" is no cron: the zone is the policy's timeZone`},
		{"TZ=", `"TZ=" is no cron: the zone is the policy's timeZone`},
		{"0 30 2 * * *", `"0 30 2 * * *" is no cron: five fields are needed, minute, hour, day of month, month, day of week, this has 6`},
		{"60 * * * *", `"60" is no minute: end of range (60) above maximum (59): 60`},
		{"0 0 * * 7", `"7" is no day of week: end of range (7) above maximum (6): 7 (Sunday is 0)`},
		{"0 0 L * *", `"L" is no day of month: failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax`},
		{"0 0 * * 1#2", `"1#2" is no day of week: a number, a name, a range 1-5 or * is needed, with a step such as /2 or without`},
		{"*-5 0 * * *", `"*-5" is no minute: a number, a name, a range 1-5 or * is needed, with a step such as /2 or without`},
		{"*/0 * * * *", `"*/0" is no minute: step of range should be a positive number: */0`},
		{"0 0 30 2 *", `"0 0 30 2 *" never comes: there is no such day`},
	} {
		schedule, err := parseCron(test.cron)
		got := fmt.Sprint(err)
		if err == nil {
			got = schedule.Next(beginning.Add(-1)).Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%q: got %s, want %s", test.cron, got, test.want)
		}
	}
}

// The end of a blackout is the first minute that no start covers, minute by
// minute from a start in the clock's own time.
func TestBlackoutMinutes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"}
	for range 30 {
		location, err := time.LoadLocation(zones[random.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		z := zone{location}
		spec := fmt.Sprintf("%d %d,%d */%d * *", random.IntN(60), random.IntN(4), random.IntN(24), 1+random.IntN(3))
		starts, err := parseCron(spec)
		if err != nil {
			t.Fatal(err)
		}
		b := blackout{starts: starts, length: time.Duration(1+random.IntN(700)) * time.Minute}
		// Around the changes of the clocks, where they happen.
		months := []time.Time{time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC),
			time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
		from := months[random.IntN(len(months))]
		const minutes = 3 * 24 * 60
		covered := make([]bool, minutes)
		for m := -2 * 24 * 60; m < minutes; m++ {
			at := from.Add(time.Duration(m) * time.Minute)
			local := z.local(at)
			if !starts.Next(local.Add(-1)).Equal(local) {
				continue
			}
			for n := max(m, 0); n < min(minutes, m+int(b.length/time.Minute)); n++ {
				covered[n] = true
			}
		}
		for m := 0; m < minutes; m += 1 + m%3 {
			at := from.Add(time.Duration(m) * time.Minute)
			end, found := b.end(z, at)
			if in := end.After(at); covered[m] && !in || !found {
				t.Fatalf("%s for %s in %s: %s is covered, but not found", spec, b.length, location, at)
			} else if in && end.Before(from.Add(minutes*time.Minute)) && covered[int(end.Sub(from)/time.Minute)] {
				t.Fatalf("%s for %s in %s: at %s the end is %s, which is covered", spec, b.length, location, at, end)
			}
		}
	}
}

func FuzzCron(f *testing.F) {
	for _, text := range []string{"30 2 * * *", "*/5 9-17 1,15 * MON", "0 0 29 2 *", "TZ= * * * *", "1-2-3 * * * *", "*/99999999999999 * * * *", "? ? ? ? ?"} {
		f.Add(text, int64(1_700_000_000), uint16(90))
	}
	f.Fuzz(func(t *testing.T, text string, at int64, minutes uint16) {
		starts, err := parseCron(text)
		if err != nil {
			return
		}
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(at%4_000_000_000, 0).UTC()
		b := blackout{starts: starts, length: time.Duration(minutes) * time.Minute}
		end, found := b.end(zone{berlin}, now)
		if end.Before(now) {
			t.Fatalf("%q for %s at %s ends at %s", text, b.length, now, end)
		}
		if again, _ := b.end(zone{berlin}, end); found && again.After(end.Add(clockChange)) {
			t.Errorf("%q for %s at %s ends at %s, and then at %s", text, b.length, now, end, again)
		}
	})
}

func TestBackoffDelay(t *testing.T) {
	b := Backoff{Initial: Duration(time.Hour), Factor: 2, Max: Duration(day)}
	for n, want := range map[int]time.Duration{1: time.Hour, 2: 2 * time.Hour, 4: 8 * time.Hour, 5: 16 * time.Hour, 6: day, 1_000_000: day} {
		if got := b.delay(n); got != want {
			t.Errorf("after %d failures: got %s, want %s", n, got, want)
		}
	}
	if got := (Backoff{Initial: Duration(time.Hour), Factor: 1, Max: Duration(day)}).delay(1 << 40); got != time.Hour {
		t.Errorf("a factor of 1: got %s, want 1h", got)
	}
}

// A run that is told of again has not ended again.
func TestToldTwice(t *testing.T) {
	state, now := &State{}, time.Unix(0, 0).UTC()
	for range 2 {
		state.ApplyRun(anneal.Run{ID: "a", Model: "g", Status: anneal.StatusRunning, Started: now})
	}
	for range 2 {
		state.ApplyRun(anneal.Run{ID: "a", Model: "g", Status: anneal.StatusFailed, Ended: &now})
	}
	if ends := state.Ended["g"]; ends.Streak != 1 || len(ends.Failed) != 1 || len(ends.Decided) != 1 {
		t.Errorf("one run that failed: %+v", ends)
	}
}

// When what was gathered is complete. Minutes after the first event.
func TestDebounceDue(t *testing.T) {
	opened := time.Unix(0, 0).UTC()
	minutes := func(n int) Duration { return Duration(time.Duration(n) * time.Minute) }
	for _, test := range []struct {
		name   string
		d      Debounce
		last   int // minutes
		counts [2]int64
		want   int
	}{
		{"quiet", Debounce{Quiet: minutes(15), MaxWait: minutes(120)}, 10, [2]int64{1, 0}, 25},
		{"never quiet", Debounce{Quiet: minutes(15), MaxWait: minutes(120)}, 119, [2]int64{50, 0}, 120},
		{"quiet, too few rows", Debounce{Quiet: minutes(15), MaxWait: minutes(120), MinRows: 10}, 10, [2]int64{1, 9}, 120},
		{"quiet, rows", Debounce{Quiet: minutes(15), MaxWait: minutes(120), MinRows: 10}, 10, [2]int64{1, 10}, 25},
		{"rows alone", Debounce{MaxWait: minutes(120), MinRows: 10}, 10, [2]int64{1, 10}, 10},
		{"objects, too few rows", Debounce{MaxWait: minutes(120), MinRows: 10, MinObjects: 2}, 10, [2]int64{2, 9}, 120},
		{"both", Debounce{MaxWait: minutes(120), MinRows: 10, MinObjects: 2}, 10, [2]int64{2, 10}, 10},
		{"default", Debounce{Quiet: minutes(15)}.withDefaults(), 10, [2]int64{1, 0}, 25},
		{"default, never quiet", Debounce{Quiet: minutes(15)}.withDefaults(), 1430, [2]int64{1, 0}, 1440},
	} {
		g := Gathered{Opened: opened, Last: opened.Add(time.Duration(minutes(test.last))), Objects: int(test.counts[0]), Rows: test.counts[1]}
		if got := test.d.Due(g).Sub(opened); got != time.Duration(minutes(test.want)) {
			t.Errorf("%s: due after %s, want %dm", test.name, got, test.want)
		}
	}
}

// Too many keys do not make the state grow: the oldest windows are due.
func TestDebounceKeys(t *testing.T) {
	p := compile(t, `
  triggers: [{id: files, event: {source: x}, debounce: {quiet: 1h, key: event.id}}]
  rules: [{id: r, if: "true"}]
`)
	state, now, policies := &State{}, time.Unix(0, 0).UTC(), map[string]*Policy{"p": p}
	for i := range maxKeys + 10 {
		e := anneal.Event{ID: fmt.Sprint("e", i), Source: "x", Seen: now}
		g, ok, err := p.Gather("files", e, nil)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		state.ApplyGathering(g)
	}
	due := state.Due(policies, now)
	if at, ok := state.Next(policies); len(due) != 10 || !ok || at.After(now) {
		t.Fatalf("%d windows are due, the next at %s, %t: want 10, now", len(due), at, ok)
	}
	for _, e := range due {
		state.ApplyEvent(e)
		trigger, ok, err := p.Matches(e)
		if !ok || err != nil || trigger != "files" {
			t.Fatalf("the end of a window wakes %q, %t, %v", trigger, ok, err)
		}
		if _, gathered, _ := p.Gather(trigger, e, nil); gathered {
			t.Fatal("the end of a window is gathered itself")
		}
		state.ApplyDecision(Decide(p, state, Cause{Event: e, Trigger: trigger}))
	}
	if got := len(state.Policies["p"].Gathered); got != maxKeys || len(state.Due(policies, now)) != 0 {
		t.Errorf("%d windows are left, want %d", got, maxKeys)
	}
	bad, ok, err := p.Gather("files", anneal.Event{ID: "e"}, nil)
	if !ok || err != nil || bad.Key != "e" {
		t.Errorf("got %+v %t %v", bad, ok, err)
	}
	broken := compile(t, `
  triggers: [{id: files, event: {source: x}, debounce: {quiet: 1h, key: event.data.x}}]
  rules: [{id: r, if: "true"}]
`)
	g, ok, err := broken.Gather("files", anneal.Event{ID: "e", Data: json.RawMessage(`{"x":3}`)}, nil)
	want := "debounce key of trigger files of policy p: event.data.x: gives 3, not a string"
	if !ok || g.Key != "" || err == nil || err.Error() != want {
		t.Errorf("a key that is a number: got %+v %t %v, want %s", g, ok, err, want)
	}
}

// A debounce that a reload has changed: what was gathered is kept, and is due
// by the new one; at once, where nothing is gathered any more.
func TestDebounceReload(t *testing.T) {
	body := "\n  triggers: [{id: files, event: {source: x}%s}]\n  rules: [{id: r, if: \"true\"}]\n"
	state, now := &State{}, time.Unix(0, 0).UTC()
	old := compile(t, fmt.Sprintf(body, ", debounce: {quiet: 1h}"))
	g, _, _ := old.Gather("files", anneal.Event{ID: "e", Source: "x", Seen: now}, nil)
	state.ApplyGathering(g)
	for _, test := range []struct {
		debounce string
		want     time.Duration
	}{{", debounce: {quiet: 1h}", time.Hour}, {", debounce: {quiet: 2h}", 2 * time.Hour}, {"", 0}} {
		p := compile(t, fmt.Sprintf(body, test.debounce))
		state.ApplyPolicy(p.Spec)
		if at, ok := state.Next(map[string]*Policy{"p": p}); !ok || at.Sub(now) != test.want {
			t.Errorf("debounce %q: due after %s, want %s", test.debounce, at.Sub(now), test.want)
		}
	}
}

// An overlap that a reload has changed: what waits is not lost, except by skip,
// which keeps nothing.
func TestOverlapReload(t *testing.T) {
	body := "\n  mode: enforce\n  rules: [{id: r, if: \"true\"}]\n  guards: {concurrency: {overlap: %s}}\n  run: {stateMachine: {file: x}}\n"
	for _, test := range []struct {
		to   string
		want []string
	}{
		{BufferAll, []string{"e1", "e2", "e3"}}, {BufferOne, []string{"e3"}}, {CancelOther, []string{"e3"}},
		{Skip, nil}, {AllowAll, []string{"e3"}},
	} {
		state := &State{}
		p := compile(t, fmt.Sprintf(body, BufferAll))
		state.ApplyPolicy(p.Spec)
		for i := range 4 {
			state.ApplyDecision(Decide(p, state, Cause{Event: anneal.Event{ID: fmt.Sprint("e", i)}}))
		}
		state.ApplyPolicy(compile(t, fmt.Sprintf(body, test.to)).Spec)
		var got []string
		for _, w := range state.Policies["p"].waiting() {
			got = append(got, w.Event)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("to %s (-want +got):\n%s", test.to, diff)
		}
	}
}

// A policy that was away when its wake came is not waited for longer than an
// hour after.
func TestPassedOver(t *testing.T) {
	p := compile(t, `
  mode: enforce
  triggers: [{id: files, event: {source: x}, debounce: {quiet: 1m}}]
  rules: [{id: r, if: "true"}]
  guards: {cooldown: {for: 1m}}
  run: {stateMachine: {file: x}}
`)
	policies := map[string]*Policy{"p": p}
	for _, test := range []struct {
		later time.Duration
		left  int
	}{{time.Second, 2}, {2 * passedOver, 0}} {
		state, now := &State{}, time.Unix(0, 0).UTC()
		state.ApplyRun(anneal.Run{ID: "r", Model: "g", Status: anneal.StatusRunning})
		state.ApplyRun(anneal.Run{ID: "r", Model: "g", Status: anneal.StatusSucceeded, Ended: &now})
		g, _, _ := p.Gather("files", anneal.Event{ID: "e1", Source: "x", Seen: now}, nil)
		state.ApplyGathering(g)
		state.ApplyDecision(Decide(p, state, Cause{Event: anneal.Event{ID: "e2", Seen: now}}))
		now = now.Add(time.Minute)
		for _, e := range state.Due(policies, now) {
			state.ApplyEvent(e)
		}
		state.ApplyDecision(Decide(p, state, Cause{Event: anneal.Event{ID: "e3", Seen: now.Add(test.later)}}))
		m := state.Policies["p"]
		if left := len(m.waiting()) + len(m.Gathered); left != test.left {
			t.Errorf("decided %s after the wakes: %d wait still, want %d", test.later, left, test.left)
		}
	}
}

// buffer-all is bounded: from the hundredth on the newest takes the last place.
func TestBufferAllBound(t *testing.T) {
	p := compile(t, "\n  mode: enforce\n  rules: [{id: r, if: \"true\"}]\n  guards: {concurrency: {overlap: buffer-all}}\n  run: {stateMachine: {file: x}}\n")
	state := &State{}
	state.ApplyPolicy(p.Spec)
	var d anneal.Decision
	for i := range 2 * maxBuffer {
		d = Decide(p, state, Cause{Event: anneal.Event{ID: fmt.Sprint("e", i)}})
		state.ApplyDecision(d)
	}
	list := state.Policies["p"].waiting()
	if len(list) != maxBuffer || list[0].Event != "e1" || list[maxBuffer-1].Event != fmt.Sprint("e", 2*maxBuffer-1) {
		t.Errorf("%d wait, from %s to %s", len(list), list[0].Event, list[len(list)-1].Event)
	}
	if want := "the last of which it takes the place of"; !strings.Contains(d.Reason, want) {
		t.Errorf("reason %q does not say %q", d.Reason, want)
	}
}

// Storms on policies with every guard, every overlap, pauses, reloads and
// debounces. What the guards say is checked against what has really happened:
// no guard is passed, by force neither; nothing that waits is woken twice, or
// is left when all is over.
func TestGuardStorm(t *testing.T) {
	overlaps := []string{Skip, BufferOne, BufferAll, CancelOther, TerminateOther, AllowAll}
	policies := map[string]*Policy{}
	for i, overlap := range overlaps {
		limit := fmt.Sprintf(", limit: %d", 1+i%2)
		if overlap == AllowAll {
			limit = ""
		}
		body := fmt.Sprintf(`
  mode: enforce
  timeZone: America/New_York
  triggers:
    - {id: now, event: {source: x}}
    - {id: gathered, event: {source: y}, debounce: {quiet: 2m, maxWait: 6m, minObjects: 2, key: event.subject}}
  signals: {a: {source: data, reduce: rows}}
  rules: [{id: r, if: 'signals.a.value > 0.4'}]
  guards:
    breaker: {failed: 3, notPromoted: 3, within: 1h}
    blackout: [{cron: "*/20 * * * *", for: 3m}]
    backoff: {initial: 1m, factor: 3, max: 10m}
    cooldown: {for: 1m, after: success}
    concurrency: {overlap: %s%s}
    budget: {runs: 6, per: 30m}
  run: {stateMachine: {file: x}, model: {state: T, artifact: {expr: state.output.a}}}
`, overlap, limit)
		spec := specOf(t, strings.NewReplacer("{name: p}", "{name: "+overlap+"}", "{group: g}", "{group: "+overlap+"}").Replace(header)+body)
		p, problems := Compile(spec)
		if problems != nil {
			t.Fatal(problems)
		}
		policies[overlap] = p
	}
	seeds := uint64(14)
	if testing.Short() {
		seeds = 4
	}
	total := map[string]int{}
	for seed := range seeds {
		s := &storm{t: t, policies: policies, state: &State{}, random: rand.New(rand.NewPCG(seed, 3)), now: time.Unix(1_000_020, 0).UTC(),
			open: map[string]anneal.Run{}, woken: map[string]bool{}, histories: map[string]*history{}, total: total}
		for _, name := range overlaps {
			s.state.ApplyPolicy(policies[name].Spec)
			s.histories[name] = &history{}
		}
		for range 150 {
			s.step(false)
		}
		for _, name := range overlaps {
			s.byHand(name, anneal.TypeResumed)
		}
		for range 400 {
			s.step(true)
		}
		for range 6 { // what a breaker still holds, as often as it trips anew
			for _, name := range overlaps {
				s.byHand(name, anneal.TypeResumed)
			}
			for range 200 {
				s.step(true)
			}
		}
		if s.gathered != 0 {
			t.Errorf("seed %d: of what was gathered %d are left over", seed, s.gathered)
		}
		for name, m := range s.state.Policies {
			if m.Wake != nil || len(m.Queue) > 0 || len(m.Gathered) > 0 {
				raw, _ := json.Marshal(m)
				t.Errorf("seed %d: %s still waits: %s", seed, name, raw)
			}
		}
	}
	for _, name := range append(overlaps, "gathered", "stops", "paused", "in vain", guardBreaker, guardBlackout, guardBackoff, guardCooldown, guardConcurrency, guardBudget) {
		if total[name] == 0 {
			t.Errorf("%s never came up: the storm proves nothing about it", name)
		}
	}
}

type storm struct {
	t         *testing.T
	policies  map[string]*Policy
	state     *State
	random    *rand.Rand
	now       time.Time
	n         int
	open      map[string]anneal.Run
	stopped   []string
	woken     map[string]bool // events of wakes that have come
	histories map[string]*history
	gathered  int // and not yet told of
	total     map[string]int
}

// history is what has happened to a policy, told apart from its State.
type history struct {
	decided, failed, vain []time.Time
	succeeded, lastFailed time.Time
	streak                int
	resumed               time.Time
	paused                bool
	live                  []string // open and not stopped
}

func (s *storm) step(quiet bool) {
	s.now = s.now.Add(time.Duration(s.random.IntN(50)) * time.Second)
	names := sortedKeys(s.policies)
	if !quiet {
		for range s.random.IntN(5) { // several at one instant
			name := names[s.random.IntN(len(names))]
			s.n++
			e := anneal.Event{ID: fmt.Sprint("e", s.n), Source: "x", Subject: fmt.Sprint("k", s.random.IntN(3)), Seen: s.now}
			switch s.random.IntN(12) {
			case 0:
				s.byHand(name, anneal.TypePaused)
			case 1, 2:
				s.byHand(name, anneal.TypeResumed)
			case 3, 4, 5:
				e.Source = "y"
				s.gather(name, e)
			default:
				s.decide(name, e, "now", s.random.IntN(4) == 0)
			}
		}
	}
	for _, id := range sortedKeys(s.open) {
		if s.random.IntN(3) == 0 {
			run := s.open[id]
			run.Status, run.Started = anneal.StatusRunning, s.now
			s.state.ApplyRun(run)
		}
		if stopped := slices.Contains(s.stopped, id); stopped && s.random.IntN(2) == 0 {
			s.end(id, anneal.StatusAborted)
		} else if quiet || s.random.IntN(6) == 0 {
			s.end(id, []anneal.Status{anneal.StatusSucceeded, anneal.StatusFailed, anneal.StatusTimedOut}[s.random.IntN(3)])
		}
	}
	for due := s.due(); len(due) > 0; due = s.due() {
		for _, e := range due { // first all are in the journal, then they are decided
			if s.woken[e.ID] {
				s.t.Fatalf("%s %s wakes %s twice", e.ID, e.Type, e.Subject)
			}
			if s.histories[e.Subject].paused {
				s.t.Fatalf("%s wakes %s, which is paused", e.Type, e.Subject)
			}
			s.woken[e.ID] = true
			s.state.ApplyEvent(e)
		}
		vain := map[string]bool{} // what comes while its policy is not loaded
		for _, e := range due {   // what comes now is not of the window that is on its way
			vain[e.ID] = !quiet && s.random.IntN(6) == 0
			var ended anneal.DebounceEnded
			if vain[e.ID] || e.Type != anneal.TypeDebounceEnded || json.Unmarshal(e.Data, &ended) != nil {
				continue
			}
			s.gathered -= ended.Events
			if !quiet {
				s.n++
				s.gather(e.Subject, anneal.Event{ID: fmt.Sprint("e", s.n), Source: "y", Subject: ended.Key, Seen: s.now})
			}
		}
		if again := s.due(); len(again) > 0 {
			s.t.Fatalf("%s of %s is due while what was due is on its way", again[0].Type, again[0].Subject)
		}
		for _, e := range due {
			if vain[e.ID] {
				s.total["in vain"]++
				s.state.ApplyDecision(anneal.Decision{ID: anneal.DecisionID(e.Subject, e.ID), Policy: e.Subject, Cause: e.ID, At: e.Seen, Verdict: anneal.VerdictSuppressed})
				continue
			}
			trigger, ok, err := s.policies[e.Subject].Matches(e)
			if !ok || err != nil {
				s.t.Fatalf("%s wakes nothing: %v", e.Type, err)
			}
			s.decide(e.Subject, e, trigger, false)
		}
	}
	if at, ok := s.state.Next(s.policies); ok && !at.After(s.now) {
		s.t.Fatalf("the next wake is at %s, which is over at %s, and it is not due", at, s.now)
	}
	if s.random.IntN(8) > 0 {
		return
	}
	raw, err := json.Marshal(s.state) // a restart
	if err != nil {
		s.t.Fatal(err)
	}
	s.state = &State{}
	if err := json.Unmarshal(raw, s.state); err != nil {
		s.t.Fatal(err)
	}
	if again, _ := json.Marshal(s.state); string(again) != string(raw) {
		s.t.Fatalf("snapshot\n%s\nread back\n%s", raw, again)
	}
}

// due is what is due now, which a state without an agenda says as well.
func (s *storm) due() []anneal.Event {
	s.t.Helper()
	got := s.state.Due(s.policies, s.now)
	afresh := *s.state
	afresh.agenda = nil
	if want := afresh.Due(s.policies, s.now); !reflect.DeepEqual(got, want) {
		s.t.Fatalf("due is\n%v\nand without an agenda\n%v", got, want)
	}
	at, ok := s.state.Next(s.policies)
	if want, wants := afresh.Next(s.policies); !at.Equal(want) || ok != wants {
		s.t.Fatalf("next is %s %t and without an agenda %s %t", at, ok, want, wants)
	}
	return got
}

func (s *storm) gather(name string, e anneal.Event) {
	g, ok, err := s.policies[name].Gather("gathered", e, &anneal.Object{Rows: 10})
	if !ok || err != nil {
		s.t.Fatal(ok, err)
	}
	s.state.ApplyGathering(g)
	s.gathered++
	s.total["gathered"]++
}

func (s *storm) byHand(name, kind string) {
	s.n++
	raw, _ := json.Marshal(anneal.Paused{Policy: name})
	e := anneal.Event{ID: fmt.Sprint("e", s.n), Source: anneal.SourceManual, Type: kind, Data: raw, Seen: s.now}
	trigger, _, _ := s.policies[name].Matches(e)
	d := Decide(s.policies[name], s.state, Cause{Event: e, Trigger: trigger})
	if d.Verdict != anneal.VerdictHold {
		s.t.Fatalf("%s: %s", kind, d.Verdict)
	}
	s.state.ApplyDecision(d)
	h := s.histories[name]
	if h.paused = kind == anneal.TypePaused; !h.paused {
		h.resumed = s.now
	}
}

func (s *storm) end(id string, status anneal.Status) {
	run := s.open[id]
	delete(s.open, id)
	run.Status, run.Ended = status, &s.now
	s.state.ApplyRun(run)
	s.state.ApplyRun(run) // told twice
	h := s.histories[run.Policy]
	h.live = slices.DeleteFunc(h.live, func(o string) bool { return o == id })
	switch status {
	case anneal.StatusSucceeded:
		h.streak, h.succeeded = 0, s.now
		if s.random.IntN(3) > 0 {
			s.state.ApplyModel(anneal.Model{Group: run.Model, Run: id, Stage: anneal.StageLive})
		} else {
			h.vain = append(h.vain, s.now)
		}
	case anneal.StatusFailed, anneal.StatusTimedOut:
		h.streak++
		h.lastFailed = s.now
		h.failed = append(h.failed, s.now)
	}
}

func (s *storm) decide(name string, e anneal.Event, trigger string, force bool) {
	p, h := s.policies[name], s.histories[name]
	a := s.random.Float64()
	c := Cause{Event: e, Trigger: trigger, Force: force, Signals: map[string]anneal.Signal{"a": {Status: anneal.SignalOK, Value: &a}}}
	d := Decide(p, s.state, c)
	one, err := json.Marshal(d)
	if err != nil {
		s.t.Fatal(err)
	}
	if two, _ := json.Marshal(Decide(p, s.state, c)); string(one) != string(two) {
		s.t.Fatalf("decided twice:\n%s\n%s", one, two)
	}
	Explain(d, p, s.now)
	veto := firstVeto(d.Guards)
	s.total[veto]++
	runs := d.Verdict == anneal.VerdictRun
	fail := func(format string, args ...any) {
		s.t.Helper()
		s.t.Fatalf("%s at %s: %s\n%s", name, s.now, fmt.Sprintf(format, args...), one)
	}
	if h.paused {
		s.total["paused"]++
	}
	switch {
	case runs && veto != "":
		fail("runs past %s", veto)
	case runs && h.paused:
		fail("runs while it is paused")
	case d.Force && veto == "" && !runs && !h.paused:
		fail("is forced and unguarded, but does not run")
	case d.Verdict == anneal.VerdictDefer && !d.Until.After(s.now):
		fail("is deferred to a time that is over")
	case len(d.Stops) > 0 && !runs && slices.ContainsFunc(d.Guards, func(g anneal.GuardResult) bool { return g.Veto && g.ID != guardConcurrency }):
		fail("stops a run for one that may not start")
	case d.Verdict != anneal.VerdictDefer && d.Until != nil, len(d.Stops) > 0 && name != CancelOther && name != TerminateOther:
		fail("this makes no sense")
	}
	s.state.ApplyDecision(d)
	for _, id := range d.Stops {
		if slices.Contains(s.stopped, id) || !slices.Contains(h.live, id) {
			fail("stops %s again", id)
		}
		s.total["stops"]++
		s.stopped = append(s.stopped, id)
		h.live = slices.DeleteFunc(h.live, func(o string) bool { return o == id })
	}
	if !runs {
		return
	}
	s.total[name]++
	h.live = append(h.live, d.ID)
	h.decided = append(h.decided, s.now)
	within := func(list []time.Time, length time.Duration) (n int) {
		for _, at := range list {
			if s.now.Sub(at) < length {
				n++
			}
		}
		return n
	}
	sinceResumed := func(list []time.Time) []time.Time {
		return slices.DeleteFunc(slices.Clone(list), func(at time.Time) bool { return !at.After(h.resumed) })
	}
	open := 0
	for _, run := range s.open {
		if run.Model == name {
			open++
		}
	}
	switch limit := p.Spec.Spec.Guards.Concurrency.Limit; {
	case s.now.Minute()%20 < 3:
		fail("runs in a blackout")
	case within(h.decided, 30*time.Minute) > 6:
		fail("runs past its budget")
	case within(sinceResumed(h.failed), time.Hour) >= 3, within(sinceResumed(h.vain), time.Hour) >= 3:
		fail("runs past its breaker")
	case !h.succeeded.IsZero() && s.now.Sub(h.succeeded) < time.Minute:
		fail("runs in its cooldown")
	case h.streak > 0 && s.now.Sub(h.lastFailed) < min(10, []time.Duration{1, 3, 9, 10}[min(h.streak-1, 3)])*time.Minute:
		fail("runs in its backoff")
	case name != AllowAll && name != TerminateOther && open >= limit, name == TerminateOther && len(h.live) > limit:
		fail("%d runs are open, %d of them not stopped, limit %d", open, len(h.live), limit)
	}
	run, err := NewRun(p, d)
	if err != nil {
		s.t.Fatal(err)
	}
	s.state.ApplyRun(run)
	s.open[run.ID] = run
}

// A run that goes on after it had ended is open again, costs no budget once
// more, and counts by what it comes to.
func TestRedriven(t *testing.T) {
	var s State
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	end, again := start.Add(time.Hour), start.Add(5*time.Hour)
	run := anneal.Run{ID: "r", Policy: "p", Model: "g", ConcurrencyKey: "k", Status: anneal.StatusRunning, Started: start}
	s.ApplyRun(run)
	run.Status, run.Ended = anneal.StatusFailed, &end
	s.ApplyRun(run)
	p := &Policy{Spec: Spec{Spec: Body{Guards: Guards{Concurrency: &Concurrency{Limit: 1}}}}}
	other := anneal.Run{ID: "o", Policy: "p", Model: "g", ConcurrencyKey: "k"}
	if open := p.InTheWay(&s, other); len(open) != 0 {
		t.Errorf("after its end %v are open", open)
	}
	run.Status, run.Ended, run.Redrives = anneal.StatusRunning, nil, 1
	s.ApplyRun(run)
	if open := p.InTheWay(&s, other); !slices.Equal(open, []string{"r"}) {
		t.Errorf("redriven, %v are open, want it", open)
	}
	run.Status, run.Ended = anneal.StatusSucceeded, &again
	s.ApplyRun(run)
	ends := s.Ended["g"]
	if ends.Success == nil || !ends.Success.At.Equal(again) || ends.Streak != 0 || len(ends.Decided) != 1 || len(s.Open) != 0 {
		t.Errorf("ends %+v, open %v: want one success, decided once", ends, s.Open)
	}
}
