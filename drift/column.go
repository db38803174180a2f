package drift

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/sketch"
)

// numeric tests a column of numbers.
func (c *Column) numeric(ref, cur *profile.Column, opt Options) {
	n := newNumbers(ref, cur, opt.Bins, opt.again)
	tested := false
	for _, p := range opt.plan(func(k kind) role { return k.numbers }) {
		if why := n.lacks(p.needs); why != "" {
			c.NotMeasured = append(c.NotMeasured, NotMeasured{p.name, why})
			c.Effect = "the test " + p.name + " needs " + why
			continue
		}
		if t, ok := p.ofNumbers(n); ok {
			t = p.done(t)
			c.Tests = append(c.Tests, t)
			tested = tested || !t.Advisory
		}
	}
	if !tested && steady(ref.Moments) { // the chosen ones need a spread
		ks, _ := kindOf("ks")
		t, _ := n.ks()
		c.Tests, tested = append(c.Tests, planned{ks, ks.threshold, false}.done(t)), true
	}
	if !tested {
		c.Verdict = NotTested
		if c.Effect == "" {
			c.Effect = "no chosen test is for numbers"
		}
		return
	}
	c.Effect = means(ref.Moments, cur.Moments)
	names := make([]string, len(n.p))
	for i := range names {
		switch {
		case len(n.edges) == 0:
			names[i] = "all"
		case i == 0:
			names[i] = "≤ " + number(n.edges[0])
		case i == len(n.edges):
			names[i] = "> " + number(n.edges[i-1])
		default:
			names[i] = fmt.Sprintf("%s to %s", number(n.edges[i-1]), number(n.edges[i]))
		}
	}
	c.Moved = moved(names, n.p, n.q)
	if opt.Parts {
		c.Parts = charted(names, n.p, n.q)
	}
}

// mostCharted is how many parts are reported for a chart.
const mostCharted = 12

// charted are the shares of the parts in their order; of many, the largest.
func charted(names []string, p, q []float64) []Move {
	var all []Move
	for i, name := range names {
		if p[i]+q[i] > 0 {
			all = append(all, Move{name, p[i], q[i]})
		}
	}
	if len(all) > mostCharted {
		slices.SortStableFunc(all, func(a, b Move) int { return cmp.Compare(b.Reference+b.Current, a.Reference+a.Current) })
		all = all[:mostCharted]
	}
	return all
}

// categorical tests a column of categories.
func (c *Column) categorical(ref, cur *profile.Column, opt Options) {
	k := newCategories(ref, cur)
	tested := false
	for _, p := range opt.plan(func(k kind) role { return k.categories }) {
		if t, ok := p.ofCategories(k); ok {
			t = p.done(t)
			c.Tests = append(c.Tests, t)
			tested = tested || !t.Advisory
		}
	}
	if !tested {
		c.Verdict, c.Effect = NotTested, "no chosen test is for categories"
		return
	}
	c.come(k)
	if opt.Parts {
		c.Parts = charted(k.names, k.p, k.q)
	}
}

// come says what categories have moved, come and gone.
func (c *Column) come(k *categories) {
	ref, cur := k.ref, k.cur
	c.Moved = moved(k.names, k.p, k.q)
	var parts []string
	if len(c.Moved) > 0 {
		m := c.Moved[0]
		parts = append(parts, fmt.Sprintf("%s %s → %s", m.Part, percent(m.Reference), percent(m.Current)))
	}
	// A category is new where the other side's list is whole and lacks it.
	if named := len(k.names) - 1; ref.Categories.Error() == 0 {
		c.New = only(k.names[:named], k.p, k.q, false)
		parts = append(parts, list("new", c.New)...)
	}
	if named := len(k.names) - 1; cur.Categories.Error() == 0 {
		c.Vanished = only(k.names[:named], k.p, k.q, true)
		parts = append(parts, list("gone", c.Vanished)...)
	}
	c.Effect = strings.Join(parts, "; ")
}

// only are the categories that one side has and the other has not, the largest
// first.
func only(names []string, p, q []float64, gone bool) []Move {
	var moves []Move
	for i := range names {
		if had, has := p[i] > 0, q[i] > 0; had != has && had == gone {
			moves = append(moves, Move{names[i], p[i], q[i]})
		}
	}
	slices.SortStableFunc(moves, func(a, b Move) int { return cmp.Compare(b.Reference+b.Current, a.Reference+a.Current) })
	return moves
}

// list names up to three categories.
func list(what string, moves []Move) []string {
	if len(moves) == 0 {
		return nil
	}
	var names []string
	for _, m := range moves[:min(3, len(moves))] {
		names = append(names, m.Part)
	}
	text := what + ": " + strings.Join(names, ", ")
	if more := len(moves) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return []string{text}
}

// means says how the mean of a column of numbers has moved: in standard
// deviations where the column has a spread, and not only rounding.
func means(ref, cur sketch.Moments) string {
	if ref.Constant() && !cur.Constant() {
		return fmt.Sprintf("was always %s, mean now %s", number(ref.Min), number(cur.Mean))
	}
	before, now := number(ref.Mean), number(cur.Mean)
	sd := ref.StdDev()
	if steady(ref) || math.IsInf(sd, 0) {
		return fmt.Sprintf("mean %s → %s", before, now)
	}
	moved := math.Round(100*(cur.Mean-ref.Mean)/sd)/100 + 0 // no -0
	for digits := 5; moved != 0 && before == now && digits <= 10; digits++ {
		before, now = strconv.FormatFloat(ref.Mean, 'g', digits, 64), strconv.FormatFloat(cur.Mean, 'g', digits, 64)
	}
	return fmt.Sprintf("mean %s → %s (%+.2f sd)", before, now, moved)
}

// advisory gives a test the verdict of its threshold alone.
func advisory(t Test) Test {
	t.Advisory, t.Verdict = true, None
	if t.Low >= t.Threshold {
		t.Verdict = Drift
	}
	return t
}

// nearer moves each pair of shares towards each other, as far as their errors
// allow: to what differs least.
func nearer(p, q []float64, ep, eq float64) (np, nq []float64) {
	np, nq = slices.Clone(p), slices.Clone(q)
	for i := range p {
		if ep+eq == 0 {
			break
		}
		gap := min(1, math.Abs(q[i]-p[i])/(ep+eq))
		if q[i] < p[i] {
			gap = -gap
		}
		np[i] = max(0, np[i]+gap*ep) // below 0 by rounding
		nq[i] = max(0, nq[i]-gap*eq)
	}
	return np, nq
}

// apart moves each pair of shares away from each other: to what differs most.
func apart(p, q []float64, ep, eq float64) (ap, aq []float64) {
	ap, aq = slices.Clone(p), slices.Clone(q)
	for i := range p {
		if q[i] < p[i] {
			ep, eq = -ep, -eq
		}
		ap[i] = min(1, max(0, p[i]-ep))
		aq[i] = min(1, max(0, q[i]+eq))
		if q[i] < p[i] {
			ep, eq = -ep, -eq
		}
	}
	return ap, aq
}

// moved are the three parts whose shares changed most.
func moved(names []string, p, q []float64) []Move {
	moves := make([]Move, len(names))
	for i, n := range names {
		moves[i] = Move{n, p[i], q[i]}
	}
	slices.SortStableFunc(moves, func(a, b Move) int {
		return cmp.Compare(math.Abs(b.Current-b.Reference), math.Abs(a.Current-a.Reference))
	})
	moves = moves[:min(3, len(moves))]
	return slices.DeleteFunc(moves, func(m Move) bool { return m.Current == m.Reference })
}

func scale(v []float64, by float64) []float64 {
	s := make([]float64, len(v))
	for i := range v {
		s[i] = v[i] * by
	}
	return s
}

func sum(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}
