package journal_test

import (
	"testing"

	"github.com/anneal-ml/anneal/journal"
)

func TestStats(t *testing.T) {
	m := &journal.Memory{}
	story(t, m)
	j := openStore(t, m)
	defer j.Close()
	before := j.Stats()
	if before.First != 1 || before.Last != 60 || before.Records != 0 || before.Bytes < 60*100 {
		t.Errorf("stats of 60 old records: %+v", before)
	}
	for range 3 {
		if _, err := j.Append(t.Context(), journal.Record{Kind: "a"}, journal.Record{Kind: "b", Data: make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	got, counted := j.Stats(), uint64(0)
	for _, n := range got.Commits.Counts {
		counted += n
	}
	// A megabyte is three frames.
	if got.Records != 6 || got.Frames != 9 || counted != 9 || got.Commits.Sum <= 0 || got.Last != 66 || got.Bytes < before.Bytes+3<<20 {
		t.Errorf("stats after 6 more: %+v", got)
	}
	if len(got.Commits.Counts) != len(got.Commits.Bounds)+1 {
		t.Errorf("%d counts for %d bounds", len(got.Commits.Counts), len(got.Commits.Bounds))
	}
}
