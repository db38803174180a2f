package drift

import (
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
	slices.Sort(finite)
	var points []sketch.Point
	for _, v := range finite {
		if n := len(points); n > 0 && points[n-1].Value == v {
			points[n-1].Weight++
			continue
		}
		points = append(points, sketch.Point{Value: v, Weight: 1})
	}
	return points
}

// weight is how many values the points stand for.
func weight(points []sketch.Point) int64 {
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
	n := weight(x)
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
