package policy

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/anneal-ml/anneal"
)

// A node is a part of a boolean expression: and, or, not, newly over others,
// or a comparison, which is anything else.
type node struct {
	id   int64
	text string
	op   string // &&, ||, !, newly; empty for a comparison
	kids []*node

	// Where a comparison has a constant on one side: `read op limit`.
	compare string // <, <=, >, >=, ==, !=
	read    string // text of the other side
	limit   ref.Val
	limitAs string // text of the constant

	// Where it is prefixOf.startsWith(prefix).
	prefixOf, prefix string

	// What can be proved of it rests on these; see [domain].
	at       int        // the byte where it begins
	constant *bool      // where it reads nothing
	strict   bool       // it is known only where all that it reads is
	reads    [][]string // as a leaf's path
	over     string     // `over op2 bound` says the same, where that is not empty
	op2      string
	bound    float64
	same     bool // both sides are
}

// A leaf is what an expression reads: a variable, or a value within one.
type leaf struct {
	id   int64
	text string
	path []string // variable, then the keys within; nil where a key is computed
	at   int      // the byte where it begins
}

// A builder takes a checked expression apart.
type builder struct {
	env    *cel.Env
	ast    *ast.AST
	source string
	place  place
	leaves []leaf
	was    map[int64]string
}

func (b *builder) text(e ast.Expr) string {
	s, err := cel.ExprToString(e, b.ast.SourceInfo(), cel.FormatWrapOnColumn(maxSource))
	if err != nil {
		return "" // unreachable: what was parsed can be printed
	}
	return s
}

func (b *builder) node(e ast.Expr) *node {
	n := &node{id: e.ID(), text: b.text(e), at: b.begin(e)}
	if e.Kind() == ast.CallKind {
		call := e.AsCall()
		switch name := call.FunctionName(); name {
		case operators.LogicalAnd, operators.LogicalOr:
			n.op = map[string]string{operators.LogicalAnd: "&&", operators.LogicalOr: "||"}[name]
			for _, arg := range call.Args() {
				kid := b.node(arg)
				if kid.op == n.op { // a && b && c is one conjunction
					n.kids = append(n.kids, kid.kids...)
				} else {
					n.kids = append(n.kids, kid)
				}
			}
			return n
		case operators.LogicalNot:
			n.op, n.kids = "!", []*node{b.node(call.Args()[0])}
			return n
		case newlyCall:
			n.op, n.kids = "newly", []*node{b.node(call.Args()[0])}
			b.was[call.Args()[0].ID()] = n.kids[0].text
			return n
		case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.Equals, operators.NotEquals:
			b.comparison(n, name, call.Args()[0], call.Args()[1])
			b.numeric(n, name, call.Args()[0], call.Args()[1])
		case "startsWith":
			if text, ok := b.constant(call.Args()[0]).(types.String); ok && call.IsMemberFunction() {
				n.prefixOf, n.prefix = b.text(call.Target()), string(text)
			}
		}
	}
	inner := builder{env: b.env, ast: b.ast, source: b.source, place: b.place}
	inner.read(e, nil)
	for _, l := range inner.leaves {
		n.reads = append(n.reads, l.path)
	}
	if n.strict = strict(e); len(inner.leaves) == 0 {
		if is, ok := b.constant(e).(types.Bool); ok {
			n.constant = new(bool(is))
		}
	}
	b.read(e, nil)
	return n
}

// begin is the byte at which e begins: CEL's own place of a comparison is that
// of its operator.
func (b *builder) begin(e ast.Expr) int {
	at := -1
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		if loc := b.ast.SourceInfo().GetStartLocation(x.ID()); loc.Line() > 0 {
			if here := offsetAt(b.source, loc.Line(), loc.Column()); at < 0 || here < at {
				at = here
			}
		}
	}))
	return max(at, 0)
}

// comparison notes the constant side of n, if it has one.
func (b *builder) comparison(n *node, operator string, left, right ast.Expr) {
	n.compare, _ = operators.FindReverseBinaryOperator(operator)
	if limit := b.constant(right); limit != nil {
		n.read, n.limit, n.limitAs = b.text(left), limit, b.text(right)
	} else if limit := b.constant(left); limit != nil {
		n.read, n.limit, n.limitAs = b.text(right), limit, b.text(left)
		if turned := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[n.compare]; turned != "" {
			n.compare = turned
		}
	}
}

// constant is the value of an expression that reads nothing, else nil.
func (b *builder) constant(e ast.Expr) ref.Val {
	inner := builder{env: b.env, ast: b.ast, place: b.place}
	if inner.read(e, nil); len(inner.leaves) > 0 {
		return nil
	}
	if e.Kind() == ast.LiteralKind {
		return e.AsLiteral()
	}
	checked, issues := b.env.Compile(b.text(e))
	if issues.Err() != nil {
		return nil
	}
	program, err := b.env.Program(checked, cel.CostLimit(maxCost))
	if err != nil {
		return nil
	}
	value, _, err := program.Eval(map[string]any{})
	if err != nil {
		return nil
	}
	return value
}

// read collects what e reads, where the names in bound are of loops.
func (b *builder) read(e ast.Expr, bound []string) {
	switch e.Kind() {
	case ast.SelectKind, ast.IdentKind:
		if path := b.path(e, bound); path != nil {
			b.leaf(e, path)
		} else if e.Kind() == ast.SelectKind {
			b.computed(e, bound)
			b.read(e.AsSelect().Operand(), bound)
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() == operators.Index {
			if path := b.path(e, bound); path != nil {
				b.leaf(e, path)
				return
			}
			b.computed(e, bound)
		}
		if call.IsMemberFunction() {
			b.read(call.Target(), bound)
		}
		for _, arg := range call.Args() {
			b.read(arg, bound)
		}
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			b.read(item, bound)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			b.read(entry.AsMapEntry().Key(), bound)
			b.read(entry.AsMapEntry().Value(), bound)
		}
	case ast.ComprehensionKind:
		loop := e.AsComprehension()
		b.read(loop.IterRange(), bound)
		inner := append(slices.Clone(bound), loop.IterVar(), loop.IterVar2(), loop.AccuVar())
		b.read(loop.LoopStep(), inner)
	}
}

func (b *builder) leaf(e ast.Expr, path []string) {
	text := b.text(e)
	if path[0] == wasVar || slices.ContainsFunc(b.leaves, func(l leaf) bool { return l.text == text }) {
		return
	}
	b.leaves = append(b.leaves, leaf{id: e.ID(), text: text, path: path, at: b.begin(e)})
}

// computed notes a value under a key that is itself computed, outside loops.
func (b *builder) computed(e ast.Expr, bound []string) {
	if len(bound) == 0 {
		if text := b.text(e); !slices.ContainsFunc(b.leaves, func(l leaf) bool { return l.text == text }) {
			b.leaves = append(b.leaves, leaf{id: e.ID(), text: text, at: b.begin(e)})
		}
	}
}

// path is the variable and the constant keys that e selects, if it is that.
func (b *builder) path(e ast.Expr, bound []string) []string {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		if slices.Contains(bound, name) {
			return nil
		}
		return []string{name} // the checker has put full names in place
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return nil
		}
		if path := b.path(e.AsSelect().Operand(), bound); path != nil {
			return append(path, e.AsSelect().FieldName())
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || call.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		key, ok := call.Args()[1].AsLiteral().(types.String)
		if path := b.path(call.Args()[0], bound); path != nil && ok {
			return append(path, string(key))
		}
	}
	return nil
}

// value is what the leaf reads, nil where it is unknown.
func (l leaf) value(v vars, details *cel.EvalDetails) any {
	if l.path == nil {
		if details == nil {
			return nil
		}
		value, _ := details.State().Value(l.id)
		return clauseValue(value)
	}
	at, ok := v[l.path[0]]
	if !ok {
		return nil
	}
	value := ordered{}.NativeToValue(at)
	for _, key := range l.path[1:] {
		m, ok := value.(traits.Mapper)
		if !ok {
			return nil
		}
		if value, ok = m.Find(types.String(key)); !ok {
			return nil
		}
	}
	return clauseValue(value)
}

// clauses are the parts of x with their values: the comparisons in the order
// they are written, each newly and what it is about, then what they read.
func (x *expr) clauses(v vars, details *cel.EvalDetails) []anneal.Clause {
	list := []anneal.Clause{}
	add := func(text string, value any) {
		if !slices.ContainsFunc(list, func(c anneal.Clause) bool { return c.Expr == text }) {
			list = append(list, anneal.Clause{Expr: text, Value: value})
		}
	}
	var visit func(n *node, asWell bool)
	visit = func(n *node, asWell bool) {
		if n.op == "" || n.op == "newly" || asWell {
			add(n.text, n.truth(details))
		}
		for _, kid := range n.kids {
			visit(kid, n.op == "newly")
		}
	}
	visit(x.root, false)
	for _, l := range x.leaves {
		add(l.text, l.value(v, details))
	}
	return list
}

// truth is the value of n in an evaluation: true, false, or nil for unknown.
func (n *node) truth(details *cel.EvalDetails) any {
	if details == nil {
		return nil
	}
	value, _ := details.State().Value(n.id)
	if b, ok := value.(types.Bool); ok {
		return bool(b)
	}
	return nil
}
