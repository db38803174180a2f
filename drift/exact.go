package drift

import (
	"math"

	"github.com/anneal-ml/anneal/drift/statistics"
)

// energy is the energy distance; if the distribution functions are off by e it is
// by no more than the root of twice the range times e, as their difference is its
// norm. Its probability is that of ks.
func (n *numbers) energy() (Test, bool) {
	least, most := ends(n.ref, n.cur)
	e := math.Sqrt(2*(most-least)) * n.e
	chance, _ := n.ks()
	t := Test{Statistic: statistics.Energy(n.x, n.y), PValue: chance.PValue}
	t.Low, t.High = max(0, t.Statistic-e), t.Statistic+e
	if n.bins != nil {
		t = between(n.bins.Energy())
		t.PValue = chance.PValue
	}
	return t, isFinite(t.High)
}

// mw is Mann and Whitney's U of the reference; its effect is how much more often
// a value of one side is above one of the other (the rank-biserial correlation).
// Of sketches, its probability is that of ks.
func (n *numbers) mw() (Test, bool) {
	pairs := float64(n.ref.N()) * float64(n.cur.N())
	e := n.ex + n.ey // of a pair, whichever is the greater, both may be off
	t := Test{Statistic: statistics.MannWhitney(n.x, n.y)}
	t.Low, t.High = max(0, t.Statistic-e*pairs), min(pairs, t.Statistic+e*pairs)
	if n.bins != nil {
		t = between(n.bins.MannWhitney())
	}
	effect := max(0, 2*t.Low/pairs-1, 1-2*t.High/pairs)
	t.Effect, t.most = &effect, max(effect, math.Abs(2*t.Low/pairs-1), math.Abs(2*t.High/pairs-1))
	if !n.whole() {
		chance, _ := n.ks()
		t.PValue = chance.PValue
		return t, true
	}
	p := statistics.MannWhitneyLimit(n.x, n.y, statistics.TwoSided, true)
	t.PValue = &p
	return t, isFinite(p)
}

// cvm is Cramér and von Mises' test; its effect is the root of the mean square of
// what the distribution functions differ by.
func (n *numbers) cvm() (Test, bool) {
	a, b := n.ref.N(), n.cur.N()
	size := float64(a) * float64(b) / float64(a+b)
	if n.bins != nil {
		t := between(n.bins.Cramer())
		p := statistics.CramerLimit(t.Low, a, b)
		effect := math.Sqrt(max(0, t.Low) / size)
		t.PValue, t.Effect, t.most = &p, &effect, math.Sqrt(max(0, t.High)/size)
		return t, isFinite(t.High) && isFinite(p)
	}
	if len(statistics.Pool(n.x, n.y)) < 2 {
		return Test{}, false
	}
	t := exactly(statistics.Cramer(n.x, n.y), statistics.CramerLimit(statistics.Cramer(n.x, n.y), a, b))
	effect := math.Sqrt(max(0, t.Statistic) / size)
	t.Effect = &effect
	return t, isFinite(t.Statistic) && isFinite(*t.PValue)
}

// ad is the test of Anderson and Darling, as SciPy has it. Its effect, like that
// of es, is the statistic of ks, as its own has no scale.
func (n *numbers) ad() (Test, bool) {
	if n.bins != nil {
		t := between(n.bins.Anderson())
		p, _ := statistics.AndersonProbability(t.Low)
		t.PValue = &p
		return n.byKS(t)
	}
	if all := statistics.Pool(n.x, n.y); len(all) < 2 {
		return Test{}, false
	}
	a2 := statistics.Anderson(n.x, n.y, true)
	p, _ := statistics.AndersonProbability(a2)
	return n.byKS(exactly(a2, p))
}

// es is the test of Epps and Singleton.
func (n *numbers) es() (Test, bool) {
	statistic, p, err := statistics.EppsSingleton(n.x, n.y)
	if err != nil {
		return Test{}, false
	}
	return n.byKS(exactly(statistic, p))
}

func (n *numbers) byKS(t Test) (Test, bool) {
	ks, _ := n.ks()
	t.Effect, t.most = &ks.Low, ks.High
	return t, isFinite(t.High) && isFinite(*t.PValue)
}

func exactly(statistic, p float64) Test {
	return Test{Statistic: statistic, Low: statistic, High: statistic, PValue: &p}
}
