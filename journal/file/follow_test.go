package file_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
)

// Who follows the journal sees no record that Last, Newest and Find do not
// know yet.
func TestFollowersSeeWhatIsKnown(t *testing.T) {
	j, err := file.OpenJournal(t.Context(), t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const records = 3000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for i := range records {
			if _, err := j.Append(ctx, journal.Record{Kind: "event", Key: fmt.Sprint(i + 1)}); err != nil {
				t.Error(err)
				cancel()
				return
			}
		}
	}()
	for r, err := range j.Read(ctx, 1, true) {
		if err != nil {
			t.Fatal(err)
		}
		if last := j.Last(); last < r.Seq {
			t.Fatalf("record %d is seen while the last is %d", r.Seq, last)
		}
		if found, err := j.Find(ctx, "event", r.Key); err != nil || found.Seq != r.Seq {
			t.Fatalf("record %d is seen and not found: %d, %v", r.Seq, found.Seq, err)
		}
		if r.Seq == records {
			break
		}
	}
}
