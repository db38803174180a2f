package outcome

import (
	"math"

	"github.com/anneal-ml/anneal/drift/performance"
	"github.com/anneal-ml/anneal/drift/witness"
)

// LossEstimates are the metrics that can be estimated of numbers.
func LossEstimates() []string { return []string{"mae", "rmse", "mape"} }

// mostLearnt is how many predictions a model of losses is fitted on at most, and
// asked about, by the order of their hashes, which is that of no clock.
const mostLearnt = 8192

// A Loss is direct loss estimation that is still to be done: how far off predictions
// are is learnt by gradient boosting, and expected of those that have no label. It has
// all that it needs, so that it can be done beside the join.
type Loss struct {
	m             Measurement
	metric        string
	known         int // with a label
	measured      performance.Interval
	learnt, asked [][]float64 // features, by column
	losses        []float64   // of what is learnt from
}

// newLoss is what has to be learnt, or why that cannot be.
func newLoss(m Measurement, q Question, known, open []pair) (Measurement, *Loss) {
	losses := make([]float64, len(known))
	for i, x := range known {
		off := math.Abs(x.p.number - x.l.number)
		switch q.Metric {
		case "rmse":
			off *= off
		case "mape":
			if x.l.number == 0 {
				m.Problem = "a label to calibrate on is 0, and mape is a share of it: estimate mae"
				return m, nil
			}
			off /= math.Abs(x.l.number)
		}
		losses[i] = off
	}
	learnt := min(mostLearnt, len(known))
	return m, &Loss{
		m: m, metric: q.Metric, known: len(known), measured: performance.Mean(losses), losses: losses[:learnt:learnt],
		learnt: features(known[:learnt]), asked: features(open[:min(mostLearnt, len(open))]),
	}
}

// Estimate learns and asks. Low and High are three standard errors of the mean loss
// away.
func (l *Loss) Estimate() Measurement {
	m, n := l.m, len(l.asked[0])
	model := witness.Regress(l.learnt, l.losses)
	value := 0.0
	for _, loss := range model.Of(l.asked, n) {
		value += loss / float64(n)
	}
	value = max(0, value)
	standard := l.measured.Error * math.Sqrt(float64(l.known)/float64(n))
	low, high := max(0, value-3*standard), value+3*standard
	reference := Reference{N: int64(l.known), Value: l.measured.Value, Error: standard}
	if l.metric == "rmse" {
		if reference.Value > 0 {
			reference.Error /= 2 * math.Sqrt(reference.Value)
		}
		reference.Value, value, low, high = math.Sqrt(reference.Value), math.Sqrt(value), math.Sqrt(low), math.Sqrt(high)
	}
	m.Reference, m.Value, m.Low, m.High = &reference, &value, &low, &high
	if !isFinite(value) || !isFinite(high) {
		m.Problem, m.Reference, m.Value, m.Low, m.High = "losses so large have no mean", nil, nil, nil, nil
	}
	return m
}

// features are the prediction itself and what was read beside it, by column.
func features(pairs []pair) [][]float64 {
	columns := make([][]float64, 1)
	if len(pairs) > 0 {
		columns = make([][]float64, 1+len(pairs[0].p.many))
	}
	for i := range columns {
		columns[i] = make([]float64, len(pairs))
	}
	for i, x := range pairs {
		columns[0][i] = x.p.number
		for k := range x.p.many {
			columns[1+k][i] = x.p.many[k]
		}
	}
	return columns
}
