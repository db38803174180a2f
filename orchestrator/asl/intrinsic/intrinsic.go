// Package intrinsic reads and evaluates the intrinsic functions of Amazon
// States Language: States.Format('{} of {}', $.a, $.b) and its like.
//
// An Expr is read once and may be used by many goroutines. Evaluation is a
// function of its [Args], randomness included, and bounded in what it makes.
package intrinsic

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// An Expr is a call of an intrinsic function.
type Expr struct {
	text string
	call *call
}

// An argument is a literal, a path or another call: one of the three.
type argument struct {
	literal  value.Value
	template []string // of a literal string: its parts between {} for States.Format
	path     *jsonpath.Path
	call     *call
}

type call struct {
	name string
	do   function
	args []argument
}

// Args is what an evaluation depends on.
type Args struct {
	Input, Context value.Value // what $ and $$ stand for
	Variable       func(name string) (value.Value, bool)
	Rand           *rand.Rand // for States.UUID and States.MathRandom
}

// MaxDepth is how deep calls may nest.
const MaxDepth = 10

// Is reports whether text is meant to be a call rather than a path.
func Is(text string) bool { return strings.HasPrefix(text, "States.") }

// String is the expression as it was written.
func (e *Expr) String() string { return e.text }

// A Call is a call as it was read, for who wants to know what it can give
// before it is evaluated.
type Call struct {
	Name string
	Args []Arg
}

// An Arg is an argument: a path, a call, or else a literal.
type Arg struct {
	Path    *jsonpath.Path
	Call    *Call
	Literal value.Value
	Parts   []string // of a literal string: what stands around its {}
}

// Call is the call that the expression is.
func (e *Expr) Call() Call { return e.call.export() }

func (c *call) export() Call {
	x := Call{Name: c.name}
	for _, a := range c.args {
		arg := Arg{Path: a.path, Literal: a.literal, Parts: a.template}
		if a.call != nil {
			arg.Call = new(a.call.export())
		}
		x.Args = append(x.Args, arg)
	}
	return x
}

// Paths are the paths among the arguments.
func (e *Expr) Paths() []*jsonpath.Path { return e.call.paths(nil) }

func (c *call) paths(into []*jsonpath.Path) []*jsonpath.Path {
	for _, a := range c.args {
		switch {
		case a.path != nil:
			into = append(into, a.path)
		case a.call != nil:
			into = a.call.paths(into)
		}
	}
	return into
}

// Parse reads a call.
func Parse(text string) (*Expr, error) {
	p := &parser{text: text}
	c, err := p.call()
	if err == nil {
		p.space()
		if p.pos < len(text) {
			err = fmt.Errorf("unexpected %q after the call", text[p.pos:])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not an intrinsic function call: %w", text, err)
	}
	return &Expr{text: text, call: c}, nil
}

type parser struct {
	text  string
	pos   int
	depth int
}

func (p *parser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) take(s string) bool {
	p.space()
	if strings.HasPrefix(p.text[p.pos:], s) {
		p.pos += len(s)
		return true
	}
	return false
}

func (p *parser) call() (*call, error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, fmt.Errorf("calls are nested deeper than %d", MaxDepth)
	}
	defer func() { p.depth-- }()
	p.space()
	start := p.pos
	for p.pos < len(p.text) && (p.text[p.pos] == '.' || p.text[p.pos]|0x20 >= 'a' && p.text[p.pos]|0x20 <= 'z' || p.text[p.pos] >= '0' && p.text[p.pos] <= '9') {
		p.pos++
	}
	c := &call{name: p.text[start:p.pos]}
	f, ok := functions()[c.name]
	if !ok {
		return nil, fmt.Errorf("unknown function %q (have %s)", c.name, strings.Join(names(), ", "))
	}
	c.do = f.do
	if !p.take("(") {
		return nil, fmt.Errorf("want ( after %s", c.name)
	}
	for !p.take(")") {
		if len(c.args) > 0 && !p.take(",") {
			return nil, fmt.Errorf("want , or ) at %d", p.pos)
		}
		a, err := p.argument()
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, a)
	}
	if len(c.args) < f.min || len(c.args) > f.max {
		want := fmt.Sprint(f.min)
		if f.max != f.min {
			want = fmt.Sprintf("%d to %d", f.min, f.max)
		}
		if f.max == many {
			want = fmt.Sprintf("at least %d", f.min)
		}
		return nil, fmt.Errorf("%s takes %s arguments, not %d", c.name, want, len(c.args))
	}
	return c, nil
}

func (p *parser) argument() (argument, error) {
	p.space()
	if p.pos >= len(p.text) {
		return argument{}, fmt.Errorf("the call has no )")
	}
	switch c := p.text[p.pos]; {
	case c == '\'':
		return p.quoted()
	case c == '$':
		path, n, err := jsonpath.ParsePrefix(p.text[p.pos:])
		p.pos += n
		return argument{path: path}, err
	case strings.HasPrefix(p.text[p.pos:], "States."):
		c, err := p.call()
		return argument{call: c}, err
	}
	start := p.pos
	for p.pos < len(p.text) && strings.IndexByte(",) \t\r\n", p.text[p.pos]) < 0 {
		p.pos++
	}
	v, err := value.ParseString(p.text[start:p.pos])
	if err != nil || v.Kind() == value.String || v.Len() > 0 {
		return argument{}, fmt.Errorf("%q at %d is not an argument (want a path, a 'string', a number, true, false, null or a call)", p.text[start:p.pos], start)
	}
	return argument{literal: v}, nil
}

// quoted reads a string in single quotes, in which \' \{ \} and \\ are the
// only escapes. An escaped brace is no part of a {}.
func (p *parser) quoted() (argument, error) {
	start := p.pos
	p.pos++
	var all, part strings.Builder
	var parts []string
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == '\'':
			p.pos++
			return argument{
				literal:  value.OfString(all.String()),
				template: append(parts, part.String()),
			}, nil
		case c == '\\':
			p.pos++
			if p.pos >= len(p.text) || strings.IndexByte(`'{}\`, p.text[p.pos]) < 0 {
				return argument{}, fmt.Errorf(`a backslash at %d must come before ' { } or \`, p.pos-1)
			}
			c = p.text[p.pos]
		case strings.HasPrefix(p.text[p.pos:], "{}"):
			all.WriteString("{}")
			parts = append(parts, part.String())
			part.Reset()
			p.pos += 2
			continue
		}
		all.WriteByte(c)
		part.WriteByte(c)
		p.pos++
	}
	return argument{}, fmt.Errorf("the ' at %d is not closed", start)
}

// An Error says why a call could not be evaluated.
type Error struct {
	// Path is the path that led nowhere, where that was the reason.
	Path    *jsonpath.Path
	Message string
}

func (e *Error) Error() string { return e.Message }

// Eval evaluates the call. Errors are of type *Error.
func (e *Expr) Eval(a Args) (value.Value, error) { return e.call.eval(a) }

func (c *call) eval(a Args) (value.Value, error) {
	args := make([]value.Value, len(c.args))
	for i, arg := range c.args {
		args[i] = arg.literal
		var err error
		switch {
		case arg.call != nil:
			args[i], err = arg.call.eval(a)
		case arg.path != nil:
			args[i], err = selectIn(arg.path, a)
		}
		if err != nil {
			return value.Value{}, err
		}
	}
	if len(c.args) > 0 && c.args[0].template != nil && c.name == format {
		return formatted(c.args[0].template, args[1:])
	}
	v, err := c.do(args, a.Rand)
	if e, ok := err.(*Error); ok {
		return value.Value{}, e
	}
	if err != nil {
		return value.Value{}, &Error{Message: fmt.Sprintf("Invalid arguments in %s: %v", c.name, err)}
	}
	return v, nil
}

func selectIn(p *jsonpath.Path, a Args) (value.Value, error) {
	root := a.Input
	if p.Context() {
		root = a.Context
	} else if name := p.Variable(); name != "" {
		var ok bool
		if root, ok = a.Variable(name); !ok {
			return root, &Error{Path: p, Message: fmt.Sprintf("The variable '$%s' has no value", name)}
		}
	}
	v, err := p.Select(root)
	if _, missing := err.(*jsonpath.NotFoundError); missing {
		if !p.Definite() {
			return value.OfArray(nil), nil
		}
		text := p.String()
		if p.Context() { // told as AWS does: as a path into the input
			text, root = text[1:], a.Input
		}
		return v, &Error{Path: p, Message: fmt.Sprintf("The JsonPath argument for the field '%s' could not be found in the input '%s'", text, root)}
	}
	if err != nil {
		return v, &Error{Message: err.Error()}
	}
	return v, nil
}
