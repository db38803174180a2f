package performance

import (
	"cmp"
	"slices"
	"sort"
)

// An Isotonic is a curve that never falls, through the labels of scores: it
// turns a model's scores into probabilities (scikit-learn's IsotonicRegression
// with out_of_bounds="clip").
type Isotonic struct{ scores, values []float64 }

// NewIsotonic fits the curve by pooling adjacent violators (Ayer et al.,
// Ann. Math. Stat. 26, 1955). Labels of equal scores count with their mean.
func NewIsotonic(scores, labels []float64) *Isotonic {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(scores[a], scores[b]), cmp.Compare(labels[a], labels[b]))
	})
	c := &Isotonic{}
	type block struct {
		sum, weight float64
		end         int // of its scores
	}
	var blocks []block
	for start := 0; start < len(order); {
		score, b := scores[order[start]], block{end: len(c.scores) + 1}
		for ; start < len(order) && scores[order[start]] == score; start++ {
			b.sum += labels[order[start]]
			b.weight++
		}
		c.scores = append(c.scores, score)
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if last.sum/last.weight < b.sum/b.weight {
				break
			}
			b.sum += last.sum
			b.weight += last.weight
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		for len(c.values) < b.end {
			c.values = append(c.values, b.sum/b.weight)
		}
	}
	return c
}

// At is the curve at a score: straight between those that it was fitted to,
// and level beyond them.
func (c *Isotonic) At(score float64) float64 {
	i := sort.SearchFloat64s(c.scores, score)
	switch {
	case i == 0:
		return c.values[0]
	case i == len(c.scores):
		return c.values[i-1]
	}
	slope := (c.values[i] - c.values[i-1]) / (c.scores[i] - c.scores[i-1])
	return c.values[i-1] + slope*(score-c.scores[i-1])
}
