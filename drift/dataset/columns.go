package dataset

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// EachColumn reads all rows, on all processors, and hands the values of every
// column to each, part by part: those of one column one part after the other, in
// the order of the rows, those of several columns at the same time. A part is
// valid until each returns. What is handed out does not depend on the number of
// processors. The first error ends it, other than io.EOF; so does ctx. It is
// called in place of Read, not after it. Of columns that are not wanted it hands out
// nothing; see [Options.Only].
func (d *Reader) EachColumn(ctx context.Context, each func(column int, v *Values, rows int) error) error {
	if d.table != nil {
		return d.eachOfTable(ctx, each)
	}
	return d.eachOfText(ctx, each)
}

// eachOfText has records cut into blocks by one goroutine, their fields found by
// several, and the columns of one block after the other taken from them and handed
// out side by side.
func (d *Reader) eachOfText(ctx context.Context, each func(column int, v *Values, rows int) error) error {
	workers := runtime.GOMAXPROCS(0)
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)

	// The first lines of JSON have been read for the names; and types are inferred
	// from the same rows as by Read.
	for first := true; first || d.json != nil && len(d.json.ahead) > 0; first = false {
		batch, err := d.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fork(ctx, workers, len(d.names), func(_, i int) error {
			if !d.wants(i) {
				return nil
			}
			return each(i, &batch.Columns[i], batch.Rows)
		}); err != nil {
			return err
		}
	}

	d.batches, d.arenas = [2]Batch{}, [2][]byte{}

	work, order := make(chan *block, workers+1), make(chan *block, workers+1)
	free := make(chan *block, workers+2)
	for range cap(free) {
		free <- &block{}
	}
	var cut error // that ended the cutting; read once order is closed
	var odd *Panic
	running.Go(func() {
		defer close(work)
		defer close(order)
		odd = Catch(func() {
			for {
				var b *block
				select {
				case b = <-free:
				case <-ctx.Done():
					cut = context.Cause(ctx)
					return
				}
				b.lines = d.split.lines
				if b.text, cut = d.split.block(b.text, d.mostLines()); cut != nil {
					return
				}
				b.found = make(chan struct{})
				order <- b // has room for all that there are
				work <- b
			}
		})
	})
	for range workers {
		running.Go(func() {
			finder := d.finder()
			for b := range work {
				b.odd = Catch(func() { b.err = finder.find(b) })
				close(b.found)
			}
		})
	}
	columns := make([]Values, workers) // one at a time each
	for b := range order {
		<-b.found
		if b.odd != nil {
			panic(b.odd)
		}
		d.counts.Add(b.counts)
		if b.err != nil {
			return b.err
		}
		err := fork(ctx, workers, len(d.names), func(worker, i int) error {
			if !d.wants(i) {
				return nil
			}
			c := &columns[worker]
			c.read(d.types[i], d.given[i], b, i)
			d.types[i] = c.Type
			return each(i, c, b.rows)
		})
		if err != nil {
			return err
		}
		free <- b
	}
	if odd != nil {
		panic(odd)
	}
	for i := range columns {
		d.counts.NotUTF8 += columns[i].notUTF8
	}
	if cut != io.EOF {
		return cut
	}
	return nil
}

// fork is spread, until ctx ends.
func fork(ctx context.Context, workers, n int, do func(worker, i int) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return spread(workers, n, do)
}

// spread does n things by as many goroutines as there are workers, and gives the
// error of the first of them that has one. If one panics, so does spread.
func spread(workers, n int, do func(worker, i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var odd atomic.Pointer[Panic]
	one := func(worker int) {
		p := Catch(func() {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[i] = do(worker, i); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
		if p != nil {
			odd.Store(p)
			failed.Store(true)
		}
	}
	var running sync.WaitGroup
	for worker := 1; worker < min(workers, n); worker++ {
		running.Go(func() { one(worker) })
	}
	one(0)
	running.Wait()
	if p := odd.Load(); p != nil {
		panic(p)
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// block cuts the next records, about s.blockSize bytes of them: always the same,
// whatever the pieces that the stream comes in. Where each line is a record there
// are most lines in it; most is 0 for CSV. What it gives is the caller's, who hands
// it back to be used again.
func (s *splitter) block(used []byte, most int) ([]byte, error) {
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
			n = lastRecord(text, most > 0)
		}
		if n == 0 && len(text) <= s.maxRecord+2 {
			continue // the end of the record is needed
		}
		if n == 0 {
			n = len(text) // too long, as will be said where its fields are looked for
		}
		lines := bytes.Count(text[:n], []byte{'\n'})
		if most > 0 && lines > most {
			n, lines = 0, most
			for range most {
				n += bytes.IndexByte(text[n:], '\n') + 1
			}
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
		s.lines += int64(lines)
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
