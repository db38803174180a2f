package outcome

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/drift/performance"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// A Join holds the last prediction and the last label of each key. It is a fold
// of batches: the same batches in the same order give the same join. The zero
// value is empty.
type Join struct {
	level       int
	predictions map[uint64]prediction
	labels      map[uint64]label
	classes     dictionary
	versions    dictionary
}

type prediction struct {
	at      int64   // milliseconds since 1970
	number  float64 // predicted, or the score
	class   uint32
	version uint32
}

// A label came first, and was told last, then: a file of all labels so far is
// dropped again every day.
type label struct {
	first, last int64 // milliseconds since 1970
	number      float64
	class       uint32
}

// between reports whether it was told in a time.
func (l label) between(from, to int64) bool {
	return from <= l.first && l.first <= to || from <= l.last && l.last <= to
}

// A dictionary gives each name a number.
type dictionary struct {
	list  []string
	index map[string]uint32
}

func (d *dictionary) number(name string) uint32 {
	i, ok := d.index[name]
	if !ok {
		if d.index == nil {
			d.index = map[string]uint32{}
		}
		i = uint32(len(d.list))
		d.index[name] = i
		d.list = append(d.list, name)
	}
	return i
}

func (d *dictionary) numbers(names []string) []uint32 {
	numbers := make([]uint32, len(names))
	for i, name := range names {
		numbers[i] = d.number(name)
	}
	return numbers
}

// Add takes a batch in, of predictions or of labels, that was seen then.
func (j *Join) Add(b *Batch, labels bool, seen time.Time) {
	if j.predictions == nil {
		j.predictions, j.labels = map[uint64]prediction{}, map[uint64]label{}
	}
	for j.level < b.Level {
		j.thin()
	}
	classes, versions := j.classes.numbers(b.classes.list), j.versions.numbers(b.versions.list)
	for i, key := range b.keys {
		if !sampled(key, j.level) {
			continue
		}
		var class uint32
		if len(b.classes.of) > 0 {
			class = classes[b.classes.of[i]]
		}
		number := math.NaN()
		switch {
		case len(b.numbers) > 0:
			number = b.numbers[i]
		case len(b.scores) > 0:
			number = b.scores[i]
		}
		if labels {
			l := label{seen.UnixMilli(), seen.UnixMilli(), number, class}
			if before, ok := j.labels[key]; ok {
				l.first = min(l.first, before.first)
			}
			j.labels[key] = l
		} else {
			p := prediction{at: seen.UnixMilli(), number: number, class: class}
			if len(b.times) > 0 && b.times[i] != noTime {
				p.at = min(p.at, b.times[i]) // none is made after it came
			}
			if len(b.versions.of) > 0 {
				p.version = versions[b.versions.of[i]]
			}
			j.predictions[key] = p
		}
		if len(j.predictions) > MostRows || len(j.labels) > MostRows {
			j.thin()
		}
	}
}

// thin keeps every second key.
func (j *Join) thin() {
	j.level++
	maps.DeleteFunc(j.predictions, func(key uint64, _ prediction) bool { return !sampled(key, j.level) })
	maps.DeleteFunc(j.labels, func(key uint64, _ label) bool { return !sampled(key, j.level) })
}

// A Question says what is measured. The metrics are those of package
// performance; a positive class is needed by auc, logLoss and the binary f1.
type Question struct {
	Metric   string // accuracy, f1, auc, logLoss, mae or rmse
	Average  string // of f1: binary, macro or weighted; if empty, by the classes there are
	Positive string // if empty, the one of 1, true and yes that is there

	Now          time.Time
	Window       time.Duration // predictions that were made so long before Now
	LabelsWithin time.Duration // a label counts that came so long after its prediction, or before it
	Since        time.Time     // predictions that were made earlier do not count
	Versions     []string      // predictions of other model versions do not count; any if empty
	MinRows      int64         // labelled predictions that a value takes; 30 if 0
}

// A Measurement is how good the predictions of a window were. Counts are of
// the keys that are kept: one in Sampled.
type Measurement struct {
	Metric   string   `json:"metric"`
	Average  string   `json:"average,omitempty"`
	Positive string   `json:"positive,omitempty"`
	Value    *float64 `json:"value"`
	Low      *float64 `json:"low"` // 95 % interval
	High     *float64 `json:"high"`
	Problem  string   `json:"problem,omitempty"` // why there is no value

	N           int64    `json:"n"`           // predictions in the window with their label
	Predictions int64    `json:"predictions"` // in the window
	Coverage    *float64 `json:"coverage"`    // N of Predictions
	Waiting     int64    `json:"waiting"`     // without a label, which may still come
	Unlabelled  int64    `json:"unlabelled"`  // without a label, which comes too late from here on
	Late        int64    `json:"late"`        // whose label came, too late
	Unmatched   int64    `json:"unmatched"`   // labels of the window for which there is no prediction
	Others      int64    `json:"others"`      // predictions in the window of other models
	Sampled     int64    `json:"sampled"`
}

// Measure asks how good the predictions were.
func (j *Join) Measure(q Question) Measurement {
	m := Measurement{Metric: q.Metric, Sampled: 1 << j.level}
	now, from := q.Now.UnixMilli(), q.Now.Add(-q.Window).UnixMilli()
	within := q.LabelsWithin.Milliseconds()
	oldest := from - within // what a caller need not keep does not count
	var wanted []uint32
	for _, v := range q.Versions {
		if i, ok := j.versions.index[v]; ok {
			wanted = append(wanted, i)
		}
	}
	var pairs []pair
	for key, p := range j.predictions {
		if p.at <= from || p.at > now {
			continue
		}
		if len(q.Versions) > 0 && !slices.Contains(wanted, p.version) || !q.Since.IsZero() && p.at < q.Since.UnixMilli() {
			m.Others++
			continue
		}
		m.Predictions++
		l, labelled := j.labels[key]
		switch {
		case labelled && l.between(oldest, p.at+within):
			pairs = append(pairs, pair{key, p, l})
		case labelled && l.first > p.at+within:
			m.Late++
		case now-p.at <= within:
			m.Waiting++
		default:
			m.Unlabelled++
		}
	}
	for key, l := range j.labels {
		if _, ok := j.predictions[key]; !ok && l.last > from && l.last <= now {
			m.Unmatched++
		}
	}
	m.N = int64(len(pairs))
	if m.Predictions > 0 {
		coverage := float64(m.N) / float64(m.Predictions)
		m.Coverage = &coverage
	}
	least := q.MinRows
	if least == 0 {
		least = 30
	}
	if m.N < least {
		m.Problem = few(m, least)
		return m
	}
	// Sums depend on their order, and a map has none.
	slices.SortFunc(pairs, func(a, b pair) int {
		if a.key < b.key {
			return -1
		}
		return 1 // keys differ
	})
	interval, problem := j.metric(&m, q, pairs)
	if problem == "" && interval.Value-interval.Value != 0 {
		problem = "the labels are all of one class"
	}
	if problem != "" {
		m.Problem = problem
		return m
	}
	m.Value = &interval.Value
	if isFinite(interval.Low) {
		m.Low = &interval.Low
	}
	if isFinite(interval.High) {
		m.High = &interval.High
	}
	return m
}

func isFinite(v float64) bool { return v-v == 0 }

type pair struct {
	key uint64
	p   prediction
	l   label
}

// metric measures the pairs, or says why that cannot be.
func (j *Join) metric(m *Measurement, q Question, pairs []pair) (_ performance.Interval, problem string) {
	switch q.Metric {
	case "accuracy":
		right := int64(0)
		for _, x := range pairs {
			if x.p.class == x.l.class {
				right++
			}
		}
		n := int64(len(pairs))
		low, high := statistics.Wilson(right, n)
		return performance.Interval{Value: float64(right) / float64(n), Low: low, High: high}, ""
	case "f1":
		return j.f1(m, q, pairs)
	case "auc", "logLoss":
		positive, problem := j.positive(q.Positive, pairs)
		if problem != "" {
			return performance.Interval{}, problem
		}
		m.Positive = j.classes.list[positive]
		labels, scores, losses := make([]bool, len(pairs)), make([]float64, len(pairs)), make([]float64, len(pairs))
		for i, x := range pairs {
			labels[i], scores[i] = x.l.class == positive, x.p.number
			if q.Metric == "logLoss" {
				if scores[i] < 0 || scores[i] > 1 {
					return performance.Interval{}, "a score is no probability: want 0 to 1"
				}
				losses[i] = performance.LogLoss(labels[i], scores[i])
			}
		}
		if q.Metric == "auc" {
			return performance.AUC(labels, scores), ""
		}
		return performance.Mean(losses), ""
	}
	losses := make([]float64, len(pairs))
	for i, x := range pairs {
		losses[i] = math.Abs(x.p.number - x.l.number)
		if q.Metric == "rmse" {
			losses[i] *= losses[i]
		}
	}
	if q.Metric == "rmse" {
		return performance.RMSE(losses), ""
	}
	return performance.Mean(losses), ""
}

// positives are what a positive class is called where nobody says.
func positives() []string { return []string{"1", "true", "yes"} }

// positive is the class that a probability is of.
func (j *Join) positive(name string, pairs []pair) (uint32, string) {
	if name != "" {
		if i, ok := j.classes.index[name]; ok {
			return i, ""
		}
		return 0, "no label is " + name + ", the positive class"
	}
	there := map[uint32]bool{}
	for _, x := range pairs {
		there[x.l.class] = true
	}
	for _, want := range positives() {
		for i, class := range j.classes.list {
			if strings.EqualFold(class, want) && there[uint32(i)] {
				return uint32(i), ""
			}
		}
	}
	return 0, "no label is 1, true or yes: say which class is positive"
}

// mostF1 is how many classes f1 is measured over.
const mostF1 = 256

func (j *Join) f1(m *Measurement, q Question, pairs []pair) (_ performance.Interval, problem string) {
	place := map[uint32]int{}
	for _, x := range pairs {
		for _, class := range []uint32{x.p.class, x.l.class} {
			if _, ok := place[class]; !ok {
				place[class] = len(place)
			}
		}
	}
	if len(place) > mostF1 {
		return performance.Interval{}, "there are more than 256 classes: f1 is not measured over so many"
	}
	average := performance.Average(q.Average)
	positive, none := j.positive(q.Positive, pairs)
	if average == "" {
		average = performance.Macro
		if none == "" && len(place) <= 2 {
			average = performance.OneClass
		}
	}
	m.Average = string(average)
	if average == performance.OneClass {
		if none != "" {
			return performance.Interval{}, none
		}
		m.Positive = j.classes.list[positive]
		// Which of the other classes it is does not matter.
		for class := range place {
			place[class] = 0
		}
		place[positive] = 1
	}
	matrix := make([][]float64, len(place))
	if average == performance.OneClass {
		matrix = make([][]float64, 2)
	}
	for i := range matrix {
		matrix[i] = make([]float64, len(matrix))
	}
	for _, x := range pairs {
		matrix[place[x.l.class]][place[x.p.class]]++
	}
	return performance.F1(matrix, average), ""
}
