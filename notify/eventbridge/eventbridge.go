// Package eventbridge is the channel that puts each notice on a bus of Amazon
// EventBridge, as an event of the source `anneal`.
//
// Its detail is a [notify.Event], whose id is the notice's: EventBridge gives an
// event that is put twice two IDs of its own, and that one tells that they are the
// same. What is given at the same time goes in one call of up to ten; of a call
// that fails in part only the notices that failed come back with an error. An
// error says whether another try is of use: none is for what is wrong with the
// event, and every other is worth one. What is wrong with the bus at present is
// said by [Channel.Condition].
//
// Trying again is left to the caller, and credentials, regions and roles to the
// [aws.Config] that it is given.
package eventbridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/notify"
)

// Source is the source of every event.
const Source = "anneal"

const (
	callTime = 15 * time.Second // for a call, with its retries
	atOnce   = 10               // events a call, EventBridge's most
	maxCall  = 256 << 10        // bytes a call, and so an event
	spare    = 1 << 10          // of them for what is not the detail
)

// DetailType is the detail-type of the events of a kind. The set is closed.
func DetailType(kind anneal.NoticeKind) string {
	switch kind {
	case anneal.NoticeDecided:
		return "Anneal Decision"
	case anneal.NoticeHeld:
		return "Anneal Policy Held"
	case anneal.NoticeStarted, anneal.NoticeSucceeded, anneal.NoticeFailed:
		return "Anneal Run Status Change"
	case anneal.NoticePromoted:
		return "Anneal Model Promoted"
	case anneal.NoticeParked:
		return "Anneal Event Parked"
	case anneal.NoticeResolved:
		return "Anneal Condition Resolved"
	}
	return "Anneal Message"
}

// Config is a channel `eventbridge` under `notify`.
type Config struct {
	Bus string // a name or an ARN; the account's default bus if empty
}

var (
	busName = regexp.MustCompile(`^[/.\-_A-Za-z0-9]{1,256}$`)
	busARN  = regexp.MustCompile(`^arn:aws[a-z-]*:events:([a-z0-9-]+):\d{12}:event-bus/[/.\-_A-Za-z0-9]{1,256}$`)
)

// Region is the region that a bus's ARN names; empty if it names none.
func Region(bus string) string {
	if m := busARN.FindStringSubmatch(bus); m != nil {
		return m[1]
	}
	return ""
}

// Validate says what is wrong with a config.
func (c Config) Validate() error {
	if c.Bus != "" && !busName.MatchString(c.Bus) && !busARN.MatchString(c.Bus) {
		return errors.New("bus: want the name of an event bus, or its ARN such as arn:aws:events:eu-central-1:123456789012:event-bus/ml")
	}
	return nil
}

// A Channel puts events on one bus.
type Channel struct {
	bus       string
	client    *api.Client
	service   cloud.Service
	condition *cloud.Condition

	mu      sync.Mutex
	waiting []*put // guarded by mu; in the order they came
	sending bool   // guarded by mu; a goroutine sends what waits
}

// A put is an event that waits for its call, and its outcome.
type put struct {
	entry types.PutEventsRequestEntry
	done  chan error // has room for the outcome
}

// New returns a channel. The error says what is wrong with the config.
func New(cfg Config, with aws.Config, log *slog.Logger) (*Channel, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	bus := cfg.Bus
	if bus == "" {
		bus = "default"
	}
	if named := Region(bus); with.Region == "" {
		with.Region = named
	} else if named != "" && named != with.Region {
		return nil, fmt.Errorf("region: %s, and the bus is in %s by its ARN; want that", with.Region, named)
	}
	if with.Region == "" {
		return nil, errors.New("region: is not known; set it here, or AWS_REGION")
	}
	_, name, isARN := strings.Cut(bus, ":event-bus/")
	if !isARN {
		name = bus
	}
	resource := "the event bus " + name
	// Source of the codes: the EventBridge API reference, PutEvents and
	// PutEventsResultEntry.
	service := cloud.Service{Name: "EventBridge", Prefix: "events", Region: with.Region, Resource: resource, Remedies: map[string]string{
		"ResourceNotFoundException":           fmt.Sprintf("there is no such bus in %s: make it, or correct bus and region", with.Region),
		"InvalidAccountIdException":           "the account of the bus is not valid: correct bus",
		"NotAuthorizedForSourceException":     fmt.Sprintf("let the policy of %s take events of the source %s", resource, Source),
		"NotAuthorizedForDetailTypeException": fmt.Sprintf("let the policy of %s take every detail-type that begins with Anneal", resource),
		"InternalFailure":                     "EventBridge has a fault of its own: it is tried again",
		"InternalException":                   "EventBridge has a fault of its own: it is tried again",
	}}
	return &Channel{bus: bus, client: api.NewFromConfig(with), service: service, condition: service.Watch(log.With("bus", name))}, nil
}

// Bus is the bus as it was given, and Region where it is.
func (c *Channel) Bus() string { return c.bus }

// Region is where the bus is.
func (c *Channel) Region() string { return c.service.Region }

// Condition is what is wrong with the bus at present, with the remedy; empty if
// nothing is.
func (c *Channel) Condition() string { return c.condition.String() }

// Notify puts one event. An error is a [notify.Refusal].
func (c *Channel) Notify(ctx context.Context, n anneal.Notice) error {
	if err := ctx.Err(); err != nil {
		return &notify.Refusal{Err: err}
	}
	entry, err := c.entry(n)
	if err != nil {
		return &notify.Refusal{Final: true, Err: fmt.Errorf("encode notice %s: %w", n.ID, err)}
	}
	p := &put{entry, make(chan error, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, p)
	if !c.sending {
		c.sending = true
		// What it sends is of several, so it does not end with one of them; it
		// ends by itself within callTime of the last.
		go c.send(context.WithoutCancel(ctx))
	}
	c.mu.Unlock()
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return &notify.Refusal{Err: context.Cause(ctx)}
	}
}

func (c *Channel) entry(n anneal.Notice) (types.PutEventsRequestEntry, error) {
	detail, err := notify.EventOf(n).Encoded(maxCall - spare)
	entry := types.PutEventsRequestEntry{
		Detail: aws.String(string(detail)), DetailType: aws.String(DetailType(n.Kind)), EventBusName: &c.bus, Source: aws.String(Source),
	}
	if !n.At.IsZero() {
		entry.Time = aws.Time(n.At)
	}
	if n.Facts != nil && strings.HasPrefix(n.Facts.ExecutionARN, "arn:") {
		entry.Resources = []string{n.Facts.ExecutionARN}
	}
	return entry, err
}

// send sends what waits until nothing does.
func (c *Channel) send(ctx context.Context) {
	for {
		batch := c.next()
		if batch == nil {
			return
		}
		for i, err := range c.call(ctx, batch) {
			batch[i].done <- err
		}
	}
}

// next takes what fits into a call off what waits; nil if nothing does.
func (c *Channel) next() []*put {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(c.waiting), atOnce) {
		if bytes += size(c.waiting[n].entry); bytes > maxCall && n > 0 {
			break
		}
		n++
	}
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	c.sending = n > 0
	if n == 0 {
		return nil
	}
	return batch
}

// size is how many bytes of a call an event takes.
//
// Source: the EventBridge user guide, "Calculating PutEvents event entry size".
func size(e types.PutEventsRequestEntry) int {
	n := len(*e.Source) + len(*e.DetailType) + len(*e.Detail)
	if e.Time != nil {
		n += 14
	}
	for _, r := range e.Resources {
		n += len(r)
	}
	return n
}

// call puts a batch, and returns the outcome of each.
func (c *Channel) call(ctx context.Context, batch []*put) []error {
	outcomes := make([]error, len(batch))
	in := &api.PutEventsInput{}
	for _, p := range batch {
		in.Entries = append(in.Entries, p.entry)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := c.client.PutEvents(ctx, in)
	if err == nil && len(out.Entries) != len(batch) {
		err = fmt.Errorf("the answer is of %d events; want %d", len(out.Entries), len(batch))
	}
	if err != nil {
		c.condition.Note(ctx, "PutEvents", began, err)
		for i := range outcomes {
			outcomes[i] = c.refusal(err)
		}
		return outcomes
	}
	var wrong error // with the bus
	for i, entry := range out.Entries {
		if entry.ErrorCode == nil {
			continue
		}
		failed := &smithy.GenericAPIError{Code: *entry.ErrorCode, Message: aws.ToString(entry.ErrorMessage)}
		outcomes[i] = c.refusal(failed)
		if !final(failed.Code) {
			wrong = failed
		}
	}
	c.condition.Note(ctx, "PutEvents", began, wrong)
	return outcomes
}

// final says that an error is of the event, which no other try makes better.
func final(code string) bool {
	switch code {
	case "InvalidArgument", "MalformedDetail", "RedactionFailure", "ValidationException":
		return true
	}
	return false
}

func (c *Channel) refusal(err error) error {
	code, status := cloud.Answer(err)
	return &notify.Refusal{Err: errors.New(c.service.Explain("PutEvents", err)), Final: final(code), Status: status}
}
