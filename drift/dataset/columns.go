package dataset

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// EachColumn reads all rows, on all processors, and hands the values of every
// column to each, part by part: those of one column one part after the other, in
// the order of the rows, those of several columns at the same time. A part is
// valid until each returns. What is handed out does not depend on the number of
// processors. The first error ends it, other than io.EOF; so does ctx. It is
// called in place of Read, not after it.
func (d *Reader) EachColumn(ctx context.Context, each func(column int, v *Values, rows int) error) error {
	if d.table != nil {
		return d.eachOfTable(ctx, each)
	}
	return d.eachOfText(ctx, each)
}

// blockSize is how much text is parsed at a time.
const blockSize = 256 << 10

// A block is text that holds whole records, and what is in it.
type block struct {
	text    []byte
	lines   int64 // that ended before it
	parsed  chan struct{}
	types   []Type // the columns were read as; Empty: not known then
	escaped []byte // under the text that had escapes
	batch   Batch
	counts  Counts
	err     error
}

// eachOfText has records cut into blocks by one goroutine, the blocks parsed by
// several, and their columns handed out in order.
func (d *Reader) eachOfText(ctx context.Context, each func(column int, v *Values, rows int) error) error {
	workers := runtime.GOMAXPROCS(0)
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)

	// The first lines of JSON have been read for the names; and the types are best
	// known before the rest is parsed.
	for first := true; first || d.json != nil && len(d.json.ahead) > 0; first = false {
		batch, err := d.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fork(ctx, workers, batch, each); err != nil {
			return err
		}
	}

	work, order := make(chan *block, workers+1), make(chan *block, workers+1)
	free := make(chan *block, workers+2)
	for range cap(free) {
		free <- &block{batch: Batch{Columns: make([]Values, len(d.names))}}
	}
	types := &atomic.Pointer[[]Type]{}
	known := slices.Clone(d.types)
	types.Store(&known)
	var cut error // that ended the cutting; read once order is closed
	running.Go(func() {
		defer close(work)
		defer close(order)
		for {
			var b *block
			select {
			case b = <-free:
			case <-ctx.Done():
				cut = context.Cause(ctx)
				return
			}
			b.lines = d.split.lines
			if b.text, cut = d.split.block(b.text, d.json != nil); cut != nil {
				return
			}
			b.parsed = make(chan struct{})
			order <- b // has room for all that there are
			work <- b
		}
	})
	for range workers {
		running.Go(func() {
			parser := d.parser()
			for b := range work {
				b.types = *types.Load()
				b.err = parser.parse(b)
				close(b.parsed)
			}
		})
	}
	for b := range order {
		<-b.parsed
		d.counts.Add(b.counts)
		if b.err != nil {
			return b.err
		}
		changed := false
		for i := range b.batch.Columns {
			c := &b.batch.Columns[i]
			if b.types[i] != Empty {
				continue
			}
			if d.types[i] == Empty { // these may be the first values
				c.infer(false)
				d.types[i] = c.Type
				changed = changed || c.Type != Empty
			} else {
				c.become(d.types[i])
			}
		}
		if changed {
			known := slices.Clone(d.types)
			types.Store(&known)
		}
		if err := fork(ctx, workers, &b.batch, each); err != nil {
			return err
		}
		free <- b
	}
	if cut != io.EOF {
		return cut
	}
	return nil
}

// fork hands out the columns of a batch.
func fork(ctx context.Context, workers int, batch *Batch, each func(column int, v *Values, rows int) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if batch.Rows == 0 {
		return nil
	}
	return spread(workers, len(batch.Columns), func(i int) error {
		return each(i, &batch.Columns[i], batch.Rows)
	})
}

// spread does n things by as many goroutines as there are workers, and gives the
// error of the first of them that has one.
func spread(workers, n int, do func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	one := func() {
		for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
			if errs[i] = do(i); errs[i] != nil {
				failed.Store(true)
			}
		}
	}
	var running sync.WaitGroup
	for range min(workers, n) - 1 {
		running.Go(one)
	}
	one()
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// block cuts the next records, about s.blockSize bytes of them: always the same,
// whatever the pieces that the stream comes in. What it gives is the caller's,
// who hands it back to be used again.
func (s *splitter) block(used []byte, lines bool) ([]byte, error) {
	for want := s.blockSize; ; want *= 2 {
		for s.end-s.start < want && !s.eof {
			if err := s.fill(); err != nil {
				return nil, err
			}
		}
		text := s.buf[s.start:min(s.end, s.start+want)]
		n := len(text)
		if n == 0 {
			return nil, io.EOF
		}
		if !s.eof || s.start+n < s.end {
			n = lastRecord(text, lines)
		}
		if n == 0 && len(text) <= s.maxRecord+2 {
			continue // the end of the record is needed
		}
		if n == 0 {
			n = len(text) // too long, as the parser will say
		}
		rest := s.buf[s.start+n : s.end]
		if cap(used) < len(s.buf) {
			used = make([]byte, len(s.buf))
		}
		given := text[:n]
		used = used[:cap(used)]
		copy(used, rest)
		s.offset += int64(s.start + n)
		s.buf, s.start, s.end = used, 0, len(rest)
		s.lines += int64(bytes.Count(given, []byte("\n")))
		return given, nil
	}
}

// lastRecord is where the last whole record of text ends, which begins with one.
func lastRecord(text []byte, lines bool) int {
	if lines || bytes.IndexByte(text, '"') < 0 {
		return bytes.LastIndexByte(text, '\n') + 1
	}
	var q quoting
	last := 0
	for from := 0; ; {
		i := bytes.IndexByte(text[from:], '\n')
		if i < 0 {
			return last
		}
		q.advance(text[from : from+i+1])
		from += i + 1
		if q.state != quoted {
			last, q = from, quoting{}
		}
	}
}

// parser is a reader of blocks.
func (d *Reader) parser() *Reader {
	p := &Reader{opt: d.opt, name: d.name, names: d.names, inPlace: true, split: &splitter{}}
	if d.json != nil {
		p.json = &jsonLines{lines: p.split, index: d.json.index, names: d.json.names, fields: make([][]byte, len(d.names)), inPlace: true}
	}
	return p
}

// parse reads the rows of a block, whose text stays in it.
func (d *Reader) parse(b *block) error {
	s := d.split
	*s = splitter{name: d.name, maxRecord: d.opt.MaxRecord, buf: b.text, end: len(b.text), eof: true, lines: b.lines, fields: s.fields}
	s.bare = bytes.IndexByte(b.text, '"') < 0
	d.counts = Counts{}
	if d.json != nil {
		d.json.text, d.json.skip = b.escaped[:0], 0
	}
	b.batch.Rows = 0
	for i := range b.batch.Columns {
		c := &b.batch.Columns[i]
		*c = Values{Type: b.types[i], Numbers: c.Numbers[:0], Text: c.Text[:0]}
	}
	for {
		fields, err := d.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		d.row(&b.batch, fields, nil)
	}
	b.counts = d.counts
	b.counts.Quotes = s.quotes
	if d.json != nil {
		b.escaped, b.counts.Members = d.json.text, d.json.skip
	}
	return nil
}
