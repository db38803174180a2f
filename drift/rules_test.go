package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/witness"
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

// TestConclude has a witness confirm columns, or overrule them.
func TestConclude(t *testing.T) {
	rows := func(n, shift int) *profile.Profile {
		return profileOf(t, lines(n, func(i int) any { return shift + i*i%97 }), nil)
	}
	judged := func(verdict string, fall float64) *witness.Quality {
		return &witness.Quality{Verdict: verdict, Fall: fall}
	}
	ref, still, moved, few := rows(500, 0), rows(500, 0), rows(500, 60), rows(20, 60)
	holds := &witness.Outlook{Verdict: witness.Holds}
	for _, test := range []struct {
		current *profile.Profile
		quality *witness.Quality
		outlook *witness.Outlook
		want    Verdict
	}{
		{still, nil, nil, None},
		{moved, nil, nil, Drift},
		{few, nil, nil, TooFew},
		{still, judged(witness.Worse, 2), nil, Drift},
		{few, judged(witness.Worse, 2), nil, Drift},
		{moved, judged(witness.Holds, 0.5), nil, None},
		{few, judged(witness.Holds, 0.5), nil, None},
		{moved, judged(witness.TooFew, 2), nil, Drift}, // both say so
		{still, judged(witness.TooFew, 2), nil, None},
		{moved, judged(witness.TooFew, 0.5), nil, None},
		{few, judged(witness.TooFew, 0.5), nil, TooFew}, // neither can say
		{few, judged(witness.TooFew, 2), nil, TooFew},
		{moved, nil, holds, None},
		{moved, judged(witness.TooFew, 2), holds, None},
	} {
		c := Compare(ref, test.current, Options{Quality: test.quality, Outlook: test.outlook})
		if c.Verdict != test.want {
			t.Errorf("%d of %d columns drifted, %+v, %+v: %s, want %s", c.Drifted, c.Tested, test.quality, test.outlook, c.Verdict, test.want)
		}
	}
}

// TestSmallBatches replays amounts with a heavy tail, sixty at a time, whose columns go with
// the seasons: half way their law changes. Columns alone alarm at nearly each batch, and of
// most a witness cannot be sure; both together find what is to be found.
func TestSmallBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	batch := func(n int, season, level float64) (*profile.Profile, *witness.Rows) {
		var b strings.Builder
		b.WriteString("x,y,amount\n")
		for i := range n {
			at := season
			if n > 60 { // all of a year
				at = math.Sin(2 * math.Pi * float64(i) / float64(n))
			}
			x, y := r.NormFloat64()+at, r.NormFloat64()-at
			fmt.Fprintf(&b, "%.4f,%.4f,%.2f\n", x, y, x+y+level*math.Exp(1.5*r.NormFloat64()))
		}
		rows := &witness.Rows{}
		p := profileOf(t, b.String(), nil)
		if err := rows.Add(t.Context(), strings.NewReader(b.String()), "x.csv", dataset.Options{Columns: p.Schema()}); err != nil {
			t.Fatal(err)
		}
		return p, rows
	}
	reference, rows := batch(2000, 0, 1)
	w, err := witness.New(rows, "amount", []string{"x", "y"})
	if err != nil {
		t.Fatal(err)
	}
	columns, unsure, alarms := 0, 0, [2]int{}
	for i := range 24 {
		p, rows := batch(60, math.Sin(2*math.Pi*float64(i)/12), map[bool]float64{true: 1, false: 4}[i < 12])
		opt := Options{Target: "amount"}
		if Compare(reference, p, opt).Verdict == Drift {
			columns++
		}
		opt.Ask(w, rows)
		if opt.Quality.Verdict == witness.TooFew {
			unsure++
		}
		if Compare(reference, p, opt).Verdict == Drift {
			alarms[i/12]++
		}
	}
	if columns < 20 || unsure < 12 || alarms[0] > 2 || alarms[1] < 11 {
		t.Errorf("columns alone alarm %d times; with a witness, unsure %d times, %d times before the change and %d after: want at least 20, 12, at most 2 and at least 11 of 12",
			columns, unsure, alarms[0], alarms[1])
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
