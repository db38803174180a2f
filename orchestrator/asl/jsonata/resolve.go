package jsonata

import "strconv"

// A resolver makes what the parser gives ready to be compiled: steps become
// paths, predicates go to their steps, and each % finds the step whose input
// it stands for.
type resolver struct {
	slots []*node // of type parent, by the index of their slot
	err   *Error  // the first
}

// A slot is where the value of a % comes from: the input of the step that is
// level steps before.
type slot struct {
	label string // of the variable that holds it
	level int
	index int
}

func (r *resolver) fail(err *Error) *node {
	if r.err == nil {
		r.err = err
	}
	return &node{typ: nodeEnd}
}

func (r *resolver) all(list []*node, into *node) []*node {
	out := make([]*node, len(list))
	for i, n := range list {
		out[i] = r.resolve(n)
		if into != nil {
			into.push(out[i])
		}
	}
	return out
}

func (r *resolver) pairs(list [][2]*node, into *node) [][2]*node {
	out := make([][2]*node, len(list))
	for i, p := range list {
		out[i] = [2]*node{r.resolve(p[0]), r.resolve(p[1])}
		if into != nil {
			into.push(out[i][0])
			into.push(out[i][1])
		}
	}
	return out
}

// push makes the slots that part seeks those of n.
func (n *node) push(part *node) {
	n.seeking = append(n.seeking, part.seeking...)
	if part.typ == nodeParent {
		n.seeking = append(n.seeking, part.parent)
	}
}

// last is the step that a suffix of n is for.
func (n *node) last() *node {
	if n.typ == nodePath {
		return n.steps[len(n.steps)-1]
	}
	return n
}

func (r *resolver) resolve(n *node) *node {
	if n == nil {
		return nil
	}
	if r.err != nil {
		return &node{typ: nodeEnd}
	}
	var out *node
	switch n.typ {
	case nodeBinary:
		out = r.binary(n)
	case nodeUnary:
		out = &node{typ: nodeUnary, value: n.value, pos: n.pos}
		switch n.value {
		case "[":
			out.list = r.all(n.list, out)
		case "{":
			out.pairs = r.pairs(n.pairs, out)
		default:
			x := r.resolve(n.lhs)
			if x.typ == nodeNumber {
				x.lit.num = -x.lit.num
				out = x
				break
			}
			out.lhs = x
			out.push(x)
		}
	case nodeFunction, nodePartial:
		out = &node{typ: n.typ, value: n.value, pos: n.pos}
		out.list = r.all(n.list, out)
		out.proc = r.resolve(n.proc)
	case nodeLambda:
		out = &node{typ: nodeLambda, pos: n.pos, params: n.params, signature: n.signature}
		out.body = r.resolve(n.body)
		markTail(out.body)
	case nodeCondition:
		out = &node{typ: nodeCondition, pos: n.pos}
		for _, x := range []struct{ from, to **node }{{&n.cond, &out.cond}, {&n.then, &out.then}, {&n.els, &out.els}} {
			if *x.from != nil {
				*x.to = r.resolve(*x.from)
				out.push(*x.to)
			}
		}
	case nodeTransform:
		out = &node{typ: nodeTransform, pos: n.pos, pattern: r.resolve(n.pattern), update: r.resolve(n.update), remove: r.resolve(n.remove)}
	case nodeBlock:
		out = &node{typ: nodeBlock, pos: n.pos}
		out.list = r.all(n.list, out)
		for _, x := range out.list {
			if x.cons || x.typ == nodePath && x.steps[0].cons {
				out.cons = true
			}
		}
	case nodeName:
		out = &node{typ: nodePath, steps: []*node{n}, keepSingleton: n.keepArray}
	case nodeParent:
		out = &node{typ: nodeParent, pos: n.pos, parent: &slot{label: "!" + strconv.Itoa(len(r.slots)), level: 1, index: len(r.slots)}}
		r.slots = append(r.slots, out)
	case nodeOperator:
		switch n.value {
		case "and", "or", "in": // as a name
			n.typ = nodeName
			out = r.resolve(n)
		case "?":
			out = n
		default:
			return r.fail(misuse("S0201", n.pos, n.value))
		}
	case nodeEnd:
		return r.fail(misuse("S0207", n.pos, n.value))
	default:
		out = n
	}
	if n.keepArray {
		out.keepArray = true
	}
	return out
}

func (r *resolver) binary(n *node) *node {
	switch n.value {
	case ".":
		return r.dot(n)
	case "[":
		out := r.resolve(n.lhs)
		step := out.last()
		if step.group != nil {
			return r.fail(misuse("S0209", n.pos, ""))
		}
		filter := r.resolve(n.rhs)
		if filter.seeking != nil {
			for _, s := range filter.seeking {
				if s.level == 1 {
					r.seek(step, s)
				} else {
					s.level--
				}
			}
			step.push(filter)
		}
		if out.typ == nodePath {
			step.stages = append(step.stages, stage{filter: filter})
		} else {
			step.predicates = append(step.predicates, stage{filter: filter})
		}
		return out
	case "{":
		out := r.resolve(n.lhs)
		if out.group != nil {
			return r.fail(misuse("S0210", n.pos, ""))
		}
		out.group = &node{pairs: r.pairs(n.pairs, nil), pos: n.pos}
		return out
	case "^":
		out := r.resolve(n.lhs)
		if out.typ != nodePath {
			out = &node{typ: nodePath, steps: []*node{out}}
		}
		sort := &node{typ: nodeSort, pos: n.pos}
		for _, t := range n.terms {
			x := r.resolve(t.expr)
			sort.push(x)
			sort.terms = append(sort.terms, term{x, t.descending})
		}
		out.steps = append(out.steps, sort)
		r.ancestry(out)
		return out
	case ":=":
		out := &node{typ: nodeBind, value: n.value, pos: n.pos, lhs: r.resolve(n.lhs), rhs: r.resolve(n.rhs)}
		out.push(out.rhs)
		return out
	case "@":
		out := r.resolve(n.lhs)
		step := out.last()
		if step.stages != nil || step.predicates != nil {
			return r.fail(misuse("S0215", n.pos, ""))
		}
		if step.typ == nodeSort {
			return r.fail(misuse("S0216", n.pos, ""))
		}
		if n.keepArray {
			step.keepArray = true
		}
		step.focus, step.tuple = n.rhs.value, true
		return out
	case "#":
		out := r.resolve(n.lhs)
		step := out.last()
		if out.typ != nodePath {
			out = &node{typ: nodePath, steps: []*node{out}}
			step.stages, step.predicates = append(step.stages, step.predicates...), nil
		}
		if step.stages == nil {
			step.index = n.rhs.value
		} else {
			step.stages = append(step.stages, stage{index: n.rhs.value})
		}
		step.tuple = true
		return out
	case "~>":
		out := &node{typ: nodeApply, value: n.value, pos: n.pos, lhs: r.resolve(n.lhs), rhs: r.resolve(n.rhs)}
		out.keepArray = out.lhs.keepArray || out.rhs.keepArray
		return out
	}
	out := &node{typ: nodeBinary, value: n.value, pos: n.pos, lhs: r.resolve(n.lhs), rhs: r.resolve(n.rhs)}
	out.push(out.lhs)
	out.push(out.rhs)
	return out
}

// dot joins two parts of a path.
func (r *resolver) dot(n *node) *node {
	out := r.resolve(n.lhs)
	if out.typ != nodePath {
		first := out
		out = &node{typ: nodePath, steps: []*node{first}}
		if first.typ == nodeParent {
			out.seeking = []*slot{first.parent}
		}
	}
	rest := r.resolve(n.rhs)
	if rest.typ == nodePath {
		out.steps = append(out.steps, rest.steps...)
	} else {
		rest.stages, rest.predicates = append(rest.stages, rest.predicates...), nil
		out.steps = append(out.steps, rest)
	}
	for _, step := range out.steps {
		switch step.typ {
		case nodeNumber, nodeValue:
			err := misuse("S0213", step.pos, "")
			err.value = step.lit
			return r.fail(err)
		case nodeString:
			step.typ, step.value = nodeName, step.lit.str()
		}
		out.keepSingleton = out.keepSingleton || step.keepArray
	}
	// An array constructor at either end is not flattened.
	for _, step := range []*node{out.steps[0], out.last()} {
		if step.typ == nodeUnary && step.value == "[" {
			step.cons = true
		}
	}
	r.ancestry(out)
	return out
}

// seek has step provide the value of a slot, if it is the one.
func (r *resolver) seek(step *node, s *slot) {
	switch step.typ {
	case nodeName, nodeWildcard:
		if s.level--; s.level > 0 {
			return
		}
		if step.ancestor != nil {
			r.slots[s.index].parent.label = step.ancestor.label
		}
		step.ancestor = s
		step.tuple = true
	case nodeParent:
		s.level++
	case nodeBlock:
		if len(step.list) > 0 {
			step.tuple = true
			r.seek(step.list[len(step.list)-1], s)
		}
	case nodePath:
		step.tuple = true
		for i := len(step.steps) - 1; i == len(step.steps)-1 || i >= 0 && s.level > 0; i-- {
			r.seek(step.steps[i], s)
		}
	default:
		r.fail(misuse("S0217", step.pos, string(step.typ)))
	}
}

// ancestry finds the steps of a path that the slots of its last one seek.
func (r *resolver) ancestry(path *node) {
	last := path.last()
	slots := last.seeking
	if last.typ == nodeParent {
		slots = append(slots, last.parent)
	}
	for _, s := range slots {
		i := len(path.steps) - 2
		for s.level > 0 && r.err == nil {
			if i < 0 {
				path.seeking = append(path.seeking, s)
				break
			}
			step := path.steps[i]
			i--
			// Of steps in a row that bind the focus, all have the same input.
			for i >= 0 && step.focus != "" && path.steps[i].focus != "" {
				step = path.steps[i]
				i--
			}
			r.seek(step, s)
		}
	}
}

// markTail marks calls that are the last thing which a lambda does.
func markTail(n *node) {
	switch n.typ {
	case nodeFunction:
		n.tail = n.predicates == nil
	case nodeCondition:
		markTail(n.then)
		if n.els != nil {
			markTail(n.els)
		}
	case nodeBlock:
		if len(n.list) > 0 && n.predicates == nil && n.group == nil {
			markTail(n.list[len(n.list)-1])
		}
	}
}
