package flow

import (
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/intrinsic"
	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A view is what an expression sees: what stands for $, for $$, and the
// variables.
type view struct {
	a     *analysis
	st    *state
	w     *way
	data  *Shape
	about string // what $ stands for, where it is not the data of the state

	// In JSONata: what $states.result and $states.errorOutput stand for.
	result, failed *Shape
}

// template is what a value in Parameters, ResultSelector and their like gives.
// The keys on the way to it are in at.
func (v view) template(n *value.Node, at string) *Shape {
	switch n.Value.Kind() {
	case value.Object:
		s := &Shape{Kinds: Object, Offset: n.Offset}
		for _, c := range n.Children {
			if c.Duplicate {
				continue
			}
			name, dynamic := strings.CutSuffix(c.Key, ".$")
			if dynamic && !v.st.jsonata {
				s.Fields = append(s.Fields, Field{name, v.expression(c).at(c.Offset), Sure})
			} else {
				if dynamic {
					v.a.remark(c, "in JSONata a key keeps the .$ at its end: name it %q", name)
				}
				s.Fields = append(s.Fields, Field{c.Key, v.template(c, at+"/"+c.Key), Sure})
			}
		}
		return s
	case value.Array:
		s := &Shape{Kinds: Array, Exact: true, Offset: n.Offset}
		for _, c := range n.Children {
			s.Tuple = append(s.Tuple, v.template(c, at))
		}
		return s
	case value.String:
		text := n.Value.Text()
		if v.st.jsonata && strings.HasPrefix(text, "{%") {
			return v.jsonata(n, text).at(n.Offset)
		}
		v.literal(n, at, text)
	}
	return Exactly(n.Value).at(n.Offset)
}

// expression is what a path or a call gives. What does not parse has been
// reported.
func (v view) expression(n *value.Node) *Shape {
	text := n.Value.Text()
	if intrinsic.Is(text) {
		e, err := intrinsic.Parse(text)
		if err != nil {
			return Any()
		}
		return v.call(n, e.Call())
	}
	return v.read(n, text)
}

// read is what the path in text leads to; anything where that is not known or
// cannot be.
func (v view) read(n *value.Node, text string) *Shape {
	p, err := jsonpath.Parse(text)
	if err != nil || n.Value.Kind() != value.String {
		return Any()
	}
	return v.path(n, p)
}

// root is what a path begins at, and the steps from there on.
func (v view) root(p *jsonpath.Path) (*Shape, []jsonpath.Step) {
	steps := p.Steps()
	switch {
	case p.Context():
		return v.a.context(v.st, v.w), steps
	case p.Variable() != "":
		return v.w.vars, append([]jsonpath.Step{{Kind: jsonpath.StepMember, Name: p.Variable()}}, steps...)
	}
	return v.data, steps
}

// path is what p leads to, with a note of whether it can be there.
func (v view) path(n *value.Node, p *jsonpath.Path) *Shape {
	root, steps := v.root(p)
	s, presence, miss := root.follow(steps)
	v.a.note(v, n, p, root, miss)
	v.likely(n, p, root, steps, presence)
	switch {
	case miss != nil && !p.Definite():
		return &Shape{Kinds: Array, Exact: true}
	case miss != nil:
		return Any()
	}
	return s
}

// likely looks at a path that can be there though it is likelier that another one
// is meant: one that differs in capitals or one letter from what a state put
// there, or one into the context object with one $ alone.
func (v view) likely(n *value.Node, p *jsonpath.Path, root *Shape, steps []jsonpath.Step, presence Presence) {
	if p.Context() || p.Variable() != "" || v.about != "" || len(steps) == 0 || !root.Open {
		return
	}
	other := ""
	if presence == Unknown {
		if _, known := root.known(steps[0].Name); !known {
			other = v.meant(p, root, steps)
		}
	}
	v.a.doubt(v, n, "likely "+p.String(), other != "", "%s can only be there if the input has it; did you mean %s?", p, other)
}

func (v view) meant(p *jsonpath.Path, root *Shape, steps []jsonpath.Step) string {
	name := steps[0].Name
	for _, f := range root.Fields {
		if f.Presence == Sure && alike(name, f.Name) {
			return spell(p, append([]jsonpath.Step{{Name: f.Name}}, steps[1:]...))
		}
	}
	if len(steps) < 2 || v.a.Input != nil {
		return ""
	}
	if known := v.a.context(v.st, &way{item: Any()}); slices.Contains([]string{"Execution", "StateMachine", "State", "Map"}, name) {
		if _, presence, _ := known.follow(steps); presence == Sure {
			return "$" + p.String()
		}
	}
	if name == "Task" && steps[1].Name == "Token" {
		return "$" + p.String()
	}
	return ""
}

// known is a member that is known of, not one that there only may be.
func (s *Shape) known(name string) (*Shape, bool) {
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Shape, true
		}
	}
	return nil, false
}

// alike reports whether one name is the other with other capitals or joints, or,
// where it is long, with one letter more or less. Numbers and plurals are told
// apart.
func alike(a, b string) bool {
	bare := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	x, y := bare(a), bare(b)
	if x == y {
		return true
	}
	if len(x) > len(y) {
		x, y = y, x
	}
	return len(x) >= 8 && len(y) == len(x)+1 && y != x+"s" && differ(x, y) == 1 && !strings.ContainsAny(y, "0123456789")
}

// literals are keys whose value can well be a path that is meant for whoever
// gets it.
var literals = []string{"filter", "path", "jsonpath", "expression", "expr", "regex", "pattern", "pointer", "query", "selector", "column", "comment", "description", "feature", "content", "template", "documentation"}

// literal looks at a constant string that looks like a path or a call, as one
// does whose key lacks the .$ at its end. The keys on the way to it are in at.
func (v view) literal(n *value.Node, at, text string) {
	if intrinsic.Is(text) {
		if _, err := intrinsic.Parse(text); err == nil && v.st.jsonata {
			v.a.remark(n, "is passed on as this text: intrinsic functions belong to JSONPath, and this state is in JSONata")
		} else if err == nil && n.Key != "" {
			v.a.remark(n, "is passed on as this text: the key must be %q for the function to be called", n.Key+".$")
		}
		return
	}
	if !strings.HasPrefix(text, "$.") && !strings.HasPrefix(text, "$$.") {
		return
	}
	lower := strings.ToLower(at)
	if slices.ContainsFunc(literals, func(word string) bool { return strings.Contains(lower, word) }) {
		return
	}
	p, err := jsonpath.Parse(text)
	if err != nil || !p.Definite() {
		return
	}
	if v.st.jsonata {
		within := "input"
		if p.Context() {
			within = "context"
		}
		v.a.remark(n, "is passed on as this text: in JSONata the path is {%% $states.%s%s %%}", within, strings.TrimLeft(text, "$"))
		return
	}
	root, steps := v.root(p)
	_, presence, _ := root.follow(steps)
	if presence == Absent {
		return
	}
	if n.Key == "Parameters" || n.Key == "ResultSelector" || n.Key == "ItemSelector" {
		v.a.remark(n, "is passed on as this text: for the value at the path alone, take InputPath, or %q in an object", "key.$")
		return
	}
	if n.Key == "" {
		v.a.remark(n, "is passed on as this text: in an array, take States.Array(%s) under a key that ends in .$", text)
		return
	}
	v.a.remark(n, "is passed on as this text: the key must be %q for the value at the path", n.Key+".$")
}

// parameter kinds of the intrinsic functions, by position; the last counts for
// all that follow.
var takes = map[string][]Kinds{
	"States.Format":         {String, All},
	"States.StringToJson":   {String},
	"States.JsonToString":   {All},
	"States.Array":          {All},
	"States.ArrayPartition": {Array, Number},
	"States.ArrayContains":  {Array, All},
	"States.ArrayRange":     {Number},
	"States.ArrayGetItem":   {Array, Number},
	"States.ArrayLength":    {Array},
	"States.ArrayUnique":    {Array},
	"States.Base64Encode":   {String},
	"States.Base64Decode":   {String},
	"States.Hash":           {All, String},
	"States.JsonMerge":      {Object, Object, Bool},
	"States.MathRandom":     {Number},
	"States.MathAdd":        {Number},
	"States.StringSplit":    {String},
}

// call is what a call of an intrinsic function gives.
func (v view) call(n *value.Node, c intrinsic.Call) *Shape {
	args := make([]*Shape, len(c.Args))
	for i, arg := range c.Args {
		switch {
		case arg.Call != nil:
			args[i] = v.call(n, *arg.Call)
		case arg.Path != nil:
			args[i] = v.path(n, arg.Path)
		default:
			args[i] = Exactly(arg.Literal)
		}
		if kinds := takes[c.Name]; len(kinds) > 0 {
			want := kinds[min(i, len(kinds)-1)]
			what := "the argument"
			if arg.Path != nil {
				what = arg.Path.String()
			}
			v.a.test(v, n, c.Name+what, !args[i].Can(want), "%s takes %s here, and %s is %s", c.Name, want, what, args[i].Kinds)
		}
	}
	switch c.Name {
	case "States.Format":
		return v.format(n, c, args)
	case "States.StringToJson":
		if args[0].Value != nil && args[0].Can(String) {
			if x, err := value.ParseString(args[0].Value.Text()); err == nil {
				return Exactly(x)
			}
		}
		return Any()
	case "States.Array":
		return &Shape{Kinds: Array, Exact: true, Tuple: args}
	case "States.ArrayPartition":
		return List(List(args[0].Item()))
	case "States.ArrayUnique":
		return List(args[0].Item())
	case "States.ArrayGetItem":
		if i := args[1].Value; i != nil && args[0].Exact {
			index, _ := i.Int()
			x, p := args[0].item(int(index))
			v.a.test(v, n, c.Name, p == Absent && args[0].Is(Array), "the array has %d items, so there is none at %d", len(args[0].Tuple), index)
			if p != Absent {
				return x
			}
		}
		return args[0].Item()
	case "States.JsonMerge":
		return merged(args[0], args[1])
	case "States.StringSplit":
		return List(Of(String))
	case "States.ArrayRange":
		return List(Of(Number))
	case "States.ArrayLength", "States.MathAdd", "States.MathRandom":
		return Of(Number)
	case "States.ArrayContains":
		return Of(Bool)
	}
	return Of(String)
}

// format is a string with what is certain of its text.
func (v view) format(n *value.Node, c intrinsic.Call, args []*Shape) *Shape {
	s := Of(String)
	parts := c.Args[0].Parts
	if parts == nil {
		return s
	}
	v.a.test(v, n, c.Name, len(parts) != len(args), "the text has %d {}, and for them the call gives %d", len(parts)-1, len(args)-1)
	whole, known := parts[0], len(parts) == len(args)
	s.Parts = append(s.Parts, parts...)
	for i, x := range args[1:] {
		s.Parts = append(s.Parts, x.Parts...)
		if x.Value == nil || i+1 >= len(parts) || x.Is(Array|Object) {
			known = false
			continue
		}
		text := x.Value.Text()
		if x.Value.Kind() != value.String {
			text = x.Value.String()
		}
		whole += text + parts[i+1]
		s.Parts = append(s.Parts, text)
	}
	if known {
		return Exactly(value.OfString(whole))
	}
	return s
}

// merged is an object with the members of both.
func merged(a, b *Shape) *Shape {
	if !a.Can(Object) || !b.Can(Object) {
		return Of(Object)
	}
	m := &Shape{Kinds: Object, Open: a.Open || b.Open, Fields: slices.Clone(a.Fields)}
	for _, f := range b.Fields {
		old, p := m.Member(f.Name)
		switch {
		case f.Presence == Absent:
		case f.Presence == Sure || p == Absent:
			m = m.with(f.Name, f.Shape, f.Presence)
		default:
			m = m.with(f.Name, join(old, f.Shape), p)
		}
	}
	if b.Open { // whatever it has may stand in the place of a's
		for i, f := range m.Fields {
			if _, p := b.Member(f.Name); p == Unknown && f.Presence == Sure {
				m.Fields[i].Shape = Any()
			}
		}
	}
	return m
}
