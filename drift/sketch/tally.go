package sketch

import (
	"cmp"
	"math"
	"slices"
)

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
	last := uint64(len(t.slots) - 1)
	for at := mix(math.Float64bits(v)) & last; ; at = (at + 1) & last {
		switch slot := &t.slots[at]; {
		case slot.Weight == 0:
			t.n++
			*slot = Point{v, weight}
			return
		case slot.Value == v:
			slot.Weight += weight
			return
		}
	}
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
	points := make([]Point, 0, t.n)
	for _, p := range t.slots {
		if p.Weight > 0 {
			points = append(points, p)
		}
	}
	slices.SortFunc(points, func(a, b Point) int { return cmp.Compare(a.Value, b.Value) })
	return points
}
