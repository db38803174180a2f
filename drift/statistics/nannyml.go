package statistics

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// NannyMLShares are the shares that NannyML 0.13 compares of two samples of
// numbers: in bins by Doane's rule over the reference x alone, and of y outside
// of them all in one bin more, if any are.
func NannyMLShares(x, y []sketch.Point) (p, q []float64, err error) {
	edges, err := Doane.Edges(x)
	if err != nil {
		return nil, nil, err
	}
	p, q = Histogram(x, edges), Histogram(y, edges)
	p, q = withRest(p, q, float64(N(x)), float64(N(y)))
	return p, q, nil
}

// NannyMLCategories are the same of two lists of counts: the categories that
// the reference x has, and all others in one more.
func NannyMLCategories(x, y []float64) (p, q []float64) {
	for i := range x {
		if x[i] > 0 {
			p, q = append(p, x[i]), append(q, y[i])
		}
	}
	return withRest(p, q, floats.Sum(x), floats.Sum(y))
}

// withRest makes shares of counts, with those of q that are nowhere in one more.
func withRest(p, q []float64, n, m float64) (_, _ []float64) {
	if left := m - floats.Sum(q); left > 0 {
		p, q = append(p, 0), append(q, left)
	}
	floats.Scale(1/n, p)
	floats.Scale(1/m, q)
	return p, q
}

// NannyMLExact is below how many values of the reference NannyML looks at each
// of them for Kolmogorov-Smirnov, and not at bins.
const NannyMLExact = 10_000

// NannyMLBinnedKS is NannyML's Kolmogorov-Smirnov statistic for a reference that
// is not small: the largest difference of the distribution functions at the
// right edges of 10,000 bins of equal width over the reference x.
func NannyMLBinnedKS(x, y []sketch.Point) float64 {
	edges := EqualEdges(x, 10_000)
	n, m := float64(N(x)), float64(N(y))
	var f, g, largest float64
	for _, p := range y {
		if p.Value < edges[0] {
			g += float64(p.Weight)
		}
	}
	p, q := Histogram(x, edges), Histogram(y, edges)
	for i := range p {
		f += p[i]
		g += q[i]
		largest = max(largest, math.Abs(f/n-g/m))
	}
	return largest
}
