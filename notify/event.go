package notify

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal"
)

// An Event is a notice as programs are told of it: the detail of an EventBridge
// event, the message of SNS. Its schema is configs/schemas/event.json; fields are
// added and not changed.
type Event struct {
	// ID is the notice's: what is told again has the same, whatever ID the carrier
	// gives it.
	ID      string            `json:"id"`
	Kind    anneal.NoticeKind `json:"kind"`
	Channel string            `json:"channel"`
	Policy  string            `json:"policy,omitempty"`
	Model   string            `json:"model,omitempty"` // model group
	Cause   string            `json:"cause"`           // ID of the decision, run, model or event it tells of
	At      time.Time         `json:"at"`
	Subject string            `json:"subject"` // one line for a person
	Text    string            `json:"text"`
	anneal.Facts
}

// EventOf is the event of a notice.
func EventOf(n anneal.Notice) Event {
	e := Event{ID: n.ID, Kind: n.Kind, Channel: n.Channel, Policy: n.Policy, Model: n.Model, Cause: n.Cause, At: n.At.UTC(), Subject: n.Subject, Text: n.Text}
	if n.Facts != nil {
		e.Facts = *n.Facts
	}
	return e
}

// Fit is text, or as much of its beginning, with … after it, as makes size at most
// limit; size is what a message takes with such a text in it.
func Fit(text string, limit int, size func(text string) int) string {
	fit := text
	for left := len(text); left > 0 && size(fit) > limit; {
		left /= 2
		for left > 0 && !utf8.RuneStart(text[left]) {
			left--
		}
		fit = text[:left] + "…"
	}
	return fit
}

// Encoded is the event as JSON, of which the text is cut where the whole is more
// than limit bytes.
func (e Event) Encoded(limit int) ([]byte, error) {
	e.Text = Fit(e.Text, limit, func(text string) int {
		with := e
		with.Text = text
		encoded, err := json.Marshal(with)
		if err != nil {
			return 0 // it is told below
		}
		return len(encoded)
	})
	return json.Marshal(e)
}
