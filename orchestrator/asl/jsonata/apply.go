package jsonata

import "github.com/anneal-ml/anneal/orchestrator/asl/value"

// A function is what can be called: it is of this package, a lambda, or one of
// those made into another.
type function struct {
	name      string // of a built-in
	signature *signature
	arity     int // how many arguments a higher-order function gives it at most

	native native
	regex  *regex

	params []string // of a lambda
	body   evaluator
	in     val
	env    *frame

	// within is the function that this one stands for. A function becomes
	// such a one where it is passed as an argument: it has lost its context.
	within *function
}

// A native does the work of a function of this package. Arguments that were
// not given are undefined.
type native func(e *evaluation, c *arguments) (val, error)

// arguments is what a function is called with.
type arguments struct {
	list []val
	in   val // the context
	env  *frame
}

func (c *arguments) at(i int) val {
	if i < len(c.list) {
		return c.list[i]
	}
	return val{}
}

// A thunk is a call in tail position: it is made by the one who called, so
// that the stack does not grow.
type thunk struct {
	callee val
	args   []val
	token  string
	pos    int
}

// argument is a value as it is passed.
func argument(v val) val {
	if v.kind != callable {
		return v
	}
	f := v.ref.(*function)
	if f.within != nil {
		return v
	}
	return val{kind: callable, ref: &function{arity: f.arity, within: f}}
}

// call is the evaluator of a function call; first is an argument that comes
// before the others, as in x ~> f().
func (c compiler) call(n *node) func(e *evaluation, in val, env *frame, first *val) (val, error) {
	callee, args, name := c.compile(n.proc), c.all(n.list), n.callee()
	builtin := c.builtins[name]
	return func(e *evaluation, in val, env *frame, first *val) (val, error) {
		f, err := callee(e, in, env)
		if err != nil {
			return f, err
		}
		if !f.defined() && n.proc.typ == nodePath && e.lookup(name, env, builtin).defined() {
			return f, misuse("T1005", n.pos, name)
		}
		list := make([]val, 0, len(args)+1)
		if first != nil {
			list = append(list, *first)
		}
		for _, a := range args {
			v, err := a(e, in, env)
			if err != nil {
				return v, err
			}
			list = append(list, argument(v))
		}
		v, err := e.apply(f, list, in, env)
		if err != nil {
			return v, n.blame(err, f, name)
		}
		return v, nil
	}
}

// callee is the name that a function is called by, if it has one.
func (n *node) callee() string {
	if n.proc.typ == nodePath {
		return n.proc.steps[0].value
	}
	return n.proc.value
}

// blame says of an error where it happened: in the outermost call.
func (n *node) blame(err error, f val, name string) error {
	if x, ok := err.(*Error); ok && x.Code != "U1001" {
		if known, ok := f.ref.(*function); x.Position == 0 || ok && known.within == nil {
			x.Position = n.pos
		}
		if x.Token == "" {
			x.Token = name
		}
	}
	return err
}

// named says of an error which function it is of, where nobody has yet.
func named(err error, token string) error {
	if x, ok := err.(*Error); ok && x.Token == "" {
		x.Token = token
	}
	return err
}

// tailCall is the evaluator of a call in tail position.
func (c compiler) tailCall(n *node) evaluator {
	callee, args := c.compile(n.proc), c.all(n.list)
	name := ""
	if n.proc.typ == nodeVariable {
		name = n.proc.value
	}
	return func(e *evaluation, in val, env *frame) (val, error) {
		f, err := callee(e, in, env)
		if err != nil {
			return f, err
		}
		list := make([]val, 0, len(args))
		for _, a := range args {
			v, err := a(e, in, env)
			if err != nil {
				return v, err
			}
			list = append(list, v)
		}
		return val{kind: deferred, ref: &thunk{f, list, name, n.proc.pos}}, nil
	}
}

// apply calls a function, and what it calls last of all.
func (e *evaluation) apply(f val, args []val, in val, env *frame) (val, error) {
	if err := e.enter(); err != nil {
		return val{}, err
	}
	v, err := e.applyOnce(f, args, in, env)
	for err == nil && v.kind == deferred {
		if err = e.spend(1); err != nil {
			break
		}
		t := v.ref.(*thunk)
		v, err = e.applyOnce(t.callee, t.args, in, env)
		err = named(err, t.token)
	}
	e.depth--
	return v, err
}

func (e *evaluation) applyOnce(f val, args []val, in val, env *frame) (val, error) {
	if f.kind != callable {
		return val{}, &Error{Code: "T1006"}
	}
	fn := f.ref.(*function)
	if fn.within != nil {
		return e.apply(val{kind: callable, ref: fn.within}, args, valNull, env)
	}
	if fn.signature != nil {
		var err error
		if args, err = fn.signature.validate(e, args, in); err != nil {
			return val{}, err
		}
	}
	switch {
	case fn.native != nil:
		return fn.native(e, &arguments{args, in, env})
	case fn.regex != nil:
		return e.applyRegex(fn.regex, args)
	}
	around := &frame{up: fn.env, names: fn.params, vals: make([]val, len(fn.params)), shared: true}
	copy(around.vals, args)
	return fn.body(e, fn.in, around)
}

func (c compiler) lambda(n *node) evaluator {
	body := c.compile(n.body)
	params := n.params
	distinct := map[string]bool{}
	for _, p := range params {
		distinct[p] = true
	}
	return func(_ *evaluation, in val, env *frame) (val, error) {
		f := &function{signature: n.signature, arity: len(params), params: params, body: body, in: in, env: env}
		if len(distinct) < len(params) { // of parameters with the same name the last counts
			f.body = func(e *evaluation, in val, env *frame) (val, error) {
				last := &frame{up: env.up}
				for i, name := range env.names {
					last.bind(name, env.vals[i])
				}
				return body(e, in, last)
			}
		}
		return val{kind: callable, ref: f}, nil
	}
}

// partial is the evaluator of f(x, ?): a function of what is left open.
func (c compiler) partial(n *node) evaluator {
	callee, args, name := c.compile(n.proc), c.all(n.list), n.callee()
	builtin := c.builtins[name]
	open := make([]bool, len(n.list))
	for i, a := range n.list {
		open[i] = a.typ == nodeOperator && a.value == "?"
	}
	return func(e *evaluation, in val, env *frame) (val, error) {
		given := make([]val, len(args))
		for i, a := range args {
			v, err := a(e, in, env)
			if err != nil {
				return v, err
			}
			given[i] = v
		}
		f, err := callee(e, in, env)
		if err != nil {
			return f, err
		}
		if f.kind != callable {
			code := "T1008"
			if !f.defined() && n.proc.typ == nodePath && e.lookup(name, env, builtin).defined() {
				code = "T1007"
			}
			return val{}, misuse(code, n.pos, name)
		}
		fn := f.ref.(*function)
		size := fn.arity
		if fn.variadic() {
			size = len(given)
		}
		holes := 0
		for i := range min(size, len(open)) {
			if open[i] {
				holes++
			}
		}
		// A lambda that is partially applied has lost its signature.
		inner := *fn
		if inner.body != nil {
			inner.signature = nil
		}
		target := val{kind: callable, ref: &inner}
		return val{kind: callable, ref: &function{arity: holes, native: func(e *evaluation, c *arguments) (val, error) {
			list := make([]val, size)
			next := 0
			for i := range list {
				switch {
				case i < len(open) && open[i]:
					list[i] = c.at(next)
					next++
				case i < len(given):
					list[i] = given[i]
				}
			}
			if inner.native != nil {
				for len(list) > 0 && !list[len(list)-1].defined() {
					list = list[:len(list)-1]
				}
			}
			return e.applyOnce(target, list, val{}, c.env)
		}}}, nil
	}
}

// variadic reports whether a function takes as many arguments as it is given.
func (f *function) variadic() bool {
	if f.signature == nil {
		return false
	}
	for _, p := range f.signature.params {
		if p.many {
			return true
		}
	}
	return false
}

// apply is the evaluator of x ~> f.
func (c compiler) apply(n *node) evaluator {
	lhs := c.compile(n.lhs)
	if n.rhs.typ == nodeFunction {
		call := c.call(n.rhs)
		return func(e *evaluation, in val, env *frame) (val, error) {
			first, err := lhs(e, in, env)
			if err != nil {
				return first, err
			}
			return call(e, in, env, &first)
		}
	}
	rhs := c.compile(n.rhs)
	return func(e *evaluation, in val, env *frame) (val, error) {
		x, err := lhs(e, in, env)
		if err != nil {
			return x, err
		}
		f, err := rhs(e, in, env)
		if err != nil {
			return f, err
		}
		if f.kind != callable {
			return val{}, &Error{Code: "T2006", Position: n.pos, value: f}
		}
		if x.kind != callable {
			return e.apply(f, []val{x}, valNull, env)
		}
		chain := func(e *evaluation, c *arguments) (val, error) {
			// The reference has function($f, $g) { function($x) { $g($f($x)) } } here.
			v, err := e.apply(x, []val{argument(c.at(0))}, valNull, c.env)
			if err != nil {
				return v, named(err, "f")
			}
			v, err = e.apply(f, []val{collapse(v, false)}, valNull, c.env)
			return v, named(err, "g")
		}
		return val{kind: callable, ref: &function{arity: 1, native: chain}}, nil
	}
}

// transform is the evaluator of |pattern|update,delete|: a function that
// gives a changed copy.
func (c compiler) transform(n *node) evaluator {
	pattern, update := c.compile(n.pattern), c.compile(n.update)
	var remove evaluator
	if n.remove != nil {
		remove = c.compile(n.remove)
	}
	takes, _ := parseSignature("<(oa):o>")
	clone := c.builtins["clone"]
	return func(_ *evaluation, _ val, env *frame) (val, error) {
		do := func(e *evaluation, c *arguments) (val, error) {
			if !c.at(0).defined() {
				return val{}, nil
			}
			f := e.lookup("clone", env, clone)
			if f.kind != callable {
				return val{}, &Error{Code: "T2013", Position: n.pos}
			}
			out, err := e.apply(f, c.list[:1], valNull, env)
			if err != nil {
				return out, err
			}
			matches, err := pattern(e, out, env)
			if err != nil || !matches.defined() {
				return out, err
			}
			matches = listOf(matches)
			for i := range matches.len() {
				if err := change(e, n, matches.at(i), update, remove, env); err != nil {
					return val{}, err
				}
			}
			return out, nil
		}
		return val{kind: callable, ref: &function{signature: takes, arity: 1, native: do}}, nil
	}
}

// change makes the changes of a transform to one match.
func change(e *evaluation, n *node, match val, update, remove evaluator, env *frame) error {
	o, _ := match.ref.(*object) // nothing else can change
	v, err := update(e, match, env)
	if err != nil {
		return err
	}
	if v.defined() && v.ref != match.ref {
		if v.kind != dict {
			return &Error{Code: "T2011", Position: n.update.pos, value: v}
		}
		if err := e.spend(v.len()); err != nil {
			return err
		}
		for i := range v.len() {
			if o != nil {
				if e.holds(v.at(i), o, 0) {
					return deep() // it would hold itself
				}
				o.set(v.key(i), v.at(i))
			}
		}
	}
	if remove == nil {
		return nil
	}
	if v, err = remove(e, match, env); err != nil || !v.defined() {
		return err
	}
	keys := listOf(v)
	if !texts(keys) {
		return &Error{Code: "T2012", Position: n.remove.pos, value: v}
	}
	for i := range keys.len() {
		if o != nil {
			o.remove(keys.at(i).str())
		}
	}
	return nil
}

// holds reports whether o is somewhere in v, or that cannot be found out.
func (e *evaluation) holds(v val, o *object, depth int) bool {
	if v.ref == o || depth > e.limit {
		return true
	}
	if _, outside := v.ref.(*value.Value); outside || v.kind != dict && v.kind != list {
		return false
	}
	if a := v.array(); a != nil && a.items == nil {
		return false
	}
	for i := range v.len() {
		if e.spend(1) != nil || e.holds(v.at(i), o, depth+1) {
			return true
		}
	}
	return false
}
