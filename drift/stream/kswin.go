package stream

import (
	"math/bits"

	"gonum.org/v1/gonum/mathext/prng"

	"github.com/anneal-ml/anneal/drift/statistics"
)

// KSWIN is Kolmogorov-Smirnov windowing (Raab, Heusinger and Schleif,
// Neurocomputing 416, 2020): drift where the latest values of a window do not
// follow the law of as many, drawn of those before. The draw is a pure function
// of the seed: CPython's, so that River finds drift at the same values.
type KSWIN struct {
	Alpha  float64 // probability of a false drift at each value
	Window int     // values
	Recent int     // of them
	Least  float64 // statistic that can be drift
	Seed   uint32

	values  []float64
	random  *prng.MT19937
	drifted bool
}

// NewKSWIN gives a detector with alpha 0.005 that compares the latest 30 of 100
// values, and takes no statistic up to 0.1 for drift.
func NewKSWIN(seed uint32) *KSWIN {
	return &KSWIN{Alpha: 0.005, Window: 100, Recent: 30, Least: 0.1, Seed: seed}
}

// Add takes the next value. There are no warnings.
func (d *KSWIN) Add(x float64) (drift, warning bool) {
	if d.drifted || d.random == nil {
		*d = KSWIN{Alpha: d.Alpha, Window: d.Window, Recent: d.Recent, Least: d.Least, Seed: d.Seed, random: prng.NewMT19937()}
		d.random.SeedFromKeys([]uint32{d.Seed})
	}
	d.values = append(d.values, x)
	if len(d.values) > d.Window {
		d.values = append(d.values[:0], d.values[1:]...)
	}
	if len(d.values) < d.Window {
		return false, false
	}
	cut := d.Window - d.Recent
	before := statistics.Points(d.draw(d.values[:cut]))
	recent := statistics.Points(d.values[cut:])
	statistic := statistics.KS(before, recent, statistics.TwoSided)
	n := int64(d.Recent)
	d.drifted = statistic > d.Least && statistics.KSExact(statistic, n, n, statistics.TwoSided) <= d.Alpha
	return d.drifted, false
}

// draw takes as many values as are recent, none of them twice.
func (d *KSWIN) draw(from []float64) []float64 {
	pool := append([]float64(nil), from...)
	drawn := make([]float64, d.Recent)
	for i := range drawn {
		n := uint32(len(pool))
		at := n
		for at >= n { // as many bits as n has, until they are a place in the pool
			at = d.random.Uint32() >> bits.LeadingZeros32(n)
		}
		drawn[i] = pool[at]
		pool[at] = pool[n-1]
		pool = pool[:n-1]
	}
	return drawn
}
