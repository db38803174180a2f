package notify

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

var update = flag.Bool("update", false, "rewrite testdata")

var (
	at    = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	ended = at.Add(3*time.Minute + 4567*time.Millisecond)
	run   = anneal.Run{
		ID: "electricity-0h3k", Policy: "electricity", Model: "demand", Status: anneal.StatusRunning, Started: at,
		Training: anneal.Training{Rows: 18000, Objects: make([]anneal.Object, 6)},
	}
	first  = anneal.Model{Group: "demand", Version: 1, Run: "electricity-0h3k", StageAt: at, Reason: "it is the first", Metrics: map[string]float64{"accuracy": 0.71234, "rows": 18000}}
	second = anneal.Model{Group: "demand", Version: 2, Run: "electricity-7x2m", StageAt: at, Metrics: map[string]float64{"accuracy": 0.75, "auc": 0.8}, Objects: []anneal.Object{{Rows: 1}}}
)

func withRun(change func(r *anneal.Run)) anneal.Run {
	r := run
	change(&r)
	return r
}

// What people read is in testdata/notices.txt.
func TestNotices(t *testing.T) {
	until := at.Add(5 * time.Hour)
	var got strings.Builder
	for _, n := range []anneal.Notice{
		Decided("team", anneal.Decision{ID: "electricity-9p", Policy: "electricity", Model: "demand", At: at, Verdict: anneal.VerdictRun, Reason: "rule drifted"}),
		Started("team", run),
		Succeeded("team", withRun(func(r *anneal.Run) { r.Status, r.Ended = anneal.StatusSucceeded, &ended })),
		Failed("team", withRun(func(r *anneal.Run) {
			r.Status, r.Ended, r.Error, r.Cause = anneal.StatusFailed, &ended, "States.Runtime", "no $.TrainingResult in the state's data"
		})),
		Failed("team", withRun(func(r *anneal.Run) { r.Status, r.Ended = anneal.StatusTimedOut, &ended })),
		Failed("team", withRun(func(r *anneal.Run) { r.Status = anneal.StatusAborted })),
		Promoted("team", "electricity", first, nil),
		Promoted("team", "electricity", second, &first),
		Promoted("team", "electricity", anneal.Model{Group: "demand", Version: 3, StageAt: at}, &second),
		Promoted("team", "electricity", anneal.Model{
			Group: "demand", Version: 4, StageAt: at, Run: "electricity-7x2n", ImportanceProblem: `spec.run.model.importance: column "price" has -2: want a number from 0 on`,
		}, &second),
		Held("team", anneal.Decision{
			ID: "electricity-9q", Policy: "electricity", Model: "demand", At: at, Verdict: anneal.VerdictDefer, Until: &until,
			Reason: "cooldown: 5h left",
			Rules:  []anneal.RuleResult{{ID: "first", Result: anneal.False}, {ID: "drifted", Result: anneal.True, For: "2 of 2 windows"}},
			Guards: []anneal.GuardResult{{ID: "cooldown", Veto: true, Detail: "5h left of 24h"}, {ID: "concurrency"}},
		}),
		Held("team", anneal.Decision{ID: "electricity-9r", Policy: "electricity", Model: "demand", At: at, Verdict: anneal.VerdictHold, Reason: "no rule is true"}),
		Held("team", anneal.Decision{ID: "electricity-9s", Policy: "electricity", Model: "demand", At: at, Verdict: anneal.VerdictAwaitApproval, Reason: "it would cost 120 USD"}),
		Held("team", anneal.Decision{ID: "electricity-9t", Policy: "electricity", Model: "demand", At: at, Verdict: anneal.VerdictError, Reason: "rule drifted: division by zero"}),
		Parked("team", anneal.Event{ID: "5t", Source: "anneal.directory", Subject: "batch_07.csv", Seen: at, Parked: "batch_07.csv:3: 4 fields, want 9"}),
		Message("team", "effect-1", "Model trained", "all is well", at),
		Message("team", "effect-2", "", "\n"+strings.Repeat("ü", 120)+"\nsecond line", at),
	} {
		fmt.Fprintf(&got, "%s %s\n%s\n", n.Kind, n.At.Format(time.RFC3339), n.Subject)
		for line := range strings.Lines(n.Text) {
			fmt.Fprintf(&got, "    %s\n", strings.TrimSuffix(line, "\n"))
		}
		got.WriteString("\n")
	}
	const name = "testdata/notices.txt"
	if *update {
		if err := os.WriteFile(name, []byte(got.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
}

// The same news has one ID, other news another.
func TestIDs(t *testing.T) {
	again := first
	again.StageAt = at.Add(time.Hour)
	ids := make(map[string]string)
	for name, n := range map[string]anneal.Notice{
		"started":                   Started("team", run),
		"started, another channel":  Started("ops", run),
		"failed":                    Failed("team", run),
		"promoted":                  Promoted("team", "p", first, nil),
		"promoted after a rollback": Promoted("team", "p", again, nil),
		"message":                   Message("team", run.ID, "", "", at),
		"held":                      Held("team", anneal.Decision{ID: run.ID}),
		"decided":                   Decided("team", anneal.Decision{ID: run.ID}),
		"succeeded":                 Succeeded("team", run),
		"parked":                    Parked("team", anneal.Event{ID: run.ID}),
	} {
		if other, ok := ids[n.ID]; ok {
			t.Errorf("%s and %s have one ID", name, other)
		}
		ids[n.ID] = name
	}
	if Failed("team", run).ID != Failed("team", withRun(func(r *anneal.Run) { r.Ended = &ended })).ID {
		t.Error("one failure has two IDs")
	}
	if got, want := Started("team", run).ID, ID(run.ID, anneal.NoticeStarted, "team"); got != want {
		t.Errorf("got ID %s; want %s", got, want)
	}
}

func TestBackoff(t *testing.T) {
	for attempts, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 1 << 40: 5 * time.Minute,
	} {
		if got := Backoff(attempts); got != want {
			t.Errorf("after %d tries: got %s; want %s", attempts, got, want)
		}
	}
}
