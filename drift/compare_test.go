package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// table is the profile of rows, each the fields of cell(i).
func table(t testing.TB, header string, rows int, cell func(i int) string) *profile.Profile {
	t.Helper()
	var b strings.Builder
	b.WriteString(header + "\n")
	for i := range rows {
		b.WriteString(cell(i) + "\n")
	}
	p, err := profile.Build(t.Context(), strings.NewReader(b.String()), "test.csv", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rows are the rows of a table of one column.
type rows struct {
	n    int
	cell func(i int) string
}

func mod(k int) func(int) string { return func(i int) string { return strconv.Itoa(i % k) } }

func always(s string) func(int) string { return func(int) string { return s } }

// every gives s for every k-th row.
func every(k int, s string, otherwise func(int) string) func(int) string {
	return func(i int) string {
		if i%k == 0 {
			return s
		}
		return otherwise(i)
	}
}

func pick(names ...string) func(int) string {
	return func(i int) string { return names[i%len(names)] }
}

// TestCompareColumn judges one column in many situations.
func TestCompareColumn(t *testing.T) {
	tests := []struct {
		name     string
		ref, cur rows
		verdict  Verdict
		effect   string
	}{
		{"same numbers", rows{1000, mod(10)}, rows{500, mod(10)}, None, "mean 4.5 → 4.5 (+0.00 sd)"},
		{"shifted numbers", rows{1000, mod(10)}, rows{500, mod(15)}, Drift, "mean 4.5 → 6.95 (+0.85 sd)"},
		{"one row in a hundred moves, in a million", rows{200_000, mod(10)}, rows{200_000, every(100, "9", mod(10))}, None, "mean 4.5 → 4.59 (+0.03 sd)"},
		{"few rows", rows{1000, mod(10)}, rows{29, always("9")}, TooFew, "29 rows against 1000: want 30 on both sides"},
		{"no rows", rows{1000, mod(10)}, rows{0, nil}, TooFew, "0 rows against 1000: want 30 on both sides"},
		{"constant", rows{100, always("5")}, rows{100, always("5")}, None, "mean 5 → 5"},
		{"constant that has moved", rows{100, always("5")}, rows{100, always("5.1")}, Drift, "mean 5 → 5.1"},
		{"constant come alive", rows{100, always("5")}, rows{100, mod(10)}, Drift, "was always 5, mean now 4.5"},
		{"a tenth goes missing", rows{1000, mod(9)}, rows{1000, every(10, "NA", mod(9))}, Drift, "mean 3.996 → 4 (+0.00 sd), unusable 0.0 % → 10.0 %"},
		{"half a hundredth goes missing", rows{100_000, mod(7)}, rows{100_000, every(200, "", mod(7))}, None, "mean 3 → 3 (+0.00 sd)"},
		{"fewer go missing", rows{1000, every(10, "", mod(9))}, rows{1000, mod(9)}, None, "mean 4 → 3.996 (+0.00 sd)"},
		{"all missing", rows{1000, mod(10)}, rows{100, always("?")}, Drift, "0 values against 1000, unusable 0.0 % → 100.0 %"},
		{"all infinite", rows{1000, mod(10)}, rows{100, always("inf")}, Drift, "0 values against 1000, unusable 0.0 % → 100.0 %"},
		{"missing before", rows{1000, always("")}, rows{100, mod(3)}, Drift, "the column is new"},
		{"missing throughout", rows{1000, always("")}, rows{100, always("NA")}, NotTested, "no values on either side"},
		{"numbers become words", rows{1000, mod(10)}, rows{100, pick("low", "high")}, Drift, "was numeric, is categorical"},
		{"same categories", rows{1000, pick("a", "b", "c")}, rows{99, pick("c", "b", "a")}, None, "a 33.4 % → 33.3 %"},
		{"a new category", rows{1000, pick("a", "b")}, rows{1000, pick("a", "b", "a", "b", "c")}, Drift, "c 0.0 % → 20.0 %; new: c"},
		{"every category is new", rows{1000, pick("a", "b", "c")}, rows{100, pick("x", "y", "z")}, Drift, "x 0.0 % → 34.0 %; new: x, y, z; gone: a, b, c"},
		{"one category throughout", rows{1000, always("a")}, rows{100, always("a")}, None, "100 values against 1000"},
		{"a rare category", rows{1000, pick("a", "b")}, rows{1000, every(200, "c", pick("b", "a"))}, None, "b 50.0 % → 49.5 %; new: c"},
		{"many new categories", rows{1000, pick("a", "b")}, rows{1000, pick("a", "b", "c", "d", "e", "f", "a", "b", "f")}, Drift, "b 50.0 % → 22.2 %; new: f, c, d and 1 more"},
		{"a category is gone", rows{1000, every(50, "c", pick("b", "a"))}, rows{1000, pick("a", "b")}, None, "b 48.0 % → 50.0 %; gone: c"},
		{"far from 0", rows{1000, func(i int) string { return strconv.Itoa(2_000_000_000 + i%10) }}, rows{1000, func(i int) string { return strconv.Itoa(2_000_000_000 + i%5) }}, Drift, "mean 2000000004 → 2000000002 (-0.87 sd)"},
		{"a spread of rounding only", rows{1000, pick("0.42291500000000001", "0.42291500000000006")}, rows{99, pick("0.42291500000000006", "0.42291500000000001")}, None, "mean 0.4229 → 0.4229"},
		{"huge numbers", rows{1000, pick("1e308", "-1e308")}, rows{1000, pick("1e308", "-1e308", "1.7e308")}, Drift, "mean 0 → 5.671e+307"},
		{"dates", rows{100, always("2026-01-01")}, rows{100, always("2026-02-01")}, NotTested, "dates always move on"},
		{"row numbers", rows{100, strconv.Itoa}, rows{100, func(i int) string { return strconv.Itoa(100 + i) }}, NotTested, "it counts the rows"},
		{"numbers with a decimal comma", rows{100, func(i int) string { return fmt.Sprintf("\"%d,5\"", i) }}, rows{100, func(i int) string { return fmt.Sprintf("\"%d,7\"", i) }}, NotTested, `nearly every value differs; "0,5" looks like a number that is written otherwise than 1234.5`},
		{"amounts of money", rows{100, func(i int) string { return fmt.Sprintf("\"€1,0%d.00\"", i) }}, rows{100, func(i int) string { return fmt.Sprintf("\"€1,1%d.00\"", i) }}, NotTested, `nearly every value differs; "€1,00.00" looks like a number that is written otherwise than 1234.5`},
		{"free text", rows{100, func(i int) string { return fmt.Sprint("a", i) }}, rows{100, func(i int) string { return fmt.Sprint("b", i) }}, NotTested, "nearly every value differs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			one := func(r rows) *profile.Profile {
				return table(t, "x,other", r.n, func(i int) string { return r.cell(i) + "," + mod(3)(i) })
			}
			c := Compare(one(tt.ref), one(tt.cur), Options{})
			x := column(t, c, "x")
			if x.Verdict != tt.verdict || x.Effect != tt.effect {
				t.Errorf("%s: %s; want %s: %s\n%+v", x.Verdict, x.Effect, tt.verdict, tt.effect, x.Tests)
			}
			if _, err := json.Marshal(c); err != nil {
				t.Error(err)
			}
			if x.Verdict == Drift && test(t, x, x.Tests[0].Test).Test != "column" && x.Current.N > 0 && len(x.Moved) == 0 && !strings.Contains(x.Effect, "unusable") {
				t.Error("a column that drifted does not say which part of it moved")
			}
		})
	}
}

func TestCompareShare(t *testing.T) {
	ref := table(t, "a,b,c,gone,y", 100, func(i int) string { return fmt.Sprintf("%d,%d,%d,%d,%d", i%5, i%7, i%3, i%3, i%2) })
	cur := table(t, "y,c,b,a,fresh", 100, func(i int) string { return fmt.Sprintf("%d,%d,%d,%d,%d", i%2+5, i%3, i%7, i%5+2, i%3) })
	c := Compare(ref, cur, Options{Target: "y", Ignore: []string{"b"}})
	var got []string
	for _, x := range c.Columns {
		got = append(got, x.Name+" "+string(x.Verdict))
	}
	want := "a drift, b not tested, c none, gone drift, y drift, fresh drift"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if c.Share == nil || *c.Share != 0.75 || c.Verdict != Drift || c.Tested != 4 || c.Drifted != 3 {
		t.Errorf("share %v of %d: %s; want 3 of 4: drift", *c.Share, c.Tested, c.Verdict)
	}
	if c := Compare(ref, cur, Options{Target: "y", Share: 0.8}); c.Verdict != None {
		t.Errorf("with a share of 0.8 wanted: %s", c.Verdict)
	}
	if c := Compare(ref, table(t, "a", 5, mod(3)), Options{}); c.Share != nil || c.Verdict != TooFew {
		t.Errorf("of five rows: share %v, %s; want none, too few rows", c.Share, c.Verdict)
	}
	if c := Compare(profile.Merge(), profile.Merge(), Options{}); c.Share != nil || c.Verdict != TooFew {
		t.Errorf("of nothing: share %v, %s; want none, too few rows", c.Share, c.Verdict)
	}
}

// TestComparisonJSON holds the shape that others rely on.
func TestComparisonJSON(t *testing.T) {
	ref := table(t, "a", 100, mod(10))
	js, err := json.Marshal(Compare(ref, ref, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"share":0,"verdict":"none","drifted":0,"tested":1,"referenceRows":100,"currentRows":100,"alpha":0.05,"columns":[` +
		`{"name":"a","type":"numeric","verdict":"none","effect":"mean 4.5 → 4.5 (+0.00 sd)",` +
		`"reference":{"n":100,"missing":0,"mean":4.5},"current":{"n":100,"missing":0,"mean":4.5},"tests":[` +
		`{"test":"missing","statistic":0,"pValue":1,"pAdjusted":1,"low":-0.03699349820698567,"high":0.03699349820698567,"threshold":0.01,"verdict":"none"},` +
		`{"test":"ks","statistic":0,"pValue":1,"pAdjusted":1,"low":0,"high":0,"threshold":0.1,"verdict":"none"},` +
		`{"test":"psi","statistic":0,"pValue":1,"pAdjusted":1,"low":0,"high":0,"threshold":0.25,"verdict":"none"},` +
		`{"test":"wasserstein","statistic":0,"pValue":1,"pAdjusted":1,"low":0,"high":0,"threshold":0.1,"verdict":"none"},` +
		`{"test":"js","statistic":0,"pValue":1,"pAdjusted":1,"low":0,"high":0,"threshold":0.1,"advisory":true,"verdict":"none"}]}],"facts":[]}`
	if string(js) != want {
		t.Errorf("got  %s\nwant %s", js, want)
	}
}

// TestSketchInterval holds that what shares may be, given their errors, brackets
// what they are.
func TestSketchInterval(t *testing.T) {
	p, q := []float64{0.5, 0.3, 0.2, 0}, []float64{0.45, 0.3, 0.2, 0.05}
	exact := shares{p, q, 0, 0, 1000, 1000}.distance(psi, math.Inf(1))
	if exact.Low != exact.Statistic || exact.High != exact.Statistic {
		t.Errorf("without error: %+v", exact)
	}
	rough := shares{p, q, 0.01, 0.02, 1000, 1000}.distance(psi, math.Inf(1))
	if rough.Statistic != exact.Statistic || rough.Low >= exact.Low || rough.High <= exact.High || *rough.PValue <= *exact.PValue {
		t.Errorf("with error %+v, without %+v", rough, exact)
	}
	if all := (shares{p, q, 1, 1, 1000, 1000}).distance(psi, math.Inf(1)); all.Low > 1e-12 || *all.PValue < 1-1e-9 {
		t.Errorf("when nothing is known: %+v", all)
	}
}

// TestNoFalseAlarm compares data of one law 100 times, in small and larger
// batches: no comparison may call it drift, and columns seldom.
func TestNoFalseAlarm(t *testing.T) {
	header := "n0,n1,n2,n3,n4,c0,c1,c2"
	law := func(seed uint64) func(int) string {
		r := rand.New(rand.NewPCG(seed, 9))
		return func(int) string {
			zero := max(0, r.Float64()-0.7)
			missing := strconv.FormatFloat(r.NormFloat64(), 'g', -1, 64)
			if r.IntN(50) == 0 {
				missing = ""
			}
			return fmt.Sprintf("%g,%g,%d,%g,%s,k%d,r%d,city %d", r.NormFloat64(), math.Exp(r.NormFloat64()), r.IntN(20), zero, missing,
				r.IntN(4), r.IntN(2), int(100*r.Float64()*r.Float64()))
		}
	}
	for n, want := range map[int][]Verdict{30: {TooFew}, 100: {TooFew, None}, 1000: {None}} {
		ref := table(t, header, 2000, law(1))
		drifted, tested, worst := 0, 0, 0.0
		for seed := range uint64(100) {
			c := Compare(ref, table(t, header, n, law(seed+2)), Options{})
			if !slices.Contains(want, c.Verdict) {
				t.Errorf("%d rows, seed %d: %s with share %v, want one of %q", n, seed, c.Verdict, *c.Share, want)
			}
			drifted += c.Drifted
			tested += c.Tested
			worst = max(worst, *c.Share)
		}
		if tested < 700 || drifted > tested/50 {
			t.Errorf("%d rows: %d of %d columns drifted, worst share %.2f", n, drifted, tested, worst)
		}
	}
}

// TestLarge profiles two generated tables of a million rows, whose exact
// statistics are known, and holds the intervals of the sketches against them.
func TestLarge(t *testing.T) {
	if testing.Short() || raceDetector { // nothing here is concurrent, and it is ten times as slow
		t.Skip("two million rows take some seconds")
	}
	dir := shared(t, "drift/gen")
	var expected map[string]struct {
		KS, WN, JS *float64
		Chi2       []float64
	}
	readJSON(t, filepath.Join(dir, "expected_1m.json"), &expected)
	generate := generatedTables(t, dir)
	ref, cur := generate(1_000_000, 1, 0), generate(1_000_000, 2, 1)
	c := Compare(ref, cur, Options{})
	for name, want := range expected {
		x := column(t, c, name)
		if want.KS != nil {
			ks := test(t, x, "ks")
			if *want.KS < ks.Low-1e-12 || *want.KS > ks.High+1e-12 {
				t.Errorf("%s: D in [%.5f, %.5f], exactly %.5f", name, ks.Low, ks.High, *want.KS)
			}
			if ks.High-ks.Low > 2*0.005 {
				t.Errorf("%s: D in [%.5f, %.5f] is wider than 2 x 0.005", name, ks.Low, ks.High)
			}
			// SciPy's figures have ten digits.
			for of, exact := range map[string]float64{"wasserstein": *want.WN, "js": *want.JS} {
				if got := test(t, x, of); exact < got.Low-1e-9 || exact > got.High+1e-9 {
					t.Errorf("%s: %s in [%.5f, %.5f], exactly %.5f", name, of, got.Low, got.High, exact)
				}
			}
			m, w := ref.Column(name).Moments, test(t, x, "wasserstein")
			width := max(m.Max, cur.Column(name).Moments.Max) - min(m.Min, cur.Column(name).Moments.Min)
			if w.High-w.Low > 2*0.005*width/m.StdDev() {
				t.Errorf("%s: distance in [%.5f, %.5f] is wider than 2 x 0.005 of %.3g deviations", name, w.Low, w.High, width/m.StdDev())
			}
		}
		if want.Chi2 != nil {
			var p, q []float64
			for _, k := range countsOf(ref.Column(name), cur.Column(name)) {
				p, q = append(p, k[0]), append(q, k[1])
			}
			if got, _, _ := statistics.ChiSquare(p, q, true); math.Abs(got-want.Chi2[0]) > 1e-9*want.Chi2[0] {
				t.Errorf("%s: chi-square %.10g, want %.10g", name, got, want.Chi2[0])
			}
		}
	}
	checkDrifted(t, c)
}

// generatedTables gives the profile of a generated table: of one law, or of another
// in the columns n2, n5, n7, c1 and c2.
func generatedTables(t *testing.T, dir string) func(rows, seed, drift int) *profile.Profile {
	t.Helper()
	gen := filepath.Join(t.TempDir(), "gen")
	cmd := exec.Command("go", "build", "-o", gen, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the generator: %v\n%s", err, out)
	}
	return func(rows, seed, drift int) *profile.Profile {
		t.Helper()
		cmd := exec.Command(gen, "-rows", strconv.Itoa(rows), "-seed", strconv.Itoa(seed), "-drift", strconv.Itoa(drift))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := profile.Build(t.Context(), out, "gen.csv", dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// checkDrifted holds that exactly the columns whose law changed have drifted.
func checkDrifted(t *testing.T, c Comparison) {
	t.Helper()
	var drifted []string
	for _, x := range c.Columns {
		if x.Verdict == Drift {
			drifted = append(drifted, x.Name)
		}
	}
	if diff := cmp.Diff([]string{"n2", "n5", "n7", "c1", "c2"}, drifted); diff != "" {
		t.Errorf("drifted columns (-want +got):\n%s", diff)
	}
}

// TestPower finds what the generator changed in 10,000 rows, and nothing else.
func TestPower(t *testing.T) {
	if raceDetector { // nothing here is concurrent
		t.Skip("it is ten times as slow")
	}
	generate := generatedTables(t, shared(t, "drift/gen"))
	ref := generate(10_000, 1, 0)
	for seed := range 5 {
		checkDrifted(t, Compare(ref, generate(10_000, seed+2, 1), Options{}))
		if c := Compare(ref, generate(10_000, seed+102, 0), Options{}); c.Drifted > 0 {
			t.Errorf("seed %d: %d columns of one law drifted", seed, c.Drifted)
		}
	}
}

// TestNearer moves shares that only one side has as far as the other's error allows:
// to 0, and never by rounding below it, of which there is no logarithm.
func TestNearer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		share, e := r.Float64()/100, 0.0005+r.Float64()/100
		p, _ := nearer([]float64{share}, []float64{0}, e, 0)
		_, q := nearer([]float64{0}, []float64{share}, 0, e)
		if want := max(0, share-e); p[0] < 0 || q[0] < 0 || p[0]-want > 1e-15 || q[0]-want > 1e-15 {
			t.Fatalf("a share of %v with an error of %v: %v and %v, want %v", share, e, p[0], q[0], want)
		}
	}
}
