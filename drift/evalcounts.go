package drift

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/statistics"
)

// contingency is how often categories come in the reference and now.
type contingency struct {
	XCounts    map[string]float64 `json:"x_counts"`
	YCounts    map[string]float64 `json:"y_counts"`
	Correction bool               // for continuity
}

// counts are those of all categories of both, in the order of their names. One of
// which there is none is no category.
func (c contingency) counts() (x, y []float64, err error) {
	names := maps.Clone(c.XCounts)
	if names == nil {
		names = map[string]float64{}
	}
	maps.Copy(names, c.YCounts)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if c.XCounts[name] == 0 && c.YCounts[name] == 0 {
			continue
		}
		x = append(x, c.XCounts[name])
		y = append(y, c.YCounts[name])
	}
	if err := weights(x); err != nil {
		return nil, nil, fmt.Errorf("x_counts: %w", err)
	}
	if err := weights(y); err != nil {
		return nil, nil, fmt.Errorf("y_counts: %w", err)
	}
	return x, y, nil
}

// weights checks that values are counts or shares of something.
func weights(values []float64) error {
	sum := 0.0
	for _, v := range values {
		if !(v >= 0) || math.IsInf(v, 1) {
			return fmt.Errorf("%v: want numbers from 0", v)
		}
		sum += v
	}
	if sum == 0 {
		return errors.New("there are none, or all are 0")
	}
	return nil
}

func evalChiSquare(c contingency) (results, error) { return evalContingency(c, statistics.ChiSquare) }

func evalG(c contingency) (results, error) { return evalContingency(c, statistics.G) }

func evalContingency(c contingency, test func(x, y []float64, yates bool) (statistic, p float64, freedom int)) (results, error) {
	x, y, err := c.counts()
	if err != nil {
		return nil, err
	}
	statistic, p, freedom := test(x, y, c.Correction)
	return results{"statistic": statistic, "p_value": p, "dof": freedom}, nil
}

func evalEvidentlyCategorical(c contingency) (results, error) {
	x, y, err := c.counts()
	if err != nil {
		return nil, err
	}
	p, q := statistics.Normalised(x), statistics.Normalised(y)
	r := evidentlyShares(p, q)
	statistic, prob := statistics.OneWay(x, y)
	r["chisquare"], r["chisquare_p"] = statistic, prob
	r["tvd"] = statistics.TotalVariation(p, q)
	if len(x) <= 2 {
		n, m := int64(sum(x)), int64(sum(y))
		z, zp := statistics.ProportionZ(n-int64(x[0]), n, m-int64(y[0]), m)
		if len(x) == 1 {
			zp = 1 // Evidently's word for one category on both sides
		}
		r["z"], r["z_p"] = z, zp
	}
	return r, nil
}

func evalNannyMLCategorical(c contingency) (results, error) {
	x, y, err := c.counts()
	if err != nil {
		return nil, err
	}
	r := nannyMLShares(statistics.NannyMLCategories(x, y))
	r["l_infinity"] = statistics.LInfinity(statistics.Normalised(x), statistics.Normalised(y))
	return r, nil
}

type vectors struct{ P, Q sample }

func evalVectors(v vectors) (results, error) {
	if len(v.P) != len(v.Q) {
		return nil, fmt.Errorf("p has %d values and q %d: want as many", len(v.P), len(v.Q))
	}
	if err := errors.Join(weights(v.P), weights(v.Q)); err != nil {
		return nil, err
	}
	p, q := statistics.Normalised(v.P), statistics.Normalised(v.Q)
	js := statistics.JensenShannon(p, q)
	return results{"js": js, "js_base2": js / statistics.JensenShannonMax, "kl": statistics.KullbackLeibler(p, q)}, nil
}

type fisher struct {
	Table       [2][2]int64
	Alternative statistics.Alternative
}

func evalFisher(f fisher) (results, error) {
	odds, p := statistics.Fisher(f.Table, f.Alternative)
	return results{"odds_ratio": odds, "p_value": p}, nil
}

type proportions struct{ Count1, N1, Count2, N2 int64 }

func evalProportions(p proportions) (results, error) {
	z, prob := statistics.ProportionZ(p.Count1, p.N1, p.Count2, p.N2)
	return results{"statistic": z, "p_value": prob}, nil
}

func evalIntervals(p proportions) (results, error) {
	low, high := statistics.Wilson(p.Count1, p.N1)
	lowDiff, highDiff := statistics.Newcombe(p.Count1, p.N1, p.Count2, p.N2)
	return results{"wilson": []float64{low, high}, "newcombe_diff": []float64{lowDiff, highDiff}}, nil
}

type multiple struct {
	P     sample
	Alpha float64
}

func evalMultiple(m multiple) (results, error) {
	r := results{}
	for _, c := range []statistics.Correction{statistics.Bonferroni, statistics.Holm, statistics.BenjaminiHochberg, statistics.BenjaminiYekutieli} {
		adjusted := c.Adjust(m.P)
		reject := make([]bool, len(adjusted))
		for i, p := range adjusted {
			reject[i] = p <= m.Alpha
		}
		r[string(c)] = results{"adjusted": adjusted, "reject": reject}
	}
	return r, nil
}

// power is of a test for two proportions, or of a t test.
type power struct {
	Kind             string
	P1, P2           float64
	N1, Ratio, Alpha float64
	Power            float64
}

func evalPower(p power) (results, error) {
	inside := func(v float64) bool { return v > 0 && v < 1 }
	if !inside(p.Alpha) || !inside(p.Power) || p.Alpha >= p.Power {
		return nil, fmt.Errorf("alpha %v and power %v: want 0 < alpha < power < 1", p.Alpha, p.Power)
	}
	switch p.Kind {
	case "two_proportions":
		if !(p.P1 >= 0 && p.P1 <= 1 && p.P2 >= 0 && p.P2 <= 1) {
			return nil, fmt.Errorf("proportions %v and %v: want 0 to 1", p.P1, p.P2)
		}
		h := statistics.CohenH(p.P1, p.P2)
		return results{"h": h, "n1": statistics.ProportionRows(h, p.Alpha, p.Power)}, nil
	case "ttest":
		if !(p.N1 > 1 && p.N1*p.Ratio > 1) {
			return nil, fmt.Errorf("%v rows and %v times as many: want more than 1 each", p.N1, p.Ratio)
		}
		return results{"mde_d": statistics.LeastEffect(p.N1, p.Ratio, p.Alpha, p.Power)}, nil
	}
	return nil, fmt.Errorf("unknown kind %q (have ttest, two_proportions)", p.Kind)
}
