package drift

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/profile"
)

// numeric tests a column of numbers.
func (c *Column) numeric(ref, cur *profile.Column, opt Options) {
	x, y := ref.Quantiles.Points(), cur.Quantiles.Points()
	ex, ey := ref.Quantiles.Error(), cur.Quantiles.Error()
	d := KS(x, y, TwoSided)
	ks := Test{Test: "ks", Statistic: d, Low: max(0, d-ex-ey), High: min(1, d+ex+ey), Threshold: opt.KS}
	p := KSProbability(ks.Low, ref.N(), cur.N())
	ks.PValue = &p

	edges := QuantileEdges(x, opt.Bins)
	shares, sharesCur := Shares(x, edges), Shares(y, edges)
	// The share of a bin is the difference of two ranks.
	psi := psiTest(shares, sharesCur, 2*ex, 2*ey, ref.N(), cur.N(), opt)
	c.Tests = append(c.Tests, ks, psi)

	c.Effect = fmt.Sprintf("mean %s → %s", number(ref.Moments.Mean), number(cur.Moments.Mean))
	switch sd := ref.Moments.StdDev(); {
	case ref.Moments.Constant() && !cur.Moments.Constant():
		c.Effect = fmt.Sprintf("was always %s, mean now %s", number(ref.Moments.Min), number(cur.Moments.Mean))
	case sd > 0 && !math.IsInf(sd, 0):
		moved := (cur.Moments.Mean - ref.Moments.Mean) / sd
		c.Effect += fmt.Sprintf(" (%+.2f sd)", math.Round(100*moved)/100+0) // no -0
	}
	names := make([]string, len(shares))
	for i := range names {
		switch {
		case len(edges) == 0:
			names[i] = "all"
		case i == 0:
			names[i] = "≤ " + number(edges[0])
		case i == len(edges):
			names[i] = "> " + number(edges[i-1])
		default:
			names[i] = fmt.Sprintf("%s to %s", number(edges[i-1]), number(edges[i]))
		}
	}
	c.Moved = moved(names, shares, sharesCur)
}

// categorical tests a column of categories.
func (c *Column) categorical(ref, cur *profile.Column, opt Options) {
	index := map[string]int{}
	var names []string
	var x, y []float64 // counts
	for _, side := range []*profile.Column{ref, cur} {
		for _, k := range side.Categories.List() {
			at, ok := index[k.Name]
			if !ok {
				at = len(names)
				index[k.Name] = at
				names = append(names, k.Name)
				x, y = append(x, 0), append(y, 0)
			}
			if side == ref {
				x[at] = float64(k.Count)
			} else {
				y[at] = float64(k.Count)
			}
		}
	}
	// What the counters have missed is in no category that they kept.
	names = append(names, "(others)")
	x = append(x, float64(ref.N())-sum(x))
	y = append(y, float64(cur.N())-sum(y))
	p, q := scale(x, 1/float64(ref.N())), scale(y, 1/float64(cur.N()))

	e := ref.Categories.Error() + cur.Categories.Error()
	largest := 0.0
	for i := range p[:len(p)-1] {
		largest = max(largest, math.Abs(q[i]-p[i]))
	}
	linf := Test{Test: "linf", Statistic: largest, Low: max(0, largest-e), High: min(1, largest+e), Threshold: opt.LInfinity}
	gx, gy := regroup(x, y)
	psi := psiTest(scale(gx, 1/float64(ref.N())), scale(gy, 1/float64(cur.N())),
		ref.Categories.Error(), cur.Categories.Error(), ref.N(), cur.N(), opt)
	same := *psi.PValue
	linf.PValue = &same
	c.Tests = append(c.Tests, linf, psi)

	c.Moved = moved(names, p, q)
	if len(c.Moved) > 0 {
		m := c.Moved[0]
		c.Effect = fmt.Sprintf("%s %s → %s", m.Part, percent(m.Reference), percent(m.Current))
	}
}

// psiTest is the stability index of shares p against q, which may each be off
// by ep and eq, of n and m values. Its probability is chi-square's.
func psiTest(p, q []float64, ep, eq float64, n, m int64, opt Options) Test {
	low, lowQ := nearer(p, q, ep, eq)
	far, farQ := apart(p, q, ep, eq)
	t := Test{Test: "psi", Statistic: PSI(p, q, shareFloor), Threshold: opt.PSI,
		Low: PSI(low, lowQ, shareFloor), High: PSI(far, farQ, shareFloor)}
	x, y := regroup(scale(low, float64(n)), scale(lowQ, float64(m)))
	_, prob, _ := ChiSquare(x, y, true)
	t.PValue = &prob
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
		np[i] += gap * ep
		nq[i] -= gap * eq
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
