package demo

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLearn(t *testing.T) {
	rows := &Rows{Header: []string{"whole", "real", "flag", "mostly", "date", "name", "id", "empty", "constant", "skipped"}}
	for i := range 100 {
		mostly := fmt.Sprint(float64(i) + 0.5)
		if i == 7 {
			mostly = "broken"
		}
		rows.Records = append(rows.Records, []string{
			[]string{"1", "2.0", "3"}[i%3], fmt.Sprint(float64(i) / 7), fmt.Sprint(i % 2), mostly,
			fmt.Sprintf("2026-01-%02d", 1+i%28), []string{"north", "south "}[i%2], fmt.Sprintf("id-%d", i), "NA", "4", "x",
		})
	}
	type brief struct {
		Column, Kind string
		Levels       []string
	}
	var got []brief
	for _, f := range learn(rows, []string{"skipped"}) {
		got = append(got, brief{f.Column, f.Kind, f.Levels})
		if f.Kind == kindNumber && (f.Scale <= 0 || math.IsInf(f.Low, 0) || f.High < f.Low) {
			t.Errorf("column %s: scale %g, from %g to %g", f.Column, f.Scale, f.Low, f.High)
		}
	}
	want := []brief{
		{"whole", kindNumber, []string{"1", "2", "3", missingLevel}},
		{"real", kindNumber, []string{missingLevel}},
		{"flag", kindNumber, []string{missingLevel}}, // its slope says it all
		{"mostly", kindNumber, []string{missingLevel}},
		{"date", kindDate, []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}},
		{"name", kindCategory, []string{"north", "south"}},
		{"constant", kindNumber, []string{missingLevel}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
}

func TestEncode(t *testing.T) {
	features := []feature{
		{Column: "n", Kind: kindNumber, Mean: 10, Scale: 2, Low: 6, High: 14, Levels: []string{"10", missingLevel}},
		{Column: "c", Kind: kindCategory, Levels: []string{"a", "b"}},
		{Column: "d", Kind: kindDate, Levels: []string{"Sunday", "Monday"}},
	}
	// Coefficients: 0 n, 1 n=10, 2 n missing, 3 c=a, 4 c=b, 5 Sunday, 6 Monday.
	if got := coefficients(features); got != 7 {
		t.Fatalf("%d coefficients, want 7", got)
	}
	for _, test := range []struct {
		cells []string
		index []int32
		value []float64
	}{
		{[]string{"10.0", "b", "2026-11-22"}, []int32{0, 1, 4, 5}, []float64{0, 1, 1, 1}},
		{[]string{"12", "new", "2026-11-23"}, []int32{0, -1, -1, 6}, []float64{1, 0, 0, 1}},
		{[]string{"99", " a", "?"}, []int32{0, -1, 3, -1}, []float64{2, 0, 1, 0}},
		{[]string{"NA", "", ""}, []int32{0, 2, -1, -1}, []float64{0, 1, 0, 0}},
	} {
		d := encode(features, &Rows{Header: []string{"n", "c", "d"}, Records: [][]string{test.cells}})
		index, value := d.row(0)
		if diff := cmp.Diff(test.index, index); diff != "" {
			t.Errorf("%q: indices (-want +got):\n%s", test.cells, diff)
		}
		if diff := cmp.Diff(test.value, value); diff != "" {
			t.Errorf("%q: values (-want +got):\n%s", test.cells, diff)
		}
	}
	d := encode(features, &Rows{Header: []string{"other"}, Records: [][]string{{"1"}}})
	if index, _ := d.row(0); index[1] != 2 || index[2] != -1 {
		t.Errorf("a column that is not there: %v, want it missing", index)
	}
}

func TestMetrics(t *testing.T) {
	p := func(scores ...float64) [][]float64 {
		var all [][]float64
		for _, s := range scores {
			all = append(all, []float64{1 - s, s})
		}
		return all
	}
	// Worked by hand; the pairs of a positive and a negative are 0.8 and 0.4
	// against 0.4 and 0.1: two and a half wins and a tie's half make 3.5 of 4.
	got := classified(p(0.8, 0.4, 0.4, 0.1), []int{1, 1, 0, 0})
	want := map[string]float64{
		"accuracy": 0.75, "auc": 3.5 / 4, "f1": 2.0 / 3,
		"log_loss": -(math.Log(0.8) + math.Log(0.4) + math.Log(0.6) + math.Log(0.9)) / 4,
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("classification (-want +got):\n%s", diff)
	}
	got = classified(p(0.8, 0.4), []int{1, 1})
	if _, ok := got["auc"]; ok {
		t.Errorf("auc of one class: %v", got)
	}
	got = regressed([]float64{1, 2, 5}, []float64{1, 3, 3})
	want = map[string]float64{"mae": 1, "rmse": math.Sqrt(5.0 / 3), "r2": 1 - 5/(8.0/3)}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("regression (-want +got):\n%s", diff)
	}
}
