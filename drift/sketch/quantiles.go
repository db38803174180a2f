package sketch

import (
	"math"
	"math/bits"
	"slices"
)

const (
	// Exact is up to how many different values [Quantiles] counts each of them:
	// below it nothing is estimated.
	Exact = 4096

	// k is the capacity of the top level. With 2048 the stated error stays
	// below 0.004 up to 2^40 values, in about 6,200 numbers.
	k = 2048

	// buffer is how many values are sorted at a time, once there are many.
	buffer = 1024
)

// Quantiles is the distribution of a column of numbers. While they take at
// most [Exact] different values it is a table of value and count; beyond, a KLL
// sketch (Karnin, Lang, Liberty: Optimal Quantile Approximation in Streams,
// FOCS 2016) whose coins are thrown by the values themselves. Its lowest levels,
// which cost the most and hold the least, are none: see base.
//
// The zero value is empty. NaN must not be added.
type Quantiles struct {
	n     int64
	table tally // empty once there is a sketch

	levels [][]float64 // a value on level h stands for 2^h; sorted but for level 0
	packed []float64   // ends with the levels above 0, one behind the other; see put
	size   int         // values on all levels
	room   int         // values that fit
	coin   uint64

	// What the compactions may have done to any rank: worst is the sum of
	// their weights, and spread the sum of squares.
	worst, spread float64

	distinct distinct // once there is a sketch
}

// N is the number of values added.
func (q *Quantiles) N() int64 { return q.n }

// Add adds values.
func (q *Quantiles) Add(values ...float64) {
	if q.levels == nil {
		values = q.count(values)
	}
	q.n += int64(len(values))
	q.distinct.numbers(values)
	for len(values) > 0 {
		take := q.room - q.size
		switch {
		case q.base() > 0:
			take = buffer - len(q.levels[0])
			if take <= 0 {
				q.pass()
				continue
			}
		case take <= 0:
			q.compress()
			continue
		}
		take = min(len(values), take)
		q.levels[0] = append(q.levels[0], values[:take]...)
		q.size += take
		values = values[take:]
	}
}

// Trim brings the values down to what [Quantiles.AppendBinary] promises, and gives back
// the room that nothing is in, to be called after the last Add.
func (q *Quantiles) Trim() {
	if q.levels != nil && q.base() > 0 {
		q.pass()
	}
	if q.levels != nil {
		q.levels[0] = slices.Clone(q.levels[0])
		q.pack(0)
	}
}

// base is the lowest level that holds more than an odd value. What comes goes right
// up to it, a buffer at a time: the coins for that move a rank by less than 2^base
// each, of which there are n/buffer, so the sum of squares is a tenth of what the
// levels above bring.
func (q *Quantiles) base() int { return max(0, (len(q.levels)-2)/2) }

// pass has what is below the base go up to it.
func (q *Quantiles) pass() {
	if len(q.levels[0]) == buffer {
		q.leap(min(q.base(), bits.Len(buffer-1)))
	} else {
		sortValues(q.levels[0])
	}
	for h := range q.base() {
		if len(q.levels[h]) > 1 {
			q.compact(h)
		}
	}
	if l := q.levels[0]; cap(l) > buffer { // from when it was all there was
		q.levels[0] = append(make([]float64, 0, buffer), l...)
	}
	for q.size > q.room {
		q.compress()
	}
}

// leap has a full buffer go up to level h at once: of its values in their order each
// 2^h-th, from one on that the coin chooses. That is off from a rank by less than
// 2^h, in a range of 2^h and by nothing in the mean, so that Hoeffding's bound takes
// it for a coin of half the weight.
func (q *Quantiles) leap(h int) {
	low := q.levels[0]
	all := q.coin
	for _, v := range low {
		all ^= math.Float64bits(v) // whatever their order: see AppendBinary
	}
	q.coin = mix(all)
	up := everyOf((*[buffer]float64)(low), int(q.coin>>(64-h)), 1<<h)
	q.put(h, up)
	q.levels[0] = low[:0]
	q.size -= len(low) - len(up)
	weight := float64(uint64(1) << h)
	q.worst += weight - 1
	q.spread += weight * weight / 4
}

// count adds values to the table, up to the one that finds it full, and gives
// back the rest.
func (q *Quantiles) count(values []float64) []float64 {
	for i, v := range values {
		q.n++
		if q.table.add(v+0, 1); q.table.n > Exact { // -0 is 0
			q.spill()
			return values[i+1:]
		}
	}
	return nil
}

// spill turns the table into a sketch. No rank changes by it.
func (q *Quantiles) spill() {
	table := q.table
	q.table = tally{}
	q.levels = make([][]float64, 1)
	q.addTable(&table)
}

// addTable puts counted values on the levels. A value counted c times goes
// on the highest level that as many values would have filled, as often as it
// fits, and the rest of it below: no rank changes by it.
func (q *Quantiles) addTable(table *tally) {
	top := max(0, bits.Len64(uint64(q.n/k))-1)
	for len(q.levels) <= top {
		q.levels = append(q.levels, nil)
	}
	// Each level is made room for at once, as all columns come here at the same time.
	more := make([]int, top+1)
	for i := range table.slots {
		weight := table.weight(&table.slots[i])
		for h := range top {
			more[h] += int(weight >> h & 1)
		}
		more[top] += int(weight >> top)
	}
	for h, n := range more {
		q.levels[h] = slices.Grow(q.levels[h], n)
		q.size += n
	}
	for _, v := range table.values() {
		q.distinct.number(v)
		weight := table.weight(table.slot(v))
		for h := range top {
			if weight>>h&1 == 1 {
				q.levels[h] = append(q.levels[h], v)
			}
		}
		for range weight >> top {
			q.levels[top] = append(q.levels[top], v)
		}
	}
	for _, l := range q.levels {
		slices.Sort(l)
	}
	q.fit()
}

// Merge adds what o has counted. o stays as it is.
func (q *Quantiles) Merge(o *Quantiles) {
	switch {
	case o.n == 0:
		return
	case q.levels == nil && o.levels == nil:
		for _, p := range o.table.points() {
			q.table.add(p.Value, p.Weight)
		}
		q.n += o.n
		if q.table.n > Exact {
			q.spill()
		}
		return
	case o.levels == nil:
		q.n += o.n
		q.addTable(&o.table)
		return
	case q.levels == nil:
		table := q.table
		*q = Quantiles{n: q.n, levels: make([][]float64, 1)}
		defer func() { q.addTable(&table) }()
	}
	q.n += o.n
	q.distinct.merge(&o.distinct)
	q.worst += o.worst
	q.spread += o.spread
	q.coin = mix(q.coin ^ mix(o.coin))
	for h, l := range o.levels {
		if h == len(q.levels) {
			q.levels = append(q.levels, nil)
		}
		q.levels[h] = append(q.levels[h], l...)
		slices.Sort(q.levels[h])
		q.size += len(l)
	}
	q.fit()
}

// fit sets the room for the number of levels, wherever they lie, and compresses into it.
func (q *Quantiles) fit() {
	q.measure()
	q.pack(0)
	if q.base() > 0 {
		q.pass()
	}
	for q.size > q.room {
		q.compress()
	}
}

// measure sets the room for the number of levels.
func (q *Quantiles) measure() {
	q.room = 0
	for h := range q.levels {
		q.room += q.capacity(h)
	}
}

// capacity is how many values level h holds before it is compacted: k on the
// top, two thirds of the level above on each other down to the base, and an odd
// one below.
func (q *Quantiles) capacity(h int) int {
	if h < q.base() {
		return 2
	}
	c := float64(k)
	for range len(q.levels) - 1 - h {
		c *= 2. / 3
	}
	return max(8, int(c))
}

// compress compacts the lowest level that is full, for room.
func (q *Quantiles) compress() {
	h := 0
	for len(q.levels[h]) < q.capacity(h) {
		h++ // size >= room: there is one
	}
	if h == 0 {
		sortValues(q.levels[0])
	}
	q.compact(h)
}

// compact compacts level h, which is sorted and has two values at least.
func (q *Quantiles) compact(h int) {
	if h == len(q.levels)-1 {
		q.levels = append(q.levels, nil)
		defer q.measure()
	}
	low := q.levels[h]
	keep := len(low) % 2 // an odd one stays
	pairs := low[keep:]

	// Of every two neighbours one goes up, for both: the first or the second
	// throughout, as the coin falls. That moves a rank by nothing or 2^h.
	q.coin = mix(q.coin ^ math.Float64bits(pairs[0]) ^ bits.RotateLeft64(math.Float64bits(pairs[len(pairs)/2]), 21) ^
		bits.RotateLeft64(math.Float64bits(pairs[len(pairs)-1]), 42))
	up := pairs[:len(pairs)/2]
	for i, from := 0, int(q.coin>>63); i < len(up); i++ {
		up[i] = pairs[2*i+from]
	}
	if h == 0 {
		q.levels[0] = low[:keep]
		q.put(1, up)
	} else {
		// They go up over those that do not, and what is below closes up to them.
		begin, above := q.begin(1), q.begin(h+1)
		mergeSorted(q.packed[above-len(up):], up, q.levels[h+1])
		copy(q.packed[begin+len(up):], q.packed[begin:above-len(pairs)])
		q.lay(h, keep, len(q.levels[h+1])+len(up))
	}
	q.size -= len(up)
	weight := float64(uint64(1) << h)
	q.worst += weight
	q.spread += weight * weight
}

// put merges sorted values into level h, which is above 0.
//
// Any level may come to hold half of all values, but not at the same time as the
// others: so they share one array, of which the top level is the end, and what is below
// a level makes way for it.
func (q *Quantiles) put(h int, up []float64) {
	if n := len(up) - q.begin(1); n > 0 {
		if q.base() > 0 { // there will be as many as there is room for, and what goes up of a buffer
			n = max(n, q.room+buffer/2-len(q.packed))
		}
		q.pack(q.begin(1) + n)
	}
	begin, at := q.begin(1), q.begin(h)
	copy(q.packed[begin-len(up):], q.packed[begin:at])
	mergeSorted(q.packed[at-len(up):], up, q.levels[h])
	q.lay(h-1, len(q.levels[h-1]), len(q.levels[h])+len(up))
}

// begin is where level h, which is above 0, begins in packed.
func (q *Quantiles) begin(h int) int {
	at := len(q.packed)
	for _, l := range q.levels[h:] {
		at -= len(l)
	}
	return at
}

// pack has the levels lie in an array with room for more values.
func (q *Quantiles) pack(more int) {
	levels := q.levels[1:]
	for _, l := range levels {
		more += len(l)
	}
	q.packed = make([]float64, more)
	at := q.begin(1)
	for h, l := range levels {
		end := at + copy(q.packed[at:], l)
		levels[h], at = q.packed[at:end:end], end
	}
}

// lay finds the levels in packed, where h and the one above have n and m values now.
func (q *Quantiles) lay(h, n, m int) {
	end := len(q.packed)
	for l := len(q.levels) - 1; l > 0; l-- {
		begin := end - len(q.levels[l])
		switch l {
		case h:
			begin = end - n
		case h + 1:
			begin = end - m
		}
		q.levels[l], end = q.packed[begin:end:end], begin
	}
}

// mergeSorted merges two sorted lists into to, which is as long as both or longer. The
// second lies where it would end.
func mergeSorted(to, a, b []float64) {
	for k := 0; len(a) > 0; k++ {
		if len(b) > 0 && b[0] <= a[0] {
			to[k], b = b[0], b[1:]
		} else {
			to[k], a = a[0], a[1:]
		}
	}
}

// Error is the stated error e of any share: that of the values <= x is within
// e of what [Quantiles.Points] gives, for all x at once. It is 0 while nothing
// is estimated. Otherwise it is the smaller of what the compactions can have
// done at worst, and Hoeffding's bound of their sum, on 20,000 ranks at once
// and with 5e-9 each: beyond it less than once in 10,000 sketches.
func (q *Quantiles) Error() float64 {
	if q.n == 0 || q.worst == 0 {
		return 0
	}
	return min(q.worst/float64(q.n), q.likely()+rankStep)
}

// Whole reports whether every value is kept.
func (q *Quantiles) Whole() bool { return q.levels == nil }

// Distinct is how many different values there are, estimated to 2.3 % once they
// are not all in the table.
func (q *Quantiles) Distinct() int64 {
	if q.levels == nil {
		return int64(q.table.n)
	}
	return q.distinct.estimate()
}

// A Point is a value and how many values it stands for.
type Point struct {
	Value  float64
	Weight int64
}

// Points are the distribution: different values in rising order, whose weights
// add up to N.
func (q *Quantiles) Points() []Point {
	if q.levels == nil {
		return q.table.points()
	}
	points := make([]Point, 0, q.size)
	for h, l := range q.levels {
		for _, v := range l {
			points = append(points, Point{v, 1 << h})
		}
	}
	slices.SortFunc(points, func(a, b Point) int {
		switch {
		case a.Value < b.Value:
			return -1
		case a.Value > b.Value:
			return 1
		}
		return 0
	})
	to := 0
	for _, p := range points {
		if to > 0 && points[to-1].Value == p.Value {
			points[to-1].Weight += p.Weight
			continue
		}
		points[to] = p
		to++
	}
	return points[:to]
}

// mix is the finalizer of SplitMix64: every bit of z decides every bit.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
