package profile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// TestTypes has objects that read a column differently: all of them together have it as
// one type, in whichever order they come.
func TestTypes(t *testing.T) {
	some := func(n int, cells ...string) string {
		var b strings.Builder
		b.WriteString("x\n")
		for i := range n {
			b.WriteString(cells[i%len(cells)] + "\n")
		}
		return b.String()
	}
	for _, c := range []struct {
		name    string
		objects []string // CSV of the column x
		want    string
	}{
		{"numbers, and as many texts", []string{some(100, "1", "2"), some(100, "a", "b")}, "categorical: 200 of 200 rows, 0 missing, 0 infinite, 0 mixed, 4 different, 1 of 2 objects differ"},
		{"numbers, and few texts", []string{some(1000, "1", "2"), some(20, "a", "3")}, "numeric: 1010 of 1020 rows, 0 missing, 0 infinite, 10 mixed, 3 different, 1 of 2 objects differ"},
		{"one number in twenty is a text", []string{some(950, "1", "2"), some(50, "a")}, "numeric: 950 of 1000 rows, 0 missing, 0 infinite, 50 mixed, 2 different, 1 of 2 objects differ"},
		{"more than that", []string{some(949, "1", "2"), some(51, "a")}, "categorical: 1000 of 1000 rows, 0 missing, 0 infinite, 0 mixed, 3 different, 1 of 2 objects differ"},
		{"most objects are texts, most values numbers", []string{some(3, "1", "a"), some(3, "1", "b"), some(300, "5")}, "numeric: 304 of 306 rows, 0 missing, 0 infinite, 2 mixed, 2 different, 2 of 3 objects differ"},
		{"one is without values", []string{some(50, "NA"), some(100, "a", "1"), some(60, "NA")}, "categorical: 100 of 210 rows, 110 missing, 0 infinite, 0 mixed, 2 different, 0 of 3 objects differ"},
		{"a point and none", []string{some(100, "3.0", "4"), some(100, "3.0", "z")}, "categorical: 200 of 200 rows, 0 missing, 0 infinite, 0 mixed, 3 different, 1 of 2 objects differ"},
		{"infinite numbers", []string{some(100, "1", "inf"), some(5, "z", "inf")}, "numeric: 50 of 105 rows, 0 missing, 52 infinite, 3 mixed, 1 different, 1 of 2 objects differ"},
		{"some are padded", []string{some(100, "10001", "90210"), some(100, "01234", "10001")}, "categorical: 200 of 200 rows, 0 missing, 0 infinite, 0 mixed, 3 different, 1 of 2 objects differ"},
		{"few are padded", []string{some(990, "10001", "90210"), some(10, "007")}, "numeric: 990 of 1000 rows, 0 missing, 0 infinite, 10 mixed, 2 different, 1 of 2 objects differ"},
		{"dates, and texts", []string{some(100, "2026-01-02"), some(50, "a")}, "categorical: 50 of 150 rows, 0 missing, 0 infinite, 100 mixed, 1 different, 1 of 2 objects differ"},
	} {
		var parts []*Profile
		for _, o := range c.objects {
			parts = append(parts, build(t, o, nil))
		}
		slices.SortFunc(parts, func(a, b *Profile) int { return int(a.Counts.Rows - b.Counts.Rows) })
		for range 2 {
			slices.Reverse(parts)
			p, err := Decode(Merge(parts...).Encode())
			if err != nil {
				t.Fatal(err)
			}
			x := p.Column("x")
			got := fmt.Sprintf("%s: %d of %d rows, %d missing, %d infinite, %d mixed, %d different, %d of %d objects differ",
				x.Type, x.N(), x.Rows, x.Missing, x.Infinite, x.Mixed, x.Distinct(), x.Differing, x.Objects)
			if got != c.want {
				t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
			}
		}
	}
}

// TestAsOfMany: numbers too many to be kept each are categories within the stated error.
func TestAsOfMany(t *testing.T) {
	var b strings.Builder
	b.WriteString("x\n")
	for i := range 100_000 {
		if i%2 == 0 {
			b.WriteString("7\n")
			continue
		}
		fmt.Fprintln(&b, 1000+i)
	}
	x := build(t, b.String(), nil).Column("x")
	as := x.As(dataset.Categorical)
	if as.N() != 100_000 || as.Numbers != 100_000 || as.Mixed != 0 {
		t.Errorf("%d values, %d of them numbers, %d mixed; want 100000, 100000, 0", as.N(), as.Numbers, as.Mixed)
	}
	list, e := as.Categories.List(), as.Categories.Error()
	if share := float64(list[0].Count) / 100_000; list[0].Name != "7" || share > 0.5+e || share+e < 0.5 || e > 0.02 {
		t.Errorf("the first category is %s with a share of %.4f, up to %.4f too low; want 7 with 0.5", list[0].Name, share, e)
	}
	if back := as.As(dataset.Numeric); back.N()+back.Mixed != 100_000 {
		t.Errorf("back again there are %d numbers and %d mixed", back.N(), back.Mixed)
	}
}
