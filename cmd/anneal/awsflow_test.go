package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/anneal-ml/anneal"
)

// A moto is moto_server, a server of many of AWS's services that is another's
// work, with what a test sets up in it. It runs until the test is over.
type moto struct {
	t   *testing.T
	url string
}

// newMoto starts a server and makes it the daemon's AWS. Where moto_server is
// missing the test is skipped, and fails under ANNEAL_STRICT=1.
func newMoto(t *testing.T) *moto {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") != "" {
			t.Fatalf("moto_server is not there: pip install 'moto[server]': %v", err)
		}
		t.Skip("moto_server is not there; pip install 'moto[server]'")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	log := &logged{}
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	m := &moto{t: t, url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	eventually(t, 90*time.Second, func() error {
		resp, err := http.Get(m.url + "/moto-api/data.json")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, log)
		}
		return resp.Body.Close()
	})
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

const flowSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policy.yaml]
buckets: {ml-data: ./bucket}
sources:
  - sqs: {queueURL: {env: QUEUE_URL}}
`

const flowPolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: churn}
spec:
  model: {group: churn}
  data: {target: y}
  signals:
    rows: {source: data, reduce: rows}
  triggers:
    - {id: new-data, event: {source: aws.s3, type: Object Created, match: "event.data.object.key.startsWith('training/')"}}
  rules:
    - {id: enough, if: "signals.rows.value >= 3"}
`

// TestFlow is the way from an object that is put to a decision, through AWS's
// own services: by S3's notification, and by EventBridge.
func TestFlow(t *testing.T) {
	m := newMoto(t)
	for _, way := range []struct {
		name   string
		listen func(bucket, queueARN string)
	}{
		{"notification", func(bucket, queueARN string) {
			m.bucket(bucket, `<QueueConfiguration><Queue>`+queueARN+`</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>`)
		}},
		{"rule", func(bucket, queueARN string) {
			m.rule("uploads", `{"source":["aws.s3"],"detail-type":["Object Created"],"detail":{"bucket":{"name":["`+bucket+`"]}}}`, queueARN)
			m.bucket(bucket, `<EventBridgeConfiguration></EventBridgeConfiguration>`)
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			queueURL, queueARN := m.queue("uploads-" + way.name)
			t.Setenv("QUEUE_URL", queueURL)
			bucket := "ml-data"
			if way.name != "notification" {
				bucket += "-" + way.name
			}
			way.listen(bucket, queueARN)
			dir := t.TempDir()
			const few, enough = "x,y\n1,0\n2,1\n", "x,y\n1,0\n2,1\n3,0\n"
			write(t, dir, map[string]string{
				"anneal.yaml": "", "policy.yaml": flowPolicy,
				"bucket/training/few.csv": few, "bucket/training/more data.csv": enough, "bucket/other.csv": enough,
			})
			write(t, dir, map[string]string{"anneal.yaml": string(bytes.Replace([]byte(flowSettings), []byte("ml-data"), []byte(bucket), 1))})
			p := begin(t, dir)
			verdicts := map[string]string{} // of the event's subject
			decided := func(subject, want string) {
				eventually(t, 60*time.Second, func() error {
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
			m.put(bucket, "other.csv", enough)
			m.put(bucket, "training/few.csv", few)
			decided("training/few.csv", "hold")
			m.put(bucket, "training/more%20data.csv", enough)
			decided("training/more data.csv", "would-run")
			if verdict, ok := verdicts["other.csv"]; ok {
				t.Errorf("other.csv, which the trigger does not match, has the verdict %s", verdict)
			}
		})
	}
}
