package jsonpath

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A condition is what stands in a filter: [?( … )].
type condition interface {
	test(r *run, item value.Value) (bool, error)
}

type (
	either  struct{ a, b condition }
	both    struct{ a, b condition }
	negated struct{ of condition }
	exists  struct{ operand operand }
	compare struct {
		left, right operand
		op          string
	}
)

// An operand is a path, a literal or a regular expression.
type operand struct {
	path    *Path
	current bool // the path begins with @
	literal value.Value
	pattern *regexp.Regexp
}

func (p *parser) nest() error {
	if p.depth++; p.depth > maxNesting {
		return fmt.Errorf("the filter is nested deeper than %d", maxNesting)
	}
	return nil
}

func (p *parser) or() (condition, error) {
	if err := p.nest(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	a, err := p.and()
	for err == nil {
		p.space()
		if !p.take("||") {
			return a, nil
		}
		var b condition
		b, err = p.and()
		a = either{a, b}
	}
	return nil, err
}

func (p *parser) and() (condition, error) {
	a, err := p.not()
	for err == nil {
		p.space()
		if !p.take("&&") {
			return a, nil
		}
		var b condition
		b, err = p.not()
		a = both{a, b}
	}
	return nil, err
}

func (p *parser) not() (condition, error) {
	p.space()
	if p.take("!") {
		if err := p.nest(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		c, err := p.not()
		return negated{c}, err
	}
	if p.take("(") {
		c, err := p.or()
		if err != nil {
			return nil, err
		}
		p.space()
		if !p.take(")") {
			return nil, fmt.Errorf("want ) at %d", p.pos)
		}
		return c, nil
	}
	return p.comparison()
}

// operators, the longer before those they begin with.
var operators = [...]string{
	"===", "!==", "==", "!=", "<=", ">=", "=~", "<", ">",
	"in", "nin", "subsetof", "anyof", "noneof", "size", "empty", "contains",
}

func (p *parser) comparison() (condition, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	p.space()
	for _, op := range operators {
		if !p.at(op) && !(op[0] >= 'a' && len(p.text)-p.pos >= len(op) && strings.EqualFold(p.text[p.pos:p.pos+len(op)], op)) {
			continue
		}
		if next := p.pos + len(op); op[0] >= 'a' && next < len(p.text) && isLetter(p.text[next]) {
			continue // a longer word
		}
		p.pos += len(op)
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		if (op == "=~") != (right.pattern != nil) {
			return nil, fmt.Errorf("=~ wants a /pattern/ on its right, and nothing else does, at %d", p.pos)
		}
		return compare{left, right, op}, nil
	}
	if left.path == nil {
		return nil, fmt.Errorf("want an operator at %d", p.pos)
	}
	return exists{left}, nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func (p *parser) operand() (operand, error) {
	p.space()
	if p.pos >= len(p.text) {
		return operand{}, fmt.Errorf("the filter ends too early")
	}
	switch c := p.text[p.pos]; c {
	case '@', '$':
		if err := p.nest(); err != nil {
			return operand{}, err
		}
		defer func(inner bool) { p.inner = inner; p.depth-- }(p.inner)
		p.inner = true
		path, err := p.path(c)
		if err == nil && path.context {
			err = fmt.Errorf("$$ cannot stand in a filter")
		} else if err == nil && path.variable != "" {
			err = fmt.Errorf("a variable, as is $%s, cannot stand in a filter", path.variable)
		}
		return operand{path: path, current: c == '@'}, err
	case '\'', '"':
		s, err := p.quoted()
		return operand{literal: value.OfString(s)}, err
	case '/':
		return p.regexp()
	case '[', '{':
		return p.json()
	}
	start := p.pos
	for p.pos < len(p.text) && strings.IndexByte(" )]=!<>&|,", p.text[p.pos]) < 0 {
		p.pos++
	}
	v, err := value.ParseString(p.text[start:p.pos])
	if err != nil {
		return operand{}, fmt.Errorf("%q at %d is neither a path nor a literal", p.text[start:p.pos], start)
	}
	return operand{literal: v}, nil
}

func (p *parser) regexp() (operand, error) {
	start := p.pos
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) && p.text[p.pos] != '/' {
		if p.at(`\/`) {
			p.pos++
		} else if p.at(`\\`) {
			b.WriteByte('\\')
			p.pos++
		}
		b.WriteByte(p.text[p.pos])
		p.pos++
	}
	if !p.take("/") {
		return operand{}, fmt.Errorf("the / at %d is not closed", start)
	}
	flags := ""
	for p.pos < len(p.text) && strings.IndexByte("ims", p.text[p.pos]) >= 0 {
		flags += p.text[p.pos : p.pos+1]
		p.pos++
	}
	if flags != "" {
		flags = "(?" + flags + ")"
	}
	re, err := regexp.Compile(flags + `^(?:` + b.String() + `)$`)
	if err != nil {
		return operand{}, fmt.Errorf("the pattern at %d: %w", start, err)
	}
	return operand{pattern: re}, nil
}

// json reads an array or object, in which single quotes may stand for double.
func (p *parser) json() (operand, error) {
	start, depth := p.pos, 0
	var b strings.Builder
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; c {
		case '\'', '"':
			s, err := p.quoted()
			if err != nil {
				return operand{}, err
			}
			b.Write(value.AppendQuoted(nil, s))
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		b.WriteByte(p.text[p.pos])
		p.pos++
		if depth == 0 {
			v, err := value.ParseString(b.String())
			if err != nil {
				return operand{}, fmt.Errorf("the literal at %d: %w", start, err)
			}
			return operand{literal: v}, nil
		}
	}
	return operand{}, fmt.Errorf("the %c at %d is not closed", p.text[start], start)
}

func (c either) test(r *run, item value.Value) (bool, error) {
	if ok, err := c.a.test(r, item); ok || err != nil {
		return ok, err
	}
	return c.b.test(r, item)
}

func (c both) test(r *run, item value.Value) (bool, error) {
	if ok, err := c.a.test(r, item); !ok || err != nil {
		return false, err
	}
	return c.b.test(r, item)
}

func (c negated) test(r *run, item value.Value) (bool, error) {
	ok, err := c.of.test(r, item)
	return !ok, err
}

func (c exists) test(r *run, item value.Value) (bool, error) {
	v, found, err := c.operand.eval(r, item)
	if !c.operand.path.definite {
		found = found && v.Len() > 0
	}
	return found, err
}

// eval is the operand's value; found is false where its path leads nowhere.
func (o operand) eval(r *run, item value.Value) (v value.Value, found bool, err error) {
	if o.path == nil {
		return o.literal, true, nil
	}
	from := r.root
	if o.current {
		from = item
	}
	inner := &run{root: r.root, path: o.path, budget: r.budget}
	v, err = inner.selectAll(from)
	r.budget = inner.budget
	if _, missing := err.(*NotFoundError); missing {
		return value.Value{}, false, nil
	}
	return v, err == nil, err
}

func (c compare) test(r *run, item value.Value) (bool, error) {
	a, okA, err := c.left.eval(r, item)
	if err != nil {
		return false, err
	}
	if c.right.pattern != nil {
		text := a.Text()
		if a.Kind() == value.Bool {
			text = a.String()
		}
		return okA && a.Kind() != value.Null && a.Len() == 0 && c.right.pattern.MatchString(text), nil
	}
	b, okB, err := c.right.eval(r, item)
	if err != nil {
		return false, err
	}
	// Comparing lists takes a step for some items of each, or some pairs.
	pairs := 1
	if c.op == "anyof" || c.op == "noneof" || c.op == "subsetof" {
		pairs = max(1, b.Len())
	}
	if r.budget -= (a.Len()*pairs + b.Len()) / 16; r.budget < 0 {
		return false, ErrTooMuch
	}
	switch c.op {
	case "!=", "!==":
		return !(okA && okB && same(a, b, c.op == "!==")), nil
	case "nin":
		return okA && okB && !contains(b, a), nil
	case "noneof":
		return okA && okB && !anyOf(a, b), nil
	}
	if !okA || !okB {
		return false, nil
	}
	switch c.op {
	case "==", "===":
		return same(a, b, c.op == "==="), nil
	case "in":
		return contains(b, a), nil
	case "contains":
		if a.Kind() == value.String && b.Kind() == value.String {
			return strings.Contains(a.Text(), b.Text()), nil
		}
		return contains(a, b), nil
	case "anyof":
		return anyOf(a, b), nil
	case "subsetof":
		for _, x := range a.Items() {
			if !contains(b, x) {
				return false, nil
			}
		}
		return a.Kind() == value.Array && b.Kind() == value.Array, nil
	case "size":
		n, ok := b.Int()
		return ok && n == length(a), nil
	case "empty":
		return length(a) >= 0 && (length(a) == 0) == b.Bool() && b.Kind() == value.Bool, nil
	}
	order := 0
	switch {
	case a.Kind() == value.Number && b.Kind() == value.Number:
		order = value.Compare(a, b)
	case a.Kind() == value.String && b.Kind() == value.String:
		order = strings.Compare(a.Text(), b.Text())
	default:
		return false, nil
	}
	switch c.op {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	}
	return order >= 0, nil
}

// same compares as Jayway does: a number and the string of a number are equal
// unless strict.
func same(a, b value.Value, strict bool) bool {
	if a.Kind() == value.String && b.Kind() == value.Number {
		a, b = b, a
	}
	if a.Kind() == value.Number && b.Kind() == value.String && !strict {
		n, err := value.ParseString(b.Text())
		return err == nil && n.Kind() == value.Number && value.Compare(a, n) == 0
	}
	return value.Equal(a, b)
}

func contains(list, x value.Value) bool {
	for _, y := range list.Items() {
		if same(x, y, false) {
			return list.Kind() == value.Array
		}
	}
	return false
}

func anyOf(a, b value.Value) bool {
	for _, x := range a.Items() {
		if contains(b, x) {
			return a.Kind() == value.Array
		}
	}
	return false
}

// length is that of an array or a string; negative for anything else.
func length(v value.Value) int64 {
	switch v.Kind() {
	case value.Array:
		return int64(v.Len())
	case value.String:
		return int64(len([]rune(v.Text())))
	}
	return math.MinInt64
}
