package statistics

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// ChiSquare is Pearson's test of the contingency table of two lists of counts.
// Categories that neither has are left out. With yates, a table of one degree
// of freedom is corrected for continuity, as SciPy does. Without a degree of
// freedom the probability is 1.
func ChiSquare(x, y []float64, yates bool) (statistic, p float64, freedom int) {
	return contingency(x, y, yates, func(count, expected float64) float64 {
		diff := count - expected
		return diff * diff / expected
	})
}

// G is the likelihood-ratio test of the same table, under the same rules
// (scipy.stats.chi2_contingency with lambda_="log-likelihood").
func G(x, y []float64, yates bool) (statistic, p float64, freedom int) {
	return contingency(x, y, yates, func(count, expected float64) float64 {
		if count == 0 {
			return 0
		}
		return 2 * count * math.Log(count/expected)
	})
}

// contingency adds up what each cell of the table contributes.
func contingency(x, y []float64, yates bool, cell func(count, expected float64) float64) (statistic, p float64, freedom int) {
	var n, m float64
	freedom = -1
	for i := range x {
		n += x[i]
		m += y[i]
		if x[i]+y[i] > 0 {
			freedom++
		}
	}
	if freedom < 1 || n == 0 || m == 0 {
		return 0, 1, max(0, freedom)
	}
	for i := range x {
		both := x[i] + y[i]
		if both == 0 {
			continue
		}
		for _, c := range [][2]float64{{x[i], both * n / (n + m)}, {y[i], both * m / (n + m)}} {
			count, expected := c[0], c[1]
			if yates && freedom == 1 { // half a count nearer
				diff := expected - count
				count += math.Copysign(min(0.5, math.Abs(diff)), diff)
			}
			statistic += cell(count, expected)
		}
	}
	statistic = max(0, statistic) // whatever the rounding
	return statistic, distuv.ChiSquared{K: float64(freedom)}.Survival(statistic), freedom
}

// expected is how many a category should have in both samples for the
// chi-square law to hold.
const expected = 5

// Regroup joins the categories that are expected less than 5 times in either
// sample into one, the last; where that is still too small, into the smallest
// of the others.
func Regroup(x, y []float64) (gx, gy []float64) {
	var n, m float64
	for i := range x {
		n += x[i]
		m += y[i]
	}
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch ca, cb := x[a]+y[a], x[b]+y[b]; {
		case ca > cb:
			return -1
		case ca < cb:
			return 1
		}
		return 0
	})
	least := expected * (n + m) / min(n, m) // of both together
	var restX, restY float64
	for _, i := range order {
		if x[i]+y[i] >= least {
			gx = append(gx, x[i])
			gy = append(gy, y[i])
		} else {
			restX += x[i]
			restY += y[i]
		}
	}
	if last := len(gx) - 1; last >= 0 && restX+restY < least {
		gx[last] += restX
		gy[last] += restY
		return gx, gy
	}
	return append(gx, restX), append(gy, restY)
}
