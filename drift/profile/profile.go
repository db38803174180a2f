package profile

import (
	"cmp"
	"context"
	"io"
	"math"
	"time"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/sketch"
)

// A Profile is the summary of an object, or of several.
type Profile struct {
	Objects int
	Counts  dataset.Counts
	Columns []Column // in the order of the header, the first object's first
	Repeats []Repeats
}

// A Column is the summary of one column.
type Column struct {
	Name    string
	Type    dataset.Type // it was read as
	Objects int          // that have the column
	Rows    int64        // of those objects

	Missing  int64
	Infinite int64  // Numeric
	Mixed    int64  // not of the type
	Odd      string // Numeric: the first value that is mixed, as it begins
	Numbers  int64  // Categorical: values that spell a number
	// Differing are the objects that were read as another type by themselves: see
	// [Types].
	Differing int

	Moments    sketch.Moments    // Numeric: of the finite values
	Quantiles  sketch.Quantiles  // Numeric: of the finite values
	Categories sketch.Categories // Categorical
	// Earliest and Latest are the first and the last time of a Timestamp column, as
	// the clock showed it; zero where none can be read. See [dataset.Clock].
	Earliest, Latest time.Time
	counting         bool    // Numeric: each value so far is one more than that before
	last             float64 // Numeric: the value before
}

// Build reads an object to its end. An object that cannot be read is a
// [*dataset.Error]; other errors are r's, or ctx's.
func Build(ctx context.Context, r io.Reader, name string, opt dataset.Options) (*Profile, error) {
	d, err := dataset.Open(withContext{ctx, r}, name, opt)
	if err != nil {
		return nil, err
	}
	p := begin(d)
	err = d.EachColumn(ctx, func(i int, v *dataset.Values, rows int) error {
		p.Columns[i].add(v, rows)
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.end(d)
	return p, nil
}

// begin is the profile of an object without a row.
func begin(d *dataset.Reader) *Profile {
	p := &Profile{Objects: 1}
	for _, n := range d.Names() {
		p.Columns = append(p.Columns, Column{Name: n, Type: dataset.Empty, Objects: 1, counting: true})
	}
	return p
}

// end finishes the profile of an object that was read to its end.
func (p *Profile) end(d *dataset.Reader) {
	p.Counts = d.Counts()
	p.trim()
}

// add adds a part of the column's values, whose memory it may use.
func (c *Column) add(v *dataset.Values, rows int) {
	c.Type = v.Type
	c.Rows += int64(rows)
	c.Missing += int64(v.Missing)
	c.Infinite += int64(v.Infinite)
	c.Mixed += int64(v.Mixed)
	c.Odd = cmp.Or(c.Odd, v.Odd)
	switch v.Type {
	case dataset.Categorical:
		for _, text := range v.Text {
			if _, ok := dataset.Number(text); ok {
				c.Numbers++
			}
		}
		c.Categories.AddAll(v.Text)
	case dataset.Timestamp:
		for _, text := range v.Text {
			if at, ok := dataset.Clock(text); ok {
				c.span(at, at)
			}
		}
	case dataset.Numeric:
		finite := v.Numbers
		if v.Missing+v.Infinite+v.Mixed > 0 {
			finite = finite[:0]
			for _, x := range v.Numbers {
				if x-x == 0 { // neither NaN nor infinite
					finite = append(finite, x)
				}
			}
		}
		if len(finite) == 0 {
			return
		}
		if c.counting {
			c.count(finite)
		}
		c.Moments.Add(finite...)
		c.Quantiles.Add(finite...)
	}
}

// span takes in times from the first to the last.
func (c *Column) span(first, last time.Time) {
	if first.IsZero() {
		return
	}
	if c.Earliest.IsZero() || first.Before(c.Earliest) {
		c.Earliest = first
	}
	if last.After(c.Latest) {
		c.Latest = last
	}
}

// count follows whether the column counts the rows.
func (c *Column) count(values []float64) {
	if c.Moments.N > 0 && values[0] != c.last+1 {
		c.counting = false
	}
	for i := 1; i < len(values); i++ {
		if values[i] != values[i-1]+1 {
			c.counting = false
			return
		}
	}
	c.last = values[len(values)-1]
	c.counting = c.counting && c.last == math.Trunc(c.last)
}

// N is how many values the column has: neither missing, nor infinite, nor of
// another type.
func (c *Column) N() int64 { return c.Rows - c.Missing - c.Infinite - c.Mixed }

// Distinct is how many different values there are, estimated to 2.3 % where
// there are too many to count.
func (c *Column) Distinct() int64 {
	if c.Type == dataset.Categorical {
		return c.Categories.Distinct()
	}
	return c.Quantiles.Distinct()
}

// DistinctError bounds how far Distinct may be off, as a share of it: 0 where the
// values could be counted, three standard errors where not.
func (c *Column) DistinctError() float64 {
	if c.Type == dataset.Categorical && c.Categories.Error() == 0 || c.Type != dataset.Categorical && c.Quantiles.Whole() {
		return 0
	}
	return 3 * 0.023
}

// Kind is the type that the values show: [dataset.Index] for numbers that count
// the rows of each object, [dataset.Text] for categories of which at least half
// differ (and 50 do), or else Type. With less than 32 values it is Type.
func (c *Column) Kind() dataset.Type {
	n := c.N()
	switch {
	case n < 32:
	case c.Type == dataset.Numeric && c.counting && c.Missing+c.Infinite+c.Mixed == 0:
		return dataset.Index
	case c.Type == dataset.Categorical && c.Distinct() >= max(50, n/2):
		return dataset.Text
	}
	return c.Type
}

// Column gives the column of that name, or nil.
func (p *Profile) Column(name string) *Column {
	for i := range p.Columns {
		if p.Columns[i].Name == name {
			return &p.Columns[i]
		}
	}
	return nil
}

// Schema are the types that the columns were read as, to read another object
// the same way. Columns without values are left out.
func (p *Profile) Schema() map[string]dataset.Type {
	schema := make(map[string]dataset.Type, len(p.Columns))
	for _, c := range p.Columns {
		if c.Type != dataset.Empty {
			schema[c.Name] = c.Type
		}
	}
	return schema
}

// withContext ends the reading when ctx ends.
type withContext struct {
	ctx context.Context
	r   io.Reader
}

func (w withContext) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}

// Under is the reader itself, for formats that are not read from end to end.
func (w withContext) Under() io.Reader { return w.r }
