package flow

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A site is a place in the definition where something can go wrong on one way
// and not on another.
type site struct {
	key      siteKey
	st       *state
	severity asl.Severity // at most
	tries    int          // how often an execution can come by
	failures []failure
	always   bool // nothing fails there, so that it counts only if it is so on every way
	resource int  // of a complaint: the offset of what is called
}

type siteKey struct {
	offset int
	what   string
}

// A failure is one way on which it does. The message may tell that there are
// other ways.
type failure struct {
	w       *way
	message func(others bool) string
}

// try notes that an execution comes by, and what goes wrong then; nothing if nil.
func (a *analysis) try(v view, offset int, what string, severity asl.Severity, problem func(bool) string) *site {
	key := siteKey{offset, what}
	x := a.sites[key]
	if x == nil {
		x = &site{key: key, st: v.st, severity: severity}
		a.sites[key] = x
	}
	x.tries++
	if problem != nil {
		x.failures = append(x.failures, failure{v.w, problem})
	}
	return x
}

// fails is how grave it is that an execution fails wherever it comes by.
func (a *analysis) fails() asl.Severity {
	if a.Strict {
		return asl.SeverityError
	}
	return asl.SeverityWarning
}

// test notes a place where something fails if wrong.
func (a *analysis) test(v view, n *value.Node, what string, wrong bool, format string, args ...any) {
	var problem func(bool) string
	if wrong {
		problem = says(format, args...)
	}
	a.try(v, n.Offset, what, a.fails(), problem)
}

// doubt notes a place where something is odd though nothing fails.
func (a *analysis) doubt(v view, n *value.Node, what string, odd bool, format string, args ...any) {
	var problem func(bool) string
	if odd {
		problem = says(format, args...)
	}
	a.try(v, n.Offset, what, asl.SeverityWarning, problem).always = true
}

// upTo is the part of a path up to the step that leads nowhere.
func (a *analysis) upTo(p *jsonpath.Path, m *miss) string {
	if m == nil {
		return p.String()
	}
	return spell(p, m.steps[:m.at+1])
}

func says(format string, args ...any) func(bool) string {
	return func(bool) string { return fmt.Sprintf(format, args...) }
}

// note notes that a path is read.
func (a *analysis) note(v view, n *value.Node, p *jsonpath.Path, root *Shape, m *miss) {
	var problem func(bool) string
	if m != nil {
		problem = func(others bool) string { return a.explain(v, p, root, m, others) }
	}
	if p.Definite() {
		severity := a.fails()
		if m != nil && p.Context() && m.at == 0 && m.steps[0].Name != "Map" && m.steps[0].Name != "Task" {
			severity = asl.SeverityWarning // the context object may have got another member since
		}
		a.try(v, n.Offset, "read "+p.String(), severity, problem)
		return
	}
	a.doubt(v, n, "read "+p.String(), m != nil, "%s can only give an empty list: nothing is at %s", p, a.upTo(p, m))
}

// write notes that a result is written to a path.
func (a *analysis) write(v view, n *value.Node, p *jsonpath.Path, root *Shape, m *miss) {
	var problem func(bool) string
	if m != nil {
		problem = says("nothing can be written to %s: %s is %s", p, a.called(v, p, m), m.in.Kinds)
		if m.in.Can(Array) {
			problem = says("nothing can be written to %s: %s is an array without this item", p, a.called(v, p, m))
		}
	}
	a.try(v, n.Offset, "write", a.fails(), problem)
}

// complaints notes what a service would refuse. About one place there is one
// complaint of a kind.
func (a *analysis) complaints(v view, resource *value.Node, all []Complaint) {
	a.calls[resource.Offset]++
	at := map[siteKey]bool{}
	for _, c := range all {
		offset := resource.Offset
		if c.Shape != nil && c.Shape.Offset > 0 {
			offset = c.Shape.Offset
		}
		if key := (siteKey{offset, c.Message}); !at[key] {
			at[key] = true
			severity := c.Severity
			if written := strings.HasPrefix(a.pointers[offset], a.pointers[v.st.node.Offset]+"/"); c.Late || !written {
				severity = a.fails()
			}
			a.try(v, offset, c.Message, severity, says("%s", c.Message)).resource = resource.Offset
		}
	}
}

// judge makes problems of what was noted.
func (a *analysis) judge() {
	keys := slices.SortedFunc(maps.Keys(a.sites), func(x, y siteKey) int { return cmp.Or(x.offset-y.offset, cmp.Compare(x.what, y.what)) })
	for _, key := range keys {
		x := a.sites[key]
		if len(x.failures) == 0 {
			continue
		}
		first, tries := x.failures[0], x.tries
		if x.resource > 0 {
			tries = a.calls[x.resource]
		}
		switch {
		case len(x.failures) < tries && x.always:
		case len(x.failures) < tries:
			a.add(key.offset, asl.SeverityWarning, "on the way %s: %s", first.w.route(), first.message(true))
		default:
			a.add(key.offset, x.severity, "%s", first.message(false))
		}
	}
}

// longest is how many states of a way are told.
const longest = 6

// route is the way in words.
func (w *way) route() string {
	var names []string
	for ; w != nil; w = w.from {
		if w.via != "" && (len(names) == 0 || names[len(names)-1] != w.via) {
			names = append(names, w.via)
		}
	}
	if len(names) > longest {
		names = append(names[:longest], "…")
	}
	slices.Reverse(names)
	return strings.Join(append(names, "here"), " → ")
}
