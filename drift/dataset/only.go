package dataset

import "slices"

// pick sets which columns are wanted, once their names are known.
func (d *Reader) pick() {
	if d.opt.Only == nil {
		return
	}
	d.wanted = make([]bool, len(d.names))
	for i, n := range d.names {
		d.wanted[i] = slices.Contains(d.opt.Only, n)
	}
}

// wants reports whether the column is to be given.
func (d *Reader) wants(i int) bool { return d.wanted == nil || d.wanted[i] }
