package tasks

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

var publishFields = fields{
	{"Message", anything, true},
	{"MessageAttributes", object, false},
	{"MessageDeduplicationId", text, false},
	{"MessageGroupId", text, false},
	{"MessageStructure", text, false},
	{"PhoneNumber", text, false},
	{"Subject", text, false},
	{"TargetArn", text, false},
	{"TopicArn", text, false},
}

// publish gives the message to the channel of its topic. A message that is not
// a string is published as JSON.
func (t *Tasks) publish(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	if problem := publishFields.check(e.Input); problem != "" {
		return runtimeError(e, problem), nil
	}
	var in struct {
		TopicArn, TargetArn, Subject string
		Message                      json.RawMessage
	}
	if err := json.Unmarshal(e.Input, &in); err != nil {
		return runtimeError(e, err.Error()), nil
	}
	topic := in.TopicArn
	if topic == "" {
		topic = in.TargetArn
	}
	channel, ok := match(t.cfg.Topics, topicNames(topic)...)
	if !ok && t.cfg.Remote != nil {
		return t.direct(ctx, e, "sns", "publish", "", params(e))
	}
	if topic == "" {
		return awsError("SNS", "InvalidParameterException", "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter", "AmazonSNS", 400, "InvalidParameter", e.ID), nil
	}
	if !ok {
		t.cfg.Log.Warn("topic not mapped", "topic", topic, "want", "embedded.topics."+topicNames(topic)[0])
		return awsError("SNS", "NotFoundException", "Topic does not exist", "AmazonSNS", 404, "NotFound", e.ID), nil
	}
	var message string
	if json.Unmarshal(in.Message, &message) != nil {
		message = string(in.Message)
	}
	if err := t.cfg.Publish(ctx, e.ID, topic, channel, in.Subject, message); err != nil {
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		return awsError("SNS", "InternalErrorException", fmt.Sprintf("channel %s: %v", channel, err), "AmazonSNS", 500, "InternalError", e.ID), nil
	}
	return result(e.ID, map[string]any{"MessageId": requestID("message", e.ID)}, "text/xml", 0), nil
}
