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
		for i := range batch.Rows {
			if r.seen++; (r.seen-1)%r.stride != 0 {
				continue
			}
			for at := range r.columns {
				if from[at] < 0 {
					r.columns[at].miss()
				} else {
					r.columns[at].add(&batch.Columns[from[at]], i, r.n)
				}
			}
			r.n++
		}
		for r.n > 2 && (r.n > mostRows || r.n*len(r.names) > mostCells) {
			r.thin()
		}
	}
}

func (c *column) miss() {
	c.numbers = append(c.numbers, math.NaN())
	c.codes = append(c.codes, -1)
}

// add takes in value i of a batch, behind n of the column.
func (c *column) add(v *dataset.Values, i, n int) {
	c.miss()
	if c.kind == "" || c.kind == dataset.Empty {
		c.kind = v.Type
	}
	switch {
	case v.Type == dataset.Numeric:
		if x := v.Numbers[i]; !math.IsInf(x, 0) {
			c.numbers[n] = x
		}
	case v.Type == dataset.Categorical && v.Text[i] != nil:
		text := string(v.Text[i])
		code, ok := c.code[text]
		if !ok {
			if c.code == nil {
				c.code = map[string]int32{}
			}
			if len(c.text) >= mostRows { // free text: it is no use, and there is no end to it
				return
			}
			code = int32(len(c.text))
			c.text, c.code[text] = append(c.text, text), code
		}
		c.codes[n] = code
	}
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
