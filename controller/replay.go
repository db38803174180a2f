package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/envelope"
)

// A Replayed is what an event has become that was taken in again.
type Replayed struct {
	ID        string
	Duplicate bool // it was replayed before
}

// Replay takes an event that was parked in again, as it came: what could not
// be read may be readable now. It becomes a new event, of an ID that is derived
// from the old one's, so that replaying one twice changes nothing; a body that
// was never decoded becomes the events that it tells of.
func (c *Controller) Replay(ctx context.Context, id string) ([]Replayed, error) {
	record, err := c.cfg.Journal.Find(ctx, KindEvent, id)
	if err != nil {
		return nil, fmt.Errorf("find event %s: %w", id, err)
	}
	var event anneal.Event
	if err := json.Unmarshal(record.Data, &event); err != nil {
		return nil, fmt.Errorf("read event %s: %w", id, err)
	}
	now := time.Now().UTC()
	events := []anneal.Event{event}
	if len(event.Raw) > 0 {
		if events, err = envelope.Decode(event.Raw, now); err != nil {
			return nil, &UnreadableError{id, err}
		}
	} else {
		events[0].ID, events[0].Seen, events[0].Parked = anneal.ID("event", "replay", id), now, ""
	}
	replayed := []Replayed{}
	for _, e := range events {
		if len(event.Raw) > 0 && strings.HasPrefix(e.Source, "anneal.") {
			return nil, &UnreadableError{id, fmt.Errorf("source %q is anneal's own", e.Source)}
		}
		stored, duplicate, err := c.Ingest(ctx, e)
		if err != nil {
			return nil, err
		}
		replayed = append(replayed, Replayed{stored.ID, duplicate})
	}
	return replayed, nil
}

// An UnreadableError is of an event whose body still cannot be read.
type UnreadableError struct {
	Event string
	Err   error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("event %s still cannot be read: %v", e.Event, e.Err)
}
func (e *UnreadableError) Unwrap() error { return e.Err }
