package jsonata

// walk calls see for n and all in it, as long as that says to go deeper.
func walk(n *node, see func(*node) bool) {
	if n == nil || !see(n) {
		return
	}
	for _, list := range [][]*node{n.list, n.steps, {n.lhs, n.rhs, n.proc, n.cond, n.then, n.els, n.pattern, n.update, n.remove, n.body, n.group}} {
		for _, x := range list {
			walk(x, see)
		}
	}
	for _, p := range n.pairs {
		walk(p[0], see)
		walk(p[1], see)
	}
	for _, t := range n.terms {
		walk(t.expr, see)
	}
	for _, stages := range [][]stage{n.stages, n.predicates} {
		for _, s := range stages {
			walk(s.filter, see)
		}
	}
}
