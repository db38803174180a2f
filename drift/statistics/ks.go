package statistics

import (
	"math"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// An Alternative is what a test looks for.
type Alternative string

// The alternatives, as SciPy names them.
const (
	TwoSided Alternative = "two-sided"
	Greater  Alternative = "greater" // Kolmogorov-Smirnov: the first distribution function is above
	Less     Alternative = "less"
)

// KS is the two-sample Kolmogorov-Smirnov statistic: the largest difference of
// the two distribution functions, or of the first over the second (Greater), or
// the other way (Less). It is 0 where a sample is empty.
func KS(x, y []sketch.Point, alt Alternative) float64 {
	n, m := float64(N(x)), float64(N(y))
	if n == 0 || m == 0 {
		return 0
	}
	var over, under float64
	var below counts // how many of each are <= the value looked at
	for _, c := range pooled(x, y) {
		below.x += c.x
		below.y += c.y
		d := float64(below.x)/n - float64(below.y)/m
		over = max(over, d)
		under = max(under, -d)
	}
	switch alt {
	case Greater:
		return over
	case Less:
		return under
	}
	return max(over, under)
}

// KSExact is the probability of a statistic of at least d for samples of n and
// m values from one continuous law. It takes time in proportion to n times m.
//
// It walks through all orders of the pooled sample at once: a path from (0,0)
// to (n,m), all paths equally likely, and adds up the probabilities of first
// stepping to where the difference is d. All terms are positive, so that small
// probabilities are exact too.
func KSExact(d float64, n, m int64, alt Alternative) float64 {
	if n == 0 || m == 0 {
		return 1
	}
	g := gcd(n, m)
	stepX, stepY := m/g, n/g // of the difference, in units of 1/lcm(n,m)
	limit := int64(math.Round(d * float64(n) * float64(stepX)))
	if limit <= 0 {
		return 1
	}
	p := 0.0
	row := make([]float64, m+1) // probability of being at (i, j), never out before
	for i := range n + 1 {
		for j := range m + 1 {
			left := float64(n + m - i - j + 1) // steps left before the one to here
			at := 0.0
			if i > 0 {
				at += row[j] * float64(n-i+1) / left
			}
			if j > 0 {
				at += row[j-1] * float64(m-j+1) / left
			}
			if i == 0 && j == 0 {
				at = 1
			}
			diff := i*stepX - j*stepY
			out := diff >= limit
			switch alt {
			case TwoSided:
				out = out || -diff >= limit
			case Less:
				out = -diff >= limit
			}
			if out {
				p += at
				at = 0
			}
			row[j] = at
		}
	}
	return min(1, p)
}

// KSFinite is what SciPy calls the asymptotic probability: two-sided, that of
// the one-sample statistic at the rounded effective size nm/(n+m); one-sided,
// Hodges' approximation (1958). Two values alone have no effective size, and
// two-sided it is NaN.
func KSFinite(d float64, n, m int64, alt Alternative) float64 {
	if n == 0 || m == 0 {
		return 1
	}
	a, b := float64(max(n, m)), float64(min(n, m))
	effective := a * b / (a + b)
	if alt == TwoSided || alt == "" {
		whole := int(math.RoundToEven(effective))
		if whole == 0 {
			return math.NaN()
		}
		return oneSampleKS(whole, d)
	}
	z := math.Sqrt(effective) * d
	return min(1, math.Exp(-2*z*z-2*z*(a+2*b)/math.Sqrt(a*b*(a+b))/3))
}

// KSLimit is the probability of a statistic of at least d in the limit of large
// samples (Kolmogorov 1933).
func KSLimit(d float64, n, m int64) float64 {
	if n == 0 || m == 0 {
		return 1
	}
	z := math.Sqrt(float64(n)*float64(m)/float64(n+m)) * d
	if z <= 0 {
		return 1
	}
	sum := 0.0
	if z < 1 { // the other form of the series converges faster here
		for k := 1.0; k < 50; k += 2 {
			sum += math.Exp(-k * k * math.Pi * math.Pi / (8 * z * z))
		}
		return max(0, 1-math.Sqrt(2*math.Pi)/z*sum)
	}
	sign := 1.0
	for k := 1.0; k < 50; k++ {
		sum += sign * math.Exp(-2*k*k*z*z)
		sign = -sign
	}
	return min(1, max(0, 2*sum))
}

// KSProbability is the two-sided probability of a statistic of at least d by
// the best means that n and m afford: exact up to a product of 250,000, of the
// finite size up to an effective one of 100,000, and the limit beyond.
func KSProbability(d float64, n, m int64) float64 {
	switch {
	case n == 0 || m == 0:
		return 1
	case float64(n)*float64(m) <= 250_000:
		return KSExact(d, n, m, TwoSided)
	case float64(n)*float64(m)/float64(n+m) <= 100_000:
		return KSFinite(d, n, m, TwoSided)
	}
	return KSLimit(d, n, m)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
