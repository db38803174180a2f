package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// A world is a stream that S3 tells.
type world struct {
	*publisher
	url, name string
}

func (w *world) Source(t *testing.T) triggers.Source {
	return newSource(t, Config{URLs: []string{w.url}, Stream: w.name, AckWait: 2 * time.Second})
}

func (w *world) Happen(t *testing.T, n int) string {
	key := fmt.Sprintf("training/%d.csv", n)
	w.send(t, w.name+".put", notification(key, n))
	return key
}

func TestContract(t *testing.T) {
	s := newServer(t, nil)
	p, n := newPublisher(t, s.ClientURL()), 0
	triggertest.Test(t, func(t *testing.T) triggertest.World {
		n++
		w := &world{p, s.ClientURL(), fmt.Sprintf("uploads-%d", n)}
		// The server is of this process: a consumer that it gains while a source
		// runs would look like goroutines that the source leaves behind.
		if _, err := p.stream(t, w.name).CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "anneal"}); err != nil {
			t.Fatal(err)
		}
		return w
	})
}

// What comes is what it says it is, however it is told; what cannot be read is
// kept and does not come again.
func TestMessages(t *testing.T) {
	s := newServer(t, nil)
	p, sink := newPublisher(t, s.ClientURL()), triggertest.NewSink()
	p.stream(t, "uploads")
	minio := `{"EventName":"s3:ObjectCreated:Put","Key":"ml-data/a%20b.csv","Records":[{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"","eventTime":"2026-07-01T11:59:59.123Z","eventName":"s3:ObjectCreated:Put",` +
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"Config","bucket":{"name":"ml-data","ownerIdentity":{"principalId":"test"},"arn":"arn:aws:s3:::ml-data"},"object":{"key":"a%20b.csv","size":7,"eTag":"e","sequencer":"18A0"}}}]}`
	versity := `{"Records":[{"eventVersion":"2.2","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-07-01T11:59:59Z","eventName":"s3:ObjectCreated:Put",` +
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"vgw-global","bucket":{"name":"ml-data","ownerIdentity":{"PrincipalId":"test"},"arn":"arn:aws:s3:::ml-data/b"},"object":{"key":"b c.csv","size":7,"eTag":"\"e\"","versionId":null,"sequencer":"18A1"}}}]}`
	p.send(t, "uploads.minio", minio)
	p.send(t, "uploads.versity", versity)
	p.send(t, "uploads.bridge", `{"version":"0","id":"1","detail-type":"Trained","source":"acme","time":"2026-07-01T11:59:59Z","resources":["r"],"detail":{"x":1}}`)
	p.send(t, "uploads.ce", `{"specversion":"1.0","id":"1","source":"/acme","type":"com.acme.structured","subject":"s","data":{"x":1}}`, "Content-Type", "application/cloudevents+json")
	p.send(t, "uploads.ce", `{"x":1}`, "ce-specversion", "1.0", "ce-id", "2", "ce-source", "/acme", "ce-type", "com.acme.binary", "ce-subject", "caf%C3%A9", "ce-datacontenttype", "application/json")
	p.send(t, "uploads.own", `{"model":"churn"}`)
	p.send(t, "uploads.bad", "not JSON")
	p.send(t, "uploads.bad", "")
	p.send(t, "uploads.again", versity)
	stop := triggertest.Run(t, func(ctx context.Context) error {
		return newSource(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads"}).Run(ctx, sink)
	})
	p.drained(t, "uploads")
	stop()
	var got []string
	for _, e := range sink.Events() {
		triggertest.Check(t, e)
		got = append(got, strings.TrimSpace(strings.Join([]string{e.Source, e.Type, e.Subject, string(e.Data[:min(len(e.Data), 9)]), e.Parked}, " ")))
	}
	slices.Sort(got)
	want := []string{
		`/acme com.acme.binary café {"x":1}`,
		`/acme com.acme.structured s {"x":1}`,
		`acme Trained r {"x":1}`,
		`aws.s3 Object Created b c.csv {"version`,
		`minio.s3 Object Created a b.csv {"version`,
		`nats Message uploads.bad  body: byte 2: not JSON: invalid character 'o' in literal null (expecting 'u')`,
		`nats Message uploads.bad  body: want a JSON object, have nothing`,
		`nats Message uploads.own {"model":`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := sink.Duplicates(); n != 1 {
		t.Errorf("%d duplicates; want 1: what versitygw told twice", n)
	}
}

// A stream that is made anew begins again at one, and what is in it is new.
func TestStreamMadeAnew(t *testing.T) {
	s := newServer(t, nil)
	p, sink := newPublisher(t, s.ClientURL()), triggertest.NewSink()
	p.stream(t, "uploads")
	triggertest.Run(t, func(ctx context.Context) error {
		return newSource(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads"}).Run(ctx, sink)
	})
	p.send(t, "uploads.a", `{"n":1}`)
	sink.Wait(t, "uploads.a")
	if err := p.DeleteStream(t.Context(), "uploads"); err != nil {
		t.Fatal(err)
	}
	p.stream(t, "uploads")
	p.send(t, "uploads.b", `{"n":1}`)
	sink.Wait(t, "uploads.b")
}

// Only what is asked for comes, a daemon that asks for something else changes the
// consumer, and what somebody has set in it besides stays.
func TestSubjects(t *testing.T) {
	s := newServer(t, nil)
	p := newPublisher(t, s.ClientURL())
	p.stream(t, "uploads")
	if _, err := p.CreateConsumer(t.Context(), "uploads", jetstream.ConsumerConfig{Durable: "anneal", DeliverPolicy: jetstream.DeliverNewPolicy, MaxDeliver: 3, Metadata: map[string]string{"team": "ml"}}); err != nil {
		t.Fatal(err)
	}
	for round, subjects := range [][]string{{"uploads.a"}, {"uploads.b", "uploads.c.*"}} {
		sink := triggertest.NewSink()
		stop := triggertest.Run(t, func(ctx context.Context) error {
			return newSource(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Subjects: subjects}).Run(ctx, sink)
		})
		for i, subject := range []string{"uploads.a", "uploads.b", "uploads.c.d"} {
			p.send(t, subject, fmt.Sprintf(`{"round":%d,"n":%d}`, round, i))
		}
		last := []string{"uploads.a", "uploads.c.d"}[round]
		sink.Wait(t, last)
		eventually(t, "the acknowledgements", func() bool { return p.info(t, "uploads").NumAckPending == 0 })
		stop()
		for _, e := range sink.Events() {
			if (e.Subject == "uploads.a") != (round == 0) {
				t.Errorf("%s came to who follows %q", e.Subject, subjects)
			}
		}
	}
	if c := p.info(t, "uploads").Config; c.Metadata["team"] != "ml" || c.MaxDeliver != -1 || c.MaxAckPending != 256 {
		t.Errorf("the consumer is %+v; want team ml, no end of deliveries, 256 pending", c)
	}
}

// A message that waits for its commit is not given to another.
func TestHeld(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	p, sink := newPublisher(t, s.ClientURL()), triggertest.NewSink()
	p.stream(t, "uploads")
	var full atomic.Bool
	sink.Refuse = func(anneal.Event) error {
		if full.Load() {
			return errFull
		}
		return nil
	}
	triggertest.Run(t, func(ctx context.Context) error {
		return newSource(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", AckWait: time.Second}).Run(ctx, sink)
	})
	before := uint64(0) // messages delivered
	// A source that stands still for a second is one that the server gives it again.
	for try := uint64(1); ; try++ {
		full.Store(true)
		p.send(t, "uploads.a", notification("a", int(try)))
		time.Sleep(3 * time.Second) // three times as long as the server would wait
		full.Store(false)
		p.drained(t, "uploads")
		delivered := p.info(t, "uploads").Delivered.Consumer - before
		if delivered == 1 {
			break
		}
		if try == 5 {
			t.Fatalf("delivered %d times; want once", delivered)
		}
		before += delivered
	}
}

// No more is held than may be, and what is held when the source stops is there
// again at once.
func TestPending(t *testing.T) {
	s := newServer(t, nil)
	p := newPublisher(t, s.ClientURL())
	p.stream(t, "uploads")
	for n := range 150 {
		p.send(t, "uploads.a", notification(fmt.Sprint(n), n))
	}
	cfg := Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Pending: 40, AckWait: time.Hour}
	offered := make(chan string, 150)
	stop := triggertest.Run(t, func(ctx context.Context) error { return newSource(t, cfg).Run(ctx, waiting(offered)) })
	eventually(t, "40 to be offered", func() bool { return len(offered) >= 40 })
	if n := p.info(t, "uploads").NumAckPending; n != 40 {
		t.Errorf("%d are held; want 40", n)
	}
	stop()
	if n := len(offered); n != 40 {
		t.Errorf("%d were offered; want 40", n)
	}
	sink := triggertest.NewSink()
	triggertest.Run(t, func(ctx context.Context) error { return newSource(t, cfg).Run(ctx, sink) })
	p.drained(t, "uploads")
	if n := len(sink.Events()); n != 150 {
		t.Errorf("%d events; want 150", n)
	}
}

// waiting is a sink that takes nothing until it is stopped.
type waiting chan string

func (w waiting) Ingest(ctx context.Context, e anneal.Event) (anneal.Event, bool, error) {
	w <- e.Subject
	<-ctx.Done()
	return anneal.Event{}, false, ctx.Err()
}

func TestConfig(t *testing.T) {
	some := func() (string, error) { return "", nil }
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Stream: "uploads"}, ""},
		{Config{Stream: "uploads", URLs: []string{"nats://u:p@a:4222", "wss://b"}, Subjects: []string{"a.*.>"}}, ""},
		{Config{}, "stream: is missing; want the name of a stream, such as uploads"},
		{Config{Stream: "a.b"}, `stream: "a.b"; want a name without white space and any of . * > / \`},
		{Config{Stream: "a", Durable: "b c"}, `durable: "b c"; want a name without white space and any of . * > / \`},
		{Config{Stream: "a", URLs: []string{"localhost:4222"}}, "url: want one such as nats://nats.example.com:4222, or tls://, ws://, wss://"},
		{Config{Stream: "a", Subjects: []string{"a..b"}}, `subjects[0]: "a..b"; want a subject such as uploads.>`},
		{Config{Stream: "a", Pending: -1}, "pending: -1; want 1 to 10000"},
		{Config{Stream: "a", AckWait: 1}, "ackWait: 1ns; want 1s to 12h"},
		{Config{Stream: "a", Inbox: "x.*"}, `inbox: "x.*"; want the beginning of a subject, such as _INBOX_anneal, without wildcards`},
		{Config{Stream: "a", TLS: TLS{Cert: "c"}}, "tls: want both of cert and key, or neither"},
		{Config{Stream: "a", Login: Login{User: some}}, "user, password: want both, or neither"},
		{Config{Stream: "a", Login: Login{NKey: some, Token: some}}, "want one of credentials, nkey, user with password, and token"},
	} {
		got := ""
		if _, err := New(c.cfg, quiet); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v\n got %q\nwant %q", c.cfg, got, c.want)
		}
	}
	if got, want := newSource(t, Config{Stream: "a", URLs: []string{"nats://u:p@a:4222", "tls://b"}}).Servers(), "nats://a:4222, tls://b"; got != want {
		t.Errorf("servers %q; want %q", got, want)
	}
}
