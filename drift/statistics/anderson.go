package statistics

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// Anderson is the k-sample Anderson-Darling statistic of two samples, normalised
// to mean 0 and variance 1 (Scholz and Stephens, J. Am. Stat. Assoc. 82, 1987;
// scipy.stats.anderson_ksamp). With midrank, ties are met half way; without,
// the distribution functions are taken at their right ends. It is NaN where
// all values are equal or there are less than four.
func Anderson(x, y []sketch.Point, midrank bool) float64 {
	nx, ny := float64(N(x)), float64(N(y))
	n := nx + ny
	if n < 4 || nx == 0 || ny == 0 || x[0].Value == x[len(x)-1].Value && y[0].Value == y[len(y)-1].Value && x[0].Value == y[0].Value {
		return math.NaN()
	}
	a2 := 0.0
	var below counts // less than the value looked at
	for _, c := range pooled(x, y) {
		ties := float64(c.x + c.y)
		var all, mx, my, scale float64 // values below, in both and in each
		if midrank {
			all = float64(below.x+below.y) + ties/2
			mx, my = float64(below.x)+float64(c.x)/2, float64(below.y)+float64(c.y)/2
			scale = all*(n-all) - n*ties/4
		} else {
			mx, my = float64(below.x+c.x), float64(below.y+c.y)
			all = mx + my
			scale = all * (n - all)
		}
		below.x += c.x
		below.y += c.y
		if !midrank && all == n {
			break // the last value says nothing
		}
		offX, offY := n*mx-all*nx, n*my-all*ny
		a2 += ties / n / scale * (offX*offX/nx + offY*offY/ny)
	}
	if midrank {
		a2 *= (n - 1) / n
	}
	return (a2 - 1) / andersonDeviation(nx, ny)
}

// andersonDeviation is the standard deviation of the statistic of k = 2 samples.
func andersonDeviation(nx, ny float64) float64 {
	n := nx + ny
	var h, g float64 // g first, of the sums of 1/i from the far end
	for j := 2.0; j < n; j++ {
		h += 1 / (n + 1 - j)
		g += h / j
	}
	h++
	inverse := 1/nx + 1/ny
	a := (4*g - 6) + (10-6*g)*inverse
	b := 4*(2*g-4) + 16*h + (2*g-14*h-4)*inverse - 8*h + 4*g - 6
	c := 4*(6*h+2*g-2) + 2*(4*h-4*g+6) + (2*h-6)*inverse + 4*h
	d := 4*(2*h+6) - 8*h
	variance := (a*n*n*n + b*n*n + c*n + d) / ((n - 1) * (n - 2) * (n - 3))
	return math.Sqrt(variance)
}

// andersonLevels are the probabilities of AndersonCritical.
var andersonLevels = [...]float64{0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001}

// AndersonCritical are the values that the statistic of two samples exceeds with
// a probability of 25, 10, 5, 2.5, 1, 0.5 and 0.1 % (table 2 of Scholz and
// Stephens).
func AndersonCritical() []float64 {
	b0 := [...]float64{0.675, 1.281, 1.645, 1.96, 2.326, 2.573, 3.085}
	b1 := [...]float64{-0.245, 0.25, 0.678, 1.149, 1.822, 2.364, 3.615}
	b2 := [...]float64{-0.105, -0.305, -0.362, -0.391, -0.396, -0.345, -0.154}
	critical := make([]float64, len(b0))
	for i := range critical {
		critical[i] = b0[i] + b1[i] + b2[i]
	}
	return critical
}

// AndersonProbability is the probability of a statistic of at least a2: a
// parabola through the logarithms at the critical values, as SciPy has it.
// Beyond the table it is 0.25 or 0.001, and clipped.
func AndersonProbability(a2 float64) (p float64, clipped bool) {
	critical := AndersonCritical()
	last := len(critical) - 1
	switch {
	case a2 < critical[0]:
		return andersonLevels[0], true
	case a2 > critical[last]:
		return andersonLevels[last], true
	}
	powers, logs := mat.NewDense(last+1, 3, nil), mat.NewVecDense(last+1, nil)
	for i, c := range critical {
		powers.SetRow(i, []float64{1, c, c * c})
		logs.SetVec(i, math.Log(andersonLevels[i]))
	}
	var fit mat.VecDense
	if err := fit.SolveVec(powers, logs); err != nil {
		panic(err) // unreachable: the critical values are constants and differ
	}
	return math.Exp(fit.AtVec(0) + a2*(fit.AtVec(1)+a2*fit.AtVec(2))), false
}
