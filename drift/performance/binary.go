package performance

import (
	"cmp"
	"math"
	"slices"
)

// Binary is how good the scores and the decisions of a classifier are that
// tells a class 1 from a class 0.
type Binary struct {
	Confusion Confusion

	Accuracy, Precision, Recall, F1 float64
	BalancedAccuracy                float64 // mean recall of the classes that there are
	MCC                             float64 // Matthews' correlation coefficient
	Kappa                           float64 // Cohen's; NaN where only one class is there and decided

	Brier, LogLoss   float64
	ROCAUC           float64 // NaN with one class
	AveragePrecision float64 // 0 without class 1
}

// Confusion counts decisions by whether they were true.
type Confusion struct {
	TrueNegatives, FalsePositives, FalseNegatives, TruePositives float64
}

// NewBinary measures scores, which are probabilities of class 1, and the
// decisions made of them, against the labels.
func NewBinary(labels []bool, scores []float64, decisions []bool) Binary {
	var c Confusion
	for i, positive := range labels {
		switch {
		case positive && decisions[i]:
			c.TruePositives++
		case positive:
			c.FalseNegatives++
		case decisions[i]:
			c.FalsePositives++
		default:
			c.TrueNegatives++
		}
	}
	b := Binary{Confusion: c}
	matrix := [][]float64{{c.TrueNegatives, c.FalsePositives}, {c.FalseNegatives, c.TruePositives}}
	b.Accuracy = (c.TrueNegatives + c.TruePositives) / float64(len(labels))
	b.Precision = ratio(c.TruePositives, c.TruePositives+c.FalsePositives)
	b.Recall = ratio(c.TruePositives, c.TruePositives+c.FalseNegatives)
	b.F1 = ratio(2*c.TruePositives, 2*c.TruePositives+c.FalsePositives+c.FalseNegatives)
	classes := 0.0
	for i, row := range matrix {
		if n := row[0] + row[1]; n > 0 {
			b.BalancedAccuracy += row[i] / n
			classes++
		}
	}
	b.BalancedAccuracy /= classes
	b.MCC, b.Kappa = mcc(matrix), kappa(matrix)
	for i, positive := range labels {
		p := scores[i]
		d := p
		if positive {
			d = 1 - p
		}
		b.Brier += d * d / float64(len(labels))
		b.LogLoss += LogLoss(positive, p) / float64(len(labels))
	}
	b.ROCAUC, b.AveragePrecision = rank(labels, scores)
	return b
}

// LogLoss is what a probability of class 1 costs.
func LogLoss(label bool, p float64) float64 {
	const epsilon = 0x1p-52 // no probability is nearer to 0 or 1
	p = min(1-epsilon, max(epsilon, p))
	if !label {
		p = 1 - p
	}
	return -math.Log(p)
}

// rank is the area under the ROC curve, where equal scores share their rank,
// and the average precision: the sum over the different scores, falling, of the
// precision down to each times the recall it adds.
func rank(labels []bool, scores []float64) (auc, precision float64) {
	order := falling(scores)
	var negatives, positives, won float64
	for start := 0; start < len(order); {
		end, n, p := start, 0.0, 0.0
		for end < len(order) && scores[order[end]] == scores[order[start]] {
			if labels[order[end]] {
				p++
			} else {
				n++
			}
			end++
		}
		won += n * (positives + p/2) // positives above these negatives
		negatives += n
		positives += p
		precision += p * positives / (positives + negatives)
		start = end
	}
	return won / (positives * negatives), ratio(precision, positives)
}

// falling is the order of scores from the highest; of equal ones the last is
// first, as in a rising order read backwards.
func falling(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	slices.Reverse(order)
	return order
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
