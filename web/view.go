package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
)

// The kinds of record that hold the nouns.
const (
	kindEvent    = "event"
	kindDecision = "decision"
	kindRun      = "run"
	kindParked   = "parked"
)

// nouns maps the plural in a path to the kind of its records.
var nouns = map[string]string{
	"events":    kindEvent,
	"signals":   "signal",
	"decisions": kindDecision,
	"runs":      kindRun,
	"models":    "model",
	"notices":   "notice",
}

// changes says which kinds have a record each time their noun changes; the
// others are recorded once.
var changes = map[string]bool{kindRun: true, "model": true, "notice": true}

// view reads nouns from a journal.
type view struct {
	journal *journal.Journal
}

// list returns the items newest first and the number of the record that the
// next page goes on before, 0 where there is none. A noun that changes (a run, a
// model, a notice) is listed once, as it is now.
func (v view) list(ctx context.Context, noun string, q query) ([]json.RawMessage, uint64, error) {
	kind := nouns[noun]
	items := []json.RawMessage{}
	var lastParked uint64 // no event behind it is parked
	if kind == kindEvent {
		for record, err := range v.journal.Newest(ctx, kindParked, 0) {
			if err != nil {
				return nil, 0, fmt.Errorf("list %s: find the last that was parked: %w", noun, err)
			}
			lastParked = record.Seq
			break
		}
	}
	end := v.journal.Last()
	listed := map[string]bool{} // of a kind that changes
	for record, err := range v.journal.Newest(ctx, kind, q.before) {
		if err != nil {
			return nil, 0, fmt.Errorf("list %s: %w", noun, err)
		}
		if q.limit > 0 && uint64(len(items)) == q.limit {
			return items, record.Seq + 1, nil
		}
		if changes[kind] {
			if listed[record.Key] {
				continue
			}
			listed[record.Key] = true
			if q.before != 0 { // else what comes first is the newest
				newest, err := v.journal.Find(ctx, kind, record.Key)
				if err != nil {
					return nil, 0, fmt.Errorf("list %s: find %s: %w", noun, record.Key, err)
				}
				if newest.Seq != record.Seq && newest.Seq <= end {
					continue // it is further up
				}
				record = newest
			}
		}
		item := json.RawMessage(record.Data)
		if record.Seq < lastParked {
			var err error
			if item, err = v.item(ctx, kind, record); err != nil {
				return nil, 0, err
			}
		}
		if !q.wants(item) {
			continue
		}
		items = append(items, item)
	}
	return items, 0, nil
}

// show returns one noun as it is now.
func (v view) show(ctx context.Context, noun, id string) (json.RawMessage, error) {
	kind := nouns[noun]
	record, err := v.journal.Find(ctx, kind, id)
	if err != nil {
		return nil, v.notFound(err, strings.TrimSuffix(noun, "s"), id)
	}
	return v.item(ctx, kind, record)
}

// item is a record's noun. An event that was parked later than it was taken
// in says so.
func (v view) item(ctx context.Context, kind string, record journal.Record) (json.RawMessage, error) {
	if kind != kindEvent {
		return record.Data, nil
	}
	parked, err := v.journal.Find(ctx, kindParked, record.Key)
	if errors.Is(err, journal.ErrNotFound) {
		return record.Data, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find why event %s is parked: %w", record.Key, err)
	}
	var event anneal.Event
	if err := json.Unmarshal(record.Data, &event); err != nil {
		return nil, fmt.Errorf("read event %s: %w", record.Key, err)
	}
	var why struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(parked.Data, &why); err != nil {
		return nil, fmt.Errorf("read why event %s is parked: %w", record.Key, err)
	}
	event.Parked = why.Reason
	return json.Marshal(event)
}

// find reads one noun as it is now into v.
func find[T any](ctx context.Context, v view, noun, id string) (T, error) {
	var found T
	data, err := v.show(ctx, noun, id)
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(data, &found); err != nil {
		return found, fmt.Errorf("read %s %s: %w", strings.TrimSuffix(noun, "s"), id, err)
	}
	return found, nil
}

func (v view) notFound(err error, noun, id string) error {
	if errors.Is(err, journal.ErrNotFound) {
		if first := v.journal.First(); first > 1 {
			return Refuse(http.StatusNotFound, "no %s %q in the journal: it is older than the retention, or never was (the journal begins with record %d)", noun, id, first)
		}
		if noun == "model" && !strings.Contains(id, "@") {
			return Refuse(http.StatusNotFound, "no model %q in the journal: want a version of a group, such as %s@1", id, id)
		}
		return Refuse(http.StatusNotFound, "no %s %q in the journal", noun, id)
	}
	return fmt.Errorf("find %s %s: %w", noun, id, err)
}
