package nats

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/anneal-ml/anneal/cloud/cloudtest"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// A journal is a log that several write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), what)
}

// follow runs a source with a log of its own.
func follow(t *testing.T, cfg Config) (*Source, *triggertest.Sink, *journal) {
	t.Helper()
	log := &journal{}
	s, err := New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	sink := triggertest.NewSink()
	triggertest.Run(t, func(ctx context.Context) error { return s.Run(ctx, sink) })
	return s, sink, log
}

// becomes waits for a condition.
func becomes(t *testing.T, s *Source, want string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); s.Condition() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the condition is\n%q\nwant\n%q", s.Condition(), want)
		}
	}
}

// What lacks on the server is one line with its remedy, told once, and over when
// it is there.
func TestAbsentStream(t *testing.T) {
	s := newServer(t, nil)
	p := newPublisher(t, s.ClientURL())
	source, sink, log := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Subjects: []string{"uploads.a", "uploads.b"}})
	becomes(t, source, "there is no stream uploads: make it: nats stream add uploads --subjects 'uploads.a,uploads.b' --storage file --defaults")
	p.stream(t, "uploads")
	p.send(t, "uploads.a", notification("a", 1))
	sink.Wait(t, "a")
	becomes(t, source, "")
	if n, m := log.count("nats does not work"), log.count("nats works again"); n != 1 || m != 1 {
		t.Errorf("the log tells %d times that it does not work, %d times that it does; want once each", n, m)
	}
}

// A server that goes and comes again is followed on, with nothing lost.
func TestServerAway(t *testing.T) {
	dir := t.TempDir()
	port, err := strconv.Atoi(cloudtest.Port(t))
	if err != nil {
		t.Fatal(err)
	}
	start := func() *server.Server {
		return newServer(t, func(o *server.Options) { o.StoreDir, o.Port = dir, port })
	}
	s := start()
	url := s.ClientURL()
	p := newPublisher(t, url)
	p.stream(t, "uploads")
	source, sink, log := follow(t, Config{URLs: []string{url}, Stream: "uploads"})
	p.send(t, "uploads.a", notification("a", 1))
	sink.Wait(t, "a")
	s.Shutdown()
	s.WaitForShutdown()
	becomes(t, source, url+" cannot be reached: check url and network: connection refused")
	start()
	p = newPublisher(t, url)
	p.send(t, "uploads.a", notification("b", 2))
	sink.Wait(t, "b")
	becomes(t, source, "")
	if n := log.count("nats works again"); n == 0 {
		t.Error("the log does not tell that it works again")
	}
	p.drained(t, "uploads")
}

func TestUnreachable(t *testing.T) {
	source, _, _ := follow(t, Config{URLs: []string{"nats://u:secret@127.0.0.1:1"}, Stream: "uploads"})
	becomes(t, source, "nats://127.0.0.1:1 cannot be reached: check url and network: connection refused")
}

func TestOtherKinds(t *testing.T) {
	t.Run("no JetStream", func(t *testing.T) {
		s := newServer(t, func(o *server.Options) { o.JetStream = false })
		source, _, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads"})
		becomes(t, source, "JetStream does not answer at "+s.ClientURL()+": is it on (nats-server -js), and for this account?")
	})
	s := newServer(t, nil)
	p := newPublisher(t, s.ClientURL())
	stream := p.stream(t, "uploads")
	t.Run("another kind of consumer", func(t *testing.T) {
		if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "anneal", AckPolicy: jetstream.AckNonePolicy}); err != nil {
			t.Fatal(err)
		}
		source, _, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads"})
		becomes(t, source, "the consumer anneal of the stream uploads is another kind of consumer: name another under durable, or nats consumer rm uploads anneal")
		if err := stream.DeleteConsumer(t.Context(), "anneal"); err != nil {
			t.Fatal(err)
		}
		becomes(t, source, "")
	})
	t.Run("subjects that do not fit", func(t *testing.T) {
		source, _, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Durable: "other", Subjects: []string{"a.>", "uploads.a", "a.>"}})
		eventually(t, "the condition", func() bool { return source.Condition() != "" })
		if got := source.Condition(); !strings.Contains(got, "overlap") {
			t.Errorf("condition %q; want that the subjects overlap", got)
		}
	})
}

// What a user may not do is named by its subject, at each step, and is over when
// the user may.
func TestPermissions(t *testing.T) {
	t.Parallel()
	api := "$JS.API.CONSUMER."
	all := []string{api + "INFO.uploads.anneal", api + "CREATE.uploads.anneal", api + "MSG.NEXT.uploads.anneal", "$JS.ACK.uploads.anneal.>"}
	for _, c := range []struct{ without, want string }{
		{api + "INFO.uploads.anneal", "permissions violation: allow the user to publish $JS.API.CONSUMER.INFO.uploads.anneal"},
		{api + "CREATE.uploads.anneal", "permissions violation: allow the user to publish $JS.API.CONSUMER.CREATE.uploads.anneal"},
		{api + "MSG.NEXT.uploads.anneal", "permissions violation: allow the user to publish $JS.API.CONSUMER.MSG.NEXT.uploads.anneal"},
		{"$JS.ACK.uploads.anneal.>", "permissions violation: allow the user to publish $JS.ACK.uploads.anneal.>"},
		{"_INBOX.>", "permissions violation: allow the user to subscribe _INBOX.>"},
	} {
		t.Run(c.without, func(t *testing.T) {
			t.Parallel()
			config := func(without string) string {
				var allowed []string
				for _, subject := range all {
					if subject != without {
						allowed = append(allowed, fmt.Sprintf("%q", subject))
					}
				}
				inbox := `"_INBOX.>"`
				if without == "_INBOX.>" {
					inbox = `"other.>"`
				}
				return fmt.Sprintf(`authorization { users = [
					{user: admin, password: p},
					{user: anneal, password: p, permissions: {publish: [%s], subscribe: [%s]}} ] }`, strings.Join(allowed, ", "), inbox)
			}
			var options *server.Options
			s := newServer(t, func(o *server.Options) {
				permit(t, o, config(c.without))
				options = o.Clone()
			})
			p := newPublisher(t, s.ClientURL(), client.UserInfo("admin", "p"))
			p.stream(t, "uploads")
			p.send(t, "uploads.a", notification("a", 1))
			source, sink, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", AckWait: time.Second, Login: Login{User: text("anneal"), Password: text("p")}})
			becomes(t, source, c.want)
			permit(t, options, config(""))
			if err := s.ReloadOptions(options); err != nil {
				t.Fatal(err)
			}
			sink.Wait(t, "a")
			becomes(t, source, "")
		})
	}
}

// What the client tells of a connection when another has taken its place changes
// nothing.
func TestToldLate(t *testing.T) {
	c := newCondition(Config{}.WithDefaults(), slog.New(slog.DiscardHandler))
	open, closed := context.WithCancel(t.Context())
	c.note(open, partConnection, nil)
	closed()
	c.note(t.Context(), partConnection, nil)
	c.note(open, partConnection, errors.New("the connection is closed"))
	c.deny(open, errors.New(`nats: permissions violation for subscription to "_INBOX.a.*"`))
	if got := c.String(); got != "" || c.deaf() {
		t.Errorf("condition %q, deaf %v; want neither", got, c.deaf())
	}
	c.note(t.Context(), partConnection, errors.New("gone"))
	c.note(open, partConnection, nil)
	if got := c.String(); got != "gone" {
		t.Errorf("condition %q; want that of the connection that is", got)
	}
}

// That the consumer was refused is told when the messages come already, since the
// user was permitted meanwhile: with the next ones it is over.
func TestDeniedLate(t *testing.T) {
	s := newServer(t, nil)
	p := newPublisher(t, s.ClientURL())
	p.stream(t, "uploads")
	source, sink, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Pending: 1})
	p.send(t, "uploads.a", notification("a", 1))
	sink.Wait(t, "a")
	source.condition.deny(t.Context(), errors.New(`nats: permissions violation for publish to "$JS.API.CONSUMER.CREATE.uploads.anneal"`))
	p.send(t, "uploads.b", notification("b", 2))
	sink.Wait(t, "b")
	becomes(t, source, "")
}

// permit gives a server its users.
func permit(t *testing.T, o *server.Options, config string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Users = users.Users
}

func text(value string) Secret { return func() (string, error) { return value, nil } }

// Each way to log in gets in, and what is wrong is named, read again, and over
// when it is corrected.
func TestLogin(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := user.Seed()
	public, _ := user.PublicKey()
	stranger, _ := nkeys.CreateUser()
	otherSeed, _ := stranger.Seed()
	operator, account, system := must(nkeys.CreateOperator()), must(nkeys.CreateAccount()), must(nkeys.CreateAccount())
	operatorKey, accountKey, systemKey := must(operator.PublicKey()), must(account.PublicKey()), must(system.PublicKey())
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT := must(claims.Encode(operator))
	creds := func(sign nkeys.KeyPair) string {
		u := jwt.NewUserClaims(public)
		return string(must(jwt.FormatUserConfig(must(u.Encode(sign)), seed)))
	}
	for _, c := range []struct {
		name       string
		server     func(*server.Options)
		good, bad  string
		login      func(Secret) Login
		unreadable string // what is not even well-formed, and what is said of it
		says       string
	}{
		{"token", func(o *server.Options) { o.Authorization = "t" }, "t", "x", func(s Secret) Login { return Login{Token: s} }, "", ""},
		{"user", func(o *server.Options) { o.Username, o.Password = "anneal", "p" }, "p", "x", func(s Secret) Login { return Login{User: text("anneal"), Password: s} }, "", ""},
		{"nkey", func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }, string(seed), string(otherSeed), func(s Secret) Login { return Login{NKey: s} },
			"x", "nkey: want the seed of a user's key, which begins with SU"},
		{"credentials", func(o *server.Options) {
			operatorClaims := jwt.NewOperatorClaims(operatorKey)
			o.TrustedOperators = []*jwt.OperatorClaims{operatorClaims}
			resolver := &server.MemAccResolver{}
			for key, text := range map[string]string{accountKey: accountJWT, systemKey: must(jwt.NewAccountClaims(systemKey).Encode(operator))} {
				if err := resolver.Store(key, text); err != nil {
					t.Fatal(err)
				}
			}
			o.AccountResolver, o.SystemAccount = resolver, systemKey
		}, creds(account), creds(must(nkeys.CreateAccount())), func(s Secret) Login { return Login{Credentials: s} },
			"x", "credentials: there is no seed of a user's key in it; want what is in a .creds file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.server)
			option, err := c.login(text(c.good)).option()
			if err != nil {
				t.Fatal(err)
			}
			p := newPublisher(t, s.ClientURL(), option)
			p.stream(t, "uploads")
			p.send(t, "uploads.a", notification("a", 1))
			var mu sync.Mutex
			var value string
			set := func(to string) { mu.Lock(); value = to; mu.Unlock() }
			set(c.bad)
			source, sink, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Login: c.login(func() (string, error) {
				mu.Lock()
				defer mu.Unlock()
				if value == "" {
					return "", errors.New("the environment variable NATS is not set")
				}
				return value, nil
			})})
			becomes(t, source, s.ClientURL()+" refuses the login: correct credentials, nkey, user and password, or token")
			set("")
			eventually(t, "that nothing is there to be told", func() bool {
				return strings.HasSuffix(source.Condition(), ": the environment variable NATS is not set")
			})
			if c.unreadable != "" {
				set(c.unreadable)
				becomes(t, source, c.says)
			}
			set(c.good)
			sink.Wait(t, "a")
			becomes(t, source, "")
		})
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// A certificate that is not trusted is named, and the file of those who are is
// read again.
func TestTLS(t *testing.T) {
	site := httptest.NewUnstartedServer(nil)
	site.StartTLS()
	site.Close() // only its certificate is wanted
	s := newServer(t, func(o *server.Options) {
		o.TLSConfig, o.TLSTimeout = &tls.Config{Certificates: site.TLS.Certificates, MinVersion: tls.VersionTLS12}, 2
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw})
	source, _, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads"})
	eventually(t, "the condition", func() bool { return source.Condition() != "" })
	if got, want := source.Condition(), "the certificate of "+s.ClientURL()+" is not trusted: set tls.ca, or correct the certificate: "; !strings.HasPrefix(got, want) {
		t.Errorf("condition %q; want %q…", got, want)
	}
	source, sink, _ := follow(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", TLS: TLS{CA: ca}})
	becomes(t, source, "tls: ca: open "+ca+": no such file or directory")
	if err := os.WriteFile(ca, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t, s.ClientURL(), client.RootCAs(ca))
	p.stream(t, "uploads")
	p.send(t, "uploads.a", notification("a", 1))
	sink.Wait(t, "a")

	plain := newServer(t, nil)
	source, _, _ = follow(t, Config{URLs: []string{plain.ClientURL()}, Stream: "uploads", TLS: TLS{CA: ca}})
	becomes(t, source, plain.ClientURL()+" does not speak TLS: write nats:// and leave tls out, or turn TLS on there")
}
