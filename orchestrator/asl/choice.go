package asl

import (
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A rule is one entry of Choices.
type rule struct {
	test   condition
	next   string
	assign *template
	output *template // in JSONata
}

// A condition is the test of a rule.
type condition interface {
	holds(f *frame, in value.Value) (bool, error)
}

type (
	and []condition
	or  []condition
	not struct{ of condition }

	// compare is one of the comparators, such as NumericLessThanPath.
	compare struct {
		variable *jsonpath.Path
		operator operator
		literal  value.Value
		path     *jsonpath.Path // instead of literal
	}
)

// An operator is what a comparator does, without Path at its end.
type operator struct {
	kind string // String, Numeric, Boolean, Timestamp; Matches; Is
	// rest is, of an Is, what; else how the two are to be ordered.
	rest string
}

// comparators are all 39, by name.
func comparators() map[string]operator {
	all := map[string]operator{"StringMatches": {"Matches", ""}}
	for _, what := range []string{"Null", "Present", "String", "Numeric", "Boolean", "Timestamp"} {
		all["Is"+what] = operator{"Is", what}
	}
	for _, kind := range []string{"String", "Numeric", "Boolean", "Timestamp"} {
		for _, order := range []string{"Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals"} {
			if kind == "Boolean" && order != "Equals" {
				continue
			}
			all[kind+order] = operator{kind, order}
			all[kind+order+"Path"] = operator{kind, order}
		}
	}
	return all
}

func (cs and) holds(f *frame, in value.Value) (bool, error) {
	for _, c := range cs {
		if ok, err := c.holds(f, in); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (cs or) holds(f *frame, in value.Value) (bool, error) {
	for _, c := range cs {
		if ok, err := c.holds(f, in); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (c not) holds(f *frame, in value.Value) (bool, error) {
	ok, err := c.of.holds(f, in)
	return !ok, err
}

func (c compare) holds(f *frame, in value.Value) (bool, error) {
	v, present, err := f.operand(c.variable, in)
	if err != nil {
		return false, err
	}
	if c.operator == (operator{"Is", "Present"}) {
		return present == c.literal.Bool(), nil
	}
	if !present {
		return false, f.noOperand(c.variable)
	}
	w := c.literal
	if c.path != nil {
		if w, present, err = f.operand(c.path, in); err != nil {
			return false, err
		}
		if !present {
			return false, f.noOperand(c.path)
		}
	}
	switch c.operator.kind {
	case "Is":
		return is(v, c.operator.rest) == w.Bool(), nil
	case "Matches":
		return v.Kind() == value.String && matches(v.Text(), w.Text()), nil
	case "Boolean":
		return v.Kind() == value.Bool && w.Kind() == value.Bool && v.Bool() == w.Bool(), nil
	}
	order := 0
	switch c.operator.kind {
	case "String":
		if v.Kind() != value.String || w.Kind() != value.String {
			return false, nil
		}
		order = strings.Compare(v.Text(), w.Text())
	case "Numeric":
		if v.Kind() != value.Number || w.Kind() != value.Number {
			return false, nil
		}
		order = value.Compare(v, w)
	case "Timestamp":
		a, okA := timestamp(v.Text())
		b, okB := timestamp(w.Text())
		if !okA || !okB || v.Kind() != value.String || w.Kind() != value.String {
			return false, nil
		}
		order = a.Compare(b)
	}
	switch c.operator.rest {
	case "Equals":
		return order == 0, nil
	case "LessThan":
		return order < 0, nil
	case "LessThanEquals":
		return order <= 0, nil
	case "GreaterThan":
		return order > 0, nil
	}
	return order >= 0, nil
}

// operand is what a path of a comparison leads to.
func (f *frame) operand(p *jsonpath.Path, in value.Value) (v value.Value, present bool, err error) {
	in, ok := f.root(p, in)
	if !ok {
		return value.Value{}, false, nil
	}
	v, err = p.Select(in)
	if _, missing := err.(*jsonpath.NotFoundError); missing {
		return value.Value{}, false, nil
	}
	if err != nil {
		return v, false, f.runtime("Invalid path '%s' : %v", p, err)
	}
	return v, p.Definite() || v.Len() > 0, nil
}

func (f *frame) noOperand(p *jsonpath.Path) error {
	return f.runtime("Invalid path '%s': The choice state's condition path references an invalid value.", p)
}

func is(v value.Value, what string) bool {
	switch what {
	case "Null":
		return v.Kind() == value.Null
	case "String":
		return v.Kind() == value.String
	case "Numeric":
		return v.Kind() == value.Number
	case "Boolean":
		return v.Kind() == value.Bool
	}
	_, ok := timestamp(v.Text())
	return v.Kind() == value.String && ok
}

// matches reports whether s is like pattern, in which * stands for any text,
// \* for an asterisk and \\ for a backslash.
func matches(s, pattern string) bool {
	var parts []string // between the asterisks
	var part strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern) && (pattern[i+1] == '*' || pattern[i+1] == '\\'):
			i++
			part.WriteByte(pattern[i])
		case c == '*':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(c)
		}
	}
	last := part.String()
	if len(parts) == 0 {
		return s == last
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1:] {
		if _, s, ok = strings.Cut(s, p); !ok {
			return false
		}
	}
	return strings.HasSuffix(s, last)
}
