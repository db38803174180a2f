package witness

import (
	"math"
	"slices"
	"sort"
)

// Unknown is what an outlook comes to where the witness has no say.
const Unknown = "unknown"

// An Outlook is what a witness of classes expects of current rows whose target is
// not known yet.
type Outlook struct {
	Verdict string `json:"verdict"` // Holds or Unknown
	Rows    int64  `json:"rows"`
	// Shift is the Wasserstein distance of the probabilities that are predicted of the
	// current rows from those that were of the reference: of the class for which it is
	// largest.
	Shift float64 `json:"shift"`
	// Strange is the share of rows that the model knows nothing of: in a column that
	// it uses they have a number beyond those of the reference, a class that was never
	// seen, or no value where there always was one.
	Strange   float64 `json:"strange"`
	Tolerance float64 `json:"tolerance"`
}

// Outlook predicts the target of current rows. The accuracy that a calibrated model
// expects is the mean of its largest probability. Where two such means differ, of
// two classes, the probabilities differ by as much (Kantorovich and Rubinstein: the
// Wasserstein distance bounds the difference of means of any function that is no
// steeper than 1). So the expectation has moved by at most Shift, and by Strange where
// the model cannot expect anything. Where both are within the tolerance together,
// what has moved in the columns is not what the model goes by: it Holds. That the
// relation has changed is not seen without the target.
//
// There is no outlook on an amount, whose error does not follow from what is
// predicted; nor on less than 30 rows.
func (w *Witness) Outlook(current *Rows) (Outlook, bool) {
	o := Outlook{Verdict: Unknown, Rows: int64(current.n), Tolerance: ShareTolerance}
	if w.task != Classification || current.n < leastJudged {
		return o, false
	}
	rows := make([]int, current.n)
	for i := range rows {
		rows[i] = i
	}
	for k, p := range w.probabilities(current, rows) {
		o.Shift = max(o.Shift, distance(w.expected[k], p))
	}
	o.Strange = float64(w.strange(current)) / float64(current.n)
	if o.Shift+o.Strange <= o.Tolerance {
		o.Verdict = Holds
	}
	return o, true
}

// expect keeps what is predicted of every second row of the reference by a model of
// the others: of rows that a model has learnt from it is too sure.
func (w *Witness) expect(r *Rows, rows []int, columns []string) {
	var learnt, rest []int
	for i, row := range rows {
		if i%2 == 0 {
			learnt = append(learnt, row)
		} else {
			rest = append(rest, row)
		}
	}
	w.fit(r, learnt, columns)
	w.expected = w.probabilities(r, rest)
}

// probabilities are, by forest and sorted, those of its class in some rows.
func (w *Witness) probabilities(r *Rows, rows []int) [][]float64 {
	bins, all := encode(w.features, r, rows), make([][]float64, len(w.forests))
	for k, f := range w.forests {
		all[k] = f.scores(bins, len(rows))
	}
	if len(all) > 1 {
		softmax(all)
	} else {
		for i, s := range all[0] {
			all[0][i] = 1 / (1 + math.Exp(-s))
		}
	}
	for _, p := range all {
		slices.Sort(p)
	}
	return all
}

// strange counts the rows that have, in a column the model uses, what it does not know.
func (w *Witness) strange(r *Rows) (n int) {
	odd := make([]bool, r.n)
	for k, f := range w.features {
		if !slices.ContainsFunc(w.forests, func(of *forest) bool { return of.gain[k] > 0 }) {
			continue
		}
		c := r.column(f.name)
		for i := range odd {
			odd[i] = odd[i] || c == nil || !f.knows(c, i)
		}
	}
	for _, is := range odd {
		if is {
			n++
		}
	}
	return n
}

// distance is the Wasserstein distance of two sorted samples: the area between their
// distribution functions.
func distance(x, y []float64) (area float64) {
	at := math.Min(x[0], y[0])
	for i, j := 0, 0; i < len(x) || j < len(y); {
		next := math.Inf(1)
		if i < len(x) {
			next = x[i]
		}
		if j < len(y) {
			next = min(next, y[j])
		}
		area += (next - at) * math.Abs(float64(i)/float64(len(x))-float64(j)/float64(len(y)))
		at = next
		i += sort.Search(len(x)-i, func(k int) bool { return x[i+k] > at })
		j += sort.Search(len(y)-j, func(k int) bool { return y[j+k] > at })
	}
	return area
}
