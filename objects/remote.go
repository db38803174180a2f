package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// resumptions is how often in a row a connection may break without a byte.
const resumptions = 5

// A fetch gives the bytes of one version of an object from an offset on, and up
// to another, which is not negative.
type fetch func(ctx context.Context, from, to int64) (io.ReadCloser, error)

// A stream is an object that is read over the network from end to end. It goes
// on where a connection broke.
type stream struct {
	ctx      context.Context
	uri      string
	end      int64 // offset where it ends; -1: the server does not say
	at       int64
	body     io.ReadCloser // from at on; nil: to be fetched
	fetch    fetch         // nil: it cannot go on
	patience time.Duration // for the next bytes
}

func (r *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for broken := 0; ; broken++ {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if r.end >= 0 && r.at >= r.end {
			return 0, io.EOF
		}
		n, err := r.next(p)
		if n > 0 || err == nil || err == io.EOF && r.end < 0 {
			return n, err
		}
		if r.ctx.Err() != nil {
			return 0, r.ctx.Err()
		}
		var failed *failure
		if errors.As(err, &failed) && failed.final || r.fetch == nil || broken == resumptions {
			if failed != nil {
				return 0, failed
			}
			return 0, &failure{kind: ErrUnavailable, text: fmt.Sprintf("read %s: the connection broke at byte %d: %v", shown(r.uri), r.at, err)}
		}
		if err := wait(r.ctx, broken); err != nil {
			return 0, err
		}
	}
}

// next reads on, on a new connection if the last one broke.
func (r *stream) next(p []byte) (n int, err error) {
	if r.body == nil {
		if r.body, err = r.fetch(r.ctx, r.at, r.end); err != nil {
			return 0, err
		}
	}
	if r.end >= 0 {
		p = p[:min(int64(len(p)), r.end-r.at)]
	}
	// A peer that says nothing any more is a broken connection.
	body := r.body
	silent := time.AfterFunc(r.patience, func() { body.Close() })
	n, err = body.Read(p)
	quiet := !silent.Stop()
	r.at += int64(n)
	if err == nil && !quiet {
		return n, nil
	}
	if err == io.EOF && r.end >= 0 && r.at < r.end {
		err = io.ErrUnexpectedEOF
	}
	if quiet && err != nil {
		err = fmt.Errorf("nothing has come for %v: %w", r.patience, err)
	}
	body.Close()
	if r.body = nil; err == io.EOF && r.end < 0 {
		r.end = r.at
	}
	return n, err
}

// wait waits before the next try: about 100 ms, and twice as long each time.
func wait(ctx context.Context, tries int) error {
	pause := time.NewTimer(50*time.Millisecond<<tries + rand.N(100*time.Millisecond<<tries))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
		return nil
	}
}

func (r *stream) Close() error {
	if r.body == nil {
		return nil
	}
	body := r.body
	r.body = nil
	return body.Close()
}

const (
	blockSize = 1 << 20 // bytes that are asked for at a time by ReadAt
	blocks    = 24      // that are kept
)

// A remote is an object that is read over the network, from end to end or in any
// order.
type remote struct {
	stream
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu   sync.Mutex
	kept map[int64]*block // guarded by mu; by offset over blockSize
	uses int64            // guarded by mu
}

// A block is a part of an object; it has come once done is closed.
type block struct {
	done chan struct{}
	data []byte
	err  error
	used int64 // which of the uses was its last
}

// newRemote reads an object of size bytes, whose body has begun to come.
func newRemote(ctx context.Context, uri string, size int64, body io.ReadCloser, fetch fetch, patience time.Duration) *remote {
	ctx, cancel := context.WithCancel(ctx)
	return &remote{
		stream: stream{ctx: ctx, uri: uri, end: size, body: body, fetch: fetch, patience: patience},
		cancel: cancel, kept: map[int64]*block{},
	}
}

// Size is the object's length in bytes.
func (r *remote) Size() (int64, error) { return r.end, nil }

// ReadAt reads from an offset on. Where it is used in order, the next block is
// asked for while one is read.
func (r *remote) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 {
		return 0, fmt.Errorf("read %s: offset %d is before the beginning", shown(r.uri), at)
	}
	done := 0
	for done < len(p) {
		if at >= r.end {
			return done, io.EOF
		}
		b := r.block(at / blockSize)
		select {
		case <-b.done:
		case <-r.ctx.Done():
			return done, r.ctx.Err()
		}
		if b.err != nil {
			return done, b.err
		}
		n := copy(p[done:], b.data[at%blockSize:])
		done += n
		at += int64(n)
	}
	return done, nil
}

// block gives a block, which is asked for if it is not there, and so is the next
// one after two in order.
func (r *remote) block(i int64) *block {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses++
	b := r.ask(i)
	b.used = r.uses
	if r.kept[i-1] != nil && (i+1)*blockSize < r.end {
		r.ask(i + 1).used = r.uses
	}
	return b
}

// ask gives a block that is there, or begins to fetch it. mu is held.
func (r *remote) ask(i int64) *block {
	if b := r.kept[i]; b != nil {
		return b
	}
	if len(r.kept) >= blocks {
		oldest := int64(-1)
		for j, b := range r.kept {
			if oldest < 0 || b.used < r.kept[oldest].used {
				oldest = j
			}
		}
		delete(r.kept, oldest) // who waits for it has it still
	}
	b := &block{done: make(chan struct{})}
	r.kept[i] = b
	r.asking.Go(func() {
		defer close(b.done)
		from, to := i*blockSize, min((i+1)*blockSize, r.end)
		part := stream{ctx: r.ctx, uri: r.uri, at: from, end: to, fetch: r.fetch, patience: r.patience}
		defer part.Close()
		b.data = make([]byte, to-from)
		if _, b.err = io.ReadFull(&part, b.data); b.err != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.kept[i] == b {
				delete(r.kept, i) // to be asked for again
			}
		}
	})
	return b
}

// Close ends all that is asked for.
func (r *remote) Close() error {
	r.cancel()
	err := r.stream.Close()
	r.asking.Wait()
	return err
}
