package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

// TestTold is a month of one policy: what a channel hears of it.
func TestTold(t *testing.T) {
	start := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	noRule := anneal.Decision{Verdict: anneal.VerdictHold, Rules: []anneal.RuleResult{{ID: "drifted", Result: anneal.False}}}
	withGuard := func(verdict anneal.Verdict, guards ...string) anneal.Decision {
		d := anneal.Decision{Verdict: verdict, Rule: "drifted", Rules: []anneal.RuleResult{{ID: "drifted", Result: anneal.True}}}
		for _, g := range guards {
			d.Guards = append(d.Guards, anneal.GuardResult{ID: g, Veto: true})
		}
		return d
	}
	silent := anneal.Decision{
		Verdict: anneal.VerdictHold, Rules: []anneal.RuleResult{{ID: "drifted", Result: anneal.Unknown}},
		Signals: map[string]anneal.SignalValue{"drift": {Status: anneal.SignalFailed}, "rows": {Status: anneal.SignalOK}},
	}
	vetoed := noRule // a guard that vetoes what nothing wants is not the reason
	vetoed.Guards = []anneal.GuardResult{{ID: "cooldown", Veto: true}}

	var told Told
	var got []string
	id := 0
	for _, step := range []struct {
		hour int
		what anneal.Decision
	}{
		{0, noRule}, {1, noRule}, {2, vetoed}, // the same
		{3, withGuard(anneal.VerdictDefer, "cooldown")}, {4, withGuard(anneal.VerdictDefer, "cooldown", "budget")},
		{5, withGuard(anneal.VerdictHold, "concurrency")},
		{6, silent}, {7, silent}, {29, silent}, {30, silent}, {31, silent}, // again after a day
		{32, withGuard(anneal.VerdictRun)}, {33, withGuard(anneal.VerdictRun)},
		{34, noRule},
		{35, anneal.Decision{Verdict: anneal.VerdictHold, Reason: "paused by hand: holidays"}},
		{36, anneal.Decision{Verdict: anneal.VerdictHold, Reason: "paused by hand: holidays", Rules: noRule.Rules}},
		{37, anneal.Decision{Verdict: anneal.VerdictError, Reason: "division by zero"}},
	} {
		id++
		d := step.what
		d.ID, d.Policy, d.Model, d.At = fmt.Sprint("p-", id), "p", "m", start.Add(time.Duration(step.hour)*time.Hour)
		told.ApplyDecision(d)
		var notices []anneal.Notice
		if d.Verdict == anneal.VerdictRun {
			for _, topic := range told.Open(anneal.NoticeHeld, "p") {
				notices = append(notices, Resolved(topic, d.ID, d.At, "It runs."))
			}
		} else if n, news := told.News(Held("team", d), 24*time.Hour); news {
			notices = append(notices, n)
		}
		for _, n := range notices {
			told.Apply(n)
			again := ""
			if _, after, ok := strings.Cut(n.Text, "This goes on: "); ok {
				again = " again: " + after
			}
			got = append(got, fmt.Sprintf("%dh %s %s%s", step.hour, n.Kind, n.Reason, again))
			n.Attempts, n.Delivered = 1, &n.At
			told.Apply(n) // that it was delivered changes nothing
		}
	}
	want := []string{
		"0h held hold: no rule is true",
		"3h held defer: guard cooldown",
		"5h held hold: guard concurrency",
		"6h held hold: unknown rule drifted, signal drift failed",
		"30h held hold: unknown rule drifted, signal drift failed again: 3 decisions for the same reason since 2026-07-01T18:00:00Z.",
		"32h resolved held",
		"34h held hold: no rule is true",
		"35h held hold: paused by hand: holidays",
		"37h held error: division by zero",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A question is asked each time, whoever has been asked before.
func TestToldApproval(t *testing.T) {
	var told Told
	for i := range 3 {
		d := anneal.Decision{ID: fmt.Sprint("p-", i), Policy: "p", Verdict: anneal.VerdictAwaitApproval, At: at}
		n, news := told.News(Held("team", d), time.Hour)
		if !news {
			t.Errorf("question %d is not told", i)
		}
		told.Apply(n)
	}
}

// Resolved names what is over; another channel's topic is its own.
func TestResolved(t *testing.T) {
	var told Told
	for _, channel := range []string{"team", "ops"} {
		told.Apply(Failed(channel, withRun(func(r *anneal.Run) { r.Status = anneal.StatusFailed })))
	}
	topics := told.Open(anneal.NoticeFailed, "electricity")
	if len(topics) != 2 || topics[0].Channel != "ops" || topics[1].Channel != "team" {
		t.Fatalf("got %+v; want ops and team", topics)
	}
	n := Resolved(topics[1], "run-2", at, "Run run-2 has succeeded.")
	if n.Subject != "demand: runs succeed again" || !strings.Contains(n.Text, "demand: a run failed") {
		t.Errorf("got %q, %q", n.Subject, n.Text)
	}
	told.Apply(n)
	if left := told.Open(anneal.NoticeFailed, "electricity"); len(left) != 1 || left[0].Channel != "ops" {
		t.Errorf("left %+v; want ops", left)
	}
}

func TestTogether(t *testing.T) {
	first := Parked("team", anneal.Event{ID: "0", Source: "x", Parked: strings.Repeat("ü", 200)})
	if got := Together(first, nil); got != first {
		t.Errorf("one alone became %+v", got)
	}
	var others []anneal.Notice
	for i := range 50 {
		others = append(others, Parked("team", anneal.Event{ID: fmt.Sprint(i + 1), Source: "x", Parked: fmt.Sprintf("reason %d", i+1)}))
	}
	got := Together(first, others)
	if got.ID != first.ID || !strings.HasSuffix(got.Subject, "(and 50 more)") || len([]rune(got.Subject)) > 100 {
		t.Errorf("got %s %q", got.ID, got.Subject)
	}
	if !strings.Contains(got.Text, "reason 19") || strings.Contains(got.Text, "reason 20") || !strings.HasSuffix(got.Text, "… and 31 more") {
		t.Errorf("got text\n%s", got.Text)
	}
}

func TestWait(t *testing.T) {
	for attempts := 1; attempts < 20; attempts++ {
		base := Backoff(attempts)
		different := map[time.Duration]bool{}
		for i := range 20 {
			wait := Wait(fmt.Sprint("notice-", i), attempts, nil)
			if wait < base*3/4 || wait > base*5/4 {
				t.Errorf("after %d tries: %s; want %s give or take a quarter", attempts, wait, base)
			}
			different[wait] = true
		}
		if len(different) < 15 {
			t.Errorf("after %d tries: only %d different waits of 20", attempts, len(different))
		}
	}
	for asked, want := range map[time.Duration]time.Duration{30 * time.Second: 30 * time.Second, 48 * time.Hour: longestWait} {
		if got := Wait("n", 1, fmt.Errorf("post: %w", &Refusal{After: asked, Err: fmt.Errorf("busy")})); got != want {
			t.Errorf("asked for %s: waits %s; want %s", asked, got, want)
		}
	}
}
