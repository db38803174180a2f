package directory

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"slices"
	"time"
)

// A stamp tells, without reading it, whether a file is the one it was.
type stamp struct {
	size  int64
	mtime int64 // nanoseconds since 1970
	inode uint64
}

// A settler holds the files that have changed until they have not changed for
// a while. It has no clock and reads nothing: it is told.
type settler struct {
	quiet   time.Duration
	waiting map[string]*waiting
	due     dueHeap // of the same files
}

type waiting struct {
	key   string
	stamp stamp
	due   time.Time // when it has been quiet for long enough
	index int       // in the heap
}

func newSettler(quiet time.Duration) *settler {
	return &settler{quiet: quiet, waiting: make(map[string]*waiting)}
}

// saw tells that the file was seen with this stamp at now: one that differs
// from the last begins the wait anew.
func (s *settler) saw(key string, p stamp, now time.Time) {
	w := s.waiting[key]
	if w == nil {
		w = &waiting{key: key, stamp: p, due: now.Add(s.quiet)}
		s.waiting[key] = w
		heap.Push(&s.due, w)
		return
	}
	if w.stamp != p {
		w.stamp, w.due = p, now.Add(s.quiet)
		heap.Fix(&s.due, w.index)
	}
}

// gone tells that there is no such file any more.
func (s *settler) gone(key string) {
	if w := s.waiting[key]; w != nil {
		heap.Remove(&s.due, w.index)
		delete(s.waiting, key)
	}
}

// next is when to take; false if no file waits. It is a little after the first
// file is due, so that what came together is taken together, in order.
func (s *settler) next() (time.Time, bool) {
	if len(s.due) == 0 {
		return time.Time{}, false
	}
	return s.due[0].due.Add(s.quiet / 8), true
}

// take removes and returns what is due at now. look says what a file is like at
// this moment: one that has changed unnoticed goes on waiting, one that is not
// there is forgotten. The rest has settled, and is in the order of modification
// times, then of names.
func (s *settler) take(now time.Time, look func(key string) (stamp, bool)) []file {
	var changed []*waiting
	var settled []file
	for len(s.due) > 0 && !s.due[0].due.After(now) {
		w := heap.Pop(&s.due).(*waiting)
		p, ok := look(w.key)
		switch {
		case !ok:
			delete(s.waiting, w.key)
		case p != w.stamp:
			w.stamp, w.due = p, now.Add(s.quiet)
			changed = append(changed, w)
		default:
			delete(s.waiting, w.key)
			settled = append(settled, file{key: w.key, stamp: p})
		}
	}
	for _, w := range changed {
		heap.Push(&s.due, w)
	}
	if len(s.waiting) == 0 {
		s.waiting, s.due = make(map[string]*waiting), nil // maps do not shrink
	}
	slices.SortFunc(settled, byAge)
	return settled
}

// A file is one version of one file of the folder.
type file struct {
	key string
	stamp
	sum *[sha256.Size]byte // nil until it was read
}

func byAge(a, b file) int {
	return cmp.Or(cmp.Compare(a.mtime, b.mtime), cmp.Compare(a.key, b.key))
}

// dueHeap has the file that is due first at its top.
type dueHeap []*waiting

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(x any) {
	w := x.(*waiting)
	w.index = len(*h)
	*h = append(*h, w)
}
func (h *dueHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return w
}
