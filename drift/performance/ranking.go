package performance

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// resamples is how many times the bootstrap draws the rows anew.
const resamples = 200

// AveragePrecision is that of [Binary]. Its interval is normal on the scale of
// log odds (Boyd, Eng and Page, ECML 2013) with the standard error of the bootstrap
// (Efron, Ann. Stat. 7, 1979) and less its estimate of the bias (Efron and
// Tibshirani, An Introduction to the Bootstrap, 1993, chapter 10). The draws depend on
// nothing but the number of rows. It is NaN without class 1.
func AveragePrecision(labels []bool, scores []float64) Interval {
	if !slices.Contains(labels, true) {
		return Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	order := falling(scores)
	weights := make([]float64, len(labels))
	for i := range weights {
		weights[i] = 1
	}
	value := averagePrecision(order, labels, scores, weights)
	random := rand.New(rand.NewPCG(uint64(len(labels)), resamples))
	var drawn []float64
	for range resamples {
		clear(weights)
		for range labels {
			weights[random.IntN(len(weights))]++
		}
		if v := averagePrecision(order, labels, scores, weights); v == v {
			drawn = append(drawn, v)
		}
	}
	if len(drawn) < 2 {
		return Interval{Value: value, High: 1}
	}
	mean, squares := 0.0, 0.0
	for _, v := range drawn {
		mean += v / float64(len(drawn))
	}
	for _, v := range drawn {
		squares += (v - mean) * (v - mean)
	}
	standard := math.Sqrt(squares / float64(len(drawn)-1))
	if value == 1 {
		return Interval{value, 1 - z975*standard, 1, standard}
	}
	odds, half := value/(1-value), math.Exp(z975*standard/(value*(1-value)))
	// The draws lie above the value as that lies above the truth.
	odds *= math.Exp((value - mean) / (value * (1 - value)))
	return Interval{value, min(value, 1/(1+half/odds)), max(value, 1/(1+1/(odds*half))), standard}
}

// averagePrecision is that of rows in falling order of their scores, each as
// often as it weighs; NaN without class 1.
func averagePrecision(order []int, labels []bool, scores, weights []float64) float64 {
	var positives, all, precision float64
	for start := 0; start < len(order); {
		end, p := start, 0.0
		for end < len(order) && scores[order[end]] == scores[order[start]] {
			all += weights[order[end]]
			if labels[order[end]] {
				p += weights[order[end]]
			}
			end++
		}
		positives += p
		if p > 0 {
			precision += p * positives / all
		}
		start = end
	}
	return precision / positives
}

// NDCG is the normalised discounted cumulative gain of the first k of one list,
// as scikit-learn's ndcg_score has it: the gain of a row is its relevance, the
// discount of place i, from 1, is log2(i+1), and rows of equal scores share their
// places. It is NaN for a list in which nothing is relevant.
func NDCG(relevance, scores []float64, k int) float64 {
	best := slices.Clone(relevance)
	slices.SortFunc(best, func(a, b float64) int { return cmp.Compare(b, a) })
	ideal := 0.0
	for i := range min(k, len(best)) {
		ideal += best[i] / math.Log2(float64(i)+2)
	}
	if ideal == 0 {
		return math.NaN()
	}
	gain := 0.0
	shared(scores, k, func(rows []int, from, to int) {
		discounts := 0.0
		for i := from; i < to; i++ {
			discounts += 1 / math.Log2(float64(i)+2)
		}
		for _, row := range rows {
			gain += relevance[row] * discounts / float64(len(rows))
		}
	})
	return gain / ideal
}

// PrecisionAt is the share of relevant rows, those above 0, among the first k of
// one list. A list that is shorter has no more rows than it has; of rows that
// share their places, a part counts.
func PrecisionAt(relevance, scores []float64, k int) float64 {
	hits := 0.0
	shared(scores, k, func(rows []int, from, to int) {
		for _, row := range rows {
			if relevance[row] > 0 {
				hits += float64(to-from) / float64(len(rows))
			}
		}
	})
	return hits / float64(min(k, len(scores)))
}

// shared visits the rows of each score, from the highest, and the places from
// and to below k that they share.
func shared(scores []float64, k int, visit func(rows []int, from, to int)) {
	order := falling(scores)
	for start := 0; start < min(k, len(order)); {
		end := start
		for end < len(order) && scores[order[end]] == scores[order[start]] {
			end++
		}
		visit(order[start:end], start, min(k, end))
		start = end
	}
}

// MeanOf is the mean of what was measured of lists, each between 0 and 1, with
// its normal interval over the lists.
func MeanOf(values []float64) Interval {
	m := Mean(values)
	m.High = min(1, m.High)
	return m
}
