// Package cloudwatch tells Amazon CloudWatch how the daemon fares, as metrics of a
// namespace of one's own.
//
// A [Publisher] asks for the [Sample]s of all metrics once an interval and sends
// what there is to say: how much counters have grown since they were last sent,
// and gauges as they are. What could not be sent is not given up, it is sent with
// the next; nothing grows meanwhile, for counters and [Times] hold sums. What was
// counted after the last sending before a crash is lost; a stop in order sends it.
// A call whose answer is lost is made again by the SDK, and may then count twice:
// CloudWatch has no identity for it.
//
// AWS that cannot be reached does not end a Publisher: see [Publisher.Condition].
package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/anneal-ml/anneal/cloud"
)

const (
	atOnce   = 1000    // metrics a call: CloudWatch's most
	mostSize = 700_000 // bytes of a call, as they are reckoned here; CloudWatch takes 1 MB
	callTime = 20 * time.Second
	stopTime = 3 * time.Second // all calls after the context has ended
)

// Config says where metrics go, and how often.
type Config struct {
	// Namespace is theirs. Those that begin with AWS/ are AWS's own. anneal if
	// empty.
	Namespace string
	// Interval is how far apart they are sent: whole seconds. 1m if zero.
	Interval time.Duration
}

// WithDefaults fills in what is left open.
func (c Config) WithDefaults() Config {
	if c.Namespace == "" {
		c.Namespace = "anneal"
	}
	if c.Interval == 0 {
		c.Interval = time.Minute
	}
	return c
}

var namespace = regexp.MustCompile(`^[0-9A-Za-z.\-_/#:]{1,255}$`)

// Validate says what is wrong with a config that has its defaults.
//
// Source: the CloudWatch API reference, PutMetricData.
func (c Config) Validate() error {
	switch {
	case strings.HasPrefix(c.Namespace, "AWS/"):
		return fmt.Errorf("namespace: %s: names that begin with AWS/ are AWS's own; want another, such as anneal", c.Namespace)
	case !namespace.MatchString(c.Namespace) || strings.HasPrefix(c.Namespace, ":"):
		return fmt.Errorf("namespace: %q; want letters, digits, . - _ / # and :, 255 at most", c.Namespace)
	case c.Interval < time.Second || c.Interval > 24*time.Hour:
		return fmt.Errorf("interval: %s; want 1s to 24h", c.Interval)
	}
	return nil
}

// A Unit is what a metric counts.
type Unit string

// The units that are used here.
const (
	Count        Unit = "Count"
	Seconds      Unit = "Seconds"
	Milliseconds Unit = "Milliseconds"
	None         Unit = "None"
)

// A Sample is one metric as it is now.
type Sample struct {
	Name       string
	Unit       Unit
	Dimensions map[string]string // 30 at most; those without a value are left out
	Value      float64
	Counter    bool // Value only grows, and how much it has is sent
}

func (s Sample) key() string {
	var b strings.Builder
	b.WriteString(s.Name)
	for _, name := range slices.Sorted(maps.Keys(s.Dimensions)) {
		fmt.Fprintf(&b, "\x00%s\x00%s", name, s.Dimensions[name])
	}
	return b.String()
}

// A Publisher sends metrics.
type Publisher struct {
	cfg       Config
	client    *api.Client
	region    string
	gather    func() []Sample
	times     *Times
	condition *cloud.Condition
	sent      map[string]float64 // by key: counters, as they were when they were last sent; owned by Run
}

// New returns a publisher of what gather gives and of what is added to times. The
// error says what is wrong with the config.
func New(cfg Config, with aws.Config, gather func() []Sample, times *Times, log *slog.Logger) (*Publisher, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if with.Region == "" {
		return nil, errors.New("region: is not known; set it here, or AWS_REGION")
	}
	service := cloud.Service{Name: "CloudWatch", Prefix: "cloudwatch", Region: with.Region, Resource: "*, with the condition cloudwatch:namespace = " + cfg.Namespace}
	return &Publisher{
		cfg: cfg, client: api.NewFromConfig(with), region: with.Region, gather: gather, times: times,
		condition: service.Watch(log), sent: map[string]float64{},
	}, nil
}

// Region is where the metrics go.
func (p *Publisher) Region() string { return p.region }

// Condition is what is wrong with sending at present, with the remedy; empty if
// nothing is.
func (p *Publisher) Condition() string { return p.condition.String() }

// Run sends until ctx ends, and then once more.
func (p *Publisher) Run(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
			defer cancel()
			p.publish(last)
			return nil
		case <-tick.C:
			p.publish(ctx)
		}
	}
}

// A part is one metric of a call, and what is done once it is sent or is not.
type part struct {
	datum types.MetricDatum
	size  int
	sent  func()
	kept  func()
}

// publish sends all there is to say.
func (p *Publisher) publish(ctx context.Context) {
	parts := p.parts(time.Now())
	for len(parts) > 0 {
		n, size := 0, 0
		in := &api.PutMetricDataInput{Namespace: &p.cfg.Namespace}
		for n < len(parts) && n < atOnce && (n == 0 || size+parts[n].size <= mostSize) {
			in.MetricData = append(in.MetricData, parts[n].datum)
			size += parts[n].size
			n++
		}
		began := time.Now()
		call, cancel := context.WithTimeout(ctx, callTime)
		_, err := p.client.PutMetricData(call, in)
		cancel()
		p.condition.Note(ctx, "PutMetricData", began, err)
		for i, part := range parts {
			if i < n && err == nil {
				part.sent()
			} else if err != nil {
				part.kept()
			}
		}
		if err != nil {
			return // the rest would fare no better, and keeps
		}
		parts = parts[n:]
	}
}

// parts is what there is to say now.
func (p *Publisher) parts(now time.Time) []part {
	var parts []part
	nothing := func() {}
	for _, s := range p.gather() {
		value, key := s.Value, s.key()
		if s.Counter {
			if value -= p.sent[key]; value <= 0 {
				continue
			}
		}
		datum := datumOf(s, now)
		datum.Value = &value
		sent := nothing
		if s.Counter {
			sent = func() { p.sent[key] = s.Value }
		}
		parts = append(parts, part{datum, sizeOf(datum), sent, nothing})
	}
	for _, t := range p.times.take() {
		for _, datum := range t.data(now) {
			parts = append(parts, part{datum.MetricDatum, sizeOf(datum.MetricDatum), nothing, func() { p.times.give(datum.back) }})
		}
	}
	return parts
}

func datumOf(s Sample, now time.Time) types.MetricDatum {
	datum := types.MetricDatum{MetricName: aws.String(s.Name), Unit: types.StandardUnit(s.Unit), Timestamp: &now}
	for _, name := range slices.Sorted(maps.Keys(s.Dimensions)) {
		if value := s.Dimensions[name]; value != "" {
			datum.Dimensions = append(datum.Dimensions, types.Dimension{Name: aws.String(name), Value: aws.String(cut(value))})
		}
	}
	return datum
}

// cut is a dimension's value as CloudWatch takes it: 1024 of ASCII at most, and
// not beginning with a colon.
func cut(value string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, value)
	if strings.HasPrefix(plain, ":") {
		plain = "?" + plain[1:]
	}
	return plain[:min(len(plain), 1024)]
}

// sizeOf is about what a metric takes in a request, in bytes: more rather than
// less.
func sizeOf(d types.MetricDatum) int {
	size := 400 + 120*(len(d.Values)+len(d.Counts))
	for _, dimension := range d.Dimensions {
		size += 150 + 3*len(*dimension.Value)
	}
	return size
}
