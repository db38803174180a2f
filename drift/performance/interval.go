package performance

import (
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/statistics"
)

// An Interval is a metric and its 95 % interval.
type Interval struct {
	Value, Low, High float64
	// Error is the standard error of Value, before the metric's bounds are kept;
	// 0 where the interval does not rest on one.
	Error float64
}

// z975 is the 97.5 % point of the standard normal law.
const z975 = 1.959963984540054

// around is the normal interval of a value with a standard error, within what
// the metric can be.
func around(value, standardError, least, most float64) Interval {
	half := z975 * standardError
	return Interval{value, max(least, value-half), min(most, value+half), standardError}
}

// Mean is the mean of a loss that is not negative.
func Mean(losses []float64) Interval {
	n, sum, squares := float64(len(losses)), 0.0, 0.0
	for _, v := range losses {
		sum += v / n
	}
	for _, v := range losses {
		squares += (v - sum) * (v - sum)
	}
	if n < 2 {
		return Interval{Value: sum, High: math.Inf(1)}
	}
	return around(sum, math.Sqrt(squares/(n-1)/n), 0, math.Inf(1))
}

// RMSE is the root of the mean of squared errors; its interval is the root of
// theirs.
func RMSE(squared []float64) Interval {
	m := Mean(squared)
	return Interval{Value: math.Sqrt(m.Value), Low: math.Sqrt(m.Low), High: math.Sqrt(m.High)}
}

// Share is how many of n are right, with Wilson's interval.
func Share(right, n int64) Interval {
	low, high := statistics.Wilson(right, n)
	p := float64(right) / float64(n)
	return Interval{p, low, high, math.Sqrt(p * (1 - p) / float64(n))}
}

// R2 is the coefficient of determination, with the interval of the delta method:
// that of the ratio of two means. It is NaN where all labels are equal.
func R2(labels, predictions []float64) Interval {
	n, mean, variance, mse := float64(len(labels)), 0.0, 0.0, 0.0
	for _, y := range labels {
		mean += y / n
	}
	for i, y := range labels {
		variance += (y - mean) * (y - mean) / n
		mse += (y - predictions[i]) * (y - predictions[i]) / n
	}
	if slices.Min(labels) == slices.Max(labels) {
		return Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	squares := 0.0 // of how far each row moves the value
	for i, y := range labels {
		e, d := y-predictions[i], y-mean
		moves := (mse*(d*d-variance)/variance - (e*e - mse)) / variance
		squares += moves * moves / n
	}
	return around(1-mse/variance, math.Sqrt(squares/n), math.Inf(-1), 1)
}

// BalancedAccuracy is the mean recall of the classes that there are, of counts of
// labels, in rows, by decision, in columns. Its interval is normal: the recalls
// are shares that do not depend on each other.
func BalancedAccuracy(matrix [][]float64) Interval {
	rows, _, _ := margins(matrix)
	classes, sum, variance := 0.0, 0.0, 0.0
	for i, n := range rows {
		if n == 0 {
			continue
		}
		recall := matrix[i][i] / n
		classes++
		sum += recall
		variance += recall * (1 - recall) / n
	}
	return around(sum/classes, math.Sqrt(variance)/classes, 0, 1)
}

// AUC is the area under the ROC curve with the interval of DeLong, DeLong and
// Clarke-Pearson (1988): a score of class 1 is above one of class 0 so often.
// It is NaN with one class.
func AUC(labels []bool, scores []float64) Interval {
	order := falling(scores)
	var n, m float64 // of class 1, of class 0
	for _, positive := range labels {
		if positive {
			n++
		} else {
			m++
		}
	}
	// The placement of a score is the share of the other class that it is on
	// the right side of.
	var higher1, higher0 float64 // of class 1 and 0, with a higher score
	var won, squaresOf1, squaresOf0 float64
	for start := 0; start < len(order); {
		end, p, q := start, 0.0, 0.0
		for end < len(order) && scores[order[end]] == scores[order[start]] {
			if labels[order[end]] {
				p++
			} else {
				q++
			}
			end++
		}
		of1, of0 := (m-higher0-q/2)/m, (higher1+p/2)/n
		won += q * (higher1 + p/2)
		squaresOf1 += p * of1 * of1
		squaresOf0 += q * of0 * of0
		higher1 += p
		higher0 += q
		start = end
	}
	auc := won / (n * m)
	if n < 2 || m < 2 {
		return Interval{Value: auc, High: 1}
	}
	variance := (squaresOf1/n-auc*auc)/(n-1) + (squaresOf0/m-auc*auc)/(m-1)
	return around(auc, math.Sqrt(max(0, variance)), 0, 1)
}

// An Average is how the F1 of several classes is one number.
type Average string

// The averages. A class is one of the labels or of the decisions.
const (
	OneClass Average = "binary"   // of the last class alone
	Macro    Average = "macro"    // of all classes alike
	Weighted Average = "weighted" // by the labels of each
	Micro    Average = "micro"    // of all decisions together: the accuracy
)

// F1 is the F1 of counts of labels, in rows, by decision, in columns, with the
// interval of the delta method (Takahashi et al., Confidence interval for
// micro-averaged F1 and macro-averaged F1 scores, Applied Intelligence 2022).
func F1(matrix [][]float64, average Average) Interval {
	rows, columns, n := margins(matrix)
	k := len(matrix)
	f, scale := make([]float64, k), make([]float64, k) // of each class: its F1, and 1 / (labels + decisions)
	weight := make([]float64, k)
	value := 0.0
	for c := range matrix {
		f[c] = ratio(2*matrix[c][c], rows[c]+columns[c])
		scale[c] = ratio(n, rows[c]+columns[c])
		switch average {
		case Macro:
			weight[c] = 1 / float64(k)
		case Weighted:
			weight[c] = rows[c] / n
		default:
			if c == k-1 {
				weight[c] = 1
			}
		}
		value += weight[c] * f[c]
	}
	// The variance of the gradient by the share of each cell.
	mean, squares := 0.0, 0.0
	for i := range matrix {
		for j, count := range matrix[i] {
			if count == 0 {
				continue
			}
			g := -weight[i]*f[i]*scale[i] - weight[j]*f[j]*scale[j]
			if i == j {
				g += 2 * weight[i] * scale[i]
			}
			if average == Weighted {
				g += f[i]
			}
			mean += count / n * g
			squares += count / n * g * g
		}
	}
	return around(value, math.Sqrt(max(0, squares-mean*mean)/n), 0, 1)
}
