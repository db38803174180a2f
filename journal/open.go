package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Open verifies the log in store and returns the journal over it, which from
// then on owns the store. If the log is not sound it returns an
// [UnsoundError] and has changed nothing.
//
// A frame that was being written in a crash, and that nothing follows, is not
// damage: it was never acknowledged, and the next Append replaces it.
func Open(ctx context.Context, store Store, opts Options) (*Journal, error) {
	j := &Journal{store: store, log: opts.Logger, readOnly: opts.ReadOnly,
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	if j.log == nil {
		j.log = slog.Default()
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open the journal: %w", context.Cause(ctx))
	}
	mark, err := startMark(ctx, store)
	if err != nil {
		return nil, unsound("open the journal", err)
	}
	j.mark = mark
	j.index = openIndex(opts.Cache, mark, j.log)
	if j.readOnly {
		err = j.catchUp(ctx)
	} else if err = j.verify(ctx); err == nil {
		// The store now knows what of its log is sound.
		err = j.setMark(ctx, j.mark, true)
	}
	if err != nil {
		j.index.close()
		return nil, unsound("open the journal", err)
	}
	j.first, j.last, j.base, j.tip, j.kept = j.mark.First, j.mark.Last, j.mark.Base, j.mark.Tip, newKept(nil)
	seq, c, err := j.newestCheckpoint(ctx)
	if err != nil {
		j.index.close()
		return nil, unsound("open the journal", err)
	}
	if seq != 0 {
		j.begin(c)
	}
	if j.readOnly {
		close(j.done)
	} else {
		j.index.allow()
		go j.run()
	}
	return j, nil
}

func unsound(doing string, err error) error {
	var damage *DamageError
	if errors.As(err, &damage) {
		err = &UnsoundError{damage}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// startMark is the store's mark, or the first one of an empty store.
func startMark(ctx context.Context, store Store) (Mark, error) {
	mark, err := store.Mark(ctx)
	if err != nil || mark.Order != 0 {
		return mark, err
	}
	for f, err := range store.Read(ctx, 0, false) {
		if err != nil {
			return Mark{}, err
		}
		return Mark{}, &DamageError{NoMark, f.File, f.Offset, f.Seq, "there are frames, but the mark that says which is the last is gone"}
	}
	return Mark{Base: 1, First: 1}, nil
}

// verify reads the whole log, checks it against the mark, and fills the index
// with what the cache does not have. It leaves the true end in the mark.
func (j *Journal) verify(ctx context.Context) error {
	stale, err := j.scan(ctx)
	if err == nil && stale {
		j.log.Warn("cache is of another log, making it again")
		j.index.reset()
		_, err = j.scan(ctx)
	}
	return err
}

func (j *Journal) scan(ctx context.Context) (staleCache bool, err error) {
	m := j.mark
	c := chain{seq: m.Base - 1, sum: m.BaseHash, next: m.First}
	var torn *DamageError // the first damage; bearable beyond the mark if nothing follows
	last := Frame{Seq: c.seq}
	for f, err := range openAll(ctx, j.store.Read(ctx, m.Base, false)) {
		var b batch
		var complete bool
		var damage *DamageError
		if err != nil {
			if !errors.As(err, &damage) {
				return false, err
			}
		} else if torn != nil && f.bad == nil {
			return false, torn
		} else {
			b, complete, damage = c.add(f)
			if damage == nil && f.Seq == m.Tip && f.sum != m.TipHash {
				return false, notTip(f)
			}
		}
		if damage != nil {
			if c.seq < m.Tip || torn != nil {
				return false, cmp.Or(torn, damage)
			}
			torn = damage
			continue
		}
		last = f.Frame
		j.epoch = max(j.epoch, f.head.Epoch)
		if !j.index.agrees(f.Seq, f.sum) {
			staleCache = true
		}
		if complete && !staleCache {
			j.index.addBatch(b, f.sum)
		}
	}
	if c.seq < m.Tip {
		return false, tooShort(last, m)
	}
	if j.index.through() > c.seq {
		staleCache = true
	}
	if torn != nil {
		j.log.Info("the last write was torn, it was never acknowledged and will be replaced", "err", torn)
	}
	j.epoch++
	j.mark.Tip, j.mark.TipHash, j.mark.Last = c.seq, c.sum, c.next-1
	return staleCache, nil
}

// catchUp reads what is behind the cache, up to the mark.
func (j *Journal) catchUp(ctx context.Context) error {
	m := j.mark
	c := chain{seq: m.Base - 1, sum: m.BaseHash, next: m.First}
	from := m.Base
	if through := j.index.through(); through > m.Tip {
		j.index.reset()
	} else if through >= from {
		for f, err := range j.store.Read(ctx, through, false) {
			if err != nil {
				return err
			}
			if f := open(f); f.bad == nil && j.index.agrees(f.Seq, f.sum) {
				c, from = chain{seq: f.Seq, sum: f.sum, next: f.head.First + uint64(f.head.Count)}, through+1
			} else {
				j.index.reset()
			}
			break
		}
	}
	if c.seq >= m.Tip {
		return nil
	}
	last := Frame{Seq: c.seq}
	for f, err := range openAll(ctx, j.store.Read(ctx, from, false)) {
		if err != nil {
			return err
		}
		last = f.Frame
		b, complete, damage := c.add(f)
		if damage != nil {
			return damage
		}
		if complete {
			j.index.addBatch(b, f.sum)
		}
		if f.Seq == m.Tip {
			return nil
		}
	}
	return tooShort(last, m)
}
