package asl

import (
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A block is states that share variables, while they are read.
type block struct {
	up *block
	// owner is the Parallel or Map whose branch it is, by name. What that
	// assigns itself, it does when the branch is over.
	owner    string
	apart    bool                // it sees none of those around it: a distributed Map's
	assigned map[string][]string // by which states, by the name of the variable
}

// A mention is where a variable is assigned or read.
type mention struct {
	name  string
	block *block
	at    spot
}

// assign reads an Assign. Of one in JSONata, prefix is what its place in the
// state begins with.
func (c *checker) assign(at spot, prefix string) *template {
	f, ok := at.at("Assign")
	if !ok {
		return nil
	}
	if f.value().Kind() != value.Object {
		c.errorf(f, "must be an object, not %s", f.value().Kind())
		return nil
	}
	for _, x := range f.members() {
		name := x.step
		if !c.jsonata {
			name = strings.TrimSuffix(name, ".$")
		}
		switch {
		case name == "states":
			c.add(x.node.KeyOffset, x.pointer(), SeverityError, "the variable $states is the language's own")
		case !jsonpath.IsName(name) && c.jsonata:
			c.add(x.node.KeyOffset, x.pointer(), SeverityWarning, "%q is no name of a variable, so that nothing can read it; want a letter and then letters, digits or _, at most 80", name)
		case !jsonpath.IsName(name):
			c.add(x.node.KeyOffset, x.pointer(), SeverityError, "%q is no name of a variable; want a letter and then letters, digits or _, at most 80", name)
		}
		c.block.assigned[name] = append(c.block.assigned[name], c.reading)
		c.assigns = append(c.assigns, mention{name, c.block, x})
	}
	if c.jsonata {
		return c.filled(f, prefix+"Assign")
	}
	return c.part(f)
}

// reads notes the variables that paths begin at.
func (c *checker) reads(at spot, paths ...*jsonpath.Path) {
	for _, p := range paths {
		if p != nil && p.Variable() != "" {
			c.uses = append(c.uses, mention{p.Variable(), c.block, at})
		}
	}
}

// variables refuses those of branches that have the name of one around them,
// and doubts those that are read and never assigned.
func (c *checker) variables() {
	assigned := func(name string, b *block) bool {
		for ; b != nil; b = b.up {
			if b.assigned[name] != nil {
				return true
			}
			if b.apart {
				break
			}
		}
		return false
	}
	outside := func(name string, b *block) bool {
		for ; b.up != nil && !b.apart; b = b.up {
			owner := b.owner
			if slices.ContainsFunc(b.up.assigned[name], func(by string) bool { return by != owner }) {
				return true
			}
		}
		return false
	}
	for _, a := range c.assigns {
		if outside(a.name, a.block) {
			c.add(a.at.node.KeyOffset, a.at.pointer(), SeverityError, "a variable %q is assigned outside of this branch, too; it needs another name here", a.name)
		}
	}
	for _, u := range c.uses {
		if !assigned(u.name, u.block) {
			if isQuery(u.at.value()) {
				c.warnf(u.at, "nothing assigns the variable $%s, and no function is called so", u.name)
				continue
			}
			c.warnf(u.at, "nothing assigns the variable $%s (a path into the data begins with $. or $[)", u.name)
		}
	}
}
