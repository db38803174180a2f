package statistics

import (
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// TTest is the t test of the difference of two means, two-sided: Student's,
// with the pooled variance, or else Welch's (scipy.stats.ttest_ind). Where the
// samples have no variance the statistic is infinite, or NaN if the means are
// equal too.
func TTest(x, y []sketch.Point, pooled bool) (statistic, p, freedom float64) {
	n, m := float64(N(x)), float64(N(y))
	vx, vy := squares(x)/(n-1), squares(y)/(m-1)
	var scale float64
	if pooled {
		freedom = n + m - 2
		scale = math.Sqrt(((n-1)*vx + (m-1)*vy) / freedom * (1/n + 1/m))
	} else {
		a, b := vx/n, vy/m
		freedom = satterthwaite(a, n, b, m)
		scale = math.Sqrt(a + b)
	}
	statistic = (Mean(x) - Mean(y)) / scale
	return statistic, studentTails(statistic, freedom), freedom
}

// Welch is Welch's t test, two-sided, of two samples that are known by their
// means, sums of squared deviations from them, and sizes. Without variance it is
// as with [TTest].
func Welch(mean, squares float64, n int64, mean2, squares2 float64, n2 int64) (statistic, p float64) {
	a := squares / float64(n-1) / float64(n)
	b := squares2 / float64(n2-1) / float64(n2)
	freedom := satterthwaite(a, float64(n), b, float64(n2))
	statistic = (mean - mean2) / math.Sqrt(a+b)
	return statistic, studentTails(statistic, freedom)
}

// satterthwaite is the degrees of freedom of two means with the variances a and b, of n
// and m values (Satterthwaite 1946). It takes parts of the variance, whose squares are
// numbers whatever the scale of the values.
func satterthwaite(a, n, b, m float64) float64 {
	a, b = a/(a+b), b/(a+b)
	return 1 / (a*a/(n-1) + b*b/(m-1))
}

// studentTails is the probability of a t at least as far from 0.
func studentTails(t, freedom float64) float64 {
	switch {
	case math.IsNaN(t):
		return math.NaN()
	case math.IsInf(t, 0):
		return 0
	}
	return mathext.RegIncBeta(freedom/2, 0.5, freedom/(freedom+t*t))
}
