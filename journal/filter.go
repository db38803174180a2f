package journal

// A filter knows of most hashes that they are not in a run, so that nobody reads a page
// for them: a name that was never used before is looked for in every run. It is a Bloom
// filter with three bits for a hash, of eight that there are for each. The zero filter
// knows of none.
type filter struct{ bits []uint64 }

// mostFiltered is how many places a run may have for a filter to be made of it, which
// then takes a byte for each.
const mostFiltered = 1 << 20

// newFilter is one for so many hashes.
func newFilter(hashes uint64) filter {
	if hashes > mostFiltered {
		return filter{}
	}
	return filter{make([]uint64, hashes/8+1)}
}

// add takes a hash in.
func (f filter) add(hash uint64) {
	for range f.probes() {
		bit := f.bit(&hash)
		f.bits[bit/64] |= 1 << (bit % 64)
	}
}

// lacks says that a hash was not added.
func (f filter) lacks(hash uint64) bool {
	for range f.probes() {
		if bit := f.bit(&hash); f.bits[bit/64]&(1<<(bit%64)) == 0 {
			return true
		}
	}
	return false
}

func (f filter) probes() int {
	if len(f.bits) == 0 {
		return 0
	}
	return 3
}

// bit is the next of the bits of a hash, of which it takes a part away: they are even.
func (f filter) bit(hash *uint64) uint64 {
	bit := (*hash & (1<<32 - 1)) * uint64(len(f.bits)*64) >> 32
	*hash = *hash>>21 | *hash<<43
	return bit
}
