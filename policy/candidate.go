package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
)

// A StateResult is what a run's history says of the state that makes the
// model: `state` in the expressions under run.model. What is not known is nil.
type StateResult struct {
	Parameters json.RawMessage
	Input      json.RawMessage
	Output     json.RawMessage
}

// Candidate is what the run says of the model that it made: its artifact's URI, its
// metrics and what columns are worth to it. What is not a finite number among the
// metrics is no metric and left out. The error names the expression that gives no
// artifact or no metrics; that importance is not what it should be loses no model,
// which then says so.
func (p *Policy) Candidate(run anneal.Run, s StateResult) (made anneal.Model, err error) {
	if p.artifact == nil {
		return made, fmt.Errorf("policy %s has no run.model", p.Name())
	}
	v := vars{"model.group": p.Group(), "run.id": run.ID}
	v.json("state.parameters", s.Parameters)
	v.json("state.input", s.Input)
	v.json("state.output", s.Output)
	artifact, err := p.artifact.value(v)
	if err != nil {
		return made, err
	}
	uri, ok := artifact.(string)
	if !ok || uri == "" {
		return made, fmt.Errorf("%s gives %v, not a URI", p.artifact.path, artifact)
	}
	made.Artifact.URI = uri
	if made.Metrics, err = p.metricsOf(v); err != nil {
		return made, err
	}
	if made.Importance, err = p.importanceOf(v); err != nil {
		made.ImportanceProblem = strings.ToValidUTF8(err.Error(), "\uFFFD")
	}
	return made, nil
}

func (p *Policy) metricsOf(v vars) (map[string]float64, error) {
	metrics := map[string]float64{}
	if p.metrics == nil {
		return metrics, nil
	}
	value, err := p.metrics.value(v)
	if err != nil {
		return metrics, err
	}
	named, ok := value.(map[string]any)
	if !ok {
		return metrics, fmt.Errorf("%s gives %v, not a map of numbers", p.metrics.path, value)
	}
	for name, value := range named {
		if f, ok := toFloat(value); ok {
			metrics[name] = f
		}
	}
	return metrics, nil
}

func (p *Policy) importanceOf(v vars) (map[string]float64, error) {
	if p.importance == nil {
		return nil, nil
	}
	value, err := p.importance.value(v)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.importance.path, err)
	}
	importance, err := anneal.ParseImportance(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.importance.path, err)
	}
	return importance, nil
}

// importance checks run.model.importance; what is written out there is as a run would
// give it.
func (c *compiler) importance(p *Policy, given any, at place) {
	const path = "spec.run.model.importance"
	before := len(c.problems)
	p.importance = c.template(path, given, at)
	if p.importance.fields == nil && p.importance.items == nil && p.importance.expr == nil {
		if _, isExpr := given.(map[string]any); !isExpr {
			c.problems.add(path, "importance is an object of columns and numbers, or {expr: CEL} that gives one: {expr: state.output.Importance}")
		}
		return
	}
	constant := len(c.problems) == before
	p.importance.each(func(string, *expr) { constant = false })
	if constant {
		if _, err := p.importanceOf(vars{}); err != nil {
			c.problems.add(path, "%s", strings.TrimPrefix(err.Error(), path+": "))
		}
	}
}

func toFloat(value any) (float64, bool) {
	var f float64
	switch n := value.(type) {
	case float64:
		f = n
	case int64:
		f = float64(n)
	case uint64:
		f = float64(n)
	case int:
		f = float64(n)
	case json.Number:
		var err error
		if f, err = n.Float64(); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	return f, !math.IsNaN(f) && !math.IsInf(f, 0)
}

// Promote reports whether the candidate replaces the champion, at the time
// now, and why. The first candidate of a group does so unasked; without a
// promote.if it is the only one. What is unknown does not promote.
func (p *Policy) Promote(candidate anneal.Model, champion *anneal.Model, now time.Time) (promoted bool, reason string) {
	if champion == nil {
		return true, "the first of its group"
	}
	if p.promote == nil {
		return false, "the policy has no promote.if"
	}
	v := vars{
		"model.group": p.Group(), "now": now,
		"candidate.version": float64(candidate.Version), "candidate.metrics": orEmpty(candidate.Metrics),
	}
	v.champion(champion, now)
	value, details, err := p.promote.eval(v)
	result := anneal.RuleResult{ID: "promote.if", Clauses: p.promote.clauses(v, details)}
	numbers := because(result.ID, []anneal.RuleResult{result})
	switch {
	case err != nil:
		return false, fmt.Sprintf("promote.if is unknown: %v", err)
	case value.Value() == true:
		return true, numbers
	case value.Value() == false:
		return false, "not " + numbers
	}
	return false, fmt.Sprintf("promote.if gives %v, neither true nor false", value.Value())
}
