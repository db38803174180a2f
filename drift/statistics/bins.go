package statistics

import (
	"fmt"
	"math"
	"sort"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// A BinRule says into how many bins of equal width a histogram goes.
type BinRule string

// The rules, as NumPy names them.
const (
	Sturges          BinRule = "sturges"
	Doane            BinRule = "doane" // Sturges, wider for skewed data
	FreedmanDiaconis BinRule = "fd"
	Scott            BinRule = "scott"
	SquareRoot       BinRule = "sqrt"
	Rice             BinRule = "rice"
	Auto             BinRule = "auto" // the more of Sturges and Freedman-Diaconis
)

// mostBins is more than any rule has use for.
const mostBins = 1_000_000

// width is that of a bin by the rule, 0 for one bin only.
func (r BinRule) width(x []sketch.Point) (float64, error) {
	n := float64(N(x))
	span := x[len(x)-1].Value - x[0].Value
	switch r {
	case Sturges:
		return span / (math.Log2(n) + 1), nil
	case Doane:
		sd := StdDev(x)
		if n <= 2 || sd == 0 {
			return 0, nil
		}
		mean, skew := Mean(x), 0.0
		for _, p := range x {
			skew += math.Pow((p.Value-mean)/sd, 3) * float64(p.Weight)
		}
		skew /= n
		sdOfSkew := math.Sqrt(6 * (n - 2) / ((n + 1) * (n + 3)))
		return span / (1 + math.Log2(n) + math.Log2(1+math.Abs(skew)/sdOfSkew)), nil
	case FreedmanDiaconis:
		q := Quantiles(x, []float64{0.25, 0.75})
		return 2 * (q[1] - q[0]) * math.Pow(n, -1.0/3), nil
	case Scott:
		return math.Pow(24*math.Sqrt(math.Pi)/n, 1.0/3) * StdDev(x), nil
	case SquareRoot:
		return span / math.Sqrt(n), nil
	case Rice:
		return span / (2 * math.Pow(n, 1.0/3)), nil
	case Auto:
		sturges, _ := Sturges.width(x)
		if fd, _ := FreedmanDiaconis.width(x); fd > 0 {
			return min(fd, sturges), nil
		}
		return sturges, nil
	}
	return 0, fmt.Errorf("unknown rule %q (have %s, %s, %s, %s, %s, %s, %s)", r, Auto, Doane, FreedmanDiaconis, Rice, Scott, SquareRoot, Sturges)
}

// Edges are the edges of the bins of x by the rule, first and last among them:
// numpy.histogram_bin_edges. Where all values are equal, the one bin reaches
// half a unit to both sides; without values it is from 0 to 1.
func (r BinRule) Edges(x []sketch.Point) ([]float64, error) {
	if len(x) == 0 {
		return []float64{0, 1}, nil
	}
	width, err := r.width(x)
	if err != nil {
		return nil, err
	}
	span := x[len(x)-1].Value - x[0].Value
	if math.IsInf(span, 1) {
		return nil, fmt.Errorf("%g to %g is too far for bins of equal width", x[0].Value, x[len(x)-1].Value)
	}
	bins := 1.0
	if width > 0 && span > 0 {
		bins = math.Ceil(span / width)
	}
	if !(bins <= mostBins) {
		return nil, fmt.Errorf("%s makes %.3g bins: want at most %d", r, bins, mostBins)
	}
	return EqualEdges(x, int(bins)), nil
}

// EqualEdges are the edges of that many bins of equal width over x.
func EqualEdges(x []sketch.Point, bins int) []float64 {
	low, high := 0.0, 1.0
	if len(x) > 0 {
		low, high = x[0].Value, x[len(x)-1].Value
		if low == high {
			low, high = low-0.5, high+0.5
		}
	}
	step := (high - low) / float64(bins)
	edges := make([]float64, bins+1)
	for i := range edges {
		edges[i] = float64(float64(i)*step) + low // rounded twice, as NumPy does
	}
	edges[bins] = high
	return edges
}

// Histogram counts the values in bins that are closed on the left, the last one
// on both sides. Values outside are in none.
func Histogram(x []sketch.Point, edges []float64) []float64 {
	counts := make([]float64, len(edges)-1)
	last := len(edges) - 1
	for _, p := range x {
		switch at := sort.Search(len(edges), func(i int) bool { return edges[i] > p.Value }); {
		case at > 0 && at <= last:
			counts[at-1] += float64(p.Weight)
		case p.Value == edges[last]:
			counts[last-1] += float64(p.Weight)
		}
	}
	return counts
}
