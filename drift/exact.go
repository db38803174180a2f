package drift

import (
	"context"
	"io"
	"math"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/sketch"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// An Exact is what the values of a column themselves say, where sketches leave a
// verdict open.
type Exact struct{ column Column }

// points are the values of a column on both sides.
type points struct{ x, y []sketch.Point }

// Undecided names the columns of numbers whose verdict their sketches leave open:
// a test's interval holds the threshold, and nothing else made drift of the
// column; or a chosen test needs the values. With all, it is every column that
// sketches stand for.
func Undecided(c Comparison, reference, current *profile.Profile, opt Options, all bool) []string {
	opt = opt.withDefaults()
	var names []string
	for i := range c.Columns {
		col := &c.Columns[i]
		ref, cur := reference.Column(col.Name), current.Column(col.Name)
		if ref == nil || cur == nil || ref.Type != dataset.Numeric || cur.Type != dataset.Numeric ||
			ref.Quantiles.Error()+cur.Quantiles.Error() == 0 || col.Type != dataset.Numeric {
			continue
		}
		open := all
		for _, p := range opt.plan(func(k kind) role { return k.numbers }) {
			open = open || p.exact
		}
		for _, t := range col.Tests {
			low, high := t.Low, t.High
			if t.Effect != nil && t.High > 0 { // of the statistic, on the scale of the threshold
				low, high = *t.Effect, *t.Effect
			}
			open = open || !t.Advisory && t.Test != "missing" && col.Verdict != Drift && low < t.Threshold && t.Threshold <= high
		}
		if open {
			names = append(names, col.Name)
		}
	}
	return names
}

// ReadValues adds the finite values of some columns of an object to those read
// before. The columns should be given in opt as the profiles were read.
func ReadValues(ctx context.Context, r io.Reader, name string, opt dataset.Options, into map[string][]float64) error {
	d, err := dataset.Open(r, name, opt)
	if err != nil {
		return err
	}
	for {
		batch, err := d.Read()
		if err == nil {
			err = ctx.Err()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for i, column := range d.Names() {
			values, wanted := into[column]
			if !wanted || batch.Columns[i].Type != dataset.Numeric {
				continue
			}
			for _, v := range batch.Columns[i].Numbers {
				if v == v && !math.IsInf(v, 0) {
					values = append(values, v)
				}
			}
			into[column] = values
		}
	}
}

// NewExact compares a column by its values on both sides. It keeps none of them.
func NewExact(name string, reference, current *profile.Profile, values, currentValues []float64, opt Options) Exact {
	opt = opt.withDefaults()
	opt.points = map[string]points{name: {statistics.Points(values), statistics.Points(currentValues)}}
	return Exact{compareColumn(reference.Column(name), current.Column(name), reference.Counts.Rows, current.Counts.Rows, opt)}
}

// energy is the energy distance; if the distribution functions are off by e it is
// by no more than the root of twice the range times e, as their difference is its
// norm. Its probability is that of ks.
func (n *numbers) energy() (Test, bool) {
	e := math.Sqrt(2*(max(n.ref.Moments.Max, n.cur.Moments.Max)-min(n.ref.Moments.Min, n.cur.Moments.Min))) * (n.ex + n.ey)
	chance, _ := n.ks()
	t := Test{Statistic: statistics.Energy(n.x, n.y), PValue: chance.PValue}
	t.Low, t.High = max(0, t.Statistic-e), t.Statistic+e
	return t, isFinite(t.High)
}

// mw is Mann and Whitney's U of the reference; its effect is how much more often
// a value of one side is above one of the other (the rank-biserial correlation).
// Of sketches, its probability is that of ks.
func (n *numbers) mw() (Test, bool) {
	pairs := float64(n.ref.N()) * float64(n.cur.N())
	e := n.ex + n.ey
	t := Test{Statistic: statistics.MannWhitney(n.x, n.y)}
	t.Low, t.High = max(0, t.Statistic-e*pairs), min(pairs, t.Statistic+e*pairs)
	effect := max(0, math.Abs(2*t.Statistic/pairs-1)-2*e)
	t.Effect = &effect
	if e > 0 {
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
	if len(statistics.Pool(n.x, n.y)) < 2 {
		return Test{}, false
	}
	t := exactly(statistics.Cramer(n.x, n.y), statistics.CramerLimit(statistics.Cramer(n.x, n.y), a, b))
	effect := math.Sqrt(max(0, t.Statistic) / (float64(a) * float64(b) / float64(a+b)))
	t.Effect = &effect
	return t, isFinite(t.Statistic) && isFinite(*t.PValue)
}

// ad is the test of Anderson and Darling, as SciPy has it. Its effect, like that
// of es, is the statistic of ks, as its own has no scale.
func (n *numbers) ad() (Test, bool) {
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
	t.Effect = &ks.Statistic
	return t, isFinite(t.Statistic) && isFinite(*t.PValue)
}

func exactly(statistic, p float64) Test {
	return Test{Statistic: statistic, Low: statistic, High: statistic, PValue: &p}
}
