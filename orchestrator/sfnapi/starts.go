package sfnapi

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sort"
	"sync"

	"github.com/anneal-ml/anneal/journal"
)

// mostStarts is how many starts are at hand; each takes some 500 bytes.
const mostStarts = 4096

// starts are the records of those executions that were started last, all of them from
// some record on. Who waits for executions asks for them again and again: in the
// journal each is read with all that was recorded at its time.
type starts struct {
	mu    sync.Mutex
	all   []journal.Record  // guarded by mu; oldest first; what is in it is not changed
	byKey map[string][]byte // guarded by mu; their data
	upTo  uint64            // guarded by mu; there is none between the newest and this record
}

// add takes the next start.
func (s *starts) add(r journal.Record) {
	r.Data = bytes.Clone(r.Data) // else the whole batch would be kept
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = map[string][]byte{}
	}
	s.all, s.byKey[r.Key], s.upTo = append(s.all, r), r.Data, r.Seq
	if len(s.all) > mostStarts {
		delete(s.byKey, s.all[0].Key)
		s.all = s.all[1:]
	}
}

// seen says that the starts up to record seq were added.
func (s *starts) seen(seq uint64) {
	s.mu.Lock()
	s.upTo = seq
	s.mu.Unlock()
}

// below are those with a number below before, oldest first, if all down to the first of
// them are at hand.
func (s *starts) below(before uint64) []journal.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before > s.upTo+1 {
		return nil
	}
	n := sort.Search(len(s.all), func(i int) bool { return s.all[i].Seq >= before })
	return s.all[:n:n]
}

// find is what was recorded of the start of an execution; nil: it is not at hand.
func (s *starts) find(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key]
}

// startOf is what was recorded of the start of an execution, or [journal.ErrNotFound].
func (s *Server) startOf(ctx context.Context, key string) ([]byte, error) {
	if data := s.starts.find(key); data != nil {
		return data, nil
	}
	r, err := s.cfg.Journal.Find(ctx, KindExecution, key)
	return r.Data, err
}

// newestStarts yields the records of starts with a number below before (0: all), newest
// first. It stops after an error.
func (s *Server) newestStarts(ctx context.Context, before uint64) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		if before == 0 {
			before = s.cfg.Journal.Last() + 1
		}
		some := s.starts.below(before)
		if len(some) == 0 { // there may be newer ones, or only older ones
			for r, err := range s.cfg.Journal.Newest(ctx, KindExecution, before) {
				if err == nil {
					if some = s.starts.below(r.Seq + 1); len(some) > 0 {
						break
					}
				}
				if !yield(r, err) {
					return
				}
			}
			if len(some) == 0 {
				return
			}
		}
		for _, r := range slices.Backward(some) {
			if !yield(r, nil) {
				return
			}
		}
		for r, err := range s.cfg.Journal.Newest(ctx, KindExecution, some[0].Seq) {
			if !yield(r, err) {
				return
			}
		}
	}
}
