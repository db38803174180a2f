package profile

import (
	"strings"
	"testing"
	"time"

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
