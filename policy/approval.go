package policy

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
)

// What becomes of a decision that nobody has answered in time.
const (
	TimeoutHold = "hold"
	TimeoutRun  = "run"
)

// withDefaults fills in what the approval leaves open.
func (a Approval) withDefaults() Approval {
	if a.If == "" {
		a.If = "true"
	}
	if a.OnTimeout == "" {
		a.OnTimeout = TimeoutHold
	}
	return a
}

// approval checks when the policy asks, and what a run is expected to cost.
func (c *compiler) approval(p *Policy, b Body, at places) {
	if b.Run != nil && b.Run.Cost != nil {
		const path = "spec.run.cost.forecastUSD"
		forecast := b.Run.Cost.ForecastUSD
		switch p.forecast = c.template(path, forecast, at.forecast); {
		case p.forecast.expr != nil:
		case p.forecast.fields != nil || p.forecast.items != nil:
			c.problems.add(path, "a forecast is a number of USD, or {expr: …}")
		default:
			if usd, ok := toFloat(forecast); !ok || usd < 0 {
				c.problems.add(path, "a forecast is a number of USD that is not negative, or {expr: …}")
			}
		}
	}
	a := b.Approval
	if a == nil {
		return
	}
	const path = "spec.approval"
	if a.Timeout <= 0 {
		c.problems.add(path+".timeout", "an approval needs an end: timeout: 8h")
	}
	c.problems.oneOf(path+".onTimeout", a.OnTimeout, []string{TimeoutHold, TimeoutRun}, nil)
	if b.Run == nil {
		c.problems.add(path, "there is no run to approve: run: {stateMachine: {file: pipeline.asl.json}}")
	}
	p.approval = c.expr(path+".if", a.If, at.approval)
}

// cost adds what a run is expected to cost, where that can be said. What cannot
// is unknown.
func (v vars) cost(p *Policy) {
	if p.forecast == nil {
		return
	}
	value, err := p.forecast.value(v)
	if usd, ok := toFloat(value); err == nil && ok {
		v["cost.forecastUSD"] = usd
	}
}

// asks reports whether a run needs a person's word, and why. What is unknown
// is asked.
func (p *Policy) asks(v vars) (why string, ask bool) {
	if p.approval == nil {
		return "", false
	}
	value, details, err := p.approval.eval(v)
	if err != nil {
		return fmt.Sprintf("approval.if is unknown: %v", err), true
	}
	if value.Value() != true {
		return "", false
	}
	if len(p.approval.leaves) == 0 {
		return "every run of the policy is asked about", true
	}
	return because("approval.if", []anneal.RuleResult{{ID: "approval.if", Clauses: p.approval.clauses(v, details)}}), true
}

// An answer is what became of a decision that asked.
type answer struct {
	approved string // how; empty where it was not
	settled  string // why there is no run
}

// answered is what c answers, if it does: a person's word, or that the time
// for one is over.
func (s *State) answered(c Cause) answer {
	var data anneal.Approval
	_ = json.Unmarshal(c.Event.Data, &data) // an event of another kind has none
	wake, woken := s.Woken(c.Event)
	noted := func(what string) string {
		if data.Note != "" {
			what += ": " + data.Note
		}
		return what
	}
	switch {
	case c.Trigger == TriggerApprove && woken:
		return answer{approved: noted("approved by hand")}
	case c.Trigger == TriggerReject && woken:
		return answer{settled: noted("rejected by hand")}
	case c.Trigger == TriggerApprove || c.Trigger == TriggerReject:
		return answer{settled: fmt.Sprintf("decision %s waits for no approval", data.Decision)}
	case woken && wake.Approved:
		return answer{approved: "approved"}
	case woken && wake.Asks && s.Policies[wake.Policy].OnTimeout == TimeoutRun:
		return answer{approved: fmt.Sprintf("nobody has answered decision %s in time, and onTimeout is run", wake.Decision)}
	case woken && wake.Asks:
		return answer{settled: fmt.Sprintf("nobody has answered decision %s in time", wake.Decision)}
	}
	return answer{}
}

// Asking is the decision of the policy that waits for approval, if one does.
func (s *State) Asking(policy string) (decision string, is bool) {
	if m := s.Policies[policy]; m != nil && m.Approval != nil {
		return m.Approval.Decision, true
	}
	return "", false
}

// asked is the decision that waits for approval, if e answers it.
func (m *Memory) asked(e anneal.Event) *Wake {
	a := m.Approval
	if a == nil || a.Answer != "" && a.Answer != e.ID {
		return nil
	}
	if e.Source == anneal.SourceTimer && a.eventID() == e.ID {
		return a
	}
	var data anneal.Approval
	if e.Source != anneal.SourceManual || e.Type != anneal.TypeApproved && e.Type != anneal.TypeRejected ||
		json.Unmarshal(e.Data, &data) != nil || data.Decision != a.Decision {
		return nil
	}
	return a
}

// applyAnswer spends the decision that waits for approval where d is about its
// answer, or needs none. It is false where nothing else comes of d.
func (m *Memory) applyAnswer(d anneal.Decision, next *Wake, gone func(*time.Time) bool) bool {
	a := m.Approval
	switch {
	case a == nil:
	case a.Answer == d.Cause || a.eventID() == d.Cause:
		m.Approval = nil
		if d.Trigger != TriggerApprove && (d.Trigger != TriggerTimer || m.OnTimeout != TimeoutRun) {
			return false
		}
		next.Event, next.Since, next.Asked, next.Approved = a.Event, a.Since, a.Asked, true
	case d.Verdict == anneal.VerdictRun || gone(a.Woken):
		m.Approval = nil
	}
	return d.Trigger != TriggerApprove && d.Trigger != TriggerReject || next.Approved
}
