package stream

// PageHinkley is Page's test (Biometrika 41, 1954) with a fading memory: drift
// where values have summed up to a threshold above their mean.
type PageHinkley struct {
	WarmUp    int     // values before the first drift
	Delta     float64 // that a value may be above the mean
	Threshold float64
	Alpha     float64 // that is kept of the sum at each value

	n, mean, sum float64
	drifted      bool
}

// NewPageHinkley gives a detector of rises: 30 values of warm-up, delta 0.005,
// threshold 50 and alpha 0.9999.
func NewPageHinkley() *PageHinkley {
	return &PageHinkley{WarmUp: 30, Delta: 0.005, Threshold: 50, Alpha: 1 - 0.0001}
}

// Add takes the next value. There are no warnings.
func (d *PageHinkley) Add(x float64) (drift, warning bool) {
	if d.drifted {
		*d = PageHinkley{WarmUp: d.WarmUp, Delta: d.Delta, Threshold: d.Threshold, Alpha: d.Alpha}
	}
	d.n++
	d.mean += (x - d.mean) / d.n
	d.sum = max(0, float64(d.Alpha*d.sum)+(x-d.mean-d.Delta))
	d.drifted = d.n+1 >= float64(d.WarmUp) && d.sum >= d.Threshold
	return d.drifted, false
}
