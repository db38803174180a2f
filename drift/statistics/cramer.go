package statistics

import (
	"math"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// Cramer is the two-sample Cramér-von Mises statistic T, with midranks for ties
// (Anderson, Ann. Math. Stat. 33, 1962; scipy.stats.cramervonmises_2samp).
func Cramer(x, y []sketch.Point) float64 {
	n, m := float64(N(x)), float64(N(y))
	k, all := n*m, n+m
	return cramerU(x, y)/(k*all) - (4*k-1)/(6*all)
}

// cramerU is U of Anderson's equation 10: each sample's size times the sum of
// the squared differences of its values' ranks in both and in it alone.
func cramerU(x, y []sketch.Point) float64 {
	// Of c equal values the ranks in the sample are a+1 to a+c, and the one in
	// both is a+d: the sum of (d-i)² for i from 1 to c.
	squares := func(d, c float64) float64 { return c*d*d - d*c*(c+1) + c*(c+1)*(2*c+1)/6 }
	var sumX, sumY exact // T is a small difference of large sums
	var below counts
	for _, c := range pooled(x, y) {
		rank := float64(below.x+below.y) + (float64(c.x+c.y)+1)/2
		sumX.add(squares(rank-float64(below.x), float64(c.x)))
		sumY.add(squares(rank-float64(below.y), float64(c.y)))
		below.x += c.x
		below.y += c.y
	}
	return float64(N(x))*sumX.value() + float64(N(y))*sumY.value()
}

// An exact sum keeps what rounding takes from it (Neumaier 1974).
type exact struct{ sum, lost float64 }

func (e *exact) add(v float64) {
	sum := e.sum + v
	if math.Abs(e.sum) >= math.Abs(v) {
		e.lost += (e.sum - sum) + v
	} else {
		e.lost += (v - sum) + e.sum
	}
	e.sum = sum
}

func (e *exact) value() float64 { return e.sum + e.lost }

// CramerLimit is the probability of a statistic of at least t for large samples
// of n and m values: t is brought to the mean and variance of the limit law.
func CramerLimit(t float64, n, m int64) float64 {
	a, b := float64(n), float64(m)
	k, all := a*b, a+b
	mean := (1 + 1/all) / 6
	variance := (all + 1) * (4*k*all - 3*(a*a+b*b) - 2*k) / (45 * all * all * 4 * k)
	normed := 1.0/6 + (t-mean)/math.Sqrt(45*variance)
	switch {
	case math.IsNaN(normed):
		return math.NaN()
	case normed < 0.003: // the distribution function is below 2e-18 there
		return 1
	}
	return max(0, 1-cramerCDF(normed))
}

// cramerCDF is the limit law's distribution function (Csörgő and Faraway,
// J. R. Stat. Soc. B 58, 1996, equation 1.3). As in SciPy the series ends at the
// first term below 1e-7, so that the far tail is not exact.
func cramerCDF(x float64) float64 {
	sum := 0.0
	for k := 0.0; ; k++ {
		a, _ := math.Lgamma(k + 0.5)
		b, _ := math.Lgamma(k + 1)
		y := 4*k + 1
		q := y * y / (16 * x)
		term := math.Exp(a-b) / (math.Pow(math.Pi, 1.5) * math.Sqrt(x)) * math.Sqrt(y) * besselQuarter(q)
		sum += term
		if term < 1e-7 {
			return sum
		}
	}
}

// besselQuarter is exp(-q) times the modified Bessel function of the second
// kind of order 1/4, by its integral of exp(-q cosh t) cosh(t/4). The trapezoid
// rule is exact to rounding there, as all derivatives vanish at both ends.
func besselQuarter(q float64) float64 {
	const step = 1.0 / 32
	sum := math.Exp(-2*q) / 2
	for t := step; ; t += step {
		term := math.Exp(-q*(1+math.Cosh(t))) * math.Cosh(t/4)
		sum += term
		if term <= 1e-18*sum {
			return sum * step
		}
	}
}

// CramerExact is the share of all ways to split the pooled values, as if none
// were equal, that give a statistic of at least that of x and y (Xiao, Gordon
// and Yakovlev, J. Stat. Softw. 17, 2006). Time and memory grow with the fourth
// power of the size.
func CramerExact(x, y []sketch.Point) float64 {
	n, m := N(x), N(y)
	lcm := n / gcd(n, m) * m
	stepX, stepY := lcm/n, lcm/m
	k := float64(n * m)
	l := float64(lcm)
	least := math.Floor(l * l * float64(n+m) * (6*cramerU(x, y) - k*(4*k-1)) / (6 * k * k))

	// A path goes from (0,0) to (n,m), one step for each pooled value; each point
	// adds the square of how far it is off the diagonal. paths[i] are the sums
	// that the paths to (i, j) come to, with their share of all paths there.
	paths := make([][]pathSum, n+1)
	for j := range m + 1 {
		for i := range n + 1 {
			var here []pathSum
			switch {
			case i == 0 && j == 0:
				here = []pathSum{{0, 1}}
			case i == 0:
				here = addPaths(nil, 0, paths[0], 1)
			case j == 0:
				here = addPaths(paths[i-1], 1, nil, 0)
			default:
				share := float64(i) / float64(i+j)
				here = addPaths(paths[i-1], share, paths[i], 1-share)
			}
			off := i*stepX - j*stepY
			for at := range here {
				here[at].sum += off * off
			}
			paths[i] = here
		}
	}
	p := 0.0
	for _, s := range paths[n] {
		if float64(s.sum) >= least {
			p += s.share
		}
	}
	return min(1, p)
}

// A pathSum is a sum that paths come to, and the share of paths that do.
type pathSum struct {
	sum   int64
	share float64
}

// addPaths merges two lists that rise by sum, each weighted.
func addPaths(a []pathSum, wa float64, b []pathSum, wb float64) []pathSum {
	all := make([]pathSum, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].sum < b[0].sum:
			all = append(all, pathSum{a[0].sum, wa * a[0].share})
			a = a[1:]
		case len(a) == 0 || b[0].sum < a[0].sum:
			all = append(all, pathSum{b[0].sum, wb * b[0].share})
			b = b[1:]
		default:
			all = append(all, pathSum{a[0].sum, wa*a[0].share + wb*b[0].share})
			a, b = a[1:], b[1:]
		}
	}
	return all
}
