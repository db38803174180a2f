package sketch

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// MostRepeats is how many different rows [Repeats] tells apart at a time.
const MostRepeats = 1 << 16

// Repeats finds how many of many rows are there already, by hashes of theirs. It is
// exact up to [MostRepeats] different ones; beyond, it keeps those of every second
// hash, then of every fourth, and so on, each with how often it came: of a row that
// is kept, all repetitions are. The zero value is empty.
type Repeats struct {
	rows  int64
	level int
	times map[uint64]int64 // by hash, of those that are kept
}

// kept reports whether a hash is among those kept.
func (r *Repeats) kept(hash uint64) bool { return hash>>(64-r.level) == 0 }

// Add adds a row by its hash.
func (r *Repeats) Add(hash uint64) {
	r.rows++
	if r.kept(hash) {
		r.count(hash, 1)
	}
}

func (r *Repeats) count(hash uint64, times int64) {
	if r.times == nil {
		r.times = map[uint64]int64{}
	}
	r.times[hash] += times
	for len(r.times) > MostRepeats {
		r.level++
		maps.DeleteFunc(r.times, func(hash uint64, _ int64) bool { return !r.kept(hash) })
	}
}

// Merge adds the rows of o, which stays as it is. The order of merging changes
// nothing.
func (r *Repeats) Merge(o *Repeats) {
	r.rows += o.rows
	if o.level > r.level {
		r.level = o.level
		maps.DeleteFunc(r.times, func(hash uint64, _ int64) bool { return !r.kept(hash) })
	}
	for hash, times := range o.times {
		if r.kept(hash) {
			r.count(hash, times)
		}
	}
}

// Rows is how many rows there are.
func (r *Repeats) Rows() int64 { return r.rows }

// Exact reports whether every different row is kept.
func (r *Repeats) Exact() bool { return r.level == 0 }

// Share is the share of rows that are there already, 0 without rows, and what it
// lies between. Beyond the exact it is that of the rows which are kept; low and high
// are three standard errors of how many different rows there are, at most 1.7
// points away, whatever is repeated how often.
func (r *Repeats) Share() (share, low, high float64) {
	var kept int64
	for _, times := range r.times {
		kept += times
	}
	if kept == 0 {
		return 0, 0, 0
	}
	different := float64(len(r.times))
	share = 1 - different/float64(kept)
	if r.Exact() {
		return share, share, share
	}
	// Each different row is kept with the same probability, whatever the others are.
	part := math.Ldexp(1, -r.level)
	all, off := different/part/float64(r.rows), min(1, 3*math.Sqrt((1-part)/different))
	low, high = max(0, 1-all*(1+off)), max(0, 1-all*(1-off))
	return min(max(share, low), high), low, high
}

// AppendBinary appends the encoded rows to b: about 9 bytes for each that is kept.
func (r *Repeats) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendVarint(b, r.rows)
	b = binary.AppendVarint(b, int64(r.level))
	b = binary.AppendVarint(b, int64(len(r.times)))
	before := uint64(0)
	for _, hash := range slices.Sorted(maps.Keys(r.times)) {
		b = binary.AppendUvarint(b, hash-before)
		b = binary.AppendVarint(b, r.times[hash])
		before = hash
	}
	return b, nil
}

// UnmarshalBinary is the inverse of AppendBinary.
func (r *Repeats) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	*r = Repeats{rows: d.count(), level: int(min(64, d.count()))}
	n := d.count()
	if n > MostRepeats || n > int64(len(b)) {
		return errDamaged
	}
	hash, sum := uint64(0), int64(0)
	for i := range n {
		step, times := d.uvarint(), d.count()
		if i > 0 && step == 0 || hash+step < hash || times == 0 || times > r.rows-sum {
			return errDamaged
		}
		hash += step
		sum += times
		if !r.kept(hash) {
			return errDamaged
		}
		r.count(hash, times)
	}
	return d.end()
}

// HashNumber is [Hash] of a number; -0 is 0.
func HashNumber(v float64) uint64 {
	if v == 0 {
		v = 0
	}
	return mix(math.Float64bits(v))
}

// HashIn is the part that a value has in the hash of a row: the sum of these is the
// row's, whatever the order of its columns.
func HashIn(column, value uint64) uint64 { return mix(column ^ mix(value)) }
