package items

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/anneal-ml/anneal/objects"
)

// bucket is a store with one bucket, b, of these objects.
func bucket(t testing.TB, files map[string]string) *objects.Store {
	t.Helper()
	dir := t.TempDir()
	for key, text := range files {
		path := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := objects.New(objects.Config{Buckets: map[string]string{"b": dir}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read reads all items as JSON; the last line is the error, if there is one.
func read(t testing.TB, s *objects.Store, spec Spec) (lines []string, sources []string) {
	t.Helper()
	r, err := Open(t.Context(), s, spec)
	for err == nil {
		var x Item
		if x, err = r.Next(); err == nil {
			lines, sources = append(lines, x.Value.String()), append(sources, x.Source)
		}
	}
	if r != nil {
		r.Close()
	}
	var known *Error
	switch {
	case err == io.EOF:
	case errors.As(err, &known):
		lines = append(lines, "error: "+known.Reason)
	default:
		t.Fatalf("%v is not an Error", err)
	}
	return lines, sources
}

func get(key string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"Bucket": "b", "Key": %q}`, key))
}

func packed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type row struct {
	ID    int64            `parquet:"id"`
	Name  string           `parquet:"name"`
	Price *float64         `parquet:"price,optional"`
	Tags  []string         `parquet:"tags,list"`
	Sizes map[string]int64 `parquet:"sizes"`
}

func parquetOf(t testing.TB, rows ...row) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	price := 2.5
	s := bucket(t, map[string]string{
		"a.json":         `[1, {"x": [2, 3]}, "é"]`,
		"deep.json":      `{"skip": {"items": [9]}, "data": {"items": [{"id": 1}, {"id": 2}], "rest": 1}, "a/b": [7]}`,
		"cut.json":       `[1, 2`,
		"object.json":    `{"a": 1}`,
		"a.jsonl":        "{\"a\": 1}\n\n  [2]\r\n3",
		"bad.jsonl":      "1\n{\"a\"\n3\n",
		"a.csv":          "\ufeffid,name\n1,\"a, b\"\n2\n3,c,extra\n",
		"pipe.csv":       "1|x\n2|y\n",
		"twice.csv":      "a,a\n1,2\n",
		"empty.csv":      "",
		"a.csv.gz":       packed(t, "id\n1\n"),
		"a.parquet":      parquetOf(t, row{1, "a", &price, []string{"x", "y"}, map[string]int64{"s": 1}}, row{ID: 2, Name: "b"}),
		"bad.parquet":    "PAR1 nothing PAR1",
		"in/1.jsonl":     "1\n2\n",
		"in/2.jsonl":     "3\n",
		"athena.csv":     "s3://b/in/2.jsonl\n\"s3://b/in/1.jsonl\"\n",
		"inventory.json": `{"sourceBucket": "b", "destinationBucket": "arn:aws:s3:::b", "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size", "files": [{"key": "data/1.csv.gz", "size": 1}]}`,
		"data/1.csv.gz":  packed(t, "\"b\",\"k/1\",\"10\"\n\"b\",\"k/2\",\"20\"\n"),
	})
	for _, c := range []struct {
		name string
		spec Spec
		want []string
	}{
		{"json", Spec{Parameters: get("a.json"), InputType: "JSON"}, []string{`1`, `{"x":[2,3]}`, `"é"`}},
		{"at most", Spec{Parameters: get("a.json"), InputType: "JSON", MaxItems: 2}, []string{`1`, `{"x":[2,3]}`}},
		{"negative", Spec{Parameters: get("a.json"), InputType: "JSON", MaxItems: -1}, []string{"error: field MaxItems must be positive"}},
		{"pointer", Spec{Parameters: get("deep.json"), InputType: "JSON", Pointer: "/data/items"}, []string{`{"id":1}`, `{"id":2}`}},
		{"escaped pointer", Spec{Parameters: get("deep.json"), InputType: "JSON", Pointer: "/a~1b"}, []string{`7`}},
		{"into an array", Spec{Parameters: get("a.json"), InputType: "JSON", Pointer: "/1/x"}, []string{`2`, `3`}},
		{"pointer to nothing", Spec{Parameters: get("deep.json"), InputType: "JSON", Pointer: "/data/more"}, []string{`error: ItemsPointer leads to nothing: there is no "more"`}},
		{"not a list", Spec{Parameters: get("object.json"), InputType: "JSON"}, []string{"error: Attempting to map over non-iterable node."}},
		{"cut off", Spec{Parameters: get("cut.json"), InputType: "JSON"}, []string{`1`, `2`, "error: the object is not JSON: it ends too early"}},
		{"lines", Spec{Parameters: get("a.jsonl"), InputType: "JSONL"}, []string{`{"a":1}`, `[2]`, `3`}},
		{"a line that is not", Spec{Parameters: get("bad.jsonl"), InputType: "JSONL"}, []string{`1`, "error: line 2 is not JSON: "}},
		{"csv", Spec{Parameters: get("a.csv"), InputType: "CSV", HeaderLocation: "FIRST_ROW"},
			[]string{`{"id":"1","name":"a, b"}`, `{"id":"2","name":""}`, `{"id":"3","name":"c"}`}},
		{"given", Spec{Parameters: get("pipe.csv"), InputType: "CSV", HeaderLocation: "GIVEN", Headers: []string{"n", "l"}, Delimiter: "PIPE"},
			[]string{`{"n":"1","l":"x"}`, `{"n":"2","l":"y"}`}},
		{"a column twice", Spec{Parameters: get("twice.csv"), InputType: "CSV"}, []string{`error: CSV headers cannot contain duplicates.`}},
		{"a column given twice", Spec{Parameters: get("twice.csv"), InputType: "CSV", HeaderLocation: "GIVEN", Headers: []string{"x", "x"}}, []string{`error: CSV headers cannot contain duplicates.`}},
		{"nothing", Spec{Parameters: get("empty.csv"), InputType: "CSV"}, nil},
		{"gzip", Spec{Parameters: get("a.csv.gz"), InputType: "CSV"}, []string{`{"id":"1"}`}},
		{"parquet", Spec{Parameters: get("a.parquet"), InputType: "PARQUET"},
			[]string{`{"id":1,"name":"a","price":2.5,"sizes":{"s":1},"tags":["x","y"]}`, `{"id":2,"name":"b","price":null,"sizes":{},"tags":[]}`}},
		{"not parquet", Spec{Parameters: get("bad.parquet"), InputType: "PARQUET"}, []string{"error: s3://b/bad.parquet is not Parquet: "}},
		{"inventory", Spec{Parameters: get("inventory.json"), InputType: "MANIFEST"},
			[]string{`{"Bucket":"b","Key":"k/1","Size":"10"}`, `{"Bucket":"b","Key":"k/2","Size":"20"}`}},
		{"athena", Spec{Parameters: get("athena.csv"), InputType: "JSONL", ManifestType: "ATHENA_DATA"}, []string{`3`, `1`, `2`}},
		{"athena, by name", Spec{Parameters: get("athena.csv"), InputType: "MANIFEST", ManifestType: "ATHENA_DATA"}, []string{`3`, `1`, `2`}},
		{"no inventory", Spec{Parameters: get("object.json"), InputType: "MANIFEST"}, []string{`error: the manifest is not that of an S3 inventory: it has no "destinationBucket" or no "fileFormat"`}},
		{"flattened", Spec{Action: "listObjectsV2", Parameters: json.RawMessage(`{"Bucket": "b", "Prefix": "in/"}`), LoadAndFlatten: true, InputType: "JSONL", MaxItems: 2}, []string{`1`, `2`}},
		{"missing", Spec{Parameters: get("none"), InputType: "JSON"}, []string{"error: The specified key does not exist: s3://b/none"}},
		{"not mapped", Spec{Parameters: json.RawMessage(`{"Bucket": "c", "Key": "k"}`), InputType: "JSON"}, []string{"error: s3://c/k: "}},
		{"no key", Spec{Parameters: json.RawMessage(`{"Bucket": "b"}`), InputType: "JSON"}, []string{"error: the parameters of the ItemReader have no Key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := read(t, s, c.spec)
			if n := len(got); n > 0 && n == len(c.want) && strings.HasSuffix(c.want[n-1], ": ") && strings.HasPrefix(got[n-1], c.want[n-1]) {
				got[n-1] = c.want[n-1] // the rest is another's words
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestListing(t *testing.T) {
	s := bucket(t, map[string]string{"in/a b.csv": "12345", "in/z": "", "other": "x"})
	got, sources := read(t, s, Spec{Action: "listObjectsV2", Parameters: json.RawMessage(`{"Bucket": "b", "Prefix": "in/"}`)})
	want := regexp.MustCompile(`^{"Etag":"\\"[0-9a-f]+-5\\"","Key":"in/a b.csv","LastModified":1\d+,"Size":5,"StorageClass":"STANDARD"}$`)
	if len(got) != 2 || !want.MatchString(got[0]) {
		t.Errorf("got %q", got)
	}
	if sources[0] != "S3://b" {
		t.Errorf("source %q, want S3://b", sources[0])
	}
	_, sources = read(t, s, Spec{Parameters: get("in/a b.csv"), InputType: "CSV", HeaderLocation: "GIVEN", Headers: []string{"n"}})
	if diff := cmp.Diff([]string{"S3://b/in/a b.csv"}, sources); diff != "" {
		t.Errorf("source of an object (-want +got)\n%s", diff)
	}
}

// A million items are never in memory together.
func TestStream(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, "{\"id\": %d, \"name\": \"item %d of many\"}\n", i, i)
	}
	s := bucket(t, map[string]string{"big.jsonl": text.String()})
	text = bytes.Buffer{}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := Open(t.Context(), s, Spec{Parameters: get("big.jsonl"), InputType: "JSONL"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Skip(int64(n - 1)); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if x, err := r.Next(); err != nil || !strings.HasPrefix(x.Value.String(), fmt.Sprintf(`{"id":%d,`, n-1)) {
		t.Errorf("the last item is %s, %v", x.Value, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last: %v", err)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestEnds(t *testing.T) {
	s := bucket(t, map[string]string{"a.json": `[1, 2]`})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Open(ctx, s, Spec{Parameters: get("a.json"), InputType: "JSON"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := r.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context: %v", err)
	}
}

// Whatever an object has, reading it ends with items or an Error.
func FuzzFormats(f *testing.F) {
	for _, text := range []string{`[1, {"a": 2}]`, `{"a": {"b": [1]}}`, "1\n2\n", "a,b\n1,\"2\n", "\"", "[", `{"a":`, "PAR1"} {
		for _, kind := range []string{"JSON", "JSONL", "CSV", "PARQUET", "MANIFEST"} {
			f.Add(text, kind, "/a/b")
		}
	}
	f.Fuzz(func(t *testing.T, text, kind, pointer string) {
		if !strings.HasPrefix(pointer, "/") {
			pointer = "" // others are refused when the definition is parsed
		}
		s := bucket(t, map[string]string{"x": text})
		read(t, s, Spec{Parameters: get("x"), InputType: kind, Pointer: pointer})
	})
}

// TestFrom reads as the items of text, up to what is wrong with it.
func TestFrom(t *testing.T) {
	file := base64.StdEncoding.EncodeToString([]byte(parquetOf(t, row{ID: 1, Name: "a"}, row{ID: 2, Name: "b"})))
	for _, c := range []struct {
		spec Spec
		text string
		want string
	}{
		{Spec{}, `[1,{"a":2}]`, `1 {"a":2}`},
		{Spec{InputType: "JSON", Pointer: "/a/1"}, `{"a":[0,[3]]}`, `3`},
		{Spec{InputType: "JSON", Pointer: "/b"}, `{"a":[]}`, `!ItemsPointer leads to nothing: there is no "b"`},
		{Spec{InputType: "JSONL", MaxItems: 1}, "{\"a\":1}\n{\"a\":2}\n", `{"a":1}`},
		{Spec{InputType: "CSV", HeaderLocation: "GIVEN", Headers: []string{"x"}}, "1\n2\n", `{"x":"1"} {"x":"2"}`},
		{Spec{InputType: "PARQUET"}, file, `{"id":1,"name":"a","price":null,"sizes":{},"tags":[]} {"id":2,"name":"b","price":null,"sizes":{},"tags":[]}`},
		{Spec{InputType: "PARQUET"}, base64.StdEncoding.EncodeToString([]byte("PAR1 nothing PAR1")), `!the file is not Parquet: reading footer of parquet file: bytes.Reader.ReadAt: negative offset`},
		{Spec{InputType: "PARQUET"}, "PAR1?", `!a Parquet file is given in base64, and this is none: illegal base64 data at input byte 4`},
		{Spec{InputType: "MANIFEST", ManifestType: "ATHENA_DATA", MaxItems: 1}, file, `{"id":1,"name":"a","price":null,"sizes":{},"tags":[]}`},
		{Spec{InputType: "MANIFEST"}, "Bucket,Key\nb,k\n", `{"Bucket":"b","Key":"k"}`},
		{Spec{InputType: "MANIFEST"}, "{\"a\":1}\n{\"a\":2}", `{"a":1} {"a":2}`},
		{Spec{InputType: "MANIFEST"}, " [1]", `1`},
		{Spec{MaxItems: -1}, "[]", `!field MaxItems must be positive`},
	} {
		c.spec.Parameters = json.RawMessage(`{"Bucket":"b","Key":"k"}`)
		var got []string
		in, err := From(t.Context(), c.text, c.spec)
		for err == nil {
			var x Item
			if x, err = in.Next(); err == nil {
				if got = append(got, x.Value.String()); x.Source != "S3://b/k" {
					t.Errorf("source %q, want S3://b/k", x.Source)
				}
			}
		}
		if err != io.EOF {
			got = append(got, "!"+err.Error())
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%+v of %s\n got %s\nwant %s", c.spec, c.text, got, c.want)
		}
	}
}
