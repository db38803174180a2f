package journal

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// A cache is the folder of the runs.
//
// A run is a file of places, sorted by hash and number, in pages that each
// have a checksum: CRC-32C, count (both uint32), 8 zeros, {hash, number
// uint64}…. Behind the pages are the first place of each, the extent's blocks and
// kinds, and a footer.
// Files are not synced: one that the power took fails its checksums and is
// made again.
type cache struct {
	dir    string
	writes bool     // nothing is changed before allow
	stale  []string // to be removed then
}

// A run is the index of an extent in a file.
type run struct {
	extent
	path   string
	file   *os.File // closed by the garbage collector if the run was joined: somebody may still read
	begins []place  // the first of each page
	filter filter   // of its hashes, where this process has written it
}

const (
	pageSize   = 4096
	pageHeader = 16
	placeSize  = 16
	perPage    = (pageSize - pageHeader) / placeSize
	footerSize = 96
	runMagic   = "\x89anx\x02\x00\x00\x00"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errOtherForm is of what another version of this program made, in its form.
var errOtherForm = errors.New("another version made it")

// load opens the runs that follow each other from frame base on, and returns
// the kinds and blocks in them. The other files are of no use.
func (c *cache) load(base uint64) (runs []*run, kinds []string, blocks []block, err error) {
	names, err := filepath.Glob(filepath.Join(c.dir, "*.run*"))
	if err != nil {
		return nil, nil, nil, err
	}
	var all []*run
	for _, name := range names {
		r := &run{path: name}
		if _, err := fmt.Sscanf(filepath.Base(name), "%d-%d.run", &r.begin, &r.end); err == nil && filepath.Ext(name) == ".run" {
			all = append(all, r)
		} else {
			c.remove(r)
		}
	}
	slices.SortFunc(all, func(a, b *run) int { // where two begin, the joined one first
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(b.end, a.end))
	})
	for _, r := range all {
		follows := len(runs) == 0 && r.begin <= base && r.end >= base ||
			len(runs) > 0 && r.begin == runs[len(runs)-1].end+1
		if follows {
			k, b, rerr := r.open()
			if rerr == nil {
				runs, kinds, blocks = append(runs, r), k, append(blocks, b...)
				continue
			}
			err = errors.Join(err, rerr)
		}
		c.remove(r)
	}
	return runs, kinds, blocks, err
}

// remove removes runs that are of no use any more.
func (c *cache) remove(runs ...*run) {
	for _, r := range runs {
		if c.writes {
			// What cannot be removed now is found again by a later load.
			_ = os.Remove(r.path)
		} else {
			c.stale = append(c.stale, r.path)
		}
	}
}

// allow lets the cache change its folder from now on.
func (c *cache) allow() error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	for _, path := range c.stale {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	c.stale, c.writes = nil, true
	return nil
}

// open reads what is behind the pages.
func (r *run) open() (kinds []string, blocks []block, err error) {
	f, err := os.Open(r.path)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = fmt.Errorf("%s: %w", r.path, err)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	le := binary.LittleEndian
	foot := make([]byte, footerSize)
	if _, err := f.ReadAt(foot, info.Size()-footerSize); err != nil {
		return nil, nil, err
	}
	at := int64(le.Uint64(foot[8:]))
	if string(foot[:4]) == runMagic[:4] && string(foot[:8]) != runMagic {
		return nil, nil, errOtherForm
	}
	if string(foot[:8]) != runMagic || at < 0 || at%pageSize != 0 || at > info.Size()-footerSize {
		return nil, nil, errors.New("footer is not one")
	}
	tail := make([]byte, info.Size()-at)
	if _, err := f.ReadAt(tail, at); err != nil {
		return nil, nil, err
	}
	if crc32.Checksum(tail[:len(tail)-4], castagnoli) != le.Uint32(tail[len(tail)-4:]) {
		return nil, nil, errors.New("footer does not match its checksum")
	}
	e := extent{begin: le.Uint64(foot[24:]), end: le.Uint64(foot[32:]), first: le.Uint64(foot[40:]), last: le.Uint64(foot[48:]), sum: frame.Sum(foot[56:88])}
	if e.begin != r.begin || e.end != r.end {
		return nil, nil, errors.New("name is another file's")
	}
	r.extent, r.file, r.begins = e, f, make([]place, at/pageSize)
	for i := range r.begins {
		r.begins[i] = place{le.Uint64(tail), le.Uint64(tail[8:])}
		tail = tail[placeSize:]
	}
	for range le.Uint32(foot[16:]) {
		blocks = append(blocks, block{le.Uint64(tail), le.Uint64(tail[8:]), le.Uint64(tail[16:])})
		tail = tail[24:]
	}
	for range le.Uint32(foot[20:]) {
		n := 1 + int(tail[0])
		kinds = append(kinds, string(tail[1:n]))
		tail = tail[n:]
	}
	return kinds, blocks, nil
}

// write makes a run of a table.
func (c *cache) write(t *table, kinds []string, blocks []block) (*run, error) {
	if !t.sorted {
		t.sort()
	}
	return c.create(t.extent, kinds, blocks, func(yield func(place, error) bool) {
		for _, p := range t.keys {
			if !yield(p, nil) {
				return
			}
		}
	})
}

// join makes one run of two that follow each other.
func (c *cache) join(a, b *run) (*run, error) {
	_, blocks, err := a.reopened()
	if err != nil {
		return nil, err
	}
	kinds, more, err := b.reopened()
	if err != nil {
		return nil, err
	}
	e := extent{a.begin, b.end, a.first, b.last, b.sum}
	return c.create(e, kinds, append(blocks, more...), func(yield func(place, error) bool) {
		next, stop := iter.Pull2(b.places())
		defer stop()
		q, err, ok := next()
		for p, perr := range a.places() {
			for ok && err == nil && perr == nil && comparePlaces(q, p) < 0 {
				if !yield(q, nil) {
					return
				}
				q, err, ok = next()
			}
			if !yield(p, errors.Join(perr, err)) {
				return
			}
		}
		for ok && yield(q, err) {
			q, err, ok = next()
		}
	})
}

func (r *run) reopened() ([]string, []block, error) {
	again := &run{path: r.path, extent: r.extent}
	kinds, blocks, err := again.open()
	if err == nil {
		err = again.file.Close()
	}
	return kinds, blocks, err
}

// create writes a run under another name, then renames it.
func (c *cache) create(e extent, kinds []string, blocks []block, places iter.Seq2[place, error]) (r *run, err error) {
	r = &run{path: filepath.Join(c.dir, fmt.Sprintf("%020d-%020d.run", e.begin, e.end)), extent: e, filter: newFilter(e.records())}
	temp := r.path + ".new"
	f, err := os.Create(temp)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	le := binary.LittleEndian
	page := make([]byte, pageHeader, pageSize)
	flush := func() error {
		if len(page) == pageHeader {
			return nil
		}
		n := (len(page) - pageHeader) / placeSize
		page = page[:pageSize]
		clear(page[pageHeader+n*placeSize:])
		le.PutUint32(page[4:], uint32(n))
		le.PutUint32(page, crc32.Checksum(page[4:], castagnoli))
		_, err := w.Write(page)
		page = page[:pageHeader]
		return err
	}
	for p, err := range places {
		if err != nil {
			return nil, err
		}
		if len(page) == pageHeader {
			r.begins = append(r.begins, p)
		}
		r.filter.add(p.hash)
		page = le.AppendUint64(le.AppendUint64(page, p.hash), p.seq)
		if len(page) == pageHeader+perPage*placeSize {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	sum := crc32.New(castagnoli)
	if err := writeTail(io.MultiWriter(w, sum), sum, r, kinds, blocks); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, r.path); err != nil {
		return nil, err
	}
	r.file = f
	return r, nil
}

func writeTail(w io.Writer, sum hash.Hash32, r *run, kinds []string, blocks []block) error {
	le := binary.LittleEndian
	var b []byte
	for _, p := range r.begins {
		b = le.AppendUint64(le.AppendUint64(b, p.hash), p.seq)
	}
	for _, k := range blocks {
		b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, k.frame), k.first), k.kinds)
	}
	for _, k := range kinds {
		b = append(append(b, byte(len(k))), k...)
	}
	b = append(b, runMagic...)
	b = le.AppendUint64(b, uint64(len(r.begins))*pageSize)
	b = le.AppendUint32(b, uint32(len(blocks)))
	b = le.AppendUint32(b, uint32(len(kinds)))
	for _, v := range []uint64{r.begin, r.end, r.first, r.last} {
		b = le.AppendUint64(b, v)
	}
	b = append(b, r.sum[:]...)
	b = append(b, 0, 0, 0, 0)
	if _, err := w.Write(b); err != nil {
		return err
	}
	_, err := w.Write(le.AppendUint32(nil, sum.Sum32()))
	return err
}

// A page is the pageSize bytes of some places in their order.
type page []byte

func (p page) len() int { return int(binary.LittleEndian.Uint32(p[4:])) }

func (p page) place(k int) place {
	le, at := binary.LittleEndian, pageHeader+k*placeSize
	return place{hash: le.Uint64(p[at:]), seq: le.Uint64(p[at+8:])}
}

// read reads page i, which has at least one place.
func (r *run) read(i int, p page) error {
	if _, err := r.file.ReadAt(p, int64(i)*pageSize); err != nil {
		return err
	}
	if n := p.len(); binary.LittleEndian.Uint32(p) != crc32.Checksum(p[4:], castagnoli) || n > perPage || n == 0 {
		return fmt.Errorf("%s: page %d does not match its checksum", r.path, i)
	}
	return nil
}

// places yields all places in order.
func (r *run) places() iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		p := make(page, pageSize)
		for i := range r.begins {
			if err := r.read(i, p); err != nil {
				yield(place{}, err)
				return
			}
			for k := range p.len() {
				if !yield(p.place(k), nil) {
					return
				}
			}
		}
	}
}

// A desk has room for the page that a search looks at.
type desk [pageSize]byte

// find is the newest number below the given one with hash.
func (r *run) find(hash, below uint64, d *desk) (seq uint64, ok bool, err error) {
	before := func(p place) bool { return comparePlaces(p, place{hash, below}) < 0 }
	i := sort.Search(len(r.begins), func(i int) bool { return !before(r.begins[i]) }) - 1
	if i < 0 || r.filter.lacks(hash) {
		return 0, false, nil
	}
	p := page(d[:])
	if err := r.read(i, p); err != nil {
		return 0, false, err
	}
	n := sort.Search(p.len(), func(k int) bool { return !before(p.place(k)) })
	if n == 0 {
		return 0, false, fmt.Errorf("%s: page %d does not begin as it should", r.path, i)
	}
	newest := p.place(n - 1)
	return newest.seq, newest.hash == hash, nil
}
