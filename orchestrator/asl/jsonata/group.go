package jsonata

// A grouping is {key: value, …}: of the items with the same key one member is
// made.
type grouping struct {
	pairs    [][2]evaluator
	constant []string // the keys that are written out
	pos      int
}

func (c compiler) grouping(n *node) *grouping {
	g := &grouping{pos: n.pos}
	for _, p := range n.pairs {
		g.pairs = append(g.pairs, [2]evaluator{c.compile(p[0]), c.compile(p[1])})
		if p[0].typ == nodeString && p[0].predicates == nil && p[0].group == nil {
			g.constant = append(g.constant, p[0].lit.str())
		}
	}
	seen := map[string]bool{}
	for _, k := range g.constant {
		seen[k] = true
	}
	if len(seen) != len(g.pairs) {
		g.constant = nil // not all are, or not all differ
	}
	return g
}

// A group is the items that have a key.
type group struct {
	data val
	pair int
	own  *array // data, where it was made for this group
}

func (g *grouping) eval(e *evaluation, in val, env *frame) (val, error) {
	a := in.array()
	rows := a != nil && a.tuples
	if in.kind == list && in.len() == 0 {
		in = ofArray(sequence(val{})) // so that a literal object has something to be made of
	}
	if g.constant != nil && !rows && (in.kind != list || in.len() == 1) {
		if in.kind == list {
			in = in.at(0)
		}
		return g.literal(e, in, env)
	}
	in = listOf(in)
	n := in.len()
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	keys := &object{} // of the groups, in order
	var groups []group
	for i := range n {
		item := in.at(i)
		at, around := item, env
		if t, ok := item.ref.(*tuple); ok {
			at, around = t.at, t.frame(env)
		}
		for p, pair := range g.pairs {
			key, err := pair[0](e, at, around)
			if err != nil {
				return val{}, err
			}
			if !key.defined() {
				continue
			}
			if key.kind != text {
				return val{}, &Error{Code: "T1003", Position: g.pos, value: key}
			}
			k := keys.find(key.str())
			if k < 0 {
				keys.set(key.str(), val{})
				groups = append(groups, group{data: item, pair: p})
				continue
			}
			if groups[k].pair != p {
				return val{}, &Error{Code: "D1009", Position: g.pos, value: key}
			}
			if err := groups[k].add(e, item); err != nil {
				return val{}, err
			}
		}
	}
	out := &object{keys: make([]string, 0, len(groups)), vals: make([]val, 0, len(groups))}
	for i := range groups {
		context, around := groups[i].data, env
		if rows {
			t, err := e.reduce(context)
			if err != nil {
				return val{}, err
			}
			context, around = t.at, t.frame(env)
			t.at = val{} // which the reference takes out, so that another group of the same row has none
		}
		v, err := g.pairs[groups[i].pair][1](e, context, around)
		if err != nil {
			return v, err
		}
		if v.defined() {
			out.set(keys.keys[i], v)
		}
	}
	return ofObject(out), nil
}

// literal is what comes of one item, where all keys are known.
func (g *grouping) literal(e *evaluation, item val, env *frame) (val, error) {
	out := &object{keys: make([]string, 0, len(g.pairs)), vals: make([]val, 0, len(g.pairs))}
	for i, key := range g.constant {
		v, err := g.pairs[i][1](e, item, env)
		if err != nil {
			return v, err
		}
		switch {
		case !v.defined():
		case len(g.constant) <= manyKeys:
			out.keys, out.vals = append(out.keys, key), append(out.vals, v)
		default:
			out.set(key, v)
		}
	}
	return ofObject(out), e.spend(len(g.pairs))
}

// add is $append(data, item).
func (g *group) add(e *evaluation, item val) error {
	if !item.defined() {
		return nil
	}
	if !g.data.defined() {
		g.data = item
		return nil
	}
	if g.own == nil {
		g.own = &array{items: []val{}}
		if err := e.extend(g.own, listOf(g.data)); err != nil {
			return err
		}
		g.data = ofArray(g.own)
	}
	return e.extend(g.own, listOf(item))
}

// reduce makes one row of those of a group: of each variable all values.
func (e *evaluation) reduce(v val) (*tuple, error) {
	if !v.defined() { // there was no row
		return &tuple{}, nil
	}
	if t, ok := v.ref.(*tuple); ok {
		return t, nil
	}
	first := v.at(0).ref.(*tuple)
	all := make([]group, 1+len(first.names))
	all[0].data = first.at
	names := append([]string(nil), first.names...)
	for i, x := range first.vals {
		all[i+1].data = x
	}
	for i := 1; i < v.len(); i++ {
		t := v.at(i).ref.(*tuple)
		if err := all[0].add(e, t.at); err != nil {
			return nil, err
		}
		for k, name := range t.names {
			at := -1
			for j, n := range names {
				if n == name {
					at = j
				}
			}
			if at < 0 {
				names, all = append(names, name), append(all, group{})
				at = len(names) - 1
			}
			if err := all[at+1].add(e, t.vals[k]); err != nil {
				return nil, err
			}
		}
	}
	out := &tuple{at: all[0].data, names: names}
	for _, g := range all[1:] {
		out.vals = append(out.vals, g.data)
	}
	return out, nil
}
