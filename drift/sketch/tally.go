package sketch

import "math"

// A tally counts different numbers, in a table of which a quarter at least is free.
// The zero value is empty.
type tally struct {
	slots []Point // a power of two of them; free where the weight is 0
	n     int     // that are taken
}

// add counts v, which is not -0, weight times more.
func (t *tally) add(v float64, weight int64) {
	if 4*t.n >= 3*len(t.slots) {
		t.grow()
	}
	slot := t.slot(v)
	if slot.Weight == 0 {
		slot.Value = v
		t.n++
	}
	slot.Weight += weight
}

func (t *tally) grow() {
	old := t.slots
	*t = tally{slots: make([]Point, max(16, 2*len(old)))}
	for _, p := range old {
		if p.Weight > 0 {
			t.add(p.Value, p.Weight)
		}
	}
}

// points are what was counted, in rising order.
func (t *tally) points() []Point {
	values := make([]float64, 0, t.n)
	for _, p := range t.slots {
		if p.Weight > 0 {
			values = append(values, p.Value)
		}
	}
	sortValues(values)
	points := make([]Point, len(values))
	for i, v := range values {
		points[i] = *t.slot(v)
	}
	return points
}

// slot is where v is counted, or the free one where it would be.
func (t *tally) slot(v float64) *Point {
	last := uint64(len(t.slots) - 1)
	at := mix(math.Float64bits(v)) & last
	for t.slots[at].Weight > 0 && t.slots[at].Value != v {
		at = (at + 1) & last
	}
	return &t.slots[at]
}
