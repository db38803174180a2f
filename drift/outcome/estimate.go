package outcome

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/anneal-ml/anneal/drift/performance"
)

// The ways of [Join.Estimate]: confidence-based performance estimation, of classes,
// and direct loss estimation, of numbers.
const (
	CBPE = "cbpe"
	DLE  = "dle"
)

// Estimates are the metrics that can be estimated without labels.
func Estimates() []string {
	return []string{"accuracy", "f1", "precision", "recall", "auc", "averagePrecision"}
}

// A Reference is what an estimate rests on: predictions whose label is known.
type Reference struct {
	N     int64   `json:"n"`
	Value float64 `json:"value"` // of the metric, measured
	Error float64 `json:"error"` // standard error on as many predictions as the window has
}

// Estimate asks how good the predictions of the window are to be whose label is
// not there, by CBPE: scores become probabilities by the isotonic curve through the
// labels of the reference, the predictions made in the time before Now that have
// one, and of these the metric is expected. Where there are scores of several
// classes, each has its curve, and a row's probabilities add up to 1. Low and High
// are three standard errors away: that of the metric on the reference, for as many
// predictions as the window has (NannyML 0.13). By DLE a model learns from the
// reference how far off a prediction is, by the prediction itself and the features,
// and the mean of what it expects is the estimate.
//
// It holds while the classes follow from the scores as they did. N counts the
// predictions in the window that have no label.
func (j *Join) Estimate(q Question, reference time.Duration) Measurement {
	m, loss := j.Begin(q, reference)
	if loss != nil {
		return loss.Estimate()
	}
	return m
}

// Begin is [Join.Estimate] up to what takes long: to learn losses. That is left to be
// done, without the join; or there is nothing left, and m is the whole.
func (j *Join) Begin(q Question, reference time.Duration) (m Measurement, loss *Loss) {
	m, _, open := j.window(q)
	m.N, m.Estimate = int64(len(open)), cmp.Or(q.Way, CBPE)
	if m.Predictions > 0 {
		coverage := float64(m.N) / float64(m.Predictions)
		m.Coverage = &coverage
	}
	now, from := q.Now.UnixMilli(), q.Now.Add(-reference).UnixMilli()
	mine := j.mine(q)
	var known []pair
	for key, p := range j.predictions {
		if l, ok := j.labels[key]; ok && p.at > from && p.at <= now && mine(p) {
			known = append(known, pair{key, p, l})
		}
	}
	known = inOrder(known)
	least := q.MinRows
	if least == 0 {
		least = 30
	}
	if n := int64(len(known)); n < least {
		m.Problem = fmt.Sprintf("%d predictions with a label to calibrate on: want %d", n, least)
		return m, nil
	}
	if m.N < least {
		m.Problem = fmt.Sprintf("%d predictions in the window without a label: want %d", m.N, least)
		return m, nil
	}
	var value float64
	var measured performance.Interval
	var problem string
	switch {
	case q.Way == DLE:
		return newLoss(m, q, known, open)
	case len(q.Scores) > 0:
		value, measured, problem = j.estimateClasses(&m, q, known, open)
	default:
		value, measured, problem = j.estimateTwo(&m, q, known, open)
	}
	switch {
	case problem != "":
		m.Problem = problem
		return m, nil
	case !isFinite(measured.Value):
		m.Problem = "of the labels to calibrate on: " + degenerate(q.Metric)
		return m, nil
	case !isFinite(value):
		m.Problem = "all predictions in the window are surely of one class"
		return m, nil
	}
	standard := measured.Error * math.Sqrt(float64(len(known))/float64(len(open)))
	m.Reference = &Reference{N: int64(len(known)), Value: measured.Value, Error: standard}
	low, high := max(0, value-3*standard), min(1, value+3*standard)
	m.Value, m.Low, m.High = &value, &low, &high
	return m, nil
}

// estimateTwo is [Join.Estimate] where the score is of one class against the rest.
func (j *Join) estimateTwo(m *Measurement, q Question, known, open []pair) (value float64, measured performance.Interval, problem string) {
	q.Average = string(performance.OneClass)
	var was Measurement
	measured, problem = j.metric(&was, q, known)
	positive, none := j.positive(q.Positive, known)
	if none != "" {
		problem = none
	}
	if problem != "" {
		return 0, measured, "of the labels to calibrate on: " + problem
	}
	m.Positive, m.Average = j.classes.list[positive], was.Average
	labels, scores := make([]float64, len(known)), make([]float64, len(known))
	for i, x := range known {
		scores[i] = x.p.number
		if x.l.class == positive {
			labels[i] = 1
		}
	}
	curve := performance.NewIsotonic(scores, labels)
	calibrated, own, decisions := make([]float64, len(open)), make([]float64, len(open)), make([]bool, len(open))
	for i, x := range open {
		calibrated[i], own[i], decisions[i] = curve.At(x.p.number), x.p.number, x.p.class == positive
	}
	e := performance.Estimate(calibrated, own, decisions)
	return map[string]float64{
		"accuracy": e.Accuracy, "f1": e.F1, "precision": e.Precision, "recall": e.Recall, "auc": e.ROCAUC, "averagePrecision": e.AveragePrecision,
	}[q.Metric], measured, ""
}
