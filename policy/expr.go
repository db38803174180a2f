package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Bounds of an expression. The cost is CEL's unit, about one step; it is
// estimated at load with lists of 500 and strings of 1,024 as the largest
// that events bring, and kept at run time whatever they bring.
const (
	maxCost   = 10_000_000
	maxList   = 500
	maxString = 1_024
	maxSource = 4_096 // bytes of one expression
)

// An expr is an expression that was checked at load.
type expr struct {
	text    string
	program cel.Program
	root    *node // of a boolean expression; else nil
	leaves  []leaf
	was     map[int64]string // the argument of each newly(): its node and text
	strict  bool             // it is known only where all that it reads is
	asks    bool             // it asks whether something is there, with has()
}

// vars are the variables of an evaluation by their full names, such as
// `signals.drift.value`. One that is not there is unknown.
type vars map[string]any

// A place is where in a policy an expression stands, and so what it may see:
// the fields of each variable, with their types; a nil map is a variable
// without fields.
type place struct {
	name string
	vars map[string]map[string]*cel.Type
	kind *cel.Type // of the result; nil for any
}

// places are the places of a policy with these signals.
type places struct {
	match, gather, rule, key, input, result, promote, approval, forecast place
}

// placesOf are the places of a policy.
func (c *compiler) placesOf(b Body) places {
	if b.Run != nil && b.Run.Cost != nil {
		at := newPlaces(b.Signals)
		at.cost()
		return at
	}
	at, ok := c.places[c.kinds]
	if !ok {
		at = newPlaces(b.Signals)
		c.places[c.kinds] = at
	}
	return at
}

// cost has those see what a run costs who may.
func (p places) cost() {
	for _, at := range []place{p.rule, p.input, p.approval} {
		at.vars["cost"] = map[string]*cel.Type{"forecastUSD": cel.DoubleType}
	}
}

func newPlaces(signals map[string]Signal) places {
	type fields = map[string]*cel.Type
	metrics := cel.MapType(cel.StringType, cel.DoubleType)
	objects := cel.ListType(cel.MapType(cel.StringType, cel.DynType))
	event := fields{
		"id": cel.StringType, "source": cel.StringType, "type": cel.StringType, "subject": cel.StringType,
		"time": cel.TimestampType, "seen": cel.TimestampType, "data": cel.DynType,
	}
	champion := fields{
		"exists": cel.BoolType, "version": cel.DoubleType, "age": cel.DurationType,
		"trainedAt": cel.TimestampType, "metrics": metrics,
		"artifact": cel.StringType,
	}
	measured := fields{}
	for name, s := range signals {
		measured[name+".value"] = cel.DoubleType
		measured[name+".n"] = cel.DoubleType
		measured[name+".at"] = cel.TimestampType
		measured[name+".age"] = cel.DurationType
		measured[name+".status"] = cel.StringType
		if s.IsDrift() || s.IsFed() {
			measured[name+".share"] = cel.DoubleType
		}
		if s.IsDrift() {
			measured[name+".verdict"], measured[name+".due"] = cel.StringType, cel.BoolType
		}
		if s.IsFed() || s.IsQuality() {
			measured[name+".low"], measured[name+".high"] = cel.DoubleType, cel.DoubleType
		}
	}
	model := fields{"group": cel.StringType}
	counted := fields{"objects": objects, "rows": cel.DoubleType, "bytes": cel.DoubleType}
	training := maps.Clone(counted)
	training["prefix"], training["manifest"] = cel.StringType, cel.StringType
	run := fields{"id": cel.StringType}
	decided := map[string]map[string]*cel.Type{
		"event": event, "signals": measured, "champion": champion, "model": model, "training": counted,
		"parameters": nil, "now": nil,
	}
	return places{
		match:    place{"a match", map[string]map[string]*cel.Type{"event": event, "model": model}, cel.BoolType},
		gather:   place{"a debounce key", map[string]map[string]*cel.Type{"event": event, "model": model}, cel.StringType},
		rule:     place{"a rule", maps.Clone(decided), cel.BoolType},
		approval: place{"an approval", maps.Clone(decided), cel.BoolType},
		forecast: place{"a forecast", decided, nil},
		key:      place{"a concurrency key", map[string]map[string]*cel.Type{"model": model, "parameters": nil}, cel.StringType},
		input: place{"the input of a run", map[string]map[string]*cel.Type{
			"event": event, "signals": measured, "champion": champion, "model": model, "training": training,
			"run": run, "parameters": nil, "now": nil,
		}, nil},
		result: place{"run.model", map[string]map[string]*cel.Type{
			"state": {"parameters": cel.DynType, "input": cel.DynType, "output": cel.DynType}, "model": model, "run": run,
		}, nil},
		promote: place{"promote", map[string]map[string]*cel.Type{
			"candidate": {"version": cel.DoubleType, "metrics": metrics}, "champion": champion, "model": model, "now": nil,
		}, cel.BoolType},
	}
}

// plain are the variables without fields.
var plain = map[string]*cel.Type{"parameters": cel.MapType(cel.StringType, cel.DynType), "now": cel.TimestampType}

// baseEnv has the functions of every place. The edge function is spelled
// newly(x) and sees what x was through two hidden arguments.
func baseEnv() (*cel.Env, error) {
	number := func(name string, unit time.Duration) cel.EnvOption {
		length := cel.UnaryBinding(func(v ref.Val) ref.Val {
			n, ok := v.ConvertToType(types.DoubleType).(types.Double)
			if d := float64(n) * float64(unit); ok && math.Abs(d) < math.MaxInt64 {
				return types.Duration{Duration: time.Duration(d)}
			}
			return types.NewErr("%s(%v) is too long a time", name, v)
		})
		return cel.Function(name,
			cel.Overload(name+"_double", []*cel.Type{cel.DoubleType}, cel.DurationType, length),
			cel.Overload(name+"_int", []*cel.Type{cel.IntType}, cel.DurationType, length))
	}
	wasType := cel.MapType(cel.IntType, cel.BoolType)
	return cel.NewEnv(
		cel.CustomTypeAdapter(ordered{}),
		cel.EnableMacroCallTracking(),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ParserRecursionLimit(64),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
		number("days", day), number("hours", time.Hour), number("minutes", time.Minute),
		cel.Variable(wasVar, wasType),
		cel.Function(newlyCall, cel.Overload("newly_bool", []*cel.Type{cel.BoolType, wasType, cel.IntType}, cel.BoolType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				was, _ := args[1].(traits.Mapper).Find(args[2])
				return types.Bool(args[0] == types.True && was != types.True)
			}))),
		cel.Macros(cel.GlobalMacro("newly", 1, func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
			return f.NewCall(newlyCall, args[0], f.NewIdent(wasVar), f.NewLiteral(types.Int(args[0].ID()))), nil
		})),
	)
}

// Names that no source text can spell.
const (
	newlyCall = "@newly"
	wasVar    = "@was"
)

// env is the environment of a place.
func (p place) env(base *cel.Env) (*cel.Env, error) {
	var options []cel.EnvOption
	for _, name := range slices.Sorted(maps.Keys(p.vars)) {
		if p.vars[name] == nil {
			options = append(options, cel.Variable(name, plain[name]))
		}
		for _, field := range slices.Sorted(maps.Keys(p.vars[name])) {
			options = append(options, cel.Variable(name+"."+field, p.vars[name][field]))
		}
	}
	return base.Extend(options...)
}

// A compiler checks expressions and collects their problems.
type compiler struct {
	*Compiler
	kinds    string // of the policy's signals
	problems Problems

	parameterReads []parameterRead
}

// kindsOf is the same for signals that expressions cannot tell apart.
func kindsOf(signals map[string]Signal) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(signals)) {
		s := signals[name]
		fmt.Fprintf(&b, "%s %t %t %t\n", name, s.IsDrift(), s.IsFed(), s.IsQuality())
	}
	return b.String()
}

// expr checks the expression text, which stands at path. It is nil where a
// problem was found.
func (c *compiler) expr(path, text string, p place) *expr {
	where := p.name
	if p.vars["signals"] != nil {
		where += "\n" + c.kinds
	}
	x := c.exprs[where+"\n"+text]
	if x == nil {
		x = c.compile(path, text, p, where)
	}
	if x == nil {
		return nil
	}
	c.exprs[where+"\n"+text] = x
	for _, l := range x.leaves {
		if len(l.path) == 2 && l.path[0] == "parameters" {
			c.parameterReads = append(c.parameterReads, parameterRead{path, l.at, l.path[1]})
		}
	}
	return x
}

// compile is expr for a text that was not seen yet, in the environment where.
func (c *compiler) compile(path, text string, p place, where string) *expr {
	if strings.TrimSpace(text) == "" {
		c.problems.add(path, "an expression is missing")
		return nil
	}
	before := len(c.problems)
	report := func(offset int, format string, args ...any) {
		c.problems = append(c.problems, Problem{Path: path, Offset: offset, Message: fmt.Sprintf(format, args...)})
	}
	env := c.envs[where]
	if env == nil {
		var err error
		if env, err = p.env(c.base); err != nil {
			report(-1, "%v", err)
			return nil
		}
		c.envs[where] = env
	}
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			at := offsetAt(text, e.Location.Line(), e.Location.Column())
			if hint := syntaxHint(text, at); hint != "" {
				report(at, "syntax: %s", hint)
				break // what follows is of the same mistake
			}
			report(at, "%s", syntaxMessage(e.Message))
		}
		return nil
	}
	tree := parsed.NativeRep()
	at := func(id int64) int {
		loc := tree.SourceInfo().GetStartLocation(id)
		return offsetAt(text, loc.Line(), loc.Column())
	}
	for _, n := range unknownNames(tree.Expr(), p) {
		report(at(n.id), "%s", n.message)
	}
	if len(c.problems) > before {
		return nil // the checker would only say it again
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			report(offsetAt(text, e.Location.Line(), e.Location.Column()), "%s", checkMessage(e, tree, env))
		}
		return nil
	}
	if got := checked.OutputType(); p.kind != nil && !got.IsEquivalentType(p.kind) && !got.IsEquivalentType(cel.DynType) {
		kind := map[*cel.Type]string{cel.BoolType: "true or false", cel.StringType: "a string"}[p.kind]
		report(at(tree.Expr().ID()), "%s must be %s, this is %s", p.name, kind, typeName(cel.FormatCELType(got)))
		return nil
	}
	if loop := unordered(tree.Expr()); loop != nil {
		report(at(loop.ID()), "a loop over a map that is written here has no order: write a list")
		return nil
	}
	if estimate, err := env.EstimateCost(checked, sizes{}); err != nil || estimate.Max > maxCost {
		report(0, "too costly: up to %d steps of at most %d where a list has %d entries", estimate.Max, maxCost, maxList)
		return nil
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptExhaustiveEval), cel.CostLimit(maxCost))
	if err != nil {
		report(0, "%v", err)
		return nil
	}
	x := &expr{text: text, program: program}
	b := &builder{env: env, ast: checked.NativeRep(), source: text, place: p, was: map[int64]string{}}
	if p.kind == cel.BoolType {
		x.root = b.node(b.ast.Expr())
	} else {
		b.read(b.ast.Expr(), nil)
	}
	x.leaves, x.was = b.leaves, b.was
	x.strict, x.asks = strict(b.ast.Expr()), asks(b.ast.Expr())
	return x
}

// sizes bounds what the load-time cost estimate cannot know.
type sizes struct{}

func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	switch n.Type().Kind() {
	case types.StringKind, types.BytesKind:
		return &cost.SizeEstimate{Max: maxString}
	}
	return &cost.SizeEstimate{Max: maxList}
}

func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// offsetAt is the byte offset in text of CEL's position: lines from 1, columns
// in code points from 0.
func offsetAt(text string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(text[offset:], '\n')
		if next < 0 {
			return len(text)
		}
		offset += next + 1
	}
	for i := range text[offset:] {
		if column <= 0 {
			return offset + i
		}
		column--
	}
	return len(text)
}

// eval evaluates x. The error says why the result is unknown. What x does not
// get is an error to CEL, which its logic passes over as it does the unknown:
// `true || error` is true.
func (x *expr) eval(v vars) (ref.Val, *cel.EvalDetails, error) {
	value, details, err := x.program.Eval(map[string]any(v))
	if err == nil && (types.IsUnknown(value) || types.IsError(value)) {
		err = fmt.Errorf("%v", value)
	}
	if err != nil {
		if what, ok := strings.CutPrefix(err.Error(), "no such attribute(s): "); ok {
			err = fmt.Errorf("%s is not known", what)
		}
	}
	return value, details, err
}
