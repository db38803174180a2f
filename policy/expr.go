package policy

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
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

// A name is something that is not known at its place.
type name struct {
	id      int64
	message string
}

// unknownNames lists the variables and fields in e that p does not have.
func unknownNames(e ast.Expr, p place) []name {
	var found []name
	var visit func(e ast.Expr, bound []string)
	all := func(list []ast.Expr, bound []string) {
		for _, e := range list {
			visit(e, bound)
		}
	}
	visit = func(e ast.Expr, bound []string) {
		switch e.Kind() {
		case ast.IdentKind, ast.SelectKind:
			base, path := chain(e)
			if base == nil {
				visit(root(e), bound)
				return
			}
			if slices.Contains(bound, path[0]) || path[0] == wasVar {
				return
			}
			if message := p.unknown(path, e); message != "" {
				found = append(found, name{base.ID(), message})
			}
		case ast.CallKind:
			call := e.AsCall()
			if call.IsMemberFunction() {
				visit(call.Target(), bound)
			}
			all(call.Args(), bound)
		case ast.ListKind:
			all(e.AsList().Elements(), bound)
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				visit(entry.AsMapEntry().Key(), bound)
				visit(entry.AsMapEntry().Value(), bound)
			}
		case ast.ComprehensionKind:
			loop := e.AsComprehension()
			visit(loop.IterRange(), bound)
			visit(loop.AccuInit(), bound)
			inner := append(slices.Clone(bound), loop.IterVar(), loop.IterVar2(), loop.AccuVar())
			visit(loop.LoopCondition(), inner)
			visit(loop.LoopStep(), inner)
			visit(loop.Result(), inner)
		}
	}
	visit(e, nil)
	return found
}

// chain takes a.b.c apart: the identifier a, and all names; nil where the
// chain does not begin with an identifier.
func chain(e ast.Expr) (ident ast.Expr, path []string) {
	switch e.Kind() {
	case ast.IdentKind:
		return e, []string{e.AsIdent()}
	case ast.SelectKind:
		if ident, path = chain(e.AsSelect().Operand()); ident != nil {
			return ident, append(path, e.AsSelect().FieldName())
		}
	}
	return nil, nil
}

// root is what a chain of selections begins with.
func root(e ast.Expr) ast.Expr {
	for e.Kind() == ast.SelectKind {
		e = e.AsSelect().Operand()
	}
	return e
}

// unknown says what is wrong with the chain e of these names; empty where all
// is well.
func (p place) unknown(path []string, e ast.Expr) string {
	known := slices.Sorted(maps.Keys(p.vars))
	fields, ok := p.vars[path[0]]
	if !ok {
		if path[0] == "id" || path[0] == "tag" || path[0] == "type" {
			if _, event := p.vars["event"]; event {
				return fmt.Sprintf("unknown variable %q: a key with a hyphen is written event.data.object[\"version-id\"]", path[0])
			}
		}
		if path[0] == "cost" && slices.Contains([]string{"a rule", "an approval", "the input of a run"}, p.name) {
			return "what a run costs is not known: say it in run, cost: {forecastUSD: 120}"
		}
		if slices.Contains([]string{"event", "signals", "champion", "candidate", "model", "training", "run", "state", "parameters", "now", "cost"}, path[0]) {
			return fmt.Sprintf("%s is not known in %s (have %s)", path[0], p.name, strings.Join(known, ", "))
		}
		return fmt.Sprintf("unknown variable %q%s", path[0], Have(path[0], known))
	}
	if fields == nil {
		return ""
	}
	of, rest := path[0], path[1:]
	if of == "signals" {
		var signals []string
		for field := range fields {
			signals = append(signals, field[:strings.IndexByte(field, '.')])
		}
		slices.Sort(signals)
		signals = slices.Compact(signals)
		switch {
		case len(rest) == 0 && len(signals) == 0:
			return "the policy has no signals"
		case len(rest) == 0:
			return fmt.Sprintf("signals needs a name and a field: signals.%s.value", signals[0])
		case !slices.Contains(signals, rest[0]):
			return fmt.Sprintf("unknown signal %q%s", rest[0], Have(rest[0], signals))
		}
		of += "." + rest[0]
		rest = rest[1:]
		inner := map[string]*cel.Type{}
		for field, typ := range fields {
			if own, ok := strings.CutPrefix(field, of[len("signals."):]+"."); ok {
				inner[own] = typ
			}
		}
		fields = inner
	}
	have := slices.SortedFunc(maps.Keys(fields), byField)
	switch {
	case len(rest) == 0:
		return fmt.Sprintf("%s needs a field: %s.%s (have %s)", of, of, have[0], strings.Join(have, ", "))
	case fields[rest[0]] == nil && of == "event" && rest[0] == "detail":
		return `unknown field "detail" of event: it is event.data here`
	case fields[rest[0]] == nil:
		return fmt.Sprintf("unknown field %q of %s%s", rest[0], of, Have(rest[0], have))
	case len(rest) == 1 && e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly():
		return fmt.Sprintf("has() is for what an event or a map of metrics may lack: %s.%s is always there, unknown where it could not be measured", of, rest[0])
	}
	return ""
}

// byField orders fields as the documentation does: what is asked for most first.
func byField(a, b string) int {
	order := []string{"value", "share", "low", "high", "verdict", "due", "n", "at", "age", "status"}
	if i, j := slices.Index(order, a), slices.Index(order, b); i >= 0 && j >= 0 {
		return i - j
	}
	return strings.Compare(a, b)
}

var noOverload = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(?:(.*)\.)?\((.*)\)'$`)
var expected = regexp.MustCompile(`^expected type '(bool)' but found '([^']*)'$`)
var undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)

// checkMessage says in plain words what CEL's checker found, and what would be
// right.
func checkMessage(e *cel.Error, tree *ast.AST, env *cel.Env) string {
	if m := undeclared.FindStringSubmatch(e.Message); m != nil {
		var functions []string
		for name := range env.Functions() {
			if regexp.MustCompile(`^[a-z]\w*$`).MatchString(name) {
				functions = append(functions, name)
			}
		}
		functions = append(functions, "newly", "has", "exists", "all", "filter", "map")
		slices.Sort(functions)
		have := Have(m[1], functions)
		if i := strings.Index(have, "? ("); i >= 0 {
			have = have[:i+1]
		} else {
			have = " (have days, hours, minutes, newly and CEL's own)"
		}
		return fmt.Sprintf("unknown function %q%s", m[1], have)
	}
	if e.Message == "invalid duration argument" {
		return "not a duration to CEL: write days(n), hours(n) or minutes(n)"
	}
	if m := expected.FindStringSubmatch(e.Message); m != nil {
		return fmt.Sprintf("%s is needed here, this is %s", map[string]string{"bool": "true or false"}[m[1]], typeName(m[2]))
	}
	if e.Message == "invalid matches argument" {
		return "not a regular expression: matches() takes RE2 syntax"
	}
	m := noOverload.FindStringSubmatch(e.Message)
	if m == nil {
		return strings.ReplaceAll(e.Message, "\n", " ")
	}
	function, args := m[1], typeName(m[3])
	if m[2] != "" {
		args = typeName(m[2]) + ", " + args
	}
	if function == newlyCall {
		return "newly() takes what is true or false, not " + typeName(strings.Split(m[3], ",")[0])
	}
	shown := function
	if symbol, ok := operators.FindReverse(function); ok && symbol != "" {
		shown = symbol
	}
	message := fmt.Sprintf("%s does not take (%s)", shown, args)
	literal := ""
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.ID() == e.ExprID && x.Kind() == ast.CallKind {
			for _, arg := range x.AsCall().Args() {
				if arg.Kind() == ast.LiteralKind {
					if n, ok := arg.AsLiteral().(types.Int); ok {
						literal = fmt.Sprint(int64(n))
					}
				}
			}
		}
	}))
	has := func(t string) bool { return regexp.MustCompile(`\b` + t + `\b`).MatchString(args) }
	switch {
	case literal != "" && has("duration"):
		message += fmt.Sprintf(": write a length of time as days(%s), hours(%s) or minutes(%s)", literal, literal, literal)
	case literal != "" && has("number"):
		message += fmt.Sprintf(": numbers are doubles, write %s.0", literal)
	case quoted(tree, e.ExprID) != "":
		message += ": write the number without quotes, " + quoted(tree, e.ExprID)
	case function == operators.LogicalNot && has("number"):
		message += ": compare the number, such as x < 0.5"
	case has("bool") && has("string"):
		message += ": write true or false without quotes"
	case has("duration") && has("string"):
		message += ": make a length of time with days(n), hours(n) or minutes(n)"
	case has("duration") && has("number"):
		message += ": make a length of time with days(n), hours(n) or minutes(n)"
	case has("time") && has("string"):
		message += ": make a time with timestamp('2026-01-02T15:04:05Z')"
	}
	return message
}

// quoted is the number that stands in quotes in the call with this ID, if one does.
func quoted(tree *ast.AST, id int64) (number string) {
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.ID() != id || x.Kind() != ast.CallKind {
			return
		}
		for _, arg := range x.AsCall().Args() {
			if arg.Kind() == ast.LiteralKind {
				if s, ok := arg.AsLiteral().(types.String); ok {
					if _, err := strconv.ParseFloat(string(s), 64); err == nil {
						number = string(s)
					}
				}
			}
		}
	}))
	return number
}

// typeName puts CEL's names of types into the words used here.
func typeName(s string) string {
	return strings.NewReplacer("double", "number", "int", "integer", "google.protobuf.Duration", "duration",
		"google.protobuf.Timestamp", "time", "timestamp", "time").Replace(s)
}

// syntaxMessage drops the parser's list of every token there is.
func syntaxMessage(s string) string {
	s, _, _ = strings.Cut(s, " expecting {")
	return strings.ReplaceAll(strings.ReplaceAll(s, "Syntax error: ", "syntax: "), "\n", " ")
}

// syntaxHint says what would be right where other languages write otherwise;
// empty where that is not known.
func syntaxHint(text string, at int) string {
	before, after := strings.TrimRight(text[:at], " "), text[at:]
	symbol := map[string]string{"and": "&&", "or": "||", "not": "!", "is": "==", "AND": "&&", "OR": "||", "NOT": "!", "&": "&&", "|": "||"}
	first := wordOrSign.FindString(after)
	if to, ok := symbol[first]; ok {
		return fmt.Sprintf("write %s, not %s", to, first)
	}
	if last := lastWord.FindString(before); symbol[last] == "!" {
		return "write !, not " + last
	}
	switch number := lastNumber.FindString(before); {
	case strings.HasPrefix(after, "=") && !strings.HasPrefix(after, "=="):
		return "write == to compare"
	case strings.HasPrefix(after, "{{") || strings.HasPrefix(after, "$") || strings.Contains(text, "{{"):
		return "there are no templates here: write the name as it is, such as signals.rows.value"
	case number == "":
	case first == "d" || first == "w":
		days, _ := strconv.Atoi(number)
		return fmt.Sprintf("write a length of time as days(%d)", days*map[string]int{"d": 1, "w": 7}[first])
	case first == "h" || first == "m" || first == "min":
		return fmt.Sprintf("write a length of time as %s(%s)", map[string]string{"h": "hours", "m": "minutes", "min": "minutes"}[first], number)
	case first == "k" || first == "K":
		return fmt.Sprintf("write %s000", number)
	case strings.HasPrefix(after, "_") || strings.HasPrefix(after, ","):
		return "write a number without separators, with a point before its decimals"
	}
	if percent := percentage.FindStringSubmatch(before + after); percent != nil && strings.HasSuffix(before, "%") {
		if n, err := strconv.ParseFloat(percent[1], 64); err == nil {
			return fmt.Sprintf("write %s%% as %v", percent[1], n/100)
		}
	}
	return ""
}

var (
	wordOrSign = regexp.MustCompile(`^([A-Za-z]+|&|\|)`)
	lastWord   = regexp.MustCompile(`[A-Za-z]+$`)
	lastNumber = regexp.MustCompile(`\b[0-9]+$`)
	percentage = regexp.MustCompile(`([0-9.]+)%`)
)

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
