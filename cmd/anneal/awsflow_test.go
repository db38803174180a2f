package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud/cloudtest"
	"github.com/anneal-ml/anneal/notify"
)

// A moto is moto_server, a server of many of AWS's services that is another's
// work, with what a test sets up in it. It runs until the test is over.
type moto struct {
	t   *testing.T
	url string
}

// newMoto starts a server and makes it the daemon's AWS.
func newMoto(t *testing.T) *moto {
	t.Helper()
	m := &moto{t: t, url: cloudtest.Moto(t)}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": m.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return m
}

func (m *moto) account() aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: &m.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
}

// call asks a service for something over its own wire, signed.
func (m *moto) call(service, method, path, target, body string) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		m.t.Fatal(err)
	}
	if target != "" {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", target)
	}
	sum := sha256.Sum256([]byte(body))
	payload := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", payload)
	err = v4.NewSigner().SignHTTP(m.t.Context(), aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, req, payload, service, "us-east-1", time.Now())
	if err != nil {
		m.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		m.t.Fatalf("%s %s %s%s: %s, error %v\n%s", service, method, path, target, resp.Status, err, answer)
	}
}

// queue makes a queue; notifications and rules are sent to its ARN.
func (m *moto) queue(name string) (url, arn string) {
	m.t.Helper()
	client := awssqs.NewFromConfig(m.account())
	made, err := client.CreateQueue(m.t.Context(), &awssqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		m.t.Fatal(err)
	}
	got, err := client.GetQueueAttributes(m.t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: made.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
	if err != nil {
		m.t.Fatal(err)
	}
	return *made.QueueUrl, got.Attributes["QueueArn"]
}

// bucket makes a bucket, with the XML of a NotificationConfiguration's inside.
func (m *moto) bucket(name, notifications string) {
	m.t.Helper()
	m.call("s3", "PUT", "/"+name, "", "")
	m.call("s3", "PUT", "/"+name+"?notification", "", `<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+notifications+`</NotificationConfiguration>`)
}

func (m *moto) put(bucket, key, text string) {
	m.t.Helper()
	m.call("s3", "PUT", "/"+bucket+"/"+key, "", text)
}

// rule sends what an EventBridge pattern matches to a queue.
func (m *moto) rule(name, pattern, queueARN string) {
	m.t.Helper()
	quoted, err := json.Marshal(pattern)
	if err != nil {
		m.t.Fatal(err)
	}
	m.call("events", "POST", "/", "AWSEvents.PutRule", fmt.Sprintf(`{"Name":%q,"EventPattern":%s}`, name, quoted))
	m.call("events", "POST", "/", "AWSEvents.PutTargets", fmt.Sprintf(`{"Rule":%q,"Targets":[{"Id":"queue","Arn":%q}]}`, name, queueARN))
}

// topic makes a topic whose messages come bare to a queue.
func (m *moto) topic(name, queueARN string) (arn string) {
	m.t.Helper()
	topics := sns.NewFromConfig(m.account())
	made, err := topics.CreateTopic(m.t.Context(), &sns.CreateTopicInput{Name: &name})
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := topics.Subscribe(m.t.Context(), &sns.SubscribeInput{TopicArn: made.TopicArn, Protocol: aws.String("sqs"), Endpoint: &queueARN, Attributes: map[string]string{"RawMessageDelivery": "true"}}); err != nil {
		m.t.Fatal(err)
	}
	return *made.TopicArn
}

const flowSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policy.yaml]
staging: s3://BUCKET/staging/
embedded: {listen: 'off'}
sources:
  - sqs: {queueURL: {env: QUEUE_URL}}
notify:
  topic: {sns: {topic: {env: TOPIC_ARN}}}
`

const flowPolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: churn}
spec:
  mode: enforce
  model: {group: churn}
  data: {target: y}
  signals:
    rows: {source: data, reduce: rows}
  triggers:
    - {id: new-data, event: {source: aws.s3, type: Object Created, match: "event.data.object.key.startsWith('training/')"}}
  rules:
    - {id: enough, if: "signals.rows.value >= 3"}
  run:
    executor: step-functions
    stateMachine: {arn: {env: CHURN_ARN}, file: machine.asl.json}
    input: {DataPath: {expr: training.prefix}}
    timeout: 1h
    model:
      state: Train
      artifact: {expr: state.parameters.MessageBody.Artifact}
      metrics: {expr: state.parameters.MessageBody.Metrics}
  notify:
    - {events: [decided, started, succeeded, failed, promoted], to: topic}
`

// flowMachine trains on nothing, and tells a queue of the model, which is in the
// bucket already.
const flowMachine = `{"StartAt": "Train", "States": {"Train": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true,
  "Parameters": {"QueueUrl": "TRAINED", "MessageBody": {"DataPath.$": "$.DataPath", "Artifact": "s3://BUCKET/models/model.tar.gz", "Metrics": {"accuracy": 0.9}}}}}}`

// TestFlow is the whole way through AWS's own services: an object that is put, S3's
// notification or EventBridge's rule, the queue, a decision from the data in S3, an
// execution on Step Functions, the model, and the topic. The first runs on moto's
// Step Functions, which has one execution at most, the second on another daemon's.
func TestFlow(t *testing.T) {
	m := newMoto(t)
	for _, way := range []struct {
		name   string
		listen func(bucket, queueARN string)
		states func(t *testing.T) (endpoint string)
	}{
		{"notification", func(bucket, queueARN string) {
			m.bucket(bucket, `<QueueConfiguration><Queue>`+queueARN+`</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>`)
		}, func(t *testing.T) string {
			m.call("states", "POST", "/moto-api/config", "", `{"stepfunctions": {"execute_state_machine": true}}`)
			return m.url
		}},
		{"rule", func(bucket, queueARN string) {
			m.rule("uploads", `{"source":["aws.s3"],"detail-type":["Object Created"],"detail":{"bucket":{"name":["`+bucket+`"]}}}`, queueARN)
			m.bucket(bucket, `<EventBridgeConfiguration></EventBridgeConfiguration>`)
		}, func(t *testing.T) string {
			dir := t.TempDir()
			write(t, dir, map[string]string{"anneal.yaml": "listen: 127.0.0.1:0\nembedded: {listen: '127.0.0.1:0', aws: allow}\n", "policies/.keep": ""})
			begin(t, dir)
			return strings.TrimSpace(read(t, dir, "anneal-data/address-stepfunctions"))
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			bucket := "ml-data-" + way.name
			queueURL, queueARN := m.queue("uploads-" + way.name)
			toldURL, toldARN := m.queue("told-" + way.name)
			way.listen(bucket, queueARN)
			endpoint := way.states(t)
			trainedURL, _ := m.queue("trained-" + way.name)
			named := strings.NewReplacer("BUCKET", bucket, "TRAINED", trainedURL)
			machine, err := sfn.NewFromConfig(m.account(), func(o *sfn.Options) { o.BaseEndpoint = &endpoint }).CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
				Name: aws.String("churn"), Definition: aws.String(named.Replace(flowMachine)), RoleArn: aws.String("arn:aws:iam::123456789012:role/churn"),
			})
			if err != nil {
				t.Fatal(err)
			}
			m.put(bucket, "models/model.tar.gz", "the model")
			dir := t.TempDir()
			write(t, dir, map[string]string{"anneal.yaml": named.Replace(flowSettings), "policy.yaml": flowPolicy, "machine.asl.json": named.Replace(flowMachine)})
			for name, value := range map[string]string{
				"QUEUE_URL": queueURL, "CHURN_ARN": *machine.StateMachineArn, "TOPIC_ARN": m.topic("told-"+way.name, toldARN), "AWS_ENDPOINT_URL_SFN": endpoint,
			} {
				t.Setenv(name, value)
			}
			p := begin(t, dir)
			verdicts := map[string]string{} // of the event's subject
			decided := func(subject, want string) {
				t.Helper()
				eventually(t, 2*time.Minute, func() error {
					var events []anneal.Event
					var decisions []anneal.Decision
					if err := p.get("events?limit=0", &events); err != nil {
						return err
					}
					if err := p.get("decisions?limit=0", &decisions); err != nil {
						return err
					}
					for _, e := range events {
						for _, d := range decisions {
							if d.Cause == e.ID {
								verdicts[e.Subject] = string(d.Verdict)
							}
						}
					}
					if got := verdicts[subject]; got != want {
						return fmt.Errorf("the verdict on %s is %q; want %q\n%s", subject, got, want, p.log)
					}
					return nil
				})
			}
			const few, enough = "x,y\n1,0\n2,1\n", "x,y\n1,0\n2,1\n3,0\n"
			m.put(bucket, "other.csv", enough)
			m.put(bucket, "training/few.csv", few)
			decided("training/few.csv", "hold")
			m.put(bucket, "training/more%20data.csv", enough)
			decided("training/more data.csv", "run")
			if verdict, ok := verdicts["other.csv"]; ok {
				t.Errorf("other.csv, which the trigger does not match, has the verdict %s", verdict)
			}

			var run anneal.Run
			eventually(t, 2*time.Minute, func() error {
				var runs []anneal.Run
				if err := p.get("runs", &runs); err != nil || len(runs) != 1 || !runs[0].Status.Ended() {
					return fmt.Errorf("runs %+v, %v; want one that has ended\n%s\n%s", runs, err, p.log, p.readyz())
				}
				run = runs[0]
				return nil
			})
			if execution := strings.Replace(*machine.StateMachineArn, "stateMachine", "execution", 1) + ":" + run.ID; run.Status != anneal.StatusSucceeded || run.ExecutionARN != execution {
				t.Fatalf("the run ended %s %q: %s, as %s; want SUCCEEDED, as %s\n%s", run.Status, run.Error, run.Cause, run.ExecutionARN, execution, p.log)
			}
			eventually(t, 2*time.Minute, func() error {
				var models []anneal.Model
				if err := p.get("models", &models); err != nil {
					return err
				}
				sum := sha256.Sum256([]byte("the model"))
				if len(models) != 1 || models[0].Stage != anneal.StageLive || models[0].Run != run.ID || models[0].Metrics["accuracy"] != 0.9 ||
					models[0].Artifact.SHA256 != hex.EncodeToString(sum[:]) || len(models[0].Objects) != 2 {
					return fmt.Errorf("models %+v; want one that is live, of run %s, on two objects, with its sum\n%s", models, run.ID, p.log)
				}
				return nil
			})
			trained := received(t, awssqs.NewFromConfig(m.account()), &trainedURL)
			if len(trained) != 1 || !strings.Contains(trained[0], "s3://"+bucket+"/staging/"+run.ID+"/") {
				t.Errorf("the execution has told of %q; want one training, on what was staged", trained)
			}
			want := []string{"decided hold", "decided run", "promoted", "started RUNNING", "succeeded SUCCEEDED"}
			var told []string
			eventually(t, 2*time.Minute, func() error {
				for _, body := range received(t, awssqs.NewFromConfig(m.account()), &toldURL) {
					var e notify.Event
					if err := json.Unmarshal([]byte(body), &e); err != nil {
						t.Fatalf("%v in %s", err, body)
					}
					told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s%s", e.Kind, e.Verdict, e.Status)))
				}
				if len(told) < len(want) {
					return fmt.Errorf("the topic has told %q, want %q\n%s", told, want, p.log)
				}
				return nil
			})
			slices.Sort(told)
			if diff := cmp.Diff(want, told); diff != "" {
				t.Errorf("told by the topic (-want +got):\n%s", diff)
			}
			if got := p.readyz(); strings.Contains(got, "degraded") {
				t.Errorf("/readyz: %s", got)
			}
		})
	}
}
