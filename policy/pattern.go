package policy

import (
	"maps"
	"reflect"
	"slices"

	"cel.dev/cel-go/common/types"
)

// A Pattern is what an event has where it wakes a policy: at each of its paths,
// as expressions write them (event.data.object.key), one of the tests holds.
// Nothing is asked of an event by an empty one.
type Pattern map[string][]Test

// A Test is of one value of an event.
type Test struct {
	Is    string // ==, !=, <, <=, >, >=, or prefix
	Value any    // a string, a bool or a float64; a string for a prefix
}

// mostPatterns is how many alternatives are told apart; what makes more of them
// asks less of an event.
const mostPatterns = 16

// Patterns are what the trigger with this number asks of an event: whatever wakes
// the policy by it fits one of them. They are for those who choose events before
// they come here, and may let through more than the trigger does.
func (p *Policy) Patterns(trigger int) []Pattern {
	t := p.Spec.Spec.Triggers[trigger]
	if t.Event == nil {
		return nil
	}
	all := []Pattern{{}}
	if match := p.triggers[trigger]; match != nil {
		all = match.root.patterns()
	}
	for _, one := range all {
		if t.Event.Source != "" {
			one["event.source"] = []Test{{"==", t.Event.Source}}
		}
		if t.Event.Type != "" {
			one["event.type"] = []Test{{"==", t.Event.Type}}
		}
	}
	return JoinPatterns(all)
}

// patterns are the alternatives of n, none of which shares a map with another.
func (n *node) patterns() []Pattern {
	switch {
	case n == nil:
	case n.op == "&&":
		all := []Pattern{{}}
		for _, kid := range n.kids {
			more := kid.patterns()
			if len(all)*len(more) > mostPatterns {
				continue
			}
			var both []Pattern
			for _, a := range all {
				for _, b := range more {
					both = append(both, a.and(b))
				}
			}
			all = both
		}
		return all
	case n.op == "||":
		var all []Pattern
		for _, kid := range n.kids {
			all = append(all, kid.patterns()...)
		}
		if len(all) <= mostPatterns && !slices.ContainsFunc(all, func(p Pattern) bool { return len(p) == 0 }) {
			return all
		}
	case n.op == "" && n.prefixOf != "" && eventPath.MatchString(n.prefixOf):
		return []Pattern{{n.prefixOf: {{"prefix", n.prefix}}}}
	case n.op == "" && (eventPath.MatchString(n.read) || n.read == "event.source" || n.read == "event.type"):
		if test, ok := n.test(); ok {
			return []Pattern{{n.read: {test}}}
		}
	}
	return []Pattern{{}}
}

// test is the comparison that n is, with its constant.
func (n *node) test() (Test, bool) {
	order := n.compare != "==" && n.compare != "!="
	switch limit := n.limit.(type) {
	case types.String:
		return Test{n.compare, string(limit)}, !order
	case types.Bool:
		return Test{n.compare, bool(limit)}, n.compare == "=="
	case types.Double:
		return Test{n.compare, float64(limit)}, n.compare != "!="
	case types.Int:
		return Test{n.compare, float64(limit)}, n.compare != "!="
	}
	return Test{}, false
}

// and asks what p and q ask; of one path, what tells more.
func (p Pattern) and(q Pattern) Pattern {
	both := maps.Clone(p)
	for path, tests := range q {
		if have, ok := both[path]; !ok || telling(tests) > telling(have) {
			both[path] = tests
		}
	}
	return both
}

// telling is how much a list of tests says.
func telling(tests []Test) int {
	least := 1 << 30
	for _, t := range tests {
		says := map[string]int{"==": 1 << 20, "!=": 0}[t.Is]
		if t.Is == "prefix" {
			says = 10 + len(t.Value.(string))
		} else if t.Is != "==" && t.Is != "!=" {
			says = 5
		}
		least = min(least, says)
	}
	return least
}

// JoinPatterns makes one pattern of those that differ in one path at most.
func JoinPatterns(all []Pattern) []Pattern {
	var joined []Pattern
next:
	for _, p := range all {
		for _, q := range joined {
			if q.Join(p) {
				continue next
			}
		}
		joined = append(joined, p)
	}
	return joined
}

// Join has p let through what q does, where that takes one path of it alone, and
// says whether it did. An inequality stands by itself: beside another test it
// would let everything through.
func (p Pattern) Join(q Pattern) bool {
	if len(p) != len(q) {
		return false
	}
	differs := ""
	for path, tests := range p {
		others, ok := q[path]
		switch {
		case !ok:
			return false
		case reflect.DeepEqual(tests, others):
		case differs != "":
			return false
		default:
			differs = path
		}
	}
	if differs == "" {
		return true
	}
	tests := slices.Clone(p[differs])
	for _, t := range q[differs] {
		if !slices.Contains(tests, t) {
			tests = append(tests, t)
		}
	}
	if slices.ContainsFunc(tests, func(t Test) bool { return t.Is == "!=" }) {
		return false
	}
	p[differs] = tests
	return true
}
