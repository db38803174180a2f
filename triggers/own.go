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
	return anneal.Event{
		SpecVersion:     "1.0",
		ID:              anneal.ID("event", anneal.SourceManual, requestID),
		Source:          anneal.SourceManual,
		Type:            anneal.TypeTriggered,
		Subject:         policy,
		Time:            now.UTC(),
		DataContentType: "application/json",
		Data:            data,
		Seen:            now.UTC(),
	}, nil
}
