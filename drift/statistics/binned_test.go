package statistics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// laws are of values that are awkward to count: with frequent ones, with edges right
// beside them, far out, close together, or of two scales.
func laws() map[string]func(r *rand.Rand) float64 {
	return map[string]func(r *rand.Rand) float64{
		"normal":             func(r *rand.Rand) float64 { return r.NormFloat64() },
		"mostly one value":   func(r *rand.Rand) float64 { return max(0, r.Float64()-0.7) },
		"a decile's worth":   func(r *rand.Rand) float64 { return max(0.1, r.Float64()) },
		"far out":            func(r *rand.Rand) float64 { return math.Exp(6 * r.NormFloat64()) },
		"far from 0":         func(r *rand.Rand) float64 { return 1e9 + r.NormFloat64() },
		"neighbours":         func(r *rand.Rand) float64 { return math.Float64frombits(math.Float64bits(1) + uint64(r.IntN(20_000))) },
		"thousandths":        func(r *rand.Rand) float64 { return math.Round(20e3*r.NormFloat64()) / 1e3 },
		"near 0 and far out": func(r *rand.Rand) float64 { return r.NormFloat64() * math.Pow(10, float64(r.IntN(2)*200-200)) },
	}
}

// counted are two samples in the bins of cuts.
func counted(c *Cuts, x, y []float64) Bins {
	bins := make(Bins, c.Len())
	for i := range bins {
		bins[i].Low, bins[i].High = c.Low(i), c.High(i)
	}
	for _, v := range x {
		b := &bins[c.Bin(v)]
		b.X++
		b.OffX += v - b.Low
	}
	for _, v := range y {
		b := &bins[c.Bin(v)]
		b.Y++
		b.OffY += v - b.Low
	}
	return slices.DeleteFunc(bins, func(b Bin) bool { return b.X+b.Y == 0 })
}

// TestBins counts samples of many laws between cuts that sketches choose. What is
// exact of the values lies in each interval, which is narrow, and where the open bins
// were seen the interval is that number.
func TestBins(t *testing.T) {
	for name, law := range laws() {
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 3))
			x, y := make([]float64, 40_000), make([]float64, 30_000)
			for i := range x {
				x[i] = law(r)
			}
			for i := range y {
				y[i] = law(r)
				if seed%3 == 1 && i%50 == 0 {
					y[i] = x[r.IntN(len(x))] * 1.5
				}
				if seed%3 == 2 { // where nothing of x is, and in the middle of it
					y[i] = []float64{y[i], x[7], x[7] + 1e-3*math.Abs(x[7])}[i%3]
				}
			}
			var qx, qy sketch.Quantiles
			qx.Add(x...)
			qy.Add(y...)
			px, py := Points(x), Points(y)
			least, most := min(px[0].Value, py[0].Value), max(px[len(px)-1].Value, py[len(py)-1].Value)
			edges, err := SturgesEdges(least, most, int64(len(x)+len(y)))
			if err != nil {
				t.Fatal(err)
			}
			cuts := NewCuts(qx.Points(), qy.Points(), least, most, edges)
			bins := counted(cuts, x, y)

			check := func(what string, got Interval, want, width float64) {
				t.Helper()
				slack := 1e-9 * math.Abs(want)
				if want < got.Low-slack || want > got.High+slack {
					t.Errorf("%s, seed %d: %s in [%v, %v], exactly %v", name, seed, what, got.Low, got.High, want)
				}
				if got.High-got.Low > width {
					t.Errorf("%s, seed %d: %s in [%v, %v] is wider than %v", name, seed, what, got.Low, got.High, width)
				}
			}
			// As wide as the fullest bin of several values: a value has up to
			// aloneShare of both before it is alone.
			full, wide := 0.0, 0.0
			for _, b := range bins {
				if !b.single() {
					full = max(full, float64(b.X)/float64(len(x))+float64(b.Y)/float64(len(y)))
					wide += b.High - b.Low
				}
			}
			if full > 3*aloneShare {
				t.Errorf("%s, seed %d: a bin has %v of the samples", name, seed, full)
			}
			d, w, area := KS(px, py, TwoSided), Wasserstein(px, py), Energy(px, py)
			ks, openKS := bins.KS()
			check("D", ks, d, full)
			ws, openW := bins.Wasserstein()
			check("distance", ws, w, full*wide)
			check("energy", bins.Energy(), area, math.Inf(1))
			pairs := float64(len(x) * len(y))
			check("U", bins.MannWhitney(), MannWhitney(px, py), full*pairs)

			size := pairs / float64(len(x)+len(y))
			check("T", bins.Cramer(), Cramer(px, py), 2*size*full*(d+full))
			check("A", bins.Anderson(), Anderson(px, py, true), 40*size*full*(d+full))

			bx, by := bins.Points()
			p, q, err := EvidentlySharesOf(bx, by, least, most)
			wantP, wantQ, err2 := EvidentlyShares(px, py)
			if err != nil || err2 != nil || !slices.Equal(p, wantP) || !slices.Equal(q, wantQ) {
				t.Errorf("%s, seed %d: shares by Sturges %v and %v, exactly %v and %v", name, seed, p, q, wantP, wantQ)
			}

			offX, offY, openEdges := bins.OffEdges(10)
			exactEdges := QuantileEdges(px, 10)
			near := func(what string, got, want []float64, off float64) {
				t.Helper()
				for i := range want {
					if len(got) != len(want) || math.Abs(got[i]-want[i]) > 2*off+1e-12 {
						t.Errorf("%s, seed %d: %s of the quantiles' bins %v, exactly %v, may be off by %v", name, seed, what, got, want, 2*off)
						return
					}
				}
			}
			cutEdges := QuantileEdges(bx, 10)
			near("shares", Shares(bx, cutEdges), Shares(px, exactEdges), offX)
			near("other shares", Shares(by, cutEdges), Shares(py, exactEdges), offY)

			wanted := map[int]bool{}
			for _, i := range slices.Concat(openKS, openW, openEdges) {
				wanted[i] = true
			}
			of := func(values []float64) (in []float64) {
				for _, v := range values {
					at, _ := slices.BinarySearchFunc(bins, v, func(b Bin, v float64) int {
						if b.High < v {
							return -1
						}
						return 1
					})
					if wanted[at] {
						in = append(in, v)
					}
				}
				slices.Sort(in)
				return in
			}
			inX, inY := of(x), of(y)
			split := func(i int) bool { return slices.Contains(openEdges, i) }
			seen, ok := bins.See(inX, inY, func(i int) bool { return wanted[i] }, split)
			if !ok {
				t.Fatalf("%s, seed %d: these are not the values", name, seed)
			}
			ks, _ = seen.KS()
			check("D seen", ks, d, 0)
			ws, _ = seen.Wasserstein()
			check("distance seen", ws, w, 0)
			if offX, offY, _ := seen.OffEdges(10); offX != 0 || offY != 0 {
				t.Errorf("%s, seed %d: edges seen may be off by %v and %v", name, seed, offX, offY)
			}
			bx, by = seen.Points()
			if edges := QuantileEdges(bx, 10); !slices.Equal(edges, exactEdges) {
				t.Errorf("%s, seed %d: edges %v, exactly %v", name, seed, edges, exactEdges)
			}
			near("shares seen", Shares(bx, exactEdges), Shares(px, exactEdges), 0)
			near("other shares seen", Shares(by, exactEdges), Shares(py, exactEdges), 0)

			if len(inX) > 0 {
				if _, ok := bins.See(inX[1:], inY, func(i int) bool { return wanted[i] }, split); ok {
					t.Errorf("%s, seed %d: a value is gone, and not missed", name, seed)
				}
			}
		}
	}
}

// TestBinsOfFew has the rank statistics of a few values, many of them equal, in bins of
// any width: they hold what is exact, and are it where each value has its bin.
func TestBinsOfFew(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for range 20_000 {
		x, y := make([]float64, 2+r.IntN(12)), make([]float64, 2+r.IntN(12))
		values := 1 + r.IntN(12)
		for i := range x {
			x[i] = float64(r.IntN(values))
		}
		for i := range y {
			y[i] = float64(r.IntN(values) + r.IntN(3))
		}
		var bins Bins
		wide := 1 + r.IntN(4)
		for low := 0; low < values+3; low += wide {
			b := Bin{Low: math.Inf(1), High: math.Inf(-1)}
			for side, of := range [][]float64{x, y} {
				for _, v := range of {
					if int(v) < low || int(v) >= low+wide {
						continue
					}
					b.Low, b.High = min(b.Low, v), max(b.High, v)
					*[]*int64{&b.X, &b.Y}[side]++
				}
			}
			if b.X+b.Y > 0 {
				bins = append(bins, b)
			}
		}
		single := !slices.ContainsFunc(bins, func(b Bin) bool { return !b.single() })
		px, py := Points(x), Points(y)
		for what, c := range map[string]struct {
			in   Interval
			want float64
		}{"T": {bins.Cramer(), Cramer(px, py)}, "A": {bins.Anderson(), Anderson(px, py, true)}} {
			if math.IsNaN(c.want) || math.IsInf(c.want, 0) {
				continue // all are equal
			}
			slack := 1e-9 * (1 + math.Abs(c.want))
			if !(c.in.Low-slack <= c.want && c.want <= c.in.High+slack) || single && c.in.High-c.in.Low > slack {
				t.Fatalf("%s of %v and %v in [%v, %v], exactly %v, in the bins %+v", what, x, y, c.in.Low, c.in.High, c.want, bins)
			}
		}
	}
}

// TestCuts finds the bin of every value that a cut, or its neighbour, can be.
func TestCuts(t *testing.T) {
	all := laws()
	all["all there is"] = func(r *rand.Rand) float64 { return (2*r.Float64() - 1) * math.MaxFloat64 }
	all["hardly anything"] = func(r *rand.Rand) float64 { return float64(r.IntN(9000)) * math.SmallestNonzeroFloat64 }
	for name, law := range all {
		r := rand.New(rand.NewPCG(1, 5))
		x := make([]float64, 10_000)
		for i := range x {
			x[i] = law(r)
		}
		var q sketch.Quantiles
		q.Add(x...)
		c := NewCuts(q.Points(), q.Points(), slices.Min(x), slices.Max(x), []float64{x[3], math.Inf(1), -math.MaxFloat64})
		if c.Len() < 1000 || c.Len() > 2*mostCuts {
			t.Errorf("%s: %d cuts", name, c.Len())
		}
		for i, cut := range c.at {
			for _, v := range []float64{cut, math.Nextafter(cut, math.Inf(1)), math.Nextafter(cut, math.Inf(-1)), x[i%len(x)]} {
				if !c.Covers(v) {
					if v >= slices.Min(x) && v <= slices.Max(x) {
						t.Fatalf("%s: %v is not covered", name, v)
					}
					continue
				}
				if b := c.Bin(v); v < c.Low(b) || v > c.High(b) {
					t.Fatalf("%s: %v is in bin %d, from %v to %v", name, v, b, c.Low(b), c.High(b))
				}
			}
		}
	}
	one := NewCuts([]sketch.Point{{Value: 5, Weight: 3}}, nil, 5, 5, nil)
	if one.Bin(5) != 0 || one.Low(0) != 5 || one.High(0) != 5 || one.Covers(6) {
		t.Errorf("of one value: %+v", one)
	}
}
