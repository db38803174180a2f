package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Ask asks the server what Run will ask it, as far as that changes nothing: it logs
// in, and looks for the stream and the consumer. It returns how they stand. The error
// is what is wrong in one line, with the remedy.
func (s *Source) Ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*callTime) // a connection, and an answer
	defer cancel()
	conn, err := s.connect(ctx)
	s.condition.note(ctx, partConnection, err)
	if err != nil {
		return "", s.why(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(callTime))
	if err != nil {
		return "", err
	}
	call, done := context.WithTimeout(ctx, callTime)
	defer done()
	consumer, err := js.Consumer(call, s.cfg.Stream, s.cfg.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return fmt.Sprintf("the stream is there; the consumer %s is made when the daemon starts", s.cfg.Durable), nil
	case err == nil && consumer.CachedInfo().Config.AckPolicy != jetstream.AckExplicitPolicy:
		err = errNotOurs
	}
	if err != nil {
		s.condition.note(ctx, partConsumer, err)
		return "", s.why(err)
	}
	at := consumer.CachedInfo()
	return fmt.Sprintf("the stream and the consumer %s are there; %d messages wait, %d are held", s.cfg.Durable, at.NumPending, at.NumAckPending), nil
}

// why is the condition that err has brought, or err where it has brought none: of
// what goes wrong after its time nothing is noted.
func (s *Source) why(err error) error {
	if what := s.Condition(); what != "" {
		return errors.New(what)
	}
	return errors.New(explain(s.cfg, err))
}
