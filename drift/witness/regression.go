package witness

import (
	"strconv"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// Learnt is one number by others, as gradient boosting has learnt it.
type Learnt struct {
	features []feature
	forest   *forest
}

// Regress learns y from columns of numbers, each as long as y, NaN where there is
// none.
func Regress(columns [][]float64, y []float64) *Learnt {
	r, names, rows := table64(columns, len(y))
	mean := 0.0
	for _, v := range y {
		mean += v / float64(len(y))
	}
	features := learn(r, names, rows)
	return &Learnt{features, grow(features, encode(features, r, rows), y, mean, squared)}
}

// Of is what is expected of n other rows of the same columns.
func (m *Learnt) Of(columns [][]float64, n int) []float64 {
	r, _, rows := table64(columns, n)
	return m.forest.scores(encode(m.features, r, rows), n)
}

// table64 are n rows of columns of numbers, which are named by their places.
func table64(columns [][]float64, n int) (r *Rows, names []string, rows []int) {
	r = &Rows{n: n}
	for i, numbers := range columns {
		names = append(names, strconv.Itoa(i))
		codes := make([]int32, n)
		for k := range codes {
			codes[k] = -1
		}
		r.columns = append(r.columns, column{kind: dataset.Numeric, numbers: numbers, codes: codes})
	}
	r.names = names
	for i := range n {
		rows = append(rows, i)
	}
	return r, names, rows
}
