package dataset

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// byColumn are all values that EachColumn hands out, by the column's name.
func byColumn(t *testing.T, data []byte, name string, only []string) (map[string]string, Counts) {
	t.Helper()
	d, err := Open(bytes.NewReader(data), name, Options{Only: only, Columns: map[string]Type{"a": Numeric, "c": Numeric}})
	if err != nil {
		t.Fatal(err)
	}
	if d.split != nil {
		d.split.blockSize = 200
	}
	columns := make([]strings.Builder, len(d.Names()))
	err = d.EachColumn(t.Context(), func(i int, v *Values, rows int) error {
		writeValues(&columns[i], v, rows)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for i, n := range d.Names() {
		if columns[i].Len() > 0 {
			all[n] = columns[i].String()
		}
	}
	return all, d.Counts()
}

// TestOnly passes over columns: those that are wanted have the values that they have
// among all, and rows that are none are counted.
func TestOnly(t *testing.T) {
	type row struct {
		A float64  `parquet:"a"`
		B string   `parquet:"b"`
		C *float64 `parquet:"c,optional"`
		D string   `parquet:"d,dict"`
	}
	var csv, lines, table bytes.Buffer
	csv.WriteString("a,b,c,d\n")
	w := parquet.NewGenericWriter[row](&table)
	for i := range 500 {
		v := float64(i)
		r := row{A: v / 3, B: fmt.Sprint("text ", i), D: fmt.Sprint(i % 3)}
		c := ""
		if i%4 > 0 {
			r.C, c = &v, fmt.Sprint(i)
		}
		switch i % 50 {
		case 7:
			csv.WriteString("1,2,3\n\n1,2,3,4,5\n,\n")
		case 9:
			r.B = "a, b \n\"c\""
		case 11:
			c = " broken "
		}
		quoted := r.B
		if i%50 == 9 {
			quoted = `"a, b ` + "\n" + `""c"""`
		}
		fmt.Fprintf(&csv, "%v, %s,\t%s,%s\n", r.A, quoted, c, r.D)
		fmt.Fprintf(&lines, "{\"a\": %v, \"b\": %q, \"c\": %q, \"d\": %q}\n", r.A, r.B, c, r.D)
		if _, err := w.Write([]row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"x.csv": csv.Bytes(), "x.jsonl": lines.Bytes(), "x.parquet": table.Bytes()} {
		all, counts := byColumn(t, data, name, nil)
		if len(all) != 4 || counts.Rows != 500 {
			t.Fatalf("%s: %d columns, counts %+v", name, len(all), counts)
		}
		for _, only := range [][]string{{}, {"a"}, {"d"}, {"c", "gone"}, {"d", "b"}, {"a", "b", "c", "d"}} {
			got, gotCounts := byColumn(t, data, name, only)
			if gotCounts != counts {
				t.Errorf("%s, only %q: counts %+v, want %+v", name, only, gotCounts, counts)
			}
			for column, want := range all {
				if !slices.Contains(only, column) {
					want = ""
				}
				if got[column] != want {
					t.Errorf("%s, only %q: column %s is\n%q, want\n%q", name, only, column, got[column], want)
				}
			}
		}
	}
}
