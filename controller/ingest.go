package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// arriving keeps two arrivals of one event apart until the first is durable.
type arriving struct {
	mu  sync.Mutex
	ids map[string]chan struct{} // guarded by mu; closed when decided
}

// claim waits until nobody else brings the event id in, then claims it.
func (a *arriving) claim(ctx context.Context, id string) (release func(), err error) {
	for {
		a.mu.Lock()
		other, busy := a.ids[id]
		if !busy {
			if a.ids == nil {
				a.ids = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			a.ids[id] = mine
			a.mu.Unlock()
			return func() {
				a.mu.Lock()
				delete(a.ids, id)
				a.mu.Unlock()
				close(mine)
			}, nil
		}
		a.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Ingest takes an event in and returns when it is durable. An event whose ID is
// in the journal already is a duplicate: the first one is returned (where only
// its ID is known any more, this one), and nothing changes. Safe for concurrent use, before and while [Controller.Run] runs.
func (c *Controller) Ingest(ctx context.Context, event anneal.Event) (stored anneal.Event, duplicate bool, err error) {
	release, err := c.arriving.claim(ctx, event.ID)
	if err != nil {
		return anneal.Event{}, false, err
	}
	defer release()
	if stored, duplicate, err = c.known(ctx, event); err != nil || duplicate {
		return stored, duplicate, err
	}
	record, err := arrival(event)
	if err != nil {
		return anneal.Event{}, false, err
	}
	if _, err := c.cfg.Journal.Append(ctx, record); err != nil {
		return anneal.Event{}, false, fmt.Errorf("record event %s: %w", event.ID, err)
	}
	return event, false, nil
}

// IngestAll is Ingest of several events, which become durable at once and in
// their order: see [triggers.BatchSink]. Safe for concurrent use too.
func (c *Controller) IngestAll(ctx context.Context, events []anneal.Event) (duplicates []int, err error) {
	ids := make([]string, len(events))
	for i, event := range events {
		ids[i] = event.ID
	}
	slices.Sort(ids) // two who claim the same do so in one order
	for _, id := range slices.Compact(ids) {
		release, err := c.arriving.claim(ctx, id)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	var news []anneal.Event
	taken := make(map[string]bool, len(events))
	for i, event := range events {
		duplicate := taken[event.ID]
		if !duplicate {
			if _, duplicate, err = c.known(ctx, event); err != nil {
				return nil, err
			}
		}
		if duplicate {
			duplicates = append(duplicates, i)
			continue
		}
		taken[event.ID] = true
		news = append(news, event)
	}
	return duplicates, c.record(ctx, news, arrival)
}

// IngestNews takes in events that this program itself makes, tells nowhere else, and
// knows from the journal not to have told: they are not looked for. Their data must
// be on one line, and they have nothing raw.
func (c *Controller) IngestNews(ctx context.Context, events []anneal.Event) error {
	c.news.put(events)
	text, _ := c.texts.Get().(*[]byte)
	if text == nil {
		text = new([]byte)
	}
	rest := (*text)[:0]
	err := c.record(ctx, events, func(event anneal.Event) (r journal.Record, err error) {
		r, rest, err = arrivalOf(event, rest)
		return r, err
	})
	if err != nil {
		c.news.drop(events)
	}
	if *text = rest[:0]; cap(rest) <= mostText { // the journal has it
		c.texts.Put(text)
	}
	return err
}

// record makes events durable together, each in the record that of makes.
func (c *Controller) record(ctx context.Context, events []anneal.Event, of func(anneal.Event) (journal.Record, error)) error {
	records := make([]journal.Record, 0, len(events))
	for _, event := range events {
		record, err := of(event)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if len(records) == 0 {
		return nil
	}
	if _, err := c.cfg.Journal.Append(ctx, records...); err != nil {
		return fmt.Errorf("record %d events: %w", len(records), err)
	}
	return nil
}

// news are events that were just taken in, so that the loop need not read them from
// their records.
type news struct {
	mu     sync.Mutex
	events map[string]anneal.Event // guarded by mu; by ID; not durable yet, or not read
}

// At most so many are kept, each with so many bytes of data; and so many bytes are kept
// to write some with.
const (
	mostNews = 256
	newsSize = 4 << 10
	mostText = 256 << 10
)

func (n *news) put(events []anneal.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.events == nil {
		n.events = map[string]anneal.Event{}
	}
	for _, e := range events {
		if len(n.events) < mostNews && len(e.Data)+len(e.Raw) <= newsSize {
			e.Time, e.Seen = e.Time.Round(0), e.Seen.Round(0) // as they are read: without the process's own clock
			n.events[e.ID] = e
		}
	}
}

func (n *news) drop(events []anneal.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range events {
		delete(n.events, e.ID)
	}
}

// take is the event of a record, if it is known; it is forgotten then.
func (n *news) take(id string) (anneal.Event, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.events[id]
	delete(n.events, id)
	return e, ok
}

// known looks whether an event was taken in before. Its ID is claimed.
func (c *Controller) known(ctx context.Context, event anneal.Event) (stored anneal.Event, known bool, err error) {
	record, err := c.cfg.Journal.Find(ctx, KindEvent, event.ID)
	if err == nil {
		if err := json.Unmarshal(record.Data, &stored); err != nil {
			return anneal.Event{}, false, fmt.Errorf("read event %s: %w", event.ID, err)
		}
		return stored, true, nil
	}
	if !errors.Is(err, journal.ErrNotFound) {
		return anneal.Event{}, false, fmt.Errorf("look for event %s: %w", event.ID, err)
	}
	if known, err := c.forgotten.has(ctx, c.cfg.Journal, event.ID); err != nil {
		return anneal.Event{}, false, fmt.Errorf("look for event %s: %w", event.ID, err)
	} else if known {
		return event, true, nil
	}
	return event, false, nil
}

func arrival(event anneal.Event) (journal.Record, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return journal.Record{}, fmt.Errorf("encode event %s: %w", event.ID, err)
	}
	return journal.Record{Kind: KindEvent, Key: event.ID, Data: data}, nil
}

// arrivalOf is arrival of an event whose data was written by this program, on one
// line: it need not be looked through. It is written behind text, which is returned.
func arrivalOf(event anneal.Event, text []byte) (r journal.Record, all []byte, err error) {
	text = slices.Grow(text, 512+len(event.Data))
	w := value.Writer{Text: text[len(text):]}
	w.Open('{')
	w.String("specversion", event.SpecVersion)
	w.String("id", event.ID)
	w.String("source", event.Source)
	w.String("type", event.Type)
	w.StringSome("subject", event.Subject)
	w.Time("time", event.Time)
	w.StringSome("datacontenttype", event.DataContentType)
	w.JSONSome("data", event.Data)
	w.Time("seen", event.Seen)
	w.StringSome("parked", event.Parked)
	w.Close('}')
	if w.Err != nil {
		return journal.Record{}, text, fmt.Errorf("encode event %s: %w", event.ID, w.Err)
	}
	return journal.Record{Kind: KindEvent, Key: event.ID, Data: w.Text}, append(text, w.Text...), nil
}
