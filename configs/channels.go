package configs

import (
	"github.com/anneal-ml/anneal/notify/eventbridge"
	"github.com/anneal-ml/anneal/notify/sns"
)

// SNSChannel is a topic of Amazon SNS, standard or FIFO, that notices are published
// to. Credentials are found as by every AWS SDK.
type SNSChannel struct {
	Topic Secret `json:"topic"` // ARN, such as arn:aws:sns:eu-central-1:123456789012:ml
	// Region is the topic's. That of its ARN if empty.
	Region string `json:"region"`
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
}

// Account is whose topic it is.
func (c *SNSChannel) Account() Account { return Account{c.Region, c.Role, c.ExternalID} }

func (c *SNSChannel) check(d *decoder, path string) {
	if c.Topic == (Secret{}) {
		d.add(path, -1, "a topic is needed: sns: {topic: {env: ANNEAL_TOPIC_ARN}}")
	}
	if topic := c.Topic.value; topic != "" {
		if err := (sns.Config{Topic: topic}).Validate(); err != nil {
			d.add(path, -1, "%v", err)
		} else if named := sns.Region(topic); c.Region != "" && named != c.Region {
			d.add(path+".region", -1, "the topic is in %s by its ARN, this is %s", named, c.Region)
		}
	}
	c.Account().check(d, path)
}

// EventBridgeChannel is a bus of Amazon EventBridge that notices are put on as
// events of the source anneal. Credentials are found as by every AWS SDK.
type EventBridgeChannel struct {
	Bus Secret `json:"bus"` // a name or an ARN. The account's default bus if empty.
	// Region is the bus's. That of its ARN, else the environment's, if empty.
	Region string `json:"region"`
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
}

// Account is whose bus it is.
func (c *EventBridgeChannel) Account() Account { return Account{c.Region, c.Role, c.ExternalID} }

func (c *EventBridgeChannel) check(d *decoder, path string) {
	if bus := c.Bus.value; bus != "" {
		if err := (eventbridge.Config{Bus: bus}).Validate(); err != nil {
			d.add(path, -1, "%v", err)
		} else if named := eventbridge.Region(bus); named != "" && c.Region != "" && named != c.Region {
			d.add(path+".region", -1, "the bus is in %s by its ARN, this is %s", named, c.Region)
		}
	}
	c.Account().check(d, path)
}
