package drift

import (
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/drift/sketch"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// samples are two samples of numbers: x is the reference. Missing and infinite
// values are dropped.
type samples struct{ X, Y sample }

// points are both samples; each must have that many values.
func (s samples) points(least int64) (x, y []sketch.Point, err error) {
	x, y = statistics.Points(s.X), statistics.Points(s.Y)
	n, m := statistics.N(x), statistics.N(y)
	switch {
	case n == 0 || m == 0:
		return nil, nil, errors.New("a sample is empty")
	case min(n, m) < least:
		return nil, nil, fmt.Errorf("samples of %d and %d values: want at least %d each", n, m, least)
	}
	return x, y, nil
}

// options are those of the rank tests.
type options struct {
	samples
	Alternative   statistics.Alternative
	Method        string
	UseContinuity *bool `json:"use_continuity"`
}

func (o options) with(method string) options {
	o.Method = method
	return o
}

// affordable says whether an exact method with so many steps is.
func affordable(what string, steps, most float64) error {
	if steps > most {
		return fmt.Errorf("exact for %s of %.3g: want at most %.3g", what, steps, most)
	}
	return nil
}

func evalGenerators(s samples) (results, error) {
	return results{"values": []float64(s.X)}, nil
}

func evalQuantiles(s samples) (results, error) {
	x := statistics.Points(s.X)
	if len(x) == 0 {
		return nil, errors.New("the sample is empty")
	}
	q := []float64{0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1}
	return results{"q": q, "values": statistics.Quantiles(x, q)}, nil
}

type binning struct {
	samples
	Rule statistics.BinRule
}

func evalBins(b binning) (results, error) {
	x := statistics.Points(b.X)
	edges, err := b.Rule.Edges(x)
	if err != nil {
		return nil, err
	}
	return results{"edges": edges, "counts": statistics.Histogram(x, edges)}, nil
}

func evalKS(o options) (results, error) {
	x, y, err := o.points(1)
	if err != nil {
		return nil, err
	}
	n, m := statistics.N(x), statistics.N(y)
	d := statistics.KS(x, y, o.Alternative)
	r := results{"statistic": d}
	switch o.Method {
	case "exact":
		if err := affordable("a product of the sizes", float64(n)*float64(m), 1e9); err != nil {
			return nil, err
		}
		r["p_value"] = statistics.KSExact(d, n, m, o.Alternative)
	case "asymp":
		r["p_value"] = statistics.KSFinite(d, n, m, o.Alternative)
		if o.Alternative == statistics.TwoSided {
			r["p_value_limit"] = statistics.KSLimit(d, n, m)
		}
	default:
		return nil, fmt.Errorf("unknown method %q (have asymp, exact)", o.Method)
	}
	return r, nil
}

func evalCramer(o options) (results, error) {
	x, y, err := o.points(2)
	if err != nil {
		return nil, err
	}
	n, m := statistics.N(x), statistics.N(y)
	t := statistics.Cramer(x, y)
	p := 0.0
	if o.Method == "auto" {
		o.Method = "asymptotic"
		if max(n, m) <= 20 {
			o.Method = "exact"
		}
	}
	switch o.Method {
	case "exact":
		if err := affordable("a product of the sizes", float64(n)*float64(m), 1600); err != nil {
			return nil, err
		}
		p = statistics.CramerExact(x, y)
	case "asymptotic":
		p = statistics.CramerLimit(t, n, m)
	default:
		return nil, fmt.Errorf("unknown method %q (have asymptotic, auto, exact)", o.Method)
	}
	return results{"statistic": t, "p_value": p}, nil
}

type anderson struct {
	samples
	Midrank bool
}

func evalAnderson(a anderson) (results, error) {
	x, y, err := a.points(1)
	if err != nil {
		return nil, err
	}
	if all := statistics.Pool(x, y); len(all) < 2 || statistics.N(all) < 4 {
		return nil, errors.New("want at least four values, and two different ones")
	}
	statistic := statistics.Anderson(x, y, a.Midrank)
	p, clipped := statistics.AndersonProbability(statistic)
	return results{"statistic": statistic, "p_value": p, "p_clipped": clipped,
		"critical_values": statistics.AndersonCritical()}, nil
}

func evalMannWhitney(o options) (results, error) {
	x, y, err := o.points(1)
	if err != nil {
		return nil, err
	}
	n, m := statistics.N(x), statistics.N(y)
	u := statistics.MannWhitney(x, y)
	p := 0.0
	if o.Method == "auto" {
		o.Method = "exact"
		if min(n, m) > 8 || int64(len(statistics.Pool(x, y))) < n+m {
			o.Method = "asymptotic"
		}
	}
	switch o.Method {
	case "exact":
		if err := affordable("a product of the sizes", float64(n)*float64(m), 20_000); err != nil {
			return nil, err
		}
		p = statistics.MannWhitneyExact(u, n, m, o.Alternative)
	case "asymptotic":
		p = statistics.MannWhitneyLimit(x, y, o.Alternative, o.UseContinuity == nil || *o.UseContinuity)
	default:
		return nil, fmt.Errorf("unknown method %q (have asymptotic, auto, exact)", o.Method)
	}
	return results{"statistic": u, "p_value": p}, nil
}

type tTest struct {
	samples
	EqualVar bool `json:"equal_var"`
}

func evalTTest(t tTest) (results, error) {
	x, y, err := t.points(1)
	if err != nil {
		return nil, err
	}
	statistic, p, freedom := statistics.TTest(x, y, t.EqualVar)
	return results{"statistic": statistic, "p_value": p, "df": freedom}, nil
}

func evalEpps(s samples) (results, error) {
	x, y, err := s.points(5)
	if err != nil {
		return nil, err
	}
	statistic, p, err := statistics.EppsSingleton(x, y)
	if err != nil {
		return nil, err
	}
	return results{"statistic": statistic, "p_value": p}, nil
}

func evalWasserstein(s samples) (results, error) {
	x, y, err := s.points(1)
	if err != nil {
		return nil, err
	}
	w := statistics.Wasserstein(x, y)
	return results{"statistic": w, "normed": statistics.Normed(w, statistics.StdDev(x))}, nil
}

func evalEnergy(s samples) (results, error) {
	x, y, err := s.points(1)
	if err != nil {
		return nil, err
	}
	return results{"statistic": statistics.Energy(x, y)}, nil
}

type quantilePSI struct {
	samples
	K   int
	Eps float64
}

func evalPSI(s quantilePSI) (results, error) {
	if s.K < 2 {
		return nil, fmt.Errorf("k is %d: want at least 2", s.K)
	}
	x, y, err := s.points(1)
	if err != nil {
		return nil, err
	}
	edges := statistics.QuantileEdges(x, s.K)
	p, q := statistics.Shares(x, edges), statistics.Shares(y, edges)
	return results{"psi": statistics.PSI(p, q, s.Eps), "inner_edges": edges, "x_shares": p, "y_shares": q}, nil
}

func evalEvidentlyNumeric(s samples) (results, error) {
	x, y, err := s.points(1)
	if err != nil {
		return nil, err
	}
	p, q, err := statistics.EvidentlyShares(x, y)
	if err != nil {
		return nil, err
	}
	r := evidentlyShares(p, q)
	r["hellinger"], err = statistics.EvidentlyHellinger(x, y)
	return r, err
}

// evidentlyShares are Evidently's statistics of two lists of shares.
func evidentlyShares(p, q []float64) results {
	filled, filledQ := statistics.EvidentlyFill(p), statistics.EvidentlyFill(q)
	return results{
		"psi":       statistics.PSI(filled, filledQ, 0),
		"js":        statistics.JensenShannon(statistics.Normalised(p), statistics.Normalised(q)),
		"kl":        statistics.KullbackLeibler(statistics.Normalised(filled), statistics.Normalised(filledQ)),
		"hellinger": statistics.Hellinger(p, q),
	}
}

func evalNannyMLNumeric(s samples) (results, error) {
	x, y, err := s.points(1)
	if err != nil {
		return nil, err
	}
	edges, err := statistics.Doane.Edges(x)
	if err != nil {
		return nil, err
	}
	p, q, err := statistics.NannyMLShares(x, y)
	if err != nil {
		return nil, err
	}
	r := nannyMLShares(p, q)
	r["bins"] = len(edges) - 1
	if statistics.N(x) >= statistics.NannyMLExact {
		r["ks_binned"] = statistics.NannyMLBinnedKS(x, y)
	}
	return r, nil
}

// nannyMLShares are NannyML's statistics of two lists of shares.
func nannyMLShares(p, q []float64) results {
	return results{
		"js":        statistics.JensenShannon(p, q) / statistics.JensenShannonMax,
		"hellinger": statistics.Hellinger(p, q),
	}
}
