package flow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
)

// sign is how paths into what p begins at begin.
func sign(p *jsonpath.Path) string {
	if p.Context() {
		return "$$"
	}
	return "$"
}

// Has says why the member path of names, as in Payload.Metrics, cannot be there;
// nothing if it can.
func (s *Shape) Has(names []string) string {
	var steps []jsonpath.Step
	for _, name := range names {
		steps = append(steps, jsonpath.Step{Name: name})
	}
	_, _, m := s.follow(steps)
	if m == nil {
		return ""
	}
	p, _ := jsonpath.Parse("$")
	what := "it"
	if m.at > 0 {
		what = written("", steps[:m.at])[1:]
	}
	a := &analysis{}
	switch instead := a.instead(view{}, p, s, m); {
	case !m.in.Can(Object):
		return fmt.Sprintf("%s is %s", what, m.in.shown())
	case instead != "":
		return fmt.Sprintf("%s has no %q; did you mean %s?", what, names[m.at], strings.TrimPrefix(instead, "$."))
	}
	return fmt.Sprintf("%s has no %q%s", what, names[m.at], a.has(m, nil))
}

// spell is a path of these steps from where p begins.
func spell(p *jsonpath.Path, steps []jsonpath.Step) string {
	if p.Variable() == "" || len(steps) == 0 {
		return written(sign(p), steps)
	}
	return written("$"+steps[0].Name, steps[1:])
}

// called is what the step that leads nowhere is applied to.
func (a *analysis) called(v view, p *jsonpath.Path, m *miss) string {
	switch {
	case m.at > 0:
		return spell(p, m.steps[:m.at])
	case p.Context():
		return "the context object"
	case v.about != "":
		return v.about
	}
	return "the data"
}

// explain says why a path leads nowhere, and what to do about it. With others
// there are ways on which it leads somewhere.
func (a *analysis) explain(v view, p *jsonpath.Path, root *Shape, m *miss, others bool) string {
	what := fmt.Sprintf("%s is not there", p)
	switch {
	case p.Variable() != "" && m.at == 0:
		return fmt.Sprintf("the variable $%s has no value here: nothing before this state assigns it%s", p.Variable(), a.elsewhere(root, p.Variable()))
	case p.Context():
		return what + a.missingContext(v, p, m)
	}
	if lost := a.lost(v, p, root, m, Sure); lost != "" {
		return what + ": " + lost
	}
	in := a.called(v, p, m)
	switch member := m.steps[m.at].Kind == jsonpath.StepMember; {
	case m.at == 0 && !others && !m.in.Can(Object):
	case !m.in.Can(Object|Array) && m.in.Text != "":
		return fmt.Sprintf("%s: %s is text that holds JSON, %s; take it apart with States.StringToJson(%s)", what, in, m.in.Text, in)
	case !m.in.Can(Object | Array):
		return fmt.Sprintf("%s: %s is %s", what, in, m.in.shown())
	case member && m.in.Is(Array):
		hint := ""
		if _, _, miss := m.in.Item().follow(m.steps[m.at:]); miss == nil {
			hint = "; did you mean " + spell(p, m.steps[:m.at]) + "[0]" + written("", m.steps[m.at:]) + "?"
		}
		return fmt.Sprintf("%s: %s is an array%s%s", what, in, m.in.length(), hint)
	case !member && m.in.Can(Array):
		return fmt.Sprintf("%s: %s is an array%s", what, in, m.in.length())
	case !member:
		return fmt.Sprintf("%s: %s is %s", what, in, m.in.Kinds)
	}
	name := m.steps[m.at].Name
	if instead := a.instead(v, p, root, m); instead != "" {
		return fmt.Sprintf("%s: %s has no %q; did you mean %s?%s", what, in, name, instead, v.aside())
	}
	if lost := a.lost(v, p, root, m, Unknown); lost != "" && !others {
		return what + ": " + lost + a.returned(p, m)
	}
	if !m.in.Can(Object) {
		return fmt.Sprintf("%s: %s is %s", what, in, m.in.shown())
	}
	return fmt.Sprintf("%s: %s has no %q%s%s%s", what, in, name, cmp.Or(a.returned(p, m), a.has(m, root)), a.ungiven(v, m, root), v.aside())
}

// aside reminds of what $ stands for in a field.
func (v view) aside() string {
	if v.about == "" || v.st.jsonata {
		return ""
	}
	return fmt.Sprintf("; $ is %s here, not the input of the state", v.about)
}

// length is how long an array is.
func (s *Shape) length() string {
	switch {
	case s.Exact && len(s.Tuple) == 1:
		return " of 1 item"
	case s.Exact:
		return fmt.Sprintf(" of %d items", len(s.Tuple))
	}
	return ""
}

func (a *analysis) elsewhere(vars *Shape, name string) string {
	var have []string
	for _, f := range vars.Fields {
		have = append(have, f.Name)
	}
	if near := asl.Nearest(name, have); near != "" {
		return fmt.Sprintf("; did you mean $%s?", near)
	}
	return ""
}

func (a *analysis) missingContext(v view, p *jsonpath.Path, m *miss) string {
	if name := m.steps[m.at].Name; m.at == 0 && (name == "Task" || name == "Map") {
		if name == "Task" {
			return ": there is a task token only in a Task whose resource ends in .waitForTaskToken"
		}
		return ": there is an item only inside of a Map"
	}
	instead := a.instead(v, p, nil, m)
	if instead != "" {
		instead = "; did you mean " + instead + "?"
	} else {
		instead = a.has(m, nil)
	}
	return fmt.Sprintf(": %s has no %q%s", a.called(v, p, m), m.steps[m.at].Name, instead)
}

// instead is a path that is there and that may be meant; empty where none is
// alike.
func (a *analysis) instead(v view, p *jsonpath.Path, root *Shape, m *miss) string {
	if near := asl.Nearest(m.steps[m.at].Name, m.in.members()); near != "" {
		to := append(slices.Clone(m.steps[:m.at]), jsonpath.Step{Name: near})
		if _, _, miss := m.in.follow(append(to[m.at:], m.steps[m.at+1:]...)); miss == nil {
			return spell(p, append(to, m.steps[m.at+1:]...))
		}
		return spell(p, to)
	}
	if root != nil {
		if at := root.find(m.steps[len(m.steps)-1].Name, nil, 4); at != nil {
			return spell(p, at)
		}
	}
	return ""
}

// members are the names of the members that are known of.
func (s *Shape) members() []string {
	var names []string
	for _, f := range s.Fields {
		if f.Presence != Absent {
			names = append(names, f.Name)
		}
	}
	return names
}

// returned reminds of where lambda:invoke has what the function returns.
func (a *analysis) returned(p *jsonpath.Path, m *miss) string {
	x, presence := m.in.Member("Payload")
	if presence == Absent || !x.Open || m.at == 0 && len(m.steps) > 1 || !slices.Contains(m.in.members(), "StatusCode") {
		return ""
	}
	to := append(slices.Clone(m.steps[:m.at]), jsonpath.Step{Name: "Payload"})
	return fmt.Sprintf(" (what the function returns is in its Payload, as in %s)", spell(p, append(to, m.steps[m.at:]...)))
}

// has lists what is there.
func (a *analysis) has(m *miss, root *Shape) string {
	if have := m.in.members(); len(have) > 0 && !a.given(m, root) {
		return fmt.Sprintf(" (it has %s)", listed(have))
	}
	return ""
}

// given reports whether a path is into the input as it was given.
func (a *analysis) given(m *miss, root *Shape) bool {
	return m.at == 0 && root != nil && a.Input != nil && root.Hash() == a.Input.Hash()
}

// ungiven says that the input does not have it either.
func (a *analysis) ungiven(v view, m *miss, root *Shape) string {
	if a.Giver == "" || m.at > 0 || v.about != "" {
		return ""
	}
	if _, presence := a.Input.Member(m.steps[0].Name); presence != Absent {
		return ""
	}
	return fmt.Sprintf("; %s gives %s", a.Giver, listed(a.Input.members()))
}

func listed(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) > 8 {
		names = append(slices.Clone(names[:8]), "…")
	}
	return strings.Join(names, ", ")
}

// find is the way to a member of that name, the shortest.
func (s *Shape) find(name string, at []jsonpath.Step, depth int) []jsonpath.Step {
	if depth == 0 || !s.Is(Object) {
		return nil
	}
	var best []jsonpath.Step
	for _, f := range s.Fields {
		if f.Presence == Absent || f.Shape == nil {
			continue
		}
		here := append(slices.Clone(at), jsonpath.Step{Name: f.Name})
		if f.Name == name {
			return here
		}
		if x := f.Shape.find(name, here, depth-1); x != nil && (best == nil || len(x) < len(best)) {
			best = x
		}
	}
	return best
}

// lost says what destroyed the value at a path, if something did that was there
// for certain, or may have been.
func (a *analysis) lost(v view, p *jsonpath.Path, root *Shape, m *miss, certain Presence) string {
	for i := m.at; i >= 0; i-- {
		s, _, miss := root.follow(m.steps[:i])
		if miss != nil {
			continue
		}
		for o, n := s.made, 0; o != nil && n < 1_000; o, n = o.before.made, n+1 {
			// Where nothing is known of what was there, only what takes the place of
			// all data is to blame, and what chooses what there is.
			blunt := m.at == 0 && !strings.Contains(o.by, " ") || strings.HasSuffix(o.by, "Selector")
			if _, presence, _ := o.before.follow(m.steps[i:]); presence == Sure || presence == certain && blunt {
				return a.blame(v, p, o, m.steps, presence)
			}
		}
	}
	return ""
}

// blame says what a state did to the value at steps.
func (a *analysis) blame(v view, p *jsonpath.Path, o *origin, steps []jsonpath.Step, presence Presence) string {
	line, _ := a.place(o.state.node.KeyOffset)
	who := fmt.Sprintf("state %q (line %d)", o.state.name, line)
	path := spell(p, steps)
	was := fmt.Sprintf("%s was there before it", path)
	if presence == Unknown {
		was = fmt.Sprintf("%s could only be there before it", path)
	}
	by, over, _ := strings.Cut(o.by, " ")
	switch {
	case by == "result" && over != "":
		return fmt.Sprintf("%s writes its result over what was at %s; %s. Give it another ResultPath, or read what is in its result", who, over, was)
	case by == "result":
		has := "has no ResultPath"
		if text(o.state.node, "ResultPath") != "" {
			has = `has the ResultPath "$"`
		}
		if o.state.jsonata {
			return fmt.Sprintf("the result of %s takes the place of its whole input; %s", who, was)
		}
		return fmt.Sprintf(`%s %s, so its result takes the place of the whole input; %s. Give it a ResultPath, as in "ResultPath": "$.%s"`, who, has, was, keyFor(o.state.name))
	case by == "Catch" && over != "":
		return fmt.Sprintf("the Catch of %s writes the error over what was at %s; %s", who, over, was)
	case by == "Catch":
		return fmt.Sprintf(`a Catch of %s has no ResultPath, so the error takes the place of the whole input; %s. Give it one, as in "ResultPath": "$.Error"`, who, was)
	case by == "InputPath" && o.state == v.st:
		return fmt.Sprintf("the InputPath of this state leaves only %s of the data", cmp.Or(text(o.state.node, by), "an empty object"))
	case by == "InputPath" || by == "OutputPath":
		return fmt.Sprintf("the %s of %s leaves only %s; %s", by, who, cmp.Or(text(o.state.node, by), "an empty object"), was)
	case by == "ResultSelector":
		return fmt.Sprintf(`the ResultSelector of %s takes only what it names of the result; add "%s.$": "%s" to it, or read what it gives`, who, steps[len(steps)-1].Name, written("$", steps[max(0, len(steps)-1):]))
	case by == "item":
		return fmt.Sprintf(`each iteration of Map %s gets its item alone; with an ItemSelector it gets more, as in "%s.$": "%s"`, who, steps[0].Name, written("$", steps[:1]))
	case by == "ItemSelector" || o.state.kind == "Map":
		return fmt.Sprintf(`each iteration of Map %s gets what its %s gives; add "%s.$": "%s" to it`, who, by, steps[0].Name, written("$", steps[:1]))
	case o.state.kind == "Parallel":
		return fmt.Sprintf(`the branches of %s get what its Parameters give; add "%s.$": "%s" to them`, who, steps[0].Name, written("$", steps[:1]))
	}
	return fmt.Sprintf("the %s of %s takes the place of the data; %s", by, who, was)
}

// keyFor is a member's name for the result of a state.
func keyFor(state string) string {
	key := strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, state)
	return cmp.Or(key, "Result")
}
