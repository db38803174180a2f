package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inOrder writes all values that a reader gives, column by column.
func inOrder(r io.Reader, name string, opt Options) (string, Counts, error) {
	d, err := Open(r, name, opt)
	if err != nil {
		return "", Counts{}, err
	}
	columns := make([]strings.Builder, len(d.Names()))
	for {
		b, err := d.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", Counts{}, err
		}
		for i := range b.Columns {
			writeValues(&columns[i], &b.Columns[i], b.Rows)
		}
	}
	return joined(columns), d.Counts(), nil
}

// atOnce is inOrder by EachColumn, with blocks of a size.
func atOnce(t testing.TB, r io.Reader, name string, opt Options, size int) (string, Counts, error) {
	d, err := Open(r, name, opt)
	if err != nil {
		return "", Counts{}, err
	}
	if d.split != nil {
		d.split.blockSize = size
	}
	columns := make([]strings.Builder, len(d.Names()))
	busy := make([]sync.Mutex, len(columns))
	err = d.EachColumn(t.Context(), func(i int, v *Values, rows int) error {
		if !busy[i].TryLock() {
			t.Errorf("column %d is handed out twice at a time", i)
		}
		defer busy[i].Unlock()
		writeValues(&columns[i], v, rows)
		for j := range v.Numbers { // they are ours
			v.Numbers[j] = -1
		}
		return nil
	})
	return joined(columns), d.Counts(), err
}

func writeValues(w *strings.Builder, v *Values, rows int) {
	if n := len(v.Numbers) + len(v.Text); n != rows {
		fmt.Fprintf(w, "%d values of %d rows; ", n, rows)
	}
	for _, x := range v.Numbers {
		fmt.Fprintf(w, "%v ", x)
	}
	for _, x := range v.Text {
		if x == nil {
			fmt.Fprint(w, "NaN ") // a number or text that is missing
		} else {
			fmt.Fprintf(w, "%s ", x)
		}
	}
}

func joined(columns []strings.Builder) string {
	var all []string
	for i := range columns {
		all = append(all, columns[i].String())
	}
	return strings.Join(all, "\n")
}

// All that EachColumn hands out is what Read gives, however the text is cut and
// in whatever pieces it comes.
func TestEachColumn(t *testing.T) {
	long := strings.Repeat("x", 700)
	var csv, quoted, lines strings.Builder
	csv.WriteString("n,late,c,empty\n")
	quoted.WriteString("\ufeffa,b,c\r\n")
	for i := range 3000 {
		late := ""
		if i > 2000 {
			late = fmt.Sprint(i)
		}
		fmt.Fprintf(&csv, "%d.5,%s,c%d,\n", i, late, i%7)
		switch i % 6 {
		case 0:
			fmt.Fprintf(&quoted, "%d,\"two\nlines, and \"\"more\"\"\",%s\r\n", i, long[:i%700])
		case 1:
			quoted.WriteString("odd \"quote,\"closed\" early,1\r\n\r\n")
		case 2:
			quoted.WriteString("too,few\n")
		case 3:
			quoted.WriteString("\xff\xfe,NA, 7 \n")
		default:
			fmt.Fprintf(&quoted, "%d,x,\"\n\n\"\n", i)
		}
		fmt.Fprintf(&lines, "{\"n\": %d, \"s\": \"a\\n\\u00e9%d\", \"in\": {\"x\": [1, %d], \"y\": null}}\n", i, i%5, i)
		if i%50 == 0 {
			lines.WriteString("no object\n\n{\"in\": {\"y\": true}, \"n\": 1e400, \"more\": 1}\n")
		}
	}
	for _, c := range []struct{ name, text string }{
		{"plain.csv", csv.String()}, {"quoted.csv", quoted.String()}, {"open.csv", csv.String() + "1,2,\"open\n\n"},
		{"lines.jsonl", lines.String()}, {"short.csv", "a,b\n1,2"}, {"header.csv", "a,b\n"},
	} {
		types := map[string]Type{"late": Numeric} // inferred from another part, it would be the same here
		want, counts, err := inOrder(strings.NewReader(c.text), c.name, Options{Columns: types})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{100, 1000, 4096, blockSize} {
			for pieces, r := range map[string]io.Reader{"whole": strings.NewReader(c.text), "half": iotest.HalfReader(strings.NewReader(c.text)), "late end": iotest.DataErrReader(strings.NewReader(c.text))} {
				got, gotCounts, err := atOnce(t, r, c.name, Options{Columns: types}, size)
				if err != nil || got != want || gotCounts != counts {
					t.Errorf("%s, blocks of %d, %s: %v, counts %+v, want %+v:\n%s", c.name, size, pieces, err, gotCounts, counts, cmp.Diff(want, got))
				}
			}
		}
	}
}

// Real Parquet files are the same column by column.
func TestEachColumnOfParquet(t *testing.T) {
	shared := os.Getenv("ANNEAL_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	files, _ := filepath.Glob(filepath.Join(shared, "drift/datasets/employment/batch_0[12].parquet"))
	if len(files) == 0 {
		if os.Getenv("ANNEAL_STRICT") != "" {
			t.Fatalf("%s has no Parquet files", shared)
		}
		t.Skipf("%s has no Parquet files; set ANNEAL_SHARED", shared)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, types := range []map[string]Type{nil, {"AGEP": Categorical, "SEX": Numeric, "MAR": Text}} {
			want, counts, err := inOrder(bytes.NewReader(data), "x.parquet", Options{Columns: types})
			if err != nil {
				t.Fatal(err)
			}
			got, gotCounts, err := atOnce(t, bytes.NewReader(data), "x.parquet", Options{Columns: types}, 0)
			if err != nil || got != want || gotCounts != counts {
				t.Errorf("%s as %v: %v, counts %+v, want %+v; equal: %v", filepath.Base(file), types, err, gotCounts, counts, got == want)
			}
		}
	}
}

// What goes wrong comes out, and leaves no goroutine behind.
func TestEachColumnFails(t *testing.T) {
	text := "a,b\n" + strings.Repeat("1,x\n", 300_000)
	before := runtime.NumGoroutine()
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		r    io.Reader
		each error
		want string
	}{
		"the caller": {strings.NewReader(text), stop, "stop"},
		"the source": {io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("gone"))), nil, "gone"},
		"the text":   {strings.NewReader(text + "\x00"), nil, "x.csv is not text: it holds a NUL byte at offset 1200004"},
		"a record":   {strings.NewReader(text + "\"" + strings.Repeat("y\n", 1<<20)), nil, "x.csv:300002: the record is longer than 1048576 bytes; is a quote left open?"},
	} {
		d, err := Open(c.r, "x.csv", Options{})
		if err != nil {
			t.Fatal(err)
		}
		var rows atomic.Int64
		err = d.EachColumn(t.Context(), func(i int, v *Values, n int) error {
			if i == 0 {
				rows.Add(int64(n))
			}
			if rows.Load() > 100_000 {
				return c.each
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if c.each == nil && rows.Load() < 250_000 {
			t.Errorf("%s: %d rows came before", name, rows.Load())
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) { // the last are returning
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestEachColumnPanics has what a goroutine of the reader's panics over go on where it
// can be recovered from, and nothing left running.
func TestEachColumnPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(strings.NewReader("a,b,c,d\n"+strings.Repeat("1,2,3,4\n", 400_000)), "x.csv", Options{})
		if err != nil {
			t.Fatal(err)
		}
		var parts atomic.Int64
		odd := Catch(func() {
			err = d.EachColumn(t.Context(), func(int, *Values, int) error {
				if parts.Add(1) > 10 {
					panic("odd")
				}
				return nil
			})
		})
		if odd == nil || odd.Value != "odd" || !strings.Contains(string(odd.Stack), "TestEachColumnPanics") {
			t.Errorf("ends with %v and %v, want the panic", err, odd)
		}
	})
}

// Lines of JSON need not name their columns: a block of them may have a thousand times
// as many fields as bytes, so it has few lines.
func TestEachColumnOfManyNames(t *testing.T) {
	const names, lines = 5000, 2000
	var text strings.Builder
	for i := range names {
		fmt.Fprintf(&text, "%c\"n%d\":1", "{,"[min(i, 1)], i)
	}
	text.WriteString("}\n" + strings.Repeat("{}\n", lines-1))
	d, err := Open(strings.NewReader(text.String()), "x.jsonl", Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, most := 0, 0
	err = d.EachColumn(t.Context(), func(i int, v *Values, n int) error {
		if i == 0 {
			rows, most = rows+n, max(most, n)
		}
		return nil
	})
	if err != nil || rows != lines || most*names > blockFields {
		t.Errorf("%v; %d rows, want %d; %d at a time of %d columns, want at most %d fields", err, rows, lines, most, names, blockFields)
	}
}

// FuzzEachColumn cuts any text anywhere.
func FuzzEachColumn(f *testing.F) {
	f.Add("a,b\n1,\"x\ny\"\n2,\"open\n", 7, false)
	f.Add("a,b\n\"x \"\"y\"\"\",2\n\"q\",\"z, \n\"\r\n \"1\" ,\"2\"x\n", 50, false)
	f.Add("{\"a\": 1}\n{\"a\": \"\\n\"}\n", 5, true)
	f.Fuzz(func(t *testing.T, text string, size int, lines bool) {
		name := "x.csv"
		if lines {
			name = "x.jsonl"
		}
		size = max(1, min(size, 1<<20))
		types := map[string]Type{"a": Categorical, "b": Numeric}
		want, counts, wantErr := inOrder(strings.NewReader(text), name, Options{Columns: types, MaxRecord: 64})
		got, gotCounts, err := atOnce(t, strings.NewReader(text), name, Options{Columns: types, MaxRecord: 64}, size)
		if (err == nil) != (wantErr == nil) || err == nil && (got != want || gotCounts != counts) {
			t.Errorf("%q in blocks of %d: %v, counts %+v; want %v, %+v\n%s", text, size, err, gotCounts, wantErr, counts, cmp.Diff(want, got))
		}
	})
}
