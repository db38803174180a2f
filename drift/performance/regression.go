package performance

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Regression is how far predictions of numbers are off.
type Regression struct {
	MSE, RMSE, MAE, MedianAE, MaxError float64
	// MAPE is a share, not a percentage, of a label taken to be 2e-16 at least.
	MAPE float64
	// R2 and ExplainedVariance are 1 for perfect predictions and 0 for others
	// where all labels are equal; R2 is NaN for a single one.
	R2, ExplainedVariance float64
}

// NewRegression measures predictions against labels.
func NewRegression(labels, predictions []float64) Regression {
	var r Regression
	n := float64(len(labels))
	errors, absolute := make([]float64, len(labels)), make([]float64, len(labels))
	for i, y := range labels {
		errors[i] = y - predictions[i]
		absolute[i] = math.Abs(errors[i])
		r.MSE += errors[i] * errors[i] / n
		r.MAE += absolute[i] / n
		r.MAPE += absolute[i] / max(math.Abs(y), 0x1p-52) / n
	}
	r.RMSE = math.Sqrt(r.MSE)
	slices.Sort(absolute)
	mid := len(absolute) / 2
	r.MaxError, r.MedianAE = absolute[len(absolute)-1], absolute[mid]
	if len(absolute)%2 == 0 {
		r.MedianAE = (absolute[mid-1] + absolute[mid]) / 2
	}
	variance := stat.PopVariance(labels, nil)
	r.R2 = explained(r.MSE, variance)
	if len(labels) < 2 {
		r.R2 = math.NaN()
	}
	r.ExplainedVariance = explained(stat.PopVariance(errors, nil), variance)
	return r
}

// explained is the share of the variance that is not left.
func explained(left, variance float64) float64 {
	switch {
	case left == 0:
		return 1
	case variance == 0:
		return 0
	}
	return 1 - left/variance
}
