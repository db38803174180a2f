package witness

import (
	"context"
	"io"
	"math"

	"github.com/anneal-ml/anneal/drift/dataset"
)

const (
	mostRows  = 32_768
	mostCells = 4 << 20
)

// Rows are rows of one or several objects in their order: all, or every second,
// fourth and so on where they are many. The zero value is empty.
type Rows struct {
	names   []string
	columns []column
	n       int
	seen    int64 // rows that went by
	stride  int64 // one in so many is kept
}

// A column holds numbers, NaN where there is none, or codes of categories, -1
// where there is none.
type column struct {
	kind    dataset.Type
	numbers []float64
	codes   []int32
	text    []string         // by code
	code    map[string]int32 // by text
}

// Seen is how many rows were added, kept or not.
func (r *Rows) Seen() int64 { return r.seen }

// Add reads an object to its end. The columns are those of the first object; one
// that a later object lacks is missing there. Columns should be given in opt, so
// that all objects are read alike.
func (r *Rows) Add(ctx context.Context, in io.Reader, name string, opt dataset.Options) error {
	d, err := dataset.Open(in, name, opt)
	if err != nil {
		return err
	}
	if r.names == nil {
		r.names, r.columns, r.stride = d.Names(), make([]column, len(d.Names())), 1
	}
	from := make([]int, len(r.names)) // where the object has the column, or -1
	for i, want := range r.names {
		from[i] = -1
		for j, have := range d.Names() {
			if want == have {
				from[i] = j
			}
		}
	}
	for {
		batch, err := d.Read()
		if err == nil {
			err = ctx.Err()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		first := int((r.stride - r.seen%r.stride) % r.stride) // that is kept
		for at := range r.columns {
			var v *dataset.Values
			if from[at] >= 0 {
				v = &batch.Columns[from[at]]
			}
			r.columns[at].add(v, first, batch.Rows, int(r.stride))
		}
		r.n = len(r.columns[0].codes)
		r.seen += int64(batch.Rows)
		for r.n > 2 && (r.n > mostRows || r.n*len(r.names) > mostCells) {
			r.thin()
		}
	}
}

// add takes in every so many of the values of a batch, from the first on; where v is nil
// they are missing.
func (c *column) add(v *dataset.Values, first, rows, stride int) {
	from := len(c.codes)
	for i := first; i < rows; i += stride {
		c.miss()
	}
	if v == nil {
		return
	}
	if c.kind == "" || c.kind == dataset.Empty {
		c.kind = v.Type
	}
	switch v.Type {
	case dataset.Numeric:
		for at, i := from, first; i < rows; at, i = at+1, i+stride {
			if x := v.Numbers[i]; !math.IsInf(x, 0) {
				c.numbers[at] = x
			}
		}
	case dataset.Categorical:
		for at, i := from, first; i < rows; at, i = at+1, i+stride {
			if v.Text[i] != nil {
				c.codes[at] = c.codeOf(v.Text[i])
			}
		}
	}
}

// miss takes in a row without a value.
func (c *column) miss() {
	c.numbers, c.codes = append(c.numbers, math.NaN()), append(c.codes, -1)
}

// codeOf is the code of a category, -1 for what comes after very many: that is free
// text, which is no use, and there is no end to it.
func (c *column) codeOf(text []byte) int32 {
	code, ok := c.code[string(text)]
	switch {
	case ok:
		return code
	case len(c.text) >= mostRows:
		return -1
	case c.code == nil:
		c.code = map[string]int32{}
	}
	own := string(text)
	code = int32(len(c.text))
	c.text, c.code[own] = append(c.text, own), code
	return code
}

// has reports whether row i has a value.
func (c *column) has(i int) bool { return c.codes[i] >= 0 || c.numbers[i] == c.numbers[i] }

// thin drops every second row.
func (r *Rows) thin() {
	r.stride *= 2
	keep := (r.n + 1) / 2
	for at := range r.columns {
		c := &r.columns[at]
		for i := range keep {
			c.numbers[i], c.codes[i] = c.numbers[2*i], c.codes[2*i]
		}
		c.numbers, c.codes = c.numbers[:keep], c.codes[:keep]
	}
	r.n = keep
}

func (r *Rows) column(name string) *column {
	for i, n := range r.names {
		if n == name {
			return &r.columns[i]
		}
	}
	return nil
}
