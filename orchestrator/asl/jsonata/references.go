package jsonata

import "slices"

// A Reference is where an expression reads something that it has not made
// itself.
type Reference struct {
	// Variable is the name without $; empty stands for the input, $ or $$.
	Variable string
	// Path are the names that follow, as far as they are plain ones: of
	// $states.input.items[0].id these are input and items, with Exact false.
	Path     []string
	Exact    bool
	Position int // of the reference, in bytes
}

// References are the variables that the expression reads and does not bind, and
// its reads of the input, in the order of the text. A name that is a function of the language is
// none. Names that are looked up in something else than the input or a variable
// are not told.
func (x *Expr) References() []Reference {
	f := finder{compiler: x.compiler, bound: map[string]bool{}}
	walk(x.root, func(n *node) bool {
		switch n.typ {
		case nodeBind:
			f.bound[n.lhs.value] = true
		case nodeLambda:
			for _, p := range n.params {
				f.bound[p] = true
			}
		}
		for _, name := range []string{n.focus, n.index} {
			f.bound[name] = f.bound[name] || name != ""
		}
		for _, s := range n.stages {
			f.bound[s.index] = f.bound[s.index] || s.index != ""
		}
		return true
	})
	f.visit(x.root, true)
	slices.SortStableFunc(f.found, func(a, b Reference) int { return a.Position - b.Position })
	return f.found
}

type finder struct {
	compiler
	bound map[string]bool
	found []Reference
}

func (f *finder) add(n *node, path []string, exact bool) {
	name := n.value
	if n.typ != nodeVariable || name == "$" {
		name = ""
	}
	if f.bound[name] || name != "" && f.builtins[name] != nil {
		return
	}
	f.found = append(f.found, Reference{name, path, exact, n.pos})
}

// visit looks at n; top says that its input is that of the expression.
func (f *finder) visit(n *node, top bool) {
	if n == nil {
		return
	}
	if n.typ == nodePath {
		f.path(n, top)
		return
	}
	switch n.typ {
	case nodeVariable:
		if n.value != "" || top {
			f.add(n, nil, n.predicates == nil && n.group == nil)
		}
	case nodeWildcard, nodeDescendant:
		if top {
			f.add(n, nil, false)
		}
	}
	for _, x := range n.list {
		f.visit(x, top)
	}
	for _, x := range []*node{n.lhs, n.rhs, n.proc, n.cond, n.then, n.els, n.body} {
		if n.typ == nodeBind && x == n.lhs {
			continue
		}
		if x != nil && x == n.proc && x.typ == nodePath && len(x.steps) == 1 {
			continue // a function without its $
		}
		f.visit(x, top)
	}
	for _, p := range n.pairs {
		f.visit(p[0], top)
		f.visit(p[1], top)
	}
	f.inner(n)
	for _, x := range []*node{n.pattern, n.update, n.remove} {
		f.visit(x, false)
	}
}

// inner looks at what is evaluated for the items of n.
func (f *finder) inner(n *node) {
	for _, stages := range [][]stage{n.predicates, n.stages} {
		for _, s := range stages {
			f.visit(s.filter, false)
		}
	}
	for _, t := range n.terms {
		f.visit(t.expr, false)
	}
	if n.group != nil {
		for _, p := range n.group.pairs {
			f.visit(p[0], false)
			f.visit(p[1], false)
		}
	}
}

func (f *finder) path(n *node, top bool) {
	first := n.steps[0]
	if first.typ == nodeVariable || first.typ == nodeName && top {
		var names []string
		exact := true
		for i, s := range n.steps {
			if i > 0 || s.typ == nodeName {
				if s.typ != nodeName {
					exact = false
					break
				}
				names = append(names, s.value)
			}
			if s.stages != nil || s.predicates != nil || s.group != nil {
				exact = false
				break
			}
		}
		if first.typ == nodeName || first.value != "" || top {
			f.add(first, names, exact && n.group == nil)
		}
	}
	for i, s := range n.steps {
		switch {
		case i > 0 && s.typ == nodeVariable && s.value != "":
			f.add(s, nil, false)
		case s.typ == nodeName, s.typ == nodeVariable:
		default:
			f.visit(s, top && i == 0)
			continue
		}
		f.inner(s)
	}
	f.inner(n)
}
