package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A reply is what a service answers.
type reply struct {
	status int
	header map[string]string
	body   string
}

// at makes a client of a server that answers these, one after the other, and
// tells what it was asked.
func at(t *testing.T, replies ...reply) (*Client, *[]string) {
	asked := new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s\n", r.Method, r.RequestURI)
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			if strings.HasPrefix(name, "X-Amz-Target") || strings.HasPrefix(name, "X-Amz-Meta") || strings.HasPrefix(name, "X-Amz-Checksum") || name == "Content-Type" || strings.HasPrefix(name, "X-Amz-Inv") || name == "Range" {
				fmt.Fprintf(&b, "%s: %s\n", name, r.Header.Get(name))
			}
		}
		b.Write(body)
		*asked = append(*asked, b.String())
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/") {
			t.Errorf("not signed: %v", r.Header)
		}
		a := replies[min(len(*asked), len(replies))-1]
		for k, v := range a.header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	}))
	t.Cleanup(server.Close)
	return New(func(_ context.Context, role string) (aws.Config, error) {
		return aws.Config{Region: "eu-central-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(), Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")}, nil
	}), asked
}

func parse(t *testing.T, text string) value.Value {
	t.Helper()
	v, err := value.ParseString(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Each protocol: parameters, the request that they make, an answer, and what is
// made of it.
func TestCalls(t *testing.T) {
	ok := func(body string, header ...string) reply {
		r := reply{200, map[string]string{}, body}
		for i := 0; i < len(header); i += 2 {
			r.header[header[i]] = header[i+1]
		}
		return r
	}
	for _, c := range []struct {
		call, params, asked string
		reply               reply
		out                 string
	}{
		{"dynamodb:getItem", `{"TableName":"t","Key":{"id":{"S":"1"}},"ConsistentRead":"true"}`,
			"POST /\nContent-Type: application/x-amz-json-1.0\nX-Amz-Target: DynamoDB_20120810.GetItem\n" + `{"TableName":"t","Key":{"id":{"S":"1"}},"ConsistentRead":true}`,
			ok(`{"Item":{"id":{"S":"1"},"n":{"N":"12345678901234567890"}},"New":1}`), `{"Item":{"id":{"S":"1"},"n":{"N":"12345678901234567890"}}}`},
		{"sfn:startExecution", `{"StateMachineArn":"arn","Input":{"a":1},"Name":null}`,
			"POST /\nContent-Type: application/x-amz-json-1.0\nX-Amz-Target: AWSStepFunctions.StartExecution\n" + `{"stateMachineArn":"arn","input":"{\"a\":1}"}`,
			ok(`{"executionArn":"x","startDate":1.76243e9}`), `{"ExecutionArn":"x","StartDate":"2025-11-06T11:53:20Z"}`},
		{"kms:encrypt", `{"KeyId":"k","Plaintext":"aGk="}`,
			"POST /\nContent-Type: application/x-amz-json-1.1\nX-Amz-Target: TrentService.Encrypt\n" + `{"KeyId":"k","Plaintext":"aGk="}`,
			ok(`{"CiphertextBlob":"AQID","KeyId":"k"}`), `{"CiphertextBlob":"AQID","KeyId":"k"}`},
		{"secretsmanager:createSecret", `{"Name":"n","SecretBinary":"ä"}`,
			"POST /\nContent-Type: application/x-amz-json-1.1\nX-Amz-Target: secretsmanager.CreateSecret\n" + `{"Name":"n","SecretBinary":"w6Q="}`,
			ok(`{"ARN":"a","Name":"n","CreatedDate":1.5}`), `{"ARN":"a","Name":"n"}`},
		{"sqs:sendMessage", `{"QueueUrl":"q","MessageBody":"m","MessageAttributes":{"k":{"DataType":"String","StringValue":"v"}}}`,
			"POST /\nContent-Type: application/x-amz-json-1.0\nX-Amz-Target: AmazonSQS.SendMessage\n" + `{"QueueUrl":"q","MessageBody":"m","MessageAttributes":{"k":{"DataType":"String","StringValue":"v"}}}`,
			ok(`{"MessageId":"m","MD5OfMessageBody":"5"}`), `{"MessageId":"m","MD5OfMessageBody":"5"}`},
		{"sns:publish", `{"TopicArn":"arn","Message":{"a":"b c"},"MessageAttributes":{"k":{"DataType":"String","StringValue":"v"}}}`,
			"POST /\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\n" +
				"Action=Publish&Message=%7B%22a%22%3A%22b+c%22%7D&MessageAttributes.entry.1.Name=k&MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue=v&TopicArn=arn&Version=2010-03-31",
			ok(`<PublishResponse xmlns="x"><PublishResult><MessageId>m</MessageId><SequenceNumber>1</SequenceNumber></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>`),
			`{"MessageId":"m","SequenceNumber":"1"}`},
		{"lambda:listFunctions", `{"MaxItems":2,"FunctionVersion":"ALL"}`,
			"GET /2015-03-31/functions?FunctionVersion=ALL&MaxItems=2\n",
			ok(`{"Functions":[{"FunctionName":"f","MemorySize":128}],"NextMarker":null}`), `{"Functions":[{"FunctionName":"f","MemorySize":128}]}`},
		{"lambda:invoke", `{"FunctionName":"a:b","InvocationType":"RequestResponse","Payload":{"x":1}}`,
			"POST /2015-03-31/functions/a%3Ab/invocations\nContent-Type: application/octet-stream\nX-Amz-Invocation-Type: RequestResponse\n" + `{"x":1}`,
			ok(`{"y":2}`, "X-Amz-Executed-Version", "$LATEST"), `{"ExecutedVersion":"$LATEST","StatusCode":200,"Payload":"{\"y\":2}"}`},
		{"s3:putObject", `{"Bucket":"bu","Key":"a b/ü+","Body":{"a":[1]},"Metadata":{"who":"me"}}`,
			"PUT /bu/a%20b/%C3%BC%2B\nX-Amz-Checksum-Crc32: u5xGWg==\nX-Amz-Meta-Who: me\n" + `{"a":[1]}`,
			ok("", "ETag", `"e"`), `{"ETag":"\"e\""}`},
		{"s3:putObject", `{"Bucket":"bu","Key":"k","Body":"text"}`,
			"PUT /bu/k\nX-Amz-Checksum-Crc32: P92AXg==\n" + `"text"`,
			ok("", "ETag", `"e"`), `{"ETag":"\"e\""}`},
		{"s3:getObject", `{"Bucket":"bu","Key":"k","Range":"bytes=0-3"}`,
			"GET /bu/k\nRange: bytes=0-3\n",
			ok("text", "ETag", `"e"`, "Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT", "X-Amz-Meta-Who", "me", "Content-Type", "text/plain", "Content-Length", "4"),
			`{"ContentLength":4,"ContentType":"text/plain","ETag":"\"e\"","LastModified":"2025-01-01T00:00:00Z","Metadata":{"who":"me"},"Body":"text"}`},
		{"s3:listObjectsV2", `{"Bucket":"bu","Prefix":"a/b","MaxKeys":"2"}`,
			"GET /bu?list-type=2&max-keys=2&prefix=a%2Fb\n",
			ok(`<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bu</Name><IsTruncated>false</IsTruncated><KeyCount>2</KeyCount>` +
				`<Contents><Key>a/b1</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified><Size>3</Size></Contents><Contents><Key>a/b2</Key><Size>4</Size></Contents></ListBucketResult>`),
			`{"Contents":[{"Key":"a/b1","LastModified":"2025-01-01T00:00:00Z","Size":3},{"Key":"a/b2","Size":4}],"IsTruncated":false,"KeyCount":2,"Name":"bu"}`},
		{"s3:getBucketLocation", `{"Bucket":"bu"}`, "GET /bu?location=\n",
			ok(`<LocationConstraint xmlns="x">eu-central-1</LocationConstraint>`), `{"LocationConstraint":"eu-central-1"}`},
		{"s3:putObjectTagging", `{"Bucket":"bu","Key":"k","Tagging":{"TagSet":[{"Key":"a","Value":"<&"}]}}`,
			"PUT /bu/k?tagging=\nContent-Type: application/xml\nX-Amz-Checksum-Crc32: v6LGdg==\n" +
				`<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>a</Key><Value>&lt;&amp;</Value></Tag></TagSet></Tagging>`,
			ok(""), `{}`},
		{"s3:deleteObjects", `{"Bucket":"bu","Delete":{"Objects":[{"Key":"a"},{"Key":"b"}],"Quiet":true}}`,
			"POST /bu?delete=\nContent-Type: application/xml\nX-Amz-Checksum-Crc32: 9I4Tdw==\n" +
				`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a</Key></Object><Object><Key>b</Key></Object><Quiet>true</Quiet></Delete>`,
			ok(`<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>`), `{"Deleted":[{"Key":"a"}]}`},
	} {
		t.Run(c.call, func(t *testing.T) {
			client, asked := at(t, c.reply)
			service, action, _ := strings.Cut(c.call, ":")
			got, err := client.Call(t.Context(), Request{Service: service, Action: action, Params: parse(t, c.params)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.asked, (*asked)[0]); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if !value.Equal(got.Output, parse(t, c.out)) {
				t.Errorf("answer\n got %s\nwant %s", got.Output, c.out)
			}
		})
	}
}

// What services refuse, in their protocols, and how often they were asked.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		call, params string
		reply        reply
		want         Error
		asked        int
	}{
		{"dynamodb:putItem", `{"TableName":"t"}`, reply{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"not found"}`},
			Error{Code: "ResourceNotFoundException", Exception: "ResourceNotFoundException", Message: "not found", Status: 400, Attempts: 1}, 1},
		{"dynamodb:putItem", `{"TableName":"t"}`, reply{400, nil, `{"__type":"com.amazon.coral.validate#ValidationException","message":"no"}`},
			Error{Code: "ValidationException", Message: "no", Status: 400, Attempts: 1}, 1},
		{"sqs:sendMessage", `{"QueueUrl":"q"}`, reply{400, map[string]string{"X-Amzn-Query-Error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no queue"}`},
			Error{Code: "AWS.SimpleQueueService.NonExistentQueue", Exception: "QueueDoesNotExist", Message: "no queue", Status: 400, Attempts: 1}, 1},
		{"lambda:invoke", `{"FunctionName":"f"}`, reply{404, map[string]string{"X-Amzn-Errortype": "ResourceNotFoundException:http://internal"}, `{"Message":"no function","Type":"User"}`},
			Error{Code: "ResourceNotFoundException", Exception: "ResourceNotFoundException", Message: "no function", Status: 404, Attempts: 1}, 1},
		{"s3:getObject", `{"Bucket":"bu","Key":"k"}`, reply{404, map[string]string{"X-Amz-Request-Id": "r", "X-Amz-Id-2": "e"}, `<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>no key</Message></Error>`},
			Error{Code: "NoSuchKey", Exception: "NoSuchKey", Message: "no key", Status: 404, RequestID: "r", Extended: "e", Attempts: 1}, 1},
		{"s3:headObject", `{"Bucket":"bu","Key":"k"}`, reply{404, nil, ""}, Error{Code: "NoSuchKey", Exception: "NoSuchKey", Status: 404, Attempts: 1}, 1},
		{"sns:publish", `{"Message":"m"}`, reply{400, nil, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameter</Code><Message>bad</Message></Error><RequestId>r</RequestId></ErrorResponse>`},
			Error{Code: "InvalidParameter", Exception: "InvalidParameterException", Message: "bad", Status: 400, RequestID: "r", Attempts: 1}, 1},
		{"kms:decrypt", `{"CiphertextBlob":"AQID"}`, reply{400, nil, `{"__type":"InvalidCiphertextException"}`},
			Error{Code: "InvalidCiphertextException", Exception: "InvalidCiphertextException", Status: 400, Attempts: 1}, 1},
		{"dynamodb:putItem", `{"TableName":"t"}`, reply{400, nil, `{"__type":"ThrottlingException","message":"slow"}`},
			Error{Code: "ThrottlingException", Exception: "ThrottlingException", Message: "slow", Status: 400, Attempts: 3}, 3},
		{"lambda:invoke", `{"FunctionName":"f"}`, reply{503, nil, `garbage`}, Error{Code: "ServiceUnavailable", Status: 503, Attempts: 3}, 3},
	} {
		t.Run(c.call+" "+c.want.Code, func(t *testing.T) {
			client, asked := at(t, c.reply)
			service, action, _ := strings.Cut(c.call, ":")
			_, err := client.Call(t.Context(), Request{Service: service, Action: action, Params: parse(t, c.params)})
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("%v, want %v", err, &c.want)
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if len(*asked) != c.asked {
				t.Errorf("asked %d times, want %d", len(*asked), c.asked)
			}
		})
	}
}

// What is refused before anything is sent.
func TestParameters(t *testing.T) {
	for _, c := range []struct{ call, params, want string }{
		{"s3:getObject", `{"Bucket":"b","Key":"k","bucket":"b"}`, "The field 'bucket' is not supported by Step Functions"},
		{"s3:getObject", `{"Bucket":"b"}`, "The field 'Key' is required but was missing"},
		{"s3:putObject", `{"Bucket":"b","Key":"k","SsekmsKeyId":"x","ContentLength":"y"}`, "The value for the field 'ContentLength' must be a INTEGER"},
		{"dynamodb:getItem", `{"Key":[]}`, "The value for the field 'Key' must be a MAP"},
		{"dynamodb:batchGetItem", `{"RequestItems":{"t":1}}`, "The value for the field 'RequestItems' must be a STRUCTURE"},
		{"sfn:listExecutions", `[]`, "the Parameters must be an object"},
		{"sfn:listExecutions", `{"StateMachineArn":"a","MaxResults":5}`, ""},
	} {
		service, action, _ := strings.Cut(c.call, ":")
		got := ""
		if err := Check(service, action, parse(t, c.params)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s\n got %q\nwant %q", c.call, c.params, got, c.want)
		}
	}
}

// Every shape that a model names is there.
func TestModels(t *testing.T) {
	scalars := []string{"string", "integer", "number", "boolean", "blob", "json", "time"}
	for service, m := range models() {
		known := func(of string) bool {
			kind, _, _ := strings.Cut(of, ":")
			return m.Shapes[of] != nil || slices.Contains(scalars, kind)
		}
		for action, op := range m.Operations {
			if op.In != "" && m.Shapes[op.In] == nil || op.Out != "" && m.Shapes[op.Out] == nil {
				t.Errorf("%s:%s: %q or %q is not there", service, action, op.In, op.Out)
			}
		}
		for name, s := range m.Shapes {
			if s.Of != "" && !known(s.Of) || s.Of == "" && s.Type != "object" {
				t.Errorf("%s: %s is of %q, which is not there", service, name, s.Of)
			}
			for key := range s.Members {
				if x, _ := s.member(key); !known(x.shape) {
					t.Errorf("%s: %s.%s is %q, which is not there", service, name, key, x.shape)
				}
			}
		}
	}
}

// Where a service is.
func TestEndpoints(t *testing.T) {
	for _, c := range []struct{ service, region, host, bucket, want string }{
		{"dynamodb", "eu-central-1", "", "", "https://dynamodb.eu-central-1.amazonaws.com"},
		{"sfn", "cn-north-1", "", "", "https://states.cn-north-1.amazonaws.com.cn"},
		{"sqs", "us-east-1", "https://sqs.us-west-2.amazonaws.com/1/q", "", "https://sqs.us-west-2.amazonaws.com"},
		{"s3", "us-east-1", "", "bucket", "https://bucket.s3.amazonaws.com"},
		{"s3", "eu-west-1", "", "with.dots", "https://s3.eu-west-1.amazonaws.com"},
	} {
		m := models()[c.service]
		base, given, err := endpoint(t.Context(), aws.Config{Region: c.region}, m, c.host)
		if err != nil {
			t.Fatal(err)
		}
		if c.bucket != "" {
			base, _ = addressed(base, given, message{path: "/" + c.bucket + "/k", bucket: c.bucket})
		}
		if base.String() != c.want {
			t.Errorf("%+v: %s", c, base)
		}
	}
}

// Answers are whatever a peer sends.
func FuzzAnswer(f *testing.F) {
	f.Add("s3", "listObjectsV2", []byte(`<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>`))
	f.Add("dynamodb", "getItem", []byte(`{"Item":{"id":{"S":"1"}}}`))
	f.Add("sns", "publish", []byte(`<PublishResponse><PublishResult/></PublishResponse>`))
	f.Add("lambda", "listFunctions", []byte(`{"Functions":[[]]}`))
	f.Add("sfn", "describeExecution", []byte(`{"startDate":1e400}`))
	f.Fuzz(func(t *testing.T, service, action string, body []byte) {
		m := models()[service]
		if m == nil {
			return
		}
		op, ok := m.Operations[action]
		if !ok {
			return
		}
		v, err := (&reader{m: m}).decode(op, 200, http.Header{}, body)
		if err == nil && v.Kind() != value.Object {
			t.Errorf("%s:%s gives %s", service, action, v)
		}
		m.failure(op, &http.Response{StatusCode: 400, Header: http.Header{}}, body)
	})
}
