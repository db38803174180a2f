package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
)

func TestParseTests(t *testing.T) {
	for _, c := range []struct {
		list string
		want []Choice
		err  string
	}{
		{"", nil, ""},
		{"ks", []Choice{{"ks", 0}}, ""},
		{" KS , psi=0.2,Jensen-Shannon = 0.15", []Choice{{"ks", 0}, {"psi", 0.2}, {"js", 0.15}}, ""},
		{"ks,kolmogorov-smirnov", nil, "test ks is given twice"},
		{"psi=", nil, `threshold "" of test psi: want a number above 0`},
		{"psi=-1", nil, `threshold "-1" of test psi: want a number above 0`},
		{"psi=NaN", nil, `threshold "NaN" of test psi: want a number above 0`},
		{"ks,,psi", nil, `there is no test "" (have ks, linf, psi, wasserstein, js, chi2, hellinger, tvd, t, energy, mw, cvm, ad, es)`},
	} {
		got, err := ParseTests(c.list)
		if message := fmt.Sprint(err); c.err == "" && err != nil || c.err != "" && message != c.err {
			t.Errorf("%q: error %v, want %q", c.list, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.list, diff)
		}
	}
}

// pair is a table of numbers and categories, and another that has moved.
func pair(t *testing.T) (ref, cur *profile.Profile) {
	r := rand.New(rand.NewPCG(1, 2))
	row := func(mean, share float64) func(int) string {
		return func(int) string {
			c := "a"
			if r.Float64() < share {
				c = "b"
			}
			return fmt.Sprintf("%.3f,%s", r.NormFloat64()+mean, c)
		}
	}
	return table(t, "x,c", 2000, row(0, 0.2)), table(t, "x,c", 1000, row(0.6, 0.5))
}

// TestChosen does each test alone and compares its number with the statistic
// of the same samples.
func TestChosen(t *testing.T) {
	ref, cur := pair(t)
	x, y := ref.Column("x").Quantiles.Points(), cur.Column("x").Quantiles.Points()
	edges := statistics.QuantileEdges(x, 10)
	p, q := statistics.Shares(x, edges), statistics.Shares(y, edges)
	ep, eq, err := statistics.EvidentlyShares(x, y)
	if err != nil {
		t.Fatal(err)
	}
	counts := countsOf(ref.Column("c"), cur.Column("c"))
	a, b := []float64{counts["a"][0], counts["b"][0]}, []float64{counts["a"][1], counts["b"][1]}
	sa, sb := statistics.Normalised(a), statistics.Normalised(b)
	chi2 := func(x, y []float64) float64 { s, _, _ := statistics.ChiSquare(x, y, true); return s }
	welch, _, _ := statistics.TTest(x, y, false)
	sd := statistics.StdDev(x)
	for _, c := range []struct {
		test string
		x, c float64 // NaN: not of this type

		defaultsTo float64
	}{
		{test: "ks", x: statistics.KS(x, y, statistics.TwoSided), c: math.NaN(), defaultsTo: 0.1},
		{test: "linf", x: math.NaN(), c: math.Abs(sa[0] - sb[0]), defaultsTo: 0.05},
		{test: "psi", x: psi(p, q), c: psi(sa, sb), defaultsTo: 0.25},
		{test: "wasserstein", x: statistics.Normed(statistics.Wasserstein(x, y), sd), c: math.NaN(), defaultsTo: 0.1},
		{test: "js", x: statistics.JensenShannon(ep, eq), c: statistics.JensenShannon(sa, sb), defaultsTo: 0.1},
		{test: "chi2", x: chi2(scale(p, 2000), scale(q, 1000)), c: chi2(a, b), defaultsTo: 0.1},
		{test: "hellinger", x: statistics.Hellinger(p, q), c: statistics.Hellinger(sa, sb), defaultsTo: 0.1},
		{test: "tvd", x: statistics.TotalVariation(p, q), c: statistics.TotalVariation(sa, sb), defaultsTo: 0.1},
		{test: "t", x: welch, c: math.NaN(), defaultsTo: 0.2},
	} {
		tests, err := ParseTests(c.test)
		if err != nil {
			t.Fatal(err)
		}
		got := Compare(ref, cur, Options{Tests: tests})
		for name, want := range map[string]float64{"x": c.x, "c": c.c} {
			col := column(t, got, name)
			if math.IsNaN(want) {
				if col.Verdict != NotTested || !strings.HasPrefix(col.Effect, "no chosen test is for") {
					t.Errorf("%s of column %s: %s, %s; want it not to be tested", c.test, name, col.Verdict, col.Effect)
				}
				continue
			}
			found := test(t, col, c.test)
			if math.Abs(found.Statistic-want) > 1e-9*math.Abs(want) || found.Threshold != c.defaultsTo || found.PValue == nil {
				t.Errorf("%s of column %s: %+v; want %v, a threshold of %v and a probability", c.test, name, found, want, c.defaultsTo)
			}
			if len(col.Tests) != 2 || col.Verdict != Drift { // it and the missing values
				t.Errorf("%s of column %s: %s with %d tests, want drift with 2", c.test, name, col.Verdict, len(col.Tests))
			}
		}
		// A threshold beyond the change makes no drift of it.
		tests[0].Threshold = 9
		if got := Compare(ref, cur, Options{Tests: tests}); got.Verdict == Drift {
			t.Errorf("%s with a threshold of 9 finds drift", c.test)
		}
	}
}

// TestFewValues: numbers that stand for classes are compared value by value.
func TestFewValues(t *testing.T) {
	ref := table(t, "x", 1000, func(i int) string { return fmt.Sprint(i % 2) })
	cur := table(t, "x", 1000, func(i int) string { return fmt.Sprint((i%4 + 1) / 2 % 2 * (i % 4 / 2)) })
	tests, err := ParseTests("chi2,tvd")
	if err != nil {
		t.Fatal(err)
	}
	x := column(t, Compare(ref, cur, Options{Tests: tests}), "x")
	if tvd := test(t, x, "tvd"); tvd.Statistic != 0.25 || x.Verdict != Drift {
		t.Errorf("tvd %v, %s; want 0.25, drift", tvd.Statistic, x.Verdict)
	}
	if v := *test(t, x, "chi2").Effect; math.Abs(v-0.257) > 0.002 {
		t.Errorf("Cramér's V is %v, want about 0.257", v)
	}
}

// TestLargeSamples: a change too small to matter makes no drift, however many
// rows show it, by whatever test.
func TestLargeSamples(t *testing.T) {
	ref := table(t, "x,c", 200_000, func(i int) string { return fmt.Sprintf("%d,%d", i%100, i*7%3*100) })
	cur := table(t, "x,c", 200_000, func(i int) string { return fmt.Sprintf("%d,%d", (i+i%50/48)%101, i*7%3*100) })
	all, err := ParseTests(strings.Join(TestNames(), ","))
	if err != nil {
		t.Fatal(err)
	}
	x := column(t, Compare(ref, cur, Options{Tests: all}), "x")
	if x.Verdict != None {
		t.Errorf("%s: %+v", x.Verdict, x.Tests)
	}
	if ks := test(t, x, "ks"); *ks.PValue > 1e-6 {
		t.Errorf("p = %v: the change is meant to be no chance", *ks.PValue)
	}
}

// TestCorrection: of many columns of one law some pass an uncorrected test.
func TestCorrection(t *testing.T) {
	header, law := strings.TrimSuffix(strings.Repeat("x,", 200), ","), func(seed uint64) func(int) string {
		r := rand.New(rand.NewPCG(seed, 3))
		return func(int) string {
			cells := make([]string, 200)
			for i := range cells {
				cells[i] = fmt.Sprintf("%.2f", r.NormFloat64())
			}
			return strings.Join(cells, ",")
		}
	}
	for i := range 200 {
		header = strings.Replace(header, "x,", fmt.Sprintf("c%d,", i), 1)
	}
	header = strings.TrimSuffix(header, "x") + "c199"
	ref, cur := table(t, header, 100, law(1)), table(t, header, 100, law(2))
	drifted := func(c statistics.Correction) int { return Compare(ref, cur, Options{Correction: c}).Drifted }
	if n := drifted(statistics.NoCorrection); n < 4 {
		t.Errorf("without correction %d of 200 columns drifted, want about 10", n)
	}
	if n := drifted(""); n > 0 {
		t.Errorf("with Benjamini and Hochberg's %d of 200 columns drifted, want none", n)
	}
}
