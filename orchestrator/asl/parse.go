package asl

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// What a definition is held to.
const (
	MaxDefinition = 1 << 20 // bytes
	maxNesting    = 100     // of arrays and objects
	maxName       = 80      // characters of a state's name
	maxProblems   = 200     // that are reported
)

// Parse reads a definition and checks it. File is for messages. The error is
// of type [Problems] and holds all that was found, warnings too; without
// errors, warnings are in the machine.
func Parse(data []byte, file string) (*Machine, error) {
	c := newChecker(data, file)
	if len(data) > MaxDefinition {
		c.add(0, "", SeverityError, "the definition has %d bytes; at most %d are allowed", len(data), MaxDefinition)
		return nil, c.problems
	}
	root, err := value.ParseNodes(data)
	if err != nil {
		syntax := err.(*value.SyntaxError) // it is the only error there is
		message := syntax.Message
		if what := remedy(data, syntax.Offset); what != "" {
			message += "; " + what
		}
		c.add(syntax.Offset, "", SeverityError, "not valid JSON: %s", message)
		return nil, c.problems
	}
	if i := foreignBytes(data); i >= 0 {
		c.add(i, "", SeverityError, "not UTF-8, which JSON is written in: this is the byte 0x%02X", data[i])
	}
	m := &Machine{File: file}
	if at := (spot{node: root}); root.Value.Depth() > maxNesting {
		c.errorf(at, "nested deeper than %d", maxNesting)
	} else if root.Value.Kind() != value.Object {
		c.errorf(at, "a definition must be a JSON object, not %s", root.Value.Kind())
	} else {
		c.duplicates(at)
		c.machine(m, at)
	}
	c.problems.sort()
	if len(c.problems.Errors()) > 0 {
		return nil, c.problems
	}
	m.Warnings = c.problems
	return m, nil
}

// A spot is a place in a definition: a value and the way to it.
type spot struct {
	node *value.Node
	up   *spot
	step string // key or index in up
}

func (s spot) pointer() string {
	if s.up == nil {
		return ""
	}
	return s.up.pointer() + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(s.step)
}

func (s spot) value() value.Value { return s.node.Value }

// members are the places in an object or array, one for each key.
func (s spot) members() []spot {
	var all []spot
	for i, n := range s.node.Children {
		step := n.Key
		if s.value().Kind() == value.Array {
			step = strconv.Itoa(i)
		} else if n.Duplicate {
			continue // reported, once for all
		}
		all = append(all, spot{n, &s, step})
	}
	return all
}

// at is the member of an object.
func (s spot) at(key string) (spot, bool) {
	for _, n := range s.node.Children {
		if n.Key == key && s.value().Kind() == value.Object {
			return spot{n, &s, key}, true
		}
	}
	return spot{}, false
}

// checker gathers what is wrong with a definition.
type checker struct {
	file     string
	size     int
	lines    []int // offsets of their beginnings
	problems Problems
	jsonata  bool   // the state that is being read is in JSONata
	normal   bool   // states are, that do not say
	reading  string // name of the state that is being read
	kind     Type   // its type

	labels map[string]bool // of distributed Maps

	apart   bool   // the next block sees no variables of others
	block   *block // of states that is being read
	assigns []mention
	uses    []mention
}

func newChecker(data []byte, file string) *checker {
	c := &checker{file: file, size: len(data), lines: []int{0}, labels: map[string]bool{}}
	for i, b := range data {
		if b == '\n' {
			c.lines = append(c.lines, i+1)
		}
	}
	return c
}

func (c *checker) place(offset int) (line, column int) {
	line = sort.SearchInts(c.lines, offset+1)
	return line, offset - c.lines[line-1] + 1
}

func (c *checker) add(offset int, pointer string, severity Severity, format string, args ...any) {
	if len(c.problems) >= maxProblems {
		return
	}
	line, column := c.place(offset)
	c.problems = append(c.problems, Problem{severity, c.file, line, column, pointer, cut(fmt.Sprintf(format, args...))})
}

// cut leaves out the middle of a message that quotes something long.
func cut(message string) string {
	const most, tail = 2_000, 300
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most-tail], "") + " … " + strings.ToValidUTF8(message[len(message)-tail:], "")
}

func (c *checker) errorf(at spot, format string, args ...any) {
	c.add(at.node.Offset, at.pointer(), SeverityError, format, args...)
}

func (c *checker) warnf(at spot, format string, args ...any) {
	c.add(at.node.Offset, at.pointer(), SeverityWarning, format, args...)
}

func (c *checker) duplicates(at spot) {
	for i, n := range at.node.Children {
		step := n.Key
		if at.value().Kind() == value.Array {
			step = strconv.Itoa(i)
		}
		child := spot{n, &at, step}
		if n.Duplicate {
			c.add(n.KeyOffset, child.pointer(), SeverityError, "the key %q is there twice", n.Key)
		}
		c.duplicates(child)
	}
}

// quoted is "a", "b" or "c".
func quoted(names []string, last string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = strconv.Quote(n)
	}
	if len(q) < 2 {
		return strings.Join(q, "")
	}
	return strings.Join(q[:len(q)-1], ", ") + " " + last + " " + q[len(q)-1]
}

// have is what a message offers instead of name.
func have(name string, candidates []string) string {
	if n := Nearest(name, candidates); n != "" {
		return fmt.Sprintf("have %q", n)
	}
	if len(candidates) == 0 {
		return "there is none"
	}
	if len(candidates) > 12 {
		candidates = append(slices.Clone(candidates[:12]), "…")
	}
	return "have " + quoted(candidates, "and")
}

// fields refuses what is not among the known fields of an object. Later are
// those that the language has but that are not built.
func (c *checker) fields(at spot, what string, known []string, later map[string]string) {
	for _, f := range at.members() {
		switch name := f.step; {
		case slices.Contains(known, name):
		case later[name] != "":
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "%s is not built yet", later[name])
		default:
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "%s has no field %q (%s)", what, name, have(name, known))
		}
	}
}

// text is a field that must be a string.
func (c *checker) text(at spot, key string) (string, spot, bool) {
	f, ok := at.at(key)
	if !ok {
		return "", f, false
	}
	if f.value().Kind() != value.String {
		c.errorf(f, "must be a string, not %s", f.value().Kind())
		return "", f, false
	}
	return f.value().Text(), f, true
}

// integer is a field that must be an integer from least to most.
func (c *checker) integer(at spot, key string, least, most, normal int64) int64 {
	f, ok := at.at(key)
	if !ok {
		return normal
	}
	n, ok := f.value().Int()
	if !ok || n < least || n > most {
		c.errorf(f, "must be an integer from %d to %d, not %s", least, most, brief(f.value()))
		return normal
	}
	return n
}

func brief(v value.Value) string {
	if v.Size() > 60 {
		return v.Kind().String()
	}
	return v.String()
}

// one says that a state has to have one of the keys; at most one where it
// need not.
func (c *checker) one(at spot, need bool, keys ...string) {
	var has []string
	for _, k := range keys {
		if _, ok := at.at(k); ok {
			has = append(has, k)
		}
	}
	switch {
	case len(has) > 1:
		c.errorf(at, "has %s: only one may be there", quoted(has, "and"))
	case len(has) == 0 && need:
		c.errorf(at, "must have %s", quoted(keys, "or"))
	}
}

func (c *checker) machine(m *Machine, at spot) {
	c.normal = c.language(at, false)
	c.fields(at, "a state machine", []string{"Comment", "StartAt", "States", "Version", "TimeoutSeconds", "QueryLanguage"}, nil)
	m.Comment, _, _ = c.text(at, "Comment")
	if v, f, ok := c.text(at, "Version"); ok && v != "1.0" {
		c.errorf(f, `must be "1.0", not %q`, v)
	}
	m.timeout = c.integer(at, "TimeoutSeconds", 1, maxNumber, 0)
	m.states = map[string]*state{}
	c.scope(m, &m.scope, at, "state machine")
	c.variables()
}

// link is a name of a state where it is used.
type link struct {
	from string // the state that has it; empty is StartAt
	to   string
	at   spot
}

// scope reads StartAt and States of what is called what.
func (c *checker) scope(m *Machine, s *scope, at spot, what string) {
	c.block = &block{up: c.block, owner: c.reading, apart: c.apart, assigned: map[string][]string{}}
	c.apart = false
	defer func() { c.block = c.block.up }()
	var links []link
	var ok bool
	var start spot
	if s.startAt, start, ok = c.text(at, "StartAt"); ok {
		links = append(links, link{"", s.startAt, start})
	} else if _, there := at.at("StartAt"); !there {
		c.errorf(at, `must have "StartAt", the name of the first state`)
	}
	states, ok := at.at("States")
	if !ok {
		c.errorf(at, `must have "States"`)
		return
	}
	if states.value().Kind() != value.Object || states.value().Len() == 0 {
		c.errorf(states, "must be an object with at least one state, not %s", brief(states.value()))
		return
	}
	var names []string
	here, ends := map[string]bool{}, false
	for _, f := range states.members() {
		name := f.step
		if n := utf8.RuneCountInString(name); n > maxName || n == 0 {
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "a state's name must have 1 to %d characters, not %d", maxName, n)
		}
		if !utf8.ValidString(name) {
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "a state's name must not have half of a surrogate pair, which is no character")
		}
		st := &state{name: name}
		if m.states[name] != nil {
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, "there is another state %q; names must differ in the whole state machine", name)
		}
		names, here[name] = append(names, name), true
		m.names = append(m.names, name)
		m.states[name] = st
		if f.value().Kind() != value.Object {
			c.errorf(f, "a state must be an object, not %s", f.value().Kind())
			continue
		}
		links = append(links, c.state(m, st, f)...)
		ends = ends || st.kind == TypeSucceed || st.kind == TypeFail || f.value().Kind() == value.Object && hasEnd(f)
	}
	next := map[string][]string{}
	for _, l := range links {
		if !here[l.to] {
			if len(c.problems) >= maxProblems {
				continue
			}
			where := ""
			if m.states[l.to] != nil || s != &m.scope {
				where = " in this " + what
			}
			c.errorf(l.at, "%q is not a state%s (%s)", l.to, where, have(l.to, names))
			continue
		}
		next[l.from] = append(next[l.from], l.to)
	}
	reached, led := map[string]bool{}, map[string]bool{}
	walk := func(queue []string) {
		for len(queue) > 0 {
			name := queue[0]
			queue = queue[1:]
			if !reached[name] {
				reached[name] = true
				queue = append(queue, next[name]...)
			}
		}
	}
	walk(next[""])
	for from, all := range next {
		for _, to := range all {
			led[to] = led[to] || from != to
		}
	}
	// What nothing leads to is told of, and not what only that leads to; then a round
	// of states that nothing leads into.
	begins := len(reached) > 0 // else StartAt is what is wrong
	for _, round := range []bool{false, true} {
		for _, f := range states.members() {
			if begins && !reached[f.step] && (round || !led[f.step]) {
				c.add(f.node.KeyOffset, f.pointer(), SeverityError, "nothing leads to this state, which AWS refuses")
				walk([]string{f.step})
			}
		}
	}
	if !ends {
		c.warnf(states, `no state ends the %s (with "End": true, Succeed or Fail)`, what)
	}
}

func hasEnd(at spot) bool {
	f, ok := at.at("End")
	return ok && f.value().Bool()
}

// list is a field that must be an array of objects.
func (c *checker) list(at spot, key string) ([]spot, bool) {
	f, ok := at.at(key)
	if !ok {
		return nil, false
	}
	if f.value().Kind() != value.Array {
		c.errorf(f, "must be an array, not %s", f.value().Kind())
		return nil, false
	}
	var objects []spot
	for _, x := range f.members() {
		if x.value().Kind() != value.Object {
			c.errorf(x, "must be an object, not %s", x.value().Kind())
			continue
		}
		objects = append(objects, x)
	}
	return objects, true
}

// path reads a field that holds a path. It is nil where there is none, or it
// is wrong.
func (c *checker) path(at spot, key string) *jsonpath.Path {
	text, f, ok := c.text(at, key)
	if !ok {
		return nil
	}
	p, err := jsonpath.Parse(text)
	if err != nil {
		c.errorf(f, "%v", err)
	}
	c.reads(f, p)
	return p
}

// reference is a path that leads to one value.
func (c *checker) reference(at spot, key string) *jsonpath.Path {
	p := c.path(at, key)
	f, _ := at.at(key)
	switch {
	case p == nil:
	case !p.Definite():
		c.errorf(f, "%q can lead to several values; want a Reference Path, as in $.a.b[0]", p)
	case p.Context() && c.kind == TypeMap:
		c.errorf(f, "%q reads the context object, which AWS does not take here; want a Reference Path, as in $.a.b[0]", p)
	}
	return p
}

// isNull reports whether a field is there and null.
func isNull(at spot, key string) bool {
	f, ok := at.at(key)
	return ok && f.value().Kind() == value.Null
}
