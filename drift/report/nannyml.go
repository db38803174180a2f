package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
// column its values by row.
func parseNannyML(data []byte) (*Report, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		var rows []chunk
		if err := json.Unmarshal(data, &rows); err != nil {
			return nil, wrong(err)
		}
		return lastOf(rows).report()
	}
	var columns map[string]map[string]any
	if err := json.Unmarshal(data, &columns); err != nil {
		return nil, wrong(err)
	}
	byRow := map[int]chunk{}
	for name, values := range columns {
		for row, v := range values {
			i, err := strconv.Atoi(row)
			if err != nil {
				return nil, fmt.Errorf("is no result of NannyML: %q of column %q is no row; %s", row, name, flat)
			}
			if byRow[i] == nil {
				byRow[i] = chunk{}
			}
			byRow[i][name] = v
		}
	}
	var rows []chunk
	order := make([]int, 0, len(byRow))
	for i := range byRow {
		order = append(order, i)
	}
	slices.Sort(order)
	for _, i := range order {
		rows = append(rows, byRow[i])
	}
	return lastOf(rows).report()
}

// lastOf is the newest chunk that is analysed.
func lastOf(rows []chunk) chunk {
	for _, c := range slices.Backward(rows) {
		if c.counts() {
			return c
		}
	}
	return nil
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
	for _, name := range sorted(c) {
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
	}
	if len(r.Columns) == 0 {
		return nil, fmt.Errorf("is no result of NannyML: no column ends in _alert%s; %s", have(sorted(c)), flat)
	}
	start, end := c.number("chunk_start_index"), c.number("chunk_end_index")
	if start != nil && end != nil {
		rows := int64(*end - *start + 1)
		r.Rows = &rows
	}
	return r.summed(), nil
}
