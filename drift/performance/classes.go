package performance

import "math"

// A Calibration turns the scores of several classes into probabilities: the
// isotonic curve of each class against all others, and then what a row has of each
// over their sum (Zadrozny and Elkan, KDD 2002; NannyML 0.13).
type Calibration []*Isotonic

// Calibrate fits one to scores, by class and then by row, and the class that each
// row was.
func Calibrate(scores [][]float64, labels []int) Calibration {
	c := make(Calibration, len(scores))
	one := make([]float64, len(labels))
	for class := range scores {
		for i, label := range labels {
			one[i] = 0
			if label == class {
				one[i] = 1
			}
		}
		c[class] = NewIsotonic(scores[class], one)
	}
	return c
}

// Of are the probabilities of other rows, in the form of their scores. Where no
// class is possible, all are alike.
func (c Calibration) Of(scores [][]float64) [][]float64 {
	p := make([][]float64, len(scores))
	sums := make([]float64, len(scores[0]))
	for class := range scores {
		p[class] = make([]float64, len(scores[class]))
		for i, s := range scores[class] {
			p[class][i] = c[class].At(s)
			sums[i] += p[class][i]
		}
	}
	for class := range p {
		for i, sum := range sums {
			if sum == 0 {
				p[class][i] = 1 / float64(len(p))
			} else {
				p[class][i] /= sum
			}
		}
	}
	return p
}

// EstimateClasses is [Estimate] for several classes: the counts of labels, in rows,
// by decision, in columns, that are to be expected, where each row is of a class
// with its calibrated probability. The metrics of such counts are those of counted
// ones: what NannyML 0.13 calls accuracy and macro precision, recall and F1.
func EstimateClasses(calibrated [][]float64, decisions []int) [][]float64 {
	matrix := make([][]float64, len(calibrated))
	for class, p := range calibrated {
		matrix[class] = make([]float64, len(calibrated))
		for i, decision := range decisions {
			matrix[class][decision] += p[i]
		}
	}
	return matrix
}

// EstimateAUC is the mean over classes of the area under the ROC curve that is to
// be expected of each against all others. Rows are ordered by the model's own
// scores. Classes that are surely everywhere, or nowhere, are left out; it is NaN
// where all are.
func EstimateAUC(calibrated, scores [][]float64) float64 {
	decisions := make([]bool, len(calibrated[0]))
	sum, n := 0.0, 0.0
	for class := range scores {
		if auc := Estimate(calibrated[class], scores[class], decisions).ROCAUC; auc == auc {
			sum += auc
			n++
		}
	}
	return sum / n
}

// OneVersusRest is the mean over classes of the area under the ROC curve of each
// against all others (scikit-learn's roc_auc_score with multi_class="ovr"), of
// scores by class and then by row. Its interval is that of [AUC], with how the
// classes depend on each other. Classes that no row has, or all have, are left out;
// it is NaN where all are.
func OneVersusRest(labels []int, scores [][]float64) Interval {
	moves := make([]float64, len(labels)) // how far each row moves the sum
	is := make([]bool, len(labels))
	sum, classes := 0.0, 0.0
	for class := range scores {
		n := 0.0
		for i, label := range labels {
			if is[i] = label == class; is[i] {
				n++
			}
		}
		m := float64(len(labels)) - n
		if n == 0 || m == 0 {
			continue
		}
		auc := AUC(is, scores[class]).Value
		for i, placement := range placements(is, scores[class], n, m) {
			of := m
			if is[i] {
				of = n
			}
			moves[i] += (placement - auc) / math.Sqrt(of*max(1, of-1))
		}
		sum += auc
		classes++
	}
	variance := 0.0
	for _, move := range moves {
		variance += move * move
	}
	return around(sum/classes, math.Sqrt(variance)/classes, 0, 1)
}

// placements are of each score the share of the other class that it is on the
// right side of, of n scores of class 1 and m of class 0.
func placements(labels []bool, scores []float64, n, m float64) []float64 {
	order, placed := falling(scores), make([]float64, len(scores))
	var higher1, higher0 float64
	for start := 0; start < len(order); {
		end, p, q := start, 0.0, 0.0
		for ; end < len(order) && scores[order[end]] == scores[order[start]]; end++ {
			if labels[order[end]] {
				p++
			} else {
				q++
			}
		}
		for _, i := range order[start:end] {
			if labels[i] {
				placed[i] = (m - higher0 - q/2) / m
			} else {
				placed[i] = (higher1 + p/2) / n
			}
		}
		higher1 += p
		higher0 += q
		start = end
	}
	return placed
}
