package witness

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// tableOf reads n rows that a function writes.
func tableOf(t *testing.T, header string, n int, row func(i int) string) *Rows {
	t.Helper()
	var b strings.Builder
	b.WriteString(header + "\n")
	for i := range n {
		b.WriteString(row(i) + "\n")
	}
	r := &Rows{}
	if err := r.Add(t.Context(), strings.NewReader(b.String()), "x.csv", dataset.Options{}); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTogether: a relation of two columns that turns round, which neither shows, is
// told, and so are moved, new and missing values; rows of one law are not.
func TestTogether(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	normal := random.NormFloat64
	related := func(sign float64) func(int) string {
		return func(int) string {
			x := normal()
			return fmt.Sprintf("%v,%v,%v,7,%s", x, sign*x+normal()/2, normal(), []string{"red", "green"}[random.IntN(2)])
		}
	}
	reference := tableOf(t, "a,b,c,flat,k", 800, related(1))
	for _, c := range []struct {
		name         string
		current      *Rows
		told         bool
		by           string
		lost, chance bool // more is lost; it is no chance
	}{
		{"of one law", tableOf(t, "a,b,c,flat,k", 500, related(1)), false, "", false, false},
		{"a relation turned", tableOf(t, "a,b,c,flat,k", 500, related(-1)), true, "ab", true, true},
		{"a column moved", tableOf(t, "a,b,c,flat,k", 500, func(i int) string {
			x := normal()
			return fmt.Sprintf("%v,%v,%v,7,red", x, x+normal()/2, normal()+3)
		}), true, "ck", true, true},
		{"a class came", tableOf(t, "a,b,c,flat,k", 500, func(i int) string {
			x := normal()
			return fmt.Sprintf("%v,%v,%v,7,%s", x, x+normal()/2, normal(), []string{"red", "pink"}[i/3%2])
		}), true, "k", true, true},
		{"a column is gone", tableOf(t, "b,a,flat,k", 500, func(int) string {
			x := normal()
			return fmt.Sprintf("%v,%v,7,%s", x+normal()/2, x, []string{"red", "green"}[random.IntN(2)])
		}), true, "c", false, true},
	} {
		got, err := Compare(reference, c.current, []string{"a", "b", "c", "flat", "k"})
		if err != nil {
			t.Fatal(err)
		}
		if told := got.Told.Value > 0.65; told != c.told || !c.told && (got.Told.Low > 0.5 || got.Told.High < 0.45) {
			t.Errorf("%s: told apart by %+v, want %t", c.name, got.Told, c.told)
		}
		if most := got.Most(1); c.told && !strings.Contains(c.by, most[0]) {
			t.Errorf("%s: told by %v, want one of %q", c.name, got.By, c.by)
		}
		if lost := math.Abs(got.Lost-got.Mean) > 3*got.Deviation; c.lost && !lost || c.name == "of one law" && lost {
			t.Errorf("%s: components lose %v of %v ± %v", c.name, got.Lost, got.Mean, got.Deviation)
		}
		if chance := got.Chance >= 0.05; chance == c.chance {
			t.Errorf("%s: discrepancy %v, chance %v", c.name, got.Discrepancy, got.Chance)
		}
		if c.told {
			continue
		}
		again, err := Compare(reference, c.current, []string{"a", "b", "c", "flat", "k"})
		if err != nil || again.Told != got.Told || again.Chance != got.Chance || again.Lost != got.Lost {
			t.Errorf("%s: once more it is %+v, was %+v", c.name, again, got)
		}
	}

	few := tableOf(t, "a", 99, func(i int) string { return fmt.Sprint(i) })
	if _, err := Compare(reference, few, []string{"a"}); err == nil || err.Error() != "99 rows against 800: want at least 100 on each side" {
		t.Errorf("of few rows: %v", err)
	}
	if _, err := Compare(reference, reference, []string{"none"}); err == nil {
		t.Error("nothing was compared")
	}
	flat := tableOf(t, "a", 200, func(int) string { return "1" })
	if got, err := Compare(flat, flat, []string{"a"}); err != nil || got.Told.Value != 0.5 || got.Discrepancy == got.Discrepancy || got.Lost == got.Lost || len(got.Most(5)) != 0 {
		t.Errorf("of a constant: %+v, %v", got, err)
	}
}

// TestTogetherIsCalm: of 12 pairs of one law, some are below 5 % by the mean
// discrepancy, and none is told apart.
func TestTogetherIsCalm(t *testing.T) {
	unlikely, told := 0, 0
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 9))
		row := func(int) string {
			return fmt.Sprintf("%v,%v,%d", random.NormFloat64(), random.ExpFloat64(), random.IntN(4))
		}
		got, err := Compare(tableOf(t, "a,b,c", 120, row), tableOf(t, "a,b,c", 100, row), []string{"a", "b", "c"})
		if err != nil {
			t.Fatal(err)
		}
		if got.Chance < 0.05 {
			unlikely++
		}
		if got.Told.Value > 0.65 {
			told++
		}
	}
	if unlikely > 3 || told > 0 { // 3 is 3.2 standard deviations
		t.Errorf("of 12 pairs of one law, %d are unlikely, and %d told apart", unlikely, told)
	}
}
