package statistics

import (
	"math"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// A Bin is a stretch of the line, both ends of which are in it, and how much of
// two samples is there. Where Low is High all its values are known.
type Bin struct {
	Low, High float64
	X, Y      int64
	// OffX and OffY are by how much the values of each are above Low, all together.
	OffX, OffY float64
	seen       *seen // nil: no more is known
}

// A seen is what the distribution functions do in a bin whose values were looked at.
type seen struct {
	most float64 // that they differ by
	area float64 // between them
}

// single reports whether the bin is one value.
func (b Bin) single() bool { return b.Low == b.High }

// An Interval holds a statistic of the values themselves, where they were counted
// in bins; it is one number where that is certain.
type Interval struct{ Low, High float64 }

// Bins are two samples, counted: disjoint bins in rising order that hold all
// values, of which none is empty. Each statistic also gives the bins whose values
// would have to be known for it to be one number.
type Bins []Bin

// sizes are those of the samples.
func (b Bins) sizes() (n, m float64) {
	var all counts
	for i := range b {
		all.x += b[i].X
		all.y += b[i].Y
	}
	return float64(all.x), float64(all.y)
}

// Points are the samples, each with all values of a bin at its lower end.
func (b Bins) Points() (x, y []sketch.Point) {
	x, y = make([]sketch.Point, 0, len(b)), make([]sketch.Point, 0, len(b))
	for i := range b {
		if b[i].X > 0 {
			x = append(x, sketch.Point{Value: b[i].Low, Weight: b[i].X})
		}
		if b[i].Y > 0 {
			y = append(y, sketch.Point{Value: b[i].Low, Weight: b[i].Y})
		}
	}
	return x, y
}

// each goes through the bins with the difference of the distribution functions
// below each, and between which two it stays within it.
func (b Bins) each(visit func(i int, below, least, most float64)) {
	n, m := b.sizes()
	var below counts
	for i := range b {
		d := float64(below.x)/n - float64(below.y)/m
		visit(i, d, float64(below.x)/n-float64(below.y+b[i].Y)/m, float64(below.x+b[i].X)/n-float64(below.y)/m)
		below.x += b[i].X
		below.y += b[i].Y
	}
}

// KS bounds the statistic of Kolmogorov and Smirnov: at the ends of a bin the
// distribution functions are known.
func (b Bins) KS() (d Interval, open []int) {
	b.each(func(_ int, below, _, _ float64) { d.Low = max(d.Low, math.Abs(below)) })
	for i := range b {
		if b[i].seen != nil {
			d.Low = max(d.Low, b[i].seen.most)
		}
	}
	d.High = d.Low
	b.each(func(i int, _, least, most float64) {
		if at := max(most, -least); at > d.Low && !b[i].single() && b[i].seen == nil {
			d.High = max(d.High, at)
			open = append(open, i)
		}
	})
	return d, open
}

// Wasserstein bounds the first Wasserstein distance. Within a bin the area is that
// between the sums of the values, unless the distribution functions may cross there.
func (b Bins) Wasserstein() (w Interval, open []int) {
	n, m := b.sizes()
	b.each(func(i int, below, least, most float64) {
		bin := &b[i]
		if i > 0 {
			gap := math.Abs(below) * (bin.Low - b[i-1].High)
			w.Low += gap
			w.High += gap
		}
		if bin.single() {
			return
		}
		if bin.seen != nil {
			w.Low += bin.seen.area
			w.High += bin.seen.area
			return
		}
		width := bin.High - bin.Low
		area := math.Abs(below*width + (float64(bin.X)*width-bin.OffX)/n - (float64(bin.Y)*width-bin.OffY)/m)
		w.Low += area
		if least >= 0 || most <= 0 {
			w.High += area
			return
		}
		w.High += max(area, width*max(most, -least))
		open = append(open, i)
	})
	return w, open
}

// Energy bounds the energy distance.
func (b Bins) Energy() Interval {
	var square Interval
	n, m := b.sizes()
	b.each(func(i int, below, least, most float64) {
		bin := &b[i]
		if i > 0 {
			gap := below * below * (bin.Low - b[i-1].High)
			square.Low += gap
			square.High += gap
		}
		if width := bin.High - bin.Low; width > 0 {
			area := below*width + (float64(bin.X)*width-bin.OffX)/n - (float64(bin.Y)*width-bin.OffY)/m
			square.Low += area * area / width // by Cauchy and Schwarz
			square.High += width * max(most*most, least*least)
		}
	})
	return Interval{math.Sqrt(2 * square.Low), math.Sqrt(2 * max(square.Low, square.High))}
}

// MannWhitney bounds U of the first sample: of the pairs within a bin none, or all,
// may be won.
func (b Bins) MannWhitney() Interval {
	var twice Interval
	var below int64
	for i := range b {
		won := float64(b[i].X) * float64(2*below+b[i].Y)
		unsure := float64(b[i].X) * float64(b[i].Y)
		if b[i].single() {
			unsure = 0
		}
		twice.Low += won - unsure
		twice.High += won + unsure
		below += b[i].Y
	}
	return Interval{twice.Low / 2, twice.High / 2}
}

// Cramer bounds the statistic of [Cramer]. Of Anderson's sum of squared ranks, all that
// is large is the same for any two samples of these sizes. With H the difference of the
// distribution functions at a value, met half way in its jump, and a and b the times it is
// in the samples of n and m values, N in all, what is left is
//
//	nm/N² Σ(a+b)H² + Σ((m²/N+n)a³+(n²/N+m)b³)/12nmN - Σab(a+b)/4N² + 1/6N - (n²+m²)/12nmN
//
// In a bin H is between the ends that it is known at, and the values may be all different,
// or all equal.
func (b Bins) Cramer() Interval {
	n, m := b.sizes()
	all := n + m
	t := Interval{1/(6*all) - (n*n+m*m)/(12*n*m*all), 1/(6*all) - (n*n+m*m)/(12*n*m*all)}
	cubes := func(x, y float64) float64 { return ((m*m/all+n)*x + (n*n/all+m)*y) / (12 * n * m * all) }
	b.each(func(i int, below, least, most float64) {
		x, y := float64(b[i].X), float64(b[i].Y)
		low, high := squaresBetween(below+(x/n-y/m)/2, below+(x/n-y/m)/2)
		if !b[i].single() {
			low, high = squaresBetween(least, most)
		}
		t.Low += n * m / (all * all) * (x + y) * low
		t.High += n * m / (all * all) * (x + y) * high
		equal, mixed := cubes(x*x*x, y*y*y), x*y*(x+y)/(4*all*all)
		if b[i].single() {
			t.Low += equal - mixed
			t.High += equal - mixed
			return
		}
		t.Low += cubes(x, y) - mixed
		t.High += equal
	})
	return t
}

// squaresBetween are the least and the greatest square of what is between two numbers.
func squaresBetween(least, most float64) (low, high float64) {
	high = max(least*least, most*most)
	if least <= 0 && most >= 0 {
		return 0, high
	}
	return min(least*least, most*most), high
}

// Anderson bounds the statistic of [Anderson] with midranks: a sum, over the values, of H²
// as for [Bins.Cramer] by how far H is off by chance. For c equal values with as many as
// below below and above above them that is below*above + c(below+above)/4.
func (b Bins) Anderson() Interval {
	n, m := b.sizes()
	all := n + m
	var sum Interval
	low := 0.0 // how many are below
	b.each(func(i int, below, least, most float64) {
		x, y := float64(b[i].X), float64(b[i].Y)
		c, high := x+y, all-low-x-y
		if b[i].single() {
			if scale := low*high + c*(low+high)/4; scale > 0 {
				h := below + (x/n-y/m)/2
				sum.Low += n * m * c * h * h / scale
				sum.High += n * m * c * h * h / scale
			}
			low += c
			return
		}
		least2, most2 := squaresBetween(least, most)
		sum.Low += n * m * c * least2 / ((low + c) * (high + c))
		up := math.Inf(1)
		if scale := low*high + (low+high)/4; scale > 0 {
			up = n * m * c * most2 / scale
		}
		if rest := all - c; min(low, high) == 0 && rest > 0 {
			// At an end H is no more than what is beyond the value, in the smaller sample.
			up = min(up, 2*c*c*max(n, m)*max(n, m)/(n*m*rest))
		}
		sum.High += up
		low += c
	})
	scale := (all - 1) / all
	deviation := andersonDeviation(n, m)
	return Interval{(sum.Low*scale - 1) / deviation, (sum.High*scale - 1) / deviation}
}

// OffEdges says how near [QuantileEdges] of the points of the first sample are to
// those of its values: offX and offY are the shares of the samples that may be on the
// other side of an edge.
func (b Bins) OffEdges(k int) (offX, offY float64, open []int) {
	n, m := b.sizes()
	i, upTo := -1, int64(0) // upTo values of the first are in b[:i+1]
	for j := 1; j < k && n > 0; j++ {
		at := float64(j) / float64(k) * (n - 1) // as Quantiles has it
		low := int64(math.Floor(at))
		for upTo <= low {
			i++
			upTo += b[i].X
		}
		// The edge is between the values at low and behind it, which are in i and next.
		next := i
		for behind := upTo; behind <= low+1 && at > float64(low); behind += b[next].X {
			next++
		}
		known := b[i].single() && b[next].single()
		edge := lerp(b[i].Low, b[next].Low, at-float64(low))
		var sumX, sumY int64
		for h := i; h <= next; h++ {
			if b[h].single() && (known || h == i || h == next) || known && (edge < b[h].Low || edge >= b[h].High) {
				continue // all of it is on one side
			}
			sumX += b[h].X
			sumY += b[h].Y
			if !b[h].single() {
				open = append(open, h)
			}
		}
		offX, offY = max(offX, float64(sumX)/n), max(offY, float64(sumY)/m)
	}
	return offX, offY, open
}

// See learns from the values in the bins that are wanted, of each sample and sorted,
// what the distribution functions do there; bins to be split are cut up by their
// values. It reports false where they are not the values that were counted.
func (b Bins) See(x, y []float64, wanted, split func(i int) bool) (Bins, bool) {
	n, m := b.sizes()
	all := make(Bins, 0, len(b))
	var below counts
	for i, bin := range b {
		if wanted(i) {
			if !bin.holds(x, bin.X) || !bin.holds(y, bin.Y) {
				return nil, false
			}
			bin.seen = &seen{}
			before, at := bin.Low, below // the value before, and how many are up to it
			for v, c := range pooled(pointsOf(x[:bin.X]), pointsOf(y[:bin.Y])) {
				d := math.Abs(float64(at.x)/n - float64(at.y)/m)
				bin.seen.area += d * (v - before)
				bin.seen.most = max(bin.seen.most, d)
				at.x += c.x
				at.y += c.y
				before = v
				if split(i) {
					all = append(all, Bin{Low: v, High: v, X: c.x, Y: c.y})
				}
			}
			bin.seen.area += math.Abs(float64(at.x)/n-float64(at.y)/m) * (bin.High - before)
			x, y = x[bin.X:], y[bin.Y:]
		}
		if !wanted(i) || !split(i) {
			all = append(all, bin)
		}
		below.x += bin.X
		below.y += bin.Y
	}
	return all, len(x)+len(y) == 0
}

// holds reports whether the first n of sorted values are in the bin.
func (b Bin) holds(values []float64, n int64) bool {
	return int64(len(values)) >= n && (n == 0 || values[0] >= b.Low && values[n-1] <= b.High)
}
