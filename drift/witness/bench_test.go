package witness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// BenchmarkJudge is 10,000 rows of 13 columns, read and judged by a witness of 30,000.
func BenchmarkJudge(b *testing.B) {
	table := func(seed uint64, rows int) string {
		r := rand.New(rand.NewPCG(seed, 4))
		var t strings.Builder
		t.WriteString("a0,a1,a2,a3,a4,a5,a6,a7,a8,a9,b0,b1,y\n")
		for range rows {
			first := r.NormFloat64()
			fmt.Fprintf(&t, "%.6f", first)
			for range 9 {
				fmt.Fprintf(&t, ",%.6f", r.NormFloat64())
			}
			fmt.Fprintf(&t, ",c%d,d%d,%t\n", r.IntN(4), r.IntN(100), first+r.NormFloat64() > 0)
		}
		return t.String()
	}
	read := func(text string) *Rows {
		rows := &Rows{}
		if err := rows.Add(b.Context(), strings.NewReader(text), "t.csv", dataset.Options{}); err != nil {
			b.Fatal(err)
		}
		return rows
	}
	reference := read(table(0, 30_000))
	w, err := New(reference, "y", strings.Split("a0,a1,a2,a3,a4,a5,a6,a7,a8,a9,b0,b1", ","))
	if err != nil {
		b.Fatal(err)
	}
	current := table(1, 10_000)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			read(current)
		}
	})
	rows := read(current)
	b.Run("judge", func(b *testing.B) {
		for b.Loop() {
			w.Judge(rows)
		}
	})
}
