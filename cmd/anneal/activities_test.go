package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
)

// TestActivitiesAfterKill has a worker take tasks in the order of their starts, each once,
// also after the daemon was killed.
func TestActivitiesAfterKill(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"anneal.yaml": "listen: 127.0.0.1:0\npolicies: [./policies]\n", "policies/.keep": ""})
	p := begin(t, dir)
	client := func() *sfn.Client {
		t.Helper()
		url, err := os.ReadFile(filepath.Join(dir, "anneal-data", "address-stepfunctions"))
		if err != nil {
			t.Fatal(err)
		}
		return sfn.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(strings.TrimSpace(string(url))),
			Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")})
	}
	c := client()
	activity, err := c.CreateActivity(t.Context(), &sfn.CreateActivityInput{Name: aws.String("work")})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := c.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{Name: aws.String("m"), RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
		Definition: aws.String(`{"StartAt": "W", "States": {"W": {"Type": "Task", "Resource": "` + *activity.ActivityArn + `", "Parameters": {"n.$": "$.i"}, "End": true}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	const many, taken = 60, 20
	for i := range many {
		if _, err := c.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineArn, Input: aws.String(fmt.Sprintf(`{"i":%d}`, i))}); err != nil {
			t.Fatal(err)
		}
	}
	var tokens []*string
	for i := range many {
		if i == taken {
			p.kill()
			p.start()
			p.awaitReady()
			c = client()
		}
		task, err := c.GetActivityTask(t.Context(), &sfn.GetActivityTaskInput{ActivityArn: activity.ActivityArn, WorkerName: aws.String("w")})
		if want := fmt.Sprintf(`{"n":%d}`, i); err != nil || aws.ToString(task.Input) != want {
			t.Fatalf("task %d is %s, %v; want %s", i, aws.ToString(task.Input), err, want)
		}
		tokens = append(tokens, task.TaskToken)
	}
	for i, token := range tokens {
		if _, err := c.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: token, Output: aws.String(`{}`)}); err != nil {
			t.Fatalf("task %d: %v", i, err)
		}
	}
}
