package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
)

// TestChannelsOfAWS has what MinIO tells NATS come to what EventBridge and SNS
// tell two queues: each decision, the run and the promotion, each once.
func TestChannelsOfAWS(t *testing.T) {
	with := newMoto(t).account()
	queues, topics, buses := sqs.NewFromConfig(with), sns.NewFromConfig(with), eventbridge.NewFromConfig(with)
	queue := func(name string) (url, arn *string) {
		out, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return out.QueueUrl, aws.String("arn:aws:sqs:us-east-1:123456789012:" + name)
	}
	bridged, bridgedARN := queue("bridged")
	published, publishedARN := queue("published")
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("ml")})
	if err != nil {
		t.Fatal(err)
	}
	// Only what is of interest: the attributes are there to be filtered by.
	_, err = topics.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: publishedARN, Attributes: map[string]string{
		"RawMessageDelivery": "true", "FilterPolicy": `{"kind": ["decided", "promoted"], "model": ["prices"]}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := buses.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: aws.String("ml")}); err != nil {
		t.Fatal(err)
	}
	rule := &eventbridge.PutRuleInput{Name: aws.String("all"), EventBusName: aws.String("ml"), EventPattern: aws.String(`{"source": ["anneal"]}`)}
	if _, err := buses.PutRule(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	targets := &eventbridge.PutTargetsInput{Rule: rule.Name, EventBusName: rule.EventBusName, Targets: []bridgetypes.Target{{Id: aws.String("q"), Arn: bridgedARN}}}
	if _, err := buses.PutTargets(t.Context(), targets); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TOPIC", *topic.TopicArn)

	nats, stream := newStream(t)
	dir := pipelineProject(t, `#!/bin/sh
echo '{"accuracy": 0.8}' > "$ANNEAL_ML_ROOT/model/metrics.json"
`, "1m")
	settings := strings.Replace(pipelineSettings, "  - directory: {path: ./inbox, settle: 20ms}", "  - nats: {url: "+nats+", stream: uploads}", 1)
	settings = strings.Replace(settings, "notify: {team: log}", "notify: {team: log, bus: {eventbridge: {bus: ml}}, topic: {sns: {topic: {env: TOPIC}}}, away: {sns: {topic: \"arn:aws:sns:us-east-1:123456789012:away\"}}}", 1)
	events := "decided, started, succeeded, failed, promoted"
	policy := strings.Replace(read(t, dir, "policies/prices.yaml"), "    - {events: [started, failed, promoted], to: team}",
		fmt.Sprintf("    - {events: [%s], to: bus}\n    - {events: [%s], to: topic}\n    - {events: [started], to: away}", events, events), 1)
	write(t, dir, map[string]string{"anneal.yaml": settings, "policies/prices.yaml": policy, "bucket/a.csv": "x,y\n1,0\n", "bucket/b.csv": "x,y\n1,0\n2,1\n3,1\n4,1\n"})
	p := begin(t, dir)
	for _, key := range []string{"a.csv", "b.csv"} {
		body := fmt.Sprintf(`{"EventName":"s3:ObjectCreated:Put","Key":"ml-data/%[1]s","Records":[{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"","eventTime":"2026-07-01T11:59:59.123Z","eventName":"s3:ObjectCreated:Put",`+
			`"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"ml-data","arn":"arn:aws:s3:::ml-data"},"object":{"key":"%[1]s","size":8,"eTag":"e","sequencer":"18A0"}}}]}`, key)
		for range 2 { // told twice, decided once
			if _, err := stream.Publish(t.Context(), "uploads.minio", []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		p.decided(map[string]int{"a.csv": 1, "b.csv": 2}[key])
	}
	run := p.ended(1)[0]
	if run.Status != anneal.StatusSucceeded {
		t.Fatalf("the run ended %s %q: %s, want SUCCEEDED", run.Status, run.Error, run.Cause)
	}

	var got []string
	eventually(t, time.Minute, func() error {
		for _, body := range received(t, queues, bridged) {
			var e struct {
				Source string
				Type   string `json:"detail-type"`
				Detail notify.Event
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("bus %s %s %s %s %s", e.Source, e.Type, e.Detail.Policy, e.Detail.Verdict, e.Detail.Status)))
		}
		for _, body := range received(t, queues, published) {
			var e notify.Event
			if err := json.Unmarshal([]byte(body), &e); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("topic %s %s %s", e.Kind, e.Policy, e.Verdict)))
		}
		if len(got) < 8 {
			return fmt.Errorf("%d are told; want 8: %q", len(got), got)
		}
		return nil
	})
	slices.Sort(got)
	want := []string{
		"bus anneal Anneal Decision prices hold",
		"bus anneal Anneal Decision prices run",
		"bus anneal Anneal Model Promoted prices",
		"bus anneal Anneal Run Status Change prices  RUNNING",
		"bus anneal Anneal Run Status Change prices  SUCCEEDED",
		"topic decided prices hold",
		"topic decided prices run",
		"topic promoted prices",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// A channel that AWS refuses is seen, and the daemon is ready.
	eventually(t, time.Minute, func() error {
		got, want := p.readyz(), "degraded: NotFound: there is no such topic in us-east-1: make it, or correct topic"
		if !strings.Contains(got, "200 OK") || !strings.Contains(got, want) {
			return fmt.Errorf("/readyz says %s; want 200, and of the channel away %q", got, want)
		}
		return nil
	})
	for _, line := range []string{`anneal_channel_ok{channel="away"} 0`, `anneal_channel_ok{channel="bus"} 1`, `anneal_channel_ok{channel="topic"} 1`, `anneal_source_ok{source="nats uploads"} 1`} {
		if metrics := p.page("/metrics"); !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// received takes all messages off a queue that are there.
func received(t *testing.T, queues *sqs.Client, queue *string) (bodies []string) {
	t.Helper()
	out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range out.Messages {
		bodies = append(bodies, *m.Body)
		if _, err := queues.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
	}
	return bodies
}

// newStream starts a server of NATS with a stream uploads.
func newStream(t *testing.T) (url string, js jetstream.JetStream) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	conn, err := nats.Connect(s.ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute)); err == nil {
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "uploads", Subjects: []string{"uploads.>"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.ClientURL(), js
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
