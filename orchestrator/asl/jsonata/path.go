package jsonata

import "math"

// A step is one step of a path, compiled.
type step struct {
	run      evaluator // nil for a sort
	sort     *ordering
	stages   []compiledStage
	name     string // of a step that is only a name
	plain    bool   // it is
	cons     bool
	tuple    bool
	focus    string
	index    string
	ancestor *slot
}

// A compiledStage is a filter or, where that is nil, a binding of positions.
type compiledStage struct {
	run     evaluator
	literal val // where the filter is a number
	index   string
}

func (c compiler) stages(list []stage) []compiledStage {
	var out []compiledStage
	for _, s := range list {
		x := compiledStage{index: s.index}
		if s.filter != nil {
			x.run = c.compile(s.filter)
			if s.filter.typ == nodeNumber {
				x.literal = s.filter.lit
			}
		}
		out = append(out, x)
	}
	return out
}

func (c compiler) path(n *node) evaluator {
	steps := make([]step, len(n.steps))
	simple := 0 // steps from the first that are only names
	for i, s := range n.steps {
		x := step{stages: c.stages(s.stages), cons: s.cons, tuple: s.tuple, focus: s.focus, index: s.index, ancestor: s.ancestor}
		if s.typ == nodeSort {
			x.sort = c.ordering(s)
		} else {
			x.run = c.compile(s)
		}
		x.plain = s.typ == nodeName && !s.tuple && len(s.stages) == 0 && s.group == nil
		x.name = s.value
		if x.plain && simple == i {
			simple++
		}
		steps[i] = x
	}
	var group *grouping
	if n.group != nil {
		group = c.grouping(n.group)
	}
	p := &path{
		steps: steps, absolute: n.steps[0].typ == nodeVariable,
		tuple: n.tuple, keep: n.keepSingleton, group: group,
	}
	if simple > 0 && !p.keep {
		p.simple = simple
	} else if p.absolute && !p.keep && !steps[0].tuple && len(steps[0].stages) == 0 {
		p.variable = true
	}
	return p.eval
}

type path struct {
	steps    []step
	absolute bool // begins at a variable
	tuple    bool // a path around it needs what is bound
	keep     bool
	group    *grouping
	simple   int  // names it begins with
	variable bool // it begins with nothing but a variable
}

func (p *path) eval(e *evaluation, in val, env *frame) (val, error) {
	first := 0
	// As long as nothing is a list, a name is a look-up.
	if p.simple > 0 && in.kind == dict {
		for first < p.simple && in.kind != list {
			if in = in.member(p.steps[first].name); !in.defined() {
				return p.nothing(e, env)
			}
			first++
		}
	} else if p.variable {
		v, err := p.steps[0].run(e, in, env)
		if err != nil {
			return val{}, err
		}
		if !v.defined() {
			return p.nothing(e, env)
		}
		in, first = v, 1
		for first < len(p.steps) && p.steps[first].plain && in.kind != list {
			if in = in.member(p.steps[first].name); !in.defined() {
				return p.nothing(e, env)
			}
			first++
		}
	}
	if first == len(p.steps) {
		if a := in.array(); a != nil && a.sequence {
			in = ofArray(&array{items: a.items, first: a.first, span: a.span, sequence: true}) // does not keep a singleton anymore
		}
		if p.group != nil {
			return p.group.eval(e, in, env)
		}
		return in, nil
	}
	seq := in
	if in.kind != list || first == 0 && p.absolute {
		seq = ofArray(sequence(in))
	}
	var rows *array // once something is bound
	streaming := false
	result := seq
	for i := first; i < len(p.steps); i++ {
		s := &p.steps[i]
		streaming = streaming || s.tuple
		var err error
		switch {
		case i == 0 && s.cons:
			result, err = s.run(e, seq, env)
		case streaming:
			rows, err = s.bind(e, seq, rows, env)
		default:
			result, err = s.eval(e, seq, env, i == len(p.steps)-1)
		}
		if err != nil {
			return val{}, err
		}
		if !streaming && (!result.defined() || result.kind == list && result.len() == 0) {
			break
		}
		if s.focus == "" {
			seq = result
		}
	}
	if streaming {
		if p.tuple {
			result = ofArray(rows)
		} else {
			out := sequence()
			for _, r := range rows.items {
				out.items = append(out.items, r.ref.(*tuple).at)
			}
			result = ofArray(out)
		}
	}
	if p.keep {
		a := result.array()
		switch {
		case a != nil && a.cons && !a.sequence:
			a = sequence(result)
			a.keep = true
			result = ofArray(a)
		case a != nil:
			a.keep = true
		}
	}
	if p.group != nil {
		if streaming {
			result = ofArray(rows)
		}
		return p.group.eval(e, result, env)
	}
	return result, nil
}

// nothing is what comes of the path where a step gives nothing: a group is made even
// of that.
func (p *path) nothing(e *evaluation, env *frame) (val, error) {
	if p.group == nil {
		return val{}, nil
	}
	return p.group.eval(e, ofArray(sequence()), env)
}

// eval evaluates the step for each item.
func (s *step) eval(e *evaluation, in val, env *frame, last bool) (val, error) {
	if s.sort != nil {
		v, err := s.sort.eval(e, in, env)
		if err != nil {
			return v, err
		}
		return runStages(e, s.stages, v, env)
	}
	n := in.len()
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	out := sequence(make([]val, 0, n)...)
	for i := range n {
		item := in.at(i)
		var v val
		var err error
		if s.plain && item.kind == dict {
			v = item.member(s.name)
		} else if v, err = s.run(e, item, env); err != nil {
			return v, err
		}
		for k := range s.stages {
			if v, err = s.stages[k].filter(e, v, env); err != nil {
				return v, err
			}
		}
		if v.defined() {
			out.items = append(out.items, v)
		}
	}
	return flattened(e, out, last)
}

// flattened puts the items of lists among the results of a step in their
// place. A list that is the only result of the last step stays what it is.
func flattened(e *evaluation, results *array, last bool) (val, error) {
	nested := false
	for _, v := range results.items {
		nested = nested || v.kind == list
	}
	if !nested {
		return ofArray(results), nil
	}
	if first := results.items[0]; last && len(results.items) == 1 && !first.isSequence() {
		return first, nil
	}
	out := sequence()
	for _, v := range results.items {
		if a := v.array(); v.kind != list || a != nil && a.cons {
			out.items = append(out.items, v)
		} else if err := e.extend(out, v); err != nil {
			return val{}, err
		}
	}
	return ofArray(out), nil
}

// bind is eval that carries along what is bound.
func (s *step) bind(e *evaluation, in val, rows *array, env *frame) (*array, error) {
	out := sequence()
	out.tuples = true
	if s.sort != nil {
		if rows != nil {
			v, err := s.sort.eval(e, ofArray(rows), env)
			if err != nil {
				return nil, err
			}
			out.items = v.array().items
		} else {
			v, err := s.sort.eval(e, in, env)
			if err != nil {
				return nil, err
			}
			for i := range v.len() {
				out.items = append(out.items, (&tuple{at: v.at(i)}).with(s.index, ofNumber(float64(i))))
			}
		}
		return stagesOfRows(e, s.stages, out, env)
	}
	if rows == nil {
		rows = sequence()
		if err := e.spend(in.len()); err != nil {
			return nil, err
		}
		for i := range in.len() {
			rows.items = append(rows.items, val{kind: row, ref: &tuple{at: in.at(i)}})
		}
	}
	for _, r := range rows.items {
		t := r.ref.(*tuple)
		v, err := s.run(e, t.at, t.frame(env))
		if err != nil {
			return nil, err
		}
		if !v.defined() {
			continue
		}
		if v.kind != list {
			v = plain([]val{v})
		}
		n := v.len()
		if err := e.spend(n * (1 + len(t.names))); err != nil {
			return nil, err
		}
		for i := range n {
			x := v.at(i)
			next := &tuple{at: t.at, names: t.names[:len(t.names):len(t.names)], vals: t.vals[:len(t.vals):len(t.vals)]}
			if x.kind == row {
				from := x.ref.(*tuple)
				next.at = from.at
				for k, name := range from.names {
					next.set(name, from.vals[k])
				}
				out.items = append(out.items, val{kind: row, ref: next})
				continue
			}
			if s.focus != "" {
				next.set(s.focus, x)
			} else {
				next.at = x
			}
			if s.index != "" {
				next.set(s.index, ofNumber(float64(i)))
			}
			if s.ancestor != nil {
				next.set(s.ancestor.label, t.at)
			}
			out.items = append(out.items, val{kind: row, ref: next})
		}
	}
	return stagesOfRows(e, s.stages, out, env)
}

func stagesOfRows(e *evaluation, stages []compiledStage, rows *array, env *frame) (*array, error) {
	v, err := runStages(e, stages, ofArray(rows), env)
	if err != nil {
		return nil, err
	}
	return v.array(), nil
}

// set binds a name; the slices of t may be shared up to their length.
func (t *tuple) set(name string, v val) {
	for i, n := range t.names {
		if n == name {
			t.vals = append([]val(nil), t.vals...)
			t.vals[i] = v
			return
		}
	}
	t.names, t.vals = append(t.names, name), append(t.vals, v)
}

// with is t as a value, with one more name if that is not empty.
func (t *tuple) with(name string, v val) val {
	if name != "" {
		t.set(name, v)
	}
	return val{kind: row, ref: t}
}

// frame is the variables of a row.
func (t *tuple) frame(up *frame) *frame {
	if len(t.names) == 0 {
		return &frame{up: up}
	}
	return &frame{up: up, names: t.names, vals: t.vals, shared: true}
}

// runStages filters what a step gives and binds positions in it.
func runStages(e *evaluation, stages []compiledStage, v val, env *frame) (val, error) {
	for i := range stages {
		s := &stages[i]
		if s.run != nil {
			var err error
			if v, err = s.filter(e, v, env); err != nil {
				return v, err
			}
			continue
		}
		out := sequence()
		out.tuples = true
		if err := e.spend(v.len()); err != nil {
			return v, err
		}
		for i := range v.len() {
			if t, ok := v.at(i).ref.(*tuple); ok {
				next := &tuple{at: t.at, names: t.names[:len(t.names):len(t.names)], vals: t.vals[:len(t.vals):len(t.vals)]}
				out.items = append(out.items, next.with(s.index, ofNumber(float64(i))))
			}
		}
		v = ofArray(out)
	}
	return v, nil
}

// filter is what of v the predicate holds for: as a position if it is a number
// or numbers, else if it is true.
func (s *compiledStage) filter(e *evaluation, v val, env *frame) (val, error) {
	out := sequence()
	if a := v.array(); a != nil {
		out.tuples = a.tuples
	}
	v = listOf(v)
	n := v.len()
	if s.literal.kind == number {
		i := math.Floor(s.literal.num)
		if i < 0 {
			i += float64(n)
		}
		if i < 0 || i >= float64(n) {
			return ofArray(out), nil
		}
		item := v.at(int(i))
		if item.kind == list {
			return item, nil
		}
		if item.defined() {
			out.items = append(out.items, item)
		}
		return ofArray(out), nil
	}
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	for i := range n {
		item := v.at(i)
		at, around := item, env
		if t, ok := item.ref.(*tuple); ok {
			at, around = t.at, t.frame(env)
		}
		x, err := s.run(e, at, around)
		if err != nil {
			return val{}, err
		}
		isNumber, err := finite(x)
		if err != nil {
			return val{}, err
		}
		if isNumber {
			if position(x, n) == float64(i) {
				out.items = append(out.items, item)
			}
			continue
		}
		if x.kind == list {
			if err := e.spend(x.len()); err != nil {
				return val{}, err
			}
			if isNumber, err = numbers(x); err != nil {
				return val{}, err
			}
		}
		if isNumber {
			for k := range x.len() {
				if position(x.at(k), n) == float64(i) {
					out.items = append(out.items, item)
				}
			}
			continue
		}
		yes, err := e.boolOf(x)
		if err != nil {
			return val{}, err
		}
		if yes {
			out.items = append(out.items, item)
		}
	}
	return ofArray(out), nil
}

// position is a number as a position among n; from the end if it is negative.
func position(v val, n int) float64 {
	i := math.Floor(v.num)
	if i < 0 {
		i += float64(n)
	}
	return i
}

// find looks a name up: in a list, in each of its items.
func (e *evaluation) find(in val, name string) (val, error) {
	if in.kind != list {
		return in.member(name), nil
	}
	out := sequence()
	if err := e.enter(); err != nil {
		return val{}, err
	}
	if err := e.spend(in.len()); err != nil {
		return val{}, err
	}
	for i := range in.len() {
		v, err := e.find(in.at(i), name)
		if err != nil {
			return v, err
		}
		switch {
		case !v.defined():
		case v.kind == list:
			if err := e.extend(out, v); err != nil {
				return v, err
			}
		default:
			out.items = append(out.items, v)
		}
	}
	return ofArray(out), e.leave()
}

// wildcard is the values of all members.
func wildcard(e *evaluation, in val, _ *frame) (val, error) {
	out := sequence()
	if a := in.array(); a != nil && a.outer && len(a.items) > 0 {
		in = a.items[0]
	}
	if in.kind != dict && in.kind != list {
		return ofArray(out), nil
	}
	if err := e.spend(in.len()); err != nil {
		return val{}, err
	}
	for i := range in.len() {
		v := in.at(i)
		if v.kind != list {
			out.items = append(out.items, v)
			continue
		}
		out.sequence = false // as the reference has it: it is a new array then
		if err := e.flatten(v, out); err != nil {
			return val{}, err
		}
	}
	return ofArray(out), nil
}

func (e *evaluation) flatten(v val, into *array) error {
	if v.kind != list {
		into.items = append(into.items, v)
		return e.spend(1)
	}
	if err := e.enter(); err != nil {
		return err
	}
	for i := range v.len() {
		if err := e.flatten(v.at(i), into); err != nil {
			return err
		}
	}
	return e.leave()
}

// descendants is everything inside, and the input itself.
func descendants(e *evaluation, in val, _ *frame) (val, error) {
	if !in.defined() {
		return in, nil
	}
	out := sequence()
	err := e.descend(in, out)
	if len(out.items) == 1 {
		return out.items[0], err
	}
	return ofArray(out), err
}

func (e *evaluation) descend(v val, into *array) error {
	if v.kind != list {
		into.items = append(into.items, v)
		if v.kind != dict {
			return e.spend(1)
		}
	}
	if err := e.enter(); err != nil {
		return err
	}
	for i := range v.len() {
		if err := e.descend(v.at(i), into); err != nil {
			return err
		}
	}
	return e.leave()
}
