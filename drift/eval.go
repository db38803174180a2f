package drift

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/drift/statistics"
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
	return compute(suite, args, inputs)
}

// A suite computes the statistics of one name.
type suite func(name string, args, inputs json.RawMessage) (results, error)

// results are named as the reference names them.
type results = map[string]any

// suites are the statistics that Eval knows.
func suites() map[string]suite {
	two := options{Alternative: statistics.TwoSided}
	return map[string]suite{
		// two samples of numbers
		"generators":           on(samples{}, evalGenerators),
		"quantiles":            on(samples{}, evalQuantiles),
		"bin_edges":            on(binning{Rule: statistics.Auto}, evalBins),
		"ks_2samp":             on(two.with("asymp"), evalKS),
		"cramervonmises_2samp": on(two.with("asymptotic"), evalCramer),
		"anderson_ksamp":       on(anderson{Midrank: true}, evalAnderson),
		"mannwhitneyu":         on(two.with("asymptotic"), evalMannWhitney),
		"ttest":                on(tTest{EqualVar: true}, evalTTest),
		"epps_singleton":       on(samples{}, evalEpps),
		"wasserstein":          on(samples{}, evalWasserstein),
		"energy_distance":      on(samples{}, evalEnergy),
		"psi_quantile":         on(quantilePSI{K: 10, Eps: statistics.ShareFloor}, evalPSI),
		"evidently_numeric":    on(samples{}, evalEvidentlyNumeric),
		"nannyml_numeric":      on(samples{}, evalNannyMLNumeric),

		// counts of categories, shares and proportions
		"chi2_contingency":      on(contingency{Correction: true}, evalChiSquare),
		"g_test_contingency":    on(contingency{Correction: true}, evalG),
		"evidently_categorical": on(contingency{}, evalEvidentlyCategorical),
		"nannyml_categorical":   on(contingency{}, evalNannyMLCategorical),
		"js_kl_vectors":         on(vectors{}, evalVectors),
		"fisher_exact":          on(fisher{Alternative: statistics.TwoSided}, evalFisher),
		"proportions_ztest":     on(proportions{}, evalProportions),
		"proportion_confint":    on(proportions{}, evalIntervals),
		"multiple_testing":      on(multiple{Alpha: 0.05}, evalMultiple),
		"power":                 on(power{Ratio: 1, Alpha: 0.05, Power: 0.8}, evalPower),

		// tables of rows
		"mmd_rbf":            on(discrepancy{Permutations: 2000}, evalMMD),
		"pca_reconstruction": on(reconstruction{Share: 0.65}, evalPCA),

		// predictions
		"classification_metrics": on(binary{Threshold: 0.5}, evalBinary),
		"multiclass_metrics":     on(multiclass{}, evalMulticlass),
		"regression_metrics":     on(regression{}, evalRegression),
		"isotonic":               on(isotonic{}, evalIsotonic),
		"cbpe":                   on(estimation{}, evalCBPE),

		// streams
		"concept_drift": on(detection{}, evalDetection),
		"kswin":         on(windowing{Seeds: 40}, evalKSWIN),
	}
}

// on makes a suite of what computes a problem. A problem has the fields of both
// args and inputs, set to the defaults before.
func on[P any](defaults P, compute func(P) (results, error)) suite {
	return func(name string, args, inputs json.RawMessage) (results, error) {
		p := defaults
		if err := unmarshal(args, &p); err != nil {
			return nil, fmt.Errorf("args of %s: %w", name, err)
		}
		if err := unmarshal(inputs, &p); err != nil {
			return nil, fmt.Errorf("inputs of %s: %w", name, err)
		}
		r, err := compute(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		spelt(r)
		return r, nil
	}
}

func unmarshal(b json.RawMessage, v any) error {
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, v)
}

// spelt gives results to JSON, which lacks three numbers.
func spelt(v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case math.IsNaN(v):
			return "NaN"
		case math.IsInf(v, 1):
			return "+Inf"
		case math.IsInf(v, -1):
			return "-Inf"
		}
	case []float64:
		list := make([]any, len(v))
		for i := range v {
			list[i] = spelt(v[i])
		}
		return list
	case results:
		for name := range v {
			v[name] = spelt(v[name])
		}
	}
	return v
}
