package tasks

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

var sendMessageFields = fields{
	{"DelaySeconds", number, false},
	{"MessageAttributes", object, false},
	{"MessageBody", anything, true},
	{"MessageDeduplicationId", text, false},
	{"MessageGroupId", text, false},
	{"QueueUrl", text, true},
}

// sendMessage gives the message to the channel of its queue. A body that is
// not a string is sent as JSON.
func (t *Tasks) sendMessage(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	if problem := sendMessageFields.check(e.Input); problem != "" {
		return runtimeError(e, problem), nil
	}
	var in struct {
		QueueUrl    string
		MessageBody json.RawMessage
	}
	if err := json.Unmarshal(e.Input, &in); err != nil {
		return runtimeError(e, err.Error()), nil
	}
	channel, ok := match(t.cfg.Topics, queueNames(in.QueueUrl)...)
	if !ok && t.cfg.Remote != nil {
		return t.direct(ctx, e, "sqs", "sendMessage", in.QueueUrl, params(e))
	}
	var body string
	if json.Unmarshal(in.MessageBody, &body) != nil {
		body = string(in.MessageBody)
	}
	if body == "" {
		return awsError("SQS", "AmazonSQSException", "The request must contain the parameter MessageBody.", "AmazonSQS", 400, "MissingParameter", e.ID), nil
	}
	if !ok {
		t.cfg.Log.Warn("queue not mapped", "queue", in.QueueUrl, "want", "embedded.topics."+queueNames(in.QueueUrl)[0])
		return awsError("SQS", "QueueDoesNotExistException", "The specified queue does not exist.", "AmazonSQS", 400, "AWS.SimpleQueueService.NonExistentQueue", e.ID), nil
	}
	if err := t.cfg.Publish(ctx, e.ID, in.QueueUrl, channel, "", body); err != nil {
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		return awsError("SQS", "AmazonSQSException", fmt.Sprintf("channel %s: %v", channel, err), "AmazonSQS", 500, "InternalFailure", e.ID), nil
	}
	sum := md5.Sum([]byte(body))
	return result(e.ID, map[string]any{
		"MD5OfMessageBody": hex.EncodeToString(sum[:]),
		"MessageId":        requestID("message", e.ID),
	}, "application/x-amz-json-1.0", 106), nil
}

// queueNames are the names of a queue: its own, then its URL.
func queueNames(url string) []string {
	return []string{url[strings.LastIndex(url, "/")+1:], url}
}
