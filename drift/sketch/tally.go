package sketch

import (
	"math"
	"math/bits"
)

// A tally counts different numbers, in a table of which an eighth at least is free.
// The zero value is empty.
type tally struct {
	slots []Point // free where the weight is 0
	n     int     // that are taken
}

// full is how many slots Exact numbers take: a column may have that many, and there
// may be many columns.
const full = Exact*8/7 + 1

// add counts v, which is not -0, weight times more.
func (t *tally) add(v float64, weight int64) {
	if 8*t.n >= 7*len(t.slots) {
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
	size := max(16, 2*len(old))
	if len(old) < full && size > full {
		size = full
	}
	*t = tally{slots: make([]Point, size)}
	for _, p := range old {
		if p.Weight > 0 {
			t.add(p.Value, p.Weight)
		}
	}
}

// slot is where v is counted, or the free one where it would be.
func (t *tally) slot(v float64) *Point {
	at, _ := bits.Mul64(mix(math.Float64bits(v)), uint64(len(t.slots)))
	for {
		slot := &t.slots[at]
		if slot.Weight == 0 || slot.Value == v {
			return slot
		}
		if at++; at == uint64(len(t.slots)) {
			at = 0
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
