package asl

import (
	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
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
	if p, ok := f.at("ProcessorConfig"); ok {
		mode, at, _ := c.text(p, "Mode")
		switch {
		case p.value().Kind() != value.Object:
			c.errorf(p, "must be an object, not %s", p.value().Kind())
		case mode == "DISTRIBUTED":
			c.errorf(at, "the distributed Map is not built yet")
		case mode != "" && mode != "INLINE":
			c.errorf(at, `must be "INLINE" or "DISTRIBUTED", not %q`, mode)
		default:
			c.fields(p, "the configuration of an inline processor", []string{"Mode"}, nil)
		}
	}
	var s scope
	c.scope(m, &s, f, "iteration")
	st.branches = []scope{s}
}

// items reads what a Map runs over.
func (c *checker) items(st *state, at spot) {
	if c.jsonata {
		if f, ok := at.at("Items"); ok && f.value().Kind() != value.Array && !isQuery(f.value()) {
			c.errorf(f, "must be an array or a JSONata expression, not %s", brief(f.value()))
		}
		st.list = c.template(at, "Items")
		st.selector = c.template(at, "ItemSelector")
		st.most = c.number(at, "MaxConcurrency", 0)
		return
	}
	if isNull(at, "ItemsPath") {
		f, _ := at.at("ItemsPath")
		c.errorf(f, "must be a path to an array, not null")
	} else if st.items = c.path(at, "ItemsPath"); st.items == nil {
		st.items, _ = jsonpath.Parse("$")
	}
	c.one(at, false, "ItemSelector", "Parameters")
	if st.selector = c.template(at, "ItemSelector"); st.selector == nil {
		st.selector, st.parameters = st.parameters, nil
	}
	st.most = c.number(at, "MaxConcurrency", 0)
}
