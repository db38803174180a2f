package configs

import (
	"slices"
	"time"

	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers/cloudwatch"
)

// CloudWatch are alarms of Amazon CloudWatch that are asked for, where no rule of
// EventBridge tells of their changes. Credentials are found as by every AWS SDK.
type CloudWatch struct {
	// Alarms are names of alarms, metric and composite, or prefixes that end in *:
	// "churn-*", or "*" for all.
	Alarms []string `json:"alarms"`
	// Interval is how far apart two looks are. 1m if zero.
	Interval policy.Duration `json:"interval,omitempty" min:"1s"`
	// Region is the alarms'. The environment's if empty.
	Region string `json:"region"`
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
}

// Account is whose alarms they are.
func (c *CloudWatch) Account() Account { return Account{c.Region, c.Role, c.ExternalID} }

// Source is what the source is made of, but for how far back it looks.
func (c *CloudWatch) Source() cloudwatch.Config {
	return cloudwatch.Config{Alarms: c.Alarms, Interval: time.Duration(c.Interval)}
}

func (c *CloudWatch) check(d *decoder, path string, others []Source) {
	if err := c.Source().WithDefaults().Validate(); err != nil {
		d.add(path, -1, "%v", err)
	}
	c.Account().check(d, path)
	if slices.ContainsFunc(others, func(o Source) bool {
		return o.CloudWatch != nil && o.CloudWatch.Region == c.Region && o.CloudWatch.Role == c.Role && slices.Equal(o.CloudWatch.Alarms, c.Alarms)
	}) {
		d.add(path+".alarms", -1, "another source asks for these alarms")
	}
}
