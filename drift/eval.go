package drift

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// evalLine is the longest line that EvalLines reads, in bytes.
const evalLine = 256 << 20

// EvalLines reads JSON Lines {suite,args,inputs} and writes, line for line, the
// object of results, or {"error": …} where one cannot be computed. The error it
// returns is r's or w's.
func EvalLines(r io.Reader, w io.Writer) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), evalLine)
	out := bufio.NewWriter(w)
	for in.Scan() {
		var line struct {
			Suite        string
			Args, Inputs json.RawMessage
		}
		result, err := map[string]any(nil), json.Unmarshal(in.Bytes(), &line)
		if err == nil {
			result, err = Eval(line.Suite, line.Args, line.Inputs)
		}
		if err != nil {
			result = map[string]any{"error": err.Error()}
		}
		js, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("write results of %s: %w", line.Suite, err)
		}
		if _, err := out.Write(append(js, '\n')); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read statistics to compute: %w", err)
	}
	return out.Flush()
}

// Eval computes one statistic alone: its suite names it, args are its options,
// inputs its samples. A sample is a list of numbers, or a generator. Results
// are named by suite; numbers that JSON lacks are the strings "NaN", "+Inf" and
// "-Inf", here and in the inputs.
func Eval(suite string, args, inputs json.RawMessage) (map[string]any, error) {
	compute, ok := suites()[suite]
	if !ok {
		return nil, fmt.Errorf("unknown suite %q (have %s)", suite, strings.Join(slices.Sorted(maps.Keys(suites())), ", "))
	}
	a := evalArgs{Alternative: TwoSided, Method: "asymp", K: 10, Eps: shareFloor, Correction: true, Alpha: 0.05}
	if err := unmarshal(args, &a); err != nil {
		return nil, fmt.Errorf("args of %s: %w", suite, err)
	}
	var in evalInputs
	if err := unmarshal(inputs, &in); err != nil {
		return nil, fmt.Errorf("inputs of %s: %w", suite, err)
	}
	results, err := compute(a, in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", suite, err)
	}
	return results, nil
}

func unmarshal(b json.RawMessage, v any) error {
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, v)
}

// evalArgs and evalInputs are the options and inputs of all suites.
type evalArgs struct {
	Alternative Alternative
	Method      string
	K           int
	Eps         float64
	Correction  bool
	Alpha       float64
}

type evalInputs struct {
	X, Y    sample
	XCounts map[string]float64 `json:"x_counts"`
	YCounts map[string]float64 `json:"y_counts"`
	P       []float64
	Table   [2][2]int64

	Count1, N1, Count2, N2 int64
}

// suites are the statistics that Eval knows.
func suites() map[string]func(evalArgs, evalInputs) (map[string]any, error) {
	return map[string]func(evalArgs, evalInputs) (map[string]any, error){
		"generators":         evalGenerators,
		"quantiles":          evalQuantiles,
		"ks_2samp":           evalKS,
		"psi_quantile":       evalPSI,
		"chi2_contingency":   evalChiSquare,
		"fisher_exact":       evalFisher,
		"proportions_ztest":  evalProportions,
		"proportion_confint": evalIntervals,
		"multiple_testing":   evalMultiple,
	}
}

func evalGenerators(_ evalArgs, in evalInputs) (map[string]any, error) {
	return map[string]any{"values": floats(in.X)}, nil
}

func evalQuantiles(_ evalArgs, in evalInputs) (map[string]any, error) {
	q := []float64{0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1}
	return map[string]any{"q": q, "values": floats(Quantiles(Points(in.X), q))}, nil
}

func evalKS(a evalArgs, in evalInputs) (map[string]any, error) {
	x, y := Points(in.X), Points(in.Y)
	n, m := weight(x), weight(y)
	if n == 0 || m == 0 {
		return nil, errors.New("a sample is empty")
	}
	d := KS(x, y, a.Alternative)
	results := map[string]any{"statistic": d}
	switch a.Method {
	case "exact":
		if float64(n)*float64(m) > 1e9 {
			return nil, fmt.Errorf("exact for %d and %d values: want a product of at most 1e9", n, m)
		}
		results["p_value"] = KSExact(d, n, m, a.Alternative)
	case "asymp":
		results["p_value"] = KSFinite(d, n, m, a.Alternative)
		if a.Alternative == TwoSided {
			results["p_value_limit"] = KSLimit(d, n, m)
		}
	default:
		return nil, fmt.Errorf("unknown method %q (have asymp, exact)", a.Method)
	}
	return results, nil
}

func evalPSI(a evalArgs, in evalInputs) (map[string]any, error) {
	if a.K < 2 {
		return nil, fmt.Errorf("k is %d: want at least 2", a.K)
	}
	x, y := Points(in.X), Points(in.Y)
	edges := QuantileEdges(x, a.K)
	p, q := Shares(x, edges), Shares(y, edges)
	return map[string]any{"psi": float(PSI(p, q, a.Eps)), "inner_edges": floats(edges), "x_shares": floats(p), "y_shares": floats(q)}, nil
}

func evalChiSquare(a evalArgs, in evalInputs) (map[string]any, error) {
	var x, y []float64
	names := maps.Clone(in.XCounts)
	maps.Copy(names, in.YCounts)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		x = append(x, in.XCounts[name])
		y = append(y, in.YCounts[name])
	}
	statistic, p, freedom := ChiSquare(x, y, a.Correction)
	return map[string]any{"statistic": float(statistic), "p_value": float(p), "dof": freedom}, nil
}

func evalFisher(a evalArgs, in evalInputs) (map[string]any, error) {
	odds, p := Fisher(in.Table, a.Alternative)
	return map[string]any{"odds_ratio": float(odds), "p_value": float(p)}, nil
}

func evalProportions(_ evalArgs, in evalInputs) (map[string]any, error) {
	z, p := ProportionZ(in.Count1, in.N1, in.Count2, in.N2)
	return map[string]any{"statistic": float(z), "p_value": float(p)}, nil
}

func evalIntervals(_ evalArgs, in evalInputs) (map[string]any, error) {
	low, high := Wilson(in.Count1, in.N1)
	lowDiff, highDiff := Newcombe(in.Count1, in.N1, in.Count2, in.N2)
	return map[string]any{"wilson": floats([]float64{low, high}), "newcombe_diff": floats([]float64{lowDiff, highDiff})}, nil
}

func evalMultiple(a evalArgs, in evalInputs) (map[string]any, error) {
	results := map[string]any{}
	for _, c := range []Correction{Bonferroni, Holm, BenjaminiHochberg, BenjaminiYekutieli} {
		adjusted := c.Adjust(in.P)
		reject := make([]bool, len(adjusted))
		for i, p := range adjusted {
			reject[i] = p <= a.Alpha
		}
		results[string(c)] = map[string]any{"adjusted": floats(adjusted), "reject": reject}
	}
	return results, nil
}

// float is v for JSON, which lacks three numbers.
func float(v float64) any {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return v
}

func floats(values []float64) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = float(v)
	}
	return list
}
