package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadCSV(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       *Rows
		err        string
	}{
		{"plain", "a,b\n1,x\n", &Rows{Header: []string{"a", "b"}, Records: [][]string{{"1", "x"}}}, ""},
		{"byte order mark, CRLF, quotes", "\ufeffa,b\r\n\"1,5\",\"say \"\"x\"\"\"\r\n", &Rows{Header: []string{"a", "b"}, Records: [][]string{{"1,5", `say "x"`}}}, ""},
		{"few ragged rows", "a,b\n" + strings.Repeat("1,2\n", 40) + "3\n", nil, ""},
		{"many ragged rows", "a,b\n1,2\n3\n", nil, "1 of 2 rows have not the 2 cells of the header"},
		{"empty", "", nil, "empty file"},
		{"twice", "a,a\n", nil, `two columns are named "a"`},
	} {
		got, err := readCSV(strings.NewReader(test.text))
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error is %v, want %q", test.name, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if test.want == nil {
			if got.Ragged != 1 || len(got.Records) != 40 {
				t.Errorf("%s: %d rows and %d ragged, want 40 and 1", test.name, len(got.Records), got.Ragged)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestJoin(t *testing.T) {
	got := join([]*Rows{
		{Header: []string{"a", "b"}, Records: [][]string{{"1", "2"}}},
		{Header: []string{"b", "c"}, Records: [][]string{{"3", "4"}}, Ragged: 2},
		{Header: []string{"a", "b", "c"}, Records: [][]string{{"5", "6", "7"}}},
	})
	want := &Rows{Header: []string{"a", "b", "c"}, Records: [][]string{{"1", "2", ""}, {"", "3", "4"}, {"5", "6", "7"}}, Ragged: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("joined tables (-want +got):\n%s", diff)
	}
}

func TestBatches(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"batch_2.csv", "batch_1.csv.gz", "reference.csv", "schema.json", ".hidden.csv", "predictions/batch_1.csv"} {
		if err := write(filepath.Join(folder, filepath.FromSlash(name)), []byte("a\n1\n")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Batches(folder)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = filepath.Base(got[i])
	}
	if diff := cmp.Diff([]string{"reference.csv", "batch_1.csv.gz", "batch_2.csv"}, got); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
	if _, err := Batches(filepath.Join(folder, "predictions")); err == nil || !strings.Contains(err.Error(), "1 CSV files, want a reference and at least one batch") {
		t.Errorf("a folder of one file: %v", err)
	}
}

func TestSummarise(t *testing.T) {
	folder := t.TempDir()
	var names []string
	for _, f := range []struct{ name, text string }{
		{"reference.csv", "x,y\n" + strings.Repeat("1,0.5\n", 100)},
		{"batch_1.csv", "x,y\n" + strings.Repeat("1,0.5\n", 10)},
		{"batch_2.csv", "x,y\n" + strings.Repeat("1,0.5\n", 30)},
		{"batch_3.csv", "x,y\n" + strings.Repeat("1,0.5\n", 12)},
		{"batch_4.csv", "broken"},
	} {
		name := filepath.Join(folder, f.name)
		if err := os.WriteFile(name, []byte(f.text), 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	got, err := Summarise(names, "y", []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Summary{Task: Regression, ReferenceRows: 100, BatchRows: 12}, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	for want, columns := range map[string][]string{
		`reference.csv: no column "z" (have x, y)`: {"z"},
		`reference.csv: no column "w" (have x, y)`: {"y", "w"},
	} {
		if _, err := Summarise(names, columns[0], columns[1:]); err == nil || err.Error() != want {
			t.Errorf("columns %v: %v, want %q", columns, err, want)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("a,b\n1,2\n")
	f.Add("a,\"b\n1,2\n3")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readCSV(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, rec := range rows.Records {
			if len(rec) != len(rows.Header) {
				t.Fatalf("a row of %d cells under a header of %d", len(rec), len(rows.Header))
			}
		}
	})
}
