package configs

import (
	"time"

	"github.com/anneal-ml/anneal/notify/cloudwatch"
	"github.com/anneal-ml/anneal/policy"
)

// Metrics are where metrics are sent, beside /metrics.
type Metrics struct {
	CloudWatch *MetricsCloudWatch `json:"cloudwatch"`
}

// MetricsCloudWatch is a namespace of Amazon CloudWatch that metrics are sent to.
// Credentials are found as by every AWS SDK.
type MetricsCloudWatch struct {
	// Namespace is the metrics' own: one that begins with AWS/ is refused. anneal
	// if empty.
	Namespace string `json:"namespace"`
	// Interval is how far apart they are sent. 1m if zero.
	Interval policy.Duration `json:"interval,omitempty" min:"1s"`
	Region   string          `json:"region"` // the environment's if empty
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
}

// Account is whose AWS the metrics are sent to.
func (m *MetricsCloudWatch) Account() Account { return Account{m.Region, m.Role, m.ExternalID} }

// Publisher is what the publisher is made of.
func (m *MetricsCloudWatch) Publisher() cloudwatch.Config {
	return cloudwatch.Config{Namespace: m.Namespace, Interval: time.Duration(m.Interval)}
}

func (m *MetricsCloudWatch) check(d *decoder, path string) {
	if err := m.Publisher().WithDefaults().Validate(); err != nil {
		d.add(path, -1, "%v", err)
	}
	m.Account().check(d, path)
}
