package profile

import (
	"context"
	"io"
	"slices"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/sketch"
)

// Unique says what should be there once: the values of a column, such as a key, or
// whole rows where it is empty. Of rows the columns in Ignore are left out.
type Unique struct {
	Column string   `json:"column,omitempty"`
	Ignore []string `json:"ignore,omitempty"`
}

func (u Unique) equal(o Unique) bool { return u.Column == o.Column && slices.Equal(u.Ignore, o.Ignore) }

// Repeats are the rows, or the values of a column, that are there already. A value
// that is missing or mixed is none; a row of nothing else is one.
type Repeats struct {
	Unique
	sketch.Repeats
}

// RepeatsOf gives what was counted of u, or nil.
func (p *Profile) RepeatsOf(u Unique) *Repeats {
	i := slices.IndexFunc(p.Repeats, func(r Repeats) bool { return r.equal(u) })
	if i < 0 {
		return nil
	}
	return &p.Repeats[i]
}

// BuildRows is [Build] that looks for repetitions, too. It reads on one processor,
// row by row, and takes up to twice that one's time.
func BuildRows(ctx context.Context, r io.Reader, name string, opt dataset.Options, uniques []Unique) (*Profile, error) {
	d, err := dataset.Open(withContext{ctx, r}, name, opt)
	if err != nil {
		return nil, err
	}
	p := begin(d)
	for _, u := range uniques {
		p.Repeats = append(p.Repeats, Repeats{Unique: u})
	}
	names := make([]uint64, len(p.Columns))
	for i, c := range p.Columns {
		names[i] = sketch.Hash(c.Name)
	}
	var parts, rows []uint64 // of a column's values, and of whole rows, in their hashes
	for {
		batch, err := d.Read()
		if err == io.EOF {
			p.end(d)
			return p, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		of := make([][]uint64, len(p.Columns))
		parts = slices.Grow(parts[:0], batch.Rows*len(p.Columns))
		for i := range batch.Columns {
			from := len(parts)
			parts = appendHashes(parts, names[i], &batch.Columns[i], batch.Rows)
			of[i] = parts[from:]
		}
		for k := range p.Repeats {
			rep := &p.Repeats[k]
			if rep.Column != "" {
				if i := slices.IndexFunc(p.Columns, func(c Column) bool { return c.Name == rep.Column }); i >= 0 {
					for _, h := range of[i] {
						if h != 0 {
							rep.Add(h)
						}
					}
				}
				continue
			}
			rows = append(rows[:0], make([]uint64, batch.Rows)...)
			for i, c := range p.Columns {
				if slices.Contains(rep.Ignore, c.Name) {
					continue
				}
				for row, h := range of[i] {
					rows[row] += h
				}
			}
			for _, h := range rows {
				rep.Add(h)
			}
		}
		for i := range batch.Columns {
			p.Columns[i].add(&batch.Columns[i], batch.Rows)
		}
	}
}

// appendHashes appends the parts that the values of a column have in the hashes of
// their rows: 0 where there is none.
func appendHashes(hashes []uint64, column uint64, v *dataset.Values, rows int) []uint64 {
	switch {
	case v.Type == dataset.Numeric:
		for _, x := range v.Numbers {
			h := uint64(0)
			if x == x {
				h = sketch.HashIn(column, sketch.HashNumber(x))
			}
			hashes = append(hashes, h)
		}
	case len(v.Text) > 0:
		for _, text := range v.Text {
			h := uint64(0)
			if text != nil {
				h = sketch.HashIn(column, sketch.Hash(text))
			}
			hashes = append(hashes, h)
		}
	default: // Empty
		hashes = append(hashes, make([]uint64, rows)...)
	}
	return hashes
}

// mergeRepeats merges what all of the profiles have counted.
func (p *Profile) mergeRepeats(profiles []*Profile) {
	if len(profiles) == 0 {
		return
	}
	for _, first := range profiles[0].Repeats {
		m, of := Repeats{Unique: first.Unique}, 0
		for _, o := range profiles {
			if r := o.RepeatsOf(first.Unique); r != nil {
				m.Merge(&r.Repeats)
				of++
			}
		}
		if of == len(profiles) {
			p.Repeats = append(p.Repeats, m)
		}
	}
}
