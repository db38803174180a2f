package dataset

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"

	"github.com/parquet-go/parquet-go"
)

// partRows is how many rows of a column are handed out at a time.
const partRows = 4096

// eachOfTable hands out columns, each read from one row group to the next.
func (d *Reader) eachOfTable(ctx context.Context, each func(column int, v *Values, rows int) error) error {
	err := spread(runtime.GOMAXPROCS(0), len(d.names), func(_, i int) error {
		if !d.wants(i) {
			return nil
		}
		return d.table.eachOf(ctx, i, Values{Type: d.types[i], given: d.given[i]}, func(v *Values, rows int) error { return each(i, v, rows) })
	})
	if err != nil {
		return err
	}
	for _, group := range d.table.groups {
		d.counts.Rows += group.NumRows()
	}
	return nil
}

// A columnReader hands out the values of one column.
type columnReader struct {
	*parquetColumn
	file string
	each func(v *Values, rows int) error

	part   Values
	rows   int
	arena  []byte
	values []parquet.Value

	// What the values of the dictionary are, of the type of part.
	dictionary parquet.Dictionary
	of         Type
	numbers    []float64
	texts      [][]byte // nil where one is missing
}

// eachOf hands out the values of a column, in parts that begin as none does.
func (p *parquetFile) eachOf(ctx context.Context, i int, none Values, each func(v *Values, rows int) error) (err error) {
	defer p.damaged(&err)
	column := p.columns[i]
	column.many = column.many.clone()
	r := &columnReader{parquetColumn: &column, file: p.name, each: each, part: none}
	defer r.close()
	for g, group := range p.groups {
		r.open(p, g)
		if r.many != nil {
			if err := r.allMany(ctx, group.NumRows()); err != nil {
				return err
			}
			continue
		}
		for left := group.NumRows(); left > 0; {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			page, err := r.next()
			if err != nil {
				return r.fault(p.name, err)
			}
			if left -= page.NumRows(); left < 0 {
				parquet.Release(page)
				return r.fault(p.name, errors.New("it has more values than rows"))
			}
			r.page = page
			if err := r.all(page); err != nil {
				return err
			}
			parquet.Release(page)
			r.page = nil
		}
	}
	return nil
}

// all hands out the values of a page.
func (r *columnReader) all(page parquet.Page) error {
	switch kind := page.Type().Kind(); {
	case r.part.Type == Numeric && (kind == parquet.Double || kind == parquet.Float || kind == parquet.Int32 || kind == parquet.Int64):
		return r.allNumbers(page, kind)
	case r.part.Type != Numeric && page.Dictionary() != nil && kind == parquet.ByteArray:
		return r.allTexts(page)
	}
	if r.values == nil {
		r.values = make([]parquet.Value, partRows)
	}
	values := page.Values()
	for left := int(page.NumRows()); left > 0; {
		n, err := values.ReadValues(r.values[:min(left, partRows)])
		if err != nil && err != io.EOF || n == 0 {
			return r.fault(r.file, err)
		}
		left -= n
		r.arena = r.add(&r.part, r.values[:n], r.arena)
		r.rows += n
		if err := r.give(); err != nil {
			return err
		}
	}
	return nil
}

// allMany hands out the rows of a list or a map of a row group, a few at a time, as they
// may be long.
func (r *columnReader) allMany(ctx context.Context, left int64) error {
	for left > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for ; r.rows < partRows && left > 0 && len(r.arena) < arenaLimit; left-- {
			var err error
			if r.arena, err = r.many.add(&r.part, 1, r.arena); err != nil {
				return r.fault(r.file, err)
			}
			r.rows++
		}
		if err := r.give(); err != nil {
			return err
		}
	}
	return nil
}

// give hands out the part that is filled.
func (r *columnReader) give() error {
	if r.part.Type == Empty {
		r.part.infer(true)
	}
	err := r.each(&r.part, r.rows)
	r.part = Values{Type: r.part.Type, Numbers: r.part.Numbers[:0], Text: r.part.Text[:0], given: r.part.given}
	r.rows, r.arena = 0, r.arena[:0]
	return err
}

// allNumbers hands out a page of numbers as they lie there: those that are not
// missing, one after the other.
func (r *columnReader) allNumbers(page parquet.Page, kind parquet.Kind) error {
	data, levels := page.Data(), page.DefinitionLevels()
	present := byte(r.leaf.MaxDefinitionLevel)
	var next func(i int) float64
	if dictionary := page.Dictionary(); dictionary != nil {
		r.know(dictionary)
		at, of := data.Int32(), r.numbers
		next = func(i int) float64 { return of[at[i]] }
	} else {
		switch kind {
		case parquet.Double:
			return r.allDoubles(data.Double(), levels, present, int(page.NumRows()))
		case parquet.Float:
			of := data.Float()
			next = func(i int) float64 { return float64(of[i]) }
		case parquet.Int32:
			of := data.Int32()
			next = func(i int) float64 { return r.ofInt32(of[i]) }
		default:
			of := data.Int64()
			next = func(i int) float64 { return r.ofInt64(of[i]) }
		}
	}
	at := 0
	for row := range int(page.NumRows()) {
		if levels != nil && levels[row] != present {
			r.part.float(math.NaN())
		} else {
			r.part.float(next(at))
			at++
		}
		if r.rows++; r.rows == partRows {
			if err := r.give(); err != nil {
				return err
			}
		}
	}
	if r.rows == 0 {
		return nil
	}
	return r.give()
}

// allDoubles is allNumbers of what is a float64 there, too.
func (r *columnReader) allDoubles(of []float64, levels []byte, present byte, rows int) error {
	at := 0
	for from := 0; from < rows; from += partRows {
		n := min(partRows, rows-from)
		if levels == nil {
			r.part.Numbers = append(r.part.Numbers, of[at:at+n]...)
			at += n
		} else {
			for _, level := range levels[from : from+n] {
				v := math.NaN()
				if level == present {
					v = of[at]
					at++
				}
				r.part.Numbers = append(r.part.Numbers, v)
			}
		}
		for _, v := range r.part.Numbers {
			if v-v != 0 {
				if v == v {
					r.part.Infinite++
				} else {
					r.part.Missing++
				}
			}
		}
		r.rows = n
		if err := r.give(); err != nil {
			return err
		}
	}
	return nil
}

// allTexts hands out a page of text that is in a dictionary.
func (r *columnReader) allTexts(page parquet.Page) error {
	levels, present := page.DefinitionLevels(), byte(r.leaf.MaxDefinitionLevel)
	indexes := page.Data()
	at := indexes.Int32()
	r.know(page.Dictionary())
	for row := range int(page.NumRows()) {
		var text []byte
		if levels == nil || levels[row] == present {
			text, at = r.texts[at[0]], at[1:]
		}
		if text == nil {
			r.part.Missing++
		}
		r.part.Text = append(r.part.Text, text)
		if r.rows++; r.rows == partRows {
			if err := r.give(); err != nil {
				return err
			}
			r.know(page.Dictionary()) // a type may have been found
		}
	}
	if r.rows == 0 {
		return nil
	}
	return r.give()
}

// know reads a dictionary, once.
func (r *columnReader) know(dictionary parquet.Dictionary) {
	if r.dictionary == dictionary && r.of == r.part.Type {
		return
	}
	r.dictionary, r.of = dictionary, r.part.Type
	r.numbers, r.texts = r.numbers[:0], r.texts[:0]
	var one Values
	var arena []byte
	for i := range dictionary.Len() {
		one = Values{Type: r.part.Type, Numbers: one.Numbers[:0], Text: one.Text[:0], given: r.part.given}
		arena = r.add(&one, []parquet.Value{dictionary.Index(int32(i))}, arena)
		if one.Type == Numeric {
			r.numbers = append(r.numbers, one.Numbers[0])
			continue
		}
		r.texts = append(r.texts, one.Text[0])
	}
}
