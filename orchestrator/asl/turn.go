package asl

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// An Effect is something to be done outside: a state machine asks for it, the
// engine has it done once the turn that asks is durable.
type Effect struct {
	// ID is derived from execution, state path, entry event and attempt. It
	// is the handle by which a restarted engine finds the work again.
	ID        string          `json:"id"`
	Execution string          `json:"execution"` // by which the engine knows it: [ExecutionInfo.Handle]
	State     string          `json:"state"`     // name of the Task state
	Attempt   int             `json:"attempt"`   // 0 for the first
	Resource  string          `json:"resource"`  // ARN as in the definition
	Input     json.RawMessage `json:"input"`     // effective parameters
	// Deadline is when the state times out by TimeoutSeconds; the machine
	// itself watches it, a runner may use it to stop in time.
	Deadline time.Time `json:"deadline,omitzero"`
	// RoleARN is the role that Credentials name, of another account perhaps.
	RoleARN string `json:"roleArn,omitempty"`
	// MapRun is the ID of the run that a distributed Map asks for. Such an
	// effect has no resource; [Machine.MapRun] tells what is to be done.
	MapRun string `json:"mapRun,omitempty"`
}

// Token is $$.Task.Token of the effect, by which its outcome may be told.
func (e Effect) Token() string { return token(e.Execution, e.ID) }

func token(execution, effect string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(execution + "/" + effect)) // no ID of an effect has a slash
}

// ParseToken takes a token apart. It is false for what never was one.
func ParseToken(token string) (execution, effect string, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", "", false
	}
	i := strings.LastIndexByte(string(text), '/')
	if i < 1 || i == len(text)-1 {
		return "", "", false
	}
	return string(text[:i]), string(text[i+1:]), true
}

// ByToken reports whether the outcome is told by somebody who has the token, and
// by nobody else: .waitForTaskToken and activities. The outcome of a .sync may
// be told so too.
func (e Effect) ByToken() bool {
	r, _ := parseResource(e.Resource) // it was one when the definition was parsed
	return r.byToken()
}

// OfActivity reports whether it is the task of an activity, which a worker must take.
func (e Effect) OfActivity() bool {
	if !strings.Contains(e.Resource, ":activity:") { // as of most
		return false
	}
	r, _ := parseResource(e.Resource)
	return r.service == serviceActivity
}

func (r resource) byToken() bool {
	return r.service == serviceActivity || strings.HasSuffix(r.action, ".waitForTaskToken")
}

// An Outcome is how an effect ended: Output where Error is empty.
type Outcome struct {
	Output json.RawMessage `json:"output,omitempty"`
	Error  string          `json:"error,omitempty"`
	Cause  string          `json:"cause,omitempty"`
	// Failed says that it failed where there is neither Error nor Cause, as a
	// worker may tell.
	Failed bool `json:"failed,omitempty"`
	// Branch says that the effect stands for a Parallel that is tested, and that a
	// branch of it is what failed.
	Branch bool `json:"-"`
}

// A Cancel tells the engine that an effect is no longer waited for: its state
// timed out, or the execution was stopped.
type Cancel struct {
	Effect   string `json:"effect"`             // ID
	MapRun   string `json:"mapRun,omitempty"`   // as in [Effect]
	Activity bool   `json:"activity,omitempty"` // it is the task of one
	Asked    uint64 `json:"-"`                  // as in [Pending]
}

// A Turn is what one step of an execution produced: the new state of the
// execution, the history events that led there, and what must be done now
// that they are durable. A turn is one record in the journal.
type Turn struct {
	State   *State          `json:"state"`
	Events  []HistoryEvent  `json:"events"`
	Effects []Effect        `json:"effects,omitempty"`
	Cancels []Cancel        `json:"cancels,omitempty"`
	Wake    time.Time       `json:"wake,omitzero"` // when Tick must be called; zero: nothing is timed
	Status  string          `json:"status"`        // RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED
	Output  json.RawMessage `json:"output,omitempty"`
	Error   string          `json:"error,omitempty"`
	Cause   string          `json:"cause,omitempty"`
	// Handled are the errors that were not the end. It is no part of the JSON.
	Handled []Handling `json:"-"`
}

// A Handling is an error of a state that one of its retriers or catchers took.
type Handling struct {
	State        string
	Error, Cause string // as a catcher is told
	Retry        bool   // by a retrier
	Entry        int    // which one, from 0
}
