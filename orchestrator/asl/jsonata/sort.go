package jsonata

// An ordering is ^(…), compiled.
type ordering struct {
	terms      []evaluator
	descending []bool
	pos        int
}

func (c compiler) ordering(n *node) *ordering {
	o := &ordering{pos: n.pos}
	for _, t := range n.terms {
		o.terms = append(o.terms, c.compile(t.expr))
		o.descending = append(o.descending, t.descending)
	}
	return o
}

// eval sorts a list or rows. Each term is evaluated once for each item.
func (o *ordering) eval(e *evaluation, in val, env *frame) (val, error) {
	n := in.len()
	if n <= 1 {
		one := sequence() // of the one item, whatever in is
		return ofArray(one), e.extend(one, in)
	}
	type entry struct {
		item val
		keys []val // as far as they were needed
	}
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	entries := make([]*entry, n)
	for i := range n {
		entries[i] = &entry{item: in.at(i)}
	}
	key := func(x *entry, t int) (val, error) {
		for len(x.keys) <= t {
			at, around := x.item, env
			if r, ok := x.item.ref.(*tuple); ok {
				at, around = r.at, r.frame(env)
			}
			v, err := o.terms[len(x.keys)](e, at, around)
			if err != nil {
				return v, err
			}
			x.keys = append(x.keys, v)
		}
		return x.keys[t], nil
	}
	after := func(x, y *entry) (bool, error) {
		for t := range o.terms {
			a, err := key(x, t)
			if err != nil {
				return false, err
			}
			b, err := key(y, t)
			if err != nil {
				return false, err
			}
			if !a.defined() || !b.defined() { // undefined comes last
				if a.kind == b.kind {
					continue
				}
				return !a.defined(), nil
			}
			scalar := func(v val) bool { return v.kind == text || v.kind == number }
			if !scalar(a) || !scalar(b) {
				if scalar(a) {
					a = b
				}
				return false, &Error{Code: "T2008", Position: o.pos, value: a}
			}
			if a.kind != b.kind {
				return false, &Error{Code: "T2007", Position: o.pos, value: a, value2: b}
			}
			order := 0
			if a.kind == text {
				if order, err = e.compareText(a.str(), b.str()); err != nil {
					return false, err
				}
			} else if a.num < b.num {
				order = -1
			} else if a.num > b.num {
				order = 1
			}
			if o.descending[t] {
				order = -order
			}
			if order != 0 {
				return order > 0, nil
			}
		}
		return false, nil
	}
	sorted, err := mergeSort(e, entries, after)
	if err != nil {
		return val{}, err
	}
	out := &array{items: make([]val, n)}
	for i := range sorted {
		out.items[i] = sorted[i].item
	}
	return ofArray(out), nil
}

// mergeSort sorts as the reference does: by halves, a comes after b only where
// after says so. The order in which it asks can be seen by a function.
func mergeSort[T any](e *evaluation, items []T, after func(a, b T) (bool, error)) ([]T, error) {
	if len(items) <= 1 {
		return items, nil
	}
	if err := e.spend(len(items)); err != nil {
		return nil, err
	}
	left, err := mergeSort(e, items[:len(items)/2], after)
	if err != nil {
		return nil, err
	}
	right, err := mergeSort(e, items[len(items)/2:], after)
	if err != nil {
		return nil, err
	}
	merged := make([]T, 0, len(items))
	for len(left) > 0 && len(right) > 0 {
		swap, err := after(left[0], right[0])
		if err != nil {
			return nil, err
		}
		if swap {
			merged, right = append(merged, right[0]), right[1:]
		} else {
			merged, left = append(merged, left[0]), left[1:]
		}
	}
	return append(append(merged, left...), right...), nil
}
