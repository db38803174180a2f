package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

func zstdOf(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJSONLines(t *testing.T) {
	for _, c := range []struct {
		name   string
		data   string
		header string
		rows   []string
		counts Counts
	}{
		{"plain", `{"a":1,"b":"x"}` + "\n" + `{"a":-2.5e3,"b":"y"}`, "a,b", []string{"1|x", "-2500|y"}, Counts{}},
		{"any order, any space", " { \"b\" : \"x\" , \"a\":1}\r\n\n{\"a\":2 }\n", "b,a", []string{"x|1", "_|2"}, Counts{Blank: 1}},
		{"members that come later", `{"a":1}` + "\n" + `{"a":2,"b":3}`, "a,b", []string{"1|_", "2|3"}, Counts{}},
		{"null and words", `{"a":null,"b":true,"c":"NA","d":NaN,"e":-Infinity}` + "\n" + `{"a":1,"b":false,"c":"","d":2,"e":Infinity}`,
			"a,b,c,d,e", []string{"_|true|_|_|-Inf", "1|false|_|2|+Inf"}, Counts{}},
		{"nested", `{"a":{"b":{"c":1},"d":"x"},"e":{},"f":[1,{"g":"]"}]}`, "a.b.c,a.d,f", []string{`1|x|[1,{"g":"]"}]`}, Counts{}},
		{"a nested name and a plain one", `{"a.b":1}` + "\n" + `{"a":{"b":2}}`, "a.b", []string{"1", "2"}, Counts{}},
		{"escapes", `{"a":"\"q\\\/\n\u00e9\ud83d\ude00\ud83dx","b\u0041":"y"}`, "a,bA", []string{"\"q\\/\né😀\ufffdx|y"}, Counts{}},
		{"a name twice", `{"a":1,"a":2}`, "a", []string{"2"}, Counts{}},
		{"not objects", `{"a":1}` + "\n[1]\n7\n{\"a\":}\n{\"a\":1\n{\"a\":1}x\n{\"a\":1,}\n{'a':1}\n{\"a\":wrong}\n" + `{"a":2}`, "a", []string{"1", "2"}, Counts{Ragged: 8, NoObjects: 8}},
		{"one column, an empty object", `{"a":1}` + "\n{}\n", "a", []string{"1", "_"}, Counts{}},
		{"bytes that are not UTF-8", "{\"a\":\"x\xff\"}", "a", []string{"x\ufffd"}, Counts{NotUTF8: 1}},
		{"a date", `{"a":"2026-01-02T03:04:05Z"}`, "a", []string{"2026-01-02T03:04:05Z"}, Counts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, d, err := read(strings.NewReader(c.data), "x.jsonl", Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(d.Names(), ","); got != c.header {
				t.Errorf("columns %s, want %s", got, c.header)
			}
			if diff := cmp.Diff(c.rows, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			c.counts.Rows, c.counts.Bytes = int64(len(c.rows)), int64(len(c.data))
			if diff := cmp.Diff(c.counts, d.Counts()); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLateMembers: what comes after the first rows makes no column, and is
// counted.
func TestLateMembers(t *testing.T) {
	data := strings.Repeat("{\"a\":1}\n", aheadRows) + strings.Repeat("{\"a\":2,\"b\":3}\n", 10)
	rows, d, err := read(strings.NewReader(data), "x.ndjson", Options{})
	if err != nil || len(rows) != aheadRows+10 || len(d.Names()) != 1 || d.Counts().Members != 10 {
		t.Errorf("%d rows of %v, %+v, %v; want %d of one column, 10 members skipped", len(rows), d.Names(), d.Counts(), err, aheadRows+10)
	}
}

// TestPackings reads the same rows however they are packed.
func TestPackings(t *testing.T) {
	csv, json := "a,b\n1,x\n2,y\n", "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n"
	for name, data := range map[string]string{
		"x.csv": csv, "x.csv.gz": gzipped(t, csv), "x.csv.zst": zstdOf(t, csv), "X.CSV.ZST": zstdOf(t, csv), "x.csv.2.zst": zstdOf(t, csv) + zstdOf(t, "3,z\n")[:0],
		"x.jsonl": json, "x.jsonl.gz": gzipped(t, json), "x.ndjson.zst": zstdOf(t, json),
	} {
		rows, _, err := read(strings.NewReader(data), name, Options{})
		if diff := cmp.Diff([]string{"1|x", "2|y"}, rows); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for name, data := range map[string]string{"x.csv.gz": gzipped(t, csv) + "garbage, as of a footer", "x.csv.zst": zstdOf(t, csv) + "garbage"} {
		_, _, err := read(strings.NewReader(data), name, Options{})
		if err == nil || !strings.Contains(err.Error(), "has something else behind the end of its ") {
			t.Errorf("%s with garbage behind it: %v", name, err)
		}
	}
	// Streams one behind the other are one.
	for name, data := range map[string]string{"x.csv.gz": gzipped(t, csv) + gzipped(t, "3,z\n"), "x.csv.zst": zstdOf(t, csv) + zstdOf(t, "3,z\n")} {
		if rows, _, err := read(strings.NewReader(data), name, Options{}); err != nil || len(rows) != 3 {
			t.Errorf("%s of two streams: %q, %v", name, rows, err)
		}
	}
	// A bomb of zstd is a bomb.
	_, _, err := read(strings.NewReader(zstdOf(t, "a\n"+strings.Repeat(strings.Repeat("x", 1023)+"\n", 100<<10))), "x.csv.zst", Options{MaxRatio: 10})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("of a hundred megabytes of one line: %v, want ErrTooLarge", err)
	}
}

// parquetRow has a column of every kind.
type parquetRow struct {
	I int32   `parquet:"i"`
	L *int64  `parquet:"l,optional"`
	F float64 `parquet:"f"`
	S *string `parquet:"s,optional,dict"`
	B bool    `parquet:"b"`
	T time.Time
	D int64 `parquet:"d,decimal(2:12)"`
	G struct {
		X int32 `parquet:"x"`
	} `parquet:"g"`
	List []int32 `parquet:"list"`
	Date string  `parquet:"date"`
	Code string  `parquet:"code"`
}

func parquetOf(t testing.TB, rows int, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, options...)
	for i := range rows {
		r := parquetRow{I: int32(i), F: float64(i) / 4, B: i%2 == 0, T: time.Unix(int64(i), 0).UTC(), D: int64(i*100 + 5),
			List: []int32{1, 2}, Date: "2026-01-02", Code: fmt.Sprintf("%04d", i%3)}
		r.G.X = int32(-i)
		if i%3 > 0 {
			l, s := int64(i), fmt.Sprintf(" color %d", i%5)
			r.L, r.S = &l, &s
		}
		if i == 1 {
			r.F = math.NaN()
		}
		if _, err := w.Write([]parquetRow{r}); err != nil {
			t.Fatal(err)
		}
		if i%700 == 699 {
			if err := w.Flush(); err != nil { // a row group
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestParquet reads every kind of column, with every codec and both versions
// of pages, from what can be read in any order and from what cannot.
func TestParquet(t *testing.T) {
	const rows = 1500
	for _, version := range []int{1, 2} {
		for _, codec := range []parquet.WriterOption{
			parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Gzip),
			parquet.Compression(&parquet.Zstd), parquet.Compression(&parquet.Lz4Raw), parquet.Compression(&parquet.Brotli),
		} {
			data := parquetOf(t, rows, codec, parquet.DataPageVersion(version), parquet.PageBufferSize(2000))
			path := filepath.Join(t.TempDir(), "x.parquet")
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, r := range []io.Reader{f, bytes.NewReader(data)} {
				got, d, err := read(r, "x.parquet", Options{})
				if err != nil {
					t.Fatal(err)
				}
				if names := strings.Join(d.Names(), ","); names != "i,l,f,s,b,T,d,g.x,list,date,code" {
					t.Errorf("columns %s", names)
				}
				if len(got) != rows || d.Counts().Rows != rows {
					t.Fatalf("%d rows, want %d", len(got), rows)
				}
				for i, want := range map[int]string{
					0: "0|_|0|_|true|1970-01-01T00:00:00|0.05|0|[1,2]|2026-01-02|0000", 1: "1|1|_|color 1|false|1970-01-01T00:00:01|1.05|-1|[1,2]|2026-01-02|0001",
					2: "2|2|0.5|color 2|true|1970-01-01T00:00:02|2.05|-2|[1,2]|2026-01-02|0002", 1499: "1499|1499|374.75|color 4|false|1970-01-01T00:24:59|1499.05|-1499|[1,2]|2026-01-02|0002",
				} {
					if got[i] != want {
						t.Errorf("row %d: %s, want %s", i, got[i], want)
					}
				}
			}
		}
	}
}

// TestParquetTypes: a column is of the type the file says, or that is asked for.
func TestParquetTypes(t *testing.T) {
	data := parquetOf(t, 100)
	types := func(opt Options) string {
		d, err := Open(bytes.NewReader(data), "x.parquet", opt)
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.Read()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for i, c := range b.Columns {
			list = append(list, d.Names()[i]+" "+string(c.Type))
		}
		return strings.Join(list, ", ")
	}
	if got, want := types(Options{}), "i numeric, l numeric, f numeric, s categorical, b categorical, T timestamp, d numeric, g.x numeric, list categorical, date timestamp, code categorical"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	rows, _, err := read(bytes.NewReader(data), "x.parquet", Options{Columns: map[string]Type{"i": Categorical, "code": Numeric, "d": Categorical, "s": Numeric, "T": Categorical}})
	if err != nil || rows[2] != "2|2|0.5|_|true|2000000000|2.05|-2|[1,2]|2026-01-02|2" {
		t.Errorf("row 2 as other types: %s, %v", rows[2], err)
	}
}

// float16 is the type of half floats, which the library does not write.
type float16 struct{ parquet.Type }

func (float16) LogicalType() *format.LogicalType {
	return &format.LogicalType{Value: &format.Float16Type{}}
}

// TestParquetBytes has types whose bytes are not what they look like, through
// dictionaries too: integers without a sign, half floats, identifiers.
func TestParquetBytes(t *testing.T) {
	id := make([]byte, 16)
	id[0], id[15] = 0xff, 0x7f
	half := func(bits uint16) []byte { return []byte{byte(bits), byte(bits >> 8)} }
	for _, encoded := range []func(parquet.Node) parquet.Node{
		func(n parquet.Node) parquet.Node { return n },
		func(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.RLEDictionary) },
	} {
		schema := parquet.NewSchema("x", parquet.Group{
			"a": encoded(parquet.Uint(64)), "b": encoded(parquet.Uint(32)), "c": encoded(parquet.Uint(8)), "d": encoded(parquet.Leaf(float16{parquet.FixedLenByteArrayType(2)})), "e": parquet.UUID(),
		})
		var data bytes.Buffer
		w := parquet.NewWriter(&data, schema)
		for _, row := range [][]any{
			{uint64(math.MaxUint64), uint32(math.MaxUint32), uint32(200), half(0x3c00), id},
			{uint64(1 << 63), uint32(1 << 31), uint32(7), half(0xc100), id},
			{uint64(5), uint32(0), uint32(0), half(0x0001), id},
			{uint64(5), uint32(0), uint32(0), half(0xfc00), id},
			{uint64(5), uint32(0), uint32(0), half(0x7e01), id},
		} {
			values := make(parquet.Row, len(row))
			for i, v := range row {
				values[i] = parquet.ValueOf(v).Level(0, 0, i)
			}
			if _, err := w.WriteRows([]parquet.Row{values}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		const uuid = "ff000000-0000-0000-0000-00000000007f"
		for _, c := range []struct {
			columns map[string]Type
			want    []string
		}{
			{nil, []string{"1.8446744073709552e+19|4.294967295e+09|200|1|" + uuid, "9.223372036854776e+18|2.147483648e+09|7|-2.5|" + uuid, "5|0|0|5.960464477539063e-08|" + uuid, "5|0|0|-Inf|" + uuid, "5|0|0|_|" + uuid}},
			{map[string]Type{"a": Categorical, "b": Categorical, "d": Categorical}, []string{"18446744073709551615|4294967295|200|1|" + uuid, "9223372036854775808|2147483648|7|-2.5|" + uuid, "5|0|0|5.960464477539063e-08|" + uuid, "5|0|0|-Inf|" + uuid, "5|0|0|_|" + uuid}},
		} {
			got, _, err := read(bytes.NewReader(data.Bytes()), "x.parquet", Options{Columns: c.columns})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("as %v: %s", c.columns, diff)
			}
			d, err := Open(bytes.NewReader(data.Bytes()), "x.parquet", Options{Columns: c.columns})
			if err != nil {
				t.Fatal(err)
			}
			var sums [5]float64
			if err := d.EachColumn(t.Context(), func(i int, v *Values, _ int) error {
				for _, x := range v.Numbers {
					if x-x == 0 {
						sums[i] += x
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if c.columns == nil && (sums[0] < 2.7e19 || sums[1] != 4294967295+1<<31 || sums[2] != 207 || sums[3] > -1.4999 || sums[3] < -1.5) {
				t.Errorf("by column the sums are %v", sums)
			}
		}
	}
}

// TestParquetTimes reads the dates of every type that has one, as a clock would show
// them, through dictionaries too, and leaves the times of a day as they are.
func TestParquetTimes(t *testing.T) {
	type row struct {
		Milli int64            `parquet:"milli,timestamp(millisecond)"`
		Micro int64            `parquet:"micro,timestamp(microsecond),dict"`
		Nano  *int64           `parquet:"nano,optional,timestamp(nanosecond)"`
		Day   int32            `parquet:"day,date"`
		Old   deprecated.Int96 `parquet:"old"`
		Clock int64            `parquet:"clock,time(microsecond)"`
	}
	at := time.Date(1969, 12, 30, 23, 59, 58, 500_000_000, time.UTC) // counted backwards
	nano := at.UnixNano() + 7
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write([]row{
		{at.UnixMilli(), at.UnixMicro(), &nano, -2, deprecated.Int96{0, 1 << 10, julian1970 - 2}, 5},
		{1.7e12, 1.7e15, nil, 19675, deprecated.Int96{1, 0, julian1970 + 19675}, 6},
		{math.MaxInt64, math.MinInt64, nil, math.MinInt32, deprecated.Int96{math.MaxUint32, math.MaxUint32, math.MaxUint32}, 7},
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rows, d, err := read(bytes.NewReader(b.Bytes()), "x.parquet", Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1969-12-30T23:59:58.5|1969-12-30T23:59:58.5|1969-12-30T23:59:58.500000007|1969-12-30T00:00:00|1969-12-30T01:13:18.046511104|5",
		"2023-11-14T22:13:20|2023-11-14T22:13:20|_|2023-11-14T00:00:00|2023-11-14T00:00:00.000000001|6",
	}
	if diff := cmp.Diff(want, rows[:2]); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for i, text := range strings.Split(rows[2], "|") { // beyond what has four digits
		if when, ok := Clock([]byte(text)); ok {
			t.Errorf("%s of the last row is read as %v, of %s", d.Names()[i], when, text)
		}
	}
}

// TestParquetDamaged flips and cuts bytes: whatever comes of it is rows or an
// error, and no more.
func TestParquetDamaged(t *testing.T) {
	for _, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Lz4Raw), parquet.Compression(&parquet.Snappy)} {
		data := parquetOf(t, 300, codec)
		failed := 0
		for i := 0; i < len(data); i += 1 + len(data)/300 {
			broken := bytes.Clone(data)
			broken[i] ^= 0x55
			for _, b := range [][]byte{broken, data[:i]} {
				_, _, err := read(bytes.NewReader(b), "x.parquet", Options{})
				var e *Error
				if err != nil && !errors.As(err, &e) {
					t.Fatalf("byte %d: %v is no fault of the object", i, err)
				}
				if err != nil {
					failed++
				}
			}
		}
		if failed < 100 {
			t.Errorf("only %d damages were found", failed)
		}
	}
	lost := errors.New("connection lost")
	_, _, err := read(io.MultiReader(bytes.NewReader(parquetOf(t, 100)[:500]), failing{lost}), "x.parquet", Options{})
	var e *Error
	if !errors.Is(err, lost) || errors.As(err, &e) {
		t.Errorf("of a source that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzJSONLines(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":{"c":"x\u0041"}}`, `{"a":[1,2,{"b":"]"}]}`, `{"a":"\ud800"}`, "{}\n{\"a\":null}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		rows, d, err := read(strings.NewReader(data), "x.jsonl", Options{MaxRecord: 1000})
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%v is no fault of the object", err)
		}
		if err == nil && int64(len(rows)) != d.Counts().Rows {
			t.Fatalf("%d rows, counted %d", len(rows), d.Counts().Rows)
		}
	})
}

// TestParquetNested has lists and maps, of values, groups and each other, missing and
// empty, over several pages and row groups: each is one column of JSON. What is too long is
// cut, or refused.
func TestParquetNested(t *testing.T) {
	type item struct {
		Name string `parquet:"name"`
		Size *int32 `parquet:"size,optional"`
	}
	type row struct {
		ID    int64              `parquet:"id"`
		Tags  []string           `parquet:"tags,list"`
		Some  []float64          `parquet:"some,optional,list"`
		Bare  []int32            `parquet:"bare"`
		Items []item             `parquet:"items,list"`
		Deep  [][]int64          `parquet:"deep,list"`
		Map   map[string]int64   `parquet:"map"`
		Group struct{ L []bool } `parquet:"group"`
		Last  string             `parquet:"last"`
	}
	size, some := int32(3), []float64{1.5, -2}
	rows := []row{
		{1, []string{"a", `b"\`}, some, []int32{1, 2}, []item{{"x", &size}, {"y", nil}}, [][]int64{{1, 2}, {}, {3}}, map[string]int64{"k": 7}, struct{ L []bool }{[]bool{true, false}}, "z"},
		{2, nil, nil, nil, nil, nil, nil, struct{ L []bool }{}, "z"},
		{3, []string{"é"}, some, []int32{3}, []item{{"w", &size}}, [][]int64{{4}}, map[string]int64{"l": 8}, struct{ L []bool }{[]bool{true}}, "y"},
	}
	want := []string{
		`1|["a","b\"\\"]|[1.5,-2]|[1,2]|[{"name":"x","size":3},{"name":"y","size":null}]|[[1,2],[],[3]]|{"k":7}|[true,false]|z`,
		`2|[]|_|[]|[]|[]|{}|[]|z`,
		`3|["é"]|[1.5,-2]|[3]|[{"name":"w","size":3}]|[[4]]|{"l":8}|[true]|y`,
	}
	const times = 1500
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.PageBufferSize(300), parquet.MaxRowsPerRowGroup(1000))
	var all []string
	for range times {
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
		all = append(all, want...)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, d, err := read(bytes.NewReader(b.Bytes()), "x.parquet", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("id tags some bare items deep map group.L last", strings.Join(d.Names(), " ")); diff != "" {
		t.Errorf("names (-want +got): %s", diff)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("rows (-want +got): %s", diff)
	}
	d, err = Open(bytes.NewReader(b.Bytes()), "x.parquet", Options{})
	if err != nil {
		t.Fatal(err)
	}
	columns, missing := make([][]string, len(d.Names())), make([]int, len(d.Names()))
	if err := d.EachColumn(t.Context(), func(i int, v *Values, _ int) error {
		missing[i] += v.Missing
		for _, text := range v.Text {
			columns[i] = append(columns[i], string(text))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(columns); i++ {
		for r, text := range columns[i] {
			if cell := strings.Split(all[r], "|")[i]; text != strings.TrimPrefix(cell, "_") {
				t.Fatalf("by column, row %d of %s is %s; want %s", r, d.Names()[i], text, cell)
			}
		}
		if none := map[bool]int{true: times}[d.Names()[i] == "some"]; len(columns[i]) != 3*times || missing[i] != none {
			t.Errorf("by column, %s has %d values, of which %d are missing; want %d and %d", d.Names()[i], len(columns[i]), missing[i], 3*times, none)
		}
	}
	if got, _, err = read(bytes.NewReader(b.Bytes()), "x.parquet", Options{MaxRecord: 3}); err != nil || got[2] != `3|["|[1.|[3]|[{"|[[4|{"l|[tr|y` {
		t.Errorf("cut to 3 bytes: %s, %v", got[2], err)
	}
	b.Reset()
	w = parquet.NewGenericWriter[row](&b)
	if _, err := w.Write([]row{{Bare: make([]int32, mostParts+1)}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(bytes.NewReader(b.Bytes()), "x.parquet", Options{}); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), `is too large in column "bare"`) {
		t.Errorf("of more than %d parts: %v; want %v", mostParts, err, ErrTooLarge)
	}
}
