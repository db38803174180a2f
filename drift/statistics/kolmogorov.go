package statistics

import "math"

// oneSampleKS is the probability that the two-sided one-sample
// Kolmogorov-Smirnov statistic of n values is at least x. It chooses among
// methods as SciPy does, after Simard and L'Ecuyer (Computing the Two-Sided
// Kolmogorov-Smirnov Distribution, J. Stat. Softw. 39, 2011).
func oneSampleKS(n int, x float64) float64 {
	if n <= 0 || x <= 0 {
		return 1
	}
	if x >= 1 {
		return 0
	}
	size := float64(n)
	t := size * x
	var p float64
	switch {
	case t <= 0.5:
		return 1
	case t <= 1: // Ruben and Gambino: n! (2x - 1/n)^n
		factorial, _ := math.Lgamma(size + 1)
		p = -math.Expm1(factorial + size*math.Log((2*t-1)/size))
	case t >= size-1: // the same
		p = 2 * math.Pow(1-x, size)
	case x >= 0.5 || n <= 140 && t*x > 4 || n > 140 && t*x >= 2.2:
		if t*x >= 370 {
			return 0
		}
		p = 2 * smirnov(n, x) // the two sides hardly overlap
	case n <= 140 || n <= 100_000 && size*math.Pow(x, 1.5) <= 1.4:
		p = 1 - durbin(n, x)
	default:
		p = 1 - pelzGood(n, x)
	}
	return min(1, max(0, p))
}

// smirnov is the probability that the one-sided statistic of n values is at
// least x (Birnbaum and Tingey 1951).
func smirnov(n int, x float64) float64 {
	size := float64(n)
	all, _ := math.Lgamma(size + 1)
	sum := math.Pow(1-x, size)
	for j := 1.0; j <= math.Floor(size*(1-x)); j++ {
		rest := 1 - x - j/size
		if rest <= 0 {
			break
		}
		a, _ := math.Lgamma(j + 1)
		b, _ := math.Lgamma(size - j + 1)
		sum += x * math.Exp(all-a-b+(j-1)*math.Log(x+j/size)+(size-j)*math.Log(rest))
	}
	return min(1, sum)
}

// durbin is the probability that the statistic of n values is below x, by
// Durbin's matrix (Marsaglia, Tsang and Wang, Evaluating Kolmogorov's
// Distribution, J. Stat. Softw. 8, 2003). Time and memory grow with nx.
func durbin(n int, x float64) float64 {
	k := int(float64(n)*x) + 1
	m := 2*k - 1
	h := float64(k) - float64(n)*x
	a := scaled{m: m, v: make([]float64, m*m)}
	for i := range m {
		for j := range min(m, i+2) {
			a.v[i*m+j] = 1
		}
	}
	for i := range m {
		a.v[i*m] -= math.Pow(h, float64(i+1))
		a.v[(m-1)*m+i] -= math.Pow(h, float64(m-i))
	}
	a.v[(m-1)*m] += math.Pow(max(0, 2*h-1), float64(m))
	for i := range m {
		for j := range min(m, i+1) {
			f, _ := math.Lgamma(float64(i - j + 2))
			a.v[i*m+j] *= math.Exp(-f)
		}
	}
	a = a.power(n)
	p, exponent := a.v[(k-1)*m+k-1], a.exponent
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(n)
		if p < 1e-140 {
			p *= 1e140
			exponent -= 140
		}
	}
	return p * math.Pow(10, float64(exponent))
}

// A scaled is a square matrix of m rows, times ten to the exponent.
type scaled struct {
	m        int
	v        []float64
	exponent int
}

func (a scaled) power(n int) scaled {
	if n == 1 {
		return a
	}
	b := a.power(n / 2)
	b = b.times(b)
	if n%2 == 1 {
		b = b.times(a)
	}
	return b
}

func (a scaled) times(b scaled) scaled {
	m := a.m
	c := scaled{m: m, v: make([]float64, m*m), exponent: a.exponent + b.exponent}
	for i := range m {
		for k := range m {
			f := a.v[i*m+k]
			for j := range m {
				c.v[i*m+j] += f * b.v[k*m+j]
			}
		}
	}
	if c.v[m/2*m+m/2] > 1e140 {
		for i := range c.v {
			c.v[i] *= 1e-140
		}
		c.exponent += 140
	}
	return c
}

// pelzGood is the probability that the statistic of n values is below x, by
// the expansion of Pelz and Good (J. R. Stat. Soc. B 38, 1976) to the third
// order in the square root of n.
func pelzGood(n int, x float64) float64 {
	z := math.Sqrt(float64(n)) * x
	z2, z3, z4, z6 := z*z, z*z*z, z*z*z*z, z*z*z*z*z*z
	z7, z8, z10 := z6*z, z4*z4, z6*z4
	const (
		pi2 = math.Pi * math.Pi
		pi4 = pi2 * pi2
		pi6 = pi4 * pi2
	)
	q := math.Exp(-pi2 / 8 / z2)
	if q == 0 {
		return 0
	}
	var k0, k1, k2, k3 float64
	terms := math.Ceil(16 * z / math.Pi)
	for k := terms; k > 0; k-- { // over the odd integers
		m2 := (2*k - 1) * (2*k - 1)
		m4 := m2 * m2
		f := math.Pow(q, m2)
		k0 += f
		k1 += f * (-z2 + pi2/4*m2)
		k2 += f * (6*z6 + 2*z4 + (2*z4-5*z2)*pi2/4*m2 + pi4*(1-2*z2)/16*m4)
		k3 += f * (-30*z6 - 90*z8 + pi2*(135*z4-96*z6)/4*m2 + pi4*(-60*z2+212*z4)/16*m4 + pi6*(5-30*z2)/64*m4*m2)
	}
	root := math.Sqrt(2 * math.Pi)
	k0 *= root / z
	k1 *= root / (6 * z4)
	k2 *= root / (72 * z7)
	k3 *= root / (6480 * z10)
	q = math.Exp(-pi2 / 2 / z2)
	for k := terms; k > 0; k-- { // over all integers
		f := math.Pow(q, k*k) * k * k
		k2 -= f * pi2 * root / (36 * z3)
		k3 += f * (3*z2 - pi2*k*k) * pi2 * root / (216 * z6)
	}
	s := math.Sqrt(float64(n))
	return k0 + k1/s + k2/(s*s) + k3/(s*s*s)
}
