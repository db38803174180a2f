// Package sqs follows a queue of Amazon SQS, standard or FIFO.
//
// A message is deleted after its events are durable, and not before; while it
// waits for that it stays hidden from others. One that cannot be read becomes
// parked events and is deleted too: the queue's dead-letter queue is for what
// could not be made durable. So a crash repeats a message and loses none, and
// the repeat is known by the IDs of its events. Messages of one FIFO group are
// taken in their order. No more is held than four batches of ten for each of
// [Config.Consumers]; the rest stays on the queue.
//
// A queue that cannot be reached does not end the source: it tries again, waits
// longer each time up to half a minute, tells the log once, and says so in
// [Source.Condition].
//
// What a message means is left to package envelope, and credentials, regions and
// roles to the [aws.Config] that it is given.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	api "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/triggers"
)

// SourceName is the source of an event whose message does not name one.
const SourceName = "aws.sqs"

const (
	mostConsumers = 32
	atOnce        = 10               // messages a call, SQS's most
	longPoll      = 20 * time.Second // SQS's longest
	callTime      = 10 * time.Second // any other call, with its retries
	stopTime      = 3 * time.Second  // a call after the context has ended
)

// Config says which queue, and how it is followed.
type Config struct {
	// QueueURL is such as https://sqs.eu-central-1.amazonaws.com/123456789012/uploads.
	// A host that is not AWS's own is where requests go, unless
	// AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_SQS says otherwise.
	QueueURL string
	// Consumers is how many receive at a time. Each holds up to four batches of
	// ten that are not durable yet. 4 if zero.
	Consumers int
	// Visibility is how long the queue hides a message after a crash, and how
	// long it is hidden for at a time: whole seconds. 30s if zero.
	Visibility time.Duration
}

// WithDefaults fills in what is left open.
func (c Config) WithDefaults() Config {
	if c.Consumers == 0 {
		c.Consumers = 4
	}
	if c.Visibility == 0 {
		c.Visibility = 30 * time.Second
	}
	return c
}

// Validate says what is wrong with a config that has its defaults.
func (c Config) Validate() error {
	u, err := url.Parse(c.QueueURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "":
		return errors.New("queueURL: want the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/uploads")
	case c.Consumers < 1 || c.Consumers > mostConsumers:
		return fmt.Errorf("consumers: %d; want 1 to %d", c.Consumers, mostConsumers)
	case c.Visibility < time.Second || c.Visibility > 12*time.Hour || c.Visibility%time.Second != 0:
		return fmt.Errorf("visibility: %s; want whole seconds, 1s to 12h", c.Visibility)
	}
	return nil
}

var awsHost = regexp.MustCompile(`^(?:sqs(?:-fips)?\.([a-z0-9-]+)|([a-z0-9-]+)\.queue|queue)\.amazonaws\.com(?:\.cn)?$`)

// Region is the region that a queue's URL names; empty if it names none.
func Region(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	if m := awsHost.FindStringSubmatch(u.Host); m != nil {
		return m[1] + m[2]
	}
	return ""
}

// A Source follows one queue.
type Source struct {
	cfg       Config
	client    *api.Client
	transport *http.Transport
	log       *slog.Logger
	queue     string // its name
	poll      time.Duration
	intake    *triggers.Intake
	region    string
	condition *cloud.Condition
}

// New returns a source. The error says what is wrong with the config.
func New(cfg Config, with aws.Config, log *slog.Logger) (*Source, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.QueueURL)
	if err != nil {
		return nil, err // unreachable: it is valid
	}
	if named := Region(cfg.QueueURL); with.Region == "" {
		with.Region = named
	} else if named != "" && named != with.Region {
		return nil, fmt.Errorf("region: %s, and the queue is in %s by its URL; want that", with.Region, named)
	}
	if with.Region == "" {
		return nil, errors.New("region: is not known; set it here, or AWS_REGION")
	}
	// A transport of its own, so that nothing of it is left when Run returns.
	client, ok := with.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	transport := client.GetTransport()
	transport.MaxIdleConnsPerHost = (1 + ahead) * cfg.Consumers
	s := &Source{
		cfg:       cfg,
		transport: transport,
		poll:      longPoll,
		queue:     u.Path[strings.LastIndexByte(u.Path, '/')+1:],
		region:    with.Region,
	}
	s.log = log.With("queue", s.queue)
	s.intake = triggers.NewIntake(s.log)
	// Source of the codes: the SQS API reference, the errors of each action.
	absent := "there is no such queue in " + s.region + ": make it, or correct queueURL and region"
	s.condition = cloud.Service{Name: "SQS", Prefix: "sqs", Region: s.region, Resource: "the queue " + s.queue, Remedies: map[string]string{
		"AWS.SimpleQueueService.NonExistentQueue": absent,
		"QueueDoesNotExist":                       absent,
		"InvalidAddress":                          "the queue is not in " + s.region + ": correct queueURL or region",
	}}.Watch(s.log)
	s.client = api.NewFromConfig(with, func(o *api.Options) {
		o.HTTPClient = &http.Client{Transport: transport}
		if o.BaseEndpoint == nil && !awsHost.MatchString(u.Host) {
			o.BaseEndpoint = aws.String(u.Scheme + "://" + u.Host)
		}
	})
	return s, nil
}

// Queue is the queue's name.
func (s *Source) Queue() string { return s.queue }

// Region is where the queue is.
func (s *Source) Region() string { return s.region }

// Condition is what is wrong with the queue at present, with the remedy; empty
// if nothing is.
func (s *Source) Condition() string { return s.condition.String() }

// Run hands the queue's messages to sink until ctx ends: see [triggers.Source].
// What is held then and not durable is given back at once.
func (s *Source) Run(ctx context.Context, sink triggers.Sink) error {
	defer s.transport.CloseIdleConnections()
	var consumers sync.WaitGroup
	for range s.cfg.Consumers {
		consumers.Go(func() { s.consume(ctx, sink) })
	}
	consumers.Wait()
	return nil
}
