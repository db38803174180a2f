package flow

import (
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A branch is one of the ways on from a test: how it turned out, and what is
// known then.
type branch struct {
	w     *way
	holds bool
}

// mostBranches is how many ways one condition is followed on.
const mostBranches = 64

// condition is how a rule can turn out. The data of each way is what the rule
// sees.
func (v view) condition(n *value.Node) []branch {
	unknown := []branch{{v.w, true}, {v.w, false}}
	for _, c := range n.Children {
		if c.Duplicate {
			continue
		}
		switch c.Key {
		case "Not":
			of := v.condition(c)
			for i := range of {
				of[i].holds = !of[i].holds
			}
			return of
		case "And", "Or":
			open, done := []branch{{v.w, c.Key == "And"}}, []branch(nil)
			for _, rule := range c.Children {
				var next []branch
				for _, b := range open {
					for _, x := range v.on(b.w).condition(rule) {
						if x.holds == (c.Key == "And") {
							next = append(next, x)
						} else {
							done = append(done, x)
						}
					}
				}
				open = next
			}
			if all := append(done, open...); len(all) <= mostBranches {
				return all
			}
			return unknown
		}
		if compares(c.Key) {
			return v.compare(n, c)
		}
	}
	return unknown
}

// on is the view from another way.
func (v view) on(w *way) view {
	v.w, v.data = w, w.data
	return v
}

func compares(key string) bool {
	for _, prefix := range []string{"String", "Numeric", "Boolean", "Timestamp", "Is"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// compare is how one comparison can turn out.
func (v view) compare(rule, c *value.Node) []branch {
	unknown := []branch{{v.w, true}, {v.w, false}}
	variable := member(rule, "Variable")
	if variable == nil {
		return unknown
	}
	p, err := jsonpath.Parse(variable.Value.Text())
	if err != nil {
		return unknown
	}
	root, steps := v.root(p)
	s, presence, miss := root.follow(steps)
	if !p.Definite() {
		s, presence, miss = Any(), Unknown, nil
	}
	if c.Key == "IsPresent" {
		want := c.Value.Bool()
		switch {
		case miss != nil:
			return []branch{{v.w, !want}}
		case presence == Sure:
			return []branch{{v.w, want}}
		case !p.Definite():
			return unknown
		}
		there := v.w.refined(p, steps, func(s *Shape) *Shape { return s })
		return []branch{{there, want}, {v.w.lacking(p, steps), !want}}
	}
	v.a.note(v, variable, p, root, miss)
	v.likely(variable, p, root, steps, presence)
	if miss != nil || !p.Definite() {
		return unknown
	}
	kinds := comparedKinds(c.Key)
	v.a.doubt(v, c, "kind", !strings.HasPrefix(c.Key, "Is") && !s.Can(kinds) && v.alone(variable.Value.Text(), s.Kinds),
		"is never true: %s compares %s, and %s is %s", c.Key, kinds, p, s.shown())
	test, literal := c.Key, c.Value
	if strings.HasSuffix(c.Key, "Path") {
		other, err := jsonpath.Parse(c.Value.Text())
		if err != nil {
			return unknown
		}
		x := v.path(c, other)
		test += " " + other.String()
		v.a.doubt(v, c, "other kind", !x.Can(kinds), "is never true: %s compares %s, and %s is %s", c.Key, kinds, other, x.shown())
		if x.Value == nil {
			return v.either(p, steps, s, test, kinds)
		}
		literal = *x.Value
	} else {
		test += " " + literal.String()
	}
	if s.Value != nil && !v.a.blind {
		return []branch{{v.w, compared(strings.TrimSuffix(c.Key, "Path"), *s.Value, literal)}}
	}
	if is, ok := isKinds[c.Key]; ok {
		want := literal.Bool()
		switch {
		case c.Key == "IsTimestamp":
			return v.either(p, steps, s, test, All)
		case s.Is(is):
			return []branch{{v.w, want}}
		case !s.Can(is):
			return []branch{{v.w, !want}}
		}
		return []branch{
			{v.w.refined(p, steps, func(s *Shape) *Shape { return s.only(is) }), want},
			{v.w.refined(p, steps, func(s *Shape) *Shape { return s.only(All &^ is) }), !want},
		}
	}
	if !s.Can(kinds) {
		return []branch{{v.w, false}}
	}
	out := v.either(p, steps, s, test, kinds)
	if c.Key == "StringEquals" || c.Key == "BooleanEquals" || c.Key == "NumericEquals" {
		for i, b := range out {
			if b.holds {
				out[i].w = v.w.refined(p, steps, func(s *Shape) *Shape {
					t := *s
					t.sum, t.Value, t.Kinds = 0, &literal, kinds
					return &t
				})
			} else if c.Key == "BooleanEquals" && s.Is(Bool) {
				other := value.OfBool(!literal.Bool())
				out[i].w = v.w.refined(p, steps, func(s *Shape) *Shape {
					t := *s
					t.sum, t.Value = 0, &other
					return &t
				})
			}
		}
	}
	return out
}

// alone reports whether no test of the variable in this Choice is for these
// kinds.
func (v view) alone(variable string, kinds Kinds) bool {
	var visit func(n *value.Node) bool
	visit = func(n *value.Node) bool {
		for _, c := range n.Children {
			if compares(c.Key) && text(n, "Variable") == variable && (strings.HasPrefix(c.Key, "Is") || comparedKinds(c.Key)&kinds != 0) || !visit(c) {
				return false
			}
		}
		return true
	}
	return visit(v.st.node)
}

// either is both outcomes of a test, or the one that it had before of the same
// value.
func (v view) either(p *jsonpath.Path, steps []jsonpath.Step, s *Shape, test string, kinds Kinds) []branch {
	for _, f := range s.facts {
		if f.test == test {
			return []branch{{v.w, f.holds}}
		}
	}
	return []branch{
		{v.w.refined(p, steps, func(s *Shape) *Shape { return s.only(kinds).learn(test, true) }), true},
		{v.w.refined(p, steps, func(s *Shape) *Shape { return s.learn(test, false) }), false},
	}
}

// refined is the way on which more is known of what p leads to.
func (w *way) refined(p *jsonpath.Path, steps []jsonpath.Step, f func(*Shape) *Shape) *way {
	x := *w
	switch {
	case p.Context():
	case p.Variable() != "":
		x.vars = w.vars.refine(steps, f)
	default:
		x.data = w.data.refine(steps, f)
	}
	return &x
}

// lacking is the way on which p leads nowhere.
func (w *way) lacking(p *jsonpath.Path, steps []jsonpath.Step) *way {
	x := *w
	switch {
	case p.Context():
	case p.Variable() != "":
		x.vars = w.vars.without(steps)
	default:
		x.data = w.data.without(steps)
	}
	return &x
}

var isKinds = map[string]Kinds{"IsNull": Null, "IsString": String, "IsNumeric": Number, "IsBoolean": Bool, "IsTimestamp": String}

// comparedKinds are the kinds of which a comparison can be true.
func comparedKinds(comparator string) Kinds {
	for prefix, kinds := range map[string]Kinds{"String": String, "Numeric": Number, "Boolean": Bool, "Timestamp": String} {
		if strings.HasPrefix(comparator, prefix) {
			return kinds
		}
	}
	return All
}

// compared is how a comparison of two known values turns out.
func compared(comparator string, a, b value.Value) bool {
	if is, ok := isKinds[comparator]; ok {
		_, time := timestamp(a)
		return (kindsOf(a) == is && (comparator != "IsTimestamp" || time)) == b.Bool()
	}
	kinds := comparedKinds(comparator)
	if kindsOf(a) != kinds || kindsOf(b) != kinds {
		return false
	}
	order := 0
	switch {
	case comparator == "StringMatches":
		return matches(a.Text(), b.Text())
	case kinds == Bool:
		return a.Bool() == b.Bool()
	case kinds == Number:
		order = value.Compare(a, b)
	case strings.HasPrefix(comparator, "Timestamp"):
		x, ok := timestamp(a)
		y, also := timestamp(b)
		if !ok || !also {
			return false
		}
		order = x.Compare(y)
	default:
		order = strings.Compare(a.Text(), b.Text())
	}
	switch {
	case strings.HasSuffix(comparator, "LessThan"):
		return order < 0
	case strings.HasSuffix(comparator, "LessThanEquals"):
		return order <= 0
	case strings.HasSuffix(comparator, "GreaterThan"):
		return order > 0
	case strings.HasSuffix(comparator, "GreaterThanEquals"):
		return order >= 0
	}
	return order == 0
}

func timestamp(v value.Value) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, v.Text())
	return t, err == nil
}

// matches reports whether text is like a pattern of StringMatches, in which *
// is any text and a backslash takes its meaning.
func matches(text, pattern string) bool {
	parts := []string{""}
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '*':
			parts = append(parts, "")
			continue
		case pattern[i] == '\\' && i+1 < len(pattern) && (pattern[i+1] == '*' || pattern[i+1] == '\\'):
			i++
		}
		parts[len(parts)-1] += pattern[i : i+1]
	}
	last := len(parts) - 1
	if last == 0 {
		return text == parts[0]
	}
	text, ok := strings.CutPrefix(text, parts[0])
	for _, part := range parts[1:last] {
		found := false
		_, text, found = strings.Cut(text, part)
		ok = ok && found
	}
	return ok && strings.HasSuffix(text, parts[last])
}
