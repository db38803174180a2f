package outcome

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/drift/performance"
)

// A Join holds the last prediction and the last label of each key. It is a fold
// of batches: the same batches in the same order give the same join. The zero
// value is empty.
type Join struct {
	level       int
	many        int // scores of each prediction
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
	group   uint64
	many    []float64 // of each class, or feature
	done    bool      // its outcome was told: see [Join.Follow]
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
	if len(b.many) > 0 {
		j.many = len(b.many) / len(b.keys)
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
			if len(b.groups) > 0 {
				p.group = b.groups[i]
			}
			if each := len(b.many) / len(b.keys); each > 0 {
				p.many = slices.Clone(b.many[i*each : (i+1)*each])
			}
			p.done = j.predictions[key].done
			j.predictions[key] = p
		}
		if full(len(j.predictions), len(j.predictions)*j.many) || len(j.labels) > MostRows {
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

// Metrics are what predictions with labels can be measured by.
func Metrics() []string {
	return []string{"accuracy", "f1", "precision", "recall", "balancedAccuracy", "auc", "averagePrecision", "logLoss", "brier",
		"mae", "rmse", "mape", "r2", "ndcg", "precisionAtK"}
}

// A Question says what is measured. The metrics are those of package
// performance; a positive class is needed by auc, averagePrecision, logLoss,
// brier, precision, recall and the binary f1.
type Question struct {
	Metric   string // one of [Metrics]
	Average  string // of f1: binary, macro, weighted or micro; if empty, by the classes there are
	Positive string // if empty, the one of 1, true and yes that is there
	// Scores are what predictions were read with, where they have a probability of
	// each class: auc and logLoss are then of several classes, and so is an estimate.
	Scores Scores
	Way    string // of an estimate: CBPE if empty, or DLE
	K      int    // of ndcg and precisionAtK: how many of each list; 10 if 0

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

	Classes []Class `json:"classes,omitempty"` // of the most labels; of metrics that count right and wrong decisions
	Groups  int64   `json:"groups,omitempty"`  // lists that a ranking was measured on
	// Estimate is how the value was estimated where labels are not there; empty
	// where it was measured.
	Estimate  string     `json:"estimate,omitempty"`
	Reference *Reference `json:"reference,omitempty"` // what an estimate rests on
}

// A Class is how well one class was told from the rest.
type Class struct {
	Class     string  `json:"class"`
	N         int64   `json:"n"` // labels
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// Measure asks how good the predictions were.
func (j *Join) Measure(q Question) Measurement {
	m, pairs, _ := j.window(q)
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
	interval, problem := j.metric(&m, q, pairs)
	if problem == "" && interval.Value-interval.Value != 0 {
		problem = degenerate(q.Metric)
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

// window is what is in the window: the pairs, and the predictions whose label did
// not come.
func (j *Join) window(q Question) (m Measurement, pairs, open []pair) {
	m = Measurement{Metric: q.Metric, Sampled: 1 << j.level}
	now, from := q.Now.UnixMilli(), q.Now.Add(-q.Window).UnixMilli()
	within := q.LabelsWithin.Milliseconds()
	oldest := from - within // what a caller need not keep does not count
	mine := j.mine(q)
	for key, p := range j.predictions {
		if p.at <= from || p.at > now {
			continue
		}
		if !mine(p) {
			m.Others++
			continue
		}
		m.Predictions++
		l, labelled := j.labels[key]
		switch {
		case labelled && l.between(oldest, p.at+within):
			pairs = append(pairs, pair{key, p, l})
			continue
		case labelled && l.first > p.at+within:
			m.Late++
			continue
		case now-p.at <= within:
			m.Waiting++
		default:
			m.Unlabelled++
		}
		open = append(open, pair{key: key, p: p})
	}
	for key, l := range j.labels {
		if _, ok := j.predictions[key]; !ok && l.last > from && l.last <= now {
			m.Unmatched++
		}
	}
	return m, inOrder(pairs), inOrder(open)
}

// mine tells the predictions of the model that is asked about.
func (j *Join) mine(q Question) func(prediction) bool {
	var wanted []uint32
	for _, v := range q.Versions {
		if i, ok := j.versions.index[v]; ok {
			wanted = append(wanted, i)
		}
	}
	return func(p prediction) bool {
		return (len(q.Versions) == 0 || slices.Contains(wanted, p.version)) && (q.Since.IsZero() || p.at >= q.Since.UnixMilli())
	}
}

// inOrder gives pairs by key: sums depend on their order, and a map has none. Only
// keys and places are moved while they are sorted, as pairs are large.
func inOrder(pairs []pair) []pair {
	type place struct {
		key uint64
		at  int
	}
	places := make([]place, len(pairs))
	for i := range pairs {
		places[i] = place{pairs[i].key, i}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.key, b.key) })
	sorted := make([]pair, len(pairs))
	for i, p := range places {
		sorted[i] = pairs[p.at]
	}
	return sorted
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
		if c, ok := j.confusion(pairs); ok {
			m.Classes = c.classes(j.classes.list)
		}
		return performance.Share(right, int64(len(pairs))), ""
	case "f1", "balancedAccuracy":
		return j.decisions(m, q, pairs)
	case "ndcg", "precisionAtK":
		return j.ranking(m, q, pairs)
	case "precision", "recall":
		positive, problem := j.positive(q.Positive, pairs)
		if problem != "" {
			return performance.Interval{}, problem
		}
		m.Positive = j.classes.list[positive]
		if c, ok := j.confusion(pairs); ok {
			m.Classes = c.classes(j.classes.list)
		}
		var right, all int64
		for _, x := range pairs {
			of, other := x.p.class, x.l.class // what counts, and what makes it right
			if q.Metric == "recall" {
				of, other = other, of
			}
			if of == positive {
				all++
				if other == positive {
					right++
				}
			}
		}
		if all == 0 {
			return performance.Interval{}, "nothing was predicted to be " + m.Positive + ": there is no precision"
		}
		return performance.Share(right, all), ""
	case "auc", "averagePrecision", "logLoss", "brier":
		if len(q.Scores) > 0 {
			return j.ofClasses(q, pairs)
		}
		positive, problem := j.positive(q.Positive, pairs)
		if problem != "" {
			return performance.Interval{}, problem
		}
		m.Positive = j.classes.list[positive]
		labels, scores, losses := make([]bool, len(pairs)), make([]float64, len(pairs)), make([]float64, len(pairs))
		for i, x := range pairs {
			labels[i], scores[i] = x.l.class == positive, x.p.number
			switch q.Metric {
			case "logLoss", "brier":
				if scores[i] < 0 || scores[i] > 1 {
					return performance.Interval{}, "a score is no probability: want 0 to 1"
				}
				losses[i] = performance.LogLoss(labels[i], scores[i])
			}
			if q.Metric == "brier" {
				losses[i] = scores[i] * scores[i]
				if labels[i] {
					losses[i] = (1 - scores[i]) * (1 - scores[i])
				}
			}
		}
		switch q.Metric {
		case "auc":
			return performance.AUC(labels, scores), ""
		case "averagePrecision":
			return performance.AveragePrecision(labels, scores), ""
		}
		return performance.Mean(losses), ""
	}
	labels, predicted := make([]float64, len(pairs)), make([]float64, len(pairs))
	losses := make([]float64, len(pairs))
	for i, x := range pairs {
		labels[i], predicted[i] = x.l.number, x.p.number
		losses[i] = math.Abs(x.p.number - x.l.number)
		switch q.Metric {
		case "rmse":
			losses[i] *= losses[i]
		case "mape":
			if x.l.number == 0 {
				return performance.Interval{}, "a label is 0, and mape is a share of it: measure mae"
			}
			losses[i] /= math.Abs(x.l.number)
		}
	}
	switch q.Metric {
	case "rmse":
		return performance.RMSE(losses), ""
	case "r2":
		return performance.R2(labels, predicted), ""
	}
	return performance.Mean(losses), ""
}

// degenerate says why a metric has no value on what there is.
func degenerate(metric string) string {
	switch metric {
	case "r2":
		return "the labels are all equal"
	case "ndcg":
		return "no group has a row that is relevant: one whose label is above 0"
	}
	return "the labels are all of one class"
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
