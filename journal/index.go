package journal

import (
	"cmp"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"slices"
	"sort"
	"sync"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

const (
	blockSize = 256 << 10 // bytes of log for one entry of the table of blocks
	tableSize = 8 << 10   // records in a table before it becomes a run
	maxTables = 8         // that wait to become runs before the writer waits for them
)

// A block is a run of whole batches: what is read at once to get at a record.
type block struct {
	frame uint64 // the first
	first uint64 // number of its first record
	kinds uint64 // bit i: has records of index.kinds[i]; bit 63: of any later kind
}

// An index finds records without reading the log: by number through the
// blocks, newest first through the kinds in them, and by key through tables,
// of which only the newest are in memory.
//
// It is a cache. What it finds is checked against the record.
type index struct {
	log   *slog.Logger
	cache *cache    // nil: tables never become runs
	desks sync.Pool // of *desk

	mu     sync.RWMutex
	kinds  []string      // guarded by mu; at most 63, in order of appearance
	blocks []block       // guarded by mu; by number
	size   int           // guarded by mu; bytes in the last block
	tables []*table      // guarded by mu; oldest first, the last one grows
	runs   []*run        // guarded by mu; older than the tables, oldest first; replaced, never changed
	busy   chan struct{} // guarded by mu; closed when the goroutine that makes runs has ended; nil: there is none
}

// openIndex begins with what the folder dir has, if it is not empty.
func openIndex(dir string, m Mark, log *slog.Logger) *index {
	x := &index{log: log}
	if dir == "" {
		return x
	}
	c := &cache{dir: dir}
	runs, kinds, blocks, err := c.load(m.Base)
	for range 3 {
		if errors.Is(err, fs.ErrNotExist) { // another process joins runs
			runs, kinds, blocks, err = c.load(m.Base)
		}
	}
	switch {
	case errors.Is(err, errOtherForm):
		log.Debug("cache is of another version, reading the log instead", "err", err)
	case err != nil:
		log.Warn("cache cannot be read, reading the log instead", "err", err)
	}
	x.runs, x.kinds, x.blocks, x.size, x.cache = runs, kinds, blocks, blockSize, c
	x.trim(m.Base, m.First)
	return x
}

// through is the last frame that a run knows.
func (x *index) through() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.runs) == 0 {
		return 0
	}
	return x.runs[len(x.runs)-1].end
}

// agrees says whether no run was made from a log with another frame seq.
func (x *index) agrees(seq uint64, sum frame.Sum) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, r := range x.runs {
		if r.end == seq {
			return r.sum == sum
		}
	}
	return true
}

// reset forgets everything.
func (x *index) reset() {
	x.wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cache.remove(x.runs...)
	x.kinds, x.blocks, x.tables, x.runs = nil, nil, nil, nil
}

// addBatch adds a batch that was read.
func (x *index) addBatch(b batch, sum frame.Sum) {
	x.add(b, sum, func(yield func(kind, key string) bool) {
		for e, err := range frame.Entries(b.body) {
			if err != nil || !yield(string(e.Kind), string(e.Key)) {
				return
			}
		}
	})
}

// add adds the batch b, the kinds and keys of whose records are given. sum is
// the hash of its last frame.
func (x *index) add(b batch, sum frame.Sum, keys iter.Seq2[string, string]) {
	if b.end <= x.through() {
		return
	}
	x.mu.Lock()
	for x.busy != nil && len(x.tables) > maxTables {
		busy := x.busy
		x.mu.Unlock()
		<-busy
		x.mu.Lock()
	}
	defer x.mu.Unlock()
	if len(x.blocks) == 0 || x.size >= blockSize {
		x.blocks = append(x.blocks, block{frame: b.frame, first: b.first})
		x.size = 0
	}
	x.size += b.size
	if len(x.tables) == 0 || x.tables[len(x.tables)-1].full() {
		x.tables = append(x.tables, &table{extent: extent{begin: b.frame, first: b.first}})
	}
	t := x.tables[len(x.tables)-1]
	seq, kinds := b.first, &x.blocks[len(x.blocks)-1].kinds
	for kind, key := range keys {
		*kinds |= x.bit(kind, true)
		if key != "" {
			t.put(place{hashKey(kind, key), seq})
		}
		seq++
	}
	t.last, t.end, t.sum = b.last(), b.end, sum
	if t.full() {
		t.sort()
		x.size = blockSize // the next table begins with a block of its own
		x.tidy()
	}
}

// tidy begins to make runs of full tables. x.mu is held.
func (x *index) tidy() {
	if x.busy == nil && x.cache != nil && x.cache.writes {
		x.busy = make(chan struct{})
		go x.makeRuns(x.busy, tableSize)
	}
}

// allow lets the cache change: the log is sound and this is its writer.
func (x *index) allow() {
	if x.cache == nil {
		return
	}
	if err := x.cache.allow(); err != nil {
		x.log.Warn("cache cannot be written, keeping the index in memory", "err", err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tidy()
}

// bit is the bit of kind in block.kinds, or 0 if there is none.
func (x *index) bit(kind string, add bool) uint64 {
	i := slices.Index(x.kinds, kind)
	if i < 0 && len(x.kinds) < 63 {
		if !add {
			return 0
		}
		i = len(x.kinds)
		x.kinds = append(x.kinds, kind)
	}
	if i < 0 {
		i = 63
	}
	return 1 << i
}

// makeRuns turns the oldest tables into runs, as long as they have at least
// so many records, and joins runs so that there are few.
func (x *index) makeRuns(done chan struct{}, atLeast uint64) {
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.busy = nil
		close(done)
	}()
	for {
		x.mu.RLock()
		if len(x.tables) == 0 || x.tables[0].records() < atLeast {
			x.mu.RUnlock()
			return
		}
		t := x.tables[0]
		kinds := slices.Clone(x.kinds)
		lo, hi := x.blockAt(t.first), x.blockAt(t.last)+1
		blocks := slices.Clone(x.blocks[max(lo, 0):hi])
		x.mu.RUnlock()
		r, err := x.cache.write(t, kinds, blocks)
		if err != nil {
			x.log.Warn("cache cannot be written, keeping the index in memory", "err", err)
			return
		}
		x.mu.Lock()
		if len(x.tables) > 0 && x.tables[0] == t { // not trimmed meanwhile
			x.tables = slices.Clone(x.tables[1:])
			x.runs = append(slices.Clone(x.runs), r)
		}
		x.mu.Unlock()
		x.join()
	}
}

// join joins the last two runs while the older is not much larger, so that
// their number grows with the logarithm of the log's length.
func (x *index) join() {
	for {
		x.mu.RLock()
		runs := x.runs
		x.mu.RUnlock()
		n := len(runs)
		if n < 2 || runs[n-2].records() > 2*runs[n-1].records() {
			return
		}
		r, err := x.cache.join(runs[n-2], runs[n-1])
		if err != nil {
			x.log.Warn("cache cannot be written, keeping it in parts", "err", err)
			return
		}
		x.mu.Lock()
		joined := len(x.runs) == n // nothing was trimmed meanwhile
		if joined {
			x.runs = append(slices.Clone(runs[:n-2]), r)
		}
		x.mu.Unlock()
		if !joined {
			x.cache.remove(r)
			return
		}
		x.cache.remove(runs[n-2], runs[n-1])
	}
}

// trim forgets what is before frame base, which begins with record first.
func (x *index) trim(base, first uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := sort.Search(len(x.blocks), func(i int) bool { return x.blocks[i].frame > base })
	if n > 0 {
		x.blocks = slices.Clone(x.blocks[n-1:])
		x.blocks[0].frame, x.blocks[0].first = base, first
	}
	gone := func(end uint64) bool { return end < base }
	x.tables = slices.DeleteFunc(slices.Clone(x.tables), func(t *table) bool { return gone(t.end) })
	kept := slices.DeleteFunc(slices.Clone(x.runs), func(r *run) bool { return gone(r.end) })
	x.cache.remove(x.runs[:len(x.runs)-len(kept)]...)
	x.runs = kept
	if len(x.tables)+len(x.runs) == 0 {
		x.blocks = nil
	}
}

// blockAt is the number of the block with record seq, or -1. x.mu is held.
func (x *index) blockAt(seq uint64) int {
	return sort.Search(len(x.blocks), func(i int) bool { return x.blocks[i].first > seq }) - 1
}

// blockOf is the block with record seq, which must be one that was added.
func (x *index) blockOf(seq uint64) block {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.blocks[max(x.blockAt(seq), 0)]
}

// A span is a block with the sequence of its last frame.
type span struct{ frame, end uint64 }

// blocksBefore yields the blocks that may have records of kind with a number
// below before, newest first. An empty kind is every kind.
func (x *index) blocksBefore(kind string, before uint64) iter.Seq[span] {
	return func(yield func(span) bool) {
		for {
			x.mu.RLock()
			mask := ^uint64(0)
			if kind != "" {
				mask = x.bit(kind, false)
			}
			i := x.blockAt(before - 1)
			for i >= 0 && x.blocks[i].kinds&mask == 0 {
				i--
			}
			if i < 0 {
				x.mu.RUnlock()
				return
			}
			s := span{x.blocks[i].frame, ^uint64(0)}
			if i+1 < len(x.blocks) {
				s.end = x.blocks[i+1].frame - 1
			}
			before = x.blocks[i].first
			x.mu.RUnlock()
			if !yield(s) {
				return
			}
		}
	}
}

// A candidate says that the records from first to last may include the one
// that is looked for: one record, unless a run could not be read.
type candidate struct {
	first, last uint64
	unread      error
}

// lookup yields where a record of kind with key may be, newest first.
func (x *index) lookup(kind, key string) iter.Seq[candidate] {
	return func(yield func(candidate) bool) {
		hash := hashKey(kind, key)
		for below := ^uint64(0); ; {
			c, ok := x.lookupBelow(hash, below)
			if !ok || !yield(c) {
				return
			}
			below = c.first
		}
	}
}

// lookupBelow finds the newest candidate with a number below the given one.
func (x *index) lookupBelow(hash, below uint64) (candidate, bool) {
	x.mu.RLock()
	runs := x.runs
	for _, t := range slices.Backward(x.tables) {
		if seq, ok := t.find(hash, below); ok {
			x.mu.RUnlock()
			return candidate{first: seq, last: seq}, true
		}
	}
	x.mu.RUnlock()
	if len(runs) == 0 {
		return candidate{}, false
	}
	d, ok := x.desks.Get().(*desk)
	if !ok {
		d = new(desk)
	}
	defer x.desks.Put(d)
	for _, r := range slices.Backward(runs) {
		if r.first >= below {
			continue
		}
		seq, ok, err := r.find(hash, below, d)
		if err != nil {
			return candidate{r.first, min(r.last, below-1), err}, true
		}
		if ok {
			return candidate{first: seq, last: seq}, true
		}
	}
	return candidate{}, false
}

func (x *index) wait() {
	x.mu.RLock()
	busy := x.busy
	x.mu.RUnlock()
	if busy != nil {
		<-busy
	}
}

// close writes what is in memory to the cache, so that the next start need not
// read it again.
func (x *index) close() {
	x.wait()
	if x.cache != nil && x.cache.writes {
		x.makeRuns(make(chan struct{}), 1)
	}
	for _, r := range x.runs {
		r.file.Close()
	}
}

// A table is the part of the index that is not in a run yet.
type table struct {
	extent
	keys   []place // by number, or once full: by hash and number
	sorted bool
	newest map[uint64]uint64 // by hash, the newest number, until it is sorted
}

// An extent is a run of whole batches.
type extent struct {
	begin, end  uint64    // frames
	first, last uint64    // records
	sum         frame.Sum // hash of the last frame
}

func (e extent) records() uint64 { return e.last - e.first + 1 }

// A place is where a key may be found.
type place struct {
	hash uint64 // of kind and key
	seq  uint64
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.seq, b.seq))
}

func (t *table) full() bool { return t.records() >= tableSize }

func (t *table) sort() {
	slices.SortFunc(t.keys, comparePlaces)
	t.sorted, t.newest = true, nil
}

// put adds the place of the newest record that has a key.
func (t *table) put(p place) {
	if t.newest == nil {
		t.newest = make(map[uint64]uint64, tableSize)
	}
	t.keys, t.newest[p.hash] = append(t.keys, p), p.seq
}

// find is the newest number below the given one with hash.
func (t *table) find(hash, below uint64) (uint64, bool) {
	if t.sorted {
		return newestBelow(t.keys, hash, below)
	}
	if seq, ok := t.newest[hash]; !ok || seq < below {
		return seq, ok
	}
	for _, p := range slices.Backward(t.keys) {
		if p.hash == hash && p.seq < below {
			return p.seq, true
		}
	}
	return 0, false
}

// newestBelow is table.find in sorted places.
func newestBelow(sorted []place, hash, below uint64) (uint64, bool) {
	n, _ := slices.BinarySearchFunc(sorted, place{hash, below}, comparePlaces)
	if n == 0 || sorted[n-1].hash != hash {
		return 0, false
	}
	return sorted[n-1].seq, true
}

func hashKey(kind, key string) uint64 {
	x := uint64(14695981039346656037) // FNV-1a
	for _, s := range [...]string{kind, "\x00", key} {
		for i := range len(s) {
			x = (x ^ uint64(s[i])) * 1099511628211
		}
	}
	x = (x ^ x>>33) * 0xff51afd7ed558ccd // murmur3's finalizer: even in the high bits, too
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
