package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// drawn is a column x of n draws in CSV, with a value missing, an infinite one and a
// row that is none now and then; and its profile.
func drawn(t *testing.T, n int, draw func(r *rand.Rand) float64) (*profile.Profile, string, []float64) {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	var b strings.Builder
	b.WriteString("other,x\n")
	values := make([]float64, n)
	for i := range values {
		values[i] = draw(r)
		fmt.Fprintf(&b, "a,%v\n", values[i])
		if i%1000 == 0 {
			b.WriteString("b,NA\nb,-inf\nb\nb,word\n")
		}
	}
	return profileOf(t, b.String(), nil), b.String(), values
}

// lookAgain reads both sides as often as it takes, and says how often.
func lookAgain(t *testing.T, a *Again, reference, current string) (found map[string]Exact, times int) {
	t.Helper()
	for a.More() {
		times++
		if err := a.Reference(t.Context(), strings.NewReader(reference), "x.csv", dataset.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := a.Current(t.Context(), strings.NewReader(current), "x.csv", dataset.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return a.Exact(), times
}

func ofNumbers() (chosen []Choice) {
	for _, k := range kinds() {
		if k.numbers != unfit {
			chosen = append(chosen, Choice{Test: k.name})
		}
	}
	return chosen
}

// TestExact compares what sketches say with what the values say, test by test:
// the latter lies in the interval of the former, and is reported where the
// verdict was open.
func TestExact(t *testing.T) {
	ref, reference, _ := drawn(t, 50_000, func(r *rand.Rand) float64 { return r.NormFloat64() })
	cur, current, _ := drawn(t, 50_001, func(r *rand.Rand) float64 { return r.NormFloat64() + 0.3 })
	opt := Options{Tests: ofNumbers()}
	rough := Compare(ref, cur, opt)
	if open := Undecided(rough, ref, cur, opt, false); len(open) != 1 {
		t.Fatalf("undecided are %q, want x: some tests need its values", open)
	}
	var times int
	opt.Exact, times = lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, false), reference, current)
	if times != 1 {
		t.Errorf("read %d times, want once: all values can be kept", times)
	}
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
	// The effect of chi-squared has an interval of its own.
	v := of["chi2"]
	opt.Tests = []Choice{{Test: "chi2", Threshold: *v.Effect * 1.01}}
	if open := Undecided(Compare(ref, cur, opt), ref, cur, opt, false); len(open) != 1 {
		t.Errorf("a threshold right above the least effect: undecided are %q, want x", open)
	}
}

// TestRanksCounted has tests that sketches are not enough for, of more values than are
// kept: those of ranks are made of bins, and hold what is exact; the other is not measured,
// and that is said.
func TestRanksCounted(t *testing.T) {
	if raceDetector {
		t.Skip("it is ten times as slow, and what is concurrent here is in TestExact too")
	}
	for _, c := range []struct {
		move, threshold float64 // of the current data; below the effect of cvm
		verdict         Verdict
	}{{0, 0.04, None}, {0.2, 0.04, Drift}} {
		draw := func(move float64) func(r *rand.Rand) float64 {
			return func(r *rand.Rand) float64 {
				if r.IntN(4) == 0 {
					return 1
				}
				return math.Round(1e4*(r.NormFloat64()+move)) / 1e4
			}
		}
		ref, reference, values := drawn(t, 500_000, draw(0))
		cur, current, currentValues := drawn(t, 550_000, draw(c.move))
		x, y := statistics.Points(values), statistics.Points(currentValues)
		exactly := map[string]float64{"cvm": statistics.Cramer(x, y), "ad": statistics.Anderson(x, y, true)}
		opt := Options{Tests: []Choice{{"cvm", c.threshold}, {"ad", 0.05}, {"es", 0}}}
		rough := column(t, Compare(ref, cur, opt), "x")
		if len(rough.NotMeasured) != 3 || rough.NotMeasured[0] != (NotMeasured{"cvm", "the values themselves, which were not read again"}) {
			t.Errorf("not measured of sketches: %+v", rough.NotMeasured)
		}
		opt.Exact, _ = lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, true), reference, current)
		got := column(t, Compare(ref, cur, opt), "x")
		if len(got.NotMeasured) != 1 || got.NotMeasured[0] != (NotMeasured{"es", "each of the values, and can keep 1048576: there are 1050000"}) {
			t.Errorf("not measured: %+v", got.NotMeasured)
		}
		for name, want := range exactly {
			x := test(t, got, name)
			if slack := 1e-9 * math.Abs(want); want < x.Low-slack || want > x.High+slack || x.High-x.Low > max(map[string]float64{"cvm": 0.05, "ad": 1}[name], 0.01*want) {
				t.Errorf("moved by %v: %s in [%v, %v], exactly %v", c.move, name, x.Low, x.High, want)
			}
			if x.Verdict != c.verdict || x.PAdjusted == nil {
				t.Errorf("moved by %v: %s is %s with an effect of %v, want %s", c.move, name, x.Verdict, *x.Effect, c.verdict)
			}
		}
		opt.Tests, opt.Exact = opt.Tests[2:], nil
		opt.Exact, _ = lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, false), reference, current)
		if got := column(t, Compare(ref, cur, opt), "x"); got.Verdict != NotTested || got.Effect != "the test es needs each of the values, and can keep 1048576: there are 1050000" {
			t.Errorf("es alone: %s, %s", got.Verdict, got.Effect)
		}
	}
}

// TestCounted reads columns that are too large to be kept. A threshold right beside
// the exact number, on either side, is decided by it; without such, one reading
// that counts is enough.
func TestCounted(t *testing.T) {
	if raceDetector {
		t.Skip("it is ten times as slow, and what is concurrent here is in TestExact too")
	}
	draw := func(move float64) func(r *rand.Rand) float64 {
		return func(r *rand.Rand) float64 {
			v := r.NormFloat64()
			if r.IntN(4) == 0 {
				return 1 // at a decile's edge, too
			}
			return v + move
		}
	}
	ref, reference, values := drawn(t, 150_000, draw(0))
	cur, current, currentValues := drawn(t, 140_000, draw(0.05))
	x, y := statistics.Points(values), statistics.Points(currentValues)
	edges := statistics.QuantileEdges(x, 10)
	p, q := statistics.Shares(x, edges), statistics.Shares(y, edges)
	ep, eq, err := statistics.EvidentlyShares(x, y)
	if err != nil {
		t.Fatal(err)
	}
	exactly := map[string]float64{
		"ks":          statistics.KS(x, y, statistics.TwoSided),
		"wasserstein": statistics.Normed(statistics.Wasserstein(x, y), statistics.StdDev(x)),
		"psi":         statistics.PSI(p, q, statistics.ShareFloor),
		"hellinger":   statistics.Hellinger(p, q),
		"tvd":         statistics.TotalVariation(p, q),
		"js":          statistics.JensenShannon(ep, eq),
		"energy":      statistics.Energy(x, y),
		"mw":          statistics.MannWhitney(x, y),
	}
	opt := Options{Tests: []Choice{}, Thresholds: map[string]float64{}}
	for name := range exactly {
		opt.Tests = append(opt.Tests, Choice{Test: name, Threshold: 0.5})
	}
	var times int
	opt.Exact, times = lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, false), reference, current)
	if times != 1 {
		t.Errorf("nothing is open: read %d times, want once", times)
	}
	for _, got := range column(t, Compare(ref, cur, opt), "x").Tests {
		want, ok := exactly[got.Test]
		if !ok {
			continue
		}
		if slack := 1e-9 * want; want < got.Low-slack || want > got.High+slack {
			t.Errorf("%s in [%v, %v], exactly %v", got.Test, got.Low, got.High, want)
		}
		width := map[string]float64{"ks": 1e-3, "wasserstein": 1e-3, "js": 0, "mw": 1e-4 * 150e3 * 140e3}
		if most, ok := width[got.Test]; ok && got.High-got.Low > most || got.High-got.Low > 0.02 && !ok {
			t.Errorf("%s in [%v, %v]: too wide", got.Test, got.Low, got.High)
		}
		if got.Test == "energy" || got.Test == "mw" {
			continue // of which no bin is known
		}
		for _, beside := range []float64{-1e-6, 1e-6} {
			opt := Options{Tests: []Choice{{Test: got.Test, Threshold: want * (1 + beside)}}}
			if open := Undecided(Compare(ref, cur, opt), ref, cur, opt, false); len(open) != 1 {
				t.Errorf("%s: undecided are %q, want x", got.Test, open)
			}
			opt.Exact, times = lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, false), reference, current)
			c := column(t, Compare(ref, cur, opt), "x")
			exact := test(t, c, got.Test)
			if exact.Low != exact.High || math.Abs(exact.Statistic-want) > 1e-9*want || (c.Verdict == Drift) != (beside < 0) {
				t.Errorf("%s, threshold %v: %s of [%v, %v], exactly %v", got.Test, opt.Tests[0].Threshold, c.Verdict, exact.Low, exact.High, want)
			}
			if want := map[string]int{"js": 1}[got.Test]; times != max(2-want, 1) {
				t.Errorf("%s: read %d times", got.Test, times)
			}
		}
	}

	// All there is to know, without a threshold in its way.
	opt = Options{}
	opt.Exact, _ = lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, true), reference, current)
	for _, x := range column(t, Compare(ref, cur, opt), "x").Tests {
		if want, ok := exactly[x.Test]; ok && (x.Low != x.High || math.Abs(x.Statistic-want) > 1e-9*want) {
			t.Errorf("%s: [%v, %v], exactly %v", x.Test, x.Low, x.High, want)
		}
	}

	// Other data than the profiles stand for say nothing about them.
	opt = Options{Tests: []Choice{{Test: "ks", Threshold: exactly["ks"]}}}
	for name, changed := range map[string]string{
		"shorter": current[:len(current)-40], "none": "other,x\n",
		"farther": strings.Replace(current, "\na,1\n", "\na,77\n", 1), "renamed": strings.Replace(current, "x", "z", 1),
		"others": strings.ReplaceAll(current, "\na,0.1", "\na,0.2"),
	} {
		if found, _ := lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, false), reference, changed); len(found) != 0 {
			t.Errorf("current data that are %s: %d columns are exact", name, len(found))
		}
	}
}

// TestAgainManyColumns reads as few columns at a time as there is room for, and all
// of them.
func TestAgainManyColumns(t *testing.T) {
	var b strings.Builder
	const columns = 7
	var names []string
	for i := range columns {
		names = append(names, fmt.Sprint("x", i))
	}
	b.WriteString(strings.Join(names, ",") + "\n")
	r := rand.New(rand.NewPCG(4, 4))
	for range 5000 {
		for i := range columns {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%v", r.Float64())
		}
		b.WriteByte('\n')
	}
	p := profileOf(t, b.String(), nil)
	a := NewAgain(p, p, Options{}, names, true)
	for _, l := range a.queue {
		l.counts, l.kept = true, [2]int64{} // as if they were large
	}
	found, times := lookAgain(t, a, b.String(), b.String())
	if len(found) != columns || times < 3 || times > 6 {
		t.Errorf("%d columns in %d readings; want %d in 3 to 6", len(found), times, columns)
	}
	opt := Options{Exact: found}
	for _, c := range Compare(p, p, opt).Columns {
		for _, x := range c.Tests {
			if x.Test != "missing" && (x.Low != 0 || x.High != 0) {
				t.Errorf("%s, %s: [%v, %v] beside itself", c.Name, x.Test, x.Low, x.High)
			}
		}
	}
	if diff := cmp.Diff([]string(nil), Undecided(Compare(p, p, Options{}), p, p, Options{}, false)); diff != "" {
		t.Errorf("undecided: %s", diff)
	}
}

// TestIntervals holds that what a statistic is of the values lies in the interval that
// the sketches give for it, whatever the values are like: with frequent ones at the
// edge of a decile, with much of the current data where the reference has little, far
// out, or close together.
func TestIntervals(t *testing.T) {
	if raceDetector {
		t.Skip("nothing here is concurrent, and it is ten times as slow")
	}
	decile := func(share float64) func(r *rand.Rand) float64 { // about a share of 0, the rest above
		return func(r *rand.Rand) float64 { return max(0, r.Float64()-share) }
	}
	plain := func(r *rand.Rand) float64 { return r.NormFloat64() }
	for name, law := range map[string][2]func(r *rand.Rand) float64{
		"one law":           {plain, plain},
		"moved":             {plain, func(r *rand.Rand) float64 { return r.NormFloat64() + 0.1 }},
		"0 up to a decile":  {decile(0.7), decile(0.702)},
		"at another decile": {func(r *rand.Rand) float64 { return r.Float64() - 0.2 + max(0, 0.2-r.Float64()) }, func(r *rand.Rand) float64 { return r.Float64() - 0.2 }},
		"a lump beside an edge": {func(r *rand.Rand) float64 { return r.Float64() }, func(r *rand.Rand) float64 {
			if r.IntN(5) == 0 {
				return 0.30001 + 1e-3*(r.Float64()-0.5)
			}
			return r.Float64()
		}},
		"a lump at an edge": {func(r *rand.Rand) float64 { return r.Float64() }, func(r *rand.Rand) float64 {
			if r.IntN(5) == 0 {
				return 0.3
			}
			return r.Float64()
		}},
		"a lump right at the edge": {func(r *rand.Rand) float64 { return r.Float64() }, nil},
		"a gap at an edge":         {func(r *rand.Rand) float64 { v := r.Float64(); return v + math.Floor(v*2) }, func(r *rand.Rand) float64 { return 2 * r.Float64() }},
		"far out":                  {func(r *rand.Rand) float64 { return math.Exp(5 * r.NormFloat64()) }, func(r *rand.Rand) float64 { return math.Exp(5*r.NormFloat64() + 0.1) }},
		"far from 0":               {func(r *rand.Rand) float64 { return 1e12 + r.NormFloat64() }, func(r *rand.Rand) float64 { return 1e12 + 1.1*r.NormFloat64() }},
	} {
		for size := range 3 {
			ref, reference, values := drawn(t, 20_000+40_000*size, law[0])
			if name == "a lump right at the edge" {
				edge := statistics.QuantileEdges(statistics.Points(values), 10)[2]
				law[1] = func(r *rand.Rand) float64 {
					if r.IntN(5) == 0 {
						return edge + 5e-4*(r.Float64()-0.5)
					}
					return r.Float64()
				}
			}
			cur, current, _ := drawn(t, 20_001+45_000*size, law[1])
			opt := Options{Tests: ofNumbers()}
			rough := column(t, Compare(ref, cur, opt), "x")
			opt.Exact, _ = lookAgain(t, NewAgain(ref, cur, opt, []string{"x"}, true), reference, current)
			exact := column(t, Compare(ref, cur, opt), "x")
			for _, s := range rough.Tests {
				x := test(t, exact, s.Test)
				slack := 1e-9 * math.Abs(x.Statistic)
				if x.Statistic < s.Low-slack || x.Statistic > s.High+slack || s.Statistic < s.Low || s.Statistic > s.High {
					t.Errorf("%s, %d values: %s in [%v, %v], exactly %v", name, ref.Column("x").N(), s.Test, s.Low, s.High, x.Statistic)
				}
			}
		}
	}
}
