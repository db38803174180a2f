package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/anneal-ml/anneal/drift/profile"
)

// movedBy is the profile of n rows of columns a, b, c and so on, the values of each
// moved by one of by.
func movedBy(t testing.TB, seed uint64, n int, by ...float64) *profile.Profile {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	var header []string
	for i := range by {
		header = append(header, string(rune('a'+i)))
	}
	return table(t, strings.Join(header, ","), n, func(int) string {
		var row []string
		for _, shift := range by {
			row = append(row, fmt.Sprintf("%.4f", r.NormFloat64()+shift))
		}
		return strings.Join(row, ",")
	})
}

// TestWeighing has columns count by what they are worth to the model.
func TestWeighing(t *testing.T) {
	ref := movedBy(t, 1, 1000, 0, 0, 0, 0)
	for _, test := range []struct {
		name        string
		by          []float64
		importance  map[string]float64
		share       float64
		verdict     Verdict
		attribution []string
		held        float64 // 0: nothing is known of importance
		alike       string
	}{
		{name: "all alike", by: []float64{2, 0, 0, 0}, share: 0.25, verdict: None, attribution: []string{"a"}},
		{name: "what the model goes by", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": 6, "b": 2, "c": 1, "d": 1},
			share: 0.6, verdict: Drift, attribution: []string{"a"}, held: 1},
		{name: "what it goes by little", by: []float64{0, 3, 3, 2}, importance: map[string]float64{"a": 6, "b": 2, "c": 1, "d": 1},
			share: 0.4, verdict: None, attribution: []string{"b", "c", "d"}, held: 1},
		{name: "the lesser change of what matters more comes first", by: []float64{1, 4, 0, 0}, importance: map[string]float64{"a": 3, "b": 1},
			share: 1, verdict: Drift, attribution: []string{"a", "b"}, held: 1},
		{name: "what is not named", by: []float64{0, 2, 2, 2}, importance: map[string]float64{"a": 0.1},
			share: 0, verdict: None, held: 1},
		{name: "exactly half", by: []float64{4, 3, 2, 0}, importance: map[string]float64{"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.3},
			share: 0.5, verdict: Drift, attribution: []string{"a", "b", "c"}, held: 1},
		{name: "names of no column", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": 2, "b": 1, "z": 1},
			share: 0.666666667, verdict: Drift, attribution: []string{"a"}, held: 0.75},
		{name: "mostly names of no column", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": 4, "z": 5, "y": 1},
			share: 0.25, verdict: None, attribution: []string{"a"}, held: 0.4,
			alike: "the columns that can be compared have 0.4 of the importance, less than half"},
		{name: "no importance at all", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": 0},
			share: 0.25, verdict: None, attribution: []string{"a"}},
		{name: "as large as floats go", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": math.MaxFloat64, "b": math.MaxFloat64, "c": 1, "d": 5e-324},
			share: 0.5, verdict: Drift, attribution: []string{"a"}, held: 1},
		{name: "as small", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": 1e-323, "b": 5e-324},
			share: 0.666666667, verdict: Drift, attribution: []string{"a"}, held: 1},
		{name: "no number", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": math.Inf(1), "b": 1},
			share: 0.25, verdict: None, attribution: []string{"a"}},
		{name: "nothing with a number", by: []float64{2, 0, 0, 0}, importance: map[string]float64{"a": math.NaN(), "b": -1},
			share: 0.25, verdict: None, attribution: []string{"a"}},
	} {
		c := Compare(ref, movedBy(t, 2, 500, test.by...), Options{Importance: test.importance})
		if c.Share == nil || *c.Share != test.share || c.Verdict != test.verdict || !slices.Equal(c.Attribution, test.attribution) {
			t.Errorf("%s: %s, share %v, by %q; want %s, %v, %q", test.name, c.Verdict, *c.Share, c.Attribution, test.verdict, test.share, test.attribution)
		}
		drifted := 0
		for _, by := range test.by {
			if by != 0 {
				drifted++
			}
		}
		if c.Drifted != drifted || c.Tested != 4 {
			t.Errorf("%s: %d of %d columns drifted, want %d of 4 whatever they are worth", test.name, c.Drifted, c.Tested, drifted)
		}
		switch w := c.Importance; {
		case test.held == 0:
			if w != nil {
				t.Errorf("%s: %+v, want nothing known", test.name, w)
			}
		case w == nil || w.Held != test.held || w.Alike != test.alike:
			t.Errorf("%s: %+v, want %v held, %q", test.name, w, test.held, test.alike)
		case test.importance["z"] > 0 && w.Unknown[0] != "z":
			t.Errorf("%s: unknown are %q, want z first", test.name, w.Unknown)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestAttributionOfEvidently goes by probabilities, which its thresholds are of: a
// statistic of chi-squared is a large number beside a distance.
func TestAttributionOfEvidently(t *testing.T) {
	rows := func(by, third int) *profile.Profile {
		return table(t, "name,number", 300, func(i int) string {
			name := "a"
			if i%100 < third {
				name = string("bc"[i%2])
			}
			return fmt.Sprintf("%s,%d", name, by+i*37%100)
		})
	}
	c := Compare(rows(0, 30), rows(40, 45), Options{Rules: EvidentlyRules})
	name, number := test(t, column(t, c, "name"), "chi2"), test(t, column(t, c, "number"), "ks")
	if name.Statistic < 10*number.Statistic || *name.PValue < 10**number.PValue {
		t.Fatalf("chi2 %+v, ks %+v; want the larger statistic to be the likelier", name, number)
	}
	if want := []string{"number", "name"}; !slices.Equal(c.Attribution, want) {
		t.Errorf("drift is by %q, want %q", c.Attribution, want)
	}
}

// TestWeighingOneSided has a column that is gone count what it was worth, and a new
// one nothing.
func TestWeighingOneSided(t *testing.T) {
	ref, cur := movedBy(t, 1, 500, 0, 0, 0), movedBy(t, 2, 500, 0, 0, 0)
	cur.Columns[2].Name = "d"
	for _, test := range []struct {
		importance map[string]float64
		share      float64
		verdict    Verdict
		by         []string
	}{
		{nil, 0.5, Drift, []string{"c", "d"}},
		{map[string]float64{"a": 2, "b": 1, "c": 1}, 0.25, None, []string{"c"}},
		{map[string]float64{"a": 1, "c": 1}, 0.5, Drift, []string{"c"}},
		{map[string]float64{"a": 1}, 0, None, nil},
	} {
		c := Compare(ref, cur, Options{Importance: test.importance})
		if *c.Share != test.share || c.Verdict != test.verdict || c.Drifted != 2 || c.Tested != 4 || !slices.Equal(c.Attribution, test.by) {
			t.Errorf("%v: %s, share %v, %d of %d columns, by %q; want %s, %v, 2 of 4, %q", test.importance, c.Verdict, *c.Share, c.Drifted, c.Tested, c.Attribution, test.verdict, test.share, test.by)
		}
	}
}

// TestAttributionOfOneSided names a column that is gone, and a new one, before any that
// has only moved.
func TestAttributionOfOneSided(t *testing.T) {
	ref, cur := movedBy(t, 1, 500, 0, 0, 0), movedBy(t, 2, 500, 3, 0, 0)
	cur.Columns[2].Name = "d"
	if c, want := Compare(ref, cur, Options{}), []string{"c", "d", "a"}; !slices.Equal(c.Attribution, want) {
		t.Errorf("drift is by %q, want %q", c.Attribution, want)
	}
}

// TestWeighingTooFew weighs columns that may have drifted by chance, and says that
// there is too little to tell where what the model goes by cannot be tested.
func TestWeighingTooFew(t *testing.T) {
	// Of 34 rows, a has a change that may be chance once corrected, and b none.
	ref := table(t, "a,b", 3000, func(i int) string { return fmt.Sprintf("%d,%d", i%100, i*37%100) })
	cur := table(t, "a,b", 34, func(i int) string { return fmt.Sprintf("%d,%d", 14+i*86/34, i*3) })
	few := table(t, "a,b", 500, func(i int) string {
		if i%25 == 0 {
			return fmt.Sprintf("%d,%d", i%100, i*37%100)
		}
		return fmt.Sprintf(",%d", i*37%100)
	})
	for _, test := range []struct {
		name       string
		ref, cur   *profile.Profile
		importance map[string]float64
		share      float64 // negative: none
		verdict    Verdict
	}{
		{"may be chance, alike", ref, cur, nil, 0, TooFew},
		{"may be chance, and matters", ref, cur, map[string]float64{"a": 3, "b": 1}, 0, TooFew},
		{"may be chance, and hardly matters", ref, cur, map[string]float64{"a": 1, "b": 3}, 0, None},
		{"may be chance, and does not matter", ref, cur, map[string]float64{"b": 3}, 0, None},
		{"too few values of what matters", few, few, map[string]float64{"a": 1}, -1, TooFew},
		{"too few values of what matters less", few, few, map[string]float64{"a": 1, "b": 1}, 0, None},
	} {
		c := Compare(test.ref, test.cur, Options{Importance: test.importance})
		share := -1.0
		if c.Share != nil {
			share = *c.Share
		}
		if share != test.share || c.Verdict != test.verdict {
			t.Errorf("%s: %s with a share of %v (columns %s and %s), want %s with %v", test.name, c.Verdict, share, c.Columns[0].Verdict, c.Columns[1].Verdict, test.verdict, test.share)
		}
	}
}

// TestWeighingHolds says of whatever importance: with all alike it changes nothing,
// its scale is nothing, and a column without any touches no other.
func TestWeighingHolds(t *testing.T) {
	near := cmpopts.EquateApprox(0, 1e-9)
	ref := movedBy(t, 3, 400, 0, 0, 0, 0, 0)
	r := rand.New(rand.NewPCG(9, 9))
	for i := range uint64(30) {
		by := make([]float64, 5)
		for j := range by {
			by[j] = r.Float64() * 0.5
		}
		cur := movedBy(t, 10+i, 40+r.IntN(200), by...)
		weights := map[string]float64{"a": r.ExpFloat64(), "b": r.ExpFloat64(), "c": r.ExpFloat64(), "d": r.ExpFloat64()}
		alike := Compare(ref, cur, Options{})
		equal := Compare(ref, cur, Options{Importance: map[string]float64{"a": 0.3, "b": 0.3, "c": 0.3, "d": 0.3, "e": 0.3}})
		if equal.Importance == nil || equal.Verdict != alike.Verdict || !cmp.Equal(equal.Share, alike.Share, near) || fmt.Sprint(verdicts(equal)) != fmt.Sprint(verdicts(alike)) {
			t.Fatalf("window %d: equal importance gives %s, %v, %v; none %s, %v, %v", i, equal.Verdict, *equal.Share, verdicts(equal), alike.Verdict, *alike.Share, verdicts(alike))
		}
		weighed := Compare(ref, cur, Options{Importance: weights})
		for _, by := range []float64{1e-300, 0.1, 7, 1e300} {
			scaled := map[string]float64{}
			for name, w := range weights {
				scaled[name] = w * by
			}
			again := Compare(ref, cur, Options{Importance: scaled})
			if *again.Share != *weighed.Share || again.Verdict != weighed.Verdict || !slices.Equal(again.Attribution, weighed.Attribution) {
				t.Fatalf("window %d: times %g %s with %v, want %s with %v", i, by, again.Verdict, *again.Share, weighed.Verdict, *weighed.Share)
			}
		}
		// e is not named: let it be anything.
		for _, e := range []float64{0, 0.3, 50} {
			other := Compare(ref, movedBy(t, 10+i, int(cur.Counts.Rows), append(slices.Clone(by[:4]), e)...), Options{Importance: weights})
			if other.Verdict != weighed.Verdict || !cmp.Equal(other.Share, weighed.Share) || !slices.Equal(other.Attribution, weighed.Attribution) {
				t.Fatalf("window %d: with e moved by %g %s with %v, want %s with %v", i, e, other.Verdict, *other.Share, weighed.Verdict, *weighed.Share)
			}
			for j, c := range other.Columns[:4] {
				if got, want := asJSON(t, c), asJSON(t, weighed.Columns[j]); got != want {
					t.Fatalf("window %d: with e moved by %g, column %s is\n%s\nwant\n%s", i, e, c.Name, got, want)
				}
			}
		}
	}
}

func verdicts(c Comparison) (all []Verdict) {
	for _, column := range c.Columns {
		all = append(all, column.Verdict)
	}
	return all
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestWeighingSeason looks for a season in what the model goes by alone.
func TestWeighingSeason(t *testing.T) {
	reference := days("2024-01-01", 28, 0, 0, 1)
	for _, test := range []struct {
		name       string
		current    []byte
		importance map[string]float64
		verdict    Verdict
		season     bool
	}{
		{"a weekend, of a model of customers", days("2024-02-03", 2, 0, 0, 2), map[string]float64{"customers": 1}, None, true},
		{"a weekend, of a model of the price", days("2024-02-03", 2, 0, 0, 2), map[string]float64{"price": 1}, None, false},
		{"a weekend of other prices, of a model of customers", days("2024-02-03", 2, 0, 3, 2), map[string]float64{"customers": 3, "baskets": 1}, None, true},
		{"a weekend of other prices, of a model of the price", days("2024-02-03", 2, 0, 3, 2), map[string]float64{"price": 1}, Drift, false},
		{"a weekend, of a model of the hour", days("2024-02-03", 2, 0, 0, 2), map[string]float64{"hour": 1}, None, true}, // as if nothing were known
	} {
		c := season(t, reference, test.current, Options{Season: AnySeason, Importance: test.importance})
		if c.Verdict != test.verdict || (c.Season != nil) != test.season || c.Importance == nil || (c.Importance.Alike != "") != (test.importance["hour"] > 0) {
			t.Errorf("%s: %s, season %+v, %+v; want %s, %t", test.name, c.Verdict, c.Season, c.Importance, test.verdict, test.season)
		}
	}
}
