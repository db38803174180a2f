package drift

import (
	"fmt"
	"slices"
	"testing"

	"github.com/anneal-ml/anneal/drift/profile"
)

// TestCompareTypes has columns that are numbers in one object and texts in another, as
// a folder of codes is: against themselves they do not drift, however they are divided
// and in whichever order, and one text among numbers is a note.
func TestCompareTypes(t *testing.T) {
	code := func(i int) string {
		if i%7 == 0 {
			return fmt.Sprintf("A%d", i%3)
		}
		return fmt.Sprint(100 + i%5)
	}
	numbers := func(i int) string { return fmt.Sprint(100 + i%5) }
	one := func(n int, cell func(int) string) *profile.Profile { return table(t, "x", n, cell) }
	whole := profile.Merge(one(300, numbers), one(700, code))
	for _, c := range []struct {
		name     string
		ref, cur *profile.Profile
		verdict  Verdict
		fact     string // the kind of the first, and its text
	}{
		{"itself", whole, whole, None, "mixed-types: read as categorical, and by itself of another type in 1 of 2 objects of the reference and 1 of 2 objects of the current data"},
		{"the other way round", whole, profile.Merge(one(700, code), one(300, numbers)), None, "mixed-types: read as categorical, and by itself of another type in 1 of 2 objects of the reference and 1 of 2 objects of the current data"},
		{"read as one", one(1000, code), profile.Merge(one(143, func(i int) string { return code(7 * i) }), one(857, func(i int) string { return code(i + i/6 + 1) })), None,
			"mixed-types: read as categorical, and by itself of another type in 1 of 2 objects of the current data"},
		{"texts that are numbers for once", one(1000, code), one(100, numbers), Drift, "type-change: was categorical, is numeric by itself, where 0.0 % of the values are no numbers: compared as categorical"},
		{"two texts of thirty", one(1000, numbers), one(30, every(15, "A1", numbers)), Drift,
			"type-change: was numeric, is categorical by itself, where 6.7 % of the values are no numbers: compared as numeric"},
		{"one text of a hundred", one(1000, numbers), one(100, every(100, "A1", numbers)), None, "mixed-types: 1 of 100 values are no numbers, such as \"A1\", and none was in the reference"},
		{"a third is texts", one(1000, numbers), one(300, every(3, "A1", numbers)), Drift, "type-change: was numeric, is categorical by itself, where 33.3 % of the values are no numbers: compared as numeric"},
		{"all are texts", one(1000, numbers), one(300, pick("a", "b")), Drift, "type-change: was numeric, is categorical"},
		{"no number among the texts", one(1000, pick("a", "b")), one(300, numbers), Drift, "type-change: was categorical, is numeric"},
	} {
		got := Compare(c.ref, c.cur, Options{})
		facts := got.Facts
		if i := slices.IndexFunc(facts, func(f Fact) bool { return f.Kind == FactMixedTypes || f.Kind == FactTypeChange }); i < 0 || facts[i].Kind+": "+facts[i].Text != c.fact {
			t.Errorf("%s: facts %+v\nwant %s", c.name, facts, c.fact)
		}
		if x := column(t, got, "x"); x.Verdict != c.verdict {
			t.Errorf("%s: %s (%s); want %s", c.name, x.Verdict, x.Effect, c.verdict)
		}
	}
}
