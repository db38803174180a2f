package sfnapi

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
)

// TestNewestStarts reads starts as they are listed, from wherever a page begins, however
// many of them are at hand: it is what the journal has, and none twice.
func TestNewestStarts(t *testing.T) {
	j, err := journal.Open(t.Context(), new(journal.Memory), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const n = mostStarts + 300
	s := &Server{cfg: Config{Journal: j}}
	at := []int{0, 1, 7, 100, mostStarts + 1, n} // followed up to there
	written := 0
	for step, followed := range at {
		for ; written < n && (step == len(at)-1 || written < at[step+1]); written++ {
			key := fmt.Sprintf("sfn:m:%d", written)
			if _, err := j.Append(t.Context(), journal.Record{Kind: KindExecution, Key: key, Data: []byte(key)}, journal.Record{Kind: kindTurn, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		if step > 0 {
			for r, err := range j.Read(t.Context(), uint64(2*at[step-1]+1), false, KindExecution) {
				if err != nil {
					t.Fatal(err)
				}
				if r.Seq > uint64(2*followed) {
					break
				}
				s.starts.add(r)
				s.starts.seen(r.Seq + 1)
			}
		}
		for _, before := range []uint64{0, 1, 2, 3, 16, uint64(2 * followed), uint64(2*followed) + 1, 2 * n, 2*n + 1} {
			var got, want []journal.Record
			for r, err := range s.newestStarts(t.Context(), before) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r)
			}
			for r, err := range j.Newest(t.Context(), KindExecution, before) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, r)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%d of %d followed, before %d (-want +got):\n%.2000s", followed, written, before, diff)
			}
		}
		for _, i := range []int{0, followed - 1, written - 1} {
			key := fmt.Sprintf("sfn:m:%d", max(i, 0))
			if data, err := s.startOf(t.Context(), key); err != nil || string(data) != key {
				t.Errorf("%d of %d followed: the start of %s is %q, %v", followed, written, key, data, err)
			}
		}
	}
	if len(s.starts.all) != mostStarts || len(s.starts.byKey) != mostStarts {
		t.Errorf("%d starts are at hand, by key %d; want %d", len(s.starts.all), len(s.starts.byKey), mostStarts)
	}
}
