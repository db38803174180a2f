package sfnapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
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

// TestGoSDKWhole makes every call that the client has, most of them for what it answers
// alone.
func TestGoSDKWhole(t *testing.T) {
	s := serve(t, newJournal(t), signed)
	used := map[string]bool{}
	c := reflect.ValueOf(key{secret}.client(s))
	call := func(operation string, input any) reflect.Value {
		t.Helper()
		used[operation] = true
		// The prefix of a host that no local name has.
		bare := func(o *sfn.Options) {
			o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
				return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("bare", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
					return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
				}), middleware.Before)
			})
		}
		out := c.MethodByName(operation).Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.ValueOf(input), reflect.ValueOf(bare)})
		if err, _ := out[1].Interface().(error); err != nil {
			t.Fatalf("%s: %v", operation, err)
		}
		return out[0].Elem()
	}
	field := func(v reflect.Value, name string) *string { return v.FieldByName(name).Interface().(*string) }
	ended := func(x *string) {
		t.Helper()
		for range 2000 {
			if call("DescribeExecution", &sfn.DescribeExecutionInput{ExecutionArn: x}).FieldByName("StopDate").Interface().(*time.Time) != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("%s does not end", *x)
	}

	arn := field(call("CreateStateMachine", &sfn.CreateStateMachineInput{Name: aws.String("m"), Definition: aws.String(fails), RoleArn: aws.String(role)}), "StateMachineArn")
	call("UpdateStateMachine", &sfn.UpdateStateMachineInput{StateMachineArn: arn, RoleArn: aws.String(role + "2")})
	call("DescribeStateMachine", &sfn.DescribeStateMachineInput{StateMachineArn: arn})
	call("ListStateMachines", &sfn.ListStateMachinesInput{})
	call("ValidateStateMachineDefinition", &sfn.ValidateStateMachineDefinitionInput{Definition: aws.String(fails)})
	call("TestState", &sfn.TestStateInput{Definition: aws.String(`{"Type":"Pass","End":true}`)})
	call("TagResource", &sfn.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	call("UntagResource", &sfn.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"k"}})
	call("ListTagsForResource", &sfn.ListTagsForResourceInput{ResourceArn: arn})

	version := field(call("PublishStateMachineVersion", &sfn.PublishStateMachineVersionInput{StateMachineArn: arn}), "StateMachineVersionArn")
	call("ListStateMachineVersions", &sfn.ListStateMachineVersionsInput{StateMachineArn: arn})
	routes := []types.RoutingConfigurationListItem{{StateMachineVersionArn: version, Weight: 100}}
	alias := field(call("CreateStateMachineAlias", &sfn.CreateStateMachineAliasInput{Name: aws.String("a"), RoutingConfiguration: routes}), "StateMachineAliasArn")
	call("UpdateStateMachineAlias", &sfn.UpdateStateMachineAliasInput{StateMachineAliasArn: alias, RoutingConfiguration: routes})
	call("DescribeStateMachineAlias", &sfn.DescribeStateMachineAliasInput{StateMachineAliasArn: alias})
	call("ListStateMachineAliases", &sfn.ListStateMachineAliasesInput{StateMachineArn: arn})
	call("DeleteStateMachineAlias", &sfn.DeleteStateMachineAliasInput{StateMachineAliasArn: alias})
	call("DeleteStateMachineVersion", &sfn.DeleteStateMachineVersionInput{StateMachineVersionArn: version})

	x := field(call("StartExecution", &sfn.StartExecutionInput{StateMachineArn: arn}), "ExecutionArn")
	ended(x)
	call("ListExecutions", &sfn.ListExecutionsInput{StateMachineArn: arn})
	call("GetExecutionHistory", &sfn.GetExecutionHistoryInput{ExecutionArn: x})
	call("DescribeStateMachineForExecution", &sfn.DescribeStateMachineForExecutionInput{ExecutionArn: x})
	call("RedriveExecution", &sfn.RedriveExecutionInput{ExecutionArn: x})
	ended(x)
	call("StopExecution", &sfn.StopExecutionInput{ExecutionArn: x})
	express := field(call("CreateStateMachine", &sfn.CreateStateMachineInput{Name: aws.String("e"), Definition: aws.String(pass), RoleArn: aws.String(role), Type: types.StateMachineTypeExpress}), "StateMachineArn")
	call("StartSyncExecution", &sfn.StartSyncExecutionInput{StateMachineArn: express})

	work := field(call("CreateActivity", &sfn.CreateActivityInput{Name: aws.String("work")}), "ActivityArn")
	call("DescribeActivity", &sfn.DescribeActivityInput{ActivityArn: work})
	call("ListActivities", &sfn.ListActivitiesInput{})
	each := field(call("CreateStateMachine", &sfn.CreateStateMachineInput{Name: aws.String("each"), RoleArn: aws.String(role), Definition: aws.String(`{"StartAt":"M","States":{"M":{"Type":"Map","End":true,
		"ToleratedFailurePercentage":100,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"W","States":{"W":{"Type":"Task","Resource":"` + *work + `","End":true}}}}}}`)}), "StateMachineArn")
	x = field(call("StartExecution", &sfn.StartExecutionInput{StateMachineArn: each, Input: aws.String("[1,2]")}), "ExecutionArn")
	token := func() *string {
		return field(call("GetActivityTask", &sfn.GetActivityTaskInput{ActivityArn: work}), "TaskToken")
	}
	first := token()
	run := call("ListMapRuns", &sfn.ListMapRunsInput{ExecutionArn: x}).FieldByName("MapRuns").Index(0)
	call("UpdateMapRun", &sfn.UpdateMapRunInput{MapRunArn: field(run, "MapRunArn"), MaxConcurrency: aws.Int32(1)})
	call("DescribeMapRun", &sfn.DescribeMapRunInput{MapRunArn: field(run, "MapRunArn")})
	call("SendTaskHeartbeat", &sfn.SendTaskHeartbeatInput{TaskToken: first})
	call("SendTaskFailure", &sfn.SendTaskFailureInput{TaskToken: first})
	call("SendTaskSuccess", &sfn.SendTaskSuccessInput{TaskToken: token(), Output: aws.String("1")})
	ended(x)
	call("DeleteActivity", &sfn.DeleteActivityInput{ActivityArn: work})
	call("DeleteStateMachine", &sfn.DeleteStateMachineInput{StateMachineArn: arn})

	for i := range c.NumMethod() {
		if name := c.Type().Method(i).Name; name != "Options" && !used[name] {
			t.Errorf("%s is not called", name)
		}
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
