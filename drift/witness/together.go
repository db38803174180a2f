package witness

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/performance"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// Of both data sets at most so many rows are looked at together, evenly spread: a
// classifier is fitted five times, and mean discrepancy holds each row against each.
const (
	mostTold  = 8192
	mostHeld  = 400
	leastTold = 100
	folds     = 5
	chunks    = 10 // of the reference
)

// Shuffles is how often all rows are shuffled for the chance of a discrepancy.
const Shuffles = 200

// Together says how two data sets differ in all columns at once, which may be where
// no column does by itself.
type Together struct {
	// Told is how well a model of gradient boosting tells current rows from those of
	// the reference that it has not seen, in five folds: the area under the ROC curve.
	// It is a half where they are alike.
	Told performance.Interval
	// By is how much each column has to do with that, of 1.
	By map[string]float64
	// Lost is how far current rows are, on the average, from what is left of them in
	// the principal components that explain 65 % of the reference; Mean and Deviation
	// are of the same over ten chunks of the reference itself. Not a number where the
	// reference has no components.
	Lost, Mean, Deviation float64
	// Discrepancy is the squared maximum mean discrepancy, of at most 400 rows each,
	// and Chance the share of shuffles that come to more. Not a number where half of
	// the rows are the same.
	Discrepancy, Chance float64
}

// Compare looks at the columns named of rows that are read alike. Numbers that are
// missing count as the reference's mean, and a class as how often it is there.
//
// Sources: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (2017); the
// multivariate drift of NannyML 0.13; Gretton et al., J. Mach. Learn. Res. 13 (2012).
func Compare(reference, current *Rows, columns []string) (Together, error) {
	a, b := spread(reference.n, mostTold), spread(current.n, mostTold)
	if min(len(a), len(b)) < leastTold {
		return Together{}, fmt.Errorf("%d rows against %d: want at least %d on each side", current.n, reference.n, leastTold)
	}
	t := Together{}
	if !t.tell(reference, current, a, b, columns) {
		return Together{}, errors.New("there is no column of numbers or classes")
	}
	x, y := matrices(reference, current, a, b, columns)
	t.lose(x, y)
	t.Discrepancy, t.Chance = math.NaN(), math.NaN()
	x, y = some(x, mostHeld), some(y, mostHeld)
	if sigma := statistics.MedianSigma(x, y); sigma > 0 {
		m := statistics.NewMMD(x, y, sigma)
		t.Discrepancy, t.Chance = m.Squared, m.PValue(Shuffles, 0)
	}
	return t, nil
}

// spread are at most so many of n places, evenly.
func spread(n, most int) []int {
	step := (n + most - 1) / most
	var places []int
	for i := 0; i < n; i += max(1, step) {
		places = append(places, i)
	}
	return places
}

func some(rows [][]float64, most int) (few [][]float64) {
	for _, i := range spread(len(rows), most) {
		few = append(few, rows[i])
	}
	return few
}

// tell fits a model on four of five folds, and has it tell the rows of the fifth.
func (t *Together) tell(reference, current *Rows, a, b []int, columns []string) bool {
	both := &Rows{}
	both.append(reference, a)
	both.append(current, b)
	labels, scores := make([]bool, both.n), make([]float64, both.n)
	for i := range labels {
		labels[i] = i >= len(a)
	}
	won := map[string]float64{}
	for fold := range folds {
		var seen, unseen []int
		var y []float64
		mean := 0.0
		for i := range both.n {
			if i%folds == fold {
				unseen = append(unseen, i)
				continue
			}
			seen = append(seen, i)
			y = append(y, 0)
			if labels[i] {
				y[len(y)-1] = 1
				mean++
			}
		}
		mean /= float64(len(y))
		features := learn(both, columns, seen)
		if len(features) == 0 {
			return false
		}
		f := grow(features, encode(features, both, seen), y, math.Log(mean/(1-mean)), logistic)
		for k, gain := range f.gain {
			won[features[k].name] += gain
		}
		for at, score := range f.scores(encode(features, both, unseen), len(unseen)) {
			scores[unseen[at]] = score
		}
	}
	t.Told, t.By = performance.AUC(labels, scores), won
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(won)) {
		sum += won[name]
	}
	for name := range won {
		if t.By[name] /= sum; sum == 0 {
			t.By[name] = 0
		}
	}
	return true
}

// append appends rows of o; columns that only one of both has are missing.
func (r *Rows) append(o *Rows, rows []int) {
	if r.names == nil {
		r.names, r.columns = o.names, make([]column, len(o.names))
	}
	for at, name := range r.names {
		c, from := &r.columns[at], o.column(name)
		for _, i := range rows {
			n := len(c.numbers)
			c.miss()
			if from == nil || c.kind != "" && from.kind != c.kind {
				continue
			}
			c.kind = from.kind
			c.numbers[n] = from.numbers[i]
			if code := from.codes[i]; code >= 0 {
				text := from.text[code]
				if c.code == nil {
					c.code = map[string]int32{}
				}
				if _, ok := c.code[text]; !ok {
					c.code[text] = int32(len(c.text))
					c.text = append(c.text, text)
				}
				c.codes[n] = c.code[text]
			}
		}
	}
	r.n += len(rows)
}

// matrices are the rows of both as numbers, in standard deviations of the reference.
func matrices(reference, current *Rows, a, b []int, columns []string) (x, y [][]float64) {
	x, y = make([][]float64, len(a)), make([][]float64, len(b))
	for _, f := range learn(reference, columns, a) {
		share := map[string]float64{}
		c := reference.column(f.name)
		for _, i := range a {
			share[class(c, i)] += 1 / float64(len(a))
		}
		number := func(r *Rows, i int) float64 {
			c := r.column(f.name)
			switch {
			case c == nil:
				return math.NaN()
			case f.bins != nil:
				return share[class(c, i)]
			}
			return c.numbers[i]
		}
		mean, squares, n := 0.0, 0.0, 0.0
		for _, i := range a {
			if v := number(reference, i); v == v {
				n++
				d := v - mean
				mean += d / n
				squares += d * (v - mean)
			}
		}
		deviation := math.Sqrt(squares / n)
		scaled := func(v float64) float64 {
			if v != v {
				return 0
			}
			if deviation > 0 {
				return (v - mean) / deviation
			}
			return v - mean
		}
		for at, i := range a {
			x[at] = append(x[at], scaled(number(reference, i)))
		}
		for at, i := range b {
			y[at] = append(y[at], scaled(number(current, i)))
		}
	}
	return x, y
}

// lose measures what the reference's principal components lose.
func (t *Together) lose(x, y [][]float64) {
	t.Lost, t.Mean, t.Deviation = math.NaN(), math.NaN(), math.NaN()
	pca, err := statistics.NewPCA(x, 0.65)
	if err != nil {
		return
	}
	t.Lost, t.Mean, t.Deviation = pca.Error(y), 0, 0
	errors := make([]float64, chunks)
	for i := range errors {
		errors[i] = pca.Error(x[i*len(x)/chunks : (i+1)*len(x)/chunks])
		t.Mean += errors[i] / chunks
	}
	for _, e := range errors {
		t.Deviation += (e - t.Mean) * (e - t.Mean) / chunks
	}
	t.Deviation = math.Sqrt(t.Deviation)
}

// Most are the columns that have most to do with it, at most so many.
func (t Together) Most(n int) []string {
	names := slices.SortedFunc(maps.Keys(t.By), func(a, b string) int { return cmp.Or(cmp.Compare(t.By[b], t.By[a]), cmp.Compare(a, b)) })
	names = slices.DeleteFunc(names, func(name string) bool { return t.By[name] == 0 })
	return names[:min(n, len(names))]
}
