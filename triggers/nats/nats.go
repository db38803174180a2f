// Package nats follows a stream of NATS JetStream.
//
// It does so by a durable consumer that it makes itself, or brings to its
// config; the stream it leaves to others. A message is acknowledged after its
// events are durable, and the server has confirmed that; while it waits the
// server is told so. One that cannot be read becomes parked events and is
// acknowledged too. So a crash repeats a message and loses none, and the repeat
// is known by the IDs of its events. No more than [Config.Pending] messages are
// held; the rest stays in the stream. Messages are not taken in their order.
//
// A server or a stream that is away does not end the source: it tries again,
// waits longer each time up to half a minute, tells the log once, and says so in
// [Source.Condition].
//
// What a message means is left to package envelope.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/anneal-ml/anneal/triggers"
)

// SourceName is the source of an event whose message does not name one.
const SourceName = "nats"

const (
	mostPending = 10_000
	callTime    = 5 * time.Second // for an answer, and for a connection
	stopTime    = 3 * time.Second // for what is said after the context has ended
)

// Config says which stream of which server, and how it is followed.
type Config struct {
	// URLs are servers of one cluster: nats://, tls://, ws:// or wss://, with a
	// host. The rest of the cluster is learnt from them. nats://127.0.0.1:4222 if
	// none.
	URLs   []string
	Stream string
	// Subjects are what is followed of the stream, with wildcards; all if none.
	Subjects []string
	// Durable is the name of the consumer. Daemons that name the same one share
	// its messages. anneal if empty.
	Durable string
	// Pending is how many messages are held that are not durable yet. 256 if zero.
	Pending int
	// AckWait is how long the server waits after a crash before a message comes
	// again. 30s if zero.
	AckWait time.Duration
	// Inbox is the prefix of the subjects on which answers come. _INBOX if empty.
	Inbox string
	Login Login
	TLS   TLS
}

// A Secret reads a value. It is asked at each try to connect, so that what is
// renewed is used; nil is none.
type Secret func() (string, error)

// Login is who the daemon is to the server: one of credentials, a key, a user
// with a password, and a token; or none.
type Login struct {
	Credentials    Secret // what is in a .creds file: a JWT and its seed
	NKey           Secret // the seed of a user's key
	User, Password Secret
	Token          Secret
}

// TLS are files in PEM, empty where there is none. They are read at each try to
// connect.
type TLS struct {
	CA        string // who is trusted; the system's if empty
	Cert, Key string // who the daemon is
}

// WithDefaults fills in what is left open.
func (c Config) WithDefaults() Config {
	if len(c.URLs) == 0 {
		c.URLs = []string{client.DefaultURL}
	}
	if c.Durable == "" {
		c.Durable = "anneal"
	}
	if c.Pending == 0 {
		c.Pending = 256
	}
	if c.AckWait == 0 {
		c.AckWait = 30 * time.Second
	}
	if c.Inbox == "" {
		c.Inbox = "_INBOX"
	}
	return c
}

var (
	name    = regexp.MustCompile(`^[^\s.*>/\\[:cntrl:]]{1,255}$`)
	subject = regexp.MustCompile(`^[^\s.]+(\.[^\s.]+)*$`)
	schemes = []string{"nats", "tls", "ws", "wss"}
)

// Validate says what is wrong with a config that has its defaults.
func (c Config) Validate() error {
	for _, server := range c.URLs {
		// What it is stays out of the message: it may hold a password.
		if u, err := url.Parse(server); err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" {
			return errors.New("url: want one such as nats://nats.example.com:4222, or tls://, ws://, wss://")
		}
	}
	switch {
	case c.Stream == "":
		return errors.New("stream: is missing; want the name of a stream, such as uploads")
	case !name.MatchString(c.Stream):
		return fmt.Errorf("stream: %q; want a name without white space and any of . * > / \\", c.Stream)
	case !name.MatchString(c.Durable):
		return fmt.Errorf("durable: %q; want a name without white space and any of . * > / \\", c.Durable)
	case c.Pending < 1 || c.Pending > mostPending:
		return fmt.Errorf("pending: %d; want 1 to %d", c.Pending, mostPending)
	case c.AckWait < time.Second || c.AckWait > 12*time.Hour:
		return fmt.Errorf("ackWait: %s; want 1s to 12h", c.AckWait)
	case !subject.MatchString(c.Inbox) || strings.ContainsAny(c.Inbox, "*>"):
		return fmt.Errorf("inbox: %q; want the beginning of a subject, such as _INBOX_anneal, without wildcards", c.Inbox)
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("tls: want both of cert and key, or neither")
	case (c.Login.User == nil) != (c.Login.Password == nil):
		return errors.New("user, password: want both, or neither")
	}
	for i, s := range c.Subjects {
		if !subject.MatchString(s) {
			return fmt.Errorf("subjects[%d]: %q; want a subject such as uploads.>", i, s)
		}
	}
	ways := 0
	for _, way := range []Secret{c.Login.Credentials, c.Login.NKey, c.Login.User, c.Login.Token} {
		if way != nil {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("want one of credentials, nkey, user with password, and token")
	}
	return nil
}

// A Source follows one stream.
type Source struct {
	cfg       Config
	log       *slog.Logger
	intake    *triggers.Intake
	condition *condition

	mu   sync.Mutex
	held map[jetstream.Msg]struct{} // guarded by mu; not acknowledged yet
}

// New returns a source. The error says what is wrong with the config. Nothing is
// asked of the server here.
func New(cfg Config, log *slog.Logger) (*Source, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log = log.With("stream", cfg.Stream)
	return &Source{cfg: cfg, log: log, intake: triggers.NewIntake(log), condition: newCondition(cfg, log), held: map[jetstream.Msg]struct{}{}}, nil
}

// Stream is the name of the stream.
func (s *Source) Stream() string { return s.cfg.Stream }

// Servers are the servers without what is secret in their URLs.
func (s *Source) Servers() string { return servers(s.cfg.URLs) }

func servers(urls []string) string {
	var all []string
	for _, server := range urls {
		if u, err := url.Parse(server); err == nil {
			u.User = nil
			all = append(all, u.String())
		}
	}
	return strings.Join(all, ", ")
}

// Condition is what is wrong at present, with the remedy; empty if nothing is.
func (s *Source) Condition() string { return s.condition.String() }

// Run hands the stream's messages to sink until ctx ends: see [triggers.Source].
// What is held then and not durable is given back at once.
func (s *Source) Run(ctx context.Context, sink triggers.Sink) error {
	for wait := triggers.ShortestWait; ctx.Err() == nil; wait = min(2*wait, triggers.LongestWait) {
		// The client tells late, and one by one, what befell a connection: of one
		// that is closed nobody listens.
		open, closed := context.WithCancel(ctx)
		conn, err := s.connect(open)
		s.condition.note(ctx, partConnection, err)
		if err == nil {
			s.stay(ctx, conn, sink)
			closed()
			conn.Close()
			continue
		}
		closed()
		triggers.Sleep(ctx, wait)
	}
	return nil
}

// stay follows the stream over one connection, which connects itself again,
// until ctx ends or another connection is needed.
func (s *Source) stay(ctx context.Context, conn *client.Conn, sink triggers.Sink) {
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(callTime))
	if err != nil {
		s.condition.note(ctx, partConsumer, err)
		return
	}
	stop := make(chan struct{})
	var beat, messages sync.WaitGroup
	beat.Go(func() { s.beat(stop) })
	slots := make(chan struct{}, s.cfg.Pending)
	for wait := triggers.ShortestWait; ctx.Err() == nil; {
		consumer, err := s.consumer(ctx, js)
		s.condition.note(ctx, partConsumer, err)
		for err == nil && ctx.Err() == nil {
			if err = s.fetch(ctx, consumer, sink, slots, &messages); err == nil {
				wait = triggers.ShortestWait
				s.condition.note(ctx, partConsumer, nil) // that it was refused may have been told late
			}
			s.condition.note(ctx, partFetch, err)
		}
		if ctx.Err() == nil {
			triggers.Sleep(ctx, wait)
			wait = min(2*wait, triggers.LongestWait)
		}
		if s.condition.deaf() {
			break // what was refused is not asked for again over the same connection
		}
	}
	messages.Wait()
	close(stop)
	beat.Wait()
	if !conn.IsConnected() {
		return // what is held comes again
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := conn.FlushWithContext(last); err != nil {
		s.log.Debug("not all is said to the server, what is held comes again", "err", err)
	}
}
