package statistics

import (
	"math"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// Wasserstein is the first Wasserstein, or earth mover's, distance of two
// samples: the area between their distribution functions, in the unit of the
// values (scipy.stats.wasserstein_distance). It is NaN where a sample is empty.
func Wasserstein(x, y []sketch.Point) float64 { return area(x, y, math.Abs) }

// leastStdDev stands for a smaller standard deviation in Normed.
const leastStdDev = 0.001

// Normed is a distance in standard deviations of the reference, of which
// Evidently takes none to be below 0.001. Its threshold there is 0.1.
func Normed(distance, stdDev float64) float64 { return distance / max(stdDev, leastStdDev) }

// Energy is the energy distance of two samples: the root of twice the area
// between the distribution functions, squared (scipy.stats.energy_distance). It
// is NaN where a sample is empty.
func Energy(x, y []sketch.Point) float64 {
	return math.Sqrt(2 * area(x, y, func(d float64) float64 { return d * d }))
}

// area is the integral of f over the difference of the distribution functions.
// It is not gonum's WassersteinDistance, which sorts again and has no other f.
func area(x, y []sketch.Point, f func(float64) float64) float64 {
	n, m := float64(N(x)), float64(N(y))
	if n == 0 || m == 0 {
		return math.NaN()
	}
	sum, before := 0.0, math.NaN()
	var below counts
	for v, c := range pooled(x, y) {
		if below != (counts{}) {
			sum += f(float64(below.x)/n-float64(below.y)/m) * (v - before)
		}
		below.x += c.x
		below.y += c.y
		before = v
	}
	return sum
}
