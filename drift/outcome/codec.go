package outcome

import (
	"encoding/binary"
	"fmt"
	"math"
)

// magic begins every encoded batch, magicGroups one that has groups, and magicMany
// one that has scores of several classes or features; the last letter is the version.
const (
	magic       = "ano1"
	magicGroups = "ano2"
	magicMany   = "ano3"
)

// Encode gives the batch as bytes: about 9 a row for classes, 8 more for each
// of numbers, scores and times.
func (b *Batch) Encode() []byte {
	out := []byte(magic)
	for _, n := range []int64{b.Rows, b.Ragged, b.Unusable, b.Untimed, int64(b.Level), int64(len(b.keys))} {
		out = binary.AppendVarint(out, n)
	}
	for _, k := range b.keys {
		out = binary.LittleEndian.AppendUint64(out, k)
	}
	out = b.classes.append(out)
	out = appendFloats(out, b.numbers)
	out = appendFloats(out, b.scores)
	out = binary.AppendVarint(out, int64(len(b.times)))
	for _, t := range b.times {
		out = binary.LittleEndian.AppendUint64(out, uint64(t))
	}
	out = b.versions.append(out)
	if len(b.groups) > 0 {
		copy(out, magicGroups)
		for _, g := range b.groups { // one for each key
			out = binary.LittleEndian.AppendUint64(out, g)
		}
	}
	if len(b.many) > 0 { // lists have no classes: there are no groups
		copy(out, magicMany)
		out = appendFloats(out, b.many)
	}
	return out
}

func (n names) append(out []byte) []byte {
	out = binary.AppendVarint(out, int64(len(n.list)))
	for _, name := range n.list {
		out = binary.AppendVarint(out, int64(len(name)))
		out = append(out, name...)
	}
	out = binary.AppendVarint(out, int64(len(n.of)))
	for _, i := range n.of {
		out = binary.AppendVarint(out, int64(i))
	}
	return out
}

func appendFloats(out []byte, values []float64) []byte {
	out = binary.AppendVarint(out, int64(len(values)))
	for _, v := range values {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return out
}

// Decode is the inverse of [Batch.Encode]. It refuses bytes that no batch gave.
func Decode(data []byte) (*Batch, error) {
	begins := string(data[:min(len(magic), len(data))])
	grouped, many := begins == magicGroups, begins == magicMany
	if begins != magic && !grouped && !many {
		return nil, fmt.Errorf("decode outcomes: %w: want %q at the beginning", errDamaged, magic)
	}
	d := decoder{b: data[len(magic):]}
	b := &Batch{Rows: d.number(), Ragged: d.number(), Unusable: d.number(), Untimed: d.number(), Level: int(d.number())}
	n := d.size(8)
	for range n {
		b.keys = append(b.keys, d.word())
	}
	b.classes = d.names()
	b.numbers, b.scores = d.floats(), d.floats()
	for range d.size(8) {
		b.times = append(b.times, int64(d.word()))
	}
	b.versions = d.names()
	if grouped {
		for range n {
			b.groups = append(b.groups, d.word())
		}
		d.bad = d.bad || n == 0
	}
	if many {
		for range d.size(8) {
			b.many = append(b.many, math.Float64frombits(d.word())) // a feature may be missing
		}
		d.bad = d.bad || n == 0 || len(b.many) == 0 || len(b.many)%n != 0
	}
	for _, column := range []int{len(b.classes.of), len(b.numbers), len(b.scores), len(b.times), len(b.versions.of)} {
		d.bad = d.bad || column != 0 && column != n
	}
	if d.bad || len(d.b) > 0 || b.Level > 63 || n > MostRows {
		return nil, fmt.Errorf("decode outcomes: %w", errDamaged)
	}
	return b, nil
}

// A decoder reads what was appended. After damage it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

// number reads a number that is not negative.
func (d *decoder) number() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || v < 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// size reads how many parts follow, of at least so many bytes each.
func (d *decoder) size(each int) int {
	n := d.number()
	if n > int64(len(d.b)/each) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) word() uint64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) floats() []float64 {
	var values []float64
	for range d.size(8) {
		v := math.Float64frombits(d.word())
		d.bad = d.bad || v-v != 0
		values = append(values, v)
	}
	return values
}

func (d *decoder) names() names {
	var n names
	for range d.size(1) {
		size := d.size(1)
		n.list = append(n.list, string(d.b[:size]))
		d.b = d.b[size:]
	}
	for range d.size(1) {
		i := d.number()
		d.bad = d.bad || i >= int64(len(n.list))
		n.of = append(n.of, uint32(i))
	}
	return n
}
