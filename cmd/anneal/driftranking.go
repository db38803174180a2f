package main

import (
	"fmt"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/performance"
)

// A ranked list is what was shown for one query: how relevant each row is, and what
// it was ordered by.
type ranked struct{ relevance, scores []float64 }

// rankedTypes are what the columns of lists are read as.
func (s *scoring) rankedTypes() map[string]dataset.Type {
	types := map[string]dataset.Type{s.label: dataset.Numeric, s.score: dataset.Numeric}
	if s.group != "" {
		types[s.group] = dataset.Categorical
	}
	return types
}

// rank adds rows to their lists.
func (s *scoring) rank(rows int, columns map[string]*dataset.Values) error {
	for row := range rows {
		relevance, score := columns[s.label].Numbers[row], columns[s.score].Numbers[row]
		var group []byte
		if s.group != "" {
			group = columns[s.group].Text[row]
		}
		if relevance-relevance != 0 || score-score != 0 || s.group != "" && group == nil {
			s.skipped++
			continue
		}
		if relevance < 0 {
			return fmt.Errorf("the label %v is below 0, and no relevance", relevance)
		}
		at, ok := s.place[string(group)]
		if !ok {
			if s.place == nil {
				s.place = map[string]int{}
			}
			at = len(s.lists)
			s.place[string(group)] = at
			s.lists = append(s.lists, &ranked{})
		}
		l := s.lists[at]
		l.relevance, l.scores = append(l.relevance, relevance), append(l.scores, score)
		s.n++
	}
	return nil
}

// measureLists has the means over the lists, and of how many that is.
func (s *scoring) measureLists() map[string]any {
	var gains, precisions []float64
	for _, l := range s.lists {
		k := s.k
		if k == 0 {
			k = len(l.scores)
		}
		if gain := performance.NDCG(l.relevance, l.scores, k); gain == gain {
			gains = append(gains, gain)
		}
		precisions = append(precisions, performance.PrecisionAt(l.relevance, l.scores, k))
	}
	results := map[string]any{"n": s.n, "skipped": s.skipped, "lists": len(s.lists), "relevant_lists": len(gains)}
	intervals := map[string]any{}
	for name, values := range map[string][]float64{"ndcg": gains, "precision_at_k": precisions} {
		if len(values) == 0 {
			results[name] = "NaN" // as `anneal drift eval` has it
			continue
		}
		m := performance.MeanOf(values)
		results[name] = m.Value
		if len(values) > 1 {
			intervals[name] = [2]float64{m.Low, m.High}
		}
	}
	results["interval"] = intervals
	return results
}
