package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var quiet = slog.New(slog.DiscardHandler)

// errFull is what a journal without space says.
var errFull = errors.New("no space left on device")

// newServer starts a server with JetStream, changed as a test wants it.
func newServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		AuthTimeout: 60, // seconds, in which a client of a busy machine has to log in
	}
	if change != nil {
		change(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(2 * time.Minute) {
		t.Fatal("the server is not ready")
	}
	return s
}

// A publisher is who makes streams and fills them.
type publisher struct {
	jetstream.JetStream
	conn *client.Conn
}

func newPublisher(t testing.TB, url string, options ...client.Option) *publisher {
	t.Helper()
	conn, err := client.Connect(url, append(options, client.Timeout(time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return &publisher{js, conn}
}

// stream makes a stream of the subjects below its name.
func (p *publisher) stream(t testing.TB, name string) jetstream.Stream {
	t.Helper()
	s, err := p.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *publisher) send(t testing.TB, subject, body string, headers ...string) {
	t.Helper()
	m := client.NewMsg(subject)
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header[headers[i]] = append(m.Header[headers[i]], headers[i+1])
	}
	if _, err := p.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// info is how the consumer of a stream stands.
func (p *publisher) info(t testing.TB, stream string) *jetstream.ConsumerInfo {
	t.Helper()
	consumer, err := p.Consumer(t.Context(), stream, "anneal")
	if err != nil {
		t.Fatal(err)
	}
	return consumer.CachedInfo()
}

// drained waits until all of a stream is acknowledged.
func (p *publisher) drained(t testing.TB, stream string) {
	t.Helper()
	eventually(t, "all of "+stream+" to be acknowledged", func() bool {
		all, err := p.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		consumer, err := all.Consumer(t.Context(), "anneal") // made by the source, sooner or later
		return err == nil && consumer.CachedInfo().AckFloor.Stream == all.CachedInfo().State.LastSeq
	})
}

// eventually waits for what is to become of something.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

func newSource(t testing.TB, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// notification is S3's message of the nth object.
func notification(key string, n int) string {
	return fmt.Sprintf(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-07-01T11:59:59.123Z","eventName":"ObjectCreated:Put",`+
		`"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"ml-data","arn":"arn:aws:s3:::ml-data"},"object":{"key":"%s","size":7,"eTag":"e","sequencer":"%016X"}}}]}`, key, n)
}
