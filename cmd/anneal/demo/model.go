package demo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tasks.
const (
	Auto           = "auto"
	Classification = "classification"
	Regression     = "regression"
)

// maxClasses is up to how many distinct whole numbers a target is taken for
// classes rather than for a quantity.
const maxClasses = 10

// A Model is a trained model and all that is needed to use it. It is immutable.
type Model struct {
	Task     string    `json:"task"` // classification or regression
	Target   string    `json:"target"`
	Rows     int       `json:"rows"` // it was trained on
	Features []feature `json:"features"`
	// Classes are sorted; of two, the second is the positive one.
	Classes []string `json:"classes,omitempty"`
	// Weights has a row for each class but the first, or one for regression: the
	// intercept, then the coefficients in the order of Features, of each first
	// the number's and then the levels'.
	Weights [][]float64 `json:"weights"`
	// Floor is 0 where no target was below: then no prediction is either.
	Floor *float64 `json:"floor,omitempty"`
}

// fit trains a model on rows. Rows without a target are left out.
func fit(rows *Rows, target, task string, skip []string, l2 float64) (*Model, error) {
	column := rows.column(target)
	if column < 0 {
		return nil, fmt.Errorf("no column %q for the target (have %s)", target, strings.Join(rows.Header, ", "))
	}
	rows = labelled(rows, column)
	if len(rows.Records) == 0 {
		return nil, fmt.Errorf("no row has a value for the target %q", target)
	}
	if task == "" || task == Auto {
		task = guessTask(rows, column)
	}
	m := &Model{Task: task, Target: target, Rows: len(rows.Records)}
	m.Features = learn(rows, append(slices.Clone(skip), target))
	if len(m.Features) == 0 {
		return nil, errors.New("no column is left to learn from")
	}
	d, p := encode(m.Features, rows), coefficients(m.Features)
	switch task {
	case Classification:
		seen := map[string]bool{}
		for _, rec := range rows.Records {
			seen[label(rec[column])] = true
		}
		m.Classes = slices.Sorted(maps.Keys(seen))
		if len(m.Classes) < 2 {
			return nil, fmt.Errorf("target %q is always %q: nothing to tell apart", target, m.Classes[0])
		}
		weights, err := fitLogistic(d, m.classes(rows, column), len(m.Classes), p, l2)
		if err != nil {
			return nil, err
		}
		m.Weights = weights
	case Regression:
		y, err := quantities(rows, column)
		if err != nil {
			return nil, err
		}
		if slices.Min(y) >= 0 {
			m.Floor = new(float64)
		}
		weights, err := fitRidge(d, y, p, l2)
		if err != nil {
			return nil, err
		}
		m.Weights = [][]float64{weights}
	default:
		return nil, fmt.Errorf("unknown task %q (have %s, %s, %s)", task, Auto, Classification, Regression)
	}
	return m, nil
}

// labelled is the rows that have a value in column.
func labelled(rows *Rows, column int) *Rows {
	if !slices.ContainsFunc(rows.Records, func(rec []string) bool { return missing(rec[column]) }) {
		return rows
	}
	kept := &Rows{Header: rows.Header}
	for _, rec := range rows.Records {
		if !missing(rec[column]) {
			kept.Records = append(kept.Records, rec)
		}
	}
	return kept
}

// guessTask takes a target of many numbers for a quantity, anything else for
// classes.
func guessTask(rows *Rows, column int) string {
	seen := map[float64]bool{}
	for _, rec := range rows.Records {
		v, ok := number(rec[column])
		if !ok {
			return Classification
		}
		seen[v] = true
		if len(seen) > maxClasses || v != float64(int64(v)) {
			return Regression
		}
	}
	return Classification
}

// label gives equal classes one spelling.
func label(cell string) string {
	if v, ok := number(cell); ok {
		return spell(v)
	}
	return strings.TrimSpace(cell)
}

// classes is the class of each row, -1 where the model does not know it.
func (m *Model) classes(rows *Rows, column int) []int {
	at := map[string]int{}
	for k, c := range m.Classes {
		at[c] = k
	}
	class := make([]int, len(rows.Records))
	for i, rec := range rows.Records {
		k, ok := at[label(rec[column])]
		if !ok {
			k = -1
		}
		class[i] = k
	}
	return class
}

func quantities(rows *Rows, column int) ([]float64, error) {
	y := make([]float64, len(rows.Records))
	for i, rec := range rows.Records {
		v, ok := number(rec[column])
		if !ok {
			return nil, fmt.Errorf("target %q is %q in a row, want a number; or task=%s", rows.Header[column], rec[column], Classification)
		}
		y[i] = v
	}
	return y, nil
}

// Score predicts rows and measures the predictions against their target:
// accuracy and log_loss, for two classes auc and f1 too; or mae, rmse and r2. n
// is the number of rows that have a target.
func (m *Model) Score(rows *Rows) (metrics map[string]float64, n int, err error) {
	column := rows.column(m.Target)
	if column < 0 {
		return nil, 0, fmt.Errorf("score: no column %q for the target (have %s)", m.Target, strings.Join(rows.Header, ", "))
	}
	rows = labelled(rows, column)
	if n = len(rows.Records); n == 0 {
		return nil, 0, fmt.Errorf("score: no row has a value for the target %q", m.Target)
	}
	d := encode(m.Features, rows)
	if m.Task == Classification {
		return classified(m.probabilities(d), m.classes(rows, column)), n, nil
	}
	y, err := quantities(rows, column)
	if err != nil {
		return nil, 0, fmt.Errorf("score: %w", err)
	}
	return regressed(m.predictions(d), y), n, nil
}

func (m *Model) probabilities(d *design) [][]float64 {
	all := make([][]float64, d.n)
	for i := range all {
		p := make([]float64, len(m.Classes))
		for k, w := range m.Weights {
			p[k+1] = w[0] + d.dot(i, w[1:])
		}
		softmax(p)
		all[i] = p
	}
	return all
}

func (m *Model) predictions(d *design) []float64 {
	y := make([]float64, d.n)
	w := m.Weights[0]
	for i := range y {
		y[i] = w[0] + d.dot(i, w[1:])
		if m.Floor != nil {
			y[i] = max(y[i], *m.Floor)
		}
	}
	return y
}
