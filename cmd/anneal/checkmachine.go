package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/integrations"
	"github.com/anneal-ml/anneal/policy"
)

// again is [services] for definitions that run again and again: a job's name must
// not be the same each time.
func again(function integrations.Function) func(string, *flow.Shape) flow.Service {
	names := map[string]string{
		"createTrainingJob": "TrainingJobName", "createProcessingJob": "ProcessingJobName",
		"createTransformJob": "TransformJobName", "createHyperParameterTuningJob": "HyperParameterTuningJobName",
	}
	return func(resource string, parameters *flow.Shape) flow.Service {
		service := integrations.Of(resource, parameters, function)
		action, _ := strings.CutPrefix(resource, "arn:aws:states:::sagemaker:")
		name, _ := parameters.Member(names[strings.TrimSuffix(action, ".sync")])
		if name != nil && name.Value != nil {
			service.Complaints = append(service.Complaints, flow.Complaint{Shape: name, Severity: asl.SeverityWarning,
				Message: fmt.Sprintf("the name %s is the same in every run, and the second run would be refused for it; derive it from run.id or $$.Execution.Name", name.Value)})
		}
		return service
	}
}

// services tells the data flow of the services, and of the functions of this
// program that are mapped to a name.
func services(function integrations.Function) func(string, *flow.Shape) flow.Service {
	return func(resource string, parameters *flow.Shape) flow.Service {
		return integrations.Of(resource, parameters, function)
	}
}

// mostChecked is how many state machines are looked at before serving, so that
// it begins soon whatever there is.
const mostChecked = 100

// checkMachines follows the data through the state machines of a configuration,
// each from the inputs that its policies give: most of them at most.
func checkMachines(cfg *configs.Config, most int) asl.Problems {
	d := &daemon{cfg: cfg, log: discarded()}
	d.generation.take(cfg)
	var function integrations.Function
	if t, err := d.newTasks(nil, unread); err == nil && cfg.File != "" {
		function = func(name string, payload *flow.Shape) (*flow.Shape, []flow.Complaint) {
			builtin, ok := t.Builtin(name)
			if !ok {
				return nil, nil
			}
			return builtinFlow(builtin, payload)
		}
	}
	type use struct {
		machine string
		aws     bool
		input   uint64
	}
	seen := map[use]map[string]*flow.Seen{}
	var all asl.Problems
	for _, p := range cfg.Policies {
		m, ok := cfg.Machines[p.Machine]
		if !ok {
			continue
		}
		input := inputShape(p.Spec.Spec.Run.Input)
		u := use{p.Machine, onAWS(p), input.Hash()}
		functions := function
		if u.aws {
			functions = nil // they are Lambda's
		}
		if seen[u] == nil && len(seen) == most {
			continue
		}
		if seen[u] == nil {
			seen[u] = map[string]*flow.Seen{}
			for _, x := range flow.Check(m.Definition, m.File, flow.Options{
				Input: input, Giver: fmt.Sprintf("policy %q", p.Name()), Services: again(functions), Seen: seen[u], Strict: true,
			}) {
				if !slices.Contains(all, x) {
					all = append(all, x)
				}
			}
		}
		if p.Place != nil {
			all = append(all, checkModel(p, seen[u])...)
		}
	}
	return all
}

// stateField is where an expression of run.model reads what a state was given or
// gave.
var stateField = regexp.MustCompile(`\bstate\.(parameters|input|output)((?:\.[A-Za-z_][A-Za-z_0-9]*)+)`)

// checkModel looks at what the expressions of a policy's run.model read of the
// state that makes the model.
func checkModel(p configs.Policy, seen map[string]*flow.Seen) asl.Problems {
	m := p.Spec.Spec.Run.Model
	if m == nil || seen[m.State] == nil {
		return nil
	}
	var problems asl.Problems
	look := func(path, text string) {
		if strings.Contains(text, "has(") || strings.Contains(text, "?") {
			return // it asks whether it is there
		}
		for _, at := range stateField.FindAllStringSubmatchIndex(text, -1) {
			field, names := text[at[2]:at[3]], strings.Split(text[at[4]+1:at[5]], ".")
			if at[5] < len(text) && text[at[5]] == '(' {
				names = names[:len(names)-1] // a function of what is there
			}
			s := map[string]*flow.Shape{"parameters": seen[m.State].Parameters, "input": seen[m.State].Input, "output": seen[m.State].Output}[field]
			if s == nil {
				continue
			}
			if why := s.Has(names); why != "" {
				line, column := p.Place(path, at[0])
				problems = append(problems, asl.Problem{Severity: asl.SeverityError, File: p.File, Line: line, Column: column,
					Message: fmt.Sprintf("state.%s.%s is not there: of the %s of state %q, %s", field, strings.Join(names, "."), field, m.State, why)})
			}
		}
	}
	var visit func(path string, v any)
	visit = func(path string, v any) {
		of, ok := v.(map[string]any)
		if text, is := of["expr"].(string); is {
			look(policy.At(path, "expr"), text)
		} else if ok {
			for _, key := range sortedKeys(of) {
				visit(policy.At(path, key), of[key])
			}
		}
	}
	visit("spec.run.model.artifact", m.Artifact)
	visit("spec.run.model.metrics", m.Metrics)
	visit("spec.run.model.importance", m.Importance)
	return problems
}

// inputShape is what is known of the input of a run before it is there.
func inputShape(input map[string]any) *flow.Shape {
	s := flow.Record()
	for _, key := range sortedKeys(input) {
		s.Fields = append(s.Fields, flow.Field{Name: key, Shape: givenShape(input[key]), Presence: flow.Sure})
	}
	return s
}

func givenShape(given any) *flow.Shape {
	switch given := given.(type) {
	case map[string]any:
		if _, ok := given["expr"]; ok {
			return flow.Any()
		}
		return inputShape(given)
	case []any:
		s := &flow.Shape{Kinds: flow.Array, Exact: true}
		for _, x := range given {
			s.Tuple = append(s.Tuple, givenShape(x))
		}
		return s
	}
	data, err := json.Marshal(given)
	if err != nil {
		return flow.Any()
	}
	v, err := value.Parse(data)
	if err != nil {
		return flow.Any()
	}
	return flow.Exactly(v)
}

// builtinFlow is what a function of this program takes and returns.
func builtinFlow(name string, payload *flow.Shape) (*flow.Shape, []flow.Complaint) {
	needs := map[string]flow.Kinds{}
	sure := func(name string, s *flow.Shape) flow.Field {
		return flow.Field{Name: name, Shape: s, Presence: flow.Sure}
	}
	var result *flow.Shape
	switch name {
	case "noop":
		result = payload
	case "validate-data":
		needs["S3DataPath"] = flow.String
		result = flow.Record(sure("IsValid", flow.Of(flow.Bool)), sure("Reason", flow.Of(flow.String)),
			sure("Problems", flow.Of(flow.Array|flow.Null)), sure("Rows", flow.Of(flow.Number)))
	case "evaluate-model":
		needs["ModelArtifact"], needs["MetricThreshold"] = flow.String, flow.Number
		result = flow.Record(sure("Metrics", flow.Of(flow.Object)), sure("Metric", flow.Of(flow.String)), sure("Direction", flow.Of(flow.String)),
			sure("Value", flow.Of(flow.Number)), sure("Threshold", flow.Of(flow.Number)), sure("PassedThreshold", flow.Of(flow.Bool)),
			flow.Field{Name: "Importance", Shape: flow.Any(), Presence: flow.Unknown}) // where the training says it
	case "register-model":
		needs["ModelArtifact"] = flow.String
		result = flow.Record(sure("ModelArtifact", flow.Of(flow.String)), sure("Metrics", flow.Of(flow.Object)),
			sure("SHA256", flow.Of(flow.String)), sure("Bytes", flow.Of(flow.Number)), sure("Status", flow.Of(flow.String)))
	}
	var complaints []flow.Complaint
	for _, key := range sortedKeys(needs) {
		x, presence := payload.Member(key)
		switch {
		case presence == flow.Absent:
			complaints = append(complaints, flow.Complaint{Shape: payload, Severity: asl.SeverityError, Late: true,
				Message: fmt.Sprintf("the function %s needs %q in its payload", name, key)})
		case !x.Can(needs[key]):
			complaints = append(complaints, flow.Complaint{Shape: x, Severity: asl.SeverityError, Late: true,
				Message: fmt.Sprintf("the function %s needs %q to be %s, not %s", name, key, needs[key], x.Kinds)})
		}
	}
	return result, complaints
}
