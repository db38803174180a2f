package flow

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// plainPath is an expression in JSONata that is a path and nothing else. Of any
// other nothing is known.
var plainPath = regexp.MustCompile(`^\{%\s*\$(states\.input|states\.result|states\.errorOutput|states\.context)((?:\.[A-Za-z_][A-Za-z_0-9]*)+)\s*%\}$`)

// jsonata is what an expression gives. One that gives nothing fails.
func (v view) jsonata(n *value.Node, text string) *Shape {
	m := plainPath.FindStringSubmatch(text)
	if m == nil {
		return Any()
	}
	root := map[string]*Shape{
		"states.input": v.w.data, "states.result": v.result, "states.errorOutput": v.failed, "states.context": v.a.context(v.st, v.w),
	}[m[1]]
	if root == nil {
		return Any()
	}
	p, err := jsonpath.Parse("$" + m[2])
	if err != nil {
		return Any()
	}
	s := root
	for i, step := range p.Steps() {
		if s.Can(Array) {
			return Any() // a step into a list is one into all its items
		}
		next, presence := s.Member(step.Name)
		var problem func(bool) string
		if presence == Absent {
			lost := &miss{p.Steps(), i, s}
			problem = func(others bool) string {
				return fmt.Sprintf("$%s%s gives nothing, which is an error: %s", m[1], m[2], strings.TrimPrefix(v.a.explain(v.of(m[1]), p, root, lost, others), p.String()+" is not there: "))
			}
		}
		v.a.try(v, n.Offset, fmt.Sprintf("jsonata %d", i), v.a.fails(), problem)
		if presence == Absent {
			return Any()
		}
		s = next
	}
	return s
}

// of is the view of a path into one of the values under $states.
func (v view) of(what string) view {
	v.about = map[string]string{"states.result": "the result", "states.errorOutput": "the error output", "states.context": "the context object"}[what]
	return v
}
