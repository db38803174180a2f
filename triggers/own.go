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
	data, err := json.Marshal(anneal.Triggered{Policy: policy, Parameters: parameters, Force: force})
	if err != nil {
		return anneal.Event{}, fmt.Errorf("parameters of policy %s: %w", policy, err)
	}
	return own(anneal.SourceManual, anneal.TypeTriggered, requestID, policy, data, now, now), nil
}

// DeferredWake is the event of a deferred decision that has waited long
// enough: at is when it was to be looked at again, now when that is noticed. A
// decision wakes once.
func DeferredWake(policy, decision string, at, now time.Time) anneal.Event {
	data := must(json.Marshal(anneal.DeferredWake{Policy: policy, Decision: decision}))
	return own(anneal.SourceTimer, anneal.TypeDeferredWake, decision, policy, data, at, now)
}

// RunEnded is the event of a run that is over. A run ends once.
func RunEnded(run anneal.Run, now time.Time) anneal.Event {
	data := must(json.Marshal(anneal.RunEnded{Policy: run.Policy, Run: run.ID, Status: run.Status}))
	at := now
	if run.Ended != nil {
		at = *run.Ended
	}
	return own(anneal.SourceRun, anneal.TypeRunEnded, run.ID, run.Policy, data, at, now)
}

func own(source, kind, identity, policy string, data json.RawMessage, at, now time.Time) anneal.Event {
	return anneal.Event{
		SpecVersion:     "1.0",
		ID:              anneal.ID("event", source, identity),
		Source:          source,
		Type:            kind,
		Subject:         policy,
		Time:            at.UTC(),
		DataContentType: "application/json",
		Data:            data,
		Seen:            now.UTC(),
	}
}

func must(data []byte, err error) json.RawMessage {
	if err != nil {
		panic(err) // unreachable: structs of strings always have a JSON form
	}
	return data
}
