package flow

import (
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
)

// A miss is where a path leads nowhere.
type miss struct {
	steps []jsonpath.Step
	at    int    // the step that leads nowhere
	in    *Shape // what that step is applied to
}

// follow is what steps lead to from a shape. Where that cannot be there, it
// says why.
func (s *Shape) follow(steps []jsonpath.Step) (*Shape, Presence, *miss) {
	presence := Sure
	for i, step := range steps {
		p, next := Unknown, (*Shape)(nil)
		switch step.Kind {
		case jsonpath.StepMember:
			next, p = s.Member(step.Name)
		case jsonpath.StepItem:
			next, p = s.item(step.Index)
		case jsonpath.StepAll:
			if !s.Can(Array | Object) {
				return nil, Absent, &miss{steps, i, s}
			}
			if s.Is(Array) {
				return s.each(steps[i+1:]), presence, nil
			}
			return Of(Array), presence, nil
		default:
			if !s.Can(Array | Object) {
				return nil, Absent, &miss{steps, i, s}
			}
			return Of(Array), presence, nil
		}
		if p == Absent {
			return nil, Absent, &miss{steps, i, s}
		}
		presence = min(presence, p)
		s = next
	}
	return s, presence, nil
}

func (s *Shape) item(i int) (*Shape, Presence) {
	if !s.Can(Array) {
		return nil, Absent
	}
	if !s.Exact {
		return s.Item(), Unknown
	}
	if i < 0 {
		i += len(s.Tuple)
	}
	if i < 0 || i >= len(s.Tuple) {
		return nil, Absent
	}
	if !s.Is(Array) {
		return s.Tuple[i], Unknown
	}
	return s.Tuple[i], Sure
}

// each is the list of what steps lead to from every item.
func (s *Shape) each(steps []jsonpath.Step) *Shape {
	if s.Exact && len(s.Tuple) == 0 {
		return s
	}
	x, _, miss := s.Item().follow(steps)
	if miss != nil {
		return &Shape{Kinds: Array, Exact: true}
	}
	return List(x)
}

// set is the shape with x at the steps, which are those of a Reference Path.
func (s *Shape) set(steps []jsonpath.Step, x *Shape) (*Shape, *miss) {
	y, m := s.put(steps, 0, x)
	if y != nil {
		y = y.bounded(deepest)
	}
	return y, m
}

func (s *Shape) put(steps []jsonpath.Step, i int, x *Shape) (*Shape, *miss) {
	if i == len(steps) {
		return x, nil
	}
	if steps[i].Kind == jsonpath.StepItem {
		old, p := s.item(steps[i].Index)
		if p == Absent {
			return nil, &miss{steps, i, s}
		}
		y, m := old.put(steps, i+1, x)
		if m != nil {
			return nil, m
		}
		t := &Shape{Kinds: Array, Items: y, made: s.made}
		if !s.Exact {
			t.Items = join(s.Item(), y)
			return t, nil
		}
		t.Exact, t.Items = true, nil
		for k, item := range s.Tuple {
			if k == steps[i].Index {
				item = y
			}
			t.Tuple = append(t.Tuple, item)
		}
		return t, nil
	}
	if !s.Can(Object) {
		return nil, &miss{steps, i, s}
	}
	old, p := s.Member(steps[i].Name)
	if p == Absent {
		old = Record() // it is made
	}
	y, m := old.put(steps, i+1, x)
	if m != nil {
		return nil, m
	}
	return s.with(steps[i].Name, y, Sure), nil
}

// refine is the shape in which what is at the steps became what f makes of it,
// and is there.
func (s *Shape) refine(steps []jsonpath.Step, f func(*Shape) *Shape) *Shape {
	if len(steps) == 0 {
		return f(s)
	}
	switch step := steps[0]; step.Kind {
	case jsonpath.StepMember:
		if old, p := s.Member(step.Name); p != Absent {
			return s.with(step.Name, old.refine(steps[1:], f), Sure)
		}
	case jsonpath.StepItem:
		if s.Exact && step.Index >= 0 && step.Index < len(s.Tuple) {
			t := &Shape{Kinds: Array, Exact: true, made: s.made}
			t.Tuple = append(t.Tuple, s.Tuple...)
			t.Tuple[step.Index] = t.Tuple[step.Index].refine(steps[1:], f)
			return t
		}
	}
	return s
}

// without is the shape in which there is nothing at the steps. Where it is
// open what is missing, that is not noted.
func (s *Shape) without(steps []jsonpath.Step) *Shape {
	if len(steps) == 0 || steps[0].Kind != jsonpath.StepMember || !s.Is(Object) {
		return s
	}
	name := steps[0].Name
	old, p := s.Member(name)
	switch {
	case p == Absent:
		return s
	case len(steps) == 1:
		return s.with(name, nil, Absent)
	case p == Sure:
		return s.with(name, old.without(steps[1:]), Sure)
	}
	return s
}

// written is the path of steps from root on, as one would write it.
func written(root string, steps []jsonpath.Step) string {
	var b strings.Builder
	b.WriteString(root)
	for _, s := range steps {
		switch s.Kind {
		case jsonpath.StepMember:
			if plain(s.Name) {
				b.WriteString("." + s.Name)
			} else {
				fmt.Fprintf(&b, "['%s']", s.Name)
			}
		case jsonpath.StepItem:
			fmt.Fprintf(&b, "[%d]", s.Index)
		default:
			b.WriteString("[*]")
		}
	}
	return b.String()
}

func plain(name string) bool {
	return name != "" && !strings.ContainsAny(name, " .[]'\"()*,:$@?!<>=&|~\\")
}
