package wire

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/anneal-ml/anneal/cloud/cloudtest"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// moto is a moto_server of the test's own, which stands for AWS.
func moto(t *testing.T) *Client {
	url := cloudtest.Moto(t)
	return New(func(context.Context, string) (aws.Config, error) {
		return aws.Config{Region: "us-east-1", BaseEndpoint: &url, HTTPClient: http.DefaultClient, Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")}, nil
	})
}

// What a state machine would do with services, each with what came before: {NAME}
// is the last answer's member of that name. An answer is looked at by a pattern.
func TestMoto(t *testing.T) {
	client := moto(t)
	known := map[string]string{}
	var keep func(v value.Value)
	keep = func(v value.Value) {
		for i := range v.Len() {
			if v.Kind() == value.Object && v.At(i).Kind() == value.String {
				known[v.Key(i)] = v.At(i).Text()
			}
			keep(v.At(i))
		}
	}
	for _, c := range []struct{ call, params, want string }{
		{"s3:createBucket", `{"Bucket":"data"}`, `{.*}`},
		{"s3:putObject", `{"Bucket":"data","Key":"a/b c.json","Body":{"rows":3},"ContentType":"application/json","Metadata":{"by":"test"}}`, `"ETag":`},
		{"s3:getObject", `{"Bucket":"data","Key":"a/b c.json"}`, `"ContentType":"application/json".*"by":"test".*"Body":"{\\"rows\\":3}"`},
		{"s3:headObject", `{"Bucket":"data","Key":"a/b c.json"}`, `"ContentLength":10`},
		{"s3:listObjectsV2", `{"Bucket":"data","Prefix":"a/"}`, `"Key":"a/b c.json".*"KeyCount":1`},
		{"s3:copyObject", `{"Bucket":"data","Key":"copy","CopySource":"data/a/b%20c.json"}`, `"CopyObjectResult":`},
		{"s3:deleteObjects", `{"Bucket":"data","Delete":{"Objects":[{"Key":"copy"}]}}`, `"Deleted":\[{.*"Key":"copy"`},
		{"s3:getObject", `{"Bucket":"data","Key":"copy"}`, `^NoSuchKey`},
		{"s3:listObjects", `{"Bucket":"absent"}`, `^NoSuchBucket`},
		{"s3:listBuckets", `{}`, `"Buckets":\[{.*"CreationDate":"20.*Z".*"Name":"data"`},

		{"dynamodb:createTable", `{"TableName":"t","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`, `"TableDescription":.*"CreationDateTime":"20`},
		{"dynamodb:putItem", `{"TableName":"t","Item":{"id":{"S":"1"},"n":{"N":"5"}}}`, `^{}$`},
		{"dynamodb:updateItem", `{"TableName":"t","Key":{"id":{"S":"1"}},"UpdateExpression":"SET n = n + :one","ExpressionAttributeValues":{":one":{"N":"1"}},"ReturnValues":"UPDATED_NEW"}`, `"n":{"N":"6"}`},
		{"dynamodb:query", `{"TableName":"t","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"1"}}}`, `"Count":1`},
		{"dynamodb:getItem", `{"TableName":"absent","Key":{"id":{"S":"1"}}}`, `^ResourceNotFoundException`},

		{"sqs:createQueue", `{"QueueName":"q"}`, `"QueueUrl":`},
		{"sqs:sendMessage", `{"QueueUrl":"{QueueUrl}","MessageBody":{"a":1}}`, `"MD5OfMessageBody":"[0-9a-f]{32}"`},
		{"sqs:receiveMessage", `{"QueueUrl":"{QueueUrl}","WaitTimeSeconds":5,"MaxNumberOfMessages":10}`, `"Body":"{\\"a\\":1}"`},
		{"sns:createTopic", `{"Name":"n"}`, `"TopicArn":"arn:aws:sns:`},
		{"sns:publish", `{"TopicArn":"{TopicArn}","Message":"hello","MessageAttributes":{"k":{"DataType":"String","StringValue":"v"}}}`, `"MessageId":`},
		{"sns:publish", `{"TopicArn":"arn:aws:sns:us-east-1:123456789012:absent","Message":"hello"}`, `^NotFound`},
		{"eventbridge:putEvents", `{"Entries":[{"Source":"test","DetailType":"d","Detail":{"a":1}}]}`, `"FailedEntryCount":0`},

		{"kms:createKey", `{}`, `"KeyMetadata":.*"CreationDate":"20`},
		{"kms:encrypt", `{"KeyId":"{KeyId}","Plaintext":"aGVsbG8="}`, `"CiphertextBlob":"`},
		{"kms:decrypt", `{"CiphertextBlob":"{CiphertextBlob}"}`, `"Plaintext":"aGVsbG8="`},
		{"kms:describeKey", `{"KeyId":"11111111-2222-3333-4444-555555555555"}`, `^NotFoundException`},
		{"secretsmanager:createSecret", `{"Name":"s","SecretString":"hush"}`, `"VersionId":`},
		{"secretsmanager:getSecretValue", `{"SecretId":"s"}`, `"CreatedDate":"20.*"SecretString":"hush"`},
		{"secretsmanager:getSecretValue", `{"SecretId":"absent"}`, `^ResourceNotFoundException`},
	} {
		service, action, _ := strings.Cut(c.call, ":")
		params := c.params
		for name, text := range known {
			params = strings.ReplaceAll(params, "{"+name+"}", text)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		resp, err := client.Call(ctx, Request{Service: service, Action: action, Params: parse(t, params)})
		cancel()
		got := ""
		var refused *Error
		switch {
		case err == nil:
			got = resp.Output.String()
			keep(resp.Output)
		case errors.As(err, &refused):
			got = refused.Code
		default:
			t.Errorf("%s %s: %v", c.call, params, err)
			continue
		}
		if !regexp.MustCompile("(?s)" + c.want).MatchString(got) {
			t.Errorf("%s %s\n got %s\nwant %s", c.call, params, got, c.want)
		}
	}
}
