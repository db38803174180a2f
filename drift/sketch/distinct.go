package sketch

import (
	"math"
	"math/bits"
)

// precision is the logarithm of the number of registers: 2,048 give a standard
// error of 2.3 % in as many bytes.
const precision = 11

// distinct estimates how many different values there are, by HyperLogLog
// (Flajolet et al. 2007) with Ertl's improved estimator (arXiv 1702.01284), so
// that no range needs its own correction. The zero value is empty.
type distinct struct {
	registers []uint8 // nil while empty
}

// number adds a number.
func (d *distinct) number(v float64) {
	if v == 0 {
		v = 0 // -0 is 0
	}
	d.add(mix(math.Float64bits(v)))
}

// numbers adds numbers.
func (d *distinct) numbers(values []float64) {
	if d.registers == nil {
		d.registers = make([]uint8, 1<<precision)
	}
	registers := (*[1 << precision]uint8)(d.registers)
	for _, v := range values {
		h := mix(math.Float64bits(v + 0)) // -0 is 0
		// A rank above a register's is rare: it has as many zeros in front.
		i := h >> (64 - precision)
		if h<<precision>>(64-registers[i]) == 0 {
			d.add(h)
		}
	}
}

// string adds a string.
func (d *distinct) string(s string) { d.add(Hash(s)) }

func (d *distinct) add(h uint64) {
	if d.registers == nil {
		d.registers = make([]uint8, 1<<precision)
	}
	i := h >> (64 - precision)
	rank := uint8(min(bits.LeadingZeros64(h<<precision), 64-precision) + 1)
	if rank > d.registers[i] {
		d.registers[i] = rank
	}
}

// merge adds what o has seen.
func (d *distinct) merge(o *distinct) {
	if o.registers == nil {
		return
	}
	if d.registers == nil {
		d.registers = make([]uint8, 1<<precision)
	}
	for i, r := range o.registers {
		d.registers[i] = max(d.registers[i], r)
	}
}

// estimate is the number of different values, with a standard error of 2.3 %.
func (d *distinct) estimate() int64 {
	if d.registers == nil {
		return 0
	}
	const m, q = 1 << precision, 64 - precision
	var c [q + 2]float64
	for _, r := range d.registers {
		c[r]++
	}
	z := m * tau(1-c[q+1]/m)
	for i := q; i >= 1; i-- {
		z = (z + c[i]) / 2
	}
	z += m * sigma(c[0]/m)
	return int64(math.Round(m * m / (2 * math.Ln2) / z))
}

// sigma and tau are Ertl's series for the registers at zero and at their end.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		was := z
		z += x * y
		y += y
		if z == was {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		was := z
		y /= 2
		z -= (1 - x) * (1 - x) * y
		if z == was {
			return z / 3
		}
	}
}

// Hash is FNV-1a, mixed: equal in every version and on every machine.
func Hash[S string | []byte](s S) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}
