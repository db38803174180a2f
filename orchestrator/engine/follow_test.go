package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// A parent does every effect by an execution that waits for an hour, named child- and the
// effect's execution.
type parent struct {
	world
	e *Engine
}

func (p *parent) Do(ctx context.Context, e asl.Effect, _ bool, submitted func(json.RawMessage)) (asl.Outcome, error) {
	child := "child-" + e.Execution
	if _, err := p.e.Start(ctx, orchestrator.StartInput{Name: child, Depth: 1, Machine: orchestrator.Machine{Name: "child", Definition: []byte(
		`{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}}`)}}); err != nil {
		return asl.Outcome{}, err
	}
	submitted(json.RawMessage(`{}`))
	return asl.Outcome{}, &orchestrator.Until{Execution: child, Outcome: func(x orchestrator.Execution, err error) asl.Outcome {
		switch {
		case err != nil:
			return asl.Outcome{Error: "Unknown", Cause: err.Error()}
		case x.Cause == "panic":
			panic("on purpose")
		}
		return asl.Outcome{Output: fmt.Appendf(nil, `{"child": %q, "error": %q}`, x.Status, x.Error)}
	}}
}

const nested = "arn:aws:states:::states:startExecution.sync"

// Thousands wait for others without a goroutine of their own, in this process and in the
// next, and each hears of its own one's end.
func TestManyFollow(t *testing.T) {
	const many = maxDesks + 200
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		name := func(i int) string { return fmt.Sprint("x-", i) }
		waiting := func(e *Engine) {
			t.Helper()
			synctest.Wait()
			if n := runtime.NumGoroutine(); n > 2*mostFree {
				t.Errorf("%d goroutines wait with %d executions", n, many)
			}
			if desks := atHand(e); desks > maxDesks {
				t.Errorf("%d executions are at hand; want at most %d", desks, maxDesks)
			}
		}
		is := func(e *Engine, i int, want string) {
			t.Helper()
			x, err := e.Describe(t.Context(), name(i))
			if got := fmt.Sprintf("%s %s %s", x.Status, x.Output, x.Error); err != nil || got != want {
				t.Fatalf("%s: %s, %v; want %s", name(i), got, err, want)
			}
		}
		p := &parent{}
		e, stop := engineOn(t, j, p)
		p.e = e
		for i := range many {
			start(t, e, name(i), task(nested, ""), `{}`)
		}
		waiting(e)
		if err := e.Stop(t.Context(), "child-"+name(0), "Enough", ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		is(e, 0, `SUCCEEDED {"child":"ABORTED","error":"Enough"} `)
		stop()

		p.e = readEngine(t, j, p)
		e = p.e
		defer runEngine(t, e)()
		waiting(e)
		for i, cause := range map[int]string{1: "", 2: "panic"} {
			if err := e.Stop(t.Context(), "child-"+name(i), "Enough", cause); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Stop(t.Context(), name(3), "Superseded", ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		is(e, 1, `SUCCEEDED {"child":"ABORTED","error":"Enough"} `)
		is(e, 2, "FAILED  States.Runtime")
		is(e, 4, "RUNNING  ")
		time.Sleep(time.Hour)
		synctest.Wait()
		is(e, 3, "ABORTED  Superseded")
		for i := 4; i < many; i++ {
			is(e, i, `SUCCEEDED {"child":"SUCCEEDED","error":""} `)
		}
		if len(e.follows) != 0 {
			t.Errorf("%d executions that ended are followed", len(e.follows))
		}
	})
}

// What follows an execution that somebody redrives at that instant hears of its end,
// whether it goes on or not.
func TestFollowRedriven(t *testing.T) {
	for _, goesOn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := &parent{}
			e, _ := run(t, new(journal.Memory), p)
			p.e = e
			start(t, e, "x", task(nested, ""), `{}`)
			synctest.Wait()
			e.mu.Lock()
			child := e.open["child-x"]
			followers := e.follows[child]
			delete(e.follows, child) // it has yet to hear of the end
			e.mu.Unlock()
			if len(followers) != 1 {
				t.Fatalf("%d effects follow the child; want the one of its parent", len(followers))
			}
			if err := e.Stop(t.Context(), "child-x", "Enough", ""); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			var want string
			if goesOn {
				want = `{"child":"SUCCEEDED","error":""}`
				if _, err := e.Redrive(t.Context(), "child-x"); err != nil {
					t.Fatal(err)
				}
				e.mu.Lock()
				e.follows[child] = followers
				e.tellFollowers(child)
				e.mu.Unlock()
			} else {
				want = `{"child":"ABORTED","error":"Enough"}`
				held, err := e.reclaim(t.Context(), "child-x")
				if err != nil {
					t.Fatal(err)
				}
				e.mu.Lock()
				follows := e.follow(followers[0])
				e.mu.Unlock()
				if e.release(held); !follows {
					t.Error("what is redriven is not followed")
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			if x, err := e.Wait(ctx, "x"); err != nil || string(x.Output) != want {
				t.Errorf("goes on %t: the parent ended %s %s, %v; want %s", goesOn, x.Status, x.Output, err, want)
			}
		})
	}
}

// Of the children of a map run no more follow others at a time than tasks of theirs may be
// done.
func TestChildrenFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &parent{}
		e, _ := run(t, new(journal.Memory), p)
		p.e = e
		var items []int
		for i := range maxDoing + 10 {
			items = append(items, i)
		}
		input, err := json.Marshal(items)
		if err != nil {
			t.Fatal(err)
		}
		start(t, e, "x", spread(`{"One": {"Type": "Task", "Resource": "`+nested+`", "End": true}}`, ""), string(input))
		synctest.Wait()
		if n := e.Open("child-"); n != maxDoing {
			t.Errorf("%d of %d nested executions are open; want %d", n, len(items), maxDoing)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := e.Open("child-"); n != 10 {
			t.Errorf("%d nested executions are open after the first ones; want the last 10", n)
		}
		if x := wait(t, e, "x"); x.Status != "SUCCEEDED" {
			t.Errorf("the map run ended %s: %s", x.Status, x.Cause)
		}
	})
}
