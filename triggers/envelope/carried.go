package envelope

import (
	"fmt"
	"strings"
)

// Carriers, as EventBridge would name them.
const (
	sourceSNS = "aws.sns"
	sourceSQS = "aws.sqs"
)

// snsMessage is the message of a notification, as SNS gives it to a queue and to
// an HTTP endpoint.
//
// Source: the SNS developer guide, "HTTP/HTTPS notification JSON format".
func snsMessage(all object, from carrier) (Message, error) {
	topic := all.text("TopicArn")
	switch kind := all.text("Type"); kind {
	case "Notification", "": // without one, that is told
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return Message{}, fmt.Errorf("SNS asks to confirm a subscription to %s (%s): whoever owns the queue opens the SubscribeURL of the body, or confirms with its Token", topic, kind)
	default:
		all.wrong("Type", "Notification", all.raw("Type"))
	}
	m := Message{
		Source:     sourceSNS,
		Subject:    topic,
		ID:         all.text("MessageId"),
		Sent:       all.time("Timestamp", from.sent),
		Attributes: all.attributes("MessageAttributes", "Value"),
		depth:      from.depth + 1,
	}
	m.Body = []byte(all.text("Message"))
	return m, all.err()
}

// carried is the message that a record of another carrier is, as a function is
// invoked with it; nil if it is none.
func carried(record object, from carrier) (*Message, error) {
	switch record.source() {
	case "aws:sns":
		sns := record.object("Sns")
		if err := record.err(); err != nil {
			return nil, err
		}
		m, err := snsMessage(sns, from)
		return &m, err
	case "aws:sqs":
		m, err := sqsMessage(record, from)
		return &m, err
	}
	return nil, nil
}

// piped is the SQS message that an EventBridge pipe has put on a bus.
func piped(all object, from carrier) (Message, bool) {
	fields, _ := fieldsOf(all.fields["detail"])
	detail := object{path: "detail.", fields: fields}
	if detail.source() != "aws:sqs" || !detail.has("body") {
		return Message{}, false
	}
	m, err := sqsMessage(detail, from)
	return m, err == nil
}

// sqsMessage is a message as pipes and functions get it.
//
// Source: the Lambda developer guide, "Using Lambda with Amazon SQS".
func sqsMessage(record object, from carrier) (Message, error) {
	arn := record.optional("eventSourceARN")
	m := Message{
		Body:       []byte(record.text("body")),
		Source:     sourceSQS,
		Subject:    arn[strings.LastIndexByte(arn, ':')+1:],
		ID:         record.text("messageId"),
		Sent:       from.sent,
		Attributes: record.attributes("messageAttributes", "stringValue"),
		depth:      from.depth + 1,
	}
	return m, record.err()
}

// attributes are the message attributes under name, each an object with its
// value under key. Those that are not text are left out.
func (o *object) attributes(name, key string) map[string]string {
	if !o.has(name) {
		return nil
	}
	given := o.object(name)
	all := make(map[string]string)
	for attribute, raw := range given.fields {
		if value, _ := fieldsOf(raw); value[key] != nil && value[key][0] == '"' {
			all[attribute] = stringOf(value[key])
		}
	}
	return all
}
