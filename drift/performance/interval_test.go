package performance

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestIntervals: the truth, a metric of very many rows, is inside about 95 of
// 100 intervals, and the value is that of the plain metric.
func TestIntervals(t *testing.T) {
	matrixOf := func(labels, decisions []bool) [][]float64 {
		m := [][]float64{{0, 0}, {0, 0}}
		for i := range labels {
			a, b := 0, 0
			if labels[i] {
				a = 1
			}
			if decisions[i] {
				b = 1
			}
			m[a][b]++
		}
		return m
	}
	losses := func(labels []bool, scores []float64) []float64 {
		var l []float64
		for i, s := range scores {
			if labels[i] {
				s = 1 - s
			}
			l = append(l, s*s)
		}
		return l
	}
	names := func(list []bool) []string {
		out := make([]string, len(list))
		for i, v := range list {
			out[i] = map[bool]string{false: "0", true: "1"}[v]
		}
		return out
	}
	for _, c := range []struct {
		name     string
		interval func(labels []bool, scores []float64, decisions []bool) Interval
		plain    func(labels []bool, scores []float64, decisions []bool) float64
	}{
		{"auc", func(l []bool, s []float64, _ []bool) Interval { return AUC(l, s) },
			func(l []bool, s []float64, d []bool) float64 { return NewBinary(l, s, d).ROCAUC }},
		{"binary f1", func(l []bool, _ []float64, d []bool) Interval { return F1(matrixOf(l, d), OneClass) },
			func(l []bool, s []float64, d []bool) float64 { return NewBinary(l, s, d).F1 }},
		{"macro f1", func(l []bool, _ []float64, d []bool) Interval { return F1(matrixOf(l, d), Macro) },
			func(l []bool, _ []float64, d []bool) float64 { return NewMulticlass(names(l), names(d)).MacroF1 }},
		{"weighted f1", func(l []bool, _ []float64, d []bool) Interval { return F1(matrixOf(l, d), Weighted) },
			func(l []bool, _ []float64, d []bool) float64 { return NewMulticlass(names(l), names(d)).WeightedF1 }},
		{"mean", func(l []bool, s []float64, _ []bool) Interval { return Mean(losses(l, s)) },
			func(l []bool, s []float64, d []bool) float64 { return NewBinary(l, s, d).Brier }},
		{"rmse", func(l []bool, s []float64, _ []bool) Interval { return RMSE(losses(l, s)) },
			func(l []bool, s []float64, d []bool) float64 { return math.Sqrt(NewBinary(l, s, d).Brier) }},
		{"average precision", func(l []bool, s []float64, _ []bool) Interval { return AveragePrecision(l, s) },
			func(l []bool, s []float64, d []bool) float64 { return NewBinary(l, s, d).AveragePrecision }},
		{"balanced accuracy", func(l []bool, _ []float64, d []bool) Interval { return BalancedAccuracy(matrixOf(l, d)) },
			func(l []bool, s []float64, d []bool) float64 { return NewBinary(l, s, d).BalancedAccuracy }},
		{"r2", func(l []bool, s []float64, _ []bool) Interval { return R2(zeroOne(l), s) },
			func(l []bool, s []float64, _ []bool) float64 { return NewRegression(zeroOne(l), s).R2 }},
	} {
		truth := 0.0
		inside, width := 0, 0.0
		const times = 200
		sample := func(seed uint64, n int) (labels []bool, scores []float64, decisions []bool) {
			random := rand.New(rand.NewPCG(seed, 5))
			for range n {
				s := math.Round(20*random.Float64()*random.Float64()) / 20
				scores = append(scores, s)
				labels = append(labels, random.Float64() < 0.1+0.8*s)
				decisions = append(decisions, s >= 0.4)
			}
			return labels, scores, decisions
		}
		l, s, d := sample(0, 200_000)
		truth = c.plain(l, s, d)
		for seed := range uint64(times) {
			l, s, d := sample(seed+1, 300)
			i := c.interval(l, s, d)
			if want := c.plain(l, s, d); math.Abs(i.Value-want) > 1e-12 {
				t.Fatalf("%s: %v, want %v", c.name, i.Value, want)
			}
			if i.Low <= truth && truth <= i.High {
				inside++
			}
			width += (i.High - i.Low) / times
		}
		if inside < times*92/100 || inside > times*98/100 {
			t.Errorf("%s: %d of %d intervals hold the truth, want about 95 %%", c.name, inside, times)
		}
		most := 0.2
		if c.name == "average precision" || c.name == "r2" {
			most = 0.25 // of 300 rows these tell less
		}
		if width > most {
			t.Errorf("%s: intervals are %.2f wide on average", c.name, width)
		}
	}
}

func zeroOne(list []bool) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		if v {
			out[i] = 1
		}
	}
	return out
}

// TestRanking has lists by hand. Of equal scores the places are shared.
func TestRanking(t *testing.T) {
	log3 := math.Log2(3)
	for _, c := range []struct {
		relevance, scores []float64
		k                 int
		ndcg, precision   float64
	}{
		{[]float64{3, 2, 0}, []float64{9, 8, 7}, 3, 1, 2.0 / 3},
		{[]float64{0, 0, 1}, []float64{9, 8, 7}, 3, 0.5, 1.0 / 3},
		{[]float64{0, 0, 1}, []float64{9, 8, 7}, 2, 0, 0},
		{[]float64{0, 1}, []float64{5, 5}, 2, (1 + 1/log3) / 2, 0.5},
		{[]float64{0, 1}, []float64{5, 5}, 1, 0.5, 0.5},
		{[]float64{1, 2}, []float64{2, 1}, 2, (1 + 2/log3) / (2 + 1/log3), 1},
		{[]float64{1}, []float64{2}, 10, 1, 1},
		{[]float64{0, 0}, []float64{2, 1}, 2, math.NaN(), 0},
	} {
		if got := NDCG(c.relevance, c.scores, c.k); !near(got, c.ndcg) {
			t.Errorf("NDCG of %v by %v at %d: %v, want %v", c.relevance, c.scores, c.k, got, c.ndcg)
		}
		if got := PrecisionAt(c.relevance, c.scores, c.k); !near(got, c.precision) {
			t.Errorf("precision of %v by %v at %d: %v, want %v", c.relevance, c.scores, c.k, got, c.precision)
		}
	}
}

// TestThinIntervals: what little data cannot say.
func TestThinIntervals(t *testing.T) {
	if i := AUC([]bool{true, true}, []float64{0.2, 0.9}); !math.IsNaN(i.Value) {
		t.Errorf("the area with one class is %v, want none", i.Value)
	}
	if i := AUC([]bool{true, false}, []float64{0.9, 0.2}); i != (Interval{Value: 1, High: 1}) {
		t.Errorf("the area of one pair is %v, want 1 in 0 to 1", i)
	}
	if i := Mean([]float64{3}); i.Value != 3 || i.Low != 0 || !math.IsInf(i.High, 1) {
		t.Errorf("the mean of one is %v, want 3 with no bounds", i)
	}
	if i := F1([][]float64{{5, 0}, {0, 0}}, OneClass); i.Value != 0 {
		t.Errorf("F1 of a class that is nowhere is %v, want 0", i)
	}
}
