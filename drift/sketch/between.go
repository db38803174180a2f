package sketch

import "math"

// ErrorBetween is the stated error of the difference of two distributions: that of the
// shares of values <= x is within it of what their points give, for all x at once.
// The coins of one do not know those of the other, so that their errors, where they
// are likely ones, add up as squares do. It is beyond that less than once in 5,000
// pairs of sketches.
func ErrorBetween(a, b *Quantiles) float64 {
	sum := a.Error() + b.Error()
	if a.Error() == 0 || b.Error() == 0 {
		return sum
	}
	x, y := a.likely(), b.likely()
	return min(sum, math.Sqrt(x*x+y*y)+2*rankStep)
}

// rankStep is how far the ranks are apart at which the sum of the compactions is
// bounded.
const rankStep = 5e-5

// likely is Hoeffding's bound of what the compactions have done to any of 20,000 ranks,
// with a probability of 5e-9 each.
func (q *Quantiles) likely() float64 {
	return math.Sqrt(2*q.spread*math.Log(2/5e-9)) / float64(q.n)
}
