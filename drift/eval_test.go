package drift

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestEvalErrors(t *testing.T) {
	lines := []struct{ in, want string }{
		{`{"suite":"nope"}`, `{"error":"unknown suite \"nope\" (have anderson_ksamp, bin_edges, cbpe, chi2_contingency, classification_metrics, concept_drift, cramervonmises_2samp, energy_distance, epps_singleton, evidently_categorical, evidently_numeric, fisher_exact, g_test_contingency, generators, isotonic, js_kl_vectors, ks_2samp, kswin, mannwhitneyu, mmd_rbf, multiclass_metrics, multiple_testing, nannyml_categorical, nannyml_numeric, pca_reconstruction, power, proportion_confint, proportions_ztest, psi_quantile, quantiles, regression_metrics, ttest, wasserstein)"}`},
		{`not JSON`, `{"error":"invalid character 'o' in literal null (expecting 'u')"}`},
		{`{"suite":"ks_2samp","inputs":{"x":[],"y":[1]}}`, `{"error":"ks_2samp: a sample is empty"}`},
		{`{"suite":"ks_2samp","args":{"method":"x"},"inputs":{"x":[1],"y":[1]}}`, `{"error":"ks_2samp: unknown method \"x\" (have asymp, exact)"}`},
		{`{"suite":"generators","inputs":{"x":["NaN",null,"-Inf","+Inf",2]}}`, `{"values":["NaN","NaN","-Inf","+Inf",2]}`},
		{`{"suite":"generators","inputs":{"x":["two"]}}`, `{"error":"inputs of generators: value \"two\": want a number, \"NaN\", \"+Inf\" or \"-Inf\""}`},
		{`{"suite":"generators","inputs":{"x":{"gen":{"kind":"x","n":1}}}}`, `{"error":"inputs of generators: unknown generator \"x\" (have uniform, ih12, pow3, int, bern)"}`},
		{`{"suite":"ttest","args":{"equal_var":false},"inputs":{"x":[5,5],"y":[6,6]}}`, `{"df":"NaN","p_value":0,"statistic":"-Inf"}`},
		{`{"suite":"mannwhitneyu","inputs":{"x":["NaN"],"y":[1]}}`, `{"error":"mannwhitneyu: a sample is empty"}`},
		{`{"suite":"anderson_ksamp","inputs":{"x":[1,1],"y":[1,1]}}`, `{"error":"anderson_ksamp: want at least four values, and two different ones"}`},
		{`{"suite":"epps_singleton","inputs":{"x":[1,2,3,4],"y":[1,2,3,4,5]}}`, `{"error":"epps_singleton: samples of 4 and 5 values: want at least 5 each"}`},
		{`{"suite":"epps_singleton","inputs":{"x":[1,1,1,1,1],"y":[1,1,1,1,1]}}`, `{"error":"epps_singleton: the quartiles of both samples together are equal: want some spread"}`},
		{`{"suite":"cramervonmises_2samp","args":{"method":"exact"},"inputs":{"x":{"gen":{"kind":"bern","n":1000,"p":0.5}},"y":[1,2]}}`, `{"error":"cramervonmises_2samp: exact for a product of the sizes of 2e+03: want at most 1.6e+03"}`},
		{`{"suite":"bin_edges","args":{"rule":"guess"},"inputs":{"x":[1,2]}}`, `{"error":"bin_edges: unknown rule \"guess\" (have auto, doane, fd, rice, scott, sqrt, sturges)"}`},
		{`{"suite":"bin_edges","args":{"rule":"fd"},"inputs":{"x":[1,1.000000001,1.000000002,1.000000003,9e9]}}`, `{"error":"bin_edges: fd makes 3.85e+18 bins: want at most 1000000"}`},
		{`{"suite":"js_kl_vectors","inputs":{"p":[1,0],"q":[0,1]}}`, `{"js":0.8325546111576977,"js_base2":0.9999999999999999,"kl":"+Inf"}`},
		{`{"suite":"js_kl_vectors","inputs":{"p":[1],"q":[0.5,0.5]}}`, `{"error":"js_kl_vectors: p has 1 values and q 2: want as many"}`},
		{`{"suite":"chi2_contingency","inputs":{"x_counts":{"a":-1},"y_counts":{"a":1}}}`, `{"error":"chi2_contingency: x_counts: -1: want numbers from 0"}`},
		{`{"suite":"g_test_contingency","inputs":{"x_counts":{"a":1}}}`, `{"error":"g_test_contingency: y_counts: there are none, or all are 0"}`},
		{`{"suite":"classification_metrics","inputs":{"y":[0,2],"score":[0,1]}}`, `{"error":"classification_metrics: class 2: want 0 or 1"}`},
		{`{"suite":"regression_metrics","inputs":{"y":[1,2],"pred":[1]}}`, `{"error":"regression_metrics: lists of 2 and 1 values: want as many, and at least one"}`},
		{`{"suite":"regression_metrics","inputs":{"y":[1,"NaN"],"pred":[1,2]}}`, `{"error":"regression_metrics: value NaN: want finite numbers"}`},
		{`{"suite":"power","args":{"kind":"two_proportions"},"inputs":{"p1":0.5,"p2":0.5}}`, `{"h":0,"n1":"+Inf"}`},
		{`{"suite":"power","args":{"kind":"anova"}}`, `{"error":"power: unknown kind \"anova\" (have ttest, two_proportions)"}`},
		{`{"suite":"pca_reconstruction","inputs":{"x":[[1,2],[1,2]],"y":[[1,2]]}}`, `{"error":"pca_reconstruction: the reference has no variance"}`},
		{`{"suite":"mmd_rbf","inputs":{"x":[[1,2],[1]],"y":[[1,2],[2,3]]}}`, `{"error":"mmd_rbf: a row of 1 values beside one of 2: want as many"}`},
		{`{"suite":"mmd_rbf","inputs":{"x":[[1],[1]],"y":[[1],[1]]}}`, `{"error":"mmd_rbf: sigma is 0: want above 0, and so not half of the rows the same"}`},
		{`{"suite":"concept_drift","args":{"detector":"ddm_two_sided"}}`, `{"error":"concept_drift: unknown detector \"ddm_two_sided\" (have adwin, adwin_keep, ddm, eddm, hddm_a, hddm_a_two_sided, hddm_w, hddm_w_two_sided, page_hinkley)"}`},
		{`{"suite":"concept_drift","args":{"detector":"adwin"},"inputs":{"stream":[1,[2,3],{"gen":{"kind":"bern","n":2,"p":1}}]}}`, `{"drift":[],"final_estimation":1.6,"final_width":5,"n_drift":0,"n_warning_starts":0,"warning_starts":[]}`},
		{`{"suite":"kswin","inputs":{"stream":[[1,1,1]],"change_at":1}}`, `{"error":"kswin: the change was not found with every seed"}`},
		{`{"suite":"fisher_exact","inputs":{"table":[[1,0],[0,0]]}}`, `{"odds_ratio":"NaN","p_value":1}`},
	}
	var in, want strings.Builder
	for _, l := range lines {
		in.WriteString(l.in + "\n")
		want.WriteString(l.want + "\n")
	}
	var out strings.Builder
	if err := EvalLines(strings.NewReader(in.String()), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want.String() {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want.String())
	}
}

// TestEvalHostile gives every suite inputs that make no sense: each is answered
// by a line, and that by numbers or an error.
func TestEvalHostile(t *testing.T) {
	lists := []string{"null", "[]", "{}", "3", `"x"`, "[1]", "[0,1]", "[0,1,1,0,1]", "[5,5,5,5,5,5]", `["NaN"]`, `["NaN","+Inf",1]`,
		"[1e308,-1e308,1e308,0,1e-308,2]", "[[]]", "[[1],[2]]", "[[1,2],[3,4],[5,6]]", "[[1e308],[-1e308],[0]]", `["a","b"]`,
		`{"gen":{"kind":"ih12","n":40,"mean":1e15,"sd":1}}`, `{"gen":{"kind":"int","n":0}}`}
	counts := []string{"{}", `{"a":1}`, `{"a":0,"b":0}`, `{"b":1e300,"c":2}`, `{"a":0.5,"b":1e-300}`}
	args := []string{"{}", `{"method":"exact","alternative":"less","midrank":false,"equal_var":false,"correction":true,"k":1,"rule":"fd",
		"kind":"ttest","sigma":-1,"detector":"ddm"}`, `{"method":"auto","rule":"doane","kind":"two_proportions","sigma":1e-300,"permutations":3,"detector":"hddm_w_two_sided"}`}
	for suite := range suites() {
		for _, a := range args {
			a = strings.ReplaceAll(a, "\n", "")
			for i, x := range lists {
				for _, by := range []int{0, 1, 4, 11} {
					j := (i + by) % len(lists)
					y := lists[j]
					c, d := counts[i%len(counts)], counts[j%len(counts)]
					line := fmt.Sprintf(`{"suite":%q,"args":%s,"inputs":{"x":%s,"y":%s,"p":%s,"q":%s,"score":%s,"pred":%s,"calibrated":%s,"query":%s,"stream":[%s,%s],"x_counts":%s,"y_counts":%s}}`,
						suite, a, x, y, x, y, x, y, y, x, x, y, c, d)
					var out strings.Builder
					if err := EvalLines(strings.NewReader(line), &out); err != nil {
						t.Fatalf("%s: %v", line, err)
					}
					if !json.Valid([]byte(out.String())) || strings.Count(out.String(), "\n") != 1 {
						t.Fatalf("%s: %s", line, out.String())
					}
				}
			}
		}
	}
}
