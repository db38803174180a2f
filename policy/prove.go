package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// What can be proved of boolean expressions before anything is measured: that
// one is never true, or that one is true whenever another is. A comparison is
// taken as a linear sum of what it reads against a constant, anything else as
// itself. What is not proved is not said.

// maxWays bounds in how many ways an expression may be true for it to be
// looked at.
const maxWays = 64

// A literal is a comparison, or its negation, that is known to be true.
type literal struct {
	*node
	not bool
}

// ways are the conjunctions of literals of which one is true where n is, or
// where n is false; nil where there are too many.
func (n *node) ways(not bool) [][]literal {
	op := n.op
	if not {
		op = map[string]string{"&&": "||", "||": "&&"}[op]
	}
	switch {
	case n.op == "!":
		return n.kids[0].ways(!not)
	case n.op == "newly" && !not:
		return join([][]literal{{{n, false}}}, n.kids[0].ways(false))
	case op == "||":
		var all [][]literal
		for _, kid := range n.kids {
			ways := kid.ways(not)
			if ways == nil || len(all)+len(ways) > maxWays {
				return nil
			}
			all = append(all, ways...)
		}
		return all
	case op == "&&":
		all := [][]literal{{}}
		for _, kid := range n.kids {
			if all = join(all, kid.ways(not)); all == nil {
				return nil
			}
		}
		return all
	}
	return [][]literal{{{n, not}}}
}

// join are the ways in which both of two are true.
func join(a, b [][]literal) (all [][]literal) {
	if len(a)*len(b) > maxWays {
		return nil
	}
	for _, x := range a {
		for _, y := range b {
			all = append(all, append(slices.Clone(x), y...))
		}
	}
	return all
}

// A sum is what a comparison compares with a constant: `terms` has the factor
// of each part that is not constant.
type sum struct {
	terms    map[string]float64
	constant float64
}

// linear takes a numeric expression apart; any is a sum of itself.
func (b *builder) linear(e ast.Expr) sum {
	if c, ok := measureOf(b.constant(e)); ok {
		return sum{constant: c}
	}
	if e.Kind() == ast.CallKind && b.ast.GetType(e.ID()).Kind() != types.DynKind { // which may be text
		call := e.AsCall()
		args := make([]sum, len(call.Args()))
		for i, arg := range call.Args() {
			args[i] = b.linear(arg)
		}
		switch call.FunctionName() {
		case operators.Add:
			return args[0].plus(args[1], 1)
		case operators.Subtract:
			return args[0].plus(args[1], -1)
		case operators.Negate:
			return sum{}.plus(args[0], -1)
		case operators.Multiply:
			for i := range args {
				if len(args[i].terms) == 0 {
					return sum{}.plus(args[1-i], args[i].constant)
				}
			}
		case operators.Divide:
			if len(args[1].terms) == 0 && args[1].constant != 0 {
				return sum{}.plus(args[0], 1/args[1].constant)
			}
		}
	}
	return sum{terms: map[string]float64{b.text(e): 1}}
}

func (s sum) plus(o sum, factor float64) sum {
	out := sum{terms: maps.Clone(s.terms), constant: s.constant + factor*o.constant}
	if out.terms == nil {
		out.terms = map[string]float64{}
	}
	for term, f := range o.terms {
		out.terms[term] += factor * f
	}
	return out
}

// numeric notes what n compares, `over op bound`, where left and right are
// numbers, times or lengths of time.
func (b *builder) numeric(n *node, operator string, left, right ast.Expr) {
	numbers := 0
	for _, e := range []ast.Expr{left, right} {
		switch b.ast.GetType(e.ID()).Kind() {
		case types.DoubleKind, types.IntKind, types.UintKind, types.DurationKind:
			numbers++
		case types.DynKind:
		default:
			return
		}
		if !strict(e) {
			return
		}
	}
	if numbers == 0 {
		return
	}
	s := b.linear(left).plus(b.linear(right), -1)
	names := slices.Sorted(maps.Keys(s.terms))
	op, _ := operators.FindReverseBinaryOperator(operator)
	n.op2, n.bound = op, -s.constant
	if len(names) == 0 {
		return // unreachable: constant compared with constant is a constant
	}
	first := s.terms[names[0]]
	var over strings.Builder
	for _, name := range names {
		if f := s.terms[name]; first == 0 || f == 0 {
			n.same = len(names) == 1 && s.constant == 0
			n.op2 = ""
			return
		} else if f /= first; f == 1 {
			over.WriteString(name)
		} else {
			over.WriteString(" " + strconv.FormatFloat(f, 'g', 12, 64) + "*" + name)
		}
	}
	n.over = over.String()
	n.bound /= first
	if turned := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]; first < 0 && turned != "" {
		n.op2 = turned
	}
}

// strict reports whether e is known only where all that it reads is.
func strict(e ast.Expr) bool {
	ok := true
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.ComprehensionKind:
			ok = false
		case ast.SelectKind:
			ok = ok && !x.AsSelect().IsTestOnly()
		case ast.CallKind:
			ok = ok && !slices.Contains([]string{operators.Conditional, operators.LogicalAnd, operators.LogicalOr, newlyCall}, x.AsCall().FunctionName())
		}
	}))
	return ok
}

// asks reports whether e asks if something is there, with has() or in.
func asks(e ast.Expr) (is bool) {
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		is = is || x.Kind() == ast.SelectKind && x.AsSelect().IsTestOnly() || x.Kind() == ast.CallKind && x.AsCall().FunctionName() == operators.In
	}))
	return is
}

// measureOf is a constant as a plain number; a length of time in seconds.
func measureOf(v ref.Val) (float64, bool) {
	switch v := v.(type) {
	case types.Int:
		return float64(v), true
	case types.Uint:
		return float64(v), true
	case types.Double:
		return float64(v), !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
	case types.Duration:
		return v.Seconds(), true
	}
	return 0, false
}

// A span is the numbers from lo to hi, without its open ends and but.
type span struct {
	lo, hi         float64
	openLo, openHi bool
	but            []float64
}

func everything() span { return span{lo: math.Inf(-1), hi: math.Inf(1)} }

func (s span) and(op string, bound float64) span {
	switch op {
	case ">", ">=":
		if bound > s.lo || bound == s.lo && op == ">" {
			s.lo, s.openLo = bound, op == ">"
		}
	case "<", "<=":
		if bound < s.hi || bound == s.hi && op == "<" {
			s.hi, s.openHi = bound, op == "<"
		}
	case "==":
		return s.and(">=", bound).and("<=", bound)
	case "!=":
		s.but = append(slices.Clone(s.but), bound)
	}
	return s
}

func (s span) empty() bool {
	return s.lo > s.hi || s.lo == s.hi && (s.openLo || s.openHi || slices.Contains(s.but, s.lo))
}

var negated = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}

// A domain is what is known of what may be read, by its text.
type domain struct {
	spans map[string]span
	words map[string][]string // the values of what has only these
	// needs is what is true where something is known, such as that there is
	// a champion where its age is.
	needs func(path []string) []need
}

// A need is a text that is true, or that has a word among its values.
type need struct {
	text  string
	words []string // nil: it is true
}

// A world is literals that are true at once.
type world struct {
	domain
	truths map[string]bool
	sums   map[string]span
	spelt  map[string][]string // what a text may still be
	isnt   map[string][]string
}

func newWorld(d domain) *world {
	return &world{domain: d, truths: map[string]bool{}, sums: map[string]span{}, spelt: map[string][]string{}, isnt: map[string][]string{}}
}

// add takes in that l is true; it is false where that cannot be.
func (w *world) add(l literal) bool {
	n := l.node
	if n.strict {
		for _, read := range n.reads {
			for _, need := range w.needs(read) {
				if !w.need(need) {
					return false
				}
			}
		}
	}
	switch {
	case n.same:
		return (n.compare == "==" || n.compare == "<=" || n.compare == ">=") != l.not
	case n.over != "":
		op := n.op2
		if l.not {
			op = negated[op]
		}
		s, known := w.sums[n.over]
		if !known {
			if s, known = w.spans[n.over]; !known {
				s = everything()
			}
		}
		s = s.and(op, n.bound)
		w.sums[n.over] = s
		return !s.empty()
	}
	switch limit := n.limit.(type) {
	case types.Bool:
		return w.truth(n.read, bool(limit) == ((n.compare == "==") != l.not))
	case types.String:
		if n.compare != "==" && n.compare != "!=" {
			break
		}
		if (n.compare == "==") != l.not {
			return w.word(n.read, []string{string(limit)})
		}
		w.isnt[n.read] = append(w.isnt[n.read], string(limit))
		return w.word(n.read, nil)
	}
	if n.constant != nil {
		return *n.constant != l.not
	}
	return w.truth(n.text, !l.not)
}

func (w *world) need(n need) bool {
	if n.words == nil {
		return w.truth(n.text, true)
	}
	return w.word(n.text, n.words)
}

func (w *world) truth(text string, is bool) bool {
	was, known := w.truths[text]
	w.truths[text] = is
	return !known || was == is
}

// word takes in that text is one of words, or whatever it may be.
func (w *world) word(text string, words []string) bool {
	may, bounded := w.spelt[text]
	if !bounded {
		may, bounded = w.words[text]
	}
	switch {
	case !bounded && words == nil:
		return true
	case !bounded:
		may = words
	case words != nil:
		may = slices.DeleteFunc(slices.Clone(may), func(s string) bool { return !slices.Contains(words, s) })
	}
	may = slices.DeleteFunc(slices.Clone(may), func(s string) bool { return slices.Contains(w.isnt[text], s) })
	w.spelt[text] = may
	return len(may) > 0
}

// possible reports whether the literals can be true at once.
func (d domain) possible(way []literal) bool {
	w := newWorld(d)
	for _, l := range way {
		if !w.add(l) {
			return false
		}
	}
	return true
}

// never reports whether n is never true, and which literals say so: those of
// the first way that n could be true.
func (d domain) never(n *node) (why []literal, is bool) {
	ways := n.ways(false)
	for _, way := range ways {
		if d.possible(way) {
			return nil, false
		}
		if why == nil {
			why = d.culprits(way)
		}
	}
	return why, len(ways) > 0
}

// culprits are the fewest literals of a way that cannot be.
func (d domain) culprits(way []literal) []literal {
	for i := range way {
		if !d.possible(way[i : i+1]) {
			return way[i : i+1]
		}
	}
	for i := range way {
		for j := range i {
			if pair := []literal{way[j], way[i]}; !d.possible(pair) {
				return pair
			}
		}
	}
	return way
}

// always reports whether n is true whenever it is known.
func (d domain) always(n *node) bool {
	ways := n.ways(true)
	return ways != nil && !slices.ContainsFunc(ways, d.possible)
}

// follows reports whether a is true, and known to be, wherever b is true.
func (d domain) follows(b, a *node) bool {
	ways := b.ways(false)
	for _, way := range ways {
		w := newWorld(d)
		possible := true
		for _, l := range way {
			possible = possible && w.add(l)
		}
		if possible && !w.proves(a, false) {
			return false
		}
	}
	return len(ways) > 0
}

// proves reports whether n, or its negation, is true in w.
func (w *world) proves(n *node, not bool) bool {
	any, op := slices.ContainsFunc[[]*node], n.op
	if not {
		op = map[string]string{"&&": "||", "||": "&&"}[op]
	}
	switch {
	case n.op == "!":
		return w.proves(n.kids[0], !not)
	case op == "||":
		return any(n.kids, func(kid *node) bool { return w.proves(kid, not) })
	case op == "&&":
		return !any(n.kids, func(kid *node) bool { return !w.proves(kid, not) })
	case n.constant != nil:
		return *n.constant != not
	case n.over != "":
		s, known := w.sums[n.over]
		op := n.op2
		if !not {
			op = negated[op]
		}
		return known && s.and(op, n.bound).empty()
	case n.read != "" && n.limit != nil:
		if limit, ok := n.limit.(types.Bool); ok {
			is, known := w.truths[n.read]
			return known && is == (bool(limit) == ((n.compare == "==") != not))
		}
		if limit, ok := n.limit.(types.String); ok && (n.compare == "==" || n.compare == "!=") {
			may, known := w.spelt[n.read]
			if (n.compare == "==") != not {
				return known && slices.Equal(may, []string{string(limit)})
			}
			return known && !slices.Contains(may, string(limit)) || slices.Contains(w.isnt[n.read], string(limit))
		}
	}
	is, known := w.truths[n.text]
	return known && is != not
}

func (l literal) String() string {
	if l.not {
		return "!(" + l.text + ")"
	}
	return l.text
}

// together names literals that cannot be true at once.
func together(way []literal) string {
	texts := make([]string, len(way))
	for i, l := range way {
		texts[i] = l.String()
	}
	return fmt.Sprintf("%s are never true at once", strings.Join(texts, " and "))
}
