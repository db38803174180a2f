package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

var queue = Service{Name: "SQS", Prefix: "sqs", Region: "eu-central-1", Resource: "the queue uploads",
	Remedies: map[string]string{"QueueDoesNotExist": "there is no such queue: make it"}}

func TestExplain(t *testing.T) {
	api := func(code string) error {
		return &smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: fmt.Errorf("https response error, RequestID: 1: %w", &smithy.GenericAPIError{Code: code, Message: "its text"})}
	}
	assume := func(code string) error {
		return &smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: fmt.Errorf("get identity: %w",
			&smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: &smithy.GenericAPIError{Code: code}})}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{api("QueueDoesNotExist"), "QueueDoesNotExist: there is no such queue: make it"},
		{api("AccessDenied"), "AccessDenied: grant the role sqs:ReceiveMessage on the queue uploads"},
		{&smithy.GenericAPIError{Code: "AccessDenied", Message: "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-central-1:1:key/k because no identity-based policy allows the kms:Decrypt action"},
			"AccessDenied: grant the role kms:Decrypt on arn:aws:kms:eu-central-1:1:key/k"},
		{&smithy.GenericAPIError{Code: "AccessDenied", Message: "The ciphertext refers to a key that kms:Decrypt is not allowed with"},
			"AccessDenied: grant the role kms:Decrypt on the key of the queue uploads"},
		{assume("AccessDenied"), "AccessDenied: the role cannot be assumed: allow it to trust the daemon's own identity, and that sts:AssumeRole"},
		{assume("ExpiredToken"), "ExpiredToken: the credentials have expired: renew them; they are read again at each try"},
		{api("RequestTimeTooSkewed"), "RequestTimeTooSkewed: the signature is not accepted: set the clock, or correct the secret key"},
		{api("SlowDown"), "SlowDown: AWS asks for fewer requests: they are made fewer"},
		{api("New"), "New: its text"},
		{context.DeadlineExceeded, "ReceiveMessage: no answer in time: check the network, proxy and endpoint of SQS in eu-central-1"},
		{errors.New("resolve endpoint: endpoint rule error, Invalid region: region was not a valid DNS name."), "no region, or none that there can be: set region, or AWS_REGION"},
		{errors.New("odd"), "ReceiveMessage: odd"},
	} {
		if got := queue.Explain("ReceiveMessage", c.err); got != c.want {
			t.Errorf("explain %v\n got %s\nwant %s", c.err, got, c.want)
		}
	}
}

// A peer that takes a request and says nothing is given up, and a chain without
// anything in it is named.
func TestLoad(t *testing.T) {
	quiet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // until then nobody sees that the client has gone
		<-r.Context().Done()
	}))
	defer quiet.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": quiet.URL, "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "", "AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
	} {
		t.Setenv(name, value)
	}
	ask := func(c Config, change func(*aws.Config)) string {
		with, err := Load(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		change(&with)
		_, err = sts.NewFromConfig(with).GetCallerIdentity(t.Context(), nil)
		if err == nil {
			t.Fatal("the call succeeded")
		}
		return Service{Name: "STS", Prefix: "sts", Region: with.Region, Resource: "it"}.Explain("GetCallerIdentity", err)
	}
	if got := ask(Config{Region: "eu-central-1"}, func(*aws.Config) {}); !strings.HasPrefix(got, "no credentials (") || !strings.Contains(got, "): give the daemon a role") {
		t.Errorf("without credentials: %s", got)
	}
	got := ask(Config{Region: "eu-central-1", Patience: 50 * time.Millisecond}, func(with *aws.Config) {
		with.Credentials = credentials.NewStaticCredentialsProvider("a", "b", "")
		with.RetryMaxAttempts = 1
	})
	if want := "GetCallerIdentity: no answer in time: check the network, proxy and endpoint of STS in eu-central-1"; got != want {
		t.Errorf("a silent peer:\n got %s\nwant %s", got, want)
	}
}

// What is wrong is told once, and once more when it is over.
func TestCondition(t *testing.T) {
	var log bytes.Buffer
	c := queue.Watch(slog.New(slog.NewTextHandler(&log, nil)))
	denied, at := &smithy.GenericAPIError{Code: "AccessDenied"}, time.Unix(0, 0)
	for range 3 {
		c.Note(t.Context(), "ReceiveMessage", at, denied)
		at = at.Add(time.Second)
	}
	if got, want := c.String(), "AccessDenied: grant the role sqs:ReceiveMessage on the queue uploads"; got != want {
		t.Errorf("condition %q; want %q", got, want)
	}
	c.Note(t.Context(), "ReceiveMessage", at, nil)
	c.Note(t.Context(), "ReceiveMessage", at.Add(-time.Second), denied) // of an older call
	ended, end := context.WithCancel(t.Context())
	end()
	c.Note(ended, "DeleteMessage", at, context.Canceled)
	if got := c.String(); got != "" {
		t.Errorf("condition %q; want none", got)
	}
	gone := &smithy.GenericAPIError{Code: "QueueDoesNotExist"} // is wrong with every call alike
	for _, err := range []error{gone, nil} {
		at = at.Add(time.Second)
		c.Note(t.Context(), "ReceiveMessage", at, err)
		c.Note(t.Context(), "DeleteMessage", at, err)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 4 {
		t.Errorf("%d lines of log; want 4:\n%s", lines, &log)
	}
}

// A call that was not answered is not made again for long, maybe; what is answered
// later tells that AWS can be reached. What AWS has refused is told by that call alone.
func TestConditionUnheard(t *testing.T) {
	c := queue.Watch(slog.New(slog.DiscardHandler))
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	const lost = "DeleteMessage: no answer in time: check the network, proxy and endpoint of SQS in eu-central-1"
	const refused = "AccessDenied: grant the role sqs:DeleteMessage on the queue uploads"
	for i, step := range []struct {
		call  string
		began int64
		err   error
		want  string
	}{
		{"DeleteMessage", 10, context.DeadlineExceeded, lost},
		{"ReceiveMessage", 9, nil, lost}, // which began before
		{"ReceiveMessage", 11, nil, ""},
		{"DeleteMessage", 10, context.DeadlineExceeded, ""}, // told late
		{"DeleteMessage", 12, &smithy.GenericAPIError{Code: "AccessDenied"}, refused},
		{"ReceiveMessage", 13, nil, refused},
		{"DeleteMessage", 14, context.DeadlineExceeded, lost},
		{"ReceiveMessage", 15, nil, ""},
	} {
		c.Note(t.Context(), step.call, at(step.began), step.err)
		if got := c.String(); got != step.want {
			t.Errorf("step %d: condition %q; want %q", i, got, step.want)
		}
	}
}
