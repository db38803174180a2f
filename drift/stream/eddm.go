package stream

import "math"

// EDDM is the Early Drift Detection Method (Baena-García et al., 2006) on a
// stream of errors, 1, and right answers, 0: drift where errors come closer
// together than they did at their farthest.
type EDDM struct {
	WarmUp         int     // values, and errors, before the first answer
	Warning, Drift float64 // share of the farthest distance below which

	n, last         float64 // values, and the place of the last error
	distances       mean
	squares         float64 // of the distances' deviations from their mean
	farthest        float64 // mean and two standard deviations of the distances
	drifted, warned bool
}

// NewEDDM gives a detector that warns below 0.95 of the farthest distance and
// finds drift below 0.9, after 30 values and errors.
func NewEDDM() *EDDM { return &EDDM{WarmUp: 30, Warning: 0.95, Drift: 0.9, farthest: -1} }

// Add takes the next value, 0 or 1. A warning lasts until an error ends it.
func (d *EDDM) Add(x float64) (drift, warning bool) {
	if d.drifted {
		*d = EDDM{WarmUp: d.WarmUp, Warning: d.Warning, Drift: d.Drift, farthest: -1}
	}
	d.n++
	if x != 1 {
		return false, d.warned
	}
	distance := d.n - d.last
	off := distance - d.distances.value
	d.distances.add(distance)
	d.squares += float64(off * (distance - d.distances.value))
	if d.n > float64(d.WarmUp) {
		variance := 0.0
		if errors := d.distances.n; errors > 1 {
			variance = d.squares / (errors - 1)
		}
		far := d.distances.value + 2*math.Sqrt(variance)
		if far > d.farthest {
			d.farthest = far
		} else if d.distances.n > float64(d.WarmUp) {
			switch level := far / d.farthest; {
			case level < d.Drift:
				d.drifted = true
			default:
				d.warned = level < d.Warning
			}
		}
	}
	d.last = d.n
	return d.drifted, d.warned
}
