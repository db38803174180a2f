package stream

import "math"

// Hoeffding are the options of both HDDM detectors (Frías-Blanco et al., IEEE
// Trans. Knowl. Data Eng. 27, 2015): they take values from 0 to 1 and compare
// means by bounds that hold whatever the law.
type Hoeffding struct {
	Drift, Warning float64 // probabilities of a false answer
	TwoSided       bool    // find falling means too
}

// answer asks for a risen mean, and for a fallen one too if that is wanted.
func (h Hoeffding) answer(risen, fallen func(confidence float64) bool) (drift, warning bool) {
	drift = risen(h.Drift)
	warning = !drift && risen(h.Warning)
	if h.TwoSided {
		if fallen(h.Drift) {
			drift = true
		} else if fallen(h.Warning) {
			warning = true
		}
	}
	return drift, warning
}

// HDDMA is the detector with moving averages, HDDM_A: drift where the mean of
// all values is off that up to the best cut.
type HDDMA struct {
	Hoeffding
	all       mean
	low, high mean // of the values up to the cuts where the mean was surely least and largest
	drifted   bool
}

// NewHDDMA gives a detector with a probability of 0.001 for a false drift and
// of 0.005 for a false warning.
func NewHDDMA(twoSided bool) *HDDMA { return &HDDMA{Hoeffding: Hoeffding{0.001, 0.005, twoSided}} }

// Add takes the next value, from 0 to 1.
func (d *HDDMA) Add(x float64) (drift, warning bool) {
	if d.drifted {
		*d = HDDMA{Hoeffding: d.Hoeffding}
	}
	d.all.add(x)
	bound := func(m mean) float64 { return math.Sqrt(1 / (2 * m.n) * math.Log(1/d.Drift)) }
	if d.low.n == 0 || d.low.value+bound(d.low) >= d.all.value+bound(d.all) {
		d.low = d.all
	}
	if d.high.n == 0 || d.high.value-bound(d.high) <= d.all.value-bound(d.all) {
		d.high = d.all
	}
	// off reports whether the mean since the cut is off by more than chance.
	off := func(by float64, cut mean, confidence float64) bool {
		if cut.n == d.all.n {
			return false
		}
		m := (d.all.n - cut.n) / cut.n * (1 / d.all.n)
		return by >= math.Sqrt(m/2*math.Log(2/confidence))
	}
	d.drifted, warning = d.answer(
		func(confidence float64) bool { return off(d.all.value-d.low.value, d.low, confidence) },
		func(confidence float64) bool { return off(d.high.value-d.all.value, d.high, confidence) })
	return d.drifted, warning
}

// HDDMW is the detector with weighted moving averages, HDDM_W: the newer a
// value, the more it counts.
type HDDMW struct {
	Hoeffding
	Lambda float64 // weight of the newest value

	all                   weighted
	lowBefore, lowSince   weighted // of the cut where the mean was surely least
	highBefore, highSince weighted
	lowest, highest       float64
	drifted               bool
}

// NewHDDMW gives a detector with a probability of 0.001 for a false drift and
// of 0.005 for a false warning, and a weight of 0.05 for the newest value.
func NewHDDMW(twoSided bool) *HDDMW {
	d := &HDDMW{Hoeffding: Hoeffding{0.001, 0.005, twoSided}, Lambda: 0.05}
	d.reset()
	return d
}

func (d *HDDMW) reset() {
	*d = HDDMW{Hoeffding: d.Hoeffding, Lambda: d.Lambda, lowest: math.Inf(1), highest: math.Inf(-1)}
}

// Add takes the next value, from 0 to 1.
func (d *HDDMW) Add(x float64) (drift, warning bool) {
	if d.drifted {
		d.reset()
	}
	d.all.add(x, d.Lambda)
	bound := func(squares, confidence float64) float64 { return math.Sqrt(squares * math.Log(1/confidence) / 2) }
	b := bound(d.all.squares, d.Drift)
	if d.all.mean+b < d.lowest {
		d.lowest = d.all.mean + b
		d.lowBefore, d.lowSince = d.all, weighted{}
	} else {
		d.lowSince.add(x, d.Lambda)
	}
	if d.all.mean-b > d.highest {
		d.highest = d.all.mean - b
		d.highBefore, d.highSince = d.all, weighted{}
	} else {
		d.highSince.add(x, d.Lambda)
	}
	above := func(high, low weighted, confidence float64) bool {
		return high.any && low.any && high.mean-low.mean > bound(high.squares+low.squares, confidence)
	}
	d.drifted, warning = d.answer(
		func(confidence float64) bool { return above(d.lowSince, d.lowBefore, confidence) },
		func(confidence float64) bool { return above(d.highBefore, d.highSince, confidence) })
	return d.drifted, warning
}

// A weighted is an exponentially weighted mean, with the sum of the squares of
// its weights. Like River's it starts again where it is exactly 0.
type weighted struct {
	any           bool
	mean, squares float64
}

func (w *weighted) add(x, lambda float64) {
	if !w.any {
		w.squares = 1
	}
	w.any = true
	if w.mean == 0 {
		w.mean = x
	} else {
		w.mean = float64(lambda*x) + float64((1-lambda)*w.mean)
	}
	w.squares = float64(lambda*lambda) + float64((1-lambda)*(1-lambda)*w.squares)
}
