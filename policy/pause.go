package policy

import (
	"encoding/json"
	"time"

	"github.com/anneal-ml/anneal"
)

const (
	pausedByHand  = "paused by hand"
	resumedByHand = "resumed by hand"
)

// byHand is the reason of what a person's pausing and resuming come to, with
// the note that was left.
func byHand(trigger string, e anneal.Event) (reason string, ok bool) {
	switch trigger {
	case TriggerPause:
		reason = pausedByHand
	case TriggerResume:
		reason = resumedByHand
	default:
		return "", false
	}
	var data anneal.Paused
	if json.Unmarshal(e.Data, &data) == nil && data.Note != "" {
		reason += ": " + data.Note
	}
	return reason, true
}

// stopped reports whether the policy decides nothing but hold, by its file or by
// a person's word.
func (m *Memory) stopped() bool { return m.Off || m.Paused != nil }

// paused is why the policy is paused by a person, empty where it is not.
func (s *State) paused(policy string) string {
	if m := s.Policies[policy]; m != nil && m.Paused != nil {
		return *m.Paused
	}
	return ""
}

// resumed is when a person last resumed the policy.
func (s *State) resumed(policy string) time.Time {
	if m := s.Policies[policy]; m != nil && m.Resumed != nil {
		return *m.Resumed
	}
	return time.Time{}
}
