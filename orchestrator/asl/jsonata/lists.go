package jsonata

import (
	"math"
	"strings"
	"unicode/utf8"
)

func sum(e *evaluation, c *arguments) (val, error) {
	a := c.at(0)
	n := a.len()
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	total := 0.0
	for i := range n {
		total += a.at(i).num
	}
	return ofNumber(total), nil
}

func count(_ *evaluation, c *arguments) (val, error) { return ofNumber(float64(c.at(0).len())), nil }

// extreme is the item of a list of numbers that no other is better than.
func extreme(e *evaluation, a val, better func(x, y float64) float64) (val, error) {
	n := a.len()
	if n == 0 {
		return val{}, nil
	}
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	best := a.at(0)
	for i := 1; i < n; i++ {
		if x := a.at(i); better(best.num, x.num) != best.num {
			best = x
		}
	}
	return best, nil
}

func maximum(e *evaluation, c *arguments) (val, error) { return extreme(e, c.at(0), math.Max) }
func minimum(e *evaluation, c *arguments) (val, error) { return extreme(e, c.at(0), math.Min) }

func average(e *evaluation, c *arguments) (val, error) {
	n := c.at(0).len()
	if n == 0 {
		return val{}, nil
	}
	total, err := sum(e, c)
	return ofNumber(total.num / float64(n)), err
}

// with calls a function with as many of args as it takes; the first it always
// gets.
func (e *evaluation) with(f val, c *arguments, args ...val) (val, error) {
	if f.kind != callable {
		return val{}, &Error{Code: "T1006"}
	}
	most := max(1, f.ref.(*function).arity)
	if most < len(args) {
		args = args[:most]
	}
	return e.apply(f, args, c.in, c.env)
}

func mapped(e *evaluation, c *arguments) (val, error) {
	a, f := c.at(0), c.at(1)
	out := sequence(make([]val, 0, min(a.len(), 1024))...)
	for i := range a.len() {
		v, err := e.with(f, c, a.at(i), ofNumber(float64(i)), a)
		if err != nil {
			return v, err
		}
		if v.defined() {
			out.items = append(out.items, v)
		}
	}
	return ofArray(out), nil
}

func filtered(e *evaluation, c *arguments) (val, error) {
	a, f := c.at(0), c.at(1)
	out := sequence()
	for i := range a.len() {
		item := a.at(i)
		v, err := e.with(f, c, item, ofNumber(float64(i)), a)
		if err != nil {
			return v, err
		}
		yes, err := e.boolOf(v)
		if err != nil {
			return v, err
		}
		if yes {
			out.items = append(out.items, item)
		}
	}
	return ofArray(out), nil
}

func single(e *evaluation, c *arguments) (val, error) {
	a, f := c.at(0), c.at(1)
	var found val
	has := false
	if err := e.spend(a.len()); err != nil {
		return val{}, err
	}
	for i := range a.len() {
		item, yes := a.at(i), true
		if f.defined() {
			v, err := e.with(f, c, item, ofNumber(float64(i)), a)
			if err == nil {
				yes, err = e.boolOf(v)
			}
			if err != nil {
				return v, err
			}
		}
		if !yes {
			continue
		}
		if has {
			return val{}, &Error{Code: "D3138"}
		}
		found, has = item, true
	}
	if !has {
		return val{}, &Error{Code: "D3139"}
	}
	return found, nil
}

func reduce(e *evaluation, c *arguments) (val, error) {
	a, f, v := c.at(0), c.at(1), c.at(2)
	if f.ref.(*function).arity < 2 {
		return val{}, &Error{Code: "D3050", index: 1}
	}
	i := 0
	if !v.defined() && a.len() > 0 {
		v, i = a.at(0), 1
	}
	for ; i < a.len(); i++ {
		var err error
		if v, err = e.with(f, c, v, a.at(i), ofNumber(float64(i)), a); err != nil {
			return v, err
		}
	}
	return v, nil
}

func zip(e *evaluation, c *arguments) (val, error) {
	n := math.MaxInt
	for _, a := range c.list {
		if a.kind != list {
			n = 0
		} else {
			n = min(n, a.len())
		}
	}
	if len(c.list) == 0 {
		n = 0
	}
	if err := e.spend(n * len(c.list)); err != nil {
		return val{}, err
	}
	out := make([]val, n)
	for i := range n {
		items := make([]val, len(c.list))
		for k, a := range c.list {
			items[k] = a.at(i)
		}
		out[i] = plain(items)
	}
	return plain(out), nil
}

func appended(e *evaluation, c *arguments) (val, error) {
	a, b := c.at(0), c.at(1)
	if !a.defined() {
		return b, nil
	}
	if !b.defined() {
		return a, nil
	}
	a, b = listOf(a), listOf(b)
	out := &array{items: make([]val, 0, min(a.len()+b.len(), 1024))}
	if err := e.extend(out, a); err != nil {
		return val{}, err
	}
	return ofArray(out), e.extend(out, b)
}

func reverse(e *evaluation, c *arguments) (val, error) {
	a := c.at(0)
	n := a.len()
	if n <= 1 {
		return a, nil
	}
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	items := make([]val, n)
	for i := range n {
		items[n-1-i] = a.at(i)
	}
	return plain(items), nil
}

func sorted(e *evaluation, c *arguments) (val, error) {
	a, f := c.at(0), c.at(1)
	n := a.len()
	if n <= 1 {
		return a, nil
	}
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	after := func(x, y val) (bool, error) {
		v, err := e.apply(f, []val{x, y}, c.in, c.env)
		return truthy(v), err
	}
	if !f.defined() {
		ok, err := numbers(a)
		if err != nil {
			return val{}, err
		}
		switch {
		case ok:
			after = func(x, y val) (bool, error) { return x.num > y.num, nil }
		case texts(a):
			after = func(x, y val) (bool, error) {
				order, err := e.compareText(x.str(), y.str())
				return order > 0, err
			}
		default:
			return val{}, &Error{Code: "D3070", index: 1}
		}
	}
	items := make([]val, n)
	for i := range n {
		items[i] = a.at(i)
	}
	items, err := mergeSort(e, items, after)
	return plain(items), err
}

func shuffle(e *evaluation, c *arguments) (val, error) {
	a := c.at(0)
	n := a.len()
	if n <= 1 {
		return a, nil
	}
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	items := make([]val, n)
	for i := range n { // Fisher–Yates, inside out
		k := e.rand().IntN(i + 1)
		items[i] = items[k]
		items[k] = a.at(i)
	}
	return plain(items), nil
}

func distinct(e *evaluation, c *arguments) (val, error) {
	a := c.at(0)
	if a.kind != list || a.len() <= 1 {
		return a, nil
	}
	out := &array{items: []val{}, sequence: a.isSequence()}
	// Texts and numbers are found by their value, the rest one by one.
	seen := map[any]bool{}
	var others []val
	for i := range a.len() {
		if err := e.spend(1); err != nil {
			return val{}, err
		}
		v := a.at(i)
		if v.kind != list && v.kind != dict {
			key := any(v.kind)
			switch v.kind {
			case text:
				key = v.str()
			case number:
				key = v.num
			case boolean:
				key = v.num != 0
			case callable:
				key = v.ref
			}
			if v.kind == number && math.IsNaN(v.num) || !seen[key] {
				seen[key] = true
				out.items = append(out.items, v)
			}
			continue
		}
		known := false
		for _, x := range others {
			if err := e.spend(1); err != nil {
				return val{}, err
			}
			same, err := e.equal(v, x)
			if err != nil {
				return val{}, err
			}
			if known = same; known {
				break
			}
		}
		if !known {
			others = append(others, v)
			out.items = append(out.items, v)
		}
	}
	return ofArray(out), nil
}

func join(e *evaluation, c *arguments) (val, error) {
	a, separator := c.at(0), c.at(1).str()
	n := a.len()
	parts := make([]string, n)
	size := 0
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	for i := range n {
		parts[i] = a.at(i).str()
		size += len(parts[i]) + len(separator)
	}
	if err := e.spendText(size); err != nil {
		return val{}, err
	}
	s := strings.Join(parts, separator)
	if separator == "" && !utf8.ValidString(s) { // halves of pairs may meet
		s = fromUnits(units16(s))
	}
	return ofText(s), nil
}
