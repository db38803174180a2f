package integrations

import (
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// TestMisfits reads as what a definition is refused for.
func TestMisfits(t *testing.T) {
	const (
		queue = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
		train = "arn:aws:states:::sagemaker:createTrainingJob.sync"
	)
	for _, c := range []struct{ resource, parameters, want string }{
		{queue, `{"QueueUrl": "q", "MessageBody": {"any": "thing"}}`, ""},
		{queue, `{"QueueUrl.$": "$.q", "MessageBody.$": "$"}`, ""},
		{queue, `{"QueueURL": "q", "MessageBody": "b"}`, ""},
		{queue, `{"QueueUrl": "q"}`, "The field 'MessageBody' is required but was missing"},
		{queue, `{"queueUrl": "q", "MessageBody": "b"}`, "The field 'queueUrl' is not supported by Step Functions; The field 'QueueUrl' is required but was missing"},
		{queue, `{"QueueUrl": "q", "MessageBody": "b", "MessageAttributes": {"a": {"StringValue": "s", "Typ.$": "$.t"}}}`,
			"The field 'Typ' is not supported by Step Functions; The field 'DataType' is required but was missing"},
		{queue, `{"QueueUrl": "q", "MessageBody": "b", "MessageAttributes.$": "$.all"}`, ""},
		{train, `{"TrainingJobName": "t", "RoleArn": "r", "OutputDataConfig": {"S3OutputPath": "s"}, "Tags": [{"key": "k", "Value": "v"}]}`,
			"The field 'key' is not supported by Step Functions; The field 'Key' is required but was missing"},
		{"arn:aws:states:::eks:call", `{"any": "thing"}`, ""},
		{"arn:aws:states:::sqs:sendMessages", `{"any": "thing"}`, ""},
		{"arn:aws:lambda:us-east-1:123456789012:function:f", `{"any": "thing"}`, ""},
	} {
		parameters, err := value.ParseString(c.parameters)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Misfits(c.resource, parameters, false), "; "); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.resource, c.parameters, got, c.want)
		}
	}
	arguments, _ := value.ParseString(`{"QueueUrl": "{% $q %}", "MessageBody.$": "$"}`)
	want := "The field 'MessageBody.$' is not supported by Step Functions; The field 'MessageBody' is required but was missing"
	if got := strings.Join(Misfits(queue, arguments, true), "; "); got != want {
		t.Errorf("in JSONata: %s", got)
	}
}
