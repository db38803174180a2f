// Package jsonpath reads and writes parts of JSON values by path, as Step
// Functions does: the syntax and the results are those of the Jayway library
// that it uses, so far as the recorded executions show them.
//
// A Path is read once and may be used by many goroutines. Selecting is bounded
// in steps, so that a path with several `..` ends. What a missing part means
// is left to the caller: [Path.Select] says [NotFoundError] and the language
// makes an error or an empty list of it.
package jsonpath

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A Path is a JSONPath that has been read.
type Path struct {
	text     string
	context  bool   // begins with $$: the context object
	variable string // begins with $ and this name
	steps    []step
	definite bool
}

// kind says what a step selects.
type kind uint8

const (
	names    kind = iota // members: .a ['a'] ['a','b']
	indices              // items: [0] [-1] [0,1]
	slice                // [1:5] [:3] [-3:]
	wildcard             // .* [*]
	deep                 // what follows a `..`: the value and all below it
	filter               // [?(…)]
)

type step struct {
	kind     kind
	names    []string
	indices  []int
	from, to *int // of a slice
	filter   condition
	text     string // normalized, as in error messages
}

// String is the path as it was written.
func (p *Path) String() string { return p.text }

// Context reports whether the path begins with $$ and is to be applied to the
// context object.
func (p *Path) Context() bool { return p.context }

// Variable is the name of the variable that the path is to be applied to; empty
// where it is another value.
func (p *Path) Variable() string { return p.variable }

// Definite reports whether the path can select only one value. The results of
// any other path are a list.
func (p *Path) Definite() bool { return p.definite }

// Reference reports whether the path is a Reference Path, which can be
// written to: it only names members and items.
func (p *Path) Reference() bool {
	for _, s := range p.steps {
		if s.kind != names && s.kind != indices {
			return false
		}
	}
	return p.definite && !p.context && p.variable == ""
}

// A Step is one step of a path, for who follows it through something that is
// not there yet: one member, one item, all of them, or anything else.
type Step struct {
	Kind  StepKind
	Name  string // of a member
	Index int    // of an item; negative from the end
}

// A StepKind is what a [Step] selects.
type StepKind uint8

// The kinds of steps.
const (
	StepMember StepKind = iota
	StepItem
	StepAll   // [*]
	StepOther // slices, filters, `..`, several members or items
)

// Steps are the steps of the path.
func (p *Path) Steps() []Step {
	all := make([]Step, len(p.steps))
	for i, s := range p.steps {
		switch {
		case s.kind == names && len(s.names) == 1:
			all[i] = Step{Kind: StepMember, Name: s.names[0]}
		case s.kind == indices && len(s.indices) == 1:
			all[i] = Step{Kind: StepItem, Index: s.indices[0]}
		case s.kind == wildcard:
			all[i] = Step{Kind: StepAll}
		default:
			all[i] = Step{Kind: StepOther}
		}
	}
	return all
}

// Root reports whether the path is $ alone.
func (p *Path) Root() bool { return len(p.steps) == 0 && !p.context && p.variable == "" }

// Parse reads a path.
func Parse(text string) (*Path, error) {
	p := &parser{text: text}
	path, err := p.path('$')
	if err != nil {
		return nil, fmt.Errorf("%q is not a path: %w", text, err)
	}
	if p.pos < len(text) {
		return nil, fmt.Errorf("%q is not a path: unexpected %q at %d", text, text[p.pos:], p.pos)
	}
	path.text = text
	return path, nil
}

// ParsePrefix reads the path that text begins with, up to a comma, a closing
// parenthesis or white space outside of brackets, and says how long it is.
func ParsePrefix(text string) (path *Path, length int, err error) {
	p := &parser{text: text, inner: true}
	if path, err = p.path('$'); err != nil {
		return nil, 0, fmt.Errorf("%q does not begin with a path: %w", text, err)
	}
	path.text = text[:p.pos]
	return path, p.pos, nil
}

// maxNesting bounds filters inside of filters, and `!` and parentheses there.
const maxNesting = 50

type parser struct {
	text  string
	pos   int
	inner bool // inside an expression, where a name ends earlier
	depth int
}

func (p *parser) at(s string) bool { return strings.HasPrefix(p.text[p.pos:], s) }

func (p *parser) take(s string) bool {
	if p.at(s) {
		p.pos += len(s)
		return true
	}
	return false
}

func (p *parser) space() {
	for p.pos < len(p.text) && (p.text[p.pos] == ' ' || p.text[p.pos] == '\t' || p.text[p.pos] == '\n') {
		p.pos++
	}
}

// path reads from the root sign, $ or @, on.
func (p *parser) path(root byte) (*Path, error) {
	path := &Path{definite: true}
	if !p.take(string(root)) {
		return nil, fmt.Errorf("it must begin with %c", root)
	}
	if root == '$' && p.take("$") {
		path.context = true
	} else if root == '$' {
		n := 0
		for i, r := range p.text[p.pos:] {
			if !inName(r, i == 0) {
				break
			}
			n = i + utf8.RuneLen(r)
		}
		path.variable = p.text[p.pos : p.pos+n]
		p.pos += n
	}
	for p.pos < len(p.text) {
		switch {
		case p.take(".."):
			path.steps = append(path.steps, step{kind: deep, text: ".."})
			path.definite = false
			if p.at("[") {
				continue
			}
			if err := p.name(path); err != nil {
				return nil, err
			}
		case p.take("."):
			if p.at("[") {
				continue
			}
			if err := p.name(path); err != nil {
				return nil, err
			}
		case p.at("["):
			if err := p.bracket(path); err != nil {
				return nil, err
			}
		case p.inner:
			return path, nil
		default:
			return nil, fmt.Errorf("unexpected %q at %d, want . or [", p.text[p.pos:], p.pos)
		}
	}
	return path, nil
}

// IsName reports whether a variable can have this name.
func IsName(name string) bool {
	for i, r := range name {
		if !inName(r, i == 0) {
			return false
		}
	}
	return name != "" && utf8.RuneCountInString(name) <= 80
}

// inName reports whether a rune may stand in a name: those of identifiers
// (Unicode Standard Annex #31), and the underscore.
func inName(r rune, first bool) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r) ||
		!first && (unicode.IsDigit(r) || unicode.In(r, unicode.Mn, unicode.Mc, unicode.Pc))
}

// name reads what follows a dot.
func (p *parser) name(path *Path) error {
	if p.take("*") {
		path.steps = append(path.steps, step{kind: wildcard, text: "[*]"})
		path.definite = false
		return nil
	}
	start := p.pos
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		if c == '.' || c == '[' || c == '(' || c <= ' ' || p.inner && strings.IndexByte(",)]=!<>~&|", c) >= 0 {
			break
		}
		p.pos++
	}
	name := p.text[start:p.pos]
	switch {
	case name == "":
		return fmt.Errorf("want a name after the dot at %d", start)
	case p.at("("):
		return fmt.Errorf("%s() is not supported by Step Functions; see States.ArrayLength and the other intrinsic functions", name)
	}
	path.steps = append(path.steps, step{kind: names, names: []string{name}, text: "['" + name + "']"})
	return nil
}

// bracket reads [ … ].
func (p *parser) bracket(path *Path) error {
	start := p.pos
	p.pos++
	p.space()
	if p.pos >= len(p.text) {
		return errors.New("[ without ]")
	}
	s := step{}
	switch c := p.text[p.pos]; {
	case p.take("*"):
		s = step{kind: wildcard, text: "[*]"}
		path.definite = false
	case p.take("?"):
		p.space()
		if !p.take("(") {
			return fmt.Errorf("want ( after ? at %d", p.pos)
		}
		c, err := p.or()
		if err != nil {
			return err
		}
		p.space()
		if !p.take(")") {
			return fmt.Errorf("the filter at %d has no )", start)
		}
		s = step{kind: filter, filter: c, text: "[?]"}
		path.definite = false
	case c == '\'' || c == '"':
		s.kind = names
		for {
			name, err := p.quoted()
			if err != nil {
				return err
			}
			s.names = append(s.names, name)
			p.space()
			if !p.take(",") {
				break
			}
			p.space()
			if p.pos >= len(p.text) || p.text[p.pos] != '\'' && p.text[p.pos] != '"' {
				return fmt.Errorf("want a name in quotes at %d", p.pos)
			}
		}
		s.text = "['" + strings.Join(s.names, "','") + "']"
		if len(s.names) > 1 {
			path.definite = false
		}
	default:
		if err := p.numbers(&s); err != nil {
			return err
		}
		if s.kind == slice || len(s.indices) > 1 {
			path.definite = false
		}
	}
	p.space()
	if !p.take("]") {
		return fmt.Errorf("the [ at %d has no ]", start)
	}
	path.steps = append(path.steps, s)
	return nil
}

// numbers reads an index, several, or a slice.
func (p *parser) numbers(s *step) error {
	start := p.pos
	number := func() (*int, error) {
		p.space()
		from := p.pos
		p.take("-")
		for p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
			p.pos++
		}
		if from == p.pos {
			return nil, nil
		}
		n, err := strconv.Atoi(p.text[from:p.pos])
		if err != nil || n > 1<<31-1 || n < -1<<31 {
			return nil, fmt.Errorf("%q at %d is not an index", p.text[from:p.pos], from)
		}
		p.space()
		return &n, nil
	}
	n, err := number()
	if err != nil {
		return err
	}
	if p.take(":") {
		s.kind, s.from = slice, n
		if s.to, err = number(); err != nil {
			return err
		}
		if p.at(":") {
			return errors.New("a slice with a step is not supported")
		}
		if s.from == nil && s.to == nil {
			return fmt.Errorf("the slice at %d has no bound; [*] takes all", start)
		}
		s.text = strings.TrimSpace("[" + p.text[start:p.pos] + "]")
		return nil
	}
	s.kind = indices
	for {
		if n == nil {
			return fmt.Errorf("want an index, a quoted name, * or ?( at %d", p.pos)
		}
		s.indices = append(s.indices, *n)
		if !p.take(",") {
			break
		}
		if n, err = number(); err != nil {
			return err
		}
	}
	var text []string
	for _, i := range s.indices {
		text = append(text, strconv.Itoa(i))
	}
	s.text = "[" + strings.Join(text, ",") + "]"
	return nil
}

// quoted reads a name or string in single or double quotes. A backslash
// stands for itself, except before the quote and before a backslash.
func (p *parser) quoted() (string, error) {
	quote, start := p.text[p.pos], p.pos
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		if c == quote {
			p.pos++
			return b.String(), nil
		}
		if c == '\\' && p.pos+1 < len(p.text) && (p.text[p.pos+1] == quote || p.text[p.pos+1] == '\\') {
			p.pos++
			c = p.text[p.pos]
		}
		b.WriteByte(c)
		p.pos++
	}
	return "", fmt.Errorf("the %c at %d is not closed", quote, start)
}

// normal is the path as error messages show it.
func normal(steps []step) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, s := range steps {
		b.WriteString(s.text)
	}
	return b.String()
}

// A NotFoundError says that there is nothing at a path.
type NotFoundError struct {
	Message string
	PastEnd bool // its last step is the index of an element that an array does not have
}

func (e *NotFoundError) Error() string { return e.Message }

// ErrTooMuch is returned where a path takes too many steps to follow.
var ErrTooMuch = errors.New("the path takes too many steps to follow")

// maxSteps is how many values one Select may visit.
const maxSteps = 500_000

// Select is what the path selects in root: the value itself where the path is
// definite, else an array of all results in order. The error is a
// *NotFoundError, or ErrTooMuch.
func (p *Path) Select(root value.Value) (value.Value, error) {
	r := &run{root: root, path: p, budget: maxSteps}
	return r.selectAll(root)
}

type run struct {
	root   value.Value
	path   *Path
	budget int
	found  []value.Value

	pastEnd bool // the last step is an index, and there is no such element
}

func (r *run) selectAll(from value.Value) (value.Value, error) {
	if err := r.follow(from, 0, true); err != nil {
		return value.Value{}, err
	}
	if !r.path.definite {
		return value.OfArray(r.found), nil
	}
	if len(r.found) == 0 {
		return value.Value{}, &NotFoundError{"No results for path: " + normal(r.path.steps), r.pastEnd}
	}
	return r.found[0], nil
}

// follow applies the steps from i on. sure is whether all before were
// definite: only then is a missing part an error.
func (r *run) follow(v value.Value, i int, sure bool) error {
	if r.budget--; r.budget < 0 {
		return ErrTooMuch
	}
	if i == len(r.path.steps) {
		r.found = append(r.found, v)
		return nil
	}
	s := &r.path.steps[i]
	missing := func(format string, args ...any) error {
		if !sure {
			return nil
		}
		return &NotFoundError{Message: fmt.Sprintf(format, args...)}
	}
	here := func() string { return normal(r.path.steps[:i]) }
	switch s.kind {
	case names:
		if v.Kind() != value.Object {
			return missing("Expected to find an object with property %s in path %s but found '%s'. This is not a json object.", s.text, here(), v.Kind())
		}
		for _, name := range s.names {
			x, ok := v.Find(name)
			if !ok {
				if i == len(r.path.steps)-1 || len(s.names) > 1 {
					continue
				}
				return missing("Missing property in path %s", normal(r.path.steps[:i+1]))
			}
			if err := r.follow(x, i+1, sure && len(s.names) == 1); err != nil {
				return err
			}
		}
	case indices, slice:
		if v.Kind() == value.Null {
			return missing("The path %s is null", here())
		}
		if v.Kind() != value.Array {
			return missing("Filter: %s can only be applied to arrays. Current context is: %s", s.text, v)
		}
		at, to, few := s.indices, 0, len(s.indices) == 1
		if s.kind == slice {
			var from int
			from, to = bounds(s, v.Len())
			for k := from; k < to; k++ {
				if err := r.follow(v.At(k), i+1, false); err != nil {
					return err
				}
			}
			return nil
		}
		for _, k := range at {
			if k < 0 {
				k += v.Len()
			}
			if k < 0 || k >= v.Len() {
				r.pastEnd = i == len(r.path.steps)-1
				continue
			}
			if err := r.follow(v.At(k), i+1, sure && few); err != nil {
				return err
			}
		}
	case wildcard:
		for _, x := range v.Items() {
			if err := r.follow(x, i+1, false); err != nil {
				return err
			}
		}
	case deep:
		if err := r.follow(v, i+1, false); err != nil {
			return err
		}
		for _, x := range v.Items() {
			if x.Len() == 0 {
				continue // nothing can be selected in it
			}
			if err := r.follow(x, i, false); err != nil {
				return err
			}
		}
	case filter:
		candidates := v.Items()
		if v.Kind() == value.Object {
			candidates = []value.Value{v}
		} else if v.Kind() != value.Array {
			return missing("Filter: [?] can not be applied to primitives. Current context is: %s", v)
		}
		for _, x := range candidates {
			ok, err := s.filter.test(r, x)
			if err != nil {
				return err
			}
			if ok {
				if err := r.follow(x, i+1, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// bounds are those of a slice in an array of n items.
func bounds(s *step, n int) (from, to int) {
	to = n
	if s.from != nil {
		from = *s.from
	}
	if s.to != nil {
		to = *s.to
	}
	if from < 0 {
		from = max(0, from+n)
	}
	if to < 0 {
		to += n
	}
	return from, min(to, n)
}

// Set is root with the value at the path replaced by x. Members that are not
// there are made; items must be there. The path must be a Reference Path.
func (p *Path) Set(root, x value.Value) (value.Value, error) {
	return set(root, p.steps, x)
}

func set(v value.Value, steps []step, x value.Value) (value.Value, error) {
	if len(steps) == 0 {
		return x, nil
	}
	s := steps[0]
	if s.kind == indices {
		i := s.indices[0]
		if v.Kind() != value.Array || i < 0 || i >= v.Len() {
			return value.Value{}, &NotFoundError{Message: fmt.Sprintf("Unable to apply step %s to input %s", s.text, v)}
		}
		y, err := set(v.At(i), steps[1:], x)
		if err != nil {
			return value.Value{}, err
		}
		return v.WithAt(i, y), nil
	}
	name := s.names[0]
	if v.Kind() != value.Object {
		return value.Value{}, &NotFoundError{Message: fmt.Sprintf("Unable to apply step %q to input %s", name, v)}
	}
	old, ok := v.Find(name)
	if !ok {
		old = value.OfObject()
	}
	y, err := set(old, steps[1:], x)
	if err != nil {
		return value.Value{}, err
	}
	return v.With(name, y), nil
}
