package sketch

import (
	"math"
	"math/bits"
)

// A tally counts different numbers, in a table of which an eighth at least is free.
// The zero value is empty.
type tally struct {
	slots  []slot            // free where the count is 0
	n      int               // that are taken
	beyond map[float64]int64 // what counts would come to beyond their slots
}

// A slot has a number and how often it came, in three quarters of the room of a
// [Point]: all columns of a wide table may have full tallies at the same time.
type slot struct{ low, high, count uint32 }

func (s *slot) value() float64 { return math.Float64frombits(uint64(s.high)<<32 | uint64(s.low)) }

// full is how many slots Exact numbers take: a column may have that many, and there
// may be many columns.
const full = Exact*8/7 + 1

// add counts v, which is not -0, weight times more.
func (t *tally) add(v float64, weight int64) {
	if 8*t.n >= 7*len(t.slots) {
		t.grow()
	}
	s := t.slot(v)
	if s.count == 0 {
		b := math.Float64bits(v)
		s.low, s.high = uint32(b), uint32(b>>32)
		t.n++
	}
	if weight += int64(s.count); weight > math.MaxUint32 {
		if t.beyond == nil {
			t.beyond = map[float64]int64{}
		}
		t.beyond[v] += weight - 1
		weight = 1
	}
	s.count = uint32(weight)
}

func (t *tally) grow() {
	old := t.slots
	size := max(16, 2*len(old))
	if len(old) < full && size > full/2 { // at once, for less that is thrown away
		size = full
	}
	*t = tally{slots: make([]slot, size), beyond: t.beyond}
	for i := range old {
		if s := &old[i]; s.count > 0 {
			t.add(s.value(), int64(s.count))
		}
	}
}

// slot is where v is counted, or the free one where it would be.
func (t *tally) slot(v float64) *slot {
	b := math.Float64bits(v)
	at, _ := bits.Mul64(mix(b), uint64(len(t.slots)))
	for {
		s := &t.slots[at]
		if s.count == 0 || s.low == uint32(b) && s.high == uint32(b>>32) {
			return s
		}
		if at++; at == uint64(len(t.slots)) {
			at = 0
		}
	}
}

// values are the different numbers, in rising order.
func (t *tally) values() []float64 {
	values := make([]float64, 0, t.n)
	for i := range t.slots {
		if s := &t.slots[i]; s.count > 0 {
			values = append(values, s.value())
		}
	}
	sortValues(values)
	return values
}

// weight is how often a number came that did.
func (t *tally) weight(s *slot) int64 {
	weight := int64(s.count)
	if t.beyond != nil {
		weight += t.beyond[s.value()]
	}
	return weight
}

// points are what was counted, in rising order.
func (t *tally) points() []Point {
	values := t.values()
	points := make([]Point, len(values))
	for i, v := range values {
		points[i] = Point{v, t.weight(t.slot(v))}
	}
	return points
}
