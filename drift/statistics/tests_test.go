package statistics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// splits gives every way to part the pooled values into n and the rest.
func splits(pool []float64, n int, yield func(x, y []float64)) {
	for set := range 1 << len(pool) {
		var x, y []float64
		for i, v := range pool {
			if set>>i&1 == 1 {
				x = append(x, v)
			} else {
				y = append(y, v)
			}
		}
		if len(x) == n {
			yield(x, y)
		}
	}
}

// TestExactLaws counts, over all splits of a pool without ties, how many are as
// extreme as each, and holds the exact probabilities against that.
func TestExactLaws(t *testing.T) {
	pool := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}
	tests := map[string]struct {
		statistic func(x, y []sketch.Point) float64
		p         func(x, y []sketch.Point) float64
	}{
		"Cramér-von Mises": {Cramer, CramerExact},
		"Mann-Whitney, greater": {MannWhitney,
			func(x, y []sketch.Point) float64 { return MannWhitneyExact(MannWhitney(x, y), N(x), N(y), Greater) }},
		"Mann-Whitney, less": {func(x, y []sketch.Point) float64 { return -MannWhitney(x, y) },
			func(x, y []sketch.Point) float64 { return MannWhitneyExact(MannWhitney(x, y), N(x), N(y), Less) }},
		"Mann-Whitney, two-sided": {func(x, y []sketch.Point) float64 { return math.Abs(MannWhitney(x, y) - float64(N(x)*N(y))/2) },
			func(x, y []sketch.Point) float64 { return MannWhitneyExact(MannWhitney(x, y), N(x), N(y), TwoSided) }},
		"Kolmogorov-Smirnov": {func(x, y []sketch.Point) float64 { return KS(x, y, TwoSided) },
			func(x, y []sketch.Point) float64 { return KSExact(KS(x, y, TwoSided), N(x), N(y), TwoSided) }},
	}
	for name, test := range tests {
		for _, n := range []int{1, 3, 4, 6} {
			var statistics, ps []float64
			splits(pool, n, func(x, y []float64) {
				statistics = append(statistics, test.statistic(Points(x), Points(y)))
				ps = append(ps, test.p(Points(x), Points(y)))
			})
			for i, s := range statistics {
				reached := 0
				for _, other := range statistics {
					if other >= s-1e-9 {
						reached++
					}
				}
				if want := float64(reached) / float64(len(statistics)); math.Abs(ps[i]-want) > 1e-12 {
					t.Fatalf("%s, %d of %d, statistic %v: p %v, want %v", name, n, len(pool), s, ps[i], want)
				}
			}
		}
	}
}

// TestDistances holds distances against their other definitions.
func TestDistances(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	for range 50 {
		x, y := make([]float64, 40), make([]float64, 40)
		for i := range x {
			x[i], y[i] = math.Round(8*random.NormFloat64()), math.Round(6*random.NormFloat64()+2)
		}
		px, py := Points(x), Points(y)
		slices.Sort(x)
		slices.Sort(y)
		var moved, across, inX, inY float64
		for i := range x {
			moved += math.Abs(x[i]-y[i]) / 40
			for j := range x {
				across += math.Abs(x[i]-y[j]) / 1600
				inX += math.Abs(x[i]-x[j]) / 1600
				inY += math.Abs(y[i]-y[j]) / 1600
			}
		}
		if got := Wasserstein(px, py); math.Abs(got-moved) > 1e-12 {
			t.Errorf("Wasserstein %v, want the mean move %v", got, moved)
		}
		if got, want := Energy(px, py), math.Sqrt(2*across-inX-inY); math.Abs(got-want) > 1e-12 {
			t.Errorf("energy %v, want %v", got, want)
		}
		if got := MannWhitney(px, py) + MannWhitney(py, px); got != 1600 {
			t.Errorf("U of both sides is %v, want all pairs", got)
		}
		limit, limitBack := MannWhitneyLimit(px, py, Less, true), MannWhitneyLimit(py, px, Greater, true)
		if limit != limitBack {
			t.Errorf("the sides turned round: p %v and %v", limit, limitBack)
		}
	}
}

func TestWithoutValues(t *testing.T) {
	some := Points([]float64{1, 2})
	for name, got := range map[string]float64{
		"Wasserstein": Wasserstein(nil, some), "Energy": Energy(some, nil), "Mean": Mean(nil), "StdDev": StdDev(nil),
		"Anderson": Anderson(nil, some, true), "Anderson of constants": Anderson(Points([]float64{1, 1}), Points([]float64{1, 1}), true),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s is %v, want NaN", name, got)
		}
	}
	if edges, err := Sturges.Edges(nil); err != nil || !equal(edges, []float64{0, 1}) {
		t.Errorf("edges of nothing: %v, %v", edges, err)
	}
	if _, err := Scott.Edges(Points([]float64{-1e308, 1e308})); err == nil {
		t.Error("there are bins over more than float64's range")
	}
	if _, err := FreedmanDiaconis.Edges(Points([]float64{0, 1, 1, 1, 2, 2, 2, 1e300})); err == nil {
		t.Error("there are 1e300 bins")
	}
}

func TestHistogram(t *testing.T) {
	x := Points([]float64{-1, 0, 0, 1, 1.5, 2, 3})
	if got := Histogram(x, []float64{0, 1, 2}); !equal(got, []float64{2, 3}) {
		t.Errorf("counts %v, want 2 in [0,1) and 3 in [1,2]", got)
	}
}

func TestEvidentlyFill(t *testing.T) {
	for _, c := range []struct{ shares, want []float64 }{
		{[]float64{0.5, 0.5}, []float64{0.5, 0.5}},
		{[]float64{0, 1}, []float64{0.0001, 1}},
		{[]float64{0, 0.0001, 0.9999}, []float64{1e-10, 0.0001, 0.9999}},
	} {
		if got := EvidentlyFill(c.shares); !equal(got, c.want) {
			t.Errorf("%v is filled to %v, want %v", c.shares, got, c.want)
		}
	}
}

// TestShares: what NannyML's bins of the reference do not hold is a bin more.
func TestNannyMLShares(t *testing.T) {
	p, q, err := NannyMLShares(Points([]float64{1, 2}), Points([]float64{0, 1, 2, 9}))
	if err != nil || p[len(p)-1] != 0 || q[len(q)-1] != 0.5 {
		t.Errorf("shares %v and %v (%v), want a last bin of 0 and a half", p, q, err)
	}
	if p, q := NannyMLCategories([]float64{3, 0, 1}, []float64{1, 2, 1}); !equal(p, []float64{0.75, 0.25, 0}) || !equal(q, []float64{0.25, 0.25, 0.5}) {
		t.Errorf("shares %v and %v", p, q)
	}
}

// TestPower holds that a size found has the power asked for, and an effect too.
func TestPower(t *testing.T) {
	if h := CohenH(1, 0); math.Abs(h-math.Pi) > 1e-15 {
		t.Errorf("h of all against none is %v, want π", h)
	}
	if n := ProportionRows(0, 0.05, 0.8); !math.IsInf(n, 1) {
		t.Errorf("%v rows find nothing", n)
	}
	// For many rows the t test is the z test.
	n := ProportionRows(0.05, 0.05, 0.8)
	if d := LeastEffect(n, 1, 0.05, 0.8); math.Abs(d-0.05) > 1e-4 {
		t.Errorf("%v rows find d %v, want 0.05", n, d)
	}
}

// TestMMD computes the statistic by its definition, and the probability of one
// law and of two.
func TestMMD(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 0))
	rows := func(n int, shift float64) [][]float64 {
		list := make([][]float64, n)
		for i := range list {
			list[i] = []float64{random.NormFloat64() + shift, random.NormFloat64()}
		}
		return list
	}
	x, y, far := rows(20, 0), rows(15, 0), rows(15, 3)
	k := func(a, b []float64) float64 { return math.Exp(-squaredDistance(a, b) / 2) }
	want := 0.0
	for i, a := range x {
		for j, b := range x {
			if i != j {
				want += k(a, b) / (20 * 19)
			}
		}
		for _, b := range y {
			want -= 2 * k(a, b) / (20 * 15)
		}
	}
	for i, a := range y {
		for j, b := range y {
			if i != j {
				want += k(a, b) / (15 * 14)
			}
		}
	}
	same := NewMMD(x, y, 1)
	if math.Abs(same.Squared-want) > 1e-12 {
		t.Errorf("MMD² %v, want %v", same.Squared, want)
	}
	p := same.PValue(500, 1)
	if p < 0.05 || p != same.PValue(500, 1) {
		t.Errorf("one law: p %v, and then %v", p, same.PValue(500, 1))
	}
	if p := NewMMD(x, far, MedianSigma(x, far)).PValue(500, 1); p > 0.01 {
		t.Errorf("two laws: p %v", p)
	}
}

// TestPCA reconstructs rows of a plane without error, and others not.
func TestPCA(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 0))
	plane := make([][]float64, 50)
	for i := range plane {
		a, b := random.NormFloat64(), random.NormFloat64()
		plane[i] = []float64{a, b, a + b, 7}
	}
	p, err := NewPCA(plane, 0.999)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Ratios) != 2 || p.Error(plane) > 1e-12 {
		t.Errorf("%d components with error %v, want 2 without", len(p.Ratios), p.Error(plane))
	}
	if off := p.Error([][]float64{{0, 0, 3, 7}}); off < 1 {
		t.Errorf("a row off the plane has error %v", off)
	}
	if _, err := NewPCA([][]float64{{1, 2}, {1, 2}}, 0.65); err == nil {
		t.Error("a constant has components")
	}
}

// TestWelchAtAnyScale: the unit of the values is no matter, however large or small.
func TestWelchAtAnyScale(t *testing.T) {
	x, y := []float64{1, 2, 4, 4, 7}, []float64{3, 8, 9}
	statistic, p, freedom := TTest(Points(x), Points(y), false)
	for _, unit := range []float64{1e-120, 1e-90, 1e90, 1e120} {
		scaled := func(values []float64) []sketch.Point {
			values = slices.Clone(values)
			for i := range values {
				values[i] *= unit
			}
			return Points(values)
		}
		s, q, f := TTest(scaled(x), scaled(y), false)
		if math.Abs(s/statistic-1) > 1e-12 || math.Abs(q/p-1) > 1e-12 || math.Abs(f/freedom-1) > 1e-12 {
			t.Errorf("in units of %g: %v, p %v, %v degrees of freedom; want %v, %v, %v", unit, s, q, f, statistic, p, freedom)
		}
	}
}

// TestEppsSingleton: one law seldom differs, another does, and constants cannot.
func TestEppsSingleton(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 0))
	normal := func(n int, sd float64) []sketch.Point {
		values := make([]float64, n)
		for i := range values {
			values[i] = sd * random.NormFloat64()
		}
		return Points(values)
	}
	alarms := 0
	for range 200 {
		if _, p, err := EppsSingleton(normal(80, 1), normal(60, 1)); err != nil || p < 0.05 {
			alarms++
		}
	}
	if alarms > 25 {
		t.Errorf("%d alarms of 200 at a level of 5 %%", alarms)
	}
	if _, p, err := EppsSingleton(normal(80, 1), normal(60, 3)); err != nil || p > 0.001 {
		t.Errorf("three times the spread: p %v, %v", p, err)
	}
	if w, p, err := EppsSingleton(Points(make([]float64, 6)), Points([]float64{1, 1, 1, 1, 1, 1})); err != nil || w != 0 || !math.IsNaN(p) {
		t.Errorf("two constants: %v, p %v, %v; want 0, NaN", w, p, err)
	}
}
