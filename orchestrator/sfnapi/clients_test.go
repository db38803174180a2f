package sfnapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// key gives the SDK the key of the tests.
type key struct{ secret string }

func (k key) client(s *service) *sfn.Client {
	return sfn.New(sfn.Options{
		Region: "us-east-1", BaseEndpoint: &s.url, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: keyID, SecretAccessKey: k.secret}, nil
		}),
	})
}

// TestGoSDK uses the API as a program with aws-sdk-go-v2 does, with signatures.
func TestGoSDK(t *testing.T) {
	s := serve(t, newJournal(t), signed)
	c := key{secret}.client(s)
	machine, err := c.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String("m"), Definition: aws.String(activity), RoleArn: aws.String(role), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}, Publish: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	work, err := c.CreateActivity(t.Context(), &sfn.CreateActivityInput{Name: aws.String("work")})
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineVersionArn, Input: aws.String(`{"n":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.GetActivityTask(t.Context(), &sfn.GetActivityTaskInput{ActivityArn: work.ActivityArn, WorkerName: aws.String("w")})
	if err != nil || *task.Input != `{"n":1}` {
		t.Fatalf("task %+v: %v", task, err)
	}
	if _, err := c.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: task.TaskToken, Output: aws.String(`{"done":true}`)}); err != nil {
		t.Fatal(err)
	}
	var history []types.HistoryEvent
	for len(history) == 0 || history[len(history)-1].Type != types.HistoryEventTypeExecutionSucceeded {
		history = nil
		pages := sfn.NewGetExecutionHistoryPaginator(c, &sfn.GetExecutionHistoryInput{ExecutionArn: x.ExecutionArn, MaxResults: 2})
		for pages.HasMorePages() {
			p, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			history = append(history, p.Events...)
		}
	}
	if len(history) != 7 || history[0].Timestamp.IsZero() {
		t.Errorf("%d events, want 7 with times", len(history))
	}
	_, err = c.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(account + "stateMachine:no")})
	if no := (*types.StateMachineDoesNotExist)(nil); !errors.As(err, &no) {
		t.Errorf("%v, want StateMachineDoesNotExist", err)
	}
	if _, err := (key{"wrong"}).client(s).ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{}); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("with a wrong key: %v", err)
	}
}

// TestCLI uses the API by the AWS CLI, with signatures.
func TestCLI(t *testing.T) {
	path, err := exec.LookPath("aws")
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("%v: install the AWS CLI (apt-get install awscli, or pip install awscli)", err)
		}
		t.Skip(err)
	}
	s := serve(t, newJournal(t), signed)
	run := func(args ...string) map[string]any {
		t.Helper()
		c := exec.CommandContext(t.Context(), path, append([]string{"stepfunctions", "--endpoint-url", s.url, "--output", "json"}, args...)...)
		c.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "AWS_") }),
			"AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_DISABLE_HOST_PREFIX_INJECTION=true", "AWS_PAGER=")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("aws %v: %v\n%s", args, err, out)
		}
		var answer map[string]any
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatalf("aws %v: %v\n%s", args, err, out)
		}
		return answer
	}
	arn := text(run("create-state-machine", "--name", "m", "--definition", pass, "--role-arn", role)["stateMachineArn"])
	x := text(run("start-execution", "--state-machine-arn", arn, "--name", "x", "--input", `{"a":1}`)["executionArn"])
	if got := run("describe-execution", "--execution-arn", x); got["output"] != `{"a":1}` || got["status"] != "SUCCEEDED" {
		t.Errorf("%v", got)
	}
	if got := run("test-state", "--definition", `{"Type":"Pass","Result":7,"End":true}`, "--role-arn", role); got["output"] != "7" {
		t.Errorf("%v", got)
	}
}
