package notify

import "github.com/anneal-ml/anneal"

func decisionFacts(d anneal.Decision) *anneal.Facts {
	return &anneal.Facts{
		Decision: d.ID, Event: d.Cause, Trigger: d.Trigger, Verdict: d.Verdict, Rule: d.Rule, Reason: d.Reason, Until: d.Until,
	}
}

func runFacts(r anneal.Run) *anneal.Facts {
	return &anneal.Facts{
		Decision: r.Decision, Run: r.ID, Status: r.Status, Executor: r.Executor, ExecutionARN: r.ExecutionARN,
		Started: &r.Started, Ended: r.Ended, Error: r.Error, ErrorCause: r.Cause,
	}
}

func modelFacts(m anneal.Model, previous *anneal.Model) *anneal.Facts {
	facts := &anneal.Facts{Run: m.Run, Version: m.Version, Metrics: m.Metrics, Artifact: m.Artifact.URI, Reason: m.Reason}
	if previous != nil {
		facts.Previous = previous.Version
	}
	return facts
}
