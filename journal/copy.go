package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// ErrNotEmpty is the error of a copy to a journal that has records.
var ErrNotEmpty = errors.New("there is a journal with records: want an empty one to copy to")

// Import writes records, which have ascending numbers, to dst, which must be
// empty. They keep their numbers; where some are missing there is a gap, as
// after [Salvage]. It returns how many there were. Where it fails dst holds a
// part of them. Afterwards dst is for the caller to close.
func Import(ctx context.Context, dst Store, records iter.Seq2[Record, error]) (n int, err error) {
	err = copyTo(ctx, dst, func(c *copier) error {
		next := uint64(1)
		var body []byte
		for r, err := range records {
			if err == nil && r.Seq < next {
				err = fmt.Errorf("record %d comes after record %d: want ascending numbers", r.Seq, next-1)
			}
			if err == nil {
				err = r.check()
			}
			if err != nil {
				return err
			}
			next = r.Seq + 1
			body = frame.AppendEntry(body[:0], r.Kind, r.Key, r.Data)
			if err := c.add(batch{first: r.Seq, count: 1, body: body}); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("import: %w", err)
	}
	return n, nil
}

// copyTo has fill write numbered batches to an empty store.
func copyTo(ctx context.Context, dst Store, fill func(*copier) error) error {
	j, err := Open(ctx, keepOpen{dst}, Options{})
	if err != nil {
		return err
	}
	if j.Last() != 0 {
		return errors.Join(ErrNotEmpty, j.Close())
	}
	err = j.submit(ctx, newPending(func() error {
		c := &copier{journal: j, body: make([]byte, frame.HeaderSize)}
		return errors.Join(fill(c), c.flush())
	}))
	return errors.Join(err, j.Close())
}

type keepOpen struct{ Store }

func (keepOpen) Close() error { return nil }

// copyRoom is how many bytes a frame of a copy holds, as long as a record is not
// larger: a damaged frame costs all that is in it.
const copyRoom = 64 << 10

// A copier packs batches with given, ascending numbers into frames. It belongs
// to the committer.
type copier struct {
	journal *Journal
	body    []byte // room for a header, and the entries of count records from number first on
	first   uint64
	count   int
}

func (c *copier) add(b batch) error {
	if mark := &c.journal.mark; mark.Last == 0 && c.count == 0 {
		mark.First, mark.Last = b.first, b.first-1
	}
	if b.first != c.first+uint64(c.count) || len(c.body)+len(b.body) > copyRoom {
		if err := c.flush(); err != nil {
			return err
		}
		c.first = b.first
	}
	c.body = append(c.body, b.body...)
	c.count += b.count
	return nil
}

func (c *copier) flush() (err error) {
	if c.count > 0 {
		err = c.journal.write(&batch{first: c.first, count: c.count}, c.body)
	}
	c.body, c.count = c.body[:frame.HeaderSize], 0
	return err
}
