package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Parts of the work that can go wrong, each by itself.
const (
	partConnection = "connection"
	partConsumer   = "consumer"
	partFetch      = "fetch"
	partAck        = "ack"
)

// A condition is what is wrong at present. It tells the log when that changes.
type condition struct {
	cfg Config
	log *slog.Logger

	mu       sync.Mutex
	wrong    map[string]string // guarded by mu; part to what is wrong
	denied   map[string]string // guarded by mu; part to what the user may not do, since it last worked
	deafened bool              // guarded by mu; the user may not hear answers, since it last connected
}

func newCondition(cfg Config, log *slog.Logger) *condition {
	return &condition{cfg: cfg, log: log, wrong: map[string]string{}, denied: map[string]string{}}
}

// note takes down how a part of the work went. What is told after ctx has ended
// says nothing of what is now, and what goes wrong without a connection is that.
func (c *condition) note(ctx context.Context, part string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil { // asked under mu: whoever ends ctx and notes then has the last word
		return
	}
	if err == nil {
		delete(c.denied, part)
		if part == partConnection {
			clear(c.denied) // it may be somebody else now
			c.deafened = false
		}
		if c.wrong[part] != "" {
			delete(c.wrong, part)
			c.log.Info("nats works again", "what", part)
		}
		return
	}
	if part != partConnection && c.wrong[partConnection] != "" {
		return
	}
	what := c.denied[part]
	if what == "" || part == partConnection {
		what = explain(c.cfg, err)
	}
	c.set(part, what)
}

func (c *condition) set(part, what string) {
	if c.wrong[part] == what {
		return
	}
	c.wrong[part] = what
	c.log.Warn("nats does not work, trying again", "what", part, "err", what)
}

// violation is what a server says that a user may not do.
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// deny takes down what the server says without being asked: that the user may
// not do something. The part that it is of would else only get no answer.
func (c *condition) deny(ctx context.Context, err error) {
	m := violation.FindStringSubmatch(err.Error())
	if m == nil {
		c.log.Debug("nats says", "err", err)
		return
	}
	part := partConsumer
	verb, subject := "publish", m[2]
	switch {
	case strings.EqualFold(m[1], "subscription"):
		// An inbox is new each time, and what is wrong is not.
		verb, subject = "subscribe", c.cfg.Inbox+".>"
	case strings.HasPrefix(subject, "$JS.ACK."):
		part, subject = partAck, fmt.Sprintf("$JS.ACK.%s.%s.>", c.cfg.Stream, c.cfg.Durable)
	case strings.Contains(subject, ".MSG.NEXT."):
		part = partFetch
	}
	what := fmt.Sprintf("permissions violation: allow the user to %s %s", verb, subject)
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	c.denied[part] = what
	c.deafened = c.deafened || verb == "subscribe"
	c.set(part, what)
}

// deaf says whether the user was not let hear answers.
func (c *condition) deaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deafened
}

// String is all that is wrong; empty: nothing. Without a connection that is all
// there is to say.
func (c *condition) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if what := c.wrong[partConnection]; what != "" {
		return what
	}
	var all []string
	for _, part := range slices.Sorted(maps.Keys(c.wrong)) {
		if !slices.Contains(all, c.wrong[part]) {
			all = append(all, c.wrong[part])
		}
	}
	return strings.Join(all, "; ")
}

// API errors for which the client has no name.
//
// Source: errors.json of the server.
const (
	errFilterNotSubset = 10093
	errNoLeader        = 10008
	errNotUpdatable    = 10012
)

// errNotOurs is of a consumer of our name that cannot be what is needed.
var errNotOurs = errors.New("not a pull consumer that acknowledges each message")

// explain is err in one line with its remedy.
func explain(cfg Config, err error) string {
	where := servers(cfg.URLs)
	api, _ := errors.AsType[*jetstream.APIError](err)
	is := func(all ...error) bool {
		return slices.ContainsFunc(all, func(e error) bool { return errors.Is(err, e) })
	}
	code := func(c jetstream.ErrorCode) bool { return api != nil && api.ErrorCode == c }
	op, _ := errors.AsType[*net.OpError](err)
	unknown, _ := errors.AsType[x509.UnknownAuthorityError](err)
	verification, _ := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case is(jetstream.ErrStreamNotFound):
		return fmt.Sprintf("there is no stream %s: make it: %s", cfg.Stream, remedy(cfg))
	case is(jetstream.ErrJetStreamNotEnabledForAccount):
		return "JetStream is not on for this account: give the account limits for it"
	case is(jetstream.ErrJetStreamNotEnabled), is(client.ErrNoResponders):
		return fmt.Sprintf("JetStream does not answer at %s: is it on (nats-server -js), and for this account?", where)
	case is(errNotOurs, jetstream.ErrNotPullConsumer), code(errNotUpdatable):
		return fmt.Sprintf("the consumer %s of the stream %s is another kind of consumer: name another under durable, or nats consumer rm %s %s", cfg.Durable, cfg.Stream, cfg.Stream, cfg.Durable)
	case code(errFilterNotSubset):
		return fmt.Sprintf("the stream %s does not hold %s: correct subjects, or nats stream edit %s", cfg.Stream, strings.Join(cfg.Subjects, ", "), cfg.Stream)
	case code(errNoLeader):
		return fmt.Sprintf("the cluster of %s has no leader: start more of its servers", where)
	case is(jetstream.ErrConsumerDeleted, jetstream.ErrConsumerNotFound):
		return fmt.Sprintf("the consumer %s of the stream %s is gone: it is made again", cfg.Durable, cfg.Stream)
	case api != nil:
		return fmt.Sprintf("%s (%d)", api.Description, api.ErrorCode)
	case is(client.ErrAuthExpired, client.ErrAccountAuthExpired):
		return "the credentials have expired: renew them; they are read again at each try"
	case is(client.ErrAuthRevoked):
		return "the credentials are revoked: use others; they are read again at each try"
	case is(client.ErrAuthorization), strings.Contains(strings.ToLower(err.Error()), "authorization violation"):
		return fmt.Sprintf("%s refuses the login: correct credentials, nkey, user and password, or token", where)
	case is(client.ErrSecureConnWanted):
		return fmt.Sprintf("%s does not speak TLS: write nats:// and leave tls out, or turn TLS on there", where)
	case verification != nil, unknown.Cert != nil:
		return fmt.Sprintf("the certificate of %s is not trusted: set tls.ca, or correct the certificate: %s", where, last(err))
	case is(jetstream.ErrNoHeartbeat, context.DeadlineExceeded, client.ErrTimeout):
		return fmt.Sprintf("no answer in time from %s: check network and server", where)
	case op != nil, is(client.ErrNoServers):
		return fmt.Sprintf("%s cannot be reached: check url and network: %s", where, last(err))
	}
	return strings.TrimPrefix(err.Error(), "nats: ")
}

// remedy is the command that makes the stream.
func remedy(cfg Config) string {
	subjects := cfg.Subjects
	if len(subjects) == 0 {
		subjects = []string{cfg.Stream + ".>"}
	}
	return fmt.Sprintf("nats stream add %s --subjects '%s' --storage file --defaults", cfg.Stream, strings.Join(subjects, ","))
}

// last is the innermost error: what the system says, without addresses that
// change.
func last(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return strings.TrimPrefix(err.Error(), "nats: ")
}
