package drift

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
)

func profileOf(t *testing.T, csv string, types map[string]dataset.Type) *profile.Profile {
	t.Helper()
	p, err := profile.Build(t.Context(), strings.NewReader(csv), "x.csv", dataset.Options{Columns: types})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lines is a column x of n cells, besides a good one.
func lines(n int, cell func(i int) any) string {
	var b strings.Builder
	b.WriteString("x,good\n")
	for i := range n {
		fmt.Fprintf(&b, "%v,%d\n", cell(i), i*i%101)
	}
	return b.String()
}

// TestEvidentlyChoice has the test that Evidently chooses by type, number of
// values and rows of the reference; and a bad column that spoils no other.
func TestEvidentlyChoice(t *testing.T) {
	number := func(mod int) func(int) any { return func(i int) any { return i * i % mod } }
	name := func(mod int) func(int) any { return func(i int) any { return fmt.Sprint("name", i%mod) } }
	for _, test := range []struct {
		what     string
		rows     int
		ref, cur func(int) any
		test     string // "" where there is none
		verdict  Verdict
	}{
		{"numbers", 1000, number(97), number(97), "ks", None},
		{"numbers", 1000, number(97), number(41), "ks", Drift},
		{"numbers", 1001, number(97), number(41), "wasserstein", Drift},
		{"five numbers", 1000, number(5), number(5), "chi2", None},
		{"five numbers", 1001, number(5), number(5), "js", None},
		{"two numbers", 1000, number(2), number(2), "z", None},
		{"a constant", 1000, number(1), number(1), "z", None},
		{"a constant", 2000, number(1), number(1), "js", None},
		{"three names", 1000, name(3), name(3), "chi2", None},
		{"two names", 1000, name(2), name(2), "z", None},
		{"a new name", 1000, name(2), name(3), "chi2", Drift},
		{"a new name", 1001, name(2), name(3), "js", Drift},
		{"nothing", 1000, func(int) any { return "" }, number(5), "", NotTested},
		{"another type", 1000, number(97), name(3), "", NotTested},
	} {
		what := fmt.Sprintf("%s in %d rows", test.what, test.rows)
		// With as many rows on both sides the shares of i mod n are nearly alike.
		c := Compare(profileOf(t, lines(test.rows, test.ref), nil), profileOf(t, lines(test.rows, test.cur), nil), Options{Rules: EvidentlyRules})
		got := column(t, c, "x")
		used := ""
		if len(got.Tests) > 0 {
			used = got.Tests[0].Test
		}
		if used != test.test || got.Verdict != test.verdict || len(got.Tests) > 1 {
			t.Errorf("%s: test %q says %s (%+v), want %q and %s", what, used, got.Verdict, got.Tests, test.test, test.verdict)
		}
		if good := column(t, c, "good"); good.Verdict != None {
			t.Errorf("%s: the other column is %s", what, good.Verdict)
		}
	}
}

// TestNannyMLThreshold takes the threshold from the chunks that have values.
func TestNannyMLThreshold(t *testing.T) {
	chunk := func(from int) *profile.Profile {
		return profileOf(t, lines(500, func(i int) any { return (from + i*i) % 97 }), map[string]dataset.Type{"x": dataset.Numeric})
	}
	empty := profileOf(t, lines(500, func(int) any { return "" }), nil)
	chunks := []*profile.Profile{chunk(0), chunk(3), empty, chunk(6)}
	ref := profile.Merge(chunks[0], chunks[1], chunks[3])
	opt := Options{Rules: NannyMLRules, Chunks: chunks}
	if got := column(t, Compare(ref, chunk(1), opt), "x"); got.Verdict != None || got.Tests[0].Threshold <= 0 {
		t.Errorf("the same law: %s, %+v", got.Verdict, got.Tests)
	}
	moved := profileOf(t, lines(500, func(i int) any { return 60 + i*i%97 }), nil)
	if got := column(t, Compare(ref, moved, opt), "x"); got.Verdict != Drift {
		t.Errorf("another law: %s, %+v", got.Verdict, got.Tests)
	}
	opt.Chunks = chunks[2:]
	if got := column(t, Compare(ref, moved, opt), "x"); got.Verdict != NotTested {
		t.Errorf("one chunk alone gives a threshold: %s, %+v", got.Verdict, got.Tests)
	}
}

// TestExact compares what sketches say with what the values say, test by test:
// the latter lies in the interval of the former, and is reported where the
// verdict was open.
func TestExact(t *testing.T) {
	draw := func(seed uint64, mean float64) (*profile.Profile, []float64) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b strings.Builder
		b.WriteString("x\n")
		values := make([]float64, 50_000)
		for i := range values {
			values[i] = r.NormFloat64() + mean
			fmt.Fprintf(&b, "%v\n", values[i])
		}
		return profileOf(t, b.String(), nil), values
	}
	ref, values := draw(1, 0)
	cur, currentValues := draw(2, 0.3)
	var opt Options
	for _, name := range TestNames() {
		if k, _ := kindOf(name); k.numbers != unfit {
			opt.Tests = append(opt.Tests, Choice{Test: name})
		}
	}
	rough := Compare(ref, cur, opt)
	if open := Undecided(rough, ref, cur, opt, false); len(open) != 1 {
		t.Fatalf("undecided are %q, want x: some tests need its values", open)
	}
	opt.Exact = map[string]Exact{"x": NewExact("x", ref, cur, values, currentValues, opt)}
	exact := column(t, Compare(ref, cur, opt), "x")
	of := map[string]Test{}
	for _, x := range column(t, rough, "x").Tests {
		of[x.Test] = x
	}
	for _, x := range exact.Tests {
		if x.Test == "missing" {
			continue
		}
		if x.Low != x.High || x.PAdjusted == nil {
			t.Errorf("%s: [%v, %v] is not exact", x.Test, x.Low, x.High)
		}
		if s, ok := of[x.Test]; ok && (x.Statistic < s.Low || x.Statistic > s.High || s.Low == s.High && x.Test != "t") {
			t.Errorf("%s: exactly %v, the sketches say %v to %v", x.Test, x.Statistic, s.Low, s.High)
		}
	}
	if len(exact.Tests) != len(opt.Tests)+1 {
		t.Errorf("%d tests of %d chosen, and missing", len(exact.Tests), len(opt.Tests))
	}
	// One threshold within the interval of one test, and none of it at all.
	ks := of["ks"]
	opt = Options{Tests: []Choice{{Test: "ks", Threshold: (ks.Low + ks.High) / 2}}}
	if open := Undecided(Compare(ref, cur, opt), ref, cur, opt, false); len(open) != 1 {
		t.Errorf("a threshold in the interval: undecided are %q, want x", open)
	}
	opt.Tests[0].Threshold = ks.High + 0.01
	if open := Undecided(Compare(ref, cur, opt), ref, cur, opt, false); len(open) != 0 {
		t.Errorf("a threshold above the interval: undecided are %q", open)
	}
}

// TestDate finds since which part each column has drifted.
func TestDate(t *testing.T) {
	part := func(x, good int) *profile.Profile {
		var b strings.Builder
		b.WriteString("x,good\n")
		for i := range 500 {
			fmt.Fprintf(&b, "%d,%d\n", x+i*i%97, good+i*i%101)
		}
		return profileOf(t, b.String(), nil)
	}
	ref := part(0, 0)
	parts := []*profile.Profile{part(90, 0), part(0, 0), part(90, 0), part(90, 90)}
	names := []string{"a", "b", "c", "d"}
	c := Compare(ref, profile.Merge(parts...), Options{})
	c.Date(ref, parts, names, Options{})
	for name, want := range map[string]string{"x": "c", "good": "d"} {
		if got := column(t, c, name); got.Verdict != Drift || got.Since != want {
			t.Errorf("%s: %s since %q, want drift since %q", name, got.Verdict, got.Since, want)
		}
	}
}
