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

// estimateLoss is direct loss estimation: how far off predictions are is learnt by
// gradient boosting, and expected of those that have no label. Low and High are
// three standard errors of the mean loss away.
func (j *Join) estimateLoss(m Measurement, q Question, known, open []pair) Measurement {
	losses := make([]float64, len(known))
	for i, x := range known {
		off := math.Abs(x.p.number - x.l.number)
		switch q.Metric {
		case "rmse":
			off *= off
		case "mape":
			if x.l.number == 0 {
				m.Problem = "a label to calibrate on is 0, and mape is a share of it: estimate mae"
				return m
			}
			off /= math.Abs(x.l.number)
		}
		losses[i] = off
	}
	measured := performance.Mean(losses)
	learnt := known[:min(mostLearnt, len(known))]
	model := witness.Regress(features(learnt), losses[:len(learnt)])
	asked := open[:min(mostLearnt, len(open))]
	value := 0.0
	for _, loss := range model.Of(features(asked), len(asked)) {
		value += loss / float64(len(asked))
	}
	value = max(0, value)
	standard := measured.Error * math.Sqrt(float64(len(known))/float64(len(asked)))
	low, high := max(0, value-3*standard), value+3*standard
	reference := Reference{N: int64(len(known)), Value: measured.Value, Error: standard}
	if q.Metric == "rmse" {
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
