package outcome

import (
	"fmt"
	"slices"

	"github.com/anneal-ml/anneal/drift/performance"
)

// ClassEstimates are the metrics that can be estimated without labels where there
// is a probability of each of several classes.
func ClassEstimates() []string { return []string{"accuracy", "f1", "balancedAccuracy", "auc"} }

// scored are pairs by the classes that have scores.
type scored struct {
	classes []string
	index   []int       // of each class of the join; -1 where it has no score
	scores  [][]float64 // by class, then by row
}

// scored orders the scores of the pairs by class.
func (j *Join) scored(q Question, pairs []pair) scored {
	s := scored{classes: q.Scores.Classes(), scores: make([][]float64, len(q.Scores))}
	for _, name := range j.classes.list {
		s.index = append(s.index, slices.Index(s.classes, name))
	}
	for _, x := range pairs {
		for c := range s.scores {
			s.scores[c] = append(s.scores[c], x.p.many[c])
		}
	}
	return s
}

// places are where the classes stand that the pairs have by `of`, among those that
// have scores.
func (s scored) places(what string, names []string, pairs []pair, of func(pair) uint32) (places []int, problem string) {
	for _, x := range pairs {
		place := s.index[of(x)]
		if place < 0 {
			return nil, fmt.Sprintf("%s is %q, of which there is no score (have %s)", what, names[of(x)], some(s.classes))
		}
		places = append(places, place)
	}
	return places, ""
}

func labelled(x pair) uint32 { return x.l.class }

func decided(x pair) uint32 { return x.p.class }

// ofClasses measures the scores of several classes.
func (j *Join) ofClasses(q Question, pairs []pair) (_ performance.Interval, problem string) {
	s := j.scored(q, pairs)
	labels, problem := s.places("a label", j.classes.list, pairs, labelled)
	if problem != "" {
		return performance.Interval{}, problem
	}
	if q.Metric == "auc" {
		return performance.OneVersusRest(labels, s.scores), ""
	}
	losses := make([]float64, len(pairs))
	for i, label := range labels {
		sum := 0.0
		for c := range s.scores {
			if s.scores[c][i] < 0 {
				return performance.Interval{}, "a score is below 0, and no probability"
			}
			sum += s.scores[c][i]
		}
		if sum == 0 {
			return performance.Interval{}, "all scores of a row are 0: want probabilities"
		}
		losses[i] = performance.LogLoss(true, s.scores[label][i]/sum)
	}
	return performance.Mean(losses), ""
}

// estimateClasses is [Join.Estimate] of several classes.
func (j *Join) estimateClasses(m *Measurement, q Question, known, open []pair) (value float64, measured performance.Interval, problem string) {
	of := j.scored(q, known)
	labels, problem := of.places("a label to calibrate on", j.classes.list, known, labelled)
	if problem != "" {
		return 0, measured, problem
	}
	now := j.scored(q, open)
	p := performance.Calibrate(of.scores, labels).Of(now.scores)
	if q.Metric == "auc" {
		return performance.EstimateAUC(p, now.scores), performance.OneVersusRest(labels, of.scores), ""
	}
	decisions, problem := now.places("a prediction", j.classes.list, open, decided)
	if problem != "" {
		return 0, measured, problem
	}
	was, problem := of.places("a prediction to calibrate on", j.classes.list, known, decided)
	if problem != "" {
		return 0, measured, problem
	}
	counted := square(len(now.classes))
	for i, label := range labels {
		counted[label][was[i]]++
	}
	counted, expected := used(counted), used(performance.EstimateClasses(p, decisions))
	switch q.Metric {
	case "accuracy":
		right := int64(0)
		for i, label := range labels {
			if label == was[i] {
				right++
			}
		}
		return performance.NewMulticlassOf(expected).Accuracy, performance.Share(right, int64(len(labels))), ""
	case "balancedAccuracy":
		return performance.BalancedAccuracy(expected).Value, performance.BalancedAccuracy(counted), ""
	}
	average := performance.Average(q.Average)
	if average == "" {
		average = performance.Macro
	}
	m.Average = string(average)
	return performance.F1(expected, average).Value, performance.F1(counted, average), ""
}

// used leaves out the classes that are neither expected nor decided.
func used(matrix [][]float64) [][]float64 {
	var keep []int
	for i := range matrix {
		sum := 0.0
		for k := range matrix {
			sum += matrix[i][k] + matrix[k][i]
		}
		if sum > 0 {
			keep = append(keep, i)
		}
	}
	small := square(len(keep))
	for i, a := range keep {
		for k, b := range keep {
			small[i][k] = matrix[a][b]
		}
	}
	return small
}
