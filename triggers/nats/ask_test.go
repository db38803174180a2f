package nats

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// What a doctor is told changes nothing: neither a consumer nor a message.
func TestAsk(t *testing.T) {
	s := newServer(t, nil)
	p := newPublisher(t, s.ClientURL())
	source := newSource(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads"})
	ask := func(source *Source, want string) {
		t.Helper()
		got, err := source.Ask(t.Context())
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	ask(source, "error: there is no stream uploads: make it: nats stream add uploads --subjects 'uploads.>' --storage file --defaults")
	stream := p.stream(t, "uploads")
	p.send(t, "uploads.a", notification("a", 1))
	p.send(t, "uploads.a", notification("b", 2))
	ask(source, "the stream is there; the consumer anneal is made when the daemon starts")
	if names := stream.ConsumerNames(t.Context()); len(names.Name()) != 0 {
		t.Error("asking has made a consumer")
	}
	consumer := must(stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "anneal", AckPolicy: jetstream.AckExplicitPolicy}))
	must(consumer.Next()) // and is not acknowledged
	ask(source, "the stream and the consumer anneal are there; 1 messages wait, 1 are held")
	must(stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "other", AckPolicy: jetstream.AckNonePolicy}))
	ask(newSource(t, Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Durable: "other"}),
		"error: the consumer other of the stream uploads is another kind of consumer: name another under durable, or nats consumer rm uploads other")
	ask(newSource(t, Config{URLs: []string{"nats://u:secret@127.0.0.1:1"}, Stream: "uploads"}),
		"error: nats://127.0.0.1:1 cannot be reached: check url and network: connection refused")
}

func TestAskWithoutPermission(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *server.Options) {
		permit(t, o, `authorization { users = [{user: anneal, password: p, permissions: {publish: ["other"]}}] }`)
	})
	source, err := New(Config{URLs: []string{s.ClientURL()}, Stream: "uploads", Login: Login{User: text("anneal"), Password: text("p")}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Ask(t.Context()); err == nil || !strings.Contains(err.Error(), "allow the user to publish $JS.API.CONSUMER.INFO.uploads.anneal") {
		t.Errorf("got %v; want what to allow", err)
	}
}
