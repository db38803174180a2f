package journal_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal/journal"
)

func TestMemoryInABubble(t *testing.T) {
	var m journal.Memory // made outside, used in two bubbles
	for round := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			j, err := journal.Open(t.Context(), &m, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan uint64)
			go func() {
				for r, err := range j.Read(t.Context(), j.Last()+1, true) {
					if err != nil {
						close(got)
						return
					}
					got <- r.Seq
				}
			}()
			synctest.Wait() // the follower waits
			for range 3 {
				time.Sleep(time.Hour)
				last, err := j.Append(t.Context(), journal.Record{Kind: "event"})
				if err != nil {
					t.Fatal(err)
				}
				if seq := <-got; seq != last {
					t.Errorf("followed to record %d, want %d", seq, last)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			<-got
			if passed := time.Since(began); passed != 3*time.Hour {
				t.Errorf("%v passed, want the 3 h that were slept: the journal must not keep a clock of its own", passed)
			}
			if j.Last() != 3*(round+1) {
				t.Errorf("last is %d in round %d", j.Last(), round)
			}
		})
	}
}
