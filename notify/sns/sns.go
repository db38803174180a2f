// Package sns is the channel that publishes each notice to a topic of Amazon SNS,
// standard or FIFO.
//
// Queues, functions and endpoints get a [notify.Event] as JSON, whose id is the
// notice's and tells who is told twice; mail gets the text, and a telephone the
// subject. Subscriptions can filter by the attributes `id`, `kind`, `policy`,
// `model`, `verdict` and `status`. A FIFO topic has the messages of one policy in
// one group, each deduplicated by its ID. An error says whether another try is of
// use; what is wrong with the topic at present is said by [Channel.Condition].
//
// Trying again is left to the caller, and credentials, regions and roles to the
// [aws.Config] that it is given.
package sns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/notify"
)

const (
	callTime   = 15 * time.Second // for a call, with its retries
	maxMessage = 256 << 10        // bytes, SNS's most
	spare      = 4 << 10          // of them for attributes and what holds the forms together
	maxSubject = 100              // letters, SNS's most
)

// Config is a channel `sns` under `notify`.
type Config struct {
	Topic string // ARN
}

var topicARN = regexp.MustCompile(`^arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:([A-Za-z0-9_-]{1,256}(?:\.fifo)?)$`)

// Region is the region that a topic's ARN names; empty if it is not one.
func Region(topic string) string {
	if m := topicARN.FindStringSubmatch(topic); m != nil {
		return m[1]
	}
	return ""
}

// Validate says what is wrong with a config.
func (c Config) Validate() error {
	if !topicARN.MatchString(c.Topic) {
		return errors.New("topic: want the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:ml")
	}
	return nil
}

// A Channel publishes to one topic.
type Channel struct {
	topic, name string
	client      *api.Client
	service     cloud.Service
	condition   *cloud.Condition
}

// New returns a channel. The error says what is wrong with the config.
func New(cfg Config, with aws.Config, log *slog.Logger) (*Channel, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := topicARN.FindStringSubmatch(cfg.Topic)
	if with.Region == "" {
		with.Region = m[1]
	}
	if with.Region != m[1] {
		return nil, fmt.Errorf("region: %s, and the topic is in %s by its ARN; want that", with.Region, m[1])
	}
	resource := "the topic " + m[2]
	key := "the key of " + resource
	// Source of the codes: the SNS API reference, Publish.
	service := cloud.Service{Name: "SNS", Prefix: "sns", Region: with.Region, Resource: resource, Remedies: map[string]string{
		"NotFound":          fmt.Sprintf("there is no such topic in %s: make it, or correct topic", with.Region),
		"NotFoundException": fmt.Sprintf("there is no such topic in %s: make it, or correct topic", with.Region),
		"KMSAccessDenied":   "grant the role kms:GenerateDataKey and kms:Decrypt on " + key,
		"KMSDisabled":       key + " is disabled: enable it",
		"KMSInvalidState":   key + " cannot be used in its state: cancel its deletion, or give the topic another",
		"KMSNotFound":       key + " is not there: give the topic another",
		"KMSOptInRequired":  "the account has no subscription of KMS: see to it",
		"KMSThrottling":     "KMS asks for fewer requests: it is tried again later",
		"Throttled":         "AWS asks for fewer requests: they are made fewer",
		"EndpointDisabled":  "whom the topic stands for is disabled: enable it",
		"InternalError":     "SNS has a fault of its own: it is tried again",
	}}
	return &Channel{topic: cfg.Topic, name: m[2], client: api.NewFromConfig(with), service: service, condition: service.Watch(log.With("topic", m[2]))}, nil
}

// Topic is the topic's name.
func (c *Channel) Topic() string { return c.name }

// Region is where the topic is.
func (c *Channel) Region() string { return c.service.Region }

// Condition is what is wrong with the topic at present, with the remedy; empty if
// nothing is.
func (c *Channel) Condition() string { return c.condition.String() }

// Notify publishes one message. An error is a [notify.Refusal].
func (c *Channel) Notify(ctx context.Context, n anneal.Notice) error {
	message, err := message(n)
	if err != nil {
		return &notify.Refusal{Final: true, Err: fmt.Errorf("encode notice %s: %w", n.ID, err)}
	}
	in := &api.PublishInput{
		TopicArn: &c.topic, Subject: aws.String(subject(n.Subject)),
		Message: &message, MessageStructure: aws.String("json"), MessageAttributes: attributes(n),
	}
	if strings.HasSuffix(c.name, ".fifo") {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("anneal"), &n.ID
		if n.Policy != "" {
			in.MessageGroupId = aws.String(n.Policy)
		}
	}
	began := time.Now()
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err = c.client.Publish(call, in)
	if err == nil {
		c.condition.Note(ctx, "Publish", began, nil)
		return nil
	}
	code, status := cloud.Answer(err)
	r := &notify.Refusal{Err: errors.New(c.service.Explain("Publish", err)), Final: final(code), Status: status}
	if !r.Final {
		c.condition.Note(ctx, "Publish", began, err)
	}
	return r
}

// final says that an error is of the message, which no other try makes better.
func final(code string) bool {
	switch code {
	case "ParameterValueInvalid", "InvalidParameterValue", "ValidationException":
		return true
	}
	return false
}

// message is a notice in the form of each kind of subscription.
//
// Source: the SNS API reference, Publish, MessageStructure.
func message(n anneal.Notice) (string, error) {
	event := notify.EventOf(n)
	forms := func(cut string) ([]byte, error) {
		event.Text = cut
		detail, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		mail := n.Subject
		if cut != "" {
			mail += "\n\n" + cut
		}
		return json.Marshal(map[string]string{"default": string(detail), "email": mail, "sms": n.Subject})
	}
	fit := notify.Fit(n.Text, maxMessage-spare, func(cut string) int {
		all, err := forms(cut)
		if err != nil {
			return 0 // it is told below
		}
		return len(all)
	})
	all, err := forms(fit)
	return string(all), err
}

// attributes are what subscriptions can filter by.
func attributes(n anneal.Notice) map[string]types.MessageAttributeValue {
	all := map[string]types.MessageAttributeValue{}
	set := func(name, value string) {
		if value != "" {
			all[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
	}
	set("id", n.ID)
	set("kind", string(n.Kind))
	set("policy", n.Policy)
	set("model", n.Model)
	if n.Facts != nil {
		set("verdict", string(n.Facts.Verdict))
		set("status", string(n.Facts.Status))
	}
	return all
}

// subject is a line that SNS takes as one: ASCII without control characters, at
// most 100 letters.
func subject(line string) string {
	var b strings.Builder
	for _, r := range line {
		switch {
		case r == '…':
			b.WriteString("...")
		case r < ' ' || r == 0x7f:
			b.WriteByte(' ')
		case r > 0x7f:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	out := strings.TrimSpace(b.String())
	if len(out) > maxSubject {
		out = strings.TrimSpace(out[:maxSubject-3]) + "..."
	}
	if out == "" {
		return "anneal"
	}
	return out
}
