package anneal

import "time"

// A NoticeKind is what a notice tells of; a policy's `notify` chooses by it.
type NoticeKind string

// The kinds.
const (
	NoticeStarted  NoticeKind = "started"
	NoticeFailed   NoticeKind = "failed"
	NoticePromoted NoticeKind = "promoted"
	NoticeHeld     NoticeKind = "held"
	NoticeParked   NoticeKind = "parked"
	NoticeMessage  NoticeKind = "message"  // published by a state machine
	NoticeResolved NoticeKind = "resolved" // what was told of is over; sent unasked
)

// A Notice is what a person or a system is told.
type Notice struct {
	ID      string     `json:"id"` // of cause, kind and channel
	Kind    NoticeKind `json:"kind"`
	Channel string     `json:"channel"` // under `notify` in the settings
	Policy  string     `json:"policy,omitempty"`
	Model   string     `json:"model,omitempty"`
	Cause   string     `json:"cause"` // ID of the decision, run, model or event it tells of
	At      time.Time  `json:"at"`
	Subject string     `json:"subject"`
	Text    string     `json:"text,omitempty"`

	// Reason is what it tells of, without figures: a policy that holds for one
	// reason is told of once.
	Reason string `json:"reason,omitempty"`
	// Group names what is told together: notices of one group that come within
	// a moment are one message.
	Group string `json:"group,omitempty"`
	// With is the ID of the notice in whose message this one is told; empty
	// where it has its own.
	With string `json:"with,omitempty"`

	// Delivered is when the channel took it; nil while it is on its way, and
	// when it was given up. Status is the HTTP status of the last try, 0 where
	// there was no answer; Error is why it failed.
	Delivered *time.Time `json:"delivered,omitempty"`
	Attempts  int        `json:"attempts"`
	Status    int        `json:"status,omitempty"`
	Error     string     `json:"error,omitempty"`
	GivenUp   bool       `json:"givenUp,omitempty"` // it is not tried again
}
