package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal"
)

// TypeMessage is the type of an event that is a message of no known kind.
const TypeMessage = "Message"

// maxDepth bounds how often a message is in a message.
const maxDepth = 8

// A Message is a body, and what its carrier knows of it.
type Message struct {
	Body []byte
	// Source and Subject are those of an event that the body does not name
	// them for: the carrier, such as aws.sqs, and where in it the message was
	// sent, such as a queue's name.
	Source, Subject string
	// ID is the carrier's own for the message: one that is delivered again has
	// the same.
	ID   string
	Sent time.Time // zero if the carrier does not say

	// Attributes are beside the body. Those of a CloudEvent in binary mode begin
	// with `ce-`, `ce_` or `cloudEvents:` in any case.
	Attributes map[string]string

	depth int
}

// Events decodes a message, seen now. What cannot be read is an event too: one
// that is parked, with the reason and the part of the body that it is about. A
// message that tells of nothing has none.
func (m Message) Events(now time.Time) []anneal.Event {
	now = now.UTC()
	var events []anneal.Event
	for _, t := range readMessage(m, now) {
		if t.err == nil {
			events = append(events, t.event)
			continue
		}
		e := anneal.Event{
			SpecVersion: "1.0",
			ID:          anneal.ID("event", t.from.source, t.from.id),
			Source:      t.from.source,
			Type:        TypeMessage,
			Subject:     t.from.subject,
			Time:        t.from.sent,
			Seen:        now,
		}
		if _, err := e.Time.MarshalJSON(); err != nil || e.Time.IsZero() {
			e.Time = now
		}
		if t.err == errUnknown {
			e.DataContentType, e.Data = "application/json", compact(t.part)
		} else {
			e.Parked, e.Raw = t.err.Error(), t.part
		}
		events = append(events, e)
	}
	return events
}

// A carrier is what is known of a message but its body.
type carrier struct {
	source, subject, id string
	sent                time.Time
	depth               int
}

// known says whether there is one: a body by itself has none.
func (c carrier) known() bool { return c.source != "" }

// nth is the carrier of the nth part of a message of several.
func (c carrier) nth(n, several int) carrier {
	if several > 1 {
		c.id += "/" + strconv.Itoa(n)
	}
	return c
}

// readMessage is everything that a message tells of.
func readMessage(m Message, now time.Time) []told {
	from := carrier{m.Source, m.Subject, m.ID, m.Sent.UTC(), m.depth}
	if m.depth > maxDepth {
		return []told{{err: fmt.Errorf("body: more than %d messages in each other", maxDepth), part: m.Body, from: from}}
	}
	attributes, contentType := cloudAttributes(m.Attributes)
	if attributes["specversion"] == "" {
		return read(m.Body, from, now)
	}
	t := told{part: m.Body, from: from}
	structured, err := Structured(attributes, contentType, m.Body)
	if err != nil {
		t.err = err
		return []told{t}
	}
	all, err := parse(structured)
	if err != nil {
		panic(err) // unreachable: it was made here
	}
	t.part = structured
	t.event, t.err = cloudEvent(all, now)
	return []told{t}
}

func cloudAttributes(all map[string]string) (attributes map[string]string, contentType string) {
	attributes = map[string]string{}
	// In order: two that differ in their spelling alone are the same one each time,
	// for they make the event's ID.
	for _, written := range slices.Sorted(maps.Keys(all)) {
		name, value := strings.ToLower(written), all[written]
		switch name {
		case "content-type", "content_type", "contenttype", "datacontenttype":
			contentType = value
			continue
		}
		for _, prefix := range []string{"ce-", "ce_", "cloudevents:", "cloudevents_"} {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				attributes[rest] = value
			}
		}
	}
	if given := attributes["datacontenttype"]; given != "" {
		contentType = given
	}
	return attributes, contentType
}

// Structured makes the structured form of a CloudEvent in binary mode from its
// attributes, by their names in lower case without prefix. Extensions are left
// out. The error is of a body that is neither JSON nor text.
func Structured(attributes map[string]string, contentType string, body []byte) ([]byte, error) {
	all := make(map[string]any)
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time"} {
		if value := attributes[name]; value != "" {
			all[name] = value
		}
	}
	if contentType != "" {
		all["datacontenttype"] = contentType
	}
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case len(body) == 0:
	case contentType == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"):
		data, err := Compact(body)
		if err != nil {
			return nil, err
		}
		all["data"] = data
	case utf8.Valid(body):
		all["data"] = string(body)
	default:
		return nil, fmt.Errorf("body: %s that is not text is not taken; want JSON", media)
	}
	structured, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return structured, nil
}

// Compact is a body, which must be JSON, without white space.
func Compact(body []byte) (json.RawMessage, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errors.New("body: want JSON, have nothing")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("body: byte %d: not JSON: %w", broken.Offset, err)
		}
		return nil, fmt.Errorf("body: not JSON: %w", err)
	}
	return compact(raw), nil
}

// unpack takes a body that is encoded twice out of its string, and a list apart.
// It has nothing to say of any other.
func unpack(body []byte, from *carrier) (inner [][]byte, several bool) {
	for body = bytes.TrimSpace(body); len(body) > 0 && from.depth <= maxDepth; from.depth++ {
		switch body[0] {
		case '"':
			var text string
			if json.Unmarshal(body, &text) != nil {
				return inner, false
			}
			body = bytes.TrimSpace([]byte(text))
			inner = [][]byte{body}
		case '[':
			var items []json.RawMessage
			if json.Unmarshal(body, &items) != nil {
				return inner, false
			}
			inner = nil
			for _, item := range items {
				inner = append(inner, item)
			}
			from.depth++
			return inner, true
		default:
			return inner, false
		}
	}
	return inner, false
}

func readAll(bodies [][]byte, from carrier, now time.Time) []told {
	var every []told
	for i, body := range bodies {
		part := from.nth(i, len(bodies))
		every = append(every, readMessage(Message{
			Body: body, Source: part.source, Subject: part.subject, ID: part.id, Sent: part.sent, depth: part.depth,
		}, now)...)
	}
	return every
}
