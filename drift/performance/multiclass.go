package performance

import (
	"math"
	"slices"
)

// Multiclass is how good the decisions of a classifier of several classes are.
// A macro mean counts each class of the labels or decisions alike, a weighted
// one by its labels.
type Multiclass struct {
	Accuracy                             float64
	MacroPrecision, MacroRecall, MacroF1 float64
	WeightedF1                           float64
	MCC                                  float64 // Matthews' correlation coefficient (Gorodkin 2004)
	Kappa                                float64 // Cohen's; NaN where only one class is there and decided
}

// NewMulticlass measures decisions against labels.
func NewMulticlass(labels, decisions []string) Multiclass {
	classes := slices.Compact(slices.Sorted(slices.Values(slices.Concat(labels, decisions))))
	matrix := make([][]float64, len(classes)) // of labels, by decision
	for i := range matrix {
		matrix[i] = make([]float64, len(classes))
	}
	for i := range labels {
		a, _ := slices.BinarySearch(classes, labels[i])
		b, _ := slices.BinarySearch(classes, decisions[i])
		matrix[a][b]++
	}
	return NewMulticlassOf(matrix)
}

// NewMulticlassOf measures counts of labels, in rows, by decision, in columns,
// of the same classes.
func NewMulticlassOf(matrix [][]float64) Multiclass {
	var m Multiclass
	rows, columns, n := margins(matrix)
	k := float64(len(matrix))
	for i := range matrix {
		right := matrix[i][i]
		f1 := ratio(2*right, rows[i]+columns[i])
		m.Accuracy += right / n
		m.MacroPrecision += ratio(right, columns[i]) / k
		m.MacroRecall += ratio(right, rows[i]) / k
		m.MacroF1 += f1 / k
		m.WeightedF1 += f1 * rows[i] / n
	}
	m.MCC, m.Kappa = mcc(matrix), kappa(matrix)
	return m
}

// margins are the sums of the rows, of the columns, and of it all.
func margins(matrix [][]float64) (rows, columns []float64, n float64) {
	rows, columns = make([]float64, len(matrix)), make([]float64, len(matrix))
	for i := range matrix {
		for j, v := range matrix[i] {
			rows[i] += v
			columns[j] += v
			n += v
		}
	}
	return rows, columns, n
}

// mcc is 0 where only one class is there, or only one is decided.
func mcc(matrix [][]float64) float64 {
	rows, columns, n := margins(matrix)
	both, inRows, inColumns := 0.0, n*n, n*n
	for i := range matrix {
		both += matrix[i][i]*n - rows[i]*columns[i]
		inRows -= rows[i] * rows[i]
		inColumns -= columns[i] * columns[i]
	}
	return ratio(both, math.Sqrt(inRows*inColumns))
}

// kappa is how much rarer disagreement is than by chance.
func kappa(matrix [][]float64) float64 {
	rows, columns, n := margins(matrix)
	var wrong, expected float64
	for i := range matrix {
		for j, v := range matrix[i] {
			if i != j {
				wrong += v
				expected += rows[i] * columns[j] / n
			}
		}
	}
	return 1 - wrong/expected
}
