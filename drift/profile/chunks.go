package profile

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// BuildChunks is [Build] of each run of so many rows of an object, in their
// order; the last may have fewer. What is mixed counts as missing there. The
// columns should be given in opt, so that all chunks are read alike.
func BuildChunks(ctx context.Context, r io.Reader, name string, opt dataset.Options, rows int64) ([]*Profile, error) {
	if rows < 1 {
		return nil, fmt.Errorf("chunks of %d rows: want at least 1", rows)
	}
	d, err := dataset.Open(withContext{ctx, r}, name, opt)
	if err != nil {
		return nil, err
	}
	var chunks []*Profile
	for {
		batch, err := d.Read()
		switch {
		case err == io.EOF:
			for _, p := range chunks {
				p.trim()
			}
			return chunks, nil
		case err != nil:
			return nil, err
		}
		for from := 0; from < batch.Rows; {
			if len(chunks) == 0 || chunks[len(chunks)-1].Counts.Rows == rows {
				chunks = append(chunks, begin(d))
			}
			p := chunks[len(chunks)-1]
			to := int(min(int64(batch.Rows), int64(from)+rows-p.Counts.Rows))
			p.addRows(batch, from, to)
			from = to
		}
	}
}

// cut is part of a batch's values, counted again.
func cut(v *dataset.Values, from, to int) dataset.Values {
	part := dataset.Values{Type: v.Type}
	if v.Type == dataset.Numeric {
		part.Numbers = v.Numbers[from:to]
		for _, x := range part.Numbers {
			switch {
			case x != x:
				part.Missing++
			case math.IsInf(x, 0):
				part.Infinite++
			}
		}
		return part
	}
	if len(v.Text) == 0 {
		part.Missing = to - from
		return part
	}
	part.Text = v.Text[from:to]
	for _, t := range part.Text {
		if t == nil {
			part.Missing++
		}
	}
	return part
}
