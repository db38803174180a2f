package stepfunctions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

// answering is AWS without a network, for the bubble of virtual time: answer
// gives status and body.
func answering(answer func(action string, in map[string]any) (int, any)) func(context.Context, string, time.Duration) (aws.Config, error) {
	return func(_ context.Context, region string, _ time.Duration) (aws.Config, error) {
		return aws.Config{
			Region: region, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 1,
			HTTPClient: roundTrip(func(r *http.Request) (*http.Response, error) {
				var in map[string]any
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
					return nil, err
				}
				status, out := answer(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AWSStepFunctions."), in)
				data, err := json.Marshal(out)
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(data)), Request: r}, err
			}),
		}, nil
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

// A crowd is many executions of one machine, each open for a time.
type crowd struct {
	mu    sync.Mutex
	begun time.Time
	lasts map[string]time.Duration // guarded by mu; by name; 0: for ever
	down  bool                     // guarded by mu
	deny  string                   // guarded by mu; an action
	calls []call                   // guarded by mu
}

type call struct {
	action string
	at     time.Duration
}

func (c *crowd) answer(action string, in map[string]any) (int, any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.begun)
	c.calls = append(c.calls, call{action, now})
	seconds := func(d time.Duration) float64 { return float64(c.begun.Add(d).UnixMilli()) / 1000 }
	arn := func(name string) string { return account + "execution:m:" + name }
	runs := func(name string) bool { return c.lasts[name] == 0 || now < c.lasts[name] }
	switch {
	case c.down:
		return 500, map[string]any{"__type": "InternalServerError"}
	case c.deny == action:
		return 403, map[string]any{"__type": "AccessDeniedException"}
	case action == "DescribeStateMachine":
		return 200, map[string]any{"type": "STANDARD"}
	case action == "StartExecution":
		return 200, map[string]any{"executionArn": arn(in["name"].(string)), "startDate": seconds(now)}
	case action == "ListExecutions":
		list := []any{}
		for name := range c.lasts {
			if runs(name) {
				list = append(list, map[string]any{"executionArn": arn(name), "name": name, "status": "RUNNING", "startDate": seconds(0)})
			}
		}
		return 200, map[string]any{"executions": list}
	case action == "DescribeExecution":
		text := in["executionArn"].(string)
		name := text[strings.LastIndexByte(text, ':')+1:]
		if _, is := c.lasts[name]; !is {
			return 400, map[string]any{"__type": "ExecutionDoesNotExist"}
		}
		x := map[string]any{"executionArn": text, "name": name, "status": "RUNNING", "startDate": seconds(0), "input": "{}"}
		if !runs(name) {
			x["status"], x["output"], x["stopDate"] = "SUCCEEDED", "{}", seconds(c.lasts[name])
		}
		return 200, x
	}
	return 400, map[string]any{"__type": "ValidationException", "message": action}
}

// follow has a crowd followed for a time, and answers when each end was seen.
func (c *crowd) follow(t *testing.T, d time.Duration, during func()) map[string]time.Duration {
	c.begun = time.Now()
	e := stepfunctions.New(stepfunctions.Config{AWS: answering(c.answer)})
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	var loop, waits sync.WaitGroup
	loop.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	seen := map[string]time.Duration{}
	var mu sync.Mutex
	for name := range c.lasts {
		waits.Go(func() {
			if _, err := e.Start(ctx, begin(account+"stateMachine:m", name, `{}`)); err != nil {
				t.Error(err)
			}
			if x, err := e.Wait(ctx, name); err == nil {
				mu.Lock()
				defer mu.Unlock()
				if x.Status == anneal.StatusSucceeded {
					seen[name] = time.Since(c.begun)
				}
			}
		})
	}
	if during != nil {
		during()
	}
	waits.Wait()
	loop.Wait()
	return seen
}

// between counts calls of an action in a span.
func (c *crowd) between(action string, from, to time.Duration) (n int) {
	for _, call := range c.calls {
		if (action == "" || call.action == action) && call.at >= from && call.at < to {
			n++
		}
	}
	return n
}

// A thousand open executions cost a few calls a minute, never more than five a
// second, and each end is seen within two minutes.
func TestManyFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 1000
		if testing.Short() {
			n = 300
		}
		c := &crowd{lasts: map[string]time.Duration{}}
		for i := range n {
			c.lasts[fmt.Sprint("x", i)] = 0
		}
		for i := range 20 {
			c.lasts[fmt.Sprint("x", i)] = 31*time.Minute + time.Duration(i)*20*time.Second
		}
		seen := c.follow(t, 40*time.Minute, nil)
		for i := range 20 {
			name := fmt.Sprint("x", i)
			if late := seen[name] - c.lasts[name]; seen[name] == 0 || late > 2*time.Minute {
				t.Errorf("the end of %s was seen after %s", name, late)
			}
		}
		followed := func(from, to time.Duration) int {
			return c.between("ListExecutions", from, to) + c.between("DescribeExecution", from, to)
		}
		if n := followed(10*time.Minute, 30*time.Minute); n > 2*20 {
			t.Errorf("%d calls in twenty minutes in which nothing happens, want few a minute", n)
		}
		for at := time.Duration(0); at < 40*time.Minute; at += time.Second {
			if n := followed(at, at+time.Second); n > 6 {
				t.Fatalf("%d calls in second %s", n, at)
			}
		}
	})
}

// An execution is looked at soon while it is young.
func TestYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{lasts: map[string]time.Duration{"short": 3 * time.Second, "long": 30 * time.Minute}}
		seen := c.follow(t, time.Hour, nil)
		if late := seen["short"] - 3*time.Second; late > 2*time.Second {
			t.Errorf("the end of a short one was seen after %s", late)
		}
		if late := seen["long"] - 30*time.Minute; late > 75*time.Second {
			t.Errorf("the end of a long one was seen after %s", late)
		}
	})
}

// While AWS is lost it is asked ever more seldom, and what was open is followed
// once it is back. A list that is denied is done without.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{lasts: map[string]time.Duration{}, deny: "ListExecutions"}
		for i := range 10 {
			c.lasts[fmt.Sprint("x", i)] = 10 * time.Minute
		}
		seen := c.follow(t, 3*time.Hour, func() {
			time.Sleep(time.Minute)
			c.mu.Lock()
			c.down = true
			c.mu.Unlock()
			time.Sleep(time.Hour)
			c.mu.Lock()
			c.down = false
			c.mu.Unlock()
		})
		if n := c.between("", 10*time.Minute, time.Hour); n > 80 {
			t.Errorf("%d calls in 50 minutes without AWS", n)
		}
		for name := range c.lasts {
			if seen[name] == 0 || seen[name] > 64*time.Minute {
				t.Errorf("the end of %s was seen after %s, want soon after AWS was back", name, seen[name])
			}
		}
	})
}

// What Step Functions no longer has does not stay open for ever.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{lasts: map[string]time.Duration{}}
		e := stepfunctions.New(stepfunctions.Config{AWS: answering(c.answer)})
		ctx, stop := context.WithCancel(t.Context())
		var loop sync.WaitGroup
		loop.Go(func() { e.Run(ctx) })
		in := begin(account+"stateMachine:m", "x", `{}`)
		in.Begun = true
		x, err := e.Start(ctx, in)
		if err != nil || x.Status != anneal.StatusFailed || x.Error != "Anneal.ExecutionLost" || c.between("StartExecution", 0, time.Since(c.begun)) != 0 {
			t.Errorf("it came to %+v, %v", x, err)
		}
		stop()
		loop.Wait()
	})
}
