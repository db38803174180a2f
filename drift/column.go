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
	"github.com/anneal-ml/anneal/drift/statistics"
)

// numeric tests a column of numbers.
func (c *Column) numeric(ref, cur *profile.Column, opt Options) {
	x, y := ref.Quantiles.Points(), cur.Quantiles.Points()
	ex, ey := ref.Quantiles.Error(), cur.Quantiles.Error()
	d := statistics.KS(x, y, statistics.TwoSided)
	ks := Test{Test: "ks", Statistic: d, Low: max(0, d-ex-ey), High: min(1, d+ex+ey), Threshold: opt.KS}
	p := statistics.KSProbability(ks.Low, ref.N(), cur.N())
	ks.PValue = &p

	edges := statistics.QuantileEdges(x, opt.Bins)
	shares, sharesCur := statistics.Shares(x, edges), statistics.Shares(y, edges)
	// The share of a bin is the difference of two ranks.
	psi := psiTest(shares, sharesCur, 2*ex, 2*ey, ref.N(), cur.N(), opt)
	c.Tests = append(c.Tests, ks, psi)

	w := Test{Test: "wasserstein", Threshold: opt.Wasserstein}
	sd := ref.Moments.StdDev()
	w.Statistic = statistics.Normed(statistics.Wasserstein(x, y), sd)
	// Each distribution function may be off by its error, from end to end.
	off := 0.0
	if ex+ey > 0 {
		span := max(ref.Moments.Max, cur.Moments.Max) - min(ref.Moments.Min, cur.Moments.Min)
		off = statistics.Normed((ex+ey)*span, sd)
	}
	w.Low, w.High = max(0, w.Statistic-off), w.Statistic+off
	if w.High-w.High == 0 { // no range beyond float64
		c.Tests = append(c.Tests, advisory(w))
	}
	if p, q, err := statistics.EvidentlyShares(x, y); err == nil { // the same
		c.Tests = append(c.Tests, jsTest(p, q, 2*ex, 2*ey, opt))
	}

	c.Effect = means(ref.Moments, cur.Moments)
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
	gx, gy := statistics.Regroup(x, y)
	psi := psiTest(scale(gx, 1/float64(ref.N())), scale(gy, 1/float64(cur.N())),
		ref.Categories.Error(), cur.Categories.Error(), ref.N(), cur.N(), opt)
	same := *psi.PValue
	linf.PValue = &same
	c.Tests = append(c.Tests, linf, psi, jsTest(p, q, ref.Categories.Error(), cur.Categories.Error(), opt))

	c.Moved = moved(names, p, q)
	var parts []string
	if len(c.Moved) > 0 {
		m := c.Moved[0]
		parts = append(parts, fmt.Sprintf("%s %s → %s", m.Part, percent(m.Reference), percent(m.Current)))
	}
	// A category is new where the other side's list is whole and lacks it.
	if ref.Categories.Error() == 0 {
		parts = append(parts, only("new", names[:len(names)-1], p, q)...)
	}
	if cur.Categories.Error() == 0 {
		parts = append(parts, only("gone", names[:len(names)-1], q, p)...)
	}
	c.Effect = strings.Join(parts, "; ")
}

// only names up to three categories that have a share now and had none, the
// largest first.
func only(what string, names []string, had, has []float64) []string {
	var at []int
	for i := range names {
		if had[i] == 0 && has[i] > 0 {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return nil
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(has[b], has[a]) })
	var list []string
	for _, i := range at[:min(3, len(at))] {
		list = append(list, names[i])
	}
	text := what + ": " + strings.Join(list, ", ")
	if more := len(at) - len(list); more > 0 {
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
	if ref.Constant() || sd <= 1e-9*math.Abs(ref.Mean) || math.IsInf(sd, 0) {
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

// jsTest is the Jensen-Shannon distance of shares p from q, which may each be
// off by ep and eq.
func jsTest(p, q []float64, ep, eq float64, opt Options) Test {
	low, lowQ := nearer(p, q, ep, eq)
	far, farQ := apart(p, q, ep, eq)
	return advisory(Test{Test: "js", Statistic: statistics.JensenShannon(p, q), Threshold: opt.JensenShannon,
		Low: statistics.JensenShannon(low, lowQ), High: min(statistics.JensenShannonMax, statistics.JensenShannon(far, farQ))})
}

// psiTest is the stability index of shares p against q, which may each be off
// by ep and eq, of n and m values. Its probability is chi-square's.
func psiTest(p, q []float64, ep, eq float64, n, m int64, opt Options) Test {
	low, lowQ := nearer(p, q, ep, eq)
	far, farQ := apart(p, q, ep, eq)
	t := Test{Test: "psi", Statistic: statistics.PSI(p, q, statistics.ShareFloor), Threshold: opt.PSI,
		Low: statistics.PSI(low, lowQ, statistics.ShareFloor), High: statistics.PSI(far, farQ, statistics.ShareFloor)}
	x, y := statistics.Regroup(scale(low, float64(n)), scale(lowQ, float64(m)))
	_, prob, _ := statistics.ChiSquare(x, y, true)
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
