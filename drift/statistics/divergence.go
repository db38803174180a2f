package statistics

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
)

// JensenShannon is the Jensen-Shannon distance of two lists of shares, in nats:
// the root of the divergence (scipy.spatial.distance.jensenshannon). Over
// [JensenShannonMax] it is the distance to base 2. Shares need not add up to 1;
// the caller divides them by their sum if they should.
func JensenShannon(p, q []float64) float64 {
	return math.Sqrt(max(0, stat.JensenShannon(p, q))) // below 0 by rounding
}

// JensenShannonMax is the largest distance, that of shares without overlap: the
// root of ln 2.
const JensenShannonMax = 0.83255461115769775635

// KullbackLeibler is the divergence of q from p, in nats: +Inf where q lacks
// what p has (scipy.stats.entropy).
func KullbackLeibler(p, q []float64) float64 { return stat.KullbackLeibler(p, q) }

// Hellinger is the Hellinger distance of two lists of shares, from 0 to 1. It
// is computed from the differences, and so exact near 0, where gonum's is not.
func Hellinger(p, q []float64) float64 {
	sum := 0.0
	for i := range p {
		d := math.Sqrt(p[i]) - math.Sqrt(q[i])
		sum += d * d
	}
	return math.Sqrt(min(1, sum/2))
}

// TotalVariation is half the sum of all changes of shares.
func TotalVariation(p, q []float64) float64 { return floats.Distance(p, q, 1) / 2 }

// LInfinity is the largest change of a share.
func LInfinity(p, q []float64) float64 { return floats.Distance(p, q, math.Inf(1)) }

// Normalised is counts or shares divided by their sum.
func Normalised(v []float64) []float64 {
	return floats.ScaleTo(make([]float64, len(v)), 1/floats.Sum(v), v)
}
