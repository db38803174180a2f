package stream

import "math"

// DDM is the Drift Detection Method (Gama et al., SBIA 2004) on a stream of
// errors, 1, and right answers, 0: drift where the error rate is some standard
// deviations above the lowest that it was.
type DDM struct {
	WarmUp         int     // values before the first answer
	Warning, Drift float64 // standard deviations

	errors        mean
	rate, sd      float64 // where their sum was least
	drift, warned bool
}

// NewDDM gives a detector that warns at two standard deviations and finds drift
// at three, after 30 values.
func NewDDM() *DDM {
	d := &DDM{WarmUp: 30, Warning: 2, Drift: 3}
	d.reset()
	return d
}

func (d *DDM) reset() {
	*d = DDM{WarmUp: d.WarmUp, Warning: d.Warning, Drift: d.Drift, rate: math.Inf(1), sd: math.Inf(1)}
}

// Add takes the next value, 0 or 1.
func (d *DDM) Add(x float64) (drift, warning bool) {
	if d.drift {
		d.reset()
	}
	d.errors.add(x)
	p := d.errors.value
	s := math.Sqrt(p * (1 - p) / d.errors.n)
	if d.errors.n <= float64(d.WarmUp) {
		return false, false
	}
	if p+s <= d.rate+d.sd {
		d.rate, d.sd = p, s
	}
	d.drift = p+s > d.rate+float64(d.Drift*d.sd)
	d.warned = !d.drift && p+s > d.rate+float64(d.Warning*d.sd)
	return d.drift, d.warned
}
