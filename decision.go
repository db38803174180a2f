package anneal

import (
	"encoding/json"
	"time"
)

// A Verdict is what a policy decided. The set is closed.
type Verdict string

// The verdicts.
const (
	VerdictRun           Verdict = "run"
	VerdictWouldRun      Verdict = "would-run"      // mode is observe
	VerdictHold          Verdict = "hold"           // no known end
	VerdictDefer         Verdict = "defer"          // known end, in Until; it wakes itself
	VerdictAwaitApproval Verdict = "await-approval" // asks first
	VerdictSuppressed    Verdict = "suppressed"     // a repeat of something decided already
	VerdictError         Verdict = "error"
)

// Result is three-valued: what cannot be known is neither true nor false.
type Result string

// The three results.
const (
	True    Result = "true"
	False   Result = "false"
	Unknown Result = "unknown"
)

// A Decision is the verdict of one policy at one instant, with its proof.
type Decision struct {
	// ID is the policy's name and a digest of policy and cause: it is the
	// run's ID and the execution's name too.
	ID      string    `json:"id"`
	Policy  string    `json:"policy"`
	Cause   string    `json:"cause"`             // event ID
	Trigger string    `json:"trigger,omitempty"` // the trigger's id
	At      time.Time `json:"at"`                // the cause's Seen
	Verdict Verdict   `json:"verdict"`
	// Reason is the rule that was true, the guard that vetoed, or the signal
	// that was missing, in one line a person can read.
	Reason string     `json:"reason"`
	Rule   string     `json:"rule"`            // the first true rule
	Until  *time.Time `json:"until,omitempty"` // when a deferred decision is looked at again

	// Stops are the open runs that make way, by ID, where the policy's overlap
	// is cancel-other (with hold: the new one waits for their end) or
	// terminate-other (with run).
	Stops []string `json:"stops,omitempty"`

	Rules   []RuleResult           `json:"rules"`
	Guards  []GuardResult          `json:"guards"`
	Signals map[string]SignalValue `json:"signals"`

	Model    string   `json:"model"`              // model group
	Champion string   `json:"champion,omitempty"` // model ID at the time
	Training Training `json:"training"`           // what a run would train on

	// Revision is the digest of the policy that decided; see the journal's
	// `policy` records.
	Revision   string          `json:"revision"`
	Parameters map[string]any  `json:"parameters,omitempty"`
	Force      bool            `json:"force,omitempty"`
	Input      json.RawMessage `json:"input,omitempty"` // of the run, where the verdict is run or would-run
}

// DecisionID is the identity of what policy decides about the event cause.
func DecisionID(policy, cause string) string {
	name := policy
	if len(name) > 24 {
		name = name[:24]
	}
	return name + "-" + ShortID("decision", policy, cause)
}

// A RuleResult is how one rule came out.
type RuleResult struct {
	ID     string `json:"id"`
	Result Result `json:"result"`
	// Clauses are the rule's parts, each with its value: the comparisons
	// (true, false, or nil where unknown), then what they read.
	Clauses []Clause `json:"clauses"`
	// For says how far a `for` of the rule has come: "1 of 2 windows".
	For string `json:"for,omitempty"`
}

// A Clause is a part of a rule and its value: a bool, a number, a string, or
// nil where it is unknown.
type Clause struct {
	Expr  string `json:"expr"`
	Value any    `json:"value"`
}

// A GuardResult is what one guard said. A guard can only veto.
type GuardResult struct {
	ID     string     `json:"id"`
	Veto   bool       `json:"veto"`
	Until  *time.Time `json:"until"`
	Detail string     `json:"detail,omitempty"`
}

// Training is the data that a run trains on, and that becomes the reference
// when its model is promoted.
type Training struct {
	Objects []Object `json:"objects"`
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"bytes"`
	// Prefix is the URI under which a run finds exactly these objects,
	// Manifest that of a SageMaker manifest of them.
	Prefix   string `json:"prefix,omitempty"`
	Manifest string `json:"manifest,omitempty"`
}

// An Object is one version of one object, with its rows where it was counted.
type Object struct {
	URI     string `json:"uri"`
	Version string `json:"version,omitempty"`
	Bytes   int64  `json:"bytes"`
	Rows    int64  `json:"rows"`
	Ragged  int64  `json:"ragged,omitempty"` // rows skipped: more or fewer fields than the header, or no JSON object
	Event   string `json:"event,omitempty"`  // that brought it
	// VersionID and ETag are those of S3, where it has them: which version is to
	// be opened. Version may be something else, a sequencer.
	VersionID string    `json:"versionId,omitempty"`
	ETag      string    `json:"etag,omitempty"`
	Seen      time.Time `json:"seen,omitzero"`
}
