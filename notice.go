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
	NoticeMessage  NoticeKind = "message" // published by a state machine
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

	// Delivered is when the channel took it; nil while it is on its way.
	// Error is why the last try failed.
	Delivered *time.Time `json:"delivered,omitempty"`
	Attempts  int        `json:"attempts"`
	Error     string     `json:"error,omitempty"`
}
