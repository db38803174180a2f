// Package envelope decodes what others send into events.
//
// [Decode] takes a CloudEvents 1.0 event in its structured form, an EventBridge
// event, an S3 event notification (what S3 and its kin send to a queue or a topic
// without EventBridge), and a CloudWatch alarm as SNS and Lambda are told of it;
// each of them bare, or as the message of an SNS notification, or as an SQS
// message that a pipe has passed on. [Message.Events] takes the same out of a
// message of a queue or a stream, and there also a list of them, one encoded
// twice, a CloudEvent in binary mode, and any other JSON object.
//
// One change told several ways is one event: what is not EventBridge's is turned
// into the shape that EventBridge has for it, with the same ID. That is derived
// from the change itself where what EventBridge calls an event differs with the
// way or the telling (S3, alarms, SageMaker), and else from EventBridge's own ID.
//
// Both are pure functions of the body and the time. Attributes for which an
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
	var events []anneal.Event
	for _, t := range read(body, carrier{}, now.UTC()) {
		if t.err != nil {
			return nil, t.err
		}
		events = append(events, t.event)
	}
	return events, nil
}

// told is one thing that a body tells of: an event, or what is wrong with its
// part of the body.
type told struct {
	event anneal.Event
	err   error
	part  []byte  // that can be decoded by itself
	from  carrier // of that part
}

// errUnknown is of a JSON object of no kind that is known here.
var errUnknown = errors.New("neither a CloudEvent (specversion), nor an EventBridge event (detail-type), nor an S3 notification (Records), nor a message of SNS (TopicArn), nor an alarm (AlarmName)")

// read is everything that a body tells of.
func read(body []byte, from carrier, now time.Time) []told {
	if from.known() {
		if inner, several := unpack(body, &from); several {
			return readAll(inner, from, now)
		} else if inner != nil {
			body = inner[0]
		}
	}
	one := func(event anneal.Event, err error) []told { return []told{{event, err, body, from}} }
	all, err := parse(body)
	switch {
	case err != nil:
		return one(anneal.Event{}, err)
	case all.has("specversion"):
		return one(cloudEvent(all, now))
	case all.has("detail-type"):
		if inner, passed := piped(all, from); passed {
			return readMessage(inner, now)
		}
		return one(eventBridge(all, now))
	case all.has("Records"):
		return readRecords(all, body, from, now)
	case all.has("Event") && all.has("Bucket"): // s3:TestEvent
		return nil
	case all.has("TopicArn") && all.has("Type"):
		inner, err := snsMessage(all, from)
		if err != nil {
			return one(anneal.Event{}, err)
		}
		return readMessage(inner, now)
	case all.has("AlarmName") && all.has("NewStateValue"):
		return one(alarmNotice(all, from, now))
	case all.has("alarmArn") && all.has("alarmData"):
		return one(alarmAction(all, now))
	}
	return one(anneal.Event{}, errUnknown)
}

// readRecords reads a list under `Records`: of S3, or of what a function is
// invoked with for messages of SNS and SQS.
func readRecords(all object, body []byte, from carrier, now time.Time) []told {
	records := all.list("Records")
	if err := all.err(); err != nil {
		return []told{{err: err, part: body, from: from}}
	}
	var every []told
	for i, raw := range records {
		t := told{part: fmt.Appendf(nil, `{"Records":[%s]}`, raw), from: from.nth(i, len(records))}
		record := object{path: fmt.Sprintf("Records[%d].", i)}
		var ok bool
		if record.fields, ok = fieldsOf(raw); !ok {
			all.wrong(fmt.Sprintf("Records[%d]", i), "an object", raw)
			t.err = all.err()
			all.problems = nil
			every = append(every, t)
			continue
		}
		inner, err := carried(record, from.nth(i, len(records)))
		switch {
		case err != nil:
			t.err = err
		case inner != nil:
			every = append(every, readMessage(*inner, now)...)
			continue
		case from.known() && !record.has("s3") && !strings.HasSuffix(record.source(), ":s3"):
			t.err = errUnknown
		default:
			t.event, t.err = s3Record(record, now)
		}
		every = append(every, t)
	}
	return every
}

// parse reads the one JSON object that a body is. All that is taken out of an
// object is valid JSON from here on.
func parse(body []byte) (object, error) {
	if json.Valid(body) {
		if fields, ok := fieldsOf(body); ok {
			return object{fields: fields}, nil
		}
	}
	return object{}, notAnObject(body)
}

// notAnObject is what is wrong with a body that is not one JSON object.
func notAnObject(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	var fields map[string]json.RawMessage
	if err := dec.Decode(&fields); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("body: want a JSON object, have: %s", wrong.Value)
		}
		if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("body: byte %d: not JSON: %w", broken.Offset, err)
		}
		if err == io.EOF {
			return errors.New("body: want a JSON object, have nothing")
		}
		return fmt.Errorf("body: byte %d: not JSON: %w", len(body), err)
	}
	if fields == nil {
		return errors.New("body: want a JSON object, have null")
	}
	_, _ = dec.Token() // to where what is more begins
	return fmt.Errorf("body: byte %d: more after the JSON object", dec.InputOffset())
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
	if text := all.optionalText("detail"); json.Valid([]byte(text)) { // EventBridge Scheduler has it as text
		all.fields["detail"] = json.RawMessage(text)
		e.Data = all.raw("detail")
	}
	detail := all.object("detail")
	resources := all.list("resources")
	if len(resources) > 0 {
		if err := json.Unmarshal(resources[0], &e.Subject); err != nil {
			all.wrong("resources[0]", "a string", resources[0])
		}
	}
	if err := all.err(); err != nil {
		return anneal.Event{}, err
	}
	switch {
	case e.Source == sourceAlarm && e.Type == typeAlarm:
		if id := alarmChange(e.Subject, detail); id != "" {
			e.ID = id
			return e, nil
		}
	case e.Source == sourceSageMaker:
		if id := sageMakerChange(e, resources, detail); id != "" {
			e.ID = id
			return e, nil
		}
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
