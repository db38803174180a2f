package statistics

import "math"

// ProportionZ is the pooled two-proportion z test of k1 of n1 against k2 of n2,
// two-sided. Both are NaN where the pooled proportion is 0 or 1.
func ProportionZ(k1, n1, k2, n2 int64) (z, p float64) {
	p1, p2 := float64(k1)/float64(n1), float64(k2)/float64(n2)
	pooled := float64(k1+k2) / float64(n1+n2)
	z = (p1 - p2) / math.Sqrt(pooled*(1-pooled)*(1/float64(n1)+1/float64(n2)))
	return z, math.Erfc(math.Abs(z) / math.Sqrt2)
}

// ProportionP is the two-sided probability of a difference of proportions as
// large as that of k1 of n1 against k2 of n2: Fisher's where a count of the
// two-by-two table is expected below 5, the z test's otherwise, and 1 where
// there is nothing to tell.
func ProportionP(k1, n1, k2, n2 int64) float64 {
	k, n := float64(k1+k2), float64(n1+n2)
	if k == 0 || k == n || n1 == 0 || n2 == 0 {
		return 1
	}
	if min(k, n-k)*float64(min(n1, n2))/n < 5 {
		_, p := Fisher([2][2]int64{{k1, n1 - k1}, {k2, n2 - k2}}, TwoSided)
		return p
	}
	_, p := ProportionZ(k1, n1, k2, n2)
	return p
}

// z975 is the 97.5 % point of the standard normal law.
const z975 = 1.959963984540054

// Wilson is Wilson's 95 % interval (1927) of a proportion k of n.
func Wilson(k, n int64) (low, high float64) {
	p, size := float64(k)/float64(n), float64(n)
	const z2 = z975 * z975
	mid := (p + z2/(2*size)) / (1 + z2/size)
	half := z975 * math.Sqrt(p*(1-p)/size+z2/(4*size*size)) / (1 + z2/size)
	return max(0, mid-half), min(1, mid+half)
}

// Newcombe is Newcombe's 95 % interval (1998, method 10) of the difference of
// the proportions k1 of n1 and k2 of n2.
func Newcombe(k1, n1, k2, n2 int64) (low, high float64) {
	p1, p2 := float64(k1)/float64(n1), float64(k2)/float64(n2)
	l1, u1 := Wilson(k1, n1)
	l2, u2 := Wilson(k2, n2)
	return p1 - p2 - math.Hypot(p1-l1, u2-p2), p1 - p2 + math.Hypot(u1-p1, p2-l2)
}

// Fisher is Fisher's exact test of a two-by-two table: the odds ratio of the
// sample and the probability of a table at least as extreme. The ratio is NaN
// where a row or a column is empty.
func Fisher(t [2][2]int64, alt Alternative) (odds, p float64) {
	a, b, c, d := t[0][0], t[0][1], t[1][0], t[1][1]
	row, col, n := a+b, a+c, a+b+c+d
	if row == 0 || col == 0 || row == n || col == n {
		return math.NaN(), 1
	}
	odds = math.Inf(1)
	if b*c > 0 {
		odds = float64(a) * float64(d) / (float64(b) * float64(c))
	}
	here := hypergeometric(a, row, col, n)
	for x := max(0, row+col-n); x <= min(row, col); x++ {
		f := hypergeometric(x, row, col, n)
		switch alt {
		case Greater:
			if x >= a {
				p += f
			}
		case Less:
			if x <= a {
				p += f
			}
		default:
			if f <= here*(1+1e-7) { // as probable, but for rounding
				p += f
			}
		}
	}
	return odds, min(1, p)
}

// hypergeometric is the probability of x in the first cell, given the margins.
func hypergeometric(x, row, col, n int64) float64 {
	return math.Exp(choose(col, x) + choose(n-col, row-x) - choose(n, row))
}

// choose is the logarithm of a binomial coefficient.
func choose(n, k int64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
