package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/configs/infra"
)

// motoServer runs a server that speaks for AWS, which the environment names from then
// on.
func motoServer(t *testing.T) aws.Config {
	t.Helper()
	newMoto(t)
	t.Setenv("AWS_REGION", "eu-central-1")
	with, err := cloud.Load(context.Background(), cloud.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return with
}

// iam answers SimulatePrincipalPolicy as IAM does: what is in denied is, and all
// else is allowed.
func iam(t *testing.T, denied ...string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("Action") != simulate || !strings.Contains(r.Header.Get("Authorization"), "/iam/aws4_request") {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>InvalidAction</Code><Message>not that</Message></Error></ErrorResponse>`)
			return
		}
		if slices.Contains(denied, simulate) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
			return
		}
		fmt.Fprint(w, `<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>`)
		for i := 1; r.Form.Has(fmt.Sprintf("ActionNames.member.%d", i)); i++ {
			action, decision := r.Form.Get(fmt.Sprintf("ActionNames.member.%d", i)), "allowed"
			if slices.Contains(denied, action) {
				decision = "implicitDeny"
			}
			fmt.Fprintf(w, `<member><EvalActionName>%s</EvalActionName><EvalResourceName>%s</EvalResourceName><EvalDecision>%s</EvalDecision></member>`,
				action, r.Form.Get("ResourceArns.member.1"), decision)
		}
		fmt.Fprint(w, `</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>`)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_IAM", server.URL)
}

// TestDoctorOnline asks a server about what is there and what is not, and compares
// the lines: they have an order, a result and a remedy.
func TestDoctorOnline(t *testing.T) {
	with := motoServer(t)
	ctx := t.Context()
	queue, err := sqs.NewFromConfig(with).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("uploads")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqs.NewFromConfig(with).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("{}")}); err != nil {
		t.Fatal(err)
	}
	bucket := s3.NewFromConfig(with, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := bucket.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("lake")}, func(o *s3.Options) { o.Region = "us-east-1" }); err != nil {
		t.Fatal(err)
	}
	topic, err := sns.NewFromConfig(with).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("team")})
	if err != nil {
		t.Fatal(err)
	}
	bus, err := eventbridge.NewFromConfig(with).CreateEventBus(ctx, &eventbridge.CreateEventBusInput{Name: aws.String("ml")})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := sfn.NewFromConfig(with).CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("churn"),
		Definition: aws.String(`{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`), RoleArn: aws.String("arn:aws:iam::123456789012:role/x")})
	if err != nil {
		t.Fatal(err)
	}
	needs := infra.Daemon{
		Queues: []infra.Queue{
			{Name: "uploads", URL: *queue.QueueUrl, ARN: "${Queue.Arn}", Made: true, Known: "arn:aws:sqs:eu-central-1:123456789012:uploads"},
			{Name: "gone", URL: strings.Replace(*queue.QueueUrl, "uploads", "gone", 1), ARN: "arn:aws:sqs:eu-central-1:123456789012:gone"},
		},
		Reads:    []infra.Location{{Bucket: "lake", Prefix: "training/"}, {Bucket: "nowhere"}},
		Alarms:   []infra.Alarms{{Names: []string{"slow"}}},
		Machines: []infra.Machine{{ARN: *machine.StateMachineArn, Kind: infra.Standard, Policies: []string{"churn"}}, {ARN: *machine.StateMachineArn + "-2", Kind: infra.Standard, Policies: []string{"price"}}},
		Topics:   []infra.Target{{Channel: "team", ARN: *topic.TopicArn}},
		Buses:    []infra.Target{{Channel: "bus", ARN: *bus.EventBusArn}},
	}

	for _, c := range []struct {
		name   string
		denied []string
		want   []string
	}{
		{"permissions that lack", []string{"sqs:DeleteMessage", "states:StartExecution"}, []string{
			"ok aws identity", "warn queue uploads", "fail queue gone", "ok objects s3://lake/training/", "fail objects s3://nowhere/",
			"warn alarms slow", "ok state machine …:churn", "fail state machine …:churn-2", "ok topic …:team", "ok event bus …:event-bus/ml",
			"fail permission sqs:ChangeMessageVisibility, sqs:DeleteMessage, sqs:GetQueueAttributes, sqs:ReceiveMessage",
			"fail permission sqs:ChangeMessageVisibility, sqs:DeleteMessage, sqs:GetQueueAttributes, sqs:ReceiveMessage",
			"ok permission s3:GetObject, s3:GetObjectVersion", "ok permission s3:ListBucket", "ok permission s3:ListBucket",
			"ok permission cloudwatch:DescribeAlarmHistory, cloudwatch:DescribeAlarms",
			"fail permission states:StartExecution", "ok permission states:DescribeStateMachine", "ok permission states:ListExecutions",
			"ok permission states:DescribeExecution, states:GetExecutionHistory, states:RedriveExecution, states:StopExecution",
			"fail permission states:StartExecution", "ok permission states:DescribeStateMachine", "ok permission states:ListExecutions",
			"ok permission states:DescribeExecution, states:GetExecutionHistory, states:RedriveExecution, states:StopExecution",
			"ok permission sns:GetTopicAttributes, sns:Publish", "ok permission events:DescribeEventBus, events:PutEvents",
		}},
		{"IAM may not be asked", []string{simulate}, []string{
			"ok aws identity", "warn queue uploads", "fail queue gone", "ok objects s3://lake/training/", "fail objects s3://nowhere/",
			"warn alarms slow", "ok state machine …:churn", "fail state machine …:churn-2", "ok topic …:team", "ok event bus …:event-bus/ml",
			"warn permissions",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			iam(t, c.denied...)
			d := &doctor{ctx: t.Context(), within: 5 * time.Minute}
			d.askAWS(needs)
			var got []string
			for _, f := range d.findings {
				if (f.Status == checkOK) != (f.Remedy == "") || f.Detail == "" || strings.Contains(f.String(), "\n") {
					t.Errorf("%s: a line has a detail, and a remedy where it is not well", f)
				}
				if strings.Contains(f.Check, "gone") && f.Remedy != "make it, or correct its name, region and account" {
					t.Errorf("%s: want the remedy of a queue that is not there", f)
				}
				got = append(got, f.Status+" "+regexp.MustCompile(`arn:aws:\w+:eu-central-1:123456789012:(stateMachine)?`).ReplaceAllString(f.Check, "…:"))
			}
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "…::", "…:")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
				for _, f := range d.findings {
					t.Log(f)
				}
			}
		})
	}

	// Nothing was taken, sent or started.
	left, err := sqs.NewFromConfig(with).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameApproximateReceiveCount}})
	if err != nil {
		t.Fatal(err)
	}
	if len(left.Messages) != 1 || left.Messages[0].Attributes["ApproximateReceiveCount"] != "1" {
		t.Errorf("the queue has %v, want its message, never received before", left.Messages)
	}
	executions, err := sfn.NewFromConfig(with).ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: machine.StateMachineArn})
	if err != nil || len(executions.Executions) > 0 {
		t.Errorf("executions were started (%v): %v", err, executions)
	}
}

// TestDoctorStream asks NATS for a stream that is there and for one that is not.
func TestDoctorStream(t *testing.T) {
	url, _ := newStream(t)
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml":    "listen: 127.0.0.1:0\npolicies: [./policies]\nsources:\n  - nats: {url: " + url + ", stream: uploads}\n  - nats: {url: " + url + ", stream: gone}\n",
		"policies/.keep": "",
	})
	out, status := runOnce("doctor", "--online", "--config", filepath.Join(dir, "anneal.yaml"))
	for _, line := range []string{
		"ok    stream uploads: the stream is there; the consumer anneal is made when the daemon starts\n",
		"fail  stream gone: there is no stream gone: make it: nats stream add gone --subjects 'gone.>' --storage file --defaults — ",
		"ok    aws: nothing in the settings and policies needs it\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("doctor says\n%swithout\n%s", out, line)
		}
	}
	if status != exitNo {
		t.Errorf("exit status %d, want %d", status, exitNo)
	}
}

// TestDoctorSkew asks a server whose clock is off.
func TestDoctorSkew(t *testing.T) {
	for skew, want := range map[time.Duration]string{0: checkOK, 2 * time.Minute: checkWarn, -time.Hour: checkFail} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().UTC().Add(skew).Format(http.TimeFormat))
			fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/anneal/x</Arn><UserId>u</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
		}))
		defer server.Close()
		t.Setenv("AWS_ENDPOINT_URL", server.URL)
		t.Setenv("AWS_REGION", "eu-central-1")
		t.Setenv("AWS_ACCESS_KEY_ID", "test")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
		all := identities(infra.Daemon{})
		askAll(t.Context(), all, time.Minute)
		if got := all[0].with; got.Status != want {
			t.Errorf("a clock %s off: %s, want %s", skew, got, want)
		}
	}
}
