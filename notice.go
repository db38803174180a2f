package anneal

import "time"

// A NoticeKind is what a notice tells of; a policy's `notify` chooses by it.
type NoticeKind string

// The kinds.
const (
	NoticeDecided   NoticeKind = "decided" // whatever the verdict: for programs
	NoticeStarted   NoticeKind = "started"
	NoticeSucceeded NoticeKind = "succeeded"
	NoticeFailed    NoticeKind = "failed"
	NoticePromoted  NoticeKind = "promoted"
	NoticeHeld      NoticeKind = "held"
	NoticeParked    NoticeKind = "parked"
	NoticeMessage   NoticeKind = "message"  // published by a state machine
	NoticeResolved  NoticeKind = "resolved" // what was told of is over; sent unasked
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
	Facts   *Facts     `json:"facts,omitempty"` // the same, for programs

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

// Facts are what a notice tells of, for programs: of a decision, a run or a
// model, each as far as it has come. What it does not tell of is zero.
type Facts struct {
	Decision string     `json:"decision,omitempty"` // ID
	Event    string     `json:"event,omitempty"`    // ID of what the decision is about
	Trigger  string     `json:"trigger,omitempty"`  // the trigger's id
	Verdict  Verdict    `json:"verdict,omitempty"`
	Rule     string     `json:"rule,omitempty"`   // the first true rule
	Reason   string     `json:"reason,omitempty"` // of a decision, or of a promotion
	Until    *time.Time `json:"until,omitempty"`  // when a deferred decision is looked at again

	Run          string     `json:"run,omitempty"` // ID
	Status       Status     `json:"status,omitempty"`
	Executor     string     `json:"executor,omitempty"` // embedded or step-functions
	ExecutionARN string     `json:"executionArn,omitempty"`
	Started      *time.Time `json:"started,omitempty"`
	Ended        *time.Time `json:"ended,omitempty"`
	Error        string     `json:"error,omitempty"`
	ErrorCause   string     `json:"errorCause,omitempty"`

	Version  int                `json:"version,omitempty"`  // of the model that is live now
	Previous int                `json:"previous,omitempty"` // of the one that was; 0: none was
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Artifact string             `json:"artifact,omitempty"` // URI
}
