package profile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// A tableRow is a row of ten numeric and three categorical columns, with few
// values in one, many zeros in another, and some missing.
type tableRow struct {
	N0 float64  `parquet:"n0" json:"n0"`
	N1 float64  `parquet:"n1" json:"n1"`
	N2 float64  `parquet:"n2" json:"n2"`
	N3 float64  `parquet:"n3" json:"n3"`
	N4 float64  `parquet:"n4" json:"n4"`
	N5 float64  `parquet:"n5" json:"n5"`
	N6 float64  `parquet:"n6" json:"n6"`
	N7 float64  `parquet:"n7" json:"n7"`
	N8 *float64 `parquet:"n8,optional" json:"n8"`
	N9 float64  `parquet:"n9" json:"n9"`
	C0 string   `parquet:"c0,dict" json:"c0"`
	C1 string   `parquet:"c1,dict" json:"c1"`
	C2 string   `parquet:"c2,dict" json:"c2"`
}

const tableRows = 400_000

var table = sync.OnceValue(func() map[string][]byte { return tableOf(tableRows) })

// tableOf is the same rows in each format, by its extension.
func tableOf(rows int) map[string][]byte {
	r := rand.New(rand.NewPCG(1, 1))
	var csv, lines, columns bytes.Buffer
	csv.WriteString("n0,n1,n2,n3,n4,n5,n6,n7,n8,n9,c0,c1,c2\n")
	w := parquet.NewGenericWriter[tableRow](&columns, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(1<<17))
	for range rows {
		u := r.Float64()
		row := tableRow{
			r.NormFloat64(), 100 * r.Float64(), r.NormFloat64(), 1000 * u * u * u, float64(r.IntN(50)), r.NormFloat64(),
			max(0, r.Float64()-0.7), 10 * r.Float64(), nil, 1e6 + r.NormFloat64(),
			fmt.Sprint("k", r.IntN(4)), []string{"red", "green", "blue"}[r.IntN(3)], fmt.Sprint("city_", int(100*u*r.Float64())),
		}
		n8 := "null"
		if r.IntN(100) > 0 {
			row.N8 = &u
			n8 = fmt.Sprintf("%.4f", u)
		}
		fmt.Fprintf(&lines, `{"n0":%.4f,"n1":%.4f,"n2":%.4f,"n3":%.4f,"n4":%.4f,"n5":%.4f,"n6":%.4f,"n7":%.4f,"n8":%s,"n9":%.4f,"c0":"%s","c1":"%s","c2":"%s"}`+"\n",
			row.N0, row.N1, row.N2, row.N3, row.N4, row.N5, row.N6, row.N7, n8, row.N9, row.C0, row.C1, row.C2)
		fmt.Fprintf(&csv, "%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%s,%.4f,%s,%s,%s\n",
			row.N0, row.N1, row.N2, row.N3, row.N4, row.N5, row.N6, row.N7, strings.TrimPrefix(n8, "null"), row.N9, row.C0, row.C1, row.C2)
		if _, err := w.Write([]tableRow{row}); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	all := map[string][]byte{"csv": csv.Bytes(), "jsonl": lines.Bytes(), "parquet": columns.Bytes()}
	var packed bytes.Buffer
	g := gzip.NewWriter(&packed)
	g.Write(csv.Bytes())
	g.Close()
	all["csv.gz"] = bytes.Clone(packed.Bytes())
	packed.Reset()
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		panic(err)
	}
	z.Write(csv.Bytes())
	z.Close()
	all["csv.zst"] = packed.Bytes()
	return all
}

// random is memory that can be read in any order, as a file can.
type random struct{ *bytes.Reader }

func (r random) Size() (int64, error) { return r.Reader.Size(), nil }

// The profile of an object is the same bytes whatever the number of processors,
// and however its bytes come.
func TestBuildIsDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for format, data := range tableOf(12_000) {
		var want []byte
		for _, processors := range []int{1, 2, 7} {
			runtime.GOMAXPROCS(processors)
			for _, r := range []io.Reader{random{bytes.NewReader(data)}, pieces{bytes.NewReader(data)}} {
				p, err := Build(t.Context(), r, "x."+format, dataset.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if p.Counts.Rows != 12_000 {
					t.Fatalf("%s: %d rows", format, p.Counts.Rows)
				}
				got := p.Encode()
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s with %d processors, from a %T: another profile than with one", format, processors, r)
				}
			}
		}
	}
}

// pieces come as from a network.
type pieces struct{ r io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), 9973)]) }

// Rows of 13 columns a second, all of them profiled; the goals are for two
// processors.
func BenchmarkBuild(b *testing.B) {
	for _, c := range []struct {
		format string
		goal   float64 // rows a second; 0: none
	}{{"csv", 2e6}, {"csv.gz", 0}, {"csv.zst", 0}, {"jsonl", 0.8e6}, {"parquet", 4e6}} {
		data := table()[c.format]
		b.Run(c.format, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Build(b.Context(), random{bytes.NewReader(data)}, "x."+c.format, dataset.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			rate := tableRows * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "rows/s")
			if c.goal > 0 {
				b.ReportMetric(rate/c.goal, "of-goal")
			}
		})
	}
}
