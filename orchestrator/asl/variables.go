package asl

import (
	"encoding/json"
	"maps"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// maxVariables is how large all variables of an execution may be together, in
// bytes of JSON. Those of one Assign are held to MaxData.
const maxVariables = 10 << 20

// assignments are what one Assign gives. They become the values of variables
// when the state is left, so that all of the state sees those of its entry.
type assignments []value.Member

func (a assignments) size() int {
	n := 0
	for _, m := range a {
		n += len(m.Key) + m.Value.Size()
	}
	return n
}

// told adds them to what is told of the state's exit.
func (a assignments) told(d *StateExitedDetails) *StateExitedDetails {
	if len(a) == 0 {
		return d
	}
	d.Assigned, d.AssignedDetails = map[string]string{}, &DataDetails{}
	for _, m := range a {
		d.Assigned[m.Key] = m.Value.String()
	}
	return d
}

// assign evaluates an Assign, in which $ stands for in.
func (f *frame) assign(t *template, in value.Value) error {
	if t == nil {
		return nil
	}
	v, err := t.eval(f, in, "Assign")
	if err == nil {
		err = f.fits(v)
	}
	if err != nil {
		return err
	}
	f.assigned = nil
	for i := range v.Len() {
		f.assigned = append(f.assigned, value.Member{Key: v.Key(i), Value: v.At(i)})
	}
	return nil
}

// store makes what was assigned the values of variables, unless they are too
// many.
func (f *frame) store() error {
	if len(f.assigned) == 0 {
		return nil
	}
	next := maps.Clone(f.c.Variables) // the old ones belong to the state before the turn, too
	if next == nil {
		next = map[string]json.RawMessage{}
	}
	for _, m := range f.assigned {
		next[m.Key] = json.RawMessage(m.Value.String())
	}
	size := 0
	count := func(variables map[string]json.RawMessage) {
		for _, v := range variables {
			size += len(v)
		}
	}
	for c := range f.t.s.contexts() {
		if c != f.c {
			count(c.Variables)
		}
	}
	if count(next); size > maxVariables {
		f.assigned = nil
		return tooLarge(f.st.name)
	}
	f.c.Variables = next
	return nil
}

// variable is the value of a variable of this line or those around it.
func (f *frame) variable(name string) (value.Value, bool) {
	for c := f.c; c != nil; c = c.up {
		if text, ok := c.Variables[name]; ok {
			v, err := value.Parse(text)
			return v, err == nil
		}
	}
	return value.Value{}, false
}

// root is what a path begins at: the context object, a variable, or else in.
func (f *frame) root(p *jsonpath.Path, in value.Value) (value.Value, bool) {
	if p.Context() {
		return f.context(), true
	}
	if name := p.Variable(); name != "" {
		return f.variable(name)
	}
	return in, true
}

func (f *frame) noVariable(p *jsonpath.Path) *fault {
	return f.runtime("The variable '$%s' in the path '%s' has no value.", p.Variable(), p)
}
