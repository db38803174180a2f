package jsonata

import "math"

// An evaluator is a compiled node: it gives a value for an input and the
// variables around it.
type evaluator func(e *evaluation, in val, env *frame) (val, error)

// A compiler makes evaluators of nodes.
type compiler struct {
	builtins map[string]*function
	states   bool // they are those of Step Functions, and so are the limits
}

// compile gives the evaluator of a node with its predicates and grouping.
func (c compiler) compile(n *node) evaluator {
	run := c.bare(n)
	filters := c.stages(n.predicates)
	var group *grouping
	if n.group != nil && n.typ != nodePath {
		group = c.grouping(n.group)
	}
	keep := n.keepArray
	switch n.typ {
	case nodeString, nodeNumber, nodeValue, nodeLambda, nodeRegex, nodeTransform, nodePartial, nodeParent:
		if len(filters) == 0 && group == nil && !keep {
			return run // no sequence comes of it
		}
	case nodeName:
		if len(filters) == 0 && group == nil {
			return func(e *evaluation, in val, env *frame) (val, error) {
				if in.kind == dict {
					return in.member(n.value), nil
				}
				v, err := run(e, in, env)
				return collapse(v, keep), err
			}
		}
	}
	if len(filters) == 0 && group == nil {
		return func(e *evaluation, in val, env *frame) (val, error) {
			if err := e.begin(); err != nil {
				return val{}, err
			}
			v, err := run(e, in, env)
			e.end()
			return collapse(v, keep), err
		}
	}
	return func(e *evaluation, in val, env *frame) (val, error) {
		if err := e.begin(); err != nil {
			return val{}, err
		}
		v, err := run(e, in, env)
		for i := 0; err == nil && i < len(filters); i++ {
			v, err = filters[i].filter(e, v, env)
		}
		if err == nil && group != nil {
			v, err = group.eval(e, v, env)
		}
		e.end()
		return collapse(v, keep), err
	}
}

func (c compiler) all(list []*node) []evaluator {
	out := make([]evaluator, len(list))
	for i, n := range list {
		out[i] = c.compile(n)
	}
	return out
}

func constant(v val) evaluator {
	return func(*evaluation, val, *frame) (val, error) { return v, nil }
}

func (c compiler) bare(n *node) evaluator {
	switch n.typ {
	case nodePath:
		return c.path(n)
	case nodeBinary:
		return c.binary(n)
	case nodeUnary:
		switch n.value {
		case "[":
			return c.arrayOf(n)
		case "{":
			return c.grouping(n).eval
		}
		return c.negative(n)
	case nodeName:
		name := n.value
		return func(e *evaluation, in val, _ *frame) (val, error) { return e.find(in, name) }
	case nodeString, nodeNumber, nodeValue:
		return constant(n.lit)
	case nodeWildcard:
		return wildcard
	case nodeDescendant:
		return descendants
	case nodeParent:
		s := n.parent
		return func(e *evaluation, _ val, env *frame) (val, error) { return e.lookup(s.label, env, nil), nil }
	case nodeCondition:
		return c.condition(n)
	case nodeBlock:
		return c.block(n)
	case nodeBind:
		name, rhs := n.lhs.value, c.compile(n.rhs)
		return func(e *evaluation, in val, env *frame) (val, error) {
			v, err := rhs(e, in, env)
			if err == nil {
				env.bind(name, v)
			}
			return v, err
		}
	case nodeRegex:
		return constant(val{kind: callable, ref: &function{regex: n.regex, arity: 2}})
	case nodeVariable:
		name, builtin := n.value, c.builtins[n.value]
		if name == "" {
			return func(_ *evaluation, in val, _ *frame) (val, error) {
				if a := in.array(); a != nil && a.outer {
					return a.at(0), nil
				}
				return in, nil
			}
		}
		return func(e *evaluation, _ val, env *frame) (val, error) { return e.lookup(name, env, builtin), nil }
	case nodeFunction:
		if n.tail {
			return c.tailCall(n)
		}
		call := c.call(n)
		return func(e *evaluation, in val, env *frame) (val, error) { return call(e, in, env, nil) }
	case nodeLambda:
		return c.lambda(n)
	case nodePartial:
		return c.partial(n)
	case nodeApply:
		return c.apply(n)
	case nodeTransform:
		return c.transform(n)
	}
	return constant(val{}) // an operator ? where none belongs
}

func (c compiler) negative(n *node) evaluator {
	of := c.compile(n.lhs)
	return func(e *evaluation, in val, env *frame) (val, error) {
		v, err := of(e, in, env)
		if err != nil || !v.defined() {
			return val{}, err
		}
		ok, err := finite(v)
		if err == nil && !ok {
			err = &Error{Code: "D1002", Position: n.pos, Token: n.value, value: v}
		}
		return ofNumber(-v.num), err
	}
}

func (c compiler) arrayOf(n *node) evaluator {
	items := c.all(n.list)
	return func(e *evaluation, in val, env *frame) (val, error) {
		a := &array{items: make([]val, 0, len(items)), cons: n.cons}
		for i, item := range items {
			v, err := item(e, in, env)
			switch {
			case err != nil:
				return v, err
			case !v.defined():
			case v.kind != list || n.list[i].typ == nodeUnary && n.list[i].value == "[":
				a.items = append(a.items, v)
			default:
				if r := v.array(); r != nil && r.items == nil && len(items) == 1 {
					a.items, a.first, a.span = nil, r.first, r.span // as a range still
					return ofArray(a), nil
				}
				if err := e.extend(a, v); err != nil {
					return v, err
				}
			}
		}
		return ofArray(a), e.spend(len(items))
	}
}

// extend appends the items of a list to a.
func (e *evaluation) extend(a *array, v val) error {
	n := v.len()
	if err := e.spend(n); err != nil {
		return err
	}
	for i := range n {
		a.items = append(a.items, v.at(i))
	}
	return nil
}

func (c compiler) condition(n *node) evaluator {
	cond, then := c.compile(n.cond), c.compile(n.then)
	var els evaluator
	if n.els != nil {
		els = c.compile(n.els)
	}
	return func(e *evaluation, in val, env *frame) (val, error) {
		v, err := cond(e, in, env)
		if err != nil {
			return v, err
		}
		yes, err := e.boolOf(v)
		switch {
		case err != nil:
			return val{}, err
		case yes:
			return then(e, in, env)
		case els != nil:
			return els(e, in, env)
		}
		return val{}, nil
	}
}

func (c compiler) block(n *node) evaluator {
	list := c.all(n.list)
	own := false // it needs variables of its own
	for _, x := range n.list {
		own = own || binds(x)
	}
	return func(e *evaluation, in val, env *frame) (val, error) {
		if own {
			env = &frame{up: env}
		}
		var v val
		var err error
		for _, x := range list {
			if v, err = x(e, in, env); err != nil {
				return v, err
			}
		}
		return v, nil
	}
}

// binds reports whether a variable may be bound in n that is seen outside of
// it: not in a block or lambda. A call of $eval may bind anything.
func binds(n *node) bool {
	found := false
	walk(n, func(x *node) bool {
		if x.typ == nodeBind || x.typ == nodeVariable && x.value == "eval" {
			found = true
		}
		return !found && (x == n || x.typ != nodeLambda) && x.typ != nodeBlock
	})
	return found
}

// arithmetic is what the signs do with numbers.
func arithmetic(op string, a, b float64) float64 {
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		return a / b
	}
	return math.Mod(a, b)
}

func (c compiler) binary(n *node) evaluator {
	lhs, rhs, op := c.compile(n.lhs), c.compile(n.rhs), n.value
	if op == "and" || op == "or" {
		return func(e *evaluation, in val, env *frame) (val, error) {
			v, err := lhs(e, in, env)
			if err != nil {
				return v, err
			}
			yes, err := e.boolOf(v)
			if err == nil && yes == (op == "and") {
				if v, err = rhs(e, in, env); err == nil {
					yes, err = e.boolOf(v)
				}
			}
			return ofBool(yes), n.at(err)
		}
	}
	var do func(e *evaluation, a, b val) (val, error)
	switch op {
	case "+", "-", "*", "/", "%":
		do = func(_ *evaluation, a, b val) (val, error) {
			if ok, err := finite(a); !ok && a.defined() {
				return val{}, orElse(err, &Error{Code: "T2001", value: a})
			}
			if ok, err := finite(b); !ok && b.defined() {
				return val{}, orElse(err, &Error{Code: "T2002", value: b})
			}
			if !a.defined() || !b.defined() {
				return val{}, nil
			}
			return ofNumber(arithmetic(op, a.num, b.num)), nil
		}
	case "=", "!=":
		do = func(e *evaluation, a, b val) (val, error) {
			if !a.defined() || !b.defined() {
				return valFalse, nil
			}
			same, err := e.equal(a, b)
			return ofBool(same == (op == "=")), err
		}
	case "<", "<=", ">", ">=":
		do = func(e *evaluation, a, b val) (val, error) { return e.compare(op, a, b) }
	case "&":
		do = func(e *evaluation, a, b val) (val, error) {
			s, err := e.textOf(a)
			if err != nil {
				return val{}, err
			}
			t, err := e.textOf(b)
			if err != nil {
				return val{}, err
			}
			if s == "" && b.kind == text {
				return b, nil
			}
			return ofText(joined(s, t)), e.spendText(len(s) + len(t))
		}
	case "..":
		do = rangeOf
	case "in":
		do = func(e *evaluation, a, b val) (val, error) {
			if !a.defined() || !b.defined() {
				return valFalse, nil
			}
			b = listOf(b)
			size := b.len()
			if err := e.spend(size); err != nil {
				return val{}, err
			}
			for i := range size {
				if identical(a, b.at(i)) {
					return valTrue, nil
				}
			}
			return valFalse, nil
		}
	}
	return func(e *evaluation, in val, env *frame) (val, error) {
		a, err := lhs(e, in, env)
		if err != nil {
			return a, err
		}
		b, err := rhs(e, in, env)
		if err != nil {
			return b, err
		}
		v, err := do(e, a, b)
		if err != nil {
			return v, n.at(err)
		}
		return v, nil
	}
}

// orElse is the first that is an error.
func orElse(a error, b *Error) error {
	if a != nil {
		return a
	}
	return b
}

// at says that an error is one of the operator n.
func (n *node) at(err error) error {
	if x, ok := err.(*Error); ok {
		x.Position, x.Token = n.pos, n.value
	}
	return err
}

func (e *evaluation) compare(op string, a, b val) (val, error) {
	comparable := func(v val) bool { return v.kind == text || v.kind == number }
	if !comparable(a) && a.defined() || !comparable(b) && b.defined() {
		at := b
		if !comparable(a) {
			at = a
		}
		return val{}, &Error{Code: "T2010", value: at}
	}
	if !a.defined() || !b.defined() {
		return val{}, nil
	}
	if a.kind != b.kind {
		return val{}, &Error{Code: "T2009", value: a, value2: b}
	}
	var less, same bool
	if a.kind == number {
		less, same = a.num < b.num, a.num == b.num
		if a.num != a.num || b.num != b.num {
			return valFalse, nil
		}
	} else {
		order, err := e.compareText(a.str(), b.str())
		if err != nil {
			return val{}, err
		}
		less, same = order < 0, order == 0
	}
	switch op {
	case "<":
		return ofBool(less), nil
	case "<=":
		return ofBool(less || same), nil
	case ">":
		return ofBool(!less && !same), nil
	}
	return ofBool(!less), nil
}

// maxRange is how many items a range may have.
const maxRange = 1e7

func rangeOf(e *evaluation, a, b val) (val, error) {
	integer := func(v val) bool { return v.kind == number && v.num == math.Trunc(v.num) && !math.IsInf(v.num, 0) }
	if a.defined() && !integer(a) {
		return val{}, &Error{Code: "T2003", value: a}
	}
	if b.defined() && !integer(b) {
		return val{}, &Error{Code: "T2004", value: b}
	}
	if !a.defined() || !b.defined() || a.num > b.num {
		return val{}, nil
	}
	size := b.num - a.num + 1
	if e.states && size > statesSpan {
		return val{}, large()
	}
	if size > maxRange {
		return val{}, &Error{Code: "D2014", value: ofNumber(size)}
	}
	return ofArray(&array{first: a.num, span: int(size), sequence: true}), nil
}
