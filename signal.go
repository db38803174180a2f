package anneal

import (
	"encoding/json"
	"time"
)

// SignalStatus says whether a signal's value may be relied on. Anything but
// ok is unknown to a rule: neither true nor false.
type SignalStatus string

// The four states of a signal.
const (
	SignalOK      SignalStatus = "ok"
	SignalMissing SignalStatus = "missing" // nothing to measure yet
	SignalStale   SignalStatus = "stale"   // measured too long ago
	SignalFailed  SignalStatus = "failed"  // could not be measured; Error says why
)

// A Signal is one measured fact about one model.
type Signal struct {
	ID     string   `json:"id"`     // of cause, policy and name
	Name   string   `json:"name"`   // under spec.signals
	Policy string   `json:"policy"` // whose signal it is
	Model  string   `json:"model"`  // model group
	Value  *float64 `json:"value"`  // nil unless the status is ok
	Share  *float64 `json:"share"`
	// Low and High are the 95 % interval of Value, where it has one.
	Low    *float64     `json:"low,omitempty"`
	High   *float64     `json:"high,omitempty"`
	N      int64        `json:"n"`   // rows it was measured on
	At     time.Time    `json:"at"`  // when it was measured
	Age    float64      `json:"age"` // seconds from At to the cause's Seen
	Status SignalStatus `json:"status"`
	// Verdict is what a drift signal came to: drift, none or too few rows. Due says
	// whether that makes a retraining worth its cost.
	Verdict string `json:"verdict,omitempty"`
	Due     *bool  `json:"due,omitempty"`
	Why     string `json:"why,omitempty"` // it is due, or not
	Error   string `json:"error,omitempty"`
	Cause   string `json:"cause"` // event ID

	// Window is the identity of the data it was measured on: equal windows
	// count once in a rule's `for`.
	Window string          `json:"window,omitempty"`
	Detail json.RawMessage `json:"detail"` // a drift comparison, for a drift signal
}

// SignalValue is a signal as a decision saw it.
type SignalValue struct {
	Value   *float64     `json:"value"`
	Share   *float64     `json:"share"`
	Low     *float64     `json:"low,omitempty"`
	High    *float64     `json:"high,omitempty"`
	N       int64        `json:"n"`
	At      time.Time    `json:"at"`
	Age     float64      `json:"age"`
	Status  SignalStatus `json:"status"`
	Verdict string       `json:"verdict,omitempty"`
	Due     *bool        `json:"due,omitempty"`
	Why     string       `json:"why,omitempty"` // it is due, or not
	Window  string       `json:"window,omitempty"`
}
