package demo

import (
	"cmp"
	"math"
	"slices"
)

// classified measures probabilities against the classes that came. A class of
// -1 is one that the model does not know, and always wrong. For two classes the
// second is the positive one, and auc and f1 are given; auc only where both
// classes came.
func classified(probabilities [][]float64, class []int) map[string]float64 {
	n := float64(len(class))
	var right, loss, truePositive, falsePositive, falseNegative float64
	for i, p := range probabilities {
		guess := 0
		for k := range p {
			if p[k] > p[guess] {
				guess = k
			}
		}
		y := class[i]
		own := 0.0
		if y >= 0 {
			own = p[y]
		}
		loss -= math.Log(max(own, 1e-15))
		switch {
		case guess == y:
			right++
			if y == 1 {
				truePositive++
			}
		default:
			if guess == 1 {
				falsePositive++
			}
			if y == 1 {
				falseNegative++
			}
		}
	}
	m := map[string]float64{"accuracy": right / n, "log_loss": loss / n}
	if len(probabilities[0]) != 2 {
		return m
	}
	m["f1"] = 0
	if truePositive > 0 {
		m["f1"] = 2 * truePositive / (2*truePositive + falsePositive + falseNegative)
	}
	scores := make([]float64, len(class))
	for i, p := range probabilities {
		scores[i] = p[1]
	}
	if a, ok := auc(scores, class); ok {
		m["auc"] = a
	}
	return m
}

// auc is the area under the ROC curve: the chance that a positive has a higher
// score than a negative, a tie counting half.
func auc(scores []float64, class []int) (float64, bool) {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	var positives, ranks float64
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && scores[order[j]] == scores[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			if class[k] == 1 {
				positives++
				ranks += float64(i+j+1) / 2 // the mean rank of the tie, from 1
			}
		}
		i = j
	}
	negatives := float64(len(scores)) - positives
	if positives == 0 || negatives == 0 {
		return 0, false
	}
	return (ranks - positives*(positives+1)/2) / (positives * negatives), true
}

// regressed measures predictions against the values that came. r2 is given
// only where the values differ.
func regressed(predicted, y []float64) map[string]float64 {
	n := float64(len(y))
	var sum, absolute, squares, around float64
	for _, v := range y {
		sum += v
	}
	for i, v := range y {
		e := v - predicted[i]
		absolute += math.Abs(e)
		squares += e * e
		around += (v - sum/n) * (v - sum/n)
	}
	m := map[string]float64{"mae": absolute / n, "rmse": math.Sqrt(squares / n)}
	if around > 0 {
		m["r2"] = 1 - squares/around
	}
	return m
}
