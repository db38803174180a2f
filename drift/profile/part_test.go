package profile

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// TestTimes keeps the first and the last time through merging and encoding, and
// profiles what lies in a part of it.
func TestTimes(t *testing.T) {
	const older = "day,n\n2024-03-02,2\n2024-03-01,1\n,3\n2024-03-02,4\n"
	const newer = "day,n\n2024-03-07,7\n2024-03-05,5\n"
	read := func(text string) *Profile {
		p, err := Build(t.Context(), strings.NewReader(text), "x.csv", dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p, err := Decode(Merge(read(newer), read(older), read("day,n\n,1\n")).Encode())
	if err != nil {
		t.Fatal(err)
	}
	day := p.Column("day")
	if from, to := day.Earliest.Format(time.DateOnly), day.Latest.Format(time.DateOnly); from != "2024-03-01" || to != "2024-03-07" {
		t.Errorf("from %s to %s, want from the first to the seventh of March", from, to)
	}
	part, err := BuildPart(t.Context(), strings.NewReader(older), "x.csv", dataset.Options{Columns: p.Schema()}, "day", func(at time.Time) bool { return at.Day() == 2 })
	if err != nil {
		t.Fatal(err)
	}
	if n := part.Column("n"); part.Counts.Rows != 2 || n.N() != 2 || n.Moments.Mean != 3 || !part.Column("day").Earliest.Equal(part.Column("day").Latest) {
		t.Errorf("%d rows of the second of March, with a mean of %v; want 2 and 3", part.Counts.Rows, n.Moments.Mean)
	}
	none, err := BuildPart(t.Context(), strings.NewReader(older), "x.csv", dataset.Options{}, "hour", func(time.Time) bool { return true })
	if err != nil || none.Counts.Rows != 0 {
		t.Errorf("%v: %d rows by a column that is not there", err, none.Counts.Rows)
	}
}

// TestTimesOfParquet tells the parts of a file by times of its own types.
func TestTimesOfParquet(t *testing.T) {
	type row struct {
		At time.Time `parquet:"at,timestamp(microsecond)"`
		N  float64   `parquet:"n"`
	}
	first := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	var data bytes.Buffer
	w := parquet.NewGenericWriter[row](&data)
	for i := range 24 * 14 { // hours of two weeks
		if _, err := w.Write([]row{{first.Add(time.Duration(i) * time.Hour), float64(i % 24)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := Build(t.Context(), bytes.NewReader(data.Bytes()), "x.parquet", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := p.Column("at")
	if !at.Earliest.Equal(first) || !at.Latest.Equal(first.Add((24*14-1)*time.Hour)) {
		t.Errorf("from %v to %v", at.Earliest, at.Latest)
	}
	part, err := BuildPart(t.Context(), bytes.NewReader(data.Bytes()), "x.parquet", dataset.Options{Columns: p.Schema()}, "at", func(at time.Time) bool { return at.Hour() == 7 })
	if err != nil {
		t.Fatal(err)
	}
	if n := part.Column("n"); part.Counts.Rows != 14 || n.Moments.Min != 7 || n.Moments.Max != 7 {
		t.Errorf("%d rows at seven, from %v to %v", part.Counts.Rows, n.Moments.Min, n.Moments.Max)
	}
}
