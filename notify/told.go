package notify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
)

// Told is what channels were told of and is not over yet: a fold of notices
// and decisions, in the order of the journal. Its size goes with the number of
// policies and channels.
type Told struct {
	Topics map[string]Topic `json:"topics,omitempty"` // by what they are of
}

// A Topic is one thing that a channel was told of.
type Topic struct {
	Notice  string            `json:"notice"` // ID of the last that told of it
	Kind    anneal.NoticeKind `json:"kind"`   // held or failed
	Channel string            `json:"channel"`
	Policy  string            `json:"policy"`
	Model   string            `json:"model"`
	Subject string            `json:"subject"`
	Reason  string            `json:"reason"`
	At      time.Time         `json:"at"`
	Silent  int               `json:"silent"` // decisions since that were for the same reason
}

func topicKey(kind anneal.NoticeKind, channel, policy string) string {
	return string(kind) + " " + channel + " " + policy
}

// Apply folds a notice in. Only its first record counts: the later ones are of
// its delivery.
func (t *Told) Apply(n anneal.Notice) {
	if n.Attempts > 0 || n.Delivered != nil || n.GivenUp {
		return
	}
	switch n.Kind {
	case anneal.NoticeHeld, anneal.NoticeFailed:
		if t.Topics == nil {
			t.Topics = map[string]Topic{}
		}
		t.Topics[topicKey(n.Kind, n.Channel, n.Policy)] = Topic{
			Notice: n.ID, Kind: n.Kind, Channel: n.Channel, Policy: n.Policy, Model: n.Model,
			Subject: n.Subject, Reason: n.Reason, At: n.At,
		}
	case anneal.NoticeResolved:
		delete(t.Topics, topicKey(anneal.NoticeKind(n.Reason), n.Channel, n.Policy))
	}
}

// ApplyDecision folds a decision in.
func (t *Told) ApplyDecision(d anneal.Decision) {
	for key, topic := range t.Topics {
		if topic.Kind == anneal.NoticeHeld && topic.Policy == d.Policy && topic.Reason == reason(d) {
			topic.Silent++
			t.Topics[key] = topic
		}
	}
}

// News says whether a notice is to be sent, and as what: nobody is told within
// repeat that a policy still holds for the same reason. The notice's own
// decision is folded in already.
func (t *Told) News(n anneal.Notice, repeat time.Duration) (anneal.Notice, bool) {
	topic, known := t.Topics[topicKey(n.Kind, n.Channel, n.Policy)]
	switch {
	case n.Kind != anneal.NoticeHeld || !known || topic.Reason != n.Reason:
		return n, true
	case n.At.Sub(topic.At) < repeat:
		return n, false
	}
	n.Text += fmt.Sprintf("\nThis goes on: %s for the same reason since %s.", count(int64(topic.Silent), "decision"), topic.At.UTC().Format(time.RFC3339))
	return n, true
}

// Open are the topics of a kind about a policy, by channel.
func (t *Told) Open(kind anneal.NoticeKind, policy string) []Topic {
	open := slices.DeleteFunc(slices.Collect(maps.Values(t.Topics)), func(o Topic) bool { return o.Kind != kind || o.Policy != policy })
	slices.SortFunc(open, func(a, b Topic) int { return strings.Compare(a.Channel, b.Channel) })
	return open
}

// Resolved tells that what a channel was told of is over, by the decision or
// the run cause.
func Resolved(topic Topic, cause string, at time.Time, how string) anneal.Notice {
	what := map[anneal.NoticeKind]string{anneal.NoticeHeld: "no longer held", anneal.NoticeFailed: "runs succeed again"}[topic.Kind]
	return anneal.Notice{
		ID:      ID(cause+" "+topic.Notice, anneal.NoticeResolved, topic.Channel),
		Kind:    anneal.NoticeResolved,
		Channel: topic.Channel,
		Policy:  topic.Policy,
		Model:   topic.Model,
		Cause:   cause,
		At:      at,
		Subject: headline(fmt.Sprintf("%s: %s", topic.Model, what)),
		Text:    fmt.Sprintf("%s\nWhat was told at %s is over: %s", how, topic.At.UTC().Format(time.RFC3339), topic.Subject),
		Reason:  string(topic.Kind),
	}
}

// reason is why a policy does not act, without figures: two decisions with the
// same one are the same news.
func reason(d anneal.Decision) string {
	switch {
	case d.Verdict == anneal.VerdictAwaitApproval:
		return string(d.Verdict) + " " + d.ID // each is a question of its own
	case d.Verdict == anneal.VerdictError || len(d.Rules) == 0 || strings.HasPrefix(d.Reason, "paused"):
		return string(d.Verdict) + ": " + d.Reason
	}
	wanted := d.Rule != "" || d.Force
	for _, g := range d.Guards {
		if g.Veto && wanted {
			return fmt.Sprintf("%s: guard %s", d.Verdict, g.ID) // the first veto is the reason
		}
	}
	parts := []string{}
	for _, r := range d.Rules {
		if r.Result == anneal.Unknown {
			parts = append(parts, "rule "+r.ID)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Signals)) {
		if s := d.Signals[name].Status; len(parts) > 0 && s != anneal.SignalOK {
			parts = append(parts, fmt.Sprintf("signal %s %s", name, s))
		}
	}
	if len(parts) == 0 {
		return string(d.Verdict) + ": no rule is true"
	}
	return string(d.Verdict) + ": unknown " + strings.Join(parts, ", ")
}

// maxTogether bounds how many notices a message spells out.
const maxTogether = 20

// Together is the message of several notices of one group: the first, whose ID
// it has, and those that came with it.
func Together(first anneal.Notice, others []anneal.Notice) anneal.Notice {
	if len(others) == 0 {
		return first
	}
	tail := fmt.Sprintf(" (and %d more)", len(others))
	subject := []rune(first.Subject)
	if room := 100 - len([]rune(tail)); len(subject) > room {
		subject = append(subject[:room-1], '…')
	}
	var text strings.Builder
	text.WriteString(first.Text)
	for i, n := range others {
		if i == maxTogether-1 {
			fmt.Fprintf(&text, "\n\n… and %d more", len(others)-i)
			break
		}
		fmt.Fprintf(&text, "\n\n%s\n%s", n.Subject, n.Text)
	}
	first.Subject, first.Text = string(subject)+tail, text.String()
	return first
}
