package asl

import (
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

func (c *checker) choices(st *state, at spot, lead func(spot, string) string) {
	list, ok := c.list(at, "Choices")
	if !ok || len(list) == 0 {
		if f, there := at.at("Choices"); there && f.value().Len() == 0 || !there {
			c.errorf(at, `must have "Choices", an array with at least one rule`)
		}
		return
	}
	for i, f := range list {
		if _, ok := f.at("Next"); !ok {
			c.errorf(f, `must have "Next", the name of a state`)
		}
		next := lead(f, "Next")
		prefix := "Choices[" + f.step + "]/"
		if c.jsonata {
			known := []string{"Comment", "Condition", "Next", "Assign", "Output"}
			c.fields(f, "a rule", c.strangers(f, "rule", known, []string{"Variable", "And", "Or", "Not"}), nil)
			r := rule{test: c.when(f, i), next: next, assign: c.assign(f, prefix)}
			if o, ok := f.at("Output"); ok {
				r.output = c.filled(o, prefix+"Output")
			}
			st.rules = append(st.rules, r)
		} else if t := c.condition(f, true); t != nil {
			st.rules = append(st.rules, rule{test: t, next: next, assign: c.assign(f, prefix)})
		}
	}
}

// condition reads a rule, or what is inside of And, Or and Not.
func (c *checker) condition(at spot, top bool) condition {
	if at.value().Kind() != value.Object {
		c.errorf(at, "must be an object, not %s", at.value().Kind())
		return nil
	}
	known, all := []string{"Comment", "Variable", "And", "Or", "Not"}, comparators()
	if top {
		known = append(known, "Next", "Assign")
	}
	var does []spot
	for _, f := range at.members() {
		name := f.step
		_, comparator := all[name]
		switch {
		case comparator || name == "And" || name == "Or" || name == "Not":
			does = append(does, f)
		case slices.Contains(known, name):
		case name == "Next":
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, `only the outermost rule may have "Next"`)
		case name == "Condition" || name == "Output":
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "%s belongs to JSONata, and this rule is in JSONPath", name)
		case name == "Assign":
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, `only the outermost rule may have "Assign"`)
		default:
			candidates := slices.Clone(known)
			for n := range all {
				candidates = append(candidates, n)
			}
			slices.Sort(candidates)
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "unknown comparison %q (%s)", name, have(name, candidates))
		}
	}
	if len(does) != 1 {
		var names []string
		for _, f := range does {
			names = append(names, f.step)
		}
		if len(names) > 1 {
			c.errorf(at, "has %s: only one comparison may be there; And and Or join several", quoted(names, "and"))
		} else if len(at.members()) == 0 || !c.refused(at) {
			c.errorf(at, `must have a comparison, such as "StringEquals", or "And", "Or" or "Not"`)
		}
		return nil
	}
	f := does[0]
	_, variable := at.at("Variable")
	switch f.step {
	case "Not":
		if variable {
			c.errorf(at, `"Variable" and "Not" exclude each other`)
		}
		if of := c.condition(f, false); of != nil {
			return not{of}
		}
		return nil
	case "And", "Or":
		if variable {
			c.errorf(at, `"Variable" and %q exclude each other`, f.step)
		}
		if f.value().Kind() != value.Array || f.value().Len() == 0 {
			c.errorf(f, "must be an array with at least one rule, not %s", brief(f.value()))
			return nil
		}
		var list []condition
		for _, x := range f.members() {
			if of := c.condition(x, false); of != nil {
				list = append(list, of)
			}
		}
		if f.step == "Or" {
			return or(list)
		}
		return and(list)
	}
	return c.compare(at, f, all[f.step])
}

// refused reports whether a rule was refused already for a field it has.
func (c *checker) refused(at spot) bool {
	for _, f := range at.members() {
		if !slices.Contains([]string{"Comment", "Variable", "Next", "Assign"}, f.step) {
			return true
		}
	}
	return false
}

func (c *checker) compare(at, f spot, op operator) condition {
	x := compare{operator: op, literal: f.value()}
	if _, ok := at.at("Variable"); !ok {
		c.errorf(at, `must have "Variable", a path`)
	} else {
		x.variable = c.path(at, "Variable")
	}
	if strings.HasSuffix(f.step, "Path") {
		x.path = c.path(at, f.step)
		return x
	}
	want := map[string]value.Kind{"Numeric": value.Number, "Boolean": value.Bool, "Is": value.Bool}
	kind, ok := want[op.kind]
	if !ok {
		kind = value.String
	}
	if x.literal.Kind() != kind {
		c.errorf(f, "must be a %s, not %s", kind, brief(x.literal))
	} else if _, ok := timestamp(x.literal.Text()); op.kind == "Timestamp" && !ok {
		c.errorf(f, "must be a time of RFC 3339, as in 2026-08-18T17:33:00Z, not %s", brief(x.literal))
	}
	return x
}
