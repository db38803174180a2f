package sketch

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// errDamaged is all there is to say of bytes that no encoder wrote: the
// checksum of whoever keeps them finds real damage.
var errDamaged = errors.New("damaged sketch")

// AppendBinary appends the encoded moments to b.
func (m *Moments) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendVarint(b, m.N)
	for _, v := range []float64{m.Mean, m.M2, m.Min, m.Max} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b, nil
}

// UnmarshalBinary is the inverse of AppendBinary.
func (m *Moments) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	*m = Moments{N: d.count(), Mean: d.float(), M2: d.float(), Min: d.float(), Max: d.float()}
	return d.end()
}

// AppendBinary appends the encoded distribution to b: at most 50 KB after
// [Quantiles.Trim].
func (q *Quantiles) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendVarint(b, q.n)
	b = binary.AppendVarint(b, int64(len(q.levels)))
	if q.levels == nil {
		points := q.table.points()
		values := make([]float64, len(points))
		for i, p := range points {
			values[i] = p.Value
		}
		b = appendFloats(b, values)
		for _, p := range points {
			b = binary.AppendVarint(b, p.Weight)
		}
		return b, nil
	}
	b = binary.LittleEndian.AppendUint64(b, q.coin)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(q.worst))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(q.spread))
	for h, l := range q.levels {
		if h == 0 {
			l = slices.Sorted(slices.Values(l))
		}
		b = appendFloats(b, l)
	}
	return append(b, q.distinct.registers...), nil
}

// UnmarshalBinary is the inverse of AppendBinary.
func (q *Quantiles) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	*q = Quantiles{n: d.count()}
	levels := d.count()
	if levels > 64 {
		return errDamaged
	}
	var n int64
	if levels == 0 {
		values := d.floats()
		if len(values) > Exact {
			return errDamaged
		}
		for _, v := range values {
			weight := d.count()
			if weight == 0 {
				return errDamaged
			}
			q.table.add(v+0, weight)
			n += weight
		}
	} else {
		q.coin, q.worst, q.spread = d.uint64(), d.float(), d.float()
		for h := range levels {
			q.levels = append(q.levels, d.floats())
			q.size += len(q.levels[h])
			n += int64(len(q.levels[h])) << h
		}
	}
	if d.bad || n != q.n {
		return errDamaged
	}
	if levels > 0 {
		q.measure()
		q.pack(0)
	}
	return q.distinct.decode(d.b)
}

// decode takes the registers, which a sketch keeps at its end.
func (d *distinct) decode(b []byte) error {
	if len(b) != 0 && len(b) != 1<<precision {
		return errDamaged
	}
	for _, r := range b {
		if r > 64-precision+1 {
			return errDamaged
		}
	}
	d.registers = nil
	if len(b) > 0 {
		d.registers = slices.Clone(b)
	}
	return nil
}

// AppendBinary appends the encoded categories to b.
func (c *Categories) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendVarint(b, c.n)
	b = binary.AppendVarint(b, c.missed)
	list := c.List()
	b = binary.AppendVarint(b, int64(len(list)))
	for _, x := range list {
		b = binary.AppendVarint(b, int64(len(x.Name)))
		b = append(b, x.Name...)
		b = binary.AppendVarint(b, x.Count)
	}
	return append(b, c.distinct.registers...), nil
}

// UnmarshalBinary is the inverse of AppendBinary.
func (c *Categories) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	*c = Categories{n: d.count(), missed: d.count()}
	for range d.count() {
		if d.bad {
			return errDamaged
		}
		if c.counts == nil {
			c.counts = map[string]*int64{}
		}
		name := string(d.take(d.count()))
		c.counts[name] = new(d.count())
	}
	if d.bad {
		return errDamaged
	}
	return c.distinct.decode(d.b)
}

// appendFloats appends sorted numbers, all first bytes, then all second ones,
// and so on: neighbours share their first bytes, which a compressor then sees.
func appendFloats(b []byte, values []float64) []byte {
	b = binary.AppendVarint(b, int64(len(values)))
	for shift := 56; shift >= 0; shift -= 8 {
		for _, v := range values {
			b = append(b, byte(math.Float64bits(v)>>shift))
		}
	}
	return b
}

// A decoder reads what was appended. After damage it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

// count reads a number that is not negative.
func (d *decoder) count() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || v < 0 {
		d.bad = true
		d.b = nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		d.b = nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n int64) []byte {
	if n > int64(len(d.b)) {
		d.bad = true
		d.b = nil
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) uint64() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (d *decoder) float() float64 { return math.Float64frombits(d.uint64()) }

// floats reads finite numbers in rising order.
func (d *decoder) floats() []float64 {
	n := d.count()
	if n > int64(len(d.b))/8 {
		d.bad = true
		return nil
	}
	planes := d.take(8 * n)
	values := make([]float64, n)
	for i := range values {
		var bits uint64
		for p := range int64(8) {
			bits = bits<<8 | uint64(planes[p*n+int64(i)])
		}
		values[i] = math.Float64frombits(bits)
		if math.IsNaN(values[i]) || math.IsInf(values[i], 0) || i > 0 && values[i] < values[i-1] {
			d.bad = true
			return nil
		}
	}
	return values
}

func (d *decoder) end() error {
	if d.bad || len(d.b) > 0 {
		return errDamaged
	}
	return nil
}
