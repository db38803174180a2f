package sketch

import (
	"math"
	"slices"
)

// sortValues sorts numbers that are not NaN. It sorts by the 24 bits in which the
// smallest and the largest first differ, eight at a time, which takes a third of the
// time of comparing; what is left in disorder is few, or sorted as ever.
func sortValues(values []float64) {
	n := len(values)
	if n < 64 || n > math.MaxUint16 {
		slices.Sort(values)
		return
	}
	switch {
	case n <= buffer:
		var room [2 * buffer]uint64
		sortIn(values, room[:n], room[buffer:][:n])
	case n <= full:
		sortTally(values)
	default:
		sortIn(values, make([]uint64, n), make([]uint64, n))
	}
}

// sortTally is sortValues of as many as a tally may have: all columns of a wide table
// come to that at the same time, and should not ask the heap for it. Others do without
// such a stack.
//
//go:noinline
func sortTally(values []float64) {
	var room [2 * full]uint64
	sortIn(values, room[:len(values)], room[full:][:len(values)])
}

// sortIn is sortValues with room of as many integers, twice.
func sortIn(values []float64, a, b []uint64) {
	n := len(values)
	low, high := ^uint64(0), uint64(0)
	for i, v := range values {
		o := order(v)
		a[i] = o
		low, high = min(low, o), max(high, o)
	}
	shift := 0
	for (high-low)>>shift >= 1<<24 {
		shift++
	}
	var counts [3][256]uint16
	for _, o := range a {
		digits := (o - low) >> shift
		counts[0][digits&255]++
		counts[1][digits>>8&255]++
		counts[2][digits>>16&255]++
	}
	for pass := range counts {
		at := &counts[pass]
		sum := uint16(0)
		for i, c := range at {
			at[i] = sum
			sum += c
		}
		by := shift + 8*pass
		for _, o := range a {
			digit := (o - low) >> by & 255
			b[at[digit]] = o
			at[digit]++
		}
		a, b = b, a
	}
	moves := 0
	for i := 1; i < n; i++ {
		o, j := a[i], i
		for ; j > 0 && a[j-1] > o; j-- {
			a[j] = a[j-1]
		}
		a[j] = o
		if moves += i - j; moves > 4*n {
			slices.Sort(a)
			break
		}
	}
	for i, o := range a {
		values[i] = number(o)
	}
}

// order is a number whose order among integers is that of v among numbers.
func order(v float64) uint64 {
	b := math.Float64bits(v)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// number is the inverse of order.
func number(o uint64) float64 {
	return math.Float64frombits(o ^ (uint64(int64(^o)>>63) | 1<<63))
}

// parts are so many that most hold one value of a buffer, or none.
const parts = 2 * buffer

// everyOf gives each step-th of values in their order, from that of rank first on, in
// the place of values. They are parted by where they lie between the smallest and the
// largest, and only parts that something is taken from are sorted.
func everyOf(values *[buffer]float64, first, step int) []float64 {
	low, high := values[0], values[0]
	for _, v := range values {
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	scale := (parts - 1) / (high - low)
	if !(scale > 0 && scale <= math.MaxFloat64) { // all are the same, or differ by nearly nothing or too much
		scale = 0
	}
	var of [buffer]uint16 // which part each value is in
	var ends [parts]uint16
	for i, v := range values {
		part := uint16(int((v-low)*scale)) % parts
		of[i] = part
		ends[part]++
	}
	end := uint16(0)
	for i, n := range ends {
		ends[i] = end // where it begins, yet
		end += n
	}
	var parted [buffer]float64
	for i, v := range values {
		at := &ends[of[i]%parts]
		parted[*at%buffer] = v
		*at++
	}
	taken, sorted := 0, 0
	for rank := first; rank < buffer; rank += step {
		if rank >= sorted {
			part := int((parted[rank]-low)*scale) % parts
			begin := 0
			if part > 0 {
				begin = int(ends[part-1])
			}
			sorted = int(ends[part])
			if sorted-begin > 16 {
				sortValues(parted[begin:sorted])
			} else {
				insert(parted[begin:sorted])
			}
		}
		values[taken] = parted[rank]
		taken++
	}
	return values[:taken]
}

// insert sorts a few values.
func insert(values []float64) {
	for i := 1; i < len(values); i++ {
		v, j := values[i], i
		for ; j > 0 && values[j-1] > v; j-- {
			values[j] = values[j-1]
		}
		values[j] = v
	}
}
