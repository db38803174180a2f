package jsonata

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// What an evaluation is held to, where [Args] do not say.
const (
	// DefaultSteps is about what half a second is good for.
	DefaultSteps = 5_000_000
	DefaultDepth = 4_000
)

// What Step Functions holds an expression to, as far as it was measured: how deep
// parts of an expression may nest while they are evaluated, calls of functions among
// them; how long a string may become; and how many numbers there may be in m..n and
// in $range.
const (
	statesLevel = 100
	statesText  = 6_990_256 // bytes
	statesSpan  = 873_782
	statesRange = 360_145
)

// maxNesting is how deep the source of an expression may nest.
const maxNesting = 500

// An Expr is an expression that has been parsed and compiled. It does not
// change.
type Expr struct {
	source string
	root   *node
	run    evaluator
	compiler
}

// Args is what an evaluation depends on.
type Args struct {
	// Input is what $ and $$ stand for, nil where there is none.
	Input *value.Value
	// Variable is the value of a variable that the expression does not bind
	// itself. It comes before functions of the same name.
	Variable func(name string) (value.Value, bool)
	Now      time.Time  // for $now, $millis and what a picture leaves open
	Rand     *rand.Rand // for $random, $shuffle and $uuid
	// Steps is how much may be done: about one for each part of the
	// expression that is evaluated, each item that is made or looked at, and
	// each 16 bytes of strings. Depth is how deep evaluation may nest.
	Steps, Depth int
	// Spent, if it is not nil, is told how many steps were done.
	Spent *int
}

// Parse reads an expression of JSONata 2.0.6. The error is of type [*Error].
func Parse(source string) (*Expr, error) { return parse(source, false) }

// ParseStates reads an expression in the dialect of Step Functions, without
// the {% %} around it. The error is of type [*Error].
func ParseStates(source string) (*Expr, error) { return parse(source, true) }

func parse(source string, states bool) (*Expr, error) {
	root, err := read(source)
	if err != nil {
		return nil, err.finish(source)
	}
	x := &Expr{source: source, root: root, compiler: compiler{builtins: builtins}}
	if states {
		x.compiler = compiler{builtins: statesBuiltins, states: true}
	}
	x.run = x.compile(root)
	return x, nil
}

// String is the expression as it was written.
func (x *Expr) String() string { return x.source }

// ErrFunction is the error of an expression whose result is a function, which
// is no JSON.
var ErrFunction = errors.New("the result is a function")

// Eval evaluates the expression. The result is false where it is undefined.
// The error is [ErrFunction] or of type [*Error].
func (x *Expr) Eval(a Args) (value.Value, bool, error) {
	e := &evaluation{
		compiler: x.compiler,
		args:     a,
		steps:    a.Steps,
		limit:    a.Depth,
	}
	if e.steps <= 0 {
		e.steps = DefaultSteps
	}
	if e.limit <= 0 {
		e.limit = DefaultDepth
	}
	if e.level = math.MinInt; x.states {
		e.level = -statesLevel + 1
	}
	if a.Spent != nil {
		defer func(allowed int) { *a.Spent = allowed - e.steps }(e.steps)
	}
	env := &frame{names: []string{"$"}, vals: []val{{}}}
	in := val{}
	if a.Input != nil {
		in = of(a.Input)
		env.vals[0] = in
		if in.kind == list {
			in = ofArray(&array{items: []val{in}, sequence: true, outer: true})
		}
	}
	v, err := x.run(e, in, env)
	if err == nil && v.kind == callable {
		return value.Value{}, false, ErrFunction
	}
	var out value.Value
	ok := false
	if err == nil {
		out, ok, err = e.result(v)
	}
	if err != nil {
		return value.Value{}, false, err.(*Error).finish(x.source) // there is no other
	}
	return out, ok, nil
}

// evaluation is one evaluation of an expression.
type evaluation struct {
	compiler // for $eval
	args     Args
	steps    int // that are left
	depth    int
	limit    int // of depth
	level    int // how deep parts of the expression nest, from below 0; Invariant: at most 0
	random   *rand.Rand
	outside  frame // variables that were asked for
}

// spend takes n steps from the budget.
func (e *evaluation) spend(n int) error {
	if e.steps -= n; e.steps < 0 {
		return long()
	}
	return nil
}

// spendText takes the making of n bytes of strings from the budget.
func (e *evaluation) spendText(n int) error {
	if e.states && n > statesText {
		return large()
	}
	return e.spend(n/16 + 1)
}

// enter begins something that may nest. There is no leaving after an error:
// it ends the evaluation.
func (e *evaluation) enter() error {
	if e.depth++; e.depth > e.limit {
		return deep()
	}
	return e.spend(1)
}

// begin enters a part of the expression that has parts, and end leaves it.
func (e *evaluation) begin() error {
	if e.level++; e.level > 0 {
		return deep()
	}
	return e.enter()
}

func (e *evaluation) end() {
	e.level--
	e.depth--
}

func (e *evaluation) leave() error {
	e.depth--
	return nil
}

func (e *evaluation) rand() *rand.Rand {
	if e.random == nil {
		if e.random = e.args.Rand; e.random == nil {
			e.random = rand.New(rand.NewPCG(0, 0))
		}
	}
	return e.random
}

// A frame holds the variables of a block, a call or a row.
type frame struct {
	up     *frame
	names  []string
	vals   []val
	shared bool // with a row: to be copied before it changes
}

func (f *frame) bind(name string, v val) {
	if f.shared {
		f.names, f.vals = append([]string(nil), f.names...), append([]val(nil), f.vals...)
		f.shared = false
	}
	for i, n := range f.names {
		if n == name {
			f.vals[i] = v
			return
		}
	}
	f.names, f.vals = append(f.names, name), append(f.vals, v)
}

// lookup is the value of a variable; builtin is the function of that name.
func (e *evaluation) lookup(name string, env *frame, builtin *function) val {
	for f := env; f != nil; f = f.up {
		e.steps -= len(f.names) / 16 // the next step tells whether that was too much
		for i, n := range f.names {
			if n == name {
				return f.vals[i]
			}
		}
	}
	if e.args.Variable != nil {
		for i, n := range e.outside.names {
			if n == name {
				return e.outside.vals[i]
			}
		}
		if v, ok := e.args.Variable(name); ok {
			e.outside.bind(name, of(&v))
			return of(&v)
		}
	}
	if builtin != nil {
		return val{kind: callable, ref: builtin}
	}
	return val{}
}
