package triggers

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
)

// Manual is the event of somebody who wakes a policy by hand. The request ID
// is the caller's, random, and makes the event's identity: a request told
// twice is one event. The error is of parameters that JSON cannot hold.
func Manual(policy string, parameters map[string]any, force bool, requestID string, now time.Time) (anneal.Event, error) {
	return manual(policy, anneal.TypeTriggered, anneal.Triggered{Policy: policy, Parameters: parameters, Force: force}, requestID, now)
}

// Pause is the event of somebody who pauses a policy, with a note that says
// why; it may be empty. The request ID is as in [Manual].
func Pause(policy, note, requestID string, now time.Time) (anneal.Event, error) {
	return manual(policy, anneal.TypePaused, anneal.Paused{Policy: policy, Note: note}, requestID, now)
}

// Resume is the event of somebody who resumes a policy: see [Pause].
func Resume(policy, note, requestID string, now time.Time) (anneal.Event, error) {
	return manual(policy, anneal.TypeResumed, anneal.Paused{Policy: policy, Note: note}, requestID, now)
}

// Approve is the event of somebody who lets a decision that asks for approval
// have its run: see [Pause].
func Approve(policy, decision, note, requestID string, now time.Time) (anneal.Event, error) {
	return manual(policy, anneal.TypeApproved, anneal.Approval{Policy: policy, Decision: decision, Note: note}, requestID, now)
}

// Reject is the event of somebody who refuses one.
func Reject(policy, decision, note, requestID string, now time.Time) (anneal.Event, error) {
	return manual(policy, anneal.TypeRejected, anneal.Approval{Policy: policy, Decision: decision, Note: note}, requestID, now)
}

func manual(policy, kind string, about any, requestID string, now time.Time) (anneal.Event, error) {
	data, err := json.Marshal(about)
	if err != nil {
		return anneal.Event{}, fmt.Errorf("%s of policy %s: %w", kind, policy, err)
	}
	return anneal.Event{
		SpecVersion:     "1.0",
		ID:              anneal.ID("event", anneal.SourceManual, requestID),
		Source:          anneal.SourceManual,
		Type:            kind,
		Subject:         policy,
		Time:            now.UTC(),
		DataContentType: "application/json",
		Data:            data,
		Seen:            now.UTC(),
	}, nil
}
