package demo

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kinds of columns.
const (
	kindNumber   = "number"
	kindCategory = "category"
	kindDate     = "date"
)

const (
	maxLevels = 60 // more distinct values than this are not one-hot encoded
	minSeen   = 5  // a level that was seen less often is treated as unknown

	// A column is of numbers if at least this share of its values are; the
	// others then count as missing, so that one stray cell does not turn ten
	// thousand numbers into categories.
	mostly = 0.95
)

// A feature is how one column enters the model: a number as its standardised
// value, with a level of its own for missing; few-valued whole numbers
// (hours, months, codes), categories and the weekdays of dates as one level each,
// unknown ones as none.
type feature struct {
	Column string   `json:"column"`
	Kind   string   `json:"kind"`
	Mean   float64  `json:"mean,omitempty"`
	Scale  float64  `json:"scale,omitempty"` // of a number; never 0
	Low    float64  `json:"low,omitempty"`   // the least and the greatest number
	High   float64  `json:"high,omitempty"`  // seen; others are moved to them
	Levels []string `json:"levels,omitempty"`
}

// missingLevel stands for a missing number among the levels of its column.
// No number is spelled like this.
const missingLevel = "missing"

// learn finds the features of all columns but those in skip.
func learn(rows *Rows, skip []string) []feature {
	var features []feature
	for i, name := range rows.Header {
		if slices.Contains(skip, name) {
			continue
		}
		if f, ok := learnColumn(rows, i); ok {
			features = append(features, f)
		}
	}
	return features
}

func learnColumn(rows *Rows, i int) (feature, bool) {
	f := feature{Column: rows.Header[i], Low: math.Inf(1), High: math.Inf(-1)}
	var present, numbers, dates int
	whole := true
	seen := map[string]int{}
	var sum, squares float64
	for _, rec := range rows.Records {
		cell := rec[i]
		if missing(cell) {
			continue
		}
		present++
		if v, ok := number(cell); ok {
			numbers++
			delta := v - sum/math.Max(1, float64(numbers-1))
			f.Low, f.High = min(f.Low, v), max(f.High, v)
			sum += v
			squares += delta * (v - sum/float64(numbers)) // Welford
			whole = whole && v == math.Trunc(v)
			if len(seen) <= maxLevels {
				seen[spell(v)]++
			}
			continue
		}
		if _, ok := weekday(cell); ok {
			dates++
		}
		seen[strings.TrimSpace(cell)]++
	}
	few := func() []string {
		levels := slices.DeleteFunc(slices.Collect(maps.Keys(seen)), func(l string) bool { return seen[l] < minSeen })
		slices.SortFunc(levels, func(a, b string) int { return cmp.Or(seen[b]-seen[a], cmp.Compare(a, b)) })
		levels = levels[:min(len(levels), maxLevels)]
		slices.Sort(levels)
		return levels
	}
	switch {
	case present == 0:
		return f, false
	case float64(numbers) >= mostly*float64(present):
		f.Kind = kindNumber
		f.Mean = sum / float64(numbers)
		f.Scale = math.Sqrt(squares / float64(numbers))
		if f.Scale <= 1e-12*math.Abs(f.Mean) || f.Scale == 0 {
			f.Scale = 1
		}
		if whole && len(seen) > 2 && len(seen) <= maxLevels {
			f.Levels = few()
		}
		f.Levels = append(f.Levels, missingLevel)
	case dates == present:
		f = feature{Column: f.Column, Kind: kindDate}
		for d := time.Sunday; d <= time.Saturday; d++ {
			f.Levels = append(f.Levels, d.String())
		}
	default:
		f = feature{Column: f.Column, Kind: kindCategory, Levels: few()}
		if len(f.Levels) == 0 {
			return f, false // all but unique: an identifier
		}
	}
	return f, true
}

// spell gives equal numbers one spelling: 3 and 3.0 are one level.
func spell(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func weekday(cell string) (string, bool) {
	cell = strings.TrimSpace(cell)
	for _, layout := range []string{time.DateOnly, time.DateTime, time.RFC3339} {
		if t, err := time.Parse(layout, cell); err == nil {
			return t.Weekday().String(), true
		}
	}
	return "", false
}

// A design is rows as the model sees them. A row has width entries, each a
// coefficient's index and its factor; the index is -1 where a column has no
// known level. It is mostly one-hot, so this is far smaller than a dense matrix.
type design struct {
	n, width int
	index    []int32   // n*width
	value    []float64 // n*width
}

// coefficients is how many coefficients features have, the intercept apart.
func coefficients(features []feature) int {
	n := 0
	for _, f := range features {
		n += len(f.Levels)
		if f.Kind == kindNumber {
			n++
		}
	}
	return n
}

// encode makes the design of rows. A column that rows do not have is missing.
func encode(features []feature, rows *Rows) *design {
	width := 0
	for _, f := range features {
		width++
		if f.Kind == kindNumber {
			width++
		}
	}
	d := &design{n: len(rows.Records), width: width}
	d.index = make([]int32, d.n*width)
	d.value = make([]float64, d.n*width)
	slot, base := 0, 0
	for _, f := range features {
		levels := make(map[string]int32, len(f.Levels))
		first := base
		if f.Kind == kindNumber {
			first++
		}
		for i, l := range f.Levels {
			levels[l] = int32(first + i)
		}
		column := rows.column(f.Column)
		for i, rec := range rows.Records {
			cell := ""
			if column >= 0 {
				cell = rec[column]
			}
			at := i*width + slot
			level := strings.TrimSpace(cell)
			switch f.Kind {
			case kindNumber:
				d.index[at] = int32(base)
				if v, ok := number(cell); ok {
					d.value[at] = (max(f.Low, min(f.High, v)) - f.Mean) / f.Scale
					level = ""
					if len(levels) > 1 {
						level = spell(v)
					}
				} else {
					level = missingLevel
				}
				at++
			case kindDate:
				level, _ = weekday(cell)
			}
			d.index[at] = -1
			if index, ok := levels[level]; ok {
				d.index[at], d.value[at] = index, 1
			}
		}
		slot++
		base += len(f.Levels)
		if f.Kind == kindNumber {
			slot++
			base++
		}
	}
	return d
}

// row is the entries of row i.
func (d *design) row(i int) ([]int32, []float64) {
	return d.index[i*d.width : (i+1)*d.width], d.value[i*d.width : (i+1)*d.width]
}

// dot is the product of row i with weights.
func (d *design) dot(i int, weights []float64) float64 {
	index, value := d.row(i)
	sum := 0.0
	for k, j := range index {
		if j >= 0 {
			sum += weights[j] * value[k]
		}
	}
	return sum
}
