// Package cloud reaches AWS, and says in one line what its errors mean.
//
// [Load] is the only way that credentials come in: the SDK's default chain, in
// a region and as a role where these are given. A [Service] turns what AWS
// answers into one line with the remedy. A [Condition] is what is wrong at
// present, told to the log when that changes and shown by /readyz: a lost AWS
// makes a part degraded, never dead. Calls are tried again by the SDK, with its
// adaptive pace.
//
// That a call has a deadline is left to those who make it; a peer that takes a
// request and never answers is given up after Config.Patience.
package cloud

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	tries     = 3                // of a call, before its error is told of
	dialTime  = 10 * time.Second // for a connection, and for its TLS
	aliveTime = 15 * time.Second // between probes of a connection that is quiet
	// DefaultPatience is longer than SQS polls at most.
	DefaultPatience = 45 * time.Second
)

// Config is how AWS is reached. The zero Config is the SDK's own.
type Config struct {
	Region     string // the chain's if empty
	Role       string // ARN of a role to assume; empty: none
	ExternalID string // that the role asks for
	// Patience is how long an answer may take to begin. DefaultPatience if zero.
	Patience time.Duration
}

// Load makes the configuration of the SDK's clients. Nothing is asked of AWS
// here, and credentials are read when they are needed: those that have expired
// or are not there yet are read again at each try.
func Load(ctx context.Context, c Config) (aws.Config, error) {
	patience := c.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout, d.KeepAlive = dialTime, aliveTime }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = dialTime, patience
		})
	with, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client),
		config.WithRetryMode(aws.RetryModeAdaptive), config.WithRetryMaxAttempts(tries), config.WithDefaultsMode(aws.DefaultsModeStandard))
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	if c.Region != "" {
		with.Region = c.Region
	}
	if c.Role != "" {
		with.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(with), c.Role,
			func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = "anneal"
				if c.ExternalID != "" {
					o.ExternalID = &c.ExternalID
				}
			}))
	}
	return with, nil
}
