package statistics

import (
	"math"
	"sort"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// OffShares is by how much the shares of x and y may be off that lie in the bins of
// [QuantileEdges] of x, where x stands for values of which least is the least, and the
// shares of both up to any value may be off by ex and ey. The edges then are not
// those of the values, and much of y may be between the one and the other. It is 1
// where there may be other bins altogether, as where a quantile ends with a frequent
// value.
func OffShares(x, y []sketch.Point, k int, least, ex, ey float64) (offX, offY float64) {
	if ex == 0 { // then the edges are those of the values
		return 0, 2 * ey
	}
	ranks := make([]float64, k+1)
	for j := range ranks {
		ranks[j] = float64(j) / float64(k)
	}
	edges := Quantiles(x, ranks)
	sumX, sumY := sums(x), sums(y)
	n, m := sumX[len(x)], sumY[len(y)]
	upTo := func(v float64) (p, q float64) {
		return sumX[above(x, v)] / n, sumY[above(y, v)] / m
	}
	// reached is the first of x at which that many are up to it, of the last at most.
	reached := func(count float64) int { return min(sort.SearchFloat64s(sumX[1:], count), len(x)-1) }

	var lowX, highX, lowY, highY float64 // from where to where the edge before may be off
	first, last := -1, -1                // of x, which that one may be at
	for j := 1; j <= k; j++ {
		var toLowX, toHighX, toLowY, toHighY float64 // of the last bin, which has no end, none
		if j < k {
			// It lies from the value at this rank to the one behind it.
			rank := math.Floor(ranks[j]*(n-1)) + 1
			from, to := reached(rank-ex*n), reached(rank+1+ex*n)
			if from <= last && (from < to || first < last) || from == 0 && (to > 0 || x[0].Value > least) {
				return 1, 1 // it may be the edge before, or the least value, or neither
			}
			first, last = from, to
			p, q := upTo(edges[j])
			fromX, fromY := upTo(x[from].Value)
			toX, toY := upTo(x[to].Value)
			toLowX, toHighX = min(0, max(fromX-ex, rank/n)-p), max(0, toX+ex-p)
			toLowY, toHighY = min(0, fromY-ey-q), max(0, toY+ey-q)
		}
		offX = max(offX, toHighX-lowX, highX-toLowX)
		offY = max(offY, toHighY-lowY, highY-toLowY)
		lowX, highX, lowY, highY = toLowX, toHighX, toLowY, toHighY
	}
	return min(1, offX), min(1, offY)
}

// sums are how many values the first points stand for: of none, of one, and so on.
func sums(x []sketch.Point) []float64 {
	sums := make([]float64, len(x)+1)
	for i, p := range x {
		sums[i+1] = sums[i] + float64(p.Weight)
	}
	return sums
}

// above is the first point above v.
func above(x []sketch.Point, v float64) int {
	return sort.Search(len(x), func(i int) bool { return x[i].Value > v })
}
