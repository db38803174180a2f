// Package envelope decodes what others send into events.
//
// [Decode] takes three kinds of JSON objects: a CloudEvents 1.0 event in its
// structured form, an EventBridge event, and an S3 event notification (what S3
// sends to a queue or a topic without EventBridge). The last is turned into the
// shape that EventBridge has for the same change, with the same ID, so that one
// change told two ways is one event.
//
// It is a pure function of the body and the time. Attributes for which an
// [anneal.Event] has no place (CloudEvents extensions; EventBridge's account,
// region and all but the first resource) are dropped; data is kept whole.
package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
)

// Decode decodes one body, seen now. An error says what is wrong and where, and
// then there are no events; a body that tells of nothing, such as S3's test
// message, has none and no error.
func Decode(body []byte, now time.Time) ([]anneal.Event, error) {
	all, err := parse(body)
	if err != nil {
		return nil, err
	}
	now = now.UTC()
	var events []anneal.Event
	switch {
	case all.has("specversion"):
		events, err = one(cloudEvent(all, now))
	case all.has("detail-type"):
		events, err = one(eventBridge(all, now))
	case all.has("Records"):
		events, err = s3Records(all, now)
	case all.has("Event") && all.has("Bucket"): // s3:TestEvent
		return nil, nil
	default:
		return nil, errors.New("neither a CloudEvent (specversion), nor an EventBridge event (detail-type), nor an S3 notification (Records)")
	}
	if err != nil {
		return nil, err
	}
	return events, nil
}

func one(event anneal.Event, err error) ([]anneal.Event, error) { return []anneal.Event{event}, err }

// parse reads the one JSON object that a body is.
func parse(body []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	var fields map[string]json.RawMessage
	if err := dec.Decode(&fields); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return object{}, fmt.Errorf("body: want a JSON object, have: %s", wrong.Value)
		}
		if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
			return object{}, fmt.Errorf("body: byte %d: not JSON: %w", broken.Offset, err)
		}
		if err == io.EOF {
			return object{}, errors.New("body: want a JSON object, have nothing")
		}
		return object{}, fmt.Errorf("body: byte %d: not JSON: %w", len(body), err)
	}
	if fields == nil {
		return object{}, errors.New("body: want a JSON object, have null")
	}
	if _, err := dec.Token(); err != io.EOF {
		return object{}, fmt.Errorf("body: byte %d: more after the JSON object", dec.InputOffset())
	}
	return object{fields: fields}, nil
}

func cloudEvent(all object, now time.Time) (anneal.Event, error) {
	version := all.text("specversion")
	id := all.text("id")
	e := anneal.Event{
		SpecVersion:     "1.0",
		Source:          all.text("source"),
		Type:            all.text("type"),
		Subject:         all.optional("subject"),
		Time:            all.time("time", now),
		DataContentType: all.optional("datacontenttype"),
		Data:            all.raw("data"),
		Seen:            now,
	}
	encoded := all.optional("data_base64")
	if err := all.err(); err != nil {
		return anneal.Event{}, err
	}
	if version != "1.0" {
		return anneal.Event{}, fmt.Errorf("specversion: %q is not known; want 1.0", version)
	}
	if encoded != "" {
		data, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return anneal.Event{}, fmt.Errorf("data_base64: %w", err)
		}
		if e.Data != nil {
			return anneal.Event{}, errors.New("data_base64: want either this or data")
		}
		if !json.Valid(data) {
			return anneal.Event{}, errors.New("data_base64: want JSON in it")
		}
		e.Data = compact(data)
	}
	if e.Data != nil && e.DataContentType == "" {
		e.DataContentType = "application/json"
	}
	return identify(e, id, "data")
}

func eventBridge(all object, now time.Time) (anneal.Event, error) {
	id := all.text("id")
	e := anneal.Event{
		SpecVersion:     "1.0",
		Source:          all.text("source"),
		Type:            all.text("detail-type"),
		Time:            all.time("time", now),
		DataContentType: "application/json",
		Data:            all.raw("detail"),
		Seen:            now,
	}
	all.object("detail")
	resources := all.list("resources")
	if len(resources) > 0 {
		if err := json.Unmarshal(resources[0], &e.Subject); err != nil {
			all.wrong("resources[0]", "a string", resources[0])
		}
	}
	if err := all.err(); err != nil {
		return anneal.Event{}, err
	}
	return identify(e, id, "detail")
}

// identify gives the event its ID, derived from what the source says it is, or
// from the object version that it tells of.
func identify(e anneal.Event, id, where string) (anneal.Event, error) {
	if strings.HasPrefix(e.Source, "anneal.") {
		return anneal.Event{}, fmt.Errorf("source: %q: names that begin with anneal. are anneal's own", e.Source)
	}
	e.ID = anneal.ID("event", e.Source, id)
	if e.Source != sourceS3 {
		return e, nil
	}
	data, err := parse(e.Data)
	if err != nil {
		return e, nil // not a JSON object: an event like any other
	}
	data.path = where + "."
	return identifyS3(e, data, id)
}

func compact(data []byte) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		panic(err) // unreachable: it was parsed
	}
	return b.Bytes()
}
