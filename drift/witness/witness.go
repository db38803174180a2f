package witness

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/performance"
)

// The tasks of a witness.
const (
	Classification = "classification"
	Regression     = "regression"
)

// What a judgement comes to.
const (
	Worse  = "worse"        // beyond the tolerance, and not by chance
	Holds  = "holds"        // the relation is still there
	TooFew = "too few rows" // to see a change as large as the tolerance
)

// Tolerances of a change for the worse.
const (
	ShareTolerance = 0.05 // of accuracy and AUC
	ErrorTolerance = 0.25 // of the mean absolute error, of itself
)

const (
	mostClasses = 20
	leastRows   = 200 // of the reference
	leastJudged = 30  // of current rows
)

// ErrNoWitness is why a reference gives none.
var ErrNoWitness = errors.New("no witness")

// A Witness is a model of the reference.
type Witness struct {
	target   string
	task     string
	classes  []string // sorted
	features []feature
	forests  []*forest // one; or one a class if there are more than two
	baseline []performance.Interval
	// expected is, by forest and sorted, what was predicted of rows of the reference that
	// were not learnt from.
	expected [][]float64
}

// A Quality is what a witness is worth on current data.
type Quality struct {
	Task    string   `json:"task"`
	Verdict string   `json:"verdict"` // Worse, Holds or TooFew
	Rows    int64    `json:"rows"`    // that it was measured on
	Metrics []Metric `json:"metrics"`
	// Fall is how much worse the metric is that fell furthest, in tolerances: an
	// alarm is beyond 1, and a retraining, which costs less than an alarm that is
	// false, may well be worth it from a third.
	Fall float64 `json:"fall"`
}

// Open reports whether a metric is worse by more than its tolerance, be it by chance: of
// a rare class accuracy may hold where AUC, on too few rows, does not.
func (q Quality) Open() bool { return q.Verdict != Worse && q.Fall > 1 }

// A Metric is one measure of it: accuracy, auc or mae.
type Metric struct {
	Metric    string  `json:"metric"`
	Reference float64 `json:"reference"` // on its newest quarter, of a model of the rest
	Current   float64 `json:"current"`
	// Worse is how much worse that is, and Low to High its 95 % interval.
	Worse     float64 `json:"worse"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	Tolerance float64 `json:"tolerance"`
	Verdict   string  `json:"verdict"`
}

// New fits a witness of target by the columns named, and measures what such a model
// is worth where it comes from.
func New(reference *Rows, target string, columns []string) (*Witness, error) {
	w, rows, err := begin(reference, target, columns)
	if err != nil {
		return nil, err
	}
	older := rows[:len(rows)*3/4]
	w.fit(reference, older, columns)
	w.baseline = w.measure(reference, rows[len(older):])
	if w.task == Classification {
		w.expect(reference, rows, columns)
	}
	w.fit(reference, rows, columns)
	return w, nil
}

// Fit fits a witness that can be asked for its [Witness.Worth] alone, for half the
// work.
func Fit(reference *Rows, target string, columns []string) (*Witness, error) {
	w, rows, err := begin(reference, target, columns)
	if err != nil {
		return nil, err
	}
	w.fit(reference, rows, columns)
	return w, nil
}

// begin finds the task, and the rows to learn it from by the columns.
func begin(reference *Rows, target string, columns []string) (*Witness, []int, error) {
	c := reference.column(target)
	if c == nil {
		return nil, nil, fmt.Errorf("%w: the reference has no column %q", ErrNoWitness, target)
	}
	w := &Witness{target: target}
	w.learnTask(c)
	rows := w.labelled(reference)
	switch {
	case len(rows) < leastRows:
		return nil, nil, fmt.Errorf("%w: %d rows of the reference have the target %s: want %d", ErrNoWitness, len(rows), target, leastRows)
	case w.task == Classification && len(w.classes) < 2:
		return nil, nil, fmt.Errorf("%w: %s is always the same", ErrNoWitness, target)
	case len(w.classes) > mostClasses:
		return nil, nil, fmt.Errorf("%w: %s has %d classes: want at most %d", ErrNoWitness, target, len(w.classes), mostClasses)
	case !slices.ContainsFunc(columns, func(name string) bool { return learnable(reference.column(name)) }):
		return nil, nil, fmt.Errorf("%w: the reference has no column to learn %s from", ErrNoWitness, target)
	}
	return w, rows, nil
}

// Baseline is what it was worth on the newest quarter of the reference, by
// metric.
func (w *Witness) Baseline() map[string]float64 {
	all := map[string]float64{}
	for i, m := range w.metrics() {
		all[m] = w.baseline[i].Value
	}
	return all
}

// Importance is how much each column has to do with the target in the
// reference: its share of what the model has won by all.
func (w *Witness) Importance() map[string]float64 {
	all, sum := map[string]float64{}, 0.0
	for _, f := range w.forests {
		for k, gain := range f.gain {
			all[w.features[k].name] += gain
			sum += gain
		}
	}
	for name := range all {
		if sum > 0 {
			all[name] /= sum
		}
	}
	return all
}

// learnTask takes few whole numbers and categories for classes.
func (w *Witness) learnTask(c *column) {
	all := make([]int, len(c.numbers))
	for i := range all {
		all[i] = i
	}
	w.task = Regression
	if classes, ok := classesOf(c, all); ok {
		w.task, w.classes = Classification, classes
	}
}

// labelled are the rows that have a target.
func (w *Witness) labelled(r *Rows) []int {
	c := r.column(w.target)
	if c == nil {
		return nil
	}
	var rows []int
	for i := range r.n {
		if w.task == Regression && c.numbers[i] == c.numbers[i] || w.task == Classification && class(c, i) != "" {
			rows = append(rows, i)
		}
	}
	return rows
}

// targets are, for each row of r, the number to learn: of two classes, whether it is
// the second.
func (w *Witness) targets(r *Rows) []float64 {
	c := r.column(w.target)
	if w.task == Regression {
		return c.numbers
	}
	y := make([]float64, r.n)
	for i := range y {
		if class(c, i) == w.classes[1] {
			y[i] = 1
		}
	}
	return y
}

func (w *Witness) fit(r *Rows, rows []int, columns []string) {
	w.features = learn(r, columns, rows)
	bins := encode(w.features, r, rows)
	if len(w.classes) > 2 {
		c, y, base := r.column(w.target), make([]uint8, len(rows)), make([]float64, len(w.classes))
		for at, i := range rows {
			k := slices.Index(w.classes, class(c, i))
			y[at] = uint8(k)
			base[k] += 1 / float64(len(rows))
		}
		for k, share := range base {
			base[k] = math.Log(max(1e-6, share))
		}
		w.forests = growClasses(w.features, bins, y, base)
		return
	}
	all := w.targets(r)
	y, mean := make([]float64, len(rows)), 0.0
	for at, i := range rows {
		y[at] = all[i]
		mean += all[i] / float64(len(rows))
	}
	if w.task == Regression {
		w.forests = []*forest{grow(w.features, bins, y, mean, squared)}
		return
	}
	mean = max(1e-6, min(1-1e-6, mean))
	w.forests = []*forest{grow(w.features, bins, y, math.Log(mean/(1-mean)), logistic)}
}

// metrics are those of the task.
func (w *Witness) metrics() []string {
	switch {
	case w.task == Regression:
		return []string{"mae"}
	case len(w.classes) == 2:
		return []string{"accuracy", "auc"}
	}
	return []string{"accuracy"}
}

// measure takes the metrics on some rows.
func (w *Witness) measure(r *Rows, rows []int) []performance.Interval {
	bins, c := encode(w.features, r, rows), r.column(w.target)
	lost, labels, scores := make([]float64, len(rows)), make([]bool, len(rows)), make([]float64, len(rows))
	raw := make([][]float64, len(w.forests))
	for k, f := range w.forests {
		raw[k] = f.scores(bins, len(rows))
	}
	for at, i := range rows {
		if w.task == Regression {
			lost[at] = math.Abs(raw[0][at] - c.numbers[i])
			continue
		}
		best, most := 0, math.Inf(-1)
		for k := range raw {
			if s := raw[k][at]; s > most {
				best, most = k, s
			}
		}
		if len(w.forests) == 1 {
			scores[at], labels[at] = most, class(c, i) == w.classes[1]
			best = 0
			if most > 0 {
				best = 1
			}
		}
		if class(c, i) == w.classes[best] {
			lost[at] = 1
		}
	}
	all := []performance.Interval{performance.Mean(lost)}
	if len(w.classes) == 2 {
		all = append(all, performance.AUC(labels, scores))
	}
	return all
}

// Worth is what the witness is worth on current data, by metric: those that they
// have rows enough for.
func (w *Witness) Worth(current *Rows) map[string]float64 {
	all := map[string]float64{}
	for i, m := range w.measure(current, w.labelled(current)) {
		if m.Value == m.Value {
			all[w.metrics()[i]] = m.Value
		}
	}
	return all
}

// Judge measures the witness on current data. It gives none where too few rows
// of them, 30, have a target.
func (w *Witness) Judge(current *Rows) (Quality, bool) {
	q := Quality{Task: w.task, Verdict: Holds, Metrics: []Metric{}}
	rows := w.labelled(current)
	if len(rows) < leastJudged {
		return q, false
	}
	q.Rows = int64(len(rows))
	fits := 0
	for i, now := range w.measure(current, rows) {
		was := w.baseline[i]
		if now.Value != now.Value || was.Value != was.Value {
			continue // AUC of one class
		}
		m := Metric{Metric: w.metrics()[i], Reference: was.Value, Current: now.Value, Worse: was.Value - now.Value, Tolerance: ShareTolerance, Verdict: Holds}
		if w.task == Regression {
			m.Worse, m.Tolerance = -m.Worse, ErrorTolerance*was.Value
		}
		if fall := m.Worse / max(m.Tolerance, math.SmallestNonzeroFloat64); len(q.Metrics) == 0 || fall > q.Fall {
			q.Fall = min(math.MaxFloat64, fall)
		}
		half := math.Hypot(was.High-was.Low, now.High-now.Low) / 2
		m.Low, m.High = m.Worse-half, m.Worse+half
		switch {
		case m.Worse > m.Tolerance && m.Low > 0:
			m.Verdict, q.Verdict = Worse, Worse
		case half > m.Tolerance && m.High > 0:
			m.Verdict = TooFew // a change as large as that would as often as not be missed
		default:
			fits++
		}
		q.Metrics = append(q.Metrics, m)
	}
	if q.Verdict != Worse && (fits == 0 || q.Open()) {
		q.Verdict = TooFew
	}
	return q, len(q.Metrics) > 0
}
