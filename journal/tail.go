package journal

import (
	"sort"
	"sync"
	"unsafe"
)

// tailSize is how many bytes of records a tail keeps.
const tailSize = 4 << 20

// A tail is the newest batches that this process has committed, so that who
// follows the journal, or looks for what was written a moment ago, need not read
// and hash the frames of the store. It may be used by several goroutines.
type tail struct {
	mu      sync.Mutex
	batches []batch // guarded by mu; in order, of one frame each, as given
	size    int     // guarded by mu; bytes of their frames and records
}

// add takes the next batch in, and drops the oldest beyond the size. A batch of
// several frames is not kept, nor is what was before it.
func (t *tail) add(b batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.frame != b.end {
		t.batches, t.size = nil, 0
		return
	}
	t.batches, t.size = append(t.batches, b), t.size+b.weight()
	for t.size > tailSize {
		t.size -= t.batches[0].weight()
		t.batches[0] = batch{} // append takes the room of those before it along only once
		t.batches = t.batches[1:]
	}
}

// weight is about how much memory the batch takes, in bytes.
func (b batch) weight() int { return b.size + len(b.given)*int(unsafe.Sizeof(Record{})) }

// of is the batch with record seq, if it is there.
func (t *tail) of(seq uint64) (batch, bool) {
	return t.find(func(b *batch) bool { return b.count > 0 && b.last() >= seq }, func(b *batch) bool { return b.first <= seq })
}

// at is the batch that frame begins, if it is there.
func (t *tail) at(frame uint64) (batch, bool) {
	return t.find(func(b *batch) bool { return b.frame >= frame }, func(b *batch) bool { return b.frame == frame })
}

// find is the first batch that is not before what is looked for, if it is that.
func (t *tail) find(reaches, is func(*batch) bool) (batch, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.batches), func(i int) bool { return reaches(&t.batches[i]) })
	if i == len(t.batches) || !is(&t.batches[i]) {
		return batch{}, false
	}
	return t.batches[i], true
}
