// Package orchestratortest is the contract of [orchestrator.Executor]: one test
// that every implementation passes.
package orchestratortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// The machines of the contract. They call nothing outside.
const (
	pass = `{"StartAt": "Hand on", "States": {"Hand on": {"Type": "Pass", "End": true}}}`
	fail = `{"StartAt": "Give up", "States": {"Give up": {"Type": "Fail", "Error": "TooHard", "Cause": "as expected"}}}`
	wait = `{"StartAt": "Hold", "States": {"Hold": {"Type": "Wait", "Seconds": 100000, "End": true}}}`
)

// Test checks that the executors which open makes keep the contract. Each is
// used by one test, and its executions may run in real or in virtual time.
func Test(t *testing.T, open func(t *testing.T) orchestrator.Executor) {
	start := func(t *testing.T, e orchestrator.Executor, name, definition, input string) orchestrator.Execution {
		t.Helper()
		x, err := e.Start(t.Context(), startInput(name, definition, input))
		if err != nil {
			t.Fatalf("start %s: %v", name, err)
		}
		if x.Name != name || x.ARN == "" || x.Started == nil {
			t.Errorf("start %s: %+v, want its name, an ARN and a start", name, x)
		}
		return x
	}
	end := func(t *testing.T, e orchestrator.Executor, name string, want anneal.Status) orchestrator.Execution {
		t.Helper()
		x, err := e.Wait(t.Context(), name)
		if err != nil {
			t.Fatalf("wait for %s: %v", name, err)
		}
		if x.Status != want {
			t.Errorf("%s ended %s (%s: %s), want %s", name, x.Status, x.Error, x.Cause, want)
		}
		if x.Started == nil || x.Ended == nil || x.Ended.Before(*x.Started) {
			t.Errorf("%s ran from %v to %v", name, x.Started, x.Ended)
		}
		return x
	}
	history := func(t *testing.T, e orchestrator.Executor, name string, last asl.EventType) {
		t.Helper()
		events, err := e.History(t.Context(), name)
		if err != nil {
			t.Fatalf("history of %s: %v", name, err)
		}
		for i, ev := range events {
			if ev.ID != int64(i+1) {
				t.Errorf("history of %s: event %d has ID %d", name, i+1, ev.ID)
			}
		}
		if len(events) == 0 || events[0].Type != asl.ExecutionStarted || events[len(events)-1].Type != last {
			t.Errorf("history of %s has %d events, want it from %s to %s", name, len(events), asl.ExecutionStarted, last)
		}
	}

	t.Run("succeeds", func(t *testing.T) {
		e := open(t)
		start(t, e, "one", pass, `{"rows": 12}`)
		if x := end(t, e, "one", anneal.StatusSucceeded); !sameJSON(x.Output, `{"rows": 12}`) || !sameJSON(x.Input, `{"rows": 12}`) {
			t.Errorf("input %s, output %s, want both {\"rows\": 12}", x.Input, x.Output)
		}
		history(t, e, "one", asl.ExecutionSucceeded)
	})
	t.Run("fails", func(t *testing.T) {
		e := open(t)
		start(t, e, "one", fail, `{}`)
		if x := end(t, e, "one", anneal.StatusFailed); x.Error != "TooHard" || x.Cause != "as expected" {
			t.Errorf("error %q, cause %q", x.Error, x.Cause)
		}
		history(t, e, "one", asl.ExecutionFailed)
	})
	t.Run("starts once", func(t *testing.T) {
		e := open(t)
		first := start(t, e, "open", wait, `{"a": 1, "b": 2}`)
		if again := start(t, e, "open", pass, `{"a":1,"b":2}`); again.Status != anneal.StatusRunning || !again.Started.Equal(*first.Started) || again.ARN != first.ARN {
			t.Errorf("second start gave %+v, want the first %+v", again, first)
		}
		if _, err := e.Start(t.Context(), startInput("open", wait, `{"a": 2}`)); !errors.Is(err, orchestrator.ErrExecutionExists) {
			t.Errorf("start with another input: %v, want %v", err, orchestrator.ErrExecutionExists)
		}
		start(t, e, "ended", pass, `{}`)
		end(t, e, "ended", anneal.StatusSucceeded)
		if again := start(t, e, "ended", pass, `{}`); again.Status != anneal.StatusSucceeded {
			t.Errorf("start of an ended execution gave %s, want it ended", again.Status)
		}
		if _, err := e.Start(t.Context(), startInput("ended", pass, `[]`)); !errors.Is(err, orchestrator.ErrExecutionExists) {
			t.Errorf("start with another input after the end: %v, want %v", err, orchestrator.ErrExecutionExists)
		}
		history(t, e, "ended", asl.ExecutionSucceeded)
	})
	t.Run("starts once for many", func(t *testing.T) {
		e := open(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := e.Start(t.Context(), startInput("one", pass, `{}`)); err != nil {
					t.Errorf("start: %v", err)
				}
			})
		}
		wg.Wait()
		end(t, e, "one", anneal.StatusSucceeded)
		history(t, e, "one", asl.ExecutionSucceeded)
	})
	t.Run("stops", func(t *testing.T) {
		e := open(t)
		start(t, e, "one", wait, `{}`)
		var wg sync.WaitGroup
		wg.Go(func() {
			if x := end(t, e, "one", anneal.StatusAborted); x.Error != "Superseded" || x.Cause != "newer data" {
				t.Errorf("error %q, cause %q", x.Error, x.Cause)
			}
		})
		if err := e.Stop(t.Context(), "one", "Superseded", "newer data"); err != nil {
			t.Errorf("stop: %v", err)
		}
		wg.Wait()
		if err := e.Stop(t.Context(), "one", "Again", ""); err != nil {
			t.Errorf("stop of an ended execution: %v", err)
		}
		if x := end(t, e, "one", anneal.StatusAborted); x.Error != "Superseded" {
			t.Errorf("a second stop changed the error to %q", x.Error)
		}
		history(t, e, "one", asl.ExecutionAborted)
	})
	t.Run("times out", func(t *testing.T) {
		e := open(t)
		in := startInput("one", wait, `{}`)
		in.Timeout = time.Second
		if _, err := e.Start(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		end(t, e, "one", anneal.StatusTimedOut)
		history(t, e, "one", asl.ExecutionTimedOut)
	})
	t.Run("redrives", func(t *testing.T) {
		e := open(t)
		start(t, e, "failed", fail, `{"a": 1}`)
		first := end(t, e, "failed", anneal.StatusFailed)
		x, err := e.Redrive(t.Context(), "failed")
		if err != nil || x.Redrives != 1 || x.ARN != first.ARN || !x.Started.Equal(*first.Started) {
			t.Errorf("redrive gave %+v, %v, want the first time of %+v", x, err, first)
		}
		if x = end(t, e, "failed", anneal.StatusFailed); x.Error != "TooHard" || x.Redrives != 1 || !sameJSON(x.Input, `{"a": 1}`) {
			t.Errorf("it ended as %+v", x)
		}
		history(t, e, "failed", asl.ExecutionFailed)

		start(t, e, "stopped", wait, `{}`)
		if err := e.Stop(t.Context(), "stopped", "", ""); err != nil {
			t.Fatal(err)
		}
		if x, err := e.Redrive(t.Context(), "stopped"); err != nil || x.Status != anneal.StatusRunning || x.Ended != nil {
			t.Errorf("redrive of a stopped execution: %+v, %v", x, err)
		}
		start(t, e, "succeeded", pass, `{}`)
		end(t, e, "succeeded", anneal.StatusSucceeded)
		for _, name := range []string{"stopped", "succeeded"} {
			if _, err := e.Redrive(t.Context(), name); !errors.Is(err, orchestrator.ErrNotRedrivable) {
				t.Errorf("redrive of %s: %v, want %v", name, err, orchestrator.ErrNotRedrivable)
			}
		}
	})
	t.Run("is described while it runs", func(t *testing.T) {
		e := open(t)
		start(t, e, "one", wait, `{}`)
		if x, err := e.Describe(t.Context(), "one"); err != nil || x.Status != anneal.StatusRunning || x.Ended != nil {
			t.Errorf("describe: %+v, %v, want it running", x, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := e.Wait(ctx, "one"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: %v, want %v", err, context.DeadlineExceeded)
		}
	})
	t.Run("knows what it does not know", func(t *testing.T) {
		e := open(t)
		ctx := t.Context()
		calls := map[string]error{}
		_, calls["wait"] = e.Wait(ctx, "none")
		_, calls["describe"] = e.Describe(ctx, "none")
		_, calls["history"] = e.History(ctx, "none")
		calls["stop"] = e.Stop(ctx, "none", "", "")
		_, calls["redrive"] = e.Redrive(ctx, "none")
		for name, err := range calls {
			if !errors.Is(err, orchestrator.ErrNotFound) {
				t.Errorf("%s: %v, want %v", name, err, orchestrator.ErrNotFound)
			}
		}
	})
	t.Run("refuses", func(t *testing.T) {
		e := open(t)
		for name, in := range map[string]orchestrator.StartInput{
			"a name that is too long":  startInput(strings.Repeat("n", 81), pass, `{}`),
			"no name":                  startInput("", pass, `{}`),
			"a name with a slash":      startInput("a/b", pass, `{}`),
			"an input that is no JSON": startInput("one", pass, `{`),
			"an unsound definition":    startInput("one", `{"StartAt": "Nowhere", "States": {}}`, `{}`),
		} {
			if x, err := e.Start(t.Context(), in); err == nil {
				t.Errorf("start with %s gave %+v, want an error", name, x)
			}
		}
		if _, err := e.Describe(t.Context(), "one"); !errors.Is(err, orchestrator.ErrNotFound) {
			t.Errorf("describe: %v, want %v", err, orchestrator.ErrNotFound)
		}
	})
}

func startInput(name, definition, input string) orchestrator.StartInput {
	return orchestrator.StartInput{
		Name:    name,
		Machine: orchestrator.Machine{Name: "contract", Definition: []byte(definition)},
		Input:   json.RawMessage(input),
	}
}

func sameJSON(a json.RawMessage, b string) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal([]byte(b), &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}
