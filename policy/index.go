package policy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/anneal-ml/anneal"
)

// An Index finds which of many policies an event wakes without asking each: by
// the event's source and type, and by what the matches of triggers say of one
// text in it, `event.data.object.key.startsWith('training/')` or an equality.
// It wakes those that [Policy.Matches] says, by the same triggers. It is never
// changed, and safe for concurrent use.
type Index struct {
	policies []*Policy
	byName   map[string]*Policy
	kinds    map[kind]*bucket
}

// kind is the source and the type that a trigger names; empty for any.
type kind struct{ source, typ string }

// A bucket holds the policies, by number, that have a trigger of one kind.
type bucket struct {
	all   []int // without a condition that is known here
	texts map[string]*texts
}

// texts are the conditions on the text at one path of the event.
type texts struct {
	path     []string
	equal    map[string][]int
	prefixes map[string][]int
	lengths  []int // of prefixes, in bytes
}

// NewIndex makes the index of these policies, which have names of their own.
func NewIndex(policies []*Policy) *Index {
	x := &Index{policies: policies, byName: map[string]*Policy{}, kinds: map[kind]*bucket{}}
	for n, p := range policies {
		x.byName[p.Name()] = p
		for i, t := range p.Spec.Spec.Triggers {
			if t.Event == nil {
				continue
			}
			k := kind{t.Event.Source, t.Event.Type}
			if x.kinds[k] == nil {
				x.kinds[k] = &bucket{texts: map[string]*texts{}}
			}
			x.kinds[k].add(n, p.triggers[i])
		}
	}
	return x
}

// add puts policy n under the most telling condition that match needs.
func (b *bucket) add(n int, match *expr) {
	var best *condition
	if match != nil {
		best = conditionOf(match.root)
	}
	if best == nil {
		b.all = append(b.all, n)
		return
	}
	t := b.texts[best.path]
	if t == nil {
		t = &texts{path: strings.Split(best.path, "."), equal: map[string][]int{}, prefixes: map[string][]int{}}
		b.texts[best.path] = t
	}
	if !best.prefix {
		t.equal[best.text] = append(t.equal[best.text], n)
		return
	}
	t.prefixes[best.text] = append(t.prefixes[best.text], n)
	if at, has := slices.BinarySearch(t.lengths, len(best.text)); !has {
		t.lengths = slices.Insert(t.lengths, at, len(best.text))
	}
}

// A condition is what an expression needs to be true: that the text at a path of the
// event is text, or begins with it.
type condition struct {
	path   string
	text   string
	prefix bool
}

var eventPath = regexp.MustCompile(`^event\.(subject|id|data(\.[A-Za-z_]\w*)+)$`)

// conditionOf is one of the conditions of n, an equality if there is one.
func conditionOf(n *node) (found *condition) {
	if n == nil {
		return nil
	}
	if n.op == "&&" {
		for _, kid := range n.kids {
			if k := conditionOf(kid); k != nil && (found == nil || found.prefix && !k.prefix) {
				found = k
			}
		}
		return found
	}
	if n.op == "" && n.prefixOf != "" && eventPath.MatchString(n.prefixOf) {
		return &condition{path: n.prefixOf, text: n.prefix, prefix: true}
	}
	if text, ok := n.limit.(types.String); ok && n.op == "" && n.compare == "==" && eventPath.MatchString(n.read) {
		return &condition{path: n.read, text: string(text)}
	}
	return nil
}

// A Matched is a policy that an event wakes, and by which trigger; or, with an
// Err, a trigger of it that could not be evaluated.
type Matched struct {
	Policy  *Policy
	Trigger string
	Woken   bool
	Err     error
}

// Match lists the policies that the event wakes, in the order of the index, and
// of those that had to be asked the ones with a trigger that could not be
// evaluated.
func (x *Index) Match(e anneal.Event) []Matched {
	if e.Parked != "" {
		return nil
	}
	var list []Matched
	ask := func(p *Policy, o *occurrence) {
		if trigger, ok, err := p.matches(o); ok || err != nil {
			list = append(list, Matched{p, trigger, ok, err})
		}
	}
	if own(e) {
		var data struct{ Policy string }
		if err := json.Unmarshal(e.Data, &data); err == nil {
			if p := x.byName[data.Policy]; p != nil {
				ask(p, &occurrence{event: e})
			}
		}
		return list
	}
	o := &occurrence{event: e}
	var chosen []int
	for _, k := range []kind{{e.Source, e.Type}, {e.Source, ""}, {"", e.Type}, {"", ""}} {
		if b := x.kinds[k]; b != nil {
			chosen = b.candidates(o, chosen)
		}
	}
	slices.Sort(chosen)
	for _, n := range slices.Compact(chosen) {
		ask(x.policies[n], o)
	}
	return list
}

// candidates adds those in the bucket that o may wake.
func (b *bucket) candidates(o *occurrence, chosen []int) []int {
	chosen = append(chosen, b.all...)
	for _, t := range b.texts {
		text, ok := o.text(t.path)
		if !ok {
			continue // unknown, which is not true
		}
		chosen = append(chosen, t.equal[text]...)
		for _, length := range t.lengths {
			if length > len(text) {
				break
			}
			chosen = append(chosen, t.prefixes[text[:length]]...)
		}
	}
	return chosen
}

// An occurrence is an event that several policies are asked about: what
// expressions see of it is made once.
type occurrence struct {
	event anneal.Event
	seen  vars
}

func (o *occurrence) vars() vars {
	if o.seen == nil {
		o.seen = vars{}
		o.seen.event(o.event)
	}
	return o.seen
}

// text is the text at a path that begins with `event`.
func (o *occurrence) text(path []string) (string, bool) {
	if path[1] != "data" {
		text, ok := o.vars()["event."+path[1]].(string)
		return text, ok
	}
	value := o.vars()["event.data"]
	for _, name := range path[2:] {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	text, ok := value.(string)
	return text, ok
}
