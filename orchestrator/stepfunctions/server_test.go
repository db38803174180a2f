package stepfunctions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

const (
	role    = "arn:aws:iam::123456789012:role/r"
	account = "arn:aws:states:us-east-1:123456789012:"

	pass = `{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}`
	hold = `{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":3600,"End":true}}}`
	fail = `{"StartAt":"A","States":{"A":{"Type":"Fail","Error":"TooHard","Cause":"as expected"}}}`
)

// echo is tasks that all succeed with what they were given.
type echo struct{}

func (echo) Do(_ context.Context, e asl.Effect, _ bool, _ func(json.RawMessage)) (asl.Outcome, error) {
	return asl.Outcome{Output: e.Input}, nil
}
func (echo) Stop(context.Context, string) {}
func (echo) Check(asl.Resource) error     { return nil }

// A service is Step Functions' API over HTTP, on an engine that runs, behind a
// wire on which things go wrong.
type service struct {
	url    string
	client *sfn.Client

	mu     sync.Mutex
	counts map[string]int    // guarded by mu; calls, by action
	wrong  map[string]string // guarded by mu; action, or * for all, to "status code message", or lost
	tell   func(anneal.Event)
}

func serve(t testing.TB) *service {
	t.Helper()
	j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	s := &service{counts: map[string]int{}, wrong: map[string]string{}}
	activities := sfnapi.NewActivities(echo{})
	e, err := engine.New(t.Context(), engine.Config{Journal: j, Tasks: activities}, nil)
	if err != nil {
		t.Fatal(err)
	}
	api := sfnapi.New(sfnapi.Config{Journal: j, Engine: e, Activities: activities, Tell: func(_ context.Context, events []anneal.Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range events {
			if s.tell != nil {
				s.tell(e)
			}
		}
		return nil
	}}, sfnapi.Fold{})
	inBackground(t, e.Run)
	inBackground(t, api.Run)
	site := httptest.NewServer(s.wire(api))
	t.Cleanup(site.Close)
	s.url = site.URL
	s.client = sfn.NewFromConfig(s.aws())
	return s
}

// inBackground runs a part until the test is over.
func inBackground(t testing.TB, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// wire hands calls on to the API, unless they are to go wrong. A call that is
// lost is done, and its answer does not come.
func (s *service) wire(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AWSStepFunctions.")
		s.mu.Lock()
		s.counts[action]++
		wrong := s.wrong[action]
		if wrong == "" {
			wrong = s.wrong["*"]
		}
		if wrong == "lost" {
			delete(s.wrong, action)
		}
		s.mu.Unlock()
		switch wrong {
		case "":
			api.ServeHTTP(w, r)
		case "lost":
			api.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			var status int
			var code string
			fmt.Sscan(wrong, &status, &code)
			_, message, _ := strings.Cut(wrong, code+" ")
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazonaws.states#" + code, "message": message})
		}
	})
}

// goesWrong has calls of an action go wrong from here on; empty: no more.
func (s *service) goesWrong(action, wrong string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong[action] = wrong
}

func (s *service) count(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[action]
}

func (s *service) aws() aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.url, RetryMaxAttempts: 2,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}

// create makes a state machine and answers its ARN.
func (s *service) create(t testing.TB, name, definition string, kind types.StateMachineType) string {
	t.Helper()
	m, err := s.client.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{Name: &name, Definition: &definition, RoleArn: aws.String(role), Type: kind})
	if err != nil {
		t.Fatal(err)
	}
	return *m.StateMachineArn
}

// executions is how many executions a state machine has.
func (s *service) executions(t testing.TB, machine string) int {
	t.Helper()
	out, err := s.client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Executions)
}

// executor follows executions on the service; log is where it tells.
func (s *service) executor(t testing.TB, log io.Writer, machine string) *stepfunctions.Executor {
	t.Helper()
	e := stepfunctions.New(stepfunctions.Config{
		AWS: func(_ context.Context, region string, _ time.Duration) (aws.Config, error) {
			with := s.aws()
			with.Region = region
			return with, nil
		},
		Known: func(context.Context, string) (stepfunctions.Known, error) {
			return stepfunctions.Known{Machine: machine}, nil
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
		Gap: time.Millisecond,
	})
	inBackground(t, e.Run)
	return e
}

func begin(machine, name, input string) orchestrator.StartInput {
	return orchestrator.StartInput{Name: name, Machine: orchestrator.Machine{Name: "m", ARN: machine}, Input: json.RawMessage(input)}
}

// eventually waits for what is to become of something.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// A written log may be read while it is written.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
