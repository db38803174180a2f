package statistics

import (
	"iter"
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// Points are the distribution of a sample: what [sketch.Quantiles.Points] gives
// for it. NaN and infinite values are dropped.
func Points(values []float64) []sketch.Point {
	finite := make([]float64, 0, len(values))
	for _, v := range values {
		if v-v == 0 {
			finite = append(finite, v)
		}
	}
	return TakePoints(finite)
}

// TakePoints is [Points] of finite values, which it sorts where they are: for many.
func TakePoints(values []float64) []sketch.Point {
	slices.Sort(values)
	return pointsOf(values)
}

// pointsOf are the points of sorted values.
func pointsOf(values []float64) []sketch.Point {
	different := 0
	for i, v := range values {
		if i == 0 || values[i-1] != v {
			different++
		}
	}
	points := make([]sketch.Point, 0, different)
	for i, v := range values {
		if i > 0 && values[i-1] == v {
			points[len(points)-1].Weight++
			continue
		}
		points = append(points, sketch.Point{Value: v, Weight: 1})
	}
	return points
}

// N is how many values the points stand for.
func N(points []sketch.Point) int64 {
	var n int64
	for _, p := range points {
		n += p.Weight
	}
	return n
}

// Quantiles are the linearly interpolated quantiles of x at each of q, which
// rise from 0 to 1: type 7 of Hyndman and Fan (1996), NumPy's default. They are
// 0 where x is empty.
func Quantiles(x []sketch.Point, q []float64) []float64 {
	values := make([]float64, len(q))
	if len(x) == 0 {
		return values
	}
	n := N(x)
	i, upTo := 0, x[0].Weight // upTo values are <= x[i].Value
	for j := range q {
		at := q[j] * float64(n-1)
		low := int64(math.Floor(at))
		for upTo <= low {
			i++
			upTo += x[i].Weight
		}
		a := x[i].Value
		b := a
		if low+1 >= upTo && i+1 < len(x) {
			b = x[i+1].Value
		}
		values[j] = lerp(a, b, at-float64(low))
	}
	return values
}

// lerp is NumPy's interpolation, from the nearer end.
func lerp(a, b, t float64) float64 {
	switch {
	case t == 0 || a == b:
		return a
	case math.IsInf(b-a, 0):
		return a*(1-t) + b*t
	case t >= 0.5:
		return b - (b-a)*(1-t)
	}
	return a + (b-a)*t
}

// counts are how often a value comes in each of two samples.
type counts struct{ x, y int64 }

// pooled goes through the distinct values of both samples, rising.
func pooled(x, y []sketch.Point) iter.Seq2[float64, counts] {
	return func(yield func(float64, counts) bool) {
		for len(x) > 0 || len(y) > 0 {
			var v float64
			switch {
			case len(x) == 0:
				v = y[0].Value
			case len(y) == 0:
				v = x[0].Value
			default:
				v = min(x[0].Value, y[0].Value)
			}
			var c counts
			if len(x) > 0 && x[0].Value == v {
				c.x, x = x[0].Weight, x[1:]
			}
			if len(y) > 0 && y[0].Value == v {
				c.y, y = y[0].Weight, y[1:]
			}
			if !yield(v, c) {
				return
			}
		}
	}
}

// Pool is both samples as one.
func Pool(x, y []sketch.Point) []sketch.Point {
	all := make([]sketch.Point, 0, len(x)+len(y))
	for v, c := range pooled(x, y) {
		all = append(all, sketch.Point{Value: v, Weight: c.x + c.y})
	}
	return all
}

// Mean is the mean of the sample, NaN where it is empty. Where values are near to
// each other and far from 0, it is as near to theirs as they are.
func Mean(x []sketch.Point) float64 {
	var sum exact
	for _, p := range x {
		sum.add(p.Value * float64(p.Weight))
	}
	return sum.value() / float64(N(x))
}

// squares is the sum of the squared deviations from the mean.
func squares(x []sketch.Point) float64 {
	mean, sum := Mean(x), 0.0
	for _, p := range x {
		d := p.Value - mean
		sum += d * d * float64(p.Weight)
	}
	return sum
}

// StdDev is the standard deviation of the population (of N, not N-1), NaN
// where the sample is empty.
func StdDev(x []sketch.Point) float64 { return math.Sqrt(squares(x) / float64(N(x))) }
