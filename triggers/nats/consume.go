package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/envelope"
)

const (
	atOnce    = 100              // messages a pull asks for at most
	pullTime  = 10 * time.Second // for how long it does
	pullBeats = 3 * time.Second  // between signs of life of a server that has nothing
	ackTries  = 5                // of a message that is durable; if none succeeds it comes again, and is known
)

// consumer finds the durable consumer, or makes it, and brings it to the config.
// What else somebody has set in it stays.
func (s *Source) consumer(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	want := jetstream.ConsumerConfig{
		Durable:       s.cfg.Durable,
		Description:   "anneal: events",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
	}
	there, err := js.Consumer(ctx, s.cfg.Stream, s.cfg.Durable)
	switch {
	case err == nil:
		want = there.CachedInfo().Config
		if want.AckPolicy != jetstream.AckExplicitPolicy {
			return nil, errNotOurs
		}
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, err
	}
	want.AckWait = s.cfg.AckWait
	want.MaxAckPending = s.cfg.Pending
	want.MaxDeliver = -1 // none is given up
	want.BackOff = nil
	want.FilterSubject, want.FilterSubjects = "", nil
	if len(s.cfg.Subjects) == 1 {
		want.FilterSubject = s.cfg.Subjects[0] // the one way that older servers know
	} else {
		want.FilterSubjects = s.cfg.Subjects
	}
	return js.CreateOrUpdateConsumer(ctx, s.cfg.Stream, want)
}

// fetch hands over what one pull brings, as much as there are slots for. It
// returns nil when the server had no more to say.
func (s *Source) fetch(ctx context.Context, consumer jetstream.Consumer, sink triggers.Sink, slots chan struct{}, messages *sync.WaitGroup) error {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	free := 1
	for more := true; more && free < atOnce; {
		select {
		case slots <- struct{}{}:
			free++
		default:
			more = false
		}
	}
	defer func() {
		for range free {
			<-slots
		}
	}()
	pull, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	batch, err := consumer.Fetch(free, jetstream.FetchContext(pull), jetstream.FetchHeartbeat(pullBeats))
	if err != nil {
		return err
	}
	for m := range batch.Messages() {
		s.condition.note(ctx, partFetch, nil)
		free-- // the slot is the message's now
		s.mu.Lock()
		s.held[m] = struct{}{}
		s.mu.Unlock()
		messages.Go(func() {
			defer func() { <-slots }()
			s.take(ctx, sink, m)
		})
	}
	return batch.Error()
}

// take returns when the message is durable and acknowledged, or given back.
func (s *Source) take(ctx context.Context, sink triggers.Sink, m jetstream.Msg) {
	durable := s.commit(ctx, sink, m)
	s.mu.Lock()
	delete(s.held, m)
	s.mu.Unlock()
	if durable {
		s.acknowledge(ctx, m)
		return
	}
	back := m.Nak
	if ctx.Err() == nil { // it was refused, and is again if it comes at once
		back = func() error { return m.NakWithDelay(s.cfg.AckWait) }
	}
	if err := back(); err != nil {
		s.log.Debug("message is not given back, it comes again by itself", "err", err)
	}
}

// commit returns true when all that the message tells of is durable, and false
// when ctx has ended or the message is not worth waiting for any longer.
func (s *Source) commit(ctx context.Context, sink triggers.Sink, m jetstream.Msg) bool {
	decoded, err := message(m)
	if err != nil {
		s.log.Warn("message is not of a stream", "err", err)
		return false // unreachable: a pull brings no other
	}
	for _, event := range decoded.Events(time.Now()) {
		if !s.intake.Ingest(ctx, sink, event) {
			return false
		}
	}
	return true
}

// acknowledge tells the server that the message is durable, also when ctx has
// ended.
func (s *Source) acknowledge(ctx context.Context, m jetstream.Msg) {
	for wait, try := triggers.ShortestWait, 1; ; wait, try = 2*wait, try+1 {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
		err := m.DoubleAck(call)
		stop()
		cancel()
		if errors.Is(err, client.ErrNoResponders) { // the consumer is gone, and another begins anew
			return
		}
		s.condition.note(ctx, partAck, err)
		if err == nil {
			return
		}
		if try == ackTries || ctx.Err() != nil {
			s.log.Debug("message is not acknowledged, it comes again and is known", "err", err)
			return
		}
		triggers.Sleep(ctx, wait)
	}
}

// beat tells the server of what is held that it is being worked on, until stop.
func (s *Source) beat(stop <-chan struct{}) {
	tick := time.NewTicker(s.cfg.AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		for m := range s.held {
			if err := m.InProgress(); err != nil {
				s.log.Debug("the server is not told that a message is held", "err", err)
				break // the connection is away
			}
		}
		s.mu.Unlock()
	}
}

// message is a message as the envelope has it. Its ID is where it lies: stream,
// sequence, and the time when it was stored, by which a stream that was made anew
// differs from the one before it.
func message(m jetstream.Msg) (envelope.Message, error) {
	at, err := m.Metadata()
	if err != nil {
		return envelope.Message{}, err
	}
	out := envelope.Message{
		Body:    m.Data(),
		Source:  SourceName,
		Subject: m.Subject(),
		ID:      fmt.Sprintf("%s/%d/%d", at.Stream, at.Sequence.Stream, at.Timestamp.UnixNano()),
		Sent:    at.Timestamp,
	}
	for name, values := range m.Headers() {
		if len(values) == 0 {
			continue
		}
		if out.Attributes == nil {
			out.Attributes = make(map[string]string)
		}
		out.Attributes[name] = attribute(name, values[0])
	}
	return out, nil
}

// attribute decodes the value of a header of a CloudEvent. One that is not
// encoded as it should be is taken as it is.
//
// Source: CloudEvents 1.0.3, NATS protocol binding, section 3.1.3.2.
func attribute(name, value string) string {
	if len(name) > 3 && strings.EqualFold(name[:3], "ce-") {
		if decoded, err := url.PathUnescape(value); err == nil {
			return decoded
		}
	}
	return value
}
