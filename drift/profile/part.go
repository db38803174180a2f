package profile

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// BuildPart is [Build] of the rows whose time, in the column so named, is in the part;
// what has none is not. What is mixed counts as missing there.
func BuildPart(ctx context.Context, r io.Reader, name string, opt dataset.Options, column string, in func(time.Time) bool) (*Profile, error) {
	d, err := dataset.Open(withContext{ctx, r}, name, opt)
	if err != nil {
		return nil, err
	}
	p, at := begin(d), slices.Index(d.Names(), column)
	for at >= 0 {
		batch, err := d.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		from := 0 // of the rows that are in, up to the one that is looked at
		for row, text := range batch.Columns[at].Text {
			if when, ok := dataset.Clock(text); !ok || !in(when) {
				p.addRows(batch, from, row)
				from = row + 1
			}
		}
		p.addRows(batch, from, len(batch.Columns[at].Text))
	}
	p.trim()
	return p, nil
}

// addRows adds the rows of a batch from one to before another.
func (p *Profile) addRows(batch *dataset.Batch, from, to int) {
	if from >= to {
		return
	}
	for i := range p.Columns {
		part := cut(&batch.Columns[i], from, to)
		p.Columns[i].add(&part, to-from)
	}
	p.Counts.Rows += int64(to - from)
}

func (p *Profile) trim() {
	for i := range p.Columns {
		p.Columns[i].Categories.Trim()
		p.Columns[i].Quantiles.Trim()
	}
}
