package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// read reads all of data and writes each row as fields between bars, missing
// ones as an underscore, mixed ones as an exclamation mark.
func read(r io.Reader, name string, opt Options) (rows []string, d *Reader, err error) {
	d, err = Open(r, name, opt)
	if err != nil {
		return nil, nil, err
	}
	for {
		b, err := d.Read()
		if err == io.EOF {
			return rows, d, nil
		}
		if err != nil {
			return rows, d, err
		}
		for i := range b.Rows {
			var fields []string
			for _, c := range b.Columns {
				switch {
				case c.Type == Numeric && math.IsNaN(c.Numbers[i]):
					fields = append(fields, "_")
				case c.Type == Numeric:
					fields = append(fields, fmt.Sprint(c.Numbers[i]))
				case c.Text[i] == nil:
					fields = append(fields, "_")
				default:
					fields = append(fields, string(c.Text[i]))
				}
			}
			rows = append(rows, strings.Join(fields, "|"))
		}
	}
}

func TestRead(t *testing.T) {
	tests := []struct {
		name   string
		data   string
		opt    Options
		rows   []string
		types  []Type
		counts Counts
	}{
		{name: "plain", data: "a,b\n1,x\n2,y\n", rows: []string{"1|x", "2|y"}, types: []Type{Numeric, Categorical}},
		{name: "padded", data: "zip,n\n01234,0\n10001,-07\n00501,00.5\n", rows: []string{"01234|0", "10001|-7", "00501|0.5"}, types: []Type{Categorical, Numeric}},
		{name: "padded, and given", data: "zip\n01234\n10001\n00501\n", opt: Options{Columns: map[string]Type{"zip": Numeric}}, rows: []string{"1234", "10001", "501"}},
		{name: "padded, and found", data: "zip\n01234\n10001\n00501\n", opt: Options{Found: map[string]Type{"zip": Numeric}}, rows: []string{"_", "10001", "_"}},
		{name: "no last line end", data: "a,b\n1,x", rows: []string{"1|x"}},
		{name: "windows", data: "\ufeffa,b\r\n1,x\r\n2,y\r\n", rows: []string{"1|x", "2|y"}},
		{name: "header only", data: "a,b\n", types: []Type{Empty, Empty}},
		{name: "blank lines", data: "\n\na,b\n\n1,x\n  \n", rows: []string{"1|x"}, counts: Counts{Blank: 4}},
		{name: "ragged", data: "a,b\n1\n1,2,3\n4,5\n,\n", rows: []string{"4|5", "_|_"}, counts: Counts{Ragged: 2}},
		{name: "quotes", data: "a,b\n\"x, y\",\"say \"\"hi\"\"\"\n\"two\nlines\",\"\"\n \"in spaces\" ,z\n",
			rows: []string{`x, y|say "hi"`, "two\nlines|_", "in spaces|z"}},
		{name: "quotes out of place", data: "a,b\n5\" tall,\"x\"y\n\"ok\",ok\n", rows: []string{`5" tall|xy`, "ok|ok"}, counts: Counts{Quotes: 1}},
		{name: "quote left open at the end", data: "a\n\"x\ny", rows: []string{"x\ny"}, counts: Counts{Quotes: 1}},
		{name: "every spelling of missing", data: "a,b\n,1\nNA,1\nn/a,1\n#N/A,1\n<NA>,1\nNaN,1\nnan,1\n-nan,1\nnull,1\nNULL,1\nnil,1\nNone,1\n\\N,1\n-,1\n?,1\n\"NA\",1\n7,1\n",
			rows: append(slices.Repeat([]string{"_|1"}, 16), "7|1"), types: []Type{Numeric, Numeric}},
		{name: "numbers", data: "a\n1\n-2.5\n+3\n1e3\n.5\n5.\n 6 \n1e400\n-inf\nInfinity\n0.1234567890123456789\n9007199254740993\n-0.000001\n",
			rows: []string{"1", "-2.5", "3", "1000", "0.5", "5", "6", "+Inf", "-Inf", "+Inf", "0.12345678901234568", "9.007199254740992e+15", "-1e-06"}},
		{name: "no numbers", data: "a\n0x10\n1_000\n1.2.3\n--1\n.\n+\ninfinite\n", types: []Type{Categorical},
			rows: []string{"0x10", "1_000", "1.2.3", "--1", ".", "+", "infinite"}},
		{name: "one in twenty is no number", data: "a\n" + strings.Repeat("1\n", 19) + "x\n", types: []Type{Numeric},
			rows: append(slices.Repeat([]string{"1"}, 19), "_")},
		{name: "one in ten is no number", data: "a\n" + strings.Repeat("1\n", 9) + "x\n", types: []Type{Categorical},
			rows: append(slices.Repeat([]string{"1"}, 9), "x")},
		{name: "given types", data: "a,b\n1,1\n2,x\n", opt: Options{Columns: map[string]Type{"a": Categorical, "b": Numeric, "c": Numeric}},
			rows: []string{"1|1", "2|_"}, types: []Type{Categorical, Numeric}},
		{name: "integers with points", data: "a\n1.0\n-2.0\nx.0\n1.50\n", opt: Options{Columns: map[string]Type{"a": Categorical}},
			rows: []string{"1", "-2", "x.0", "1.50"}},
		{name: "dates", data: "a,b,c\n2011-07-01,2011-07-01T10:00:00Z,31/12/2011\n2011-07-02,2011-07-01T10:00:00+02:00,1/2/2011\n",
			rows:  []string{"2011-07-01|2011-07-01T10:00:00Z|31/12/2011", "2011-07-02|2011-07-01T10:00:00+02:00|1/2/2011"},
			types: []Type{Timestamp, Timestamp, Timestamp}},
		{name: "type shows late", data: "a,b\n" + strings.Repeat(",1\n", 2000) + "5,1\n",
			rows: append(slices.Repeat([]string{"_|1"}, 2000), "5|1"), types: []Type{Numeric, Numeric}},
		{name: "not UTF-8", data: "a\nna\xefve\nx\n", rows: []string{"na\ufffdve", "x"}, counts: Counts{NotUTF8: 1}},
		{name: "no name", data: ",b\n1,2\n", rows: []string{"1|2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.data), iotest.OneByteReader(strings.NewReader(tt.data))} {
				rows, d, err := read(r, "test.csv", tt.opt)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(rows, tt.rows); diff != "" {
					t.Errorf("rows (-got +want):\n%s", diff)
				}
				if tt.types != nil {
					if diff := cmp.Diff(d.types, tt.types); diff != "" {
						t.Errorf("types (-got +want):\n%s", diff)
					}
				}
				want := tt.counts
				want.Rows, want.Bytes = int64(len(tt.rows)), int64(len(tt.data))
				if diff := cmp.Diff(d.Counts(), want); diff != "" {
					t.Errorf("counts (-got +want):\n%s", diff)
				}
			}
		})
	}
}

func TestValues(t *testing.T) {
	d, err := Open(strings.NewReader("a\n1\n\nx\n-inf\nNA\n2\n"), "test.csv", Options{Columns: map[string]Type{"a": Numeric}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Read()
	if err != nil {
		t.Fatal(err)
	}
	c := b.Columns[0]
	if c.Missing != 1 || c.Infinite != 1 || c.Mixed != 1 || b.Rows != 5 {
		t.Errorf("%d rows, %d missing, %d infinite, %d mixed; want 5, 1, 1, 1", b.Rows, c.Missing, c.Infinite, c.Mixed)
	}
}

// TestBatchesOverlap holds the promise that a batch stays while the next one is
// read.
func TestBatchesOverlap(t *testing.T) {
	var data strings.Builder
	data.WriteString("a\n")
	for i := range 5000 {
		fmt.Fprintf(&data, "x%d\n", i)
	}
	d, err := Open(strings.NewReader(data.String()), "test.csv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	check := func(b *Batch) {
		for i := range b.Rows {
			if got, want := string(b.Columns[0].Text[i]), fmt.Sprintf("x%d", seen); got != want {
				t.Fatalf("row %d is %s, want %s", seen, got, want)
			}
			seen++
		}
	}
	before, err := d.Read()
	for err == nil {
		var next *Batch
		next, err = d.Read()
		check(before)
		before = next
	}
	if err != io.EOF || seen != 5000 {
		t.Errorf("saw %d rows, then %v; want 5000, then EOF", seen, err)
	}
}

func TestUnreadable(t *testing.T) {
	packed := gzipped(t, "a,b\n1,2\n"+strings.Repeat("3,4\n", 1000))
	tests := []struct {
		name, file, data string
		opt              Options
		want             string
	}{
		{"empty", "x.csv", "", Options{}, "x.csv is empty: want a header line"},
		{"only a mark", "x.csv", "\ufeff", Options{}, "x.csv is empty: want a header line"},
		{"only blank lines", "x.csv", "\n\n \n", Options{}, "x.csv is empty: want a header line"},
		{"empty gzip", "x.csv.gz", "", Options{}, "x.csv.gz is empty: want a header line"},
		{"gzip of nothing", "x.csv.gz", gzipped(t, ""), Options{}, "x.csv.gz is empty: want a header line"},
		{"binary", "x.csv", "\x7fELF\x02\x01\x01\x00\x00", Options{}, "x.csv is not text: it holds a NUL byte at offset 7"},
		{"binary later on", "x.csv", "a\n" + strings.Repeat(",\n", 150_000) + "\x00", Options{}, "x.csv is not text: it holds a NUL byte at offset 300002"},
		{"UTF-16", "x.csv", "\xff\xfea\x00,\x00", Options{}, "x.csv is UTF-16: want UTF-8"},
		{"gzip in disguise", "x.csv", packed, Options{}, `x.csv is gzip: its name must end in ".gz"`},
		{"no gzip", "x.csv.gz", "a,b\n1,2\n", Options{}, "x.csv.gz is not gzip, though its name says so"},
		{"cut gzip", "x.csv.gz", packed[:len(packed)-9], Options{}, "x.csv.gz is cut off: the gzip stream has no end"},
		{"damaged gzip", "x.csv.gz", packed[:len(packed)-6] + "\x00\x00" + packed[len(packed)-4:], Options{}, "x.csv.gz is damaged: gzip: invalid checksum"},
		{"same name twice", "x.csv", "a,b,a\n", Options{}, `x.csv:1: two columns are called "a"`},
		{"old line ends", "x.csv", "a,b\r1,2\r3,4\r", Options{}, "x.csv:1: lines end in a bare carriage return: want LF or CRLF"},
		{"semicolons", "x.csv", "a;b\n1;2\n", Options{}, "x.csv:1: fields are separated by ';': want commas"},
		{"too many columns", "x.csv", "a,b,c\n", Options{MaxColumns: 2}, "x.csv:1: 3 columns are more than the limit of 2"},
		{"too many bytes", "x.csv", "a\n" + strings.Repeat("1\n", 100), Options{MaxBytes: 100}, "x.csv holds more than 100 bytes"},
		{"long line", "x.csv", "a\n1\n" + strings.Repeat("x", 200), Options{MaxRecord: 100}, "x.csv:3: the line is longer than 100 bytes"},
		{"open quote", "x.csv", "a\n\"" + strings.Repeat("1\n", 200), Options{MaxRecord: 100}, "x.csv:2: the record is longer than 100 bytes; is a quote left open?"},
		{"no Parquet", "x.parquet", "PAR1", Options{}, "x.parquet is no Parquet file: want \"PAR1\" at its beginning and its end"},
		{"empty Parquet", "x.parquet", "", Options{}, "x.parquet is empty: want a Parquet file"},
		{"Parquet in disguise", "x.csv", "PAR1\x15", Options{}, `x.csv is Parquet: its name must end in ".parquet"`},
		{"other format", "x.avro", "", Options{}, `x.avro is of format "avro": want csv or jsonl or parquet, plain, gzip or zstd`},
		{"JSON", "x.json", "[]", Options{}, `x.json is of format "json": want csv or jsonl or parquet, plain, gzip or zstd`},
		{"JSON as JSON Lines", "x.jsonl", "\n[{}]\n", Options{}, "x.jsonl:2: is not JSON Lines: want an object in each line"},
		{"empty JSON Lines", "x.jsonl", "\n", Options{}, "x.jsonl is empty: want an object with members in each line"},
		{"objects without members", "x.jsonl", "{}\n{}\n", Options{}, "x.jsonl is empty: want an object with members in each line"},
		{"long line", "x.jsonl", `{"a":"` + strings.Repeat("x", 200) + `"}`, Options{MaxRecord: 100}, "x.jsonl:1: the line is longer than 100 bytes"},
		{"no zstd", "x.csv.zst", "a,b\n1,2\n", Options{}, "x.csv.zst is not zstd, though its name says so"},
		{"cut zstd", "x.csv.zst", zstdOf(t, "a,b\n"+strings.Repeat("1,2\n", 1000))[:20], Options{}, "x.csv.zst is cut off: the zstd stream has no end"},
		{"zstd in disguise", "x.csv", zstdOf(t, "a,b\n"), Options{}, `x.csv is zstd: its name must end in ".zst"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := read(strings.NewReader(tt.data), tt.file, tt.opt)
			var e *Error
			if !errors.As(err, &e) || err.Error() != tt.want {
				t.Errorf("got error %v (%T), want %s", err, err, tt.want)
			}
		})
	}
}

// TestSourceFails holds that the source's own error is not taken for the
// object's fault, so that it is tried again.
func TestSourceFails(t *testing.T) {
	packed := gzipped(t, "a,b\n"+strings.Repeat("1,2\n", 1000))
	for name, data := range map[string]string{"x.csv": "a,b\n1,2\n", "x.csv.gz": packed[:len(packed)/2]} {
		broken := fmt.Errorf("connection lost: %w", io.ErrUnexpectedEOF)
		_, _, err := read(io.MultiReader(strings.NewReader(data), iotest.ErrReader(broken)), name, Options{})
		var e *Error
		if !errors.Is(err, broken) || errors.As(err, &e) {
			t.Errorf("%s: got error %v (%T), want the source's", name, err, err)
		}
	}
}

// TestEndlessLine reads a line without end: it must stop soon, in little memory.
func TestEndlessLine(t *testing.T) {
	for _, start := range []string{"a\n1\n", "a\n\"", ""} {
		endless := &counter{r: io.MultiReader(strings.NewReader(start), repeat("x"))}
		_, _, err := read(endless, "x.csv", Options{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Reason, "longer than 1048576 bytes") {
			t.Errorf("after %q: got error %v, want a too long line", start, err)
		}
		if endless.n > 4<<20 {
			t.Errorf("after %q: read %d bytes of it, want at most 4 MiB", start, endless.n)
		}
	}
}

func TestBomb(t *testing.T) {
	member := gzipped(t, "a\n"+strings.Repeat(strings.Repeat(" ", 1023)+"\n", 1<<10))
	bomb := strings.NewReader(strings.Repeat(member, 70))
	_, _, err := read(bomb, "x.csv.gz", Options{MaxRatio: 100})
	if want := "x.csv.gz unpacks to more than 100 times its size"; err == nil || err.Error() != want || !errors.Is(err, ErrTooLarge) {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestGzip(t *testing.T) {
	// Two members, as `cat a.gz b.gz` makes.
	rows, d, err := read(strings.NewReader(gzipped(t, "a\n1\n")+gzipped(t, "2\n")), "X.CSV.GZ", Options{})
	if err != nil || !slices.Equal(rows, []string{"1", "2"}) || d.Counts().Bytes != 6 {
		t.Errorf("got %q, %v; want 1 and 2", rows, err)
	}
}

// FuzzRead checks that no input crashes the reader, that what it gives does not
// depend on how the source cuts the data, and that it agrees with encoding/csv
// where that finds nothing to object to.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a,b\r\n\"x\ny\",\"\"\"\"\r\n\n,\n", "a\n \"x\" \"\n", "\ufeffa,b\n1\n", "a,b\n\"\"x\"\",y\"\n", "a\n\xff\n", "x, \"y\n\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := Options{}
		rows, d, err := read(bytes.NewReader(data), "x.csv", text)
		again, dAgain, errAgain := read(iotest.OneByteReader(bytes.NewReader(data)), "x.csv", text)
		if (err == nil) != (errAgain == nil) || err == nil && !slices.Equal(rows, again) {
			t.Fatalf("byte by byte: %q, %v; at once: %q, %v", again, errAgain, rows, err)
		}
		if err != nil {
			return // where there is more than one fault, either may come first
		}
		if c := dAgain.Counts(); c != d.Counts() || c.Rows != int64(len(rows)) {
			t.Fatalf("byte by byte: %+v; at once: %+v", c, d.Counts())
		}
		records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff")))).ReadAll()
		width := len(d.Names())
		if err != nil || width == 1 || bytes.ContainsAny(data, " \t\r") {
			return // not RFC 4180, or blank lines and spaces, which the two see differently
		}
		records = slices.DeleteFunc(records[1:], func(r []string) bool { return len(r) != width })
		if c := d.Counts(); int64(len(records)) != c.Rows {
			t.Fatalf("%d rows, want %d", c.Rows, len(records))
		}
	})
}

// BenchmarkRead reads rows of seven columns, as in elec2.
func BenchmarkRead(b *testing.B) {
	const rows = 100_000
	data := []byte("period,nswprice,nswdemand,vicprice,vicdemand,transfer,class\n" +
		strings.Repeat("0.021277,0.056863,0.339185,0.003897,0.363283,0.39693,UP\n", rows))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Open(bytes.NewReader(data), "x.csv", Options{})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = d.Read()
		}
		if d.Counts().Rows != rows {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// repeat gives one byte for ever.
type repeat string

func (r repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r[0]
	}
	return len(p), nil
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
