package notify

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal"
)

// ID is the identity of a notice.
func ID(cause string, kind anneal.NoticeKind, channel string) string {
	return anneal.ID("notice", cause, string(kind), channel)
}

// Decided tells of a decision, whatever its verdict is.
func Decided(channel string, decision anneal.Decision) anneal.Notice {
	return anneal.Notice{
		ID:      ID(decision.ID, anneal.NoticeDecided, channel),
		Kind:    anneal.NoticeDecided,
		Channel: channel,
		Policy:  decision.Policy,
		Model:   decision.Model,
		Cause:   decision.ID,
		At:      decision.At,
		Subject: headline(fmt.Sprintf("%s: %s, %s", decision.Model, decision.Verdict, decision.Reason)),
		Text:    proof(decision),
		Facts:   decisionFacts(decision),
	}
}

// Started tells that a run was started.
func Started(channel string, run anneal.Run) anneal.Notice {
	return anneal.Notice{
		ID:      ID(run.ID, anneal.NoticeStarted, channel),
		Kind:    anneal.NoticeStarted,
		Channel: channel,
		Policy:  run.Policy,
		Model:   run.Model,
		Cause:   run.ID,
		At:      run.Started,
		Subject: fmt.Sprintf("%s: a run has started", run.Model),
		Text: fmt.Sprintf("Policy %s started run %s on %s of data (%s).",
			run.Policy, run.ID, count(run.Training.Rows, "row"), count(int64(len(run.Training.Objects)), "object")),
		Facts: runFacts(run),
	}
}

// Succeeded tells that a run ended well.
func Succeeded(channel string, run anneal.Run) anneal.Notice {
	text := fmt.Sprintf("Run %s of policy %s succeeded", run.ID, run.Policy)
	at := run.Started
	if run.Ended != nil {
		at = *run.Ended
		text += " after " + duration(at.Sub(run.Started))
	}
	return anneal.Notice{
		ID:      ID(run.ID, anneal.NoticeSucceeded, channel),
		Kind:    anneal.NoticeSucceeded,
		Channel: channel,
		Policy:  run.Policy,
		Model:   run.Model,
		Cause:   run.ID,
		At:      at,
		Subject: fmt.Sprintf("%s: a run succeeded", run.Model),
		Text:    text + ".",
		Facts:   runFacts(run),
	}
}

// Failed tells that a run ended, and not well.
func Failed(channel string, run anneal.Run) anneal.Notice {
	how := map[anneal.Status]string{
		anneal.StatusTimedOut: "timed out",
		anneal.StatusAborted:  "was aborted",
	}[run.Status]
	if how == "" {
		how = "failed"
	}
	at := run.Started
	text := fmt.Sprintf("Run %s of policy %s %s", run.ID, run.Policy, how)
	if run.Ended != nil {
		at = *run.Ended
		text += " after " + duration(at.Sub(run.Started))
	}
	text += "."
	cause := run.ID
	if run.Redrives > 0 { // it failed before
		cause += " " + strconv.Itoa(run.Redrives)
	}
	if run.Error != "" {
		text += "\n" + run.Error
		if run.Cause != "" {
			text += ": " + run.Cause
		}
	}
	return anneal.Notice{
		ID:      ID(cause, anneal.NoticeFailed, channel),
		Kind:    anneal.NoticeFailed,
		Channel: channel,
		Policy:  run.Policy,
		Model:   run.Model,
		Cause:   run.ID,
		At:      at,
		Subject: fmt.Sprintf("%s: a run %s", run.Model, how),
		Text:    text,
		Facts:   runFacts(run),
	}
}

// Promoted tells that model is the champion of its group now. Previous is the
// one before it, nil if there was none. The same version promoted again, after
// a rollback, is news again.
func Promoted(channel, policy string, model anneal.Model, previous *anneal.Model) anneal.Notice {
	text := "It was imported."
	if model.Run != "" {
		text = "It was trained by run " + model.Run
		if rows := rowsOf(model.Objects); rows > 0 {
			text += " on " + count(rows, "row")
		}
		text += "."
	}
	if model.Reason != "" {
		text += " It is live: " + model.Reason + "."
	}
	for _, name := range slices.Sorted(maps.Keys(model.Metrics)) {
		text += "\n" + name + " " + number(model.Metrics[name])
		if previous == nil {
			continue
		}
		if before, ok := previous.Metrics[name]; ok {
			text += fmt.Sprintf(", was %s with version %d", number(before), previous.Version)
		}
	}
	if model.ImportanceProblem != "" {
		text += "\nWhat its columns are worth to it is not known: " + model.ImportanceProblem
	}
	return anneal.Notice{
		ID:      ID(model.ID()+" "+model.StageAt.UTC().Format(time.RFC3339Nano), anneal.NoticePromoted, channel),
		Kind:    anneal.NoticePromoted,
		Channel: channel,
		Policy:  policy,
		Model:   model.Group,
		Cause:   model.ID(),
		At:      model.StageAt,
		Subject: fmt.Sprintf("%s: version %d is live", model.Group, model.Version),
		Text:    text,
		Facts:   modelFacts(model, previous),
	}
}

// Held tells that a policy looked and did not act: a decision whose verdict is
// hold, defer or error, or one that waits for approval.
func Held(channel string, decision anneal.Decision) anneal.Notice {
	what := map[anneal.Verdict]string{
		anneal.VerdictDefer:         "waits",
		anneal.VerdictAwaitApproval: "asks for approval",
		anneal.VerdictError:         "could not decide",
	}[decision.Verdict]
	if what == "" {
		what = "held"
	}
	return anneal.Notice{
		ID:      ID(decision.ID, anneal.NoticeHeld, channel),
		Kind:    anneal.NoticeHeld,
		Channel: channel,
		Policy:  decision.Policy,
		Model:   decision.Model,
		Cause:   decision.ID,
		At:      decision.At,
		Subject: headline(fmt.Sprintf("%s: %s, %s", decision.Model, what, decision.Reason)),
		Text:    proof(decision),
		Reason:  reason(decision),
		Group:   decision.Cause,
		Facts:   decisionFacts(decision),
	}
}

// proof is a decision in words, with its rules and vetoes.
func proof(decision anneal.Decision) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Policy %s decided %s: %s.", decision.Policy, decision.ID, decision.Reason)
	if decision.Until != nil {
		fmt.Fprintf(&text, " It looks again at %s.", decision.Until.UTC().Format(time.RFC3339))
	}
	for _, r := range decision.Rules {
		fmt.Fprintf(&text, "\nrule %s is %s", r.ID, r.Result)
		if r.For != "" {
			fmt.Fprintf(&text, " (%s)", r.For)
		}
	}
	for _, g := range decision.Guards {
		if g.Veto {
			fmt.Fprintf(&text, "\nguard %s says no", g.ID)
			if g.Detail != "" {
				text.WriteString(": " + g.Detail)
			}
		}
	}
	return text.String()
}

// Parked tells that an event could not be processed and was put aside.
func Parked(channel string, event anneal.Event) anneal.Notice {
	text := fmt.Sprintf("Event %s from %s was put aside: %s.", event.ID, event.Source, event.Parked)
	if event.Subject != "" {
		text += "\nIt is about " + event.Subject + "."
	}
	return anneal.Notice{
		ID:      ID(event.ID, anneal.NoticeParked, channel),
		Kind:    anneal.NoticeParked,
		Channel: channel,
		Cause:   event.ID,
		At:      event.Seen,
		Subject: headline("event put aside: " + event.Parked),
		Text:    text,
		Group:   string(anneal.NoticeParked),
	}
}

// Message is what a state machine publishes. The effect ID is that of the
// publishing, so that a step done twice says it once. Without a subject, the
// first line of the text is it.
func Message(channel, effect, subject, text string, at time.Time) anneal.Notice {
	if subject == "" {
		subject = text
	}
	return anneal.Notice{
		ID:      ID(effect, anneal.NoticeMessage, channel),
		Kind:    anneal.NoticeMessage,
		Channel: channel,
		Cause:   effect,
		At:      at,
		Subject: headline(subject),
		Text:    text,
	}
}

// headline is the first line of s, at most 100 letters long: SNS's limit for a
// subject.
func headline(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) <= 100 {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:99])) + "…"
}

func rowsOf(objects []anneal.Object) (rows int64) {
	for _, o := range objects {
		rows += o.Rows
	}
	return rows
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}

func number(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// duration drops what does not matter to a reader: 1h2m3s, 4.2s.
func duration(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
