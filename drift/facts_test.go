package drift

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
)

func TestFacts(t *testing.T) {
	ref := table(t, "n,k,w,gone,flat", 1000, func(i int) string {
		return fmt.Sprintf("%d,%s,%d,%d,%d", i%10, []string{"red", "green", "blue"}[i%3], i%5, i%2, i%4)
	})
	cur := table(t, "n,k,w,flat,fresh", 500, func(i int) string {
		switch {
		case i%50 == 0:
			return "1,red" // ragged
		case i%50 == 1:
			return "77,pink,,1,9"
		}
		return fmt.Sprintf("%d,%s,word,1,9", i%10, []string{"red", "green"}[i%2])
	})
	var got []string
	for _, f := range Compare(ref, cur, Options{}).Facts {
		share := ""
		if f.Share != nil {
			share = fmt.Sprintf(" (%.3f)", *f.Share)
		}
		got = append(got, strings.TrimPrefix(f.Column+": ", ": ")+f.Kind+": "+f.Text+share)
	}
	want := []string{
		"ragged: 10 of 500 rows skipped: more or fewer fields than the header (0.020)",
		"n: range: 2.0 % of the values are beyond 0 to 9 (0.020)",
		"k: new-categories: new: pink (0.020)",
		"k: vanished-categories: gone: blue (0.333)",
		"w: type-change: was numeric, is categorical",
		"gone: vanished-column: the column is gone",
		"flat: constant: is always 1",
		"fresh: new-column: the reference has no such column",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	lines, err := profile.Build(t.Context(), strings.NewReader(`{"n":1}`+"\n[2]\n"), "x.jsonl", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		current *profile.Profile
		want    string
	}{
		{lines, "1 of 2 rows skipped: no JSON object"},
		{profile.Merge(lines, cur), "11 of 502 rows skipped: more or fewer fields than the header, or no JSON object"},
	} {
		if f := Compare(ref, c.current, Options{}).Facts[0]; f.Kind != FactRagged || f.Text != c.want {
			t.Errorf("fact %+v; want %q", f, c.want)
		}
	}
	if f := Compare(ref, table(t, "n,k", 0, nil), Options{}).Facts; len(f) != 1 || f[0].Kind != FactNoRows {
		t.Errorf("of no rows: %+v", f)
	}
	counted, err := profile.BuildRows(t.Context(), strings.NewReader("n,k\n1,red\n1,red\n1,blue\n"), "x.csv", dataset.Options{}, []profile.Unique{{}, {Column: "n"}, {Ignore: []string{"k"}}})
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, f := range Compare(counted, counted, Options{}).Facts {
		got = append(got, f.Column+" "+f.Kind+": "+f.Text)
	}
	want = []string{
		" duplicates: 33.3 % of 3 rows are there already",
		"n duplicates: 66.7 % of 3 values are there already",
		" duplicates: 66.7 % of 3 rows are there already",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("of what repeats (-want +got):\n%s", diff)
	}
	if f := Compare(ref, ref, Options{}).Facts; len(f) != 0 {
		t.Errorf("of the same: %+v", f)
	}
}

// TestFactsOfReading says of both sides what was odd about the bytes.
func TestFactsOfReading(t *testing.T) {
	read := func(name, text string) *profile.Profile {
		p, err := profile.Build(t.Context(), strings.NewReader(text), name, dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	plain := read("x.csv", "a,b\n1,x\n")
	late := strings.Repeat("{\"a\":1,\"b\":\"x\"}\n", 1100) + "{\"a\":1,\"c\":2,\"d\":3}\n"
	for _, c := range []struct {
		reference, current *profile.Profile
		want               string
	}{
		{plain, plain, ""},
		{plain, read("x.csv", "a,b\n1,gr\xfcn\n2,bl\xe5\n"), "not-utf8: the current data: fields that are not UTF-8, as of Latin-1: 2; the bytes were replaced"},
		{read("x.csv", "a,b\n1,\"x\n2,y\n3,z\n"), plain, "quotes: the reference: records with a quote out of place, or left open: 1"},
		{plain, read("x.jsonl", late), "late-members: the current data: members of objects that came after the first rows, and made no column: 2"},
	} {
		var got []string
		for _, f := range Compare(c.reference, c.current, Options{}).Facts {
			if f.Kind == FactNotUTF8 || f.Kind == FactQuotes || f.Kind == FactLateMembers {
				got = append(got, f.Kind+": "+f.Text)
			}
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("got  %s\nwant %s", s, c.want)
		}
	}
}
