package statistics

import (
	"math"
	"testing"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// TestKSMethodsAgree checks the three ways to a probability against each other
// where they should meet, and that each falls as the statistic rises.
func TestKSMethodsAgree(t *testing.T) {
	for _, n := range []int64{50, 140, 300, 1000} {
		before := 1.1
		for _, d := range []float64{0.005, 0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.6, 0.9, 0.99} {
			exact, finite, limit := KSExact(d, n, n, TwoSided), KSFinite(d, n, n, TwoSided), KSLimit(d, n, n)
			if tol := 0.2/math.Sqrt(float64(n)) + 0.05; math.Abs(exact-finite) > 2*tol || math.Abs(finite-limit) > tol {
				t.Errorf("n %d, d %v: exact %.4g, finite %.4g, limit %.4g", n, d, exact, finite, limit)
			}
			if finite > before+1e-9 {
				t.Errorf("n %d, d %v: the probability rises to %v from %v", n, d, finite, before)
			}
			before = finite
		}
	}
}

// TestOneSample holds values that can be worked out by hand: one value, and
// two.
func TestOneSample(t *testing.T) {
	for _, c := range []struct {
		n       int
		d, want float64
	}{
		{1, 0.5, 1}, {1, 0.75, 0.5}, {1, 1, 0}, {2, 0.25, 1}, {2, 0.5, 0.5}, {2, 0.75, 0.125}, {2, 0.25 + 0.125, 0.875},
	} {
		if got := oneSampleKS(c.n, c.d); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("n %d, d %v: %v, want %v", c.n, c.d, got, c.want)
		}
	}
}

func TestEmptySamples(t *testing.T) {
	one := Points([]float64{1, math.NaN(), math.Inf(1)})
	if len(one) != 1 || KS(nil, one, TwoSided) != 0 || KSProbability(0, 0, 5) != 1 || KSLimit(0, 0, 5) != 1 || KSFinite(0, 0, 5, TwoSided) != 1 {
		t.Error("an empty sample differs from another")
	}
	if QuantileEdges(nil, 10) != nil || Shares(nil, nil)[0] != 0 || Quantiles(nil, []float64{0.5})[0] != 0 {
		t.Error("an empty sample has quantiles")
	}
	if ProportionP(0, 0, 5, 5) != 1 || ProportionP(3, 3, 5, 5) != 1 || ProportionP(0, 3, 0, 5) != 1 {
		t.Error("proportions of nothing, all or none differ")
	}
	if _, p, _ := ChiSquare([]float64{5}, []float64{9}, true); p != 1 {
		t.Errorf("one category: p %v, want 1", p)
	}
	if _, p, _ := ChiSquare([]float64{5, 5}, []float64{0, 0}, true); p != 1 {
		t.Errorf("against nothing: p %v, want 1", p)
	}
	if len(BenjaminiHochberg.Adjust(nil)) != 0 {
		t.Error("of no tests, some are adjusted")
	}
}

func TestRegroup(t *testing.T) {
	for _, c := range []struct{ x, y, gx, gy []float64 }{
		{[]float64{50, 50}, []float64{40, 60}, []float64{50, 50}, []float64{60, 40}},
		{[]float64{90, 5, 4, 90}, []float64{90, 4, 5, 90}, []float64{90, 90, 9}, []float64{90, 90, 9}},
		{[]float64{90, 2, 90}, []float64{90, 1, 90}, []float64{90, 92}, []float64{90, 91}},
		{[]float64{1, 1, 1}, []float64{1, 1, 1}, []float64{3}, []float64{3}},
	} {
		gx, gy := Regroup(c.x, c.y)
		if !equal(gx, c.gx) || !equal(gy, c.gy) {
			t.Errorf("%v, %v: regrouped to %v, %v; want %v, %v", c.x, c.y, gx, gy, c.gx, c.gy)
		}
	}
}

func equal(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// FuzzKS checks that no two samples give a statistic or a probability outside
// its range.
func FuzzKS(f *testing.F) {
	f.Add(int64(3), 1.5, int64(2), 2.5, int64(4))
	f.Fuzz(func(t *testing.T, a int64, v float64, b int64, w float64, c int64) {
		if v-v != 0 || w-w != 0 || v >= w {
			return
		}
		weight := func(n int64) int64 { return 1 + (n&0x7fffffff)%300 }
		x := []sketch.Point{{Value: v, Weight: weight(a)}, {Value: w, Weight: weight(b)}}
		y := []sketch.Point{{Value: w, Weight: weight(c)}}
		d := KS(x, y, TwoSided)
		n, m := x[0].Weight+x[1].Weight, y[0].Weight
		for _, p := range []float64{d, KSExact(d, n, m, TwoSided), KSFinite(d, n, m, TwoSided), KSLimit(d, n, m), KSProbability(d, n, m)} {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("%v: statistic %v, probability %v", x, d, p)
			}
		}
		if psi := PSI(Shares(x, []float64{v}), Shares(y, []float64{v}), ShareFloor); !(psi >= 0) || math.IsInf(psi, 0) {
			t.Fatalf("psi %v", psi)
		}
	})
}
