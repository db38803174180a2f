package anneal

import (
	"encoding/json"
	"time"
)

// Status is how far a run has come, in Step Functions' words, with PENDING
// for one that is decided and not yet started.
type Status string

// The statuses. The last four are ends.
const (
	StatusPending   Status = "PENDING"
	StatusRunning   Status = "RUNNING"
	StatusSucceeded Status = "SUCCEEDED"
	StatusFailed    Status = "FAILED"
	StatusTimedOut  Status = "TIMED_OUT"
	StatusAborted   Status = "ABORTED"
)

// Ended reports whether a run with this status is over.
func (s Status) Ended() bool {
	return s == StatusSucceeded || s == StatusFailed || s == StatusTimedOut || s == StatusAborted
}

// A Run is one execution of a state machine.
type Run struct {
	ID           string     `json:"id"` // the decision's
	Policy       string     `json:"policy"`
	Model        string     `json:"model"` // model group
	Decision     string     `json:"decision"`
	Executor     string     `json:"executor"` // embedded or step-functions
	Status       Status     `json:"status"`
	Started      time.Time  `json:"started"` // of the decision, until the execution says better
	Ended        *time.Time `json:"ended"`   // nil while it is open
	ExecutionARN string     `json:"executionArn"`
	Error        string     `json:"error"`
	Cause        string     `json:"cause"` // of the Error, as Step Functions calls it

	// ConcurrencyKey is what the policy's concurrency guard counts by.
	ConcurrencyKey string `json:"concurrencyKey,omitempty"`
	// Machine is the digest of the definition it runs, or the ARN of the state
	// machine on Step Functions.
	Machine  string          `json:"machine,omitempty"`
	Redrives int             `json:"redrives,omitempty"` // how often it went on from what failed
	Revision string          `json:"revision"`           // the policy's, as in its decision
	Training Training        `json:"training"`
	Input    json.RawMessage `json:"input,omitempty"`
}
