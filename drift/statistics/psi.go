package statistics

import (
	"math"
	"slices"
	"sort"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// ShareFloor stands for an empty bin in the population stability index.
const ShareFloor = 1e-4

// PSI is the population stability index of two lists of shares: the sum of
// (q-p) ln(q/p), where shares below floor count as floor. Below 0.1 is stable
// by the rule of thumb, 0.25 and more a major shift.
func PSI(p, q []float64, floor float64) float64 {
	sum := 0.0
	for i := range p {
		a, b := max(p[i], floor), max(q[i], floor)
		sum += (b - a) * math.Log(b/a)
	}
	return sum
}

// QuantileEdges are the inner edges of k bins with equal shares of x. Equal ones
// are given once, and those at the least value not at all, as no value is below
// them; where all values are equal, their value is the one edge.
func QuantileEdges(x []sketch.Point, k int) []float64 {
	if len(x) == 0 {
		return nil
	}
	q := make([]float64, k+1)
	for i := range q {
		q[i] = float64(i) / float64(k)
	}
	edges := slices.Compact(Quantiles(x, q))
	if len(edges) == 1 {
		return edges
	}
	return edges[1 : len(edges)-1]
}

// Shares are the shares of x in the bins between the inner edges, each closed
// on its right; the first and the last one are open outwards.
func Shares(x []sketch.Point, edges []float64) []float64 {
	shares := make([]float64, len(edges)+1)
	n := float64(N(x))
	for _, p := range x {
		shares[sort.SearchFloat64s(edges, p.Value)] += float64(p.Weight)
	}
	for i := range shares {
		if n > 0 {
			shares[i] /= n
		}
	}
	return shares
}
