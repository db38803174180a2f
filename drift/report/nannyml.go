package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// A chunk is one row of a result of NannyML, by flat column names: numbers,
// truths, texts, or nil.
type chunk map[string]any

// flat is how a result is written so that it can be read.
const flat = "write it with to_df(multilevel=False)"

// readTable reads a result as CSV or Parquet.
func readTable(ctx context.Context, r io.Reader, name string) (*Report, error) {
	d, err := dataset.Open(r, name, dataset.Options{MaxBytes: mostBytes})
	if err != nil {
		return nil, err
	}
	var last chunk
	for {
		rows, err := d.Read()
		if err == nil {
			err = ctx.Err()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		for row := range rows.Rows {
			c := chunk{}
			for i, column := range d.Names() {
				switch values := &rows.Columns[i]; {
				case row < len(values.Numbers):
					c[column] = values.Numbers[row]
				case row < len(values.Text) && values.Text[row] != nil:
					c[column] = string(values.Text[row])
				}
			}
			if c.counts() {
				last = c
			}
		}
	}
	report, err := last.report()
	if err != nil {
		return nil, &dataset.Error{Name: name, Reason: err.Error()}
	}
	return report, nil
}

// parseNannyML reads a result as pandas writes JSON: a list of rows, or for each
// column its values by row. Of these the last counts that is analysed, and is all
// that is kept.
func parseNannyML(data []byte) (*Report, error) {
	value, err := valid(data)
	switch {
	case err != nil:
		return nil, err
	case value[0] == '{':
		return columnsOf(value)
	case value[0] != '[':
		return nil, fmt.Errorf("is %s, and no list; %s", kindOf(value), flat)
	}
	var last []byte // rows are many, and looked at for their period alone
	err = items(value, func(row []byte) error {
		if row[0] != '{' {
			return fmt.Errorf("has a row that is %s, and no object; %s", kindOf(row), flat)
		}
		c := chunk{}
		err := members(row, func(name string, v []byte) error {
			if name == "chunk_period" || name == "period" {
				c[name] = text(v)
			}
			return nil
		})
		if c.counts() {
			last = row
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c := chunk(nil)
	if last != nil {
		if c, err = chunkOf(last); err != nil {
			return nil, err
		}
	}
	return c.report()
}

// text is a value that is one, or else empty.
func text(value []byte) (s string) {
	if value[0] == '"' {
		json.Unmarshal(value, &s) // it is valid
	}
	return s
}

// chunkOf is a row of a result.
func chunkOf(row []byte) (chunk, error) {
	c := chunk{}
	err := members(row, func(name string, value []byte) error {
		if len(c) > 10*mostColumns {
			return errMany
		}
		var v any
		err := take(name, value, &v)
		c[name] = v
		return err
	})
	return c, err
}

// columnsOf reads a result column by column, three times: which rows are the
// reference's, which is the last of the others, and what that is.
func columnsOf(result []byte) (*Report, error) {
	reference, last, c := map[int]bool{}, -1, chunk{}
	for _, pass := range []func(column string, row int, value []byte) error{
		func(column string, row int, value []byte) error {
			if (column == "chunk_period" || column == "period") && text(value) == "reference" {
				reference[row] = true
			}
			return nil
		},
		func(_ string, row int, _ []byte) error {
			if !reference[row] {
				last = max(last, row)
			}
			return nil
		},
		func(column string, row int, value []byte) error {
			if row != last {
				return nil
			}
			if len(c) > 10*mostColumns {
				return errMany
			}
			var v any
			err := take(column, value, &v)
			c[column] = v
			return err
		},
	} {
		err := members(result, func(column string, values []byte) error {
			if values[0] != '{' {
				return fmt.Errorf("is no result of NannyML: column %q is %s, and no values by row; %s", short([]byte(column)), kindOf(values), flat)
			}
			return members(values, func(row string, value []byte) error {
				i, err := strconv.Atoi(row)
				if err != nil || i < 0 {
					return fmt.Errorf("is no result of NannyML: %q of column %q is no row; %s", short([]byte(row)), short([]byte(column)), flat)
				}
				return pass(column, i, value)
			})
		})
		if err != nil {
			return nil, err
		}
	}
	if last < 0 {
		c = nil
	}
	return c.report()
}

// counts reports whether the chunk is none of the reference's own.
func (c chunk) counts() bool {
	period, _ := c["chunk_period"].(string)
	if period == "" {
		period, _ = c["period"].(string)
	}
	return period != "reference"
}

func (c chunk) number(name string) *float64 {
	switch v := c[name].(type) {
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return &v
		}
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil && f-f == 0 {
			return &f
		}
	}
	return nil
}

// truth is a truth however it was written; nil where there is none.
func (c chunk) truth(name string) (*bool, error) {
	var yes bool
	switch v := c[name].(type) {
	case nil:
		return nil, nil
	case bool:
		yes = v
	case float64:
		if math.IsNaN(v) {
			return nil, nil
		}
		if v != 0 && v != 1 {
			return nil, fmt.Errorf("has at %s %v: want true or false", name, v)
		}
		yes = v == 1
	case string:
		switch strings.ToLower(v) {
		case "true", "1":
			yes = true
		case "false", "0":
		case "":
			return nil, nil
		default:
			return nil, fmt.Errorf("has at %s %q: want true or false", name, short([]byte(v)))
		}
	default:
		return nil, fmt.Errorf("has at %s neither true nor false", name)
	}
	return &yes, nil
}

// report takes each column that ends in _alert, and what belongs to it.
func (c chunk) report() (*Report, error) {
	if c == nil {
		return nil, errors.New("has no chunk that is analysed: all are of the reference, or there is none")
	}
	r := &Report{Format: NannyML}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		of, ok := strings.CutSuffix(name, "_alert")
		if !ok {
			continue
		}
		drifted, err := c.truth(name)
		if err != nil {
			return nil, err
		}
		column := Column{
			Name: of, Score: c.number(of + "_value"), Drifted: drifted,
			Low: c.number(of + "_lower_confidence_boundary"), High: c.number(of + "_upper_confidence_boundary"),
			Threshold: c.number(of + "_upper_threshold"),
		}
		if column.Score == nil {
			column.Score = c.number(of) // as estimates are named
		}
		if column.Threshold == nil {
			column.Threshold = c.number(of + "_lower_threshold")
		}
		r.Columns = append(r.Columns, column)
		if err := r.bounded(); err != nil {
			return nil, err
		}
	}
	if len(r.Columns) == 0 {
		return nil, fmt.Errorf("is no result of NannyML: no column ends in _alert%s; %s", have(slices.Collect(maps.Keys(c))), flat)
	}
	start, end := c.number("chunk_start_index"), c.number("chunk_end_index")
	if start != nil && end != nil {
		if rows, ok := whole(*end-*start+1, mostRows); ok {
			r.Rows = &rows
		}
	}
	return r.summed(), nil
}
