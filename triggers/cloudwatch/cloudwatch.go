// Package cloudwatch follows alarms of Amazon CloudWatch by asking for them,
// where no rule of EventBridge tells of their changes.
//
// Each change is the event that EventBridge would have sent, with the same ID, so
// that a change that comes both ways is one event. What an alarm went through
// between two looks is in its history: none of it is missed. Changes are told in
// their order, and the alarm is asked about again until they are durable. Nothing
// is kept but in memory: a start looks back as far as [Config.Since] says, and
// what was told before is known by its ID.
//
// Alarms that cannot be asked for do not end the source: it tries again at the
// next look, tells the log once, and says so in [Source.Condition]. Where the
// history is not given, the state that an alarm is in is told, and what was
// between is lost; that is said too.
//
// Credentials, regions and roles are left to the [aws.Config] that it is given.
package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/triggers"
)

const (
	mostAlarms = 1000             // names and prefixes
	callTime   = 20 * time.Second // one call, with its retries
)

// Config says which alarms, and how often they are asked for.
type Config struct {
	// Alarms are names of alarms, metric and composite, and prefixes of names,
	// which end in *. At least one.
	Alarms []string
	// Interval is how far apart two looks are. 1m if zero.
	Interval time.Duration
	// Since is how far back a start looks for changes. Zero for a first start:
	// what an alarm is in then is taken as it is, and only changes after are told.
	Since time.Time
	// Looked, if not nil, is told of each look, by when it began, before which no
	// change is left untold. What it takes down is the next start's Since.
	Looked func(ctx context.Context, at time.Time)
}

// WithDefaults fills in what is left open.
func (c Config) WithDefaults() Config {
	if c.Interval == 0 {
		c.Interval = time.Minute
	}
	return c
}

// Validate says what is wrong with a config that has its defaults.
func (c Config) Validate() error {
	switch {
	case len(c.Alarms) == 0:
		return errors.New(`alarms: want names of alarms or prefixes such as "churn-*"`)
	case len(c.Alarms) > mostAlarms:
		return fmt.Errorf("alarms: %d names; want at most %d: use prefixes", len(c.Alarms), mostAlarms)
	case c.Interval < time.Second || c.Interval > 24*time.Hour:
		return fmt.Errorf("interval: %s; want 1s to 24h", c.Interval)
	}
	for _, name := range c.Alarms {
		if bare := strings.TrimSuffix(name, "*"); name == "" || len(name) > 255 || strings.Contains(bare, "*") {
			return fmt.Errorf(`alarms: %q is neither an alarm's name nor a prefix such as "churn-*"`, name)
		}
	}
	return nil
}

// A Source follows alarms of one account and region.
type Source struct {
	cfg       Config
	client    *api.Client
	transport *http.Transport
	log       *slog.Logger
	region    string
	condition *cloud.Condition
	sleep     func(context.Context, time.Duration)

	// What is known of the alarms; owned by Run.
	since    time.Time         // of alarms that were not seen yet
	alarms   map[string]*known // by ARN
	watching bool              // a look went well
}

// New returns a source. The error says what is wrong with the config.
func New(cfg Config, with aws.Config, log *slog.Logger) (*Source, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
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
	s := &Source{cfg: cfg, transport: transport, log: log.With("region", with.Region), region: with.Region, sleep: triggers.Sleep}
	s.client = api.NewFromConfig(with, func(o *api.Options) { o.HTTPClient = &http.Client{Transport: transport} })
	s.condition = cloud.Service{
		Name: "CloudWatch", Prefix: "cloudwatch", Region: s.region, Resource: "the alarms " + strings.Join(cfg.Alarms[:min(len(cfg.Alarms), 3)], ", "),
	}.Watch(s.log)
	return s, nil
}

// Region is where the alarms are.
func (s *Source) Region() string { return s.region }

// Condition is what is wrong with the alarms at present, with the remedy; empty
// if nothing is.
func (s *Source) Condition() string { return s.condition.String() }

// Run hands changes of alarms to sink until ctx ends: see [triggers.Source].
func (s *Source) Run(ctx context.Context, sink triggers.Sink) error {
	defer s.transport.CloseIdleConnections()
	s.since, s.alarms, s.watching = s.cfg.Since, map[string]*known{}, false
	for ctx.Err() == nil {
		began := time.Now()
		s.look(ctx, sink)
		s.sleep(ctx, max(s.cfg.Interval-time.Since(began), s.cfg.Interval/10))
	}
	return nil
}
