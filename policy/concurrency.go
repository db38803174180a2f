package policy

import (
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal"
)

const guardConcurrency = "concurrency"

// ask holds while as many runs as the limit are open under the key, whichever
// policies they are of.
func (c Concurrency) ask(past *State, key string) anneal.GuardResult {
	open := past.openUnder(key)
	g := anneal.GuardResult{ID: guardConcurrency, Veto: len(open) >= c.Limit}
	runs := "runs"
	if c.Limit == 1 {
		runs = "run"
	}
	g.Detail = fmt.Sprintf("%d of %d %s open under %s", len(open), c.Limit, runs, key)
	if len(open) > 0 {
		g.Detail += " (" + strings.Join(open[:min(3, len(open))], ", ") + ")"
	}
	if g.Veto && c.Overlap == BufferOne {
		g.Detail += ", decided again when one ends"
	}
	return g
}

// concurrencyKey is what the policy's runs with these parameters are counted
// by: the model group, unless the policy says otherwise.
func (p *Policy) concurrencyKey(parameters map[string]any) (string, error) {
	v := vars{"model.group": p.Group()}
	if parameters != nil {
		v["parameters"] = parameters
	}
	result, _, err := p.key.eval(v)
	if err != nil {
		return "", fmt.Errorf("concurrency key %s: %w", p.key.text, err)
	}
	key, ok := result.Value().(string)
	if !ok || key == "" {
		return "", fmt.Errorf("concurrency key %s gives %v, not a string", p.key.text, result.Value())
	}
	return key, nil
}

// hasPlace reports whether concurrency would let a run with these parameters
// start.
func (p *Policy) hasPlace(past *State, parameters map[string]any) bool {
	c := p.Spec.Spec.Guards.Concurrency
	if c == nil {
		return true
	}
	key, err := p.concurrencyKey(parameters)
	return err == nil && len(past.openUnder(key)) < c.Limit
}

// firstVeto is the guard that is the reason, empty if none vetoes.
func firstVeto(guards []anneal.GuardResult) string {
	for _, g := range guards {
		if g.Veto {
			return g.ID
		}
	}
	return ""
}
