// Package flow proves what can be known of a state machine before it runs: it
// follows the shapes of the data through its states, on every way that an
// execution can take, and finds the paths that lead nowhere.
//
//	problems := flow.Check(definition, "pipeline.asl.json", flow.Options{})
//
// It promises: a function of its arguments, bounded in time and size whatever
// the definition; an error only where AWS refuses the definition, a warning where
// an execution certainly fails on some way, or, if so asked, an error where it
// fails on every way; silence where it cannot know. What the
// answer of a function has in it, or an input that nothing is told of, is not
// known, and no path into it is doubted. A definition need not be sound: what
// [asl.Parse] refuses is left out, and what follows from it is anything.
//
// Of a template it says what is not known before it is filled in.
//
// It leaves to others: the structure of a definition (package asl, whose problems
// are among those that it gives), and what services take and give, which is
// handed in (package integrations). Of JSONata it follows paths, as in
// $states.input.a.b; what any other expression gives may be anything.
package flow

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Options are what a definition is checked with.
type Options struct {
	// Input is what executions get; nil is anything.
	Input *Shape
	// Giver is who gives the input, for messages: policy "churn".
	Giver string
	// Services tells of the services that tasks call; nil knows none.
	Services func(resource string, parameters *Shape) Service
	// Strict makes an error of what AWS takes though every execution that comes to
	// the place fails there; else it is a warning.
	Strict bool
	// Seen, where it is not nil, is filled with what is known of the data at each
	// state that an execution can come to, by name.
	Seen map[string]*Seen
}

// Seen is the data at one state, on all ways together; nil where there is none.
type Seen struct {
	Input      *Shape // that it is entered with
	Parameters *Shape // that a Task sends
	Output     *Shape // that it is left with, without errors
}

// A Service is what is known of one call.
type Service struct {
	Result     *Shape // nil is anything
	Complaints []Complaint
}

// A Complaint is what a service would refuse of a call.
type Complaint struct {
	Shape    *Shape // what it is about; nil for the resource
	Severity asl.Severity
	Late     bool // AWS takes the definition; it is the call that it refuses
	Message  string
}

// Check finds all that is wrong with a definition, what [asl.Parse] says among
// it. Problems are in the order of the file.
func Check(definition []byte, file string, o Options) asl.Problems {
	definition, bare := quoted(definition)
	m, err := asl.Parse(definition, file)
	var problems asl.Problems
	if err != nil {
		problems = err.(asl.Problems) // it is the only error there is
	} else {
		problems = m.Warnings
	}
	root, err := value.ParseNodes(definition)
	if err != nil || root.Value.Kind() != value.Object || root.Value.Depth() > 100 || len(definition) > asl.MaxDefinition {
		return problems // there is nothing to follow
	}
	a := &analysis{Options: o, file: file, pointers: map[int]string{}, bare: bare, open: map[string]string{}, lines: []int{0}, problems: slices.Clone(problems)}
	for i, b := range definition {
		if b == '\n' {
			a.lines = append(a.lines, i+1)
		}
	}
	a.locate(root, "")
	machine := a.scope(root, nil, problems.Errors())
	a.lint(machine)
	a.follow(machine)
	a.judge()
	a.excuse()
	return a.sorted()
}

// sorted are the problems in the order of the file. Of what is said twice about
// one place, the error stands.
func (a *analysis) sorted() asl.Problems {
	wrong := map[int]bool{}
	for _, p := range a.problems.Errors() {
		wrong[p.Line<<20+p.Column] = true
	}
	all := slices.DeleteFunc(a.problems, func(p asl.Problem) bool {
		return p.Severity == asl.SeverityWarning && wrong[p.Line<<20+p.Column]
	})
	slices.SortStableFunc(all, func(x, y asl.Problem) int {
		return cmp.Or(x.Line-y.Line, x.Column-y.Column, cmp.Compare(x.Message, y.Message))
	})
	return slices.Compact(all)
}

// see notes the data at a state.
func (a *analysis) see(st *state, into func(*Seen) **Shape, s *Shape) {
	if a.Seen == nil || a.blind {
		return
	}
	x := a.Seen[st.name]
	if x == nil {
		x = &Seen{}
		a.Seen[st.name] = x
	}
	if at := into(x); *at == nil {
		*at = s
	} else {
		*at = join(*at, s)
	}
}

// An analysis is one definition being checked.
type analysis struct {
	Options
	file     string
	lines    []int             // offsets of their beginnings
	pointers map[int]string    // of values and keys, by offset
	bare     map[int]string    // what is filled in outside of strings, by offset
	open     map[string]string // what is filled in at a value, by its pointer
	problems asl.Problems

	blind  bool // constants decide no Choice
	steps  int  // that were taken
	ways   int  // to one state that are told apart
	passed map[passage][]*way
	sites  map[siteKey]*site
	calls  map[int]int // of a resource, by its offset
}

// locate notes the JSON pointer of every value, by where it or its key begins.
func (a *analysis) locate(n *value.Node, pointer string) {
	a.pointers[n.Offset] = pointer
	if n.KeyOffset > 0 {
		a.pointers[n.KeyOffset] = pointer
	}
	if what := a.unfilled(n); what != "" {
		a.open[pointer] = what
	}
	for i, c := range n.Children {
		step := fmt.Sprint(i)
		if n.Value.Kind() == value.Object {
			step = escaped(c.Key)
		}
		a.locate(c, pointer+"/"+step)
	}
}

func (a *analysis) place(offset int) (line, column int) {
	line = sort.SearchInts(a.lines, offset+1)
	return line, offset - a.lines[line-1] + 1
}

// add reports a problem of the value at offset.
func (a *analysis) add(offset int, severity asl.Severity, format string, args ...any) {
	line, column := a.place(offset)
	a.problems = append(a.problems, asl.Problem{
		Severity: severity, File: a.file, Line: line, Column: column, Pointer: a.pointers[offset], Message: fmt.Sprintf(format, args...),
	})
}

// remark is a warning about a value.
func (a *analysis) remark(n *value.Node, format string, args ...any) {
	a.add(n.Offset, asl.SeverityWarning, format, args...)
}

func escaped(key string) string {
	if !strings.ContainsAny(key, "~/") {
		return key
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
