package statistics

import (
	"math"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// MannWhitney is U of the first sample: in how many pairs its value is the
// greater one, equal ones counting half (scipy.stats.mannwhitneyu).
func MannWhitney(x, y []sketch.Point) float64 {
	twice := 0.0 // exact up to 2^53
	var below int64
	for _, c := range pooled(x, y) {
		twice += float64(c.x) * float64(2*below+c.y)
		below += c.y
	}
	return twice / 2
}

// mannWhitneyTail is the statistic whose upper tail counts, and how often.
func mannWhitneyTail(u float64, n, m int64, alt Alternative) (tail, times float64) {
	other := float64(n)*float64(m) - u
	switch alt {
	case Greater:
		return u, 1
	case Less:
		return other, 1
	}
	return max(u, other), 2
}

// MannWhitneyLimit is the probability of a U as extreme as that of x and y, by
// the normal law with the variance that ties leave, corrected for continuity if
// asked to. Without the correction it is NaN where all values are equal.
func MannWhitneyLimit(x, y []sketch.Point, alt Alternative, continuity bool) float64 {
	n, m := N(x), N(y)
	u, times := mannWhitneyTail(MannWhitney(x, y), n, m, alt)
	all, ties := float64(n+m), 0.0
	for _, c := range pooled(x, y) {
		t := float64(c.x + c.y)
		ties += t*t*t - t
	}
	pairs := float64(n) * float64(m)
	diff := u - pairs/2
	if continuity {
		diff -= 0.5
	}
	z := diff / math.Sqrt(pairs/12*((all+1)-ties/(all*(all-1))))
	return min(1, times*math.Erfc(z/math.Sqrt2)/2)
}

// MannWhitneyExact is the probability of a U as extreme as u for samples of n
// and m values from one continuous law. It takes time in proportion to the
// square of n times m.
func MannWhitneyExact(u float64, n, m int64, alt Alternative) float64 {
	u, times := mannWhitneyTail(u, n, m, alt)
	if n < m {
		n, m = m, n // the law is the same
	}
	// The law of U for i and j values: the largest of them all is of the first
	// sample, and beats j others, or of the second. laws[j] is for (i, j).
	laws := make([][]float64, m+1)
	for i := range n + 1 {
		for j := range m + 1 {
			law := make([]float64, i*j+1)
			if i == 0 || j == 0 {
				law[0] = 1
			} else {
				share := float64(i) / float64(i+j)
				for at, p := range laws[j] { // (i-1, j)
					law[int64(at)+j] += share * p
				}
				for at, p := range laws[j-1] { // (i, j-1)
					law[at] += (1 - share) * p
				}
			}
			laws[j] = law
		}
	}
	p := 0.0
	for at := int64(math.Floor(u)); at <= n*m; at++ {
		p += laws[m][at]
	}
	return min(1, times*p)
}
