package flow

import (
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A state is one state of the definition.
type state struct {
	name    string
	kind    string
	node    *value.Node
	scope   *scope
	inside  []*scope // branches, or what a Map does to each item
	jsonata bool
	spoilt  bool // asl.Parse refuses something in it: what it gives may be anything
	reached bool
}

// A scope is states that lead to each other.
type scope struct {
	node   *value.Node
	start  string
	states []*state
	named  map[string]*state
	up     *state // whose branch it is
}

// state is the state of that name; nil where there is none.
func (s *scope) state(name string) *state { return s.named[name] }

// all are the states of the scope and of those inside, in the order of the file.
func (s *scope) all() []*state {
	var all []*state
	for _, st := range s.states {
		all = append(all, st)
		for _, in := range st.inside {
			all = append(all, in.all()...)
		}
	}
	return all
}

// scope reads StartAt and States.
func (a *analysis) scope(n *value.Node, up *state, refused asl.Problems) *scope {
	s := &scope{node: n, up: up, start: text(n, "StartAt"), named: map[string]*state{}}
	language := text(n, "QueryLanguage")
	if up != nil && up.jsonata && language == "" {
		language = "JSONata"
	}
	states := member(n, "States")
	if states == nil {
		return s
	}
	for _, c := range states.Children {
		if c.Duplicate || c.Value.Kind() != value.Object || c.Key == "" {
			continue
		}
		st := &state{name: c.Key, kind: text(c, "Type"), node: c, scope: s, jsonata: language == "JSONata"}
		if own := text(c, "QueryLanguage"); own != "" {
			st.jsonata = own == "JSONata"
		}
		pointer := a.pointers[c.Offset]
		st.spoilt = slices.ContainsFunc(refused, func(p asl.Problem) bool {
			return p.Pointer == pointer || strings.HasPrefix(p.Pointer, pointer+"/") &&
				!(st.jsonata || strings.Contains(p.Message, "not built yet"))
		})
		for _, branch := range list(c, "Branches") {
			st.inside = append(st.inside, a.scope(branch, st, refused))
		}
		for _, key := range []string{"ItemProcessor", "Iterator"} {
			if p := member(c, key); p != nil && st.kind == "Map" {
				st.inside = append(st.inside[:0], a.scope(p, st, refused))
			}
		}
		s.states = append(s.states, st)
		s.named[st.name] = st
	}
	return s
}

// member is a member of an object; nil where there is none.
func member(n *value.Node, key string) *value.Node {
	if n == nil || n.Value.Kind() != value.Object {
		return nil
	}
	for _, c := range n.Children {
		if c.Key == key && !c.Duplicate {
			return c
		}
	}
	return nil
}

// text is a member that is a string.
func text(n *value.Node, key string) string {
	if m := member(n, key); m != nil && m.Value.Kind() == value.String {
		return m.Value.Text()
	}
	return ""
}

// list are the objects in a member that is an array.
func list(n *value.Node, key string) []*value.Node {
	m := member(n, key)
	if m == nil || m.Value.Kind() != value.Array {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.Children), func(c *value.Node) bool { return c.Value.Kind() != value.Object })
}

// ends reports whether the state is the last one of its line.
func (st *state) ends() bool {
	end := member(st.node, "End")
	return st.kind == "Succeed" || st.kind == "Fail" || end != nil && end.Value.Bool()
}

// leads are the states that a state can lead to.
func (st *state) leads() []*state {
	names := []string{text(st.node, "Next"), text(st.node, "Default")}
	for _, key := range []string{"Choices", "Catch"} {
		for _, x := range list(st.node, key) {
			names = append(names, text(x, "Next"))
		}
	}
	var all []*state
	for _, name := range names {
		if next := st.scope.state(name); next != nil {
			all = append(all, next)
		}
	}
	return all
}
