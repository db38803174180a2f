package statistics

import (
	"math"
	"slices"
)

// A Correction adjusts probabilities for how many tests there were.
type Correction string

// The corrections, as statsmodels names them.
const (
	BenjaminiHochberg  Correction = "fdr_bh" // of the false discovery rate
	BenjaminiYekutieli Correction = "fdr_by" // the same under any dependence
	Bonferroni         Correction = "bonferroni"
	Holm               Correction = "holm"
	NoCorrection       Correction = "none"
)

// Corrections are those.
func Corrections() []Correction {
	return []Correction{BenjaminiHochberg, BenjaminiYekutieli, Holm, Bonferroni, NoCorrection}
}

// Adjust gives the adjusted probabilities, in the order of p: a test rejects at
// level alpha where its own is at most alpha.
func (c Correction) Adjust(p []float64) []float64 {
	m := float64(len(p))
	order := make([]int, len(p)) // rising
	harmonic := 0.0
	for i := range order {
		order[i] = i
		harmonic += 1 / float64(i+1)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	adjusted := make([]float64, len(p))
	switch c {
	case NoCorrection:
		return slices.Clone(p)
	case Bonferroni:
		for i := range p {
			adjusted[i] = min(1, p[i]*m)
		}
	case Holm:
		most := 0.0
		for rank, i := range order {
			most = max(most, p[i]*(m-float64(rank)))
			adjusted[i] = min(1, most)
		}
	default:
		factor := 1.0
		if c == BenjaminiYekutieli {
			factor = harmonic
		}
		least := math.Inf(1)
		for rank := len(p) - 1; rank >= 0; rank-- {
			i := order[rank]
			least = min(least, p[i]*factor*m/float64(rank+1))
			adjusted[i] = min(1, least)
		}
	}
	return adjusted
}
