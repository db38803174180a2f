// Package webhook is the trigger of HTTP requests: each POST that is signed is
// an event.
//
// A [Source] is both a source and the [http.Handler] that whoever wires it
// serves under [Config.Path]. It answers 202 with the event's ID when the event
// is durable, and not before; while Run is not running, as during a reload, a
// request waits. Whatever else it answers, the event is to be sent again, but
// for a 4xx: that says in plain words what is wrong with the request.
//
// What is an event of whom:
//
//   - A CloudEvents 1.0 event, in binary mode (ce-* headers) or structured mode,
//     keeps its source, type and identity. Sources that begin with `anneal.` are
//     anneal's own and refused.
//   - Any other JSON is an event of source `anneal.webhook/` and the path, of
//     the type that X-GitHub-Event says or else `Webhook Received`.
//   - A signed body that cannot be read is answered 400, and parked.
//
// Nothing is taken without a signature that one of the [Config.Secrets] makes:
//
//   - Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature (v1,
//     HMAC-SHA256). A timestamp more than five minutes from now is refused. A
//     webhook-id that comes again is the first event, whatever else the request
//     says.
//   - X-Hub-Signature-256, as GitHub sends it. It signs the body alone, so the
//     body alone is the identity of what is not a CloudEvent: the same body sent
//     again is the same event, however long after and whatever its headers.
//
// Neither signs ce-* headers; only TLS keeps those of binary mode. Under
// X-Hub-Signature-256, who can read one request can send its body again as
// another event. Structured mode has no such gap.
//
// A request is bounded: a body of 1 MiB in 15 s, 64 at a time, and 30 s for its
// event to become durable.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
)

const (
	// TypeReceived is the type of an event that nothing gives another.
	TypeReceived = "Webhook Received"

	sourcePrefix = "anneal.webhook"

	maxBody     = 1 << 20 // bytes
	maxRequests = 64
	bodyTime    = 15 * time.Second
	ingestTime  = 30 * time.Second
)

// Config is one entry `webhook` under `sources`.
type Config struct {
	// Path is where requests are sent to, such as /hooks/git.
	Path string
	// Signature is how requests are signed. Default: standard if all secrets
	// begin with whsec_, else hub.
	Signature Signature
	// Secrets are the keys, of which any will do, so that they can be changed
	// one after the other. For standard they are base64, with whsec_ before it
	// or without.
	Secrets []string
}

// WithDefaults fills in what is not set.
func (c Config) WithDefaults() Config {
	if c.Signature == "" {
		c.Signature = Standard
		for _, secret := range c.Secrets {
			if !strings.HasPrefix(secret, secretPrefix) {
				c.Signature = Hub
			}
		}
	}
	return c
}

// Validate says everything that is wrong with the config, once it has its
// defaults. No secret is in the error.
func (c Config) Validate() error {
	var problems []error
	if err := CheckPath(c.Path); err != nil {
		problems = append(problems, fmt.Errorf("path: %w", err))
	}
	if c.Signature != Standard && c.Signature != Hub {
		problems = append(problems, fmt.Errorf("signature: %q: want standard or hub", c.Signature))
	}
	if len(c.Secrets) == 0 {
		problems = append(problems, errors.New("secrets: are missing; want one at least: what is not signed is not taken"))
	}
	for i, secret := range c.Secrets {
		if _, err := c.Signature.key(secret); err != nil {
			problems = append(problems, fmt.Errorf("secrets[%d]: %w", i, err))
		}
	}
	return errors.Join(problems...)
}

// CheckPath says what is wrong with a [Config.Path].
func CheckPath(path string) error {
	if !pathForm.MatchString(path) {
		return fmt.Errorf("%q: want a path such as /hooks/git, of letters, digits and -._~", path)
	}
	return nil
}

// pathForm has no segment that is empty or begins with a dot.
var pathForm = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

// New returns the source of one path. The error is that of [Config.Validate].
func New(cfg Config, log *slog.Logger) (*Source, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{
		cfg:        cfg,
		log:        log.With("path", cfg.Path),
		now:        time.Now,
		bodyTime:   bodyTime,
		ingestTime: ingestTime,
		offers:     make(chan offer),
		slots:      make(chan struct{}, maxRequests),
		deliveries: deliveries{known: make(map[string]*delivery)},
	}
	for _, secret := range cfg.Secrets {
		key, err := cfg.Signature.key(secret)
		if err != nil {
			panic(err) // unreachable: checked by Validate
		}
		s.keys = append(s.keys, key)
	}
	return s, nil
}

// A Source takes the requests of one path.
type Source struct {
	cfg                  Config
	keys                 [][]byte
	log                  *slog.Logger
	now                  func() time.Time
	bodyTime, ingestTime time.Duration

	offers     chan offer    // from handlers to Run
	slots      chan struct{} // one for each request whose body is held
	deliveries deliveries
	refusals   refusals
}

var _ triggers.Source = (*Source)(nil)

// An offer is an event that a handler wants to be durable.
type offer struct {
	event  anneal.Event
	answer chan<- answer // has room for it
}

type answer struct {
	stored    anneal.Event
	duplicate bool
	err       error
}

// Path is where the source is to be served.
func (s *Source) Path() string { return s.cfg.Path }

// Run hands the events of requests to sink until ctx ends, and then returns
// nil. It runs once at a time.
func (s *Source) Run(ctx context.Context, sink triggers.Sink) error {
	var ingesting sync.WaitGroup
	defer ingesting.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-s.offers:
			ingesting.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, s.ingestTime)
				defer cancel()
				stored, duplicate, err := sink.Ingest(ctx, o.event)
				o.answer <- answer{stored, duplicate, err}
			})
		}
	}
}
