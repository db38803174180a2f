package witness

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// mostBins is how many bins a feature has besides bin 0, which is of what is
// missing or was never seen.
const mostBins = 254

// fewWhole is up to how many different whole numbers are taken for classes: of a
// target, and of a feature, which then may have some that were never seen.
const fewWhole = 10

// A feature is how a column is binned: a number by edges, a class by a table.
type feature struct {
	name      string
	edges     []float64
	low, high float64          // the least number and the greatest
	bins      map[string]uint8 // nil for numbers
	gaps      bool             // some rows had no value
}

// knows reports whether the value of row i is one that a model of the feature has
// been shown: within the numbers, one of the classes, or missing like others.
func (f *feature) knows(c *column, i int) bool {
	switch v := c.numbers[i]; {
	case !c.has(i):
		return f.gaps
	case f.bins == nil:
		return f.low <= v && v <= f.high
	}
	_, ok := f.bins[class(c, i)]
	return ok
}

// learn makes features of columns, by rows of the index. Whether numbers are classes is
// for all rows to say: nine months of a year are no classes if the other three come later.
func learn(r *Rows, names []string, rows []int) []feature {
	var features []feature
	every := spread(r.n, r.n)
	for _, name := range names {
		c := r.column(name)
		if !learnable(c) {
			continue
		}
		f := feature{name: name, gaps: slices.ContainsFunc(rows, func(i int) bool { return !c.has(i) })}
		if _, ok := classesOf(c, every); ok {
			classes, _ := classesOf(c, rows)
			f.bins = table(c, rows, classes)
		} else {
			f.edges, f.low, f.high = edges(c, rows)
		}
		features = append(features, f)
	}
	return features
}

// learnable says whether something can be learnt by a column; nil is none.
func learnable(c *column) bool {
	return c != nil && (c.kind == dataset.Numeric || c.kind == dataset.Categorical)
}

// edges are between neighbouring values where they are few, and quantiles
// otherwise; low and high are the least value and the greatest.
func edges(c *column, rows []int) (edges []float64, low, high float64) {
	values := make([]float64, 0, len(rows))
	for _, i := range rows {
		if v := c.numbers[i]; v == v {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	if len(values) > 0 {
		low, high = values[0], values[len(values)-1]
	}
	different := slices.Compact(slices.Clone(values))
	if len(different) <= mostBins+1 {
		for i := range max(0, len(different)-1) {
			edges = append(edges, different[i]/2+different[i+1]/2)
		}
		return edges, low, high
	}
	for k := 1; k <= mostBins; k++ {
		at := float64(k) / (mostBins + 1) * float64(len(values)-1)
		edges = append(edges, values[int(math.Floor(at))]/2+values[int(math.Ceil(at))]/2)
	}
	return slices.Compact(edges), low, high
}

// table gives each class a bin, in the order of the classes; beyond mostBins only
// the frequent ones have one. A class that was never seen is in bin 0, also if it
// is a number.
func table(c *column, rows []int, classes []string) map[string]uint8 {
	if len(classes) > mostBins {
		n := map[string]int{}
		for _, i := range rows {
			n[class(c, i)]++
		}
		slices.SortStableFunc(classes, func(a, b string) int { return cmp.Compare(n[b], n[a]) })
		classes = classes[:mostBins]
		slices.SortFunc(classes, byValue)
	}
	bins := map[string]uint8{}
	for i, name := range classes {
		bins[name] = uint8(i + 1)
	}
	return bins
}

// classesOf are the different values of categories, and of numbers that are
// taken for them: whole ones, of which at most fewWhole differ.
func classesOf(c *column, rows []int) ([]string, bool) {
	seen := map[string]bool{}
	for _, i := range rows {
		if c.kind == dataset.Numeric {
			if v := c.numbers[i]; v == v && v != math.Trunc(v) || len(seen) > fewWhole {
				return nil, false
			}
		}
		if name := class(c, i); name != "" {
			seen[name] = true
		}
	}
	if c.kind == dataset.Numeric && len(seen) > fewWhole {
		return nil, false
	}
	return slices.SortedFunc(maps.Keys(seen), byValue), true
}

// byValue puts numbers in their order, and before names.
func byValue(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(a, b)
}

// class is the value of row i as a class; "" where there is none.
func class(c *column, i int) string {
	switch v := c.numbers[i]; {
	case c.kind == dataset.Numeric && v == v:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case c.kind == dataset.Categorical && c.codes[i] >= 0:
		return c.text[c.codes[i]]
	}
	return ""
}

// encode bins some rows; a column that r lacks is missing.
func encode(features []feature, r *Rows, rows []int) [][]uint8 {
	all := make([][]uint8, len(features))
	for k, f := range features {
		bins := make([]uint8, len(rows))
		all[k] = bins
		c := r.column(f.name)
		if c == nil {
			continue
		}
		var of []uint8 // by code
		if f.bins != nil {
			of = make([]uint8, len(c.text))
			for code, text := range c.text {
				of[code] = f.bins[text]
			}
		}
		for at, i := range rows {
			switch {
			case f.bins == nil:
				if v := c.numbers[i]; v == v {
					bins[at] = uint8(1 + search(f.edges, v))
				}
			case c.codes[i] >= 0:
				bins[at] = of[c.codes[i]]
			default:
				bins[at] = f.bins[class(c, i)]
			}
		}
	}
	return all
}

// search is how many of the sorted edges are below v: sort.SearchFloat64s, without a
// branch that would be guessed wrong every second time.
func search(edges []float64, v float64) (below int) {
	for n := len(edges); n > 0; {
		half := (n + 1) / 2
		if edges[below+half-1] < v {
			below += half
			n -= half
		} else {
			n = half - 1
		}
	}
	return below
}
