package flow

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A Choice is tried out on values that stand for all there can be: of each
// variable those that its rules name, what lies between them, and what is of
// another kind. A rule that none of them reaches is never reached, and where
// one of them reaches no rule, a Default is missing.

// mostCases is how many cases a Choice is tried on; one with more is left alone.
const mostCases = 20_000

// A trial is a value for each variable of a Choice, by path; for two that are
// compared with each other, by both, how they are ordered. Nothing is nil.
type trial map[string]*value.Value

// A domain is the values that a variable is tried with.
type domain struct {
	kinds   Kinds // that comparators are for
	present bool  // IsPresent is asked
	order   bool  // two variables are compared
	like    int   // patterns
	values  []value.Value
}

func (a *analysis) choices(st *state) {
	rules := list(st.node, "Choices")
	domains := map[string]*domain{}
	for _, r := range rules {
		a.literals(r)
	}
	for _, r := range rules {
		if !gather(r, domains) {
			return
		}
	}
	names := slices.Sorted(maps.Keys(domains))
	total := 1
	for _, d := range domains {
		if total *= len(d.values) + 6; total > mostCases || d.like > 1 {
			return
		}
	}
	first, ever := make([]bool, len(rules)), make([]bool, len(rules))
	var gap trial
	c := trial{}
	var try func(i int, usual bool)
	try = func(i int, usual bool) {
		if i < len(names) {
			d := domains[names[i]]
			for _, x := range d.all() {
				c[names[i]] = x
				usual := usual && (x == nil && d.present || x != nil && (d.order && x.Kind() == value.Number || kindsOf(*x)&d.kinds != 0))
				try(i+1, usual)
			}
			return
		}
		taken := false
		for k, r := range rules {
			holds, ok := c.holds(r)
			if holds {
				first[k] = first[k] || !taken
				ever[k], taken = true, true
			}
			if !ok && !taken {
				taken = true // the execution fails there
			}
		}
		if !taken && usual && gap == nil {
			gap = maps.Clone(c)
		}
	}
	try(0, true)
	for k, r := range rules {
		switch {
		case !ever[k]:
			a.remark(r, "this rule can never be true")
		case !first[k]:
			a.remark(r, "this rule is never reached: the rules before it take all that it is for")
		}
	}
	if gap != nil && member(st.node, "Default") == nil {
		a.remark(member(st.node, "Choices"), "there is no Default, and no rule is for every case, as %s: the execution would fail with States.NoChoiceMatched", gap)
	}
}

// literals finds texts of comparisons that are meant to be paths.
func (a *analysis) literals(n *value.Node) {
	for _, c := range n.Children {
		if text := c.Value.Text(); compares(c.Key) && !strings.HasSuffix(c.Key, "Path") && strings.HasPrefix(text, "$.") && c.Key != "StringMatches" {
			if _, err := jsonpath.Parse(text); err == nil {
				a.remark(c, "compares with this text: for the value at the path, the comparison is %sPath", c.Key)
			}
		}
		a.literals(c)
	}
}

// gather notes the variables of a rule and what they are compared with. It
// reports whether the rule is understood.
func gather(n *value.Node, domains map[string]*domain) bool {
	understood := false
	for _, c := range n.Children {
		switch {
		case c.Key == "Not":
			return gather(c, domains)
		case c.Key == "And" || c.Key == "Or":
			for _, x := range c.Children {
				if !gather(x, domains) {
					return false
				}
			}
			return len(c.Children) > 0
		case compares(c.Key):
			key, ok := subject(n, c)
			if !ok {
				return false
			}
			d := domains[key]
			if d == nil {
				d = &domain{}
				domains[key] = d
			}
			d.add(c)
			understood = true
		}
	}
	return understood
}

// subject is what a comparison is about.
func subject(rule, c *value.Node) (string, bool) {
	v := text(rule, "Variable")
	if p, err := jsonpath.Parse(v); err != nil || !p.Definite() {
		return "", false
	}
	if strings.HasSuffix(c.Key, "Path") {
		return v + " and " + c.Value.Text(), true
	}
	return v, true
}

// add adds what a comparison tells apart.
func (d *domain) add(c *value.Node) {
	text := c.Value.Text()
	number := func(s string) {
		if x, err := value.ParseString(s); err == nil {
			d.values = append(d.values, x)
		}
	}
	switch kinds := comparedKinds(c.Key); {
	case strings.HasSuffix(c.Key, "Path"):
		d.order = true
	case c.Key == "IsPresent":
		d.present = true
	case strings.HasPrefix(c.Key, "Is"):
		d.kinds |= isKinds[c.Key]
	case c.Key == "StringMatches":
		d.kinds, d.like = d.kinds|kinds, d.like+1
		bare := strings.NewReplacer(`\\`, `\`, `\*`, "*", "*", "").Replace(text)
		some := strings.NewReplacer(`\\`, `\`, `\*`, "*", "*", "x").Replace(text)
		d.values = append(d.values, value.OfString(bare), value.OfString(some))
	case strings.HasPrefix(c.Key, "Timestamp"):
		d.kinds |= kinds
		if t, ok := timestamp(c.Value); ok {
			for _, s := range []time.Duration{-time.Second, 0, time.Second} {
				d.values = append(d.values, value.OfString(t.Add(s).Format(time.RFC3339Nano)))
			}
		}
	case kinds == String:
		d.kinds |= kinds
		d.values = append(d.values, c.Value, value.OfString(text+"\x00"), value.OfString(""), value.OfString("\U0010ffff"))
	case kinds == Number:
		d.kinds |= kinds
		f := c.Value.Float()
		for _, x := range []float64{f - 1, f - 1e-9*max(1, abs(f)), f + 1e-9*max(1, abs(f)), f + 1} {
			number(fmt.Sprintf("%.17g", x))
		}
		d.values = append(d.values, c.Value)
	default:
		d.kinds |= kinds
	}
}

func abs(f float64) float64 { return max(f, -f) }

// all are the values to try.
func (d *domain) all() []*value.Value {
	if d.order {
		return []*value.Value{new(value.OfInt(-1)), new(value.OfInt(0)), new(value.OfInt(1)), new(value.Value{})}
	}
	all := []*value.Value{new(value.True), new(value.False), new(value.OfString("any other")), new(value.Value{}), new(value.OfObject()), new(value.OfInt(0))}
	for _, v := range d.values {
		all = append(all, &v)
	}
	all = slices.CompactFunc(all, func(a, b *value.Value) bool { return value.Equal(*a, *b) })
	if d.present {
		all = append(all, nil)
	}
	return all
}

// holds reports whether a rule is true in a case, and whether it can be asked:
// comparing what is not there ends the execution.
func (t trial) holds(n *value.Node) (holds, ok bool) {
	for _, c := range n.Children {
		switch {
		case c.Key == "Not":
			holds, ok := t.holds(c)
			return ok && !holds, ok
		case c.Key == "And" || c.Key == "Or":
			for _, x := range c.Children {
				holds, ok := t.holds(x)
				if !ok || holds == (c.Key == "Or") {
					return holds, ok
				}
			}
			return c.Key == "And", true
		case compares(c.Key):
			key, _ := subject(n, c)
			v := t[key]
			switch {
			case c.Key == "IsPresent":
				return (v != nil) == c.Value.Bool(), true
			case v == nil:
				return false, false
			case strings.HasSuffix(c.Key, "Path"):
				comparator := "Numeric" + strings.TrimPrefix(strings.TrimSuffix(c.Key, "Path"), comparedPrefix(c.Key))
				return compared(comparator, *v, value.OfInt(0)), true
			}
			return compared(c.Key, *v, c.Value), true
		}
	}
	return false, false
}

func comparedPrefix(comparator string) string {
	for _, prefix := range []string{"String", "Numeric", "Boolean", "Timestamp"} {
		if strings.HasPrefix(comparator, prefix) {
			return prefix
		}
	}
	return ""
}

// String is the case in words.
func (t trial) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(t)) {
		v := t[name]
		a, b, both := strings.Cut(name, " and ")
		switch {
		case v == nil:
			words = append(words, "without "+name)
		case both && v.Kind() == value.Null:
			words = append(words, "where "+a+" and "+b+" are of different kinds")
		case both:
			n, _ := v.Int()
			words = append(words, "where "+a+" is "+[]string{"less than ", "equal to ", "greater than "}[n+1]+b)
		default:
			words = append(words, "where "+name+" is "+readable(*v))
		}
	}
	return strings.Join(words, " and ")
}

func readable(v value.Value) string {
	if v.Kind() == value.String && strings.ContainsAny(v.Text(), "\x00\U0010ffff") {
		return "another text"
	}
	return v.String()
}
