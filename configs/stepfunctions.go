package configs

import (
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

// StepFunctions is how AWS Step Functions is reached, for policies with
// `executor: step-functions`. The region is that of each state machine's ARN.
// Credentials are found as by every AWS SDK.
type StepFunctions struct {
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
}

// Account is whose state machines they are; each one's ARN has its region.
func (s *StepFunctions) Account() Account { return Account{"", s.Role, s.ExternalID} }

// arn finds the ARN of the state machine of a policy, where it has one. What is
// not set here may be where the daemon runs.
func (l *loader) arn(doc *document) {
	const path = "spec.run.stateMachine.arn"
	run := doc.spec.Spec.Run
	if run == nil || run.StateMachine.ARN == nil || doc.Policy.Policy == nil {
		return
	}
	d := doc.decoder()
	var named Secret
	notes := d.notes
	named.decode(d, d.nodes[path], path)
	if d.bad[d.nodes[path]] || named == (Secret{}) {
		return
	}
	if named.file != "" {
		l.files = append(l.files, named.file)
	}
	l.notes = append(l.notes, d.notes[len(notes):]...)
	if len(d.notes) > len(notes) {
		return
	}
	text, err := named.Resolve()
	if err == nil {
		err = stepfunctions.CheckARN(text)
	}
	if err != nil {
		d.add(path, -1, "%v", err)
		return
	}
	doc.ARN = text
}
