package statistics

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// CohenH is Cohen's effect size h of two proportions.
func CohenH(p1, p2 float64) float64 {
	return 2*math.Asin(math.Sqrt(p1)) - 2*math.Asin(math.Sqrt(p2))
}

// ProportionRows is how many rows of each of two samples a two-sided z test at
// level alpha needs to find effect size h with that power; it is not whole, and
// infinite for h of 0 (statsmodels' NormalIndPower).
func ProportionRows(h, alpha, power float64) float64 {
	if h == 0 {
		return math.Inf(1)
	}
	critical := distuv.UnitNormal.Quantile(1 - alpha/2)
	return solve(power, func(n float64) float64 {
		shift := math.Abs(h) * math.Sqrt(n/2)
		return distuv.UnitNormal.Survival(critical-shift) + distuv.UnitNormal.CDF(-critical-shift)
	})
}

// LeastEffect is Cohen's effect size d that a two-sided t test at level alpha
// of n1 and ratio times n1 rows finds with that power (statsmodels'
// TTestIndPower).
func LeastEffect(n1, ratio, alpha, power float64) float64 {
	n2 := n1 * ratio
	freedom := n1 + n2 - 2
	root := math.Sqrt(n1 * n2 / (n1 + n2))
	critical := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(1 - alpha/2)
	return solve(power, func(d float64) float64 {
		t := distuv.NoncentralT{Nu: freedom, Mu: d * root}
		return 1 - t.CDF(critical) + t.CDF(-critical)
	})
}

// solve finds where f, which rises, comes to want: first a bracket, and then
// its half, until that is as narrow as numbers are.
func solve(want float64, f func(float64) float64) float64 {
	low, high := 0.0, 1.0
	for f(high) < want {
		low, high = high, 2*high
		if math.IsInf(high, 1) {
			return high
		}
	}
	for {
		mid := low + (high-low)/2
		if mid <= low || mid >= high || high-low < 1e-13*high {
			return mid
		}
		if f(mid) < want {
			low = mid
		} else {
			high = mid
		}
	}
}
