package sqs

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/envelope"
)

// ahead is how many batches a consumer holds at most: it receives the next while
// those before become durable.
const ahead = 4

// consume takes one batch after the other.
func (s *Source) consume(ctx context.Context, sink triggers.Sink) {
	var batches sync.WaitGroup
	defer batches.Wait()
	slots := make(chan struct{}, ahead)
	for wait := triggers.ShortestWait; ctx.Err() == nil; {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		batch, err := s.receive(ctx)
		if len(batch) == 0 {
			<-slots
		}
		if err != nil {
			triggers.Sleep(ctx, wait)
			wait = min(2*wait, triggers.LongestWait)
			continue
		}
		wait = triggers.ShortestWait
		if len(batch) > 0 {
			batches.Go(func() {
				defer func() { <-slots }()
				s.take(ctx, sink, batch)
			})
		}
	}
}

func (s *Source) receive(ctx context.Context) ([]types.Message, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.poll+callTime)
	defer cancel()
	out, err := s.client.ReceiveMessage(ctx, &api.ReceiveMessageInput{
		QueueUrl:              &s.cfg.QueueURL,
		MaxNumberOfMessages:   atOnce,
		WaitTimeSeconds:       int32(s.poll / time.Second),
		VisibilityTimeout:     s.visibility(),
		MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameSentTimestamp,
			types.MessageSystemAttributeNameMessageGroupId,
		},
	})
	s.condition.Note(ctx, "ReceiveMessage", began, err)
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

func (s *Source) visibility() int32 { return int32(s.cfg.Visibility / time.Second) }

// A held message is one that was received and is not acknowledged yet.
type held struct {
	types.Message
	events  []anneal.Event // that it tells of
	durable atomic.Bool
}

// take returns when all of the batch that can be is durable and deleted.
func (s *Source) take(ctx context.Context, sink triggers.Sink, batch []types.Message) {
	messages := make([]*held, len(batch))
	groups := make(map[string][]*held) // of a FIFO queue; else each message by itself
	var order []string
	for i, m := range batch {
		messages[i] = &held{Message: m, events: message(s.queue, m).Events(time.Now())}
		group, ok := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
		if !ok || !strings.HasSuffix(s.queue, ".fifo") {
			group = strconv.Itoa(i) + " alone"
		}
		if groups[group] == nil {
			order = append(order, group)
		}
		groups[group] = append(groups[group], messages[i])
	}

	beating, stopBeat := context.WithCancel(ctx)
	var beat, commits sync.WaitGroup
	beat.Go(func() { s.hide(beating, messages) })
	if !s.commitAll(ctx, sink, messages) {
		for _, group := range order {
			commits.Go(func() {
				for _, m := range groups[group] {
					if !s.commit(ctx, sink, m) {
						return // what comes after it in its group waits for it
					}
				}
			})
		}
		commits.Wait()
	}
	stopBeat()
	beat.Wait()

	var done, rest []*held
	for _, m := range messages {
		if m.durable.Load() {
			done = append(done, m)
		} else {
			rest = append(rest, m)
		}
	}
	s.delete(ctx, done)
	wait := int32(0)
	if ctx.Err() == nil {
		wait = s.visibility() // it was refused, and is again if it comes at once
	}
	s.show(ctx, rest, wait)
}

// commitAll makes the whole batch durable at once, where the sink can. It
// returns false where it cannot, or does not take one of them: then each message
// is tried by itself.
func (s *Source) commitAll(ctx context.Context, sink triggers.Sink, messages []*held) bool {
	all, ok := sink.(triggers.BatchSink)
	if !ok {
		return false
	}
	var events []anneal.Event
	for _, m := range messages {
		events = append(events, m.events...)
	}
	duplicates, err := all.IngestAll(ctx, events)
	if err != nil {
		return false
	}
	for i, event := range events {
		s.intake.Took(event, slices.Contains(duplicates, i))
	}
	for _, m := range messages {
		m.durable.Store(true)
	}
	return true
}

// commit returns true when all that the message tells of is durable, and false
// when ctx has ended or the message is not worth waiting for any longer.
func (s *Source) commit(ctx context.Context, sink triggers.Sink, m *held) bool {
	for _, event := range m.events {
		if !s.intake.Ingest(ctx, sink, event) {
			return false
		}
	}
	m.durable.Store(true)
	return true
}

// message is a message as the envelope has it.
func message(queue string, m types.Message) envelope.Message {
	out := envelope.Message{
		Body:    []byte(aws.ToString(m.Body)),
		Source:  SourceName,
		Subject: queue,
		ID:      aws.ToString(m.MessageId),
	}
	if ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		out.Sent = time.UnixMilli(ms)
	}
	for name, value := range m.MessageAttributes {
		if value.StringValue == nil {
			continue
		}
		if out.Attributes == nil {
			out.Attributes = make(map[string]string)
		}
		out.Attributes[name] = *value.StringValue
	}
	return out
}
