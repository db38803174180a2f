package profile

import (
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// TestBuildRows counts what is there already: rows that are the same in all
// columns, whatever the order of these, and values of a key.
func TestBuildRows(t *testing.T) {
	rows, key, but := Unique{}, Unique{Column: "id"}, Unique{Ignore: []string{"at", "id"}}
	for _, c := range []struct {
		name    string
		objects []string // CSV, lines divided by spaces
		want    string   // of rows, of the key, of rows without id and at
	}{
		{"none", []string{"id,x,at 1,a,5 2,a,5 3,b,6"}, "0/3 0/3 1/3"},
		{"rows", []string{"id,x,at 1,a,5 1,a,5 1,a,5 2,a,5"}, "2/4 2/4 3/4"},
		{"the key alone", []string{"id,x,at 1,a,5 1,a,6 1,b,5"}, "0/3 2/3 1/3"},
		{"numbers are what they are", []string{"id,x,at 1,a,5 1.0,a,5e0 -0,a,1 0,a,1"}, "2/4 2/4 3/4"},
		{"missing values", []string{"id,x,at ,a,5 ,a,5 ,b,NA ,b, 4,b,1"}, "2/5 0/1 3/5"},
		{"values are of their column", []string{"id,x,at 1,2,3 2,1,3 3,2,1 1,3,2"}, "0/4 1/4 1/4"},
		{"in another object", []string{"id,x,at 1,a,5 2,a,5", "id,x,at 2,a,5 3,a,5"}, "1/4 1/4 3/4"},
		{"in another order", []string{"id,x,at 1,a,5 2,b,5", "at,x,id 5,b,2 5,a,4"}, "1/4 1/4 2/4"},
		{"no such column", []string{"x,at a,5 a,5"}, "1/2 0/0 1/2"},
		{"no row", []string{"id,x,at"}, "0/0 0/0 0/0"},
	} {
		var parts []*Profile
		for _, object := range c.objects {
			text := strings.ReplaceAll(object, " ", "\n") + "\n"
			p, err := BuildRows(t.Context(), strings.NewReader(text), "x.csv", dataset.Options{}, []Unique{rows, key, but})
			if err != nil {
				t.Fatal(err)
			}
			plain, err := Build(t.Context(), strings.NewReader(text), "x.csv", dataset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := Decode(p.Encode())
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, again)
			p.Repeats = nil
			if string(p.Encode()) != string(plain.Encode()) {
				t.Errorf("%s: beside what repeats it is another profile than Build's", c.name)
			}
		}
		m := Merge(parts...)
		var got []string
		for _, u := range []Unique{rows, key, but} {
			r := m.RepeatsOf(u)
			share, _, _ := r.Share()
			got = append(got, fmt.Sprintf("%.0f/%d", share*float64(r.Rows()), r.Rows()))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}

	text := "id,x\n1,2\n"
	counted, err := BuildRows(t.Context(), strings.NewReader(text), "x.csv", dataset.Options{}, []Unique{key})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Build(t.Context(), strings.NewReader(text), "x.csv", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m := Merge(counted, plain); m.RepeatsOf(key) != nil || counted.RepeatsOf(rows) != nil {
		t.Error("what was not counted of all objects is told")
	}
}

// TestBuildRowsEnds: it ends with what ends the reading.
func TestBuildRowsEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := BuildRows(ctx, strings.NewReader("x\n1\n"), "x.csv", dataset.Options{}, []Unique{{}}); err == nil {
		t.Error("it went on after its context")
	}
	var b strings.Builder
	z := gzip.NewWriter(&b)
	fmt.Fprintln(z, "x\n1\n2")
	z.Close()
	if _, err := BuildRows(t.Context(), strings.NewReader(b.String()[:b.Len()-4]), "x.csv.gz", dataset.Options{}, []Unique{{}}); err == nil {
		t.Error("an object that is cut off was read")
	}
}
