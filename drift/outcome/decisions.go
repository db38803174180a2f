package outcome

import (
	"cmp"
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/performance"
)

// mostCounted is how many classes decisions are counted over.
const mostCounted = 256

// mostNamed is how many classes a measurement names.
const mostNamed = 50

// A confusion counts labels, in rows, by decision, in columns; place has the row
// of each class.
type confusion struct {
	place  map[uint32]int
	matrix [][]float64
}

// confusion counts the pairs; not where there are too many classes.
func (j *Join) confusion(pairs []pair) (c confusion, ok bool) {
	c.place = map[uint32]int{}
	for _, x := range pairs {
		for _, class := range []uint32{x.p.class, x.l.class} {
			if _, ok := c.place[class]; !ok {
				c.place[class] = len(c.place)
			}
		}
	}
	if len(c.place) > mostCounted {
		return c, false
	}
	c.matrix = square(len(c.place))
	for _, x := range pairs {
		c.matrix[c.place[x.l.class]][c.place[x.p.class]]++
	}
	return c, true
}

func square(n int) [][]float64 {
	matrix := make([][]float64, n)
	for i := range matrix {
		matrix[i] = make([]float64, n)
	}
	return matrix
}

// against is the confusion of one class, the last, with all others.
func (c confusion) against(class uint32) [][]float64 {
	two := square(2)
	is := func(i int) int {
		if i == c.place[class] {
			return 1
		}
		return 0
	}
	for i, row := range c.matrix {
		for k, n := range row {
			two[is(i)][is(k)] += n
		}
	}
	return two
}

// classes are those with the most labels, by their names.
func (c confusion) classes(names []string) []Class {
	var list []Class
	for class := range c.place {
		m := c.against(class)
		share := func(of, all float64) float64 {
			if all == 0 {
				return 0
			}
			return of / all
		}
		right, labels, decided := m[1][1], m[1][0]+m[1][1], m[0][1]+m[1][1]
		list = append(list, Class{
			Class: names[class], N: int64(labels),
			Precision: share(right, decided), Recall: share(right, labels), F1: share(2*right, labels+decided),
		})
	}
	slices.SortFunc(list, func(a, b Class) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Class, b.Class)) })
	return list[:min(mostNamed, len(list))]
}

// decisions measures what counts decisions of every class: f1 and
// balancedAccuracy.
func (j *Join) decisions(m *Measurement, q Question, pairs []pair) (_ performance.Interval, problem string) {
	c, ok := j.confusion(pairs)
	if !ok {
		return performance.Interval{}, "there are more than 256 classes: " + q.Metric + " is not measured over so many"
	}
	m.Classes = c.classes(j.classes.list)
	if q.Metric == "balancedAccuracy" {
		return performance.BalancedAccuracy(c.matrix), ""
	}
	average := performance.Average(q.Average)
	positive, none := j.positive(q.Positive, pairs)
	if average == "" {
		average = performance.Macro
		if none == "" && len(c.place) <= 2 {
			average = performance.OneClass
		}
	}
	m.Average = string(average)
	switch average {
	case performance.Micro: // each pair has one label and one decision
		right := int64(0)
		for i := range c.matrix {
			right += int64(c.matrix[i][i])
		}
		return performance.Share(right, int64(len(pairs))), ""
	case performance.OneClass:
		if none != "" {
			return performance.Interval{}, none
		}
		m.Positive = j.classes.list[positive]
		return performance.F1(c.against(positive), average), ""
	}
	return performance.F1(c.matrix, average), ""
}

// ranking measures lists, each of the pairs of one group.
func (j *Join) ranking(m *Measurement, q Question, pairs []pair) (_ performance.Interval, problem string) {
	if j.level > 0 {
		return performance.Interval{}, "there are more keys than are kept, 131,072: lists of a sample have no ranking"
	}
	k := q.K
	if k == 0 {
		k = 10
	}
	type list struct{ relevance, scores []float64 }
	lists := map[uint64]*list{}
	var order []uint64
	for _, x := range pairs {
		if lists[x.p.group] == nil {
			lists[x.p.group] = &list{}
			order = append(order, x.p.group)
		}
		l := lists[x.p.group]
		l.relevance, l.scores = append(l.relevance, x.l.number), append(l.scores, x.p.number)
		if x.l.number < 0 {
			return performance.Interval{}, "a label is below 0, and no relevance"
		}
	}
	var values []float64
	for _, group := range order {
		value := performance.PrecisionAt(lists[group].relevance, lists[group].scores, k)
		if q.Metric == "ndcg" {
			value = performance.NDCG(lists[group].relevance, lists[group].scores, k)
		}
		if value == value {
			values = append(values, value)
		}
	}
	m.Groups = int64(len(values))
	if len(values) == 0 {
		return performance.Interval{Value: math.NaN()}, ""
	}
	return performance.MeanOf(values), ""
}
