package configs

import (
	"slices"
	"time"

	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers/sqs"
)

// SQS is a queue of Amazon SQS, standard or FIFO, that events come by: S3's
// notifications, EventBridge's events, alarms and messages of one's own, direct or
// through SNS. Credentials are found as by every AWS SDK.
type SQS struct {
	QueueURL Secret `json:"queueURL"` // such as https://sqs.eu-central-1.amazonaws.com/123456789012/uploads
	// Region is the queue's. That of its URL, else the environment's, if empty.
	Region string `json:"region"`
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
	// Consumers is how many receive at a time. Each holds up to four batches of
	// ten that are not durable yet. 4 if zero.
	Consumers int `json:"consumers,omitempty" min:"1"`
	// Visibility is how long the queue hides what is held, again and again while
	// it is held, and once more after a crash. 30s if zero.
	Visibility policy.Duration `json:"visibility,omitempty" min:"1s"`
}

// Account is whose queue it is.
func (q *SQS) Account() Account { return Account{q.Region, q.Role, q.ExternalID} }

// Source is what the source is made of, for a queue's URL.
func (q *SQS) Source(queueURL string) sqs.Config {
	return sqs.Config{QueueURL: queueURL, Consumers: q.Consumers, Visibility: time.Duration(q.Visibility)}
}

func (q *SQS) check(d *decoder, path string, others []Source) {
	if q.QueueURL == (Secret{}) {
		d.add(path, -1, "a queue is needed: sqs: {queueURL: {env: ANNEAL_QUEUE_URL}}")
		return
	}
	written := q.QueueURL.value
	if written == "" { // the rest can be checked without
		written = "https://sqs.us-east-1.amazonaws.com/0/q"
	} else if named := sqs.Region(written); named != "" && q.Region != "" && named != q.Region {
		d.add(path+".region", -1, "the queue is in %s by its URL, this is %s", named, q.Region)
	}
	if err := q.Source(written).WithDefaults().Validate(); err != nil {
		d.add(path, -1, "%v", err)
	}
	q.Account().check(d, path)
	if slices.ContainsFunc(others, func(o Source) bool { return o.SQS != nil && o.SQS.QueueURL == q.QueueURL }) {
		d.add(path+".queueURL", -1, "another source follows this queue: give one of them more consumers")
	}
}
