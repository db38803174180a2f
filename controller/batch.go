package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal/journal"
)

// A batch is what one round of the loop does: records that are appended
// together, already folded into the state, and what is done once they are
// durable.
type batch struct {
	c       *Controller
	taken   takenRecord
	records []journal.Record
	then    []func(context.Context)
	err     error
}

func newBatch(c *Controller) *batch { return &batch{c: c} }

// put adds a record and folds it into the state.
func (b *batch) put(kind, key string, value any) {
	data, err := encode(value)
	if err != nil {
		b.fail(fmt.Errorf("encode %s %s: %w", kind, key, err))
		return
	}
	b.putData(kind, key, data)
}

func (b *batch) putData(kind, key string, data []byte) {
	record := journal.Record{Kind: kind, Key: key, Data: data}
	if err := b.c.state.Apply(record); err != nil {
		b.fail(err)
		return
	}
	b.records = append(b.records, record)
}

func (b *batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// encode is v as JSON that a person can read: `>=` stays what it is.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// open adds a wake; the record that holds it goes before all others.
func (b *batch) open(w *wake) {
	b.taken.Wakes = append(b.taken.Wakes, w)
	b.c.state.woken(w)
	b.c.want(w)
}

// commit appends the batch. A full disk is waited out: the state is ahead of
// the journal by this batch, so the loop goes no further without it.
func (c *Controller) commit(ctx context.Context, b *batch) error {
	if b.err != nil {
		return b.err
	}
	records := b.records
	if b.taken.UpTo > c.state.Taken {
		data, err := json.Marshal(b.taken)
		if err != nil {
			return fmt.Errorf("encode what was taken: %w", err)
		}
		records = append([]journal.Record{{Kind: KindTaken, Data: data}}, records...)
		c.state.Taken = b.taken.UpTo
	}
	if len(records) == 0 {
		return nil
	}
	for attempt := 0; ; attempt++ {
		last, err := c.cfg.Journal.Append(ctx, records...)
		if err == nil {
			c.state.Seq = last
			if attempt > 0 {
				c.log.Info("journal has space again")
			}
			return nil
		}
		if !errors.Is(err, journal.ErrFull) {
			return err
		}
		if attempt == 0 {
			c.full.Store(true)
			defer c.full.Store(false)
			c.log.Error("journal is full; waiting for space", "err", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}
