package performance

import (
	"math"
	"math/rand/v2"
	"testing"
)

// forecasts are rows of three classes: scores by class, the class that each row is,
// with the probabilities that the scores say, and the class with the highest score.
func forecasts(seed uint64, n int) (scores [][]float64, labels, decisions []int) {
	r := rand.New(rand.NewPCG(seed, 0))
	scores = make([][]float64, 3)
	for range n {
		var row [3]float64
		sum, best := 0.0, 0
		for c := range row {
			row[c] = r.ExpFloat64() + 0.05
			sum += row[c]
			if row[c] > row[best] {
				best = c
			}
		}
		u, label := r.Float64()*sum, 0
		for ; label < 2 && u >= row[label]; label++ {
			u -= row[label]
		}
		for c := range row {
			scores[c] = append(scores[c], row[c]/sum)
		}
		labels, decisions = append(labels, label), append(decisions, best)
	}
	return scores, labels, decisions
}

// TestEstimateClasses holds the estimate against its definition, worked out over
// every way in which the labels of a few rows can fall.
func TestEstimateClasses(t *testing.T) {
	scores, _, decisions := forecasts(1, 7)
	got := EstimateClasses(scores, decisions) // probabilities as they are
	want := [3][3]float64{}
	accuracy := 0.0
	for way := range 3 * 3 * 3 * 3 * 3 * 3 * 3 {
		p, right, rest := 1.0, 0.0, way
		labels := make([]int, 7)
		for i := range labels {
			labels[i] = rest % 3
			rest /= 3
			p *= scores[labels[i]][i]
			if labels[i] == decisions[i] {
				right++
			}
		}
		accuracy += p * right / 7
		for i, label := range labels {
			want[label][decisions[i]] += p
		}
	}
	for i := range want {
		for j := range want {
			if math.Abs(got[i][j]-want[i][j]) > 1e-12 {
				t.Errorf("label %d decided as %d: %v times, want %v", i, j, got[i][j], want[i][j])
			}
		}
	}
	if m := NewMulticlassOf(got); math.Abs(m.Accuracy-accuracy) > 1e-12 {
		t.Errorf("accuracy %v, want %v", m.Accuracy, accuracy)
	}
}

// TestCalibrate: scores that say what is so stay what they are, others are brought
// there, and then the estimate is what comes true.
func TestCalibrate(t *testing.T) {
	scores, labels, _ := forecasts(2, 60_000)
	wrong := func(scores [][]float64) [][]float64 { // order is kept, what they say is not
		list := make([][]float64, len(scores))
		for c := range scores {
			for _, s := range scores[c] {
				list[c] = append(list[c], s*s/2)
			}
		}
		return list
	}
	c := Calibrate(wrong(scores), labels)
	later, truth, decisions := forecasts(3, 20_000)
	p := c.Of(wrong(later))
	for i := range truth {
		if sum := p[0][i] + p[1][i] + p[2][i]; math.Abs(sum-1) > 1e-12 {
			t.Fatalf("the probabilities of a row add up to %v", sum)
		}
	}
	counted := make([][]float64, 3)
	for i := range counted {
		counted[i] = make([]float64, 3)
	}
	for i := range truth {
		counted[truth[i]][decisions[i]]++
	}
	e, m := NewMulticlassOf(EstimateClasses(p, decisions)), NewMulticlassOf(counted)
	for name, v := range map[string][2]float64{
		"accuracy": {e.Accuracy, m.Accuracy}, "macro F1": {e.MacroF1, m.MacroF1}, "macro precision": {e.MacroPrecision, m.MacroPrecision},
		"macro recall": {e.MacroRecall, m.MacroRecall}, "AUC": {EstimateAUC(p, wrong(later)), OneVersusRest(truth, later).Value},
	} {
		if math.Abs(v[0]-v[1]) > 0.012 { // three standard errors of 20,000 rows
			t.Errorf("%s estimated %.4f, was %.4f", name, v[0], v[1])
		}
	}
	if p := (Calibration{NewIsotonic([]float64{0, 1}, []float64{0, 0}), NewIsotonic([]float64{0, 1}, []float64{0, 0})}).Of([][]float64{{0.5}, {0.5}}); p[0][0] != 0.5 || p[1][0] != 0.5 {
		t.Errorf("where no class is possible the probabilities are %v, want a half each", p)
	}
}

// TestEstimateAUC holds the expected area against the one of its definition: over
// all pairs of rows, how often the first is of the class and the second is not, and
// how often the first has the higher score then. A row is held against itself too.
func TestEstimateAUC(t *testing.T) {
	scores, _, _ := forecasts(4, 40)
	want := 0.0
	for c := range scores {
		var won, pairs float64
		for i, p := range scores[c] {
			for j, q := range scores[c] {
				pairs += p * (1 - q)
				switch {
				case i == j:
					won += p * (1 - q) / 2
				case p > q:
					won += p * (1 - q)
				}
			}
		}
		want += won / pairs / 3
	}
	if got := EstimateAUC(scores, scores); math.Abs(got-want) > 1e-12 {
		t.Errorf("expected area %v, want %v", got, want)
	}
	sure := [][]float64{{1, 1}, {0, 0}}
	if got := EstimateAUC(sure, sure); got == got {
		t.Errorf("where one class is certain the area is %v, want NaN", got)
	}
}

// TestOneVersusRest: of two classes it is AUC itself; of three the truth, that of
// very many rows, is in about 95 of 100 intervals.
func TestOneVersusRest(t *testing.T) {
	scores, labels, _ := forecasts(5, 300)
	two, is, mirrored := make([]int, 300), make([]bool, 300), make([]float64, 300)
	for i, label := range labels {
		two[i] = min(1, label)
		is[i] = two[i] == 1
		mirrored[i] = 1 - scores[0][i]
	}
	got, want := OneVersusRest(two, [][]float64{scores[0], mirrored}), AUC(is, mirrored)
	if math.Abs(got.Value-want.Value) > 1e-12 || math.Abs(got.Error-want.Error) > 1e-12 {
		t.Errorf("of two classes %+v, want %+v", got, want)
	}
	if alone := OneVersusRest(make([]int, 300), scores); alone.Value == alone.Value {
		t.Errorf("of one class %+v, want NaN", alone)
	}

	scores, labels, _ = forecasts(6, 200_000)
	truth, inside := OneVersusRest(labels, scores).Value, 0
	for seed := range uint64(400) {
		s, l, _ := forecasts(100+seed, 300)
		if i := OneVersusRest(l, s); i.Low <= truth && truth <= i.High {
			inside++
		}
	}
	if inside < 365 || inside > 393 { // 380, within three standard deviations
		t.Errorf("the truth is in %d of 400 intervals, want about 380", inside)
	}
}
