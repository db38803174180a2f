package stepfunctions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

// What AWS refuses is one line with a remedy, told once, and over when it is
// over. What may be another time is said to be so.
func TestRefused(t *testing.T) {
	s := serve(t)
	machine := s.create(t, "m", pass, "")
	for i, c := range []struct {
		answer string
		want   string
		later  bool
		quiet  bool // it is about the execution, and nothing is wrong with AWS
	}{
		{answer: "403 AccessDeniedException User is not authorized", want: "AccessDeniedException: grant the role states:StartExecution on the state machine m", later: true},
		{answer: "400 ThrottlingException Rate exceeded", want: "ThrottlingException: AWS asks for fewer requests: they are made fewer", later: true},
		{answer: "403 ExpiredTokenException The security token included in the request is expired", want: "ExpiredTokenException: the credentials have expired: renew them; they are read again at each try", later: true},
		{answer: "403 UnrecognizedClientException The security token included in the request is invalid.", want: "UnrecognizedClientException: the credentials are not known to AWS: correct them", later: true},
		{answer: "403 InvalidSignatureException Signature expired", want: "InvalidSignatureException: the signature is not accepted: set the clock, or correct the secret key", later: true},
		{answer: "400 ExecutionLimitExceeded The maximum number of running executions has been reached.", want: "ExecutionLimitExceeded: the account has as many open executions as it may: stop some, or ask AWS to raise the quota; it is tried again", later: true},
		{answer: "400 KmsAccessDeniedException no", want: "KmsAccessDeniedException: grant the role kms:Decrypt and kms:GenerateDataKey on the key of the state machine", later: true},
		{answer: "400 KmsInvalidStateException no", want: "KmsInvalidStateException: the key of the state machine is disabled or being deleted: enable it", later: true},
		{answer: "500 InternalServerError oh", want: "InternalServerError: oh", later: true},
		{answer: "400 StateMachineDoesNotExist State Machine Does Not Exist", want: "StateMachineDoesNotExist: there is no such state machine, version or alias: correct stateMachine.arn of the policy, or make it"},
		{answer: "400 StateMachineDeleting State Machine is being deleted", want: "StateMachineDeleting: the state machine is being deleted: give the policy another stateMachine.arn"},
		{answer: "400 InvalidArn Invalid Arn", want: "InvalidArn: the ARN is not accepted: correct stateMachine.arn of the policy"},
		{answer: "400 InvalidExecutionInput Invalid State Machine Execution Input", want: "InvalidExecutionInput: the input is not accepted: it is JSON of at most 256 KiB", quiet: true},
	} {
		var log written
		e := s.executor(t, &log, machine)
		s.goesWrong("StartExecution", c.answer)
		name := fmt.Sprintf("x%d", i)
		for range 2 {
			_, err := e.Start(t.Context(), begin(machine, name, `{}`))
			if err == nil || err.Error() != "start execution "+name+": "+c.want || errors.Is(err, orchestrator.ErrUnavailable) != c.later {
				t.Errorf("%s: %v, later %t; want %q, later %t", c.answer, err, errors.Is(err, orchestrator.ErrUnavailable), c.want, c.later)
			}
		}
		wrong, lines := "the state machine m: "+c.want, 1
		if c.quiet {
			wrong, lines = "", 0
		}
		if got := e.Condition(); got != wrong {
			t.Errorf("%s: condition %q, want %q", c.answer, got, wrong)
		}
		s.goesWrong("StartExecution", "")
		if _, err := e.Start(t.Context(), begin(machine, name, `{}`)); err != nil {
			t.Errorf("after %s: %v", c.answer, err)
		}
		if got := e.Condition(); got != "" {
			t.Errorf("after %s: condition %q", c.answer, got)
		}
		if got := strings.Count(log.String(), "aws does not work"); got != lines {
			t.Errorf("%s: told %d times, want %d:\n%s", c.answer, got, lines, &log)
		}
	}
}

// What cannot be started can be stopped.
func TestStoppedBefore(t *testing.T) {
	s := serve(t)
	machine := s.create(t, "m", hold, "")
	e := s.executor(t, io.Discard, machine)
	for _, wrong := range []string{"403 AccessDeniedException no", "400 StateMachineDoesNotExist no"} {
		s.goesWrong("StartExecution", wrong)
		if _, err := e.Start(t.Context(), begin(machine, "one", `{}`)); err == nil {
			t.Fatalf("started despite %s", wrong)
		}
	}
	if err := e.Stop(t.Context(), "one", "Superseded", "newer data"); err != nil {
		t.Errorf("stop: %v", err)
	}
	s.goesWrong("StartExecution", "")
	if x, err := e.Start(t.Context(), begin(machine, "one", `{}`)); err != nil || x.Status != anneal.StatusAborted || x.Error != "Superseded" || x.Ended == nil {
		t.Errorf("started after the stop: %+v, %v", x, err)
	}
	if n := s.executions(t, machine); n != 0 {
		t.Errorf("%d executions, want none", n)
	}
}

// A start whose answer is lost is the start of one execution, whether the SDK
// asks again, this process or the next.
func TestLostAnswer(t *testing.T) {
	s := serve(t)
	machine := s.create(t, "m", hold, "")
	e := s.executor(t, io.Discard, machine)
	s.goesWrong("StartExecution", "lost")
	if _, err := e.Start(t.Context(), begin(machine, "one", `{"a": 1}`)); err != nil {
		t.Errorf("with an answer lost: %v", err)
	}
	s.goesWrong("StartExecution", "lost")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	e.Start(ctx, begin(machine, "two", `{}`)) // the process is gone, say
	next := s.executor(t, io.Discard, machine)
	x, err := next.Start(t.Context(), begin(machine, "two", `{ }`))
	if err != nil || x.Status != anneal.StatusRunning {
		t.Errorf("started again: %+v, %v", x, err)
	}
	if got := s.executions(t, machine); got != 2 {
		t.Errorf("%d executions, want 2", got)
	}

	if err := next.Stop(t.Context(), "two", "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Wait(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	s.goesWrong("RedriveExecution", "lost")
	if x, err := next.Redrive(t.Context(), "two"); err != nil || x.Status != anneal.StatusRunning || x.Redrives != 1 {
		t.Errorf("redriven with an answer lost: %+v, %v", x, err)
	}
}

// What was begun is found by the next process, whatever has become of it and of
// its machine, and is not begun again.
func TestAdopt(t *testing.T) {
	s := serve(t)
	machine := s.create(t, "m", hold, "")
	first := s.executor(t, io.Discard, machine)
	for i := range 20 {
		if _, err := first.Start(t.Context(), begin(machine, fmt.Sprint("x", i), `{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Stop(t.Context(), "x7", "Why", "not"); err != nil {
		t.Fatal(err)
	}
	starts, looks := s.count("StartExecution"), s.count("DescribeExecution")
	s.goesWrong("StartExecution", "400 StateMachineDoesNotExist gone")
	s.goesWrong("DescribeStateMachine", "400 StateMachineDeleting going")
	next := s.executor(t, io.Discard, machine)
	results := make(chan orchestrator.Execution)
	for i := range 20 {
		go func() {
			in := begin(machine, fmt.Sprint("x", i), `{}`)
			in.Begun = true
			x, err := next.Start(t.Context(), in)
			if err != nil {
				t.Error(err)
			}
			results <- x
		}()
	}
	for range 20 {
		x, want := <-results, anneal.StatusRunning
		if x.Name == "x7" {
			want = anneal.StatusAborted
		}
		if x.Status != want || x.ARN != account+"execution:m:"+x.Name {
			t.Errorf("adopted %+v, want it %s", x, want)
		}
	}
	if got := s.count("StartExecution") - starts; got != 0 {
		t.Errorf("%d calls of StartExecution, want none", got)
	}
	if got := s.count("DescribeExecution") - looks; got > 10 {
		t.Errorf("20 executions were found by %d calls of DescribeExecution, want few: the list has them", got)
	}
	// Without a record of the beginning, too.
	if x, err := next.Start(t.Context(), begin(machine, "x3", `{}`)); err != nil || x.Status != anneal.StatusRunning {
		t.Errorf("its machine is gone: %+v, %v", x, err)
	}
}

// A version and an alias are started; their executions are those of the machine.
func TestQualified(t *testing.T) {
	s := serve(t)
	machine := s.create(t, "m", hold, "")
	version, err := s.client.PublishStateMachineVersion(t.Context(), &sfn.PublishStateMachineVersionInput{StateMachineArn: &machine})
	if err != nil {
		t.Fatal(err)
	}
	alias, err := s.client.CreateStateMachineAlias(t.Context(), &sfn.CreateStateMachineAliasInput{Name: aws.String("PROD"),
		RoutingConfiguration: []types.RoutingConfigurationListItem{{StateMachineVersionArn: version.StateMachineVersionArn, Weight: 100}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, arn := range map[string]string{"by-version": *version.StateMachineVersionArn, "by-alias": *alias.StateMachineAliasArn} {
		e := s.executor(t, io.Discard, arn)
		for range 2 {
			x, err := e.Start(t.Context(), begin(arn, name, `{}`))
			if err != nil || x.ARN != account+"execution:m:"+name || x.Machine != machine {
				t.Errorf("%s: %+v, %v", name, x, err)
			}
		}
		if err := e.Stop(t.Context(), name, strings.Repeat("é", 300), "c"); err != nil {
			t.Fatal(err)
		}
		if x, err := e.Wait(t.Context(), name); err != nil || len([]rune(x.Error)) != 256 {
			t.Errorf("%s: %+v, %v; want its error cut to 256 letters", name, x, err)
		}
		out, err := s.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(account + "execution:m:" + name)})
		if err != nil || aws.ToString(out.StateMachineVersionArn) != *version.StateMachineVersionArn {
			t.Errorf("%s ran %v, %v", name, aws.ToString(out.StateMachineVersionArn), err)
		}
	}
}

// An Express execution is begun once, gives its result and nothing else.
func TestExpress(t *testing.T) {
	s := serve(t)
	machine := s.create(t, "quick", pass, types.StateMachineTypeExpress)
	e := s.executor(t, io.Discard, machine)
	run := func(in orchestrator.StartInput) orchestrator.Execution {
		t.Helper()
		x, err := e.Start(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if !x.Status.Ended() {
			if x, err = e.Wait(t.Context(), in.Name); err != nil {
				t.Fatal(err)
			}
		}
		return x
	}
	for range 2 {
		if x := run(begin(machine, "one", `{"a":1}`)); x.Status != anneal.StatusSucceeded || string(x.Output) != `{"a":1}` || !strings.Contains(x.ARN, ":express:quick:one:") {
			t.Errorf("it came to %+v", x)
		}
	}
	if _, err := e.Start(t.Context(), begin(machine, "one", `{}`)); !errors.Is(err, orchestrator.ErrExecutionExists) {
		t.Errorf("with another input: %v", err)
	}
	if _, err := e.History(t.Context(), "one"); !errors.Is(err, orchestrator.ErrNoHistory) {
		t.Errorf("history: %v", err)
	}
	if _, err := e.Redrive(t.Context(), "one"); !errors.Is(err, orchestrator.ErrNotRedrivable) {
		t.Errorf("redrive: %v", err)
	}
	if err := e.Stop(t.Context(), "one", "", ""); err == nil || !strings.Contains(err.Error(), "cannot be stopped") {
		t.Errorf("stop: %v", err)
	}
	begun := begin(machine, "two", `{}`)
	begun.Begun = true
	if x := run(begun); x.Status != anneal.StatusFailed || x.Error != "Anneal.ExecutionLost" {
		t.Errorf("begun by a process that is gone: %+v", x)
	}
	s.goesWrong("StartSyncExecution", "lost")
	if x := run(begin(machine, "three", `{}`)); x.Status != anneal.StatusFailed || x.Error != "Anneal.ExecutionLost" {
		t.Errorf("with its answer lost: %+v", x)
	}
	s.goesWrong("StartSyncExecution", "403 AccessDeniedException no")
	if _, err := e.Start(t.Context(), begin(machine, "four", `{}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Wait(t.Context(), "four"); !errors.Is(err, orchestrator.ErrUnavailable) {
		t.Errorf("denied: %v", err)
	}
	s.goesWrong("StartSyncExecution", "")
	if x := run(begin(machine, "four", `{}`)); x.Status != anneal.StatusSucceeded {
		t.Errorf("once allowed: %+v", x)
	}
	if got := s.count("StartSyncExecution"); got != 4 {
		t.Errorf("%d calls of StartSyncExecution, want 4: one for each, and one that was denied", got)
	}
	if got := s.count("StartExecution"); got != 0 {
		t.Errorf("%d were started that nobody could follow", got)
	}
}

// The key of a machine that may not be used hides data, not the end.
func TestEncrypted(t *testing.T) {
	asked := []string{}
	e := stepfunctions.New(stepfunctions.Config{
		AWS: answering(func(action string, in map[string]any) (int, any) {
			asked = append(asked, fmt.Sprint(action, in["includedData"]))
			if action == "DescribeExecution" && in["includedData"] != "METADATA_ONLY" {
				return 400, map[string]any{"__type": "KmsAccessDeniedException", "message": "no"}
			}
			return 200, map[string]any{"executionArn": in["executionArn"], "name": "x", "status": "FAILED", "error": "E", "startDate": 1.5, "stopDate": 2.5, "redriveStatus": "REDRIVABLE"}
		}),
		Known: func(context.Context, string) (stepfunctions.Known, error) {
			return stepfunctions.Known{Machine: account + "stateMachine:m"}, nil
		},
	})
	x, err := e.Describe(t.Context(), "x")
	if err != nil || x.Status != anneal.StatusFailed || x.Input != nil || x.Fixed != "" || x.Ended == nil {
		t.Errorf("described as %+v, %v", x, err)
	}
	if want := "[DescribeExecution<nil> DescribeExecutionMETADATA_ONLY]"; fmt.Sprint(asked) != want {
		t.Errorf("asked for %v, want %s", asked, want)
	}
}

// An event has the executor look at once, and is not believed.
func TestTold(t *testing.T) {
	s := serve(t)
	machine := s.create(t, "m", hold, "")
	e := stepfunctions.New(stepfunctions.Config{
		AWS: func(context.Context, string, time.Duration) (aws.Config, error) { return s.aws(), nil },
		Gap: time.Millisecond,
	})
	if _, err := e.Start(t.Context(), begin(machine, "one", `{}`)); err != nil {
		t.Fatal(err)
	}
	event := func(arn, status string) anneal.Event {
		data, _ := json.Marshal(map[string]string{"executionArn": arn, "status": status})
		return anneal.Event{Source: "aws.states", Type: "Step Functions Execution Status Change", Data: data}
	}
	told := make(chan anneal.Event, 10)
	s.mu.Lock()
	s.tell = func(e anneal.Event) { told <- e }
	s.mu.Unlock()
	for _, ev := range []anneal.Event{
		{Source: "aws.s3", Data: json.RawMessage(`{}`)}, {Source: "aws.states", Data: json.RawMessage(`[`)},
		event(account+"execution:m:one", "RUNNING"), event(account+"execution:other:one", "FAILED"), event("", "FAILED"),
	} {
		e.Told(ev)
	}
	if looks := e.Looks(); looks != 0 {
		t.Errorf("%d looks are due for events that say nothing", looks)
	}
	e.Told(event(account+"execution:m:one", "SUCCEEDED")) // which is not so
	if looks := e.Looks(); looks != 1 {
		t.Errorf("%d looks are due, want 1", looks)
	}
	inBackground(t, e.Run)
	eventually(t, "a look", func() bool { return s.count("DescribeExecution") > 0 })
	if got := e.Following(); got != 1 {
		t.Fatalf("%d are followed, want 1: it runs", got)
	}
	if _, err := s.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(account + "execution:m:one")}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for ev := range told {
			e.Told(ev)
		}
	}()
	if x, err := e.Wait(t.Context(), "one"); err != nil || x.Status != anneal.StatusAborted {
		t.Errorf("it came to %+v, %v", x, err)
	}
}
