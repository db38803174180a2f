package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

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
