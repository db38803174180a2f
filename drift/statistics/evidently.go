package statistics

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// EvidentlyShares are the shares that Evidently 0.7 compares of two samples of
// numbers: in bins by Sturges' rule over both, or of each value where the
// reference x has at most 20 different ones. There are no bins over more than
// float64's range.
func EvidentlyShares(x, y []sketch.Point) (p, q []float64, err error) {
	var least, most float64
	if len(x) > 0 {
		least, most = x[0].Value, x[len(x)-1].Value
	}
	if len(y) > 0 {
		least, most = min(least, y[0].Value), max(most, y[len(y)-1].Value)
	}
	return EvidentlySharesOf(x, y, least, most)
}

// EvidentlySharesOf is [EvidentlyShares] of points that stand for values from least to
// most.
func EvidentlySharesOf(x, y []sketch.Point, least, most float64) (p, q []float64, err error) {
	if len(x) > 20 {
		edges, err := SturgesEdges(least, most, N(x)+N(y))
		if err != nil {
			return nil, nil, err
		}
		p, q = Histogram(x, edges), Histogram(y, edges)
	} else {
		for _, c := range pooled(x, y) {
			p, q = append(p, float64(c.x)), append(q, float64(c.y))
		}
	}
	return floats.ScaleTo(p, 1/float64(N(x)), p), floats.ScaleTo(q, 1/float64(N(y)), q), nil
}

// SturgesEdges are the edges of bins by Sturges' rule for n values from least to most.
func SturgesEdges(least, most float64, n int64) ([]float64, error) {
	return Sturges.Edges([]sketch.Point{{Value: least, Weight: 1}, {Value: most, Weight: n - 1}})
}

// EvidentlyHellinger is Evidently's Hellinger distance of numbers, over bins by
// Sturges' rule for the different values of both.
func EvidentlyHellinger(x, y []sketch.Point) (float64, error) {
	different := Pool(x, y)
	for i := range different {
		different[i].Weight = 1
	}
	edges, err := Sturges.Edges(different)
	if err != nil {
		return 0, err
	}
	return Hellinger(Normalised(Histogram(x, edges)), Normalised(Histogram(y, edges))), nil
}

// EvidentlyFill is shares with the empty ones filled as Evidently does: with
// 0.0001, or a millionth of the least share if that is not more. They are not
// made to add up to 1 again.
func EvidentlyFill(shares []float64) []float64 {
	least := math.Inf(1)
	for _, s := range shares {
		if s > 0 {
			least = min(least, s)
		}
	}
	fill := 0.0001
	if least <= fill {
		fill = least / 1e6
	}
	filled := make([]float64, len(shares))
	for i, s := range shares {
		filled[i] = s
		if s == 0 {
			filled[i] = fill
		}
	}
	return filled
}

// OneWay is the chi-square test of the counts y against the shares of the
// counts x, as if those were known for certain: Evidently's. The statistic is
// infinite where y has what x lacks. With one category only, the probability
// is NaN.
func OneWay(x, y []float64) (statistic, p float64) {
	scale := floats.Sum(y) / floats.Sum(x)
	freedom := -1.0
	for i := range x {
		if x[i] == 0 && y[i] == 0 {
			continue
		}
		freedom++
		d := y[i] - x[i]*scale
		statistic += d * d / (x[i] * scale)
	}
	switch {
	case freedom < 1:
		return statistic, math.NaN()
	case math.IsInf(statistic, 1):
		return statistic, 0
	}
	return statistic, distuv.ChiSquared{K: freedom}.Survival(statistic)
}
