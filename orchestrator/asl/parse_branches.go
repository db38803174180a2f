package asl

import (
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// branches reads the scopes inside of a Parallel or Map.
func (c *checker) branches(m *Machine, st *state, at spot) {
	if st.kind == TypeMap {
		c.processor(m, st, at)
		return
	}
	list, ok := c.list(at, "Branches")
	if f, there := at.at("Branches"); !there || ok && f.value().Len() == 0 {
		c.errorf(at, `must have "Branches", an array with at least one branch`)
	}
	for _, f := range list {
		c.fields(f, "a branch", []string{"Comment", "StartAt", "States"}, nil)
		c.text(f, "Comment")
		var s scope
		c.scope(m, &s, f, "branch")
		st.branches = append(st.branches, s)
	}
}

// processor reads ItemProcessor or, as it was called, Iterator.
func (c *checker) processor(m *Machine, st *state, at spot) {
	c.one(at, true, "ItemProcessor", "Iterator")
	f, ok := at.at("ItemProcessor")
	if !ok {
		if f, ok = at.at("Iterator"); !ok {
			return
		}
	}
	if f.value().Kind() != value.Object {
		c.errorf(f, "must be an object, not %s", f.value().Kind())
		return
	}
	c.fields(f, "an item processor", []string{"Comment", "StartAt", "States", "ProcessorConfig"}, nil)
	c.text(f, "Comment")
	c.mode(st, at, f)
	c.apart = st.each.distributed
	var s scope
	c.scope(m, &s, f, "iteration")
	st.branches = []scope{s}
}
