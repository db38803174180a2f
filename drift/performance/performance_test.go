package performance

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 || math.IsNaN(a) && math.IsNaN(b) }

// draw are n labels and scores, rounded so that some are equal, of which the
// labels follow.
func draw(n int) (labels []bool, scores []float64, decisions []bool) {
	random := rand.New(rand.NewPCG(uint64(n), 0))
	for range n {
		s := math.Round(20*random.Float64()) / 20
		scores = append(scores, s)
		labels = append(labels, random.Float64() < s)
		decisions = append(decisions, s >= 0.5)
	}
	return labels, scores, decisions
}

// TestRank holds the area under the curve against the share of pairs that are
// in order.
func TestRank(t *testing.T) {
	labels, scores, decisions := draw(200)
	won, pairs := 0.0, 0.0
	for i := range labels {
		for j := range labels {
			if labels[i] && !labels[j] {
				pairs++
				switch {
				case scores[i] > scores[j]:
					won++
				case scores[i] == scores[j]:
					won += 0.5
				}
			}
		}
	}
	b := NewBinary(labels, scores, decisions)
	if !near(b.ROCAUC, won/pairs) {
		t.Errorf("area %v, want %v", b.ROCAUC, won/pairs)
	}
	if b.AveragePrecision < 0.5 || b.AveragePrecision > 1 {
		t.Errorf("average precision %v", b.AveragePrecision)
	}
}

// TestOneClass has nothing to rank.
func TestOneClass(t *testing.T) {
	b := NewBinary([]bool{true, true}, []float64{1, 0}, []bool{true, false})
	if !math.IsNaN(b.ROCAUC) || b.AveragePrecision != 1 || b.BalancedAccuracy != 0.5 || b.MCC != 0 || math.IsInf(b.LogLoss, 0) {
		t.Errorf("%+v", b)
	}
	b = NewBinary([]bool{false}, []float64{0}, []bool{false})
	if b.Precision != 0 || b.Recall != 0 || b.F1 != 0 || b.Accuracy != 1 || !math.IsNaN(b.Kappa) {
		t.Errorf("%+v", b)
	}
}

// TestTwoOfMany holds that two classes are as good by name as by number.
func TestTwoOfMany(t *testing.T) {
	labels, scores, decisions := draw(300)
	names := func(list []bool) []string {
		out := make([]string, len(list))
		for i, v := range list {
			out[i] = map[bool]string{false: "no", true: "yes"}[v]
		}
		return out
	}
	b, m := NewBinary(labels, scores, decisions), NewMulticlass(names(labels), names(decisions))
	if !near(b.Accuracy, m.Accuracy) || !near(b.MCC, m.MCC) || !near(b.Kappa, m.Kappa) || !near(b.BalancedAccuracy, m.MacroRecall) {
		t.Errorf("binary %+v, multiclass %+v", b, m)
	}
}

func TestRegression(t *testing.T) {
	for _, c := range []struct {
		labels, predictions []float64
		want                Regression
	}{
		{[]float64{1, 2, 3}, []float64{1, 2, 3}, Regression{R2: 1, ExplainedVariance: 1}},
		{[]float64{1, 2, 3}, []float64{2, 3, 4}, Regression{MSE: 1, RMSE: 1, MAE: 1, MedianAE: 1, MaxError: 1,
			MAPE: (1 + 0.5 + 1.0/3) / 3, R2: -0.5, ExplainedVariance: 1}},
		{[]float64{2, 2}, []float64{2, 4}, Regression{MSE: 2, RMSE: math.Sqrt2, MAE: 1, MedianAE: 1, MaxError: 2, MAPE: 0.5}},
		{[]float64{2}, []float64{1}, Regression{MSE: 1, RMSE: 1, MAE: 1, MedianAE: 1, MaxError: 1, MAPE: 0.5, R2: math.NaN(), ExplainedVariance: 1}},
	} {
		r := NewRegression(c.labels, c.predictions)
		if !near(r.MSE, c.want.MSE) || !near(r.RMSE, c.want.RMSE) || !near(r.MAE, c.want.MAE) || !near(r.MedianAE, c.want.MedianAE) ||
			!near(r.MaxError, c.want.MaxError) || !near(r.MAPE, c.want.MAPE) || !near(r.R2, c.want.R2) || !near(r.ExplainedVariance, c.want.ExplainedVariance) {
			t.Errorf("%v for %v: %+v, want %+v", c.predictions, c.labels, r, c.want)
		}
	}
}

// TestIsotonic never falls, keeps the mean, and cannot be bettered by moving a
// step.
func TestIsotonic(t *testing.T) {
	labels, scores, _ := draw(500)
	y := make([]float64, len(labels))
	sum := 0.0
	for i, v := range labels {
		if v {
			y[i] = 1
			sum++
		}
	}
	c := NewIsotonic(scores, y)
	fitted := 0.0
	for _, s := range scores {
		fitted += c.At(s)
	}
	if math.Abs(fitted-sum) > 1e-9 {
		t.Errorf("the curve sums up to %v, the labels to %v", fitted, sum)
	}
	before := math.Inf(-1)
	for s := -0.5; s <= 1.5; s += 0.01 {
		if v := c.At(s); v < before {
			t.Fatalf("the curve falls to %v at %v", v, s)
		} else {
			before = v
		}
	}
	if one := NewIsotonic([]float64{3}, []float64{0.7}); one.At(0) != 0.7 || one.At(9) != 0.7 {
		t.Error("one score does not make a level curve")
	}
}

// TestEstimate: where probabilities are certain, what is expected is what is.
func TestEstimate(t *testing.T) {
	labels, scores, decisions := draw(200)
	for i := range scores { // without equal scores, whose order would count
		scores[i] += float64(i) * 1e-6
	}
	certain := make([]float64, len(labels))
	for i, v := range labels {
		if v {
			certain[i] = 1
		}
	}
	e, b := Estimate(certain, scores, decisions), NewBinary(labels, scores, decisions)
	if !near(e.Accuracy, b.Accuracy) || !near(e.Precision, b.Precision) || !near(e.Recall, b.Recall) || !near(e.F1, b.F1) ||
		!near(e.ROCAUC, b.ROCAUC) || !near(e.AveragePrecision, b.AveragePrecision) {
		t.Errorf("expected %+v, is %+v", e, b)
	}
}
