package stream

import "math"

// ADWIN is the adaptive window (Bifet and Gavaldà, SDM 2007): it keeps as many
// of the latest values as have one mean, in buckets whose sizes are powers of
// two, and finds drift where two parts of the window have different means.
type ADWIN struct {
	Delta     float64 // probability of a false drift
	Clock     int     // values between two looks
	Buckets   int     // of one size
	MinWindow int     // values in either part
	Grace     int     // values before the first look
	// Keep keeps the newer part of the window after drift, as the paper does.
	// Otherwise it starts afresh, as River's detector does.
	Keep bool

	rows     [][]bucket // rows[i] has buckets of 2^i values, the oldest first
	n        float64
	total    float64
	variance float64 // times n
	ticks    int
	drifted  bool
}

// A bucket sums up values that came one after the other.
type bucket struct{ total, variance float64 }

// NewADWIN gives a detector with delta 0.002, a look at every 32nd value, five
// buckets of a size, parts of five values, and ten before the first look.
func NewADWIN(keep bool) *ADWIN {
	return &ADWIN{Delta: 0.002, Clock: 32, Buckets: 5, MinWindow: 5, Grace: 10, Keep: keep}
}

// Width is how many values the window has.
func (d *ADWIN) Width() int { return int(d.n) }

// Mean is the mean of the window, 0 where it is empty.
func (d *ADWIN) Mean() float64 {
	if d.n == 0 {
		return 0
	}
	return d.total / d.n
}

// Add takes the next value. There are no warnings.
func (d *ADWIN) Add(x float64) (drift, warning bool) {
	if d.drifted && !d.Keep {
		*d = ADWIN{Delta: d.Delta, Clock: d.Clock, Buckets: d.Buckets, MinWindow: d.MinWindow, Grace: d.Grace}
	}
	d.insert(x)
	d.ticks++
	d.drifted = false
	if d.ticks%d.Clock == 0 && d.n > float64(d.Grace) {
		for d.cut() {
			d.drifted = true
			d.drop()
		}
	}
	return d.drifted, false
}

// insert puts x into a bucket of its own, and joins two buckets of a size
// wherever there are too many of it.
func (d *ADWIN) insert(x float64) {
	if d.rows == nil {
		d.rows = make([][]bucket, 1)
	}
	d.rows[0] = append(d.rows[0], bucket{total: x})
	d.n++
	if d.n > 1 {
		off := x - d.total/(d.n-1)
		d.variance += (d.n - 1) * off * off / d.n
	}
	d.total += x
	for i := 0; i < len(d.rows) && len(d.rows[i]) > d.Buckets; i++ {
		if i+1 == len(d.rows) {
			d.rows = append(d.rows, nil)
		}
		size := math.Ldexp(1, i)
		a, b := d.rows[i][0], d.rows[i][1]
		off := a.total/size - b.total/size
		d.rows[i+1] = append(d.rows[i+1], bucket{
			total:    a.total + b.total,
			variance: a.variance + b.variance + size*size*off*off/(size+size),
		})
		d.rows[i] = append(d.rows[i][:0], d.rows[i][2:]...)
	}
}

// drop leaves out the oldest bucket.
func (d *ADWIN) drop() {
	last := len(d.rows) - 1
	size := math.Ldexp(1, last)
	b := d.rows[last][0]
	d.n -= size
	d.total -= b.total
	off := b.total/size - d.total/d.n
	d.variance -= b.variance + size*d.n*off*off/(size+d.n)
	d.rows[last] = append(d.rows[last][:0], d.rows[last][1:]...)
	if len(d.rows[last]) == 0 {
		d.rows = d.rows[:last]
	}
}

// cut reports whether there is a place between two buckets where the means on
// both sides differ by more than chance. River does not look behind the newest
// bucket of each size.
func (d *ADWIN) cut() bool {
	var before, sum float64 // values up to the place, and their sum
	rest := d.total
	for i := len(d.rows) - 1; i >= 0; i-- {
		for _, b := range d.rows[i][:max(0, len(d.rows[i])-1)] {
			before += math.Ldexp(1, i)
			sum += b.total
			rest -= b.total
			after := d.n - before
			if min(before, after) < float64(d.MinWindow) {
				continue
			}
			if math.Abs(sum/before-rest/after) > d.bound(before, after) {
				return true
			}
		}
	}
	return false
}

// bound is how far the means of two parts may differ by chance.
func (d *ADWIN) bound(before, after float64) float64 {
	confidence := math.Log(2 * math.Log(d.n) / d.Delta)
	parts := 1/(before-float64(d.MinWindow)+1) + 1/(after-float64(d.MinWindow)+1)
	return math.Sqrt(2*parts*(d.variance/d.n)*confidence) + float64(2.0/3*confidence*parts)
}
