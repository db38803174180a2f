package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// cloudAt lets tasks call a server that answers as AWS.
func cloudAt(t *testing.T, answer http.HandlerFunc) func(*Config) {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return func(c *Config) {
		c.Remote = wire.New(func(_ context.Context, role string) (aws.Config, error) {
			return aws.Config{
				Region: "eu-central-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(), RetryMaxAttempts: 1,
				Credentials: credentials.NewStaticCredentialsProvider("id"+strings.ReplaceAll(role, "/", "-"), "key", ""),
			}, nil
		})
	}
}

// How Step Functions tells what a service refuses, by either kind of
// integration.
func TestRefusedByAWS(t *testing.T) {
	b := newBench(t, cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-Requestid", "req")
		switch {
		case strings.HasPrefix(r.Host, "api."):
			if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/execute-api/") {
				t.Errorf("signed %q", r.Header.Get("Authorization"))
			}
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "short and stout "+r.URL.String())
		case strings.Contains(r.Header.Get("Authorization"), "Credential=idarn:aws:iam::1:role-other/"):
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"AccessDeniedException","message":"not as that role"}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"ResourceNotFoundException","message":"not there"}`)
		}
	}))
	for _, c := range []struct{ resource, input, role, name, cause string }{
		{"arn:aws:states:::dynamodb:getItem", `{"TableName":"t","Key":{}}`, "", "DynamoDB.ResourceNotFoundException",
			"not there (Service: AmazonDynamoDBv2; Status Code: 400; Error Code: ResourceNotFoundException; Request ID: req; Proxy: null)"},
		{"arn:aws:states:::aws-sdk:dynamodb:getItem", `{"TableName":"t","Key":{}}`, "", "DynamoDb.ResourceNotFoundException",
			"not there (Service: DynamoDb, Status Code: 400, Request ID: req) (SDK Attempt Count: 1)"},
		{"arn:aws:states:::aws-sdk:secretsmanager:getSecretValue", `{"SecretId":"s"}`, "arn:aws:iam::1:role/other", "SecretsManager.SecretsManagerException",
			"not as that role (Service: SecretsManager, Status Code: 400, Request ID: req) (SDK Attempt Count: 1)"},
		{"arn:aws:states:::aws-sdk:kms:encrypt", `{"KeyID":"k","nope":1}`, "", "States.Runtime", ""},
		{"arn:aws:states:::apigateway:invoke", `{"ApiEndpoint":"api.execute-api.eu-west-1.amazonaws.com","Method":"GET","Stage":"dev","Path":"/a b","QueryParameters":{"q":["1","2"]},"AuthType":"IAM_ROLE"}`, "",
			"ApiGateway.418", "short and stout /dev/a%20b?q=1&q=2"},
	} {
		o, err := b.Do(t.Context(), asl.Effect{ID: "e", Execution: "x", State: "S", Resource: c.resource, Input: json.RawMessage(c.input), RoleARN: c.role}, false, nil)
		if err != nil || o.Error != c.name || c.cause != "" && o.Cause != c.cause {
			t.Errorf("%s\n got %s: %s (%v)\nwant %s: %s", c.resource, o.Error, o.Cause, err, c.name, c.cause)
		}
	}
}

// What a call is on is asked for where it is, which its ARN tells.
func TestRegionOfARN(t *testing.T) {
	region := ""
	b := newHouse(t, nil, cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		region = strings.Split(r.Header.Get("Authorization"), "/")[2]
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"X","message":"no"}`)
	}))
	for _, c := range []struct{ resource, input, want string }{
		{"arn:aws:lambda:us-west-2:123456789012:function:f", `{"FunctionName":"arn:aws:lambda:eu-west-3:1:function:other"}`, "us-west-2"},
		{"arn:aws:states:::lambda:invoke", `{"FunctionName":"arn:aws:lambda:ap-south-1:123456789012:function:f"}`, "ap-south-1"},
		{"arn:aws:states:::lambda:invoke", `{"FunctionName":"f"}`, "eu-central-1"},
		{"arn:aws:states:::sns:publish", `{"TopicArn":"arn:aws:sns:us-east-2:123456789012:t","Message":"m"}`, "us-east-2"},
		{"arn:aws:states:::states:startExecution", `{"StateMachineArn":"arn:aws:states:sa-east-1:123456789012:stateMachine:m"}`, "sa-east-1"},
		{"arn:aws:states:::aws-sdk:secretsmanager:getSecretValue", `{"SecretId":"arn:aws:secretsmanager:ca-central-1:123456789012:secret:s-a"}`, "ca-central-1"},
		{"arn:aws:states:::aws-sdk:dynamodb:getItem", `{"TableName":"t","Key":{}}`, "eu-central-1"},
	} {
		if o, err := b.Tasks.Do(t.Context(), asl.Effect{ID: "e", State: "S", Resource: c.resource, Input: json.RawMessage(c.input)}, false, nil); err != nil || o.Error == "" || region != c.want {
			t.Errorf("%s on %s goes to %s, want %s (%s, %v)", c.resource, c.input, region, c.want, o.Cause, err)
		}
	}
}

// Whom a common code is an exception of: an operation that has it, and no other.
func TestCommonErrors(t *testing.T) {
	code := ""
	b := newHouse(t, nil, cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		if strings.Contains(r.Header.Get("Authorization"), "/s3/") {
			io.WriteString(w, `<Error><Code>`+code+`</Code><Message>no</Message></Error>`)
			return
		}
		io.WriteString(w, `{"__type":"`+code+`","message":"no"}`)
	}))
	for _, c := range []struct{ resource, input, code, want string }{
		{"aws-sdk:s3:getObject", `{"Bucket":"bkt","Key":"k"}`, "AccessDenied", "S3.S3Exception"},
		{"aws-sdk:s3:getObject", `{"Bucket":"bkt","Key":"k"}`, "NoSuchBucket", "S3.NoSuchBucketException"},
		{"events:putEvents", `{"Entries":[]}`, "ThrottlingException", "EventBridge.AmazonEventBridgeException"},
		{"aws-sdk:eventbridge:createConnection", `{"Name":"n","AuthorizationType":"BASIC","AuthParameters":{}}`, "AccessDeniedException", "EventBridge.AccessDeniedException"},
		{"lambda:invoke", `{"FunctionName":"f"}`, "TooManyRequestsException", "Lambda.TooManyRequestsException"},
		{"lambda:invoke", `{"FunctionName":"f"}`, "ServiceException", "Lambda.ServiceException"},
		{"lambda:invoke", `{"FunctionName":"f"}`, "AccessDeniedException", "Lambda.AWSLambdaException"},
	} {
		code = c.code
		o, err := b.Tasks.Do(t.Context(), asl.Effect{ID: "e", State: "S", Resource: "arn:aws:states:::" + c.resource, Input: json.RawMessage(c.input)}, false, nil)
		if err != nil || o.Error != c.want {
			t.Errorf("%s that answers %s: %s %s (%v), want %s", c.resource, c.code, o.Error, o.Cause, err, c.want)
		}
	}
}

// An execution at AWS is followed through what passes, and only what does not ends that.
func TestNestedAtAWS(t *testing.T) {
	for _, c := range []struct {
		sync    string
		answers []string // of DescribeExecution, one after the other
		want    string
	}{
		{".sync:2", []string{"400 ThrottlingException", "500 InternalServerError", `{"status":"SUCCEEDED","output":"{\"n\":1}"}`}, `"Output":{"n":1}`},
		{".sync", []string{"cut", `{"status":"SUCCEEDED","output":"{\"n\":1}"}`}, `"Output":"{\"n\":1}"`},
		{".sync:2", []string{`{"status":"RUNNING"}`, `{"status":"FAILED","error":"E","cause":"c"}`}, `States.TaskFailed: {"Status":"FAILED","Error":"E","Cause":"c"}`},
		{".sync:2", []string{"400 AccessDeniedException"}, "StepFunctions.AWSStepFunctionsException: no (Service: AWSStepFunctions; Status Code: 400; Error Code: AccessDeniedException; Request ID: null; Proxy: null)"},
	} {
		t.Run(c.answers[0], func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			answers, begun := c.answers, 0
			b := newHouse(t, nil, cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".StartExecution") {
					begun++
					io.WriteString(w, `{"executionArn":"arn:aws:states:eu-central-1:1:execution:far:x","startDate":1}`)
					return
				}
				answer := answers[0]
				answers = answers[1:]
				if status, code, refused := strings.Cut(answer, " "); refused && len(status) == 3 {
					n, _ := strconv.Atoi(status)
					w.WriteHeader(n)
					io.WriteString(w, `{"__type":"`+code+`","message":"no"}`)
				} else if answer == "cut" {
					panic(http.ErrAbortHandler)
				} else {
					io.WriteString(w, answer)
				}
			}))
			submitted := ""
			o, err := b.Tasks.Do(t.Context(), asl.Effect{ID: "e", State: "S", Resource: "arn:aws:states:::states:startExecution" + c.sync,
				Input: json.RawMessage(`{"StateMachineArn":"arn:aws:states:eu-central-1:1:stateMachine:far"}`)}, false, func(output json.RawMessage) { submitted = string(output) })
			if got := string(o.Output) + o.Error + ": " + o.Cause; err != nil || !strings.Contains(got, c.want) {
				t.Errorf("%s (%v)\nwant %s", got, err, c.want)
			}
			mu.Lock()
			defer mu.Unlock()
			if begun != 1 || !strings.Contains(submitted, ":execution:far:x") || len(answers) > 0 {
				t.Errorf("begun %d times, submitted %s, %d answers left", begun, submitted, len(answers))
			}
		})
	}
}

// An execution that begins at AWS while its effect is stopped is ended there.
func TestStopWhileStartingAtAWS(t *testing.T) {
	asked, answer := make(chan bool), make(chan bool)
	var mu sync.Mutex
	var ended []string
	b := newHouse(t, nil, cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); action {
		case "StartExecution":
			close(asked)
			<-answer
			io.WriteString(w, `{"executionArn":"arn:aws:states:eu-central-1:1:execution:far:x","startDate":1}`)
		case "StopExecution":
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, string(body))
			io.WriteString(w, `{"stopDate":1}`)
		default:
			t.Errorf("%s is asked for", action)
		}
	}))
	done := make(chan error)
	go func() {
		_, err := b.Tasks.Do(t.Context(), asl.Effect{ID: "e", State: "S", Resource: "arn:aws:states:::states:startExecution.sync",
			Input: json.RawMessage(`{"StateMachineArn":"arn:aws:states:eu-central-1:1:stateMachine:far"}`)}, false, func(json.RawMessage) {})
		done <- err
	}()
	<-asked
	b.Tasks.Stop(t.Context(), "e")
	close(answer)
	if err := <-done; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ended) != 1 || !strings.Contains(ended[0], ":execution:far:x") {
		t.Errorf("ended %q; want the execution that has begun", ended)
	}
}

// What is refused at load, and why.
func TestCheckAWS(t *testing.T) {
	resource := func(arn, parameters string) asl.Resource {
		m, err := asl.Parse([]byte(`{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"`+arn+`","Parameters":`+parameters+`,"End":true}}}`), "m")
		if err != nil {
			t.Fatal(err)
		}
		return m.Resources()[0]
	}
	deny := newBench(t, func(c *Config) { c.Buckets = []string{"here"} })
	allow := newBench(t, cloudAt(t, func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct{ arn, parameters, deny, allow string }{
		{"arn:aws:states:::dynamodb:putItem", `{}`, "embedded.aws is deny", ""},
		{"arn:aws:states:::aws-sdk:s3:getObject", `{"Bucket":"there","Key":"k"}`, "embedded.aws is deny", ""},
		{"arn:aws:states:::aws-sdk:s3:getObject", `{"Bucket":"here","Key":"k"}`, "", ""},
		{"arn:aws:states:::aws-sdk:s3:getObjet", `{}`, `(have "getObject")`, `(have "getObject")`},
		{"arn:aws:states:::aws-sdk:translate:translateText", `{}`, "aws-sdk:translate is not built yet (have cloudwatchlogs, dynamodb,", "aws-sdk:translate is not built yet"},
		{"arn:aws:states:::lambda:invoke", `{"FunctionName":"Unmapped"}`, `add "Unmapped" under embedded.functions`, ""},
		{"arn:aws:states:::sns:publish", `{"TopicArn":"arn:aws:sns:eu-central-1:1:unmapped","Message":"m"}`, `add "unmapped" under embedded.topics`, ""},
		{"arn:aws:states:::events:putEvents", `{}`, "embedded.aws is deny", ""},
		{"arn:aws:states:::glue:startJobRun", `{}`, "is not built yet", "is not built yet"},
	} {
		for _, way := range []struct {
			b    *bench
			want string
		}{{deny, c.deny}, {allow, c.allow}} {
			err := way.b.Check(resource(c.arn, c.parameters))
			if (err == nil) != (way.want == "") || err != nil && !strings.Contains(err.Error(), way.want) {
				t.Errorf("%s %s: %v, want %q", c.arn, c.parameters, err, way.want)
			}
		}
	}
}

// Objects of a bucket that is a folder.
func TestLocalBucket(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Buckets = []string{"here"} })
	do := func(action, input string) asl.Outcome {
		o, err := b.Do(t.Context(), asl.Effect{ID: "e", State: "S", Resource: "arn:aws:states:::aws-sdk:s3:" + action, Input: json.RawMessage(input)}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := do("putObject", `{"Bucket":"here","Key":"a/b.json","Body":{"x":1}}`); !strings.Contains(string(o.Output), `"ETag":"\"ac3ef48caa08fa3ed5e025da69edc645\""`) {
		t.Errorf("put: %+v", o)
	}
	if data, err := os.ReadFile(filepath.Join(string(b.objects), "here", "a", "b.json")); err != nil || string(data) != `{"x":1}` {
		t.Errorf("the file has %q (%v)", data, err)
	}
	if o := do("getObject", `{"Bucket":"here","Key":"a/b.json"}`); !strings.Contains(string(o.Output), `"ContentLength":7`) || !strings.Contains(string(o.Output), `"Body":"{\"x\":1}"`) || !strings.Contains(string(o.Output), `"LastModified":"`) {
		t.Errorf("get: %s %s", o.Output, o.Cause)
	}
	if o := do("listObjectsV2", `{"Bucket":"here","Prefix":"a/"}`); !strings.Contains(string(o.Output), `{"Key":"a/b.json"}`) {
		t.Errorf("list: %s", o.Output)
	}
	if o := do("getObject", `{"Bucket":"here","Key":"no"}`); o.Error != "S3.NoSuchKeyException" {
		t.Errorf("get: %+v", o)
	}
	if o := do("deleteBucket", `{"Bucket":"here"}`); o.Error != asl.ErrRuntime {
		t.Errorf("delete: %+v", o)
	}
}

func TestClassName(t *testing.T) {
	for id, want := range map[string]string{"Secrets Manager": "SecretsManager", "DynamoDB": "DynamoDb", "SFN": "Sfn", "S3": "S3", "KMS": "Kms", "EventBridge": "EventBridge", "CloudWatch Logs": "CloudWatchLogs"} {
		if got := className(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

// TestLost loses a service of AWS and finds it again: the log has one line of each,
// however often it is called.
func TestLost(t *testing.T) {
	var answers atomic.Bool
	var log bytes.Buffer
	at := cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		if !answers.Load() {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"ResourceNotFoundException","message":"no"}`)
	})
	b := newHouse(t, nil, func(c *Config) {
		at(c)
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	call := func(resource, input, want string) {
		t.Helper()
		for range 3 {
			o, err := b.Tasks.Do(t.Context(), asl.Effect{ID: "e", State: "S", Resource: "arn:aws:states:::" + resource, Input: json.RawMessage(input)}, false, nil)
			if err != nil || o.Error != want {
				t.Errorf("%s: %+v, %v; want %s", resource, o, err, want)
			}
		}
	}
	for range 2 {
		answers.Store(false)
		call("dynamodb:getItem", `{"TableName":"t","Key":{}}`, "DynamoDB.SdkClientException")
		call("lambda:invoke", `{"FunctionName":"f"}`, "Lambda.SdkClientException")
		answers.Store(true)
		call("dynamodb:getItem", `{"TableName":"t","Key":{}}`, "DynamoDB.ResourceNotFoundException")
		call("lambda:invoke", `{"FunctionName":"f"}`, "Lambda.ResourceNotFoundException")
	}
	for message, want := range map[string]int{"aws not reached": 4, "aws reached again": 4, "service=dynamodb": 4, "service=lambda": 4} {
		if got := strings.Count(log.String(), message); got != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", message, got, want, &log)
		}
	}
}
