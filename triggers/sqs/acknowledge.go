package sqs

import (
	"context"
	"strconv"
	"time"

	api "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/anneal-ml/anneal/triggers"
)

// deleteTries is how often a message is tried to be deleted that is durable. If
// none succeeds it comes again, and is known.
const deleteTries = 5

// hide keeps messages that are not durable yet hidden from other consumers,
// until ctx ends.
func (s *Source) hide(ctx context.Context, messages []*held) {
	tick := time.NewTicker(s.cfg.Visibility / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Those of a FIFO group that are durable stay hidden too: while they
		// are, nobody else gets the rest of the group.
		s.show(ctx, messages, s.visibility())
	}
}

// show lets messages be seen again after so many seconds.
func (s *Source) show(ctx context.Context, messages []*held, after int32) {
	if len(messages) == 0 {
		return
	}
	call, cancel := s.call(ctx)
	defer cancel()
	var entries []types.ChangeMessageVisibilityBatchRequestEntry
	for i, m := range messages {
		id := strconv.Itoa(i)
		entries = append(entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: after})
	}
	began := time.Now()
	_, err := s.client.ChangeMessageVisibilityBatch(call, &api.ChangeMessageVisibilityBatchInput{QueueUrl: &s.cfg.QueueURL, Entries: entries})
	// An entry that fails is of a message that somebody else has by now.
	s.condition.Note(ctx, "ChangeMessageVisibility", began, err)
}

// delete removes durable messages from the queue, also when ctx has ended.
func (s *Source) delete(ctx context.Context, messages []*held) {
	for wait, try := triggers.ShortestWait, 1; len(messages) > 0; wait, try = 2*wait, try+1 {
		began := time.Now()
		left, err := s.deleteOnce(ctx, messages)
		s.condition.Note(ctx, "DeleteMessage", began, err)
		if messages = left; len(messages) == 0 {
			return
		}
		if try == deleteTries || ctx.Err() != nil {
			s.log.Debug("messages are not deleted, they come again and are known", "messages", len(messages), "err", err)
			return
		}
		triggers.Sleep(ctx, wait)
	}
}

// deleteOnce is one try: what is left of the messages is worth another.
func (s *Source) deleteOnce(ctx context.Context, messages []*held) ([]*held, error) {
	call, cancel := s.call(ctx)
	defer cancel()
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range messages {
		id := strconv.Itoa(i)
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle})
	}
	out, err := s.client.DeleteMessageBatch(call, &api.DeleteMessageBatchInput{QueueUrl: &s.cfg.QueueURL, Entries: entries})
	if err != nil {
		return messages, err
	}
	var left []*held
	for _, failed := range out.Failed {
		// A sender's fault is a receipt that is no good any more.
		if i, err := strconv.Atoi(*failed.Id); err == nil && i >= 0 && i < len(messages) && !failed.SenderFault {
			left = append(left, messages[i])
		}
	}
	return left, nil
}

// call bounds a call. One that is made while ctx ends, or after, goes on for a
// moment: what it acknowledges need not come again.
func (s *Source) call(ctx context.Context) (context.Context, context.CancelFunc) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
	return call, func() { stop(); cancel() }
}
