package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/orchestratortest"
)

func TestContract(t *testing.T) {
	orchestratortest.Test(t, func(t *testing.T) orchestrator.Executor {
		e, _ := run(t, new(journal.Memory), &world{})
		return e
	})
}

// A world is where effects happen. It outlives engines, as real work does.
type world struct {
	// plan says how long an effect takes and how it ends; nil: at once, with
	// its input.
	plan func(asl.Effect) (time.Duration, asl.Outcome)

	mu      sync.Mutex
	works   map[string]*work // by effect ID
	log     []string         // what was asked for
	stopped map[string]bool
}

type work struct {
	begun   time.Time
	end     time.Time
	outcome asl.Outcome
	token   string // by which somebody has yet to tell the outcome
}

func (w *world) begin(e asl.Effect, recovered bool) *work {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.works == nil {
		w.works = map[string]*work{}
	}
	x := w.works[e.ID]
	switch {
	case x == nil:
		x = &work{begun: time.Now(), end: time.Now(), outcome: asl.Outcome{Output: e.Input}}
		if w.plan != nil {
			var d time.Duration
			d, x.outcome = w.plan(e)
			x.end = x.end.Add(d)
		}
		if e.ByToken() {
			x.token = e.Token()
		}
		w.works[e.ID] = x
		w.log = append(w.log, fmt.Sprintf("%s %d begun", e.State, e.Attempt))
	case !recovered:
		w.log = append(w.log, fmt.Sprintf("%s %d begun again", e.State, e.Attempt))
	}
	return x
}

func (w *world) Do(ctx context.Context, e asl.Effect, recovered bool, submitted func(json.RawMessage)) (asl.Outcome, error) {
	x := w.begin(e, recovered)
	if strings.HasSuffix(e.Resource, ".sync") {
		submitted(json.RawMessage(`{"job":"` + e.State + `"}`))
	}
	select {
	case <-time.After(time.Until(x.end)):
		return x.outcome, nil
	case <-ctx.Done():
		return asl.Outcome{}, ctx.Err()
	}
}

func (w *world) Stop(_ context.Context, effect string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped == nil {
		w.stopped = map[string]bool{}
	}
	w.stopped[effect] = true
}

func (w *world) Check(r asl.Resource) error {
	if strings.Contains(r.ARN, "nowhere") {
		return errors.New("nothing to call")
	}
	return nil
}

// run starts an engine that ends with the test.
func run(t *testing.T, store journal.Store, tasks Tasks) (*Engine, *journal.Journal) {
	t.Helper()
	j, err := journal.Open(t.Context(), store, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(t.Context(), Config{Journal: j, Tasks: tasks}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		j.Close()
	})
	return e, j
}

func start(t *testing.T, e *Engine, name, definition, input string) {
	t.Helper()
	_, err := e.Start(t.Context(), orchestrator.StartInput{
		Name: name, Machine: orchestrator.Machine{Name: "test", Definition: []byte(definition)}, Input: json.RawMessage(input),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, e *Engine, name string) orchestrator.Execution {
	t.Helper()
	x, err := e.Wait(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// task is a machine of one Task; more is further fields of its state.
func task(resource, more string) string {
	return fmt.Sprintf(`{"StartAt": "Train", "States": {"Train": {"Type": "Task", "Resource": %q, %s "End": true}}}`, resource, more)
}

const (
	trainSync = "arn:aws:states:::sagemaker:createTrainingJob.sync"
	invoke    = "arn:aws:states:::lambda:invoke"
)

func types(events []asl.HistoryEvent) []string {
	var s []string
	for _, e := range events {
		s = append(s, string(e.Type))
	}
	return s
}

func TestTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: func(asl.Effect) (time.Duration, asl.Outcome) {
			return time.Hour, asl.Outcome{Output: json.RawMessage(`{"model": 1}`)}
		}}
		e, _ := run(t, new(journal.Memory), w)
		begun := time.Now()
		start(t, e, "one", task(trainSync, ""), `{}`)
		x := wait(t, e, "one")
		if x.Status != anneal.StatusSucceeded || string(x.Output) != `{"model":1}` || time.Since(begun) != time.Hour {
			t.Errorf("%+v after %v", x, time.Since(begun))
		}
		events, err := e.History(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"}
		if diff := cmp.Diff(want, types(events)); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		if len(e.open) != 0 || len(e.times) != 0 {
			t.Errorf("an ended execution is kept: %d open, %d timed", len(e.open), len(e.times))
		}
	})
}

// Attempts are made when they are due, each as an effect of its own.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		ids := map[string]bool{}
		w := &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
			at = append(at, time.Since(begun))
			ids[e.ID] = true
			if e.Attempt < 2 {
				return 0, asl.Outcome{Error: "AlgorithmError"}
			}
			return 0, asl.Outcome{Output: json.RawMessage(`{}`)}
		}}
		e, _ := run(t, new(journal.Memory), w)
		start(t, e, "one", task(trainSync, `"Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 10}],`), `{}`)
		if x := wait(t, e, "one"); x.Status != anneal.StatusSucceeded {
			t.Errorf("ended %s: %s", x.Status, x.Error)
		}
		if diff := cmp.Diff([]time.Duration{0, 10 * time.Second, 30 * time.Second}, at); diff != "" || len(ids) != 3 {
			t.Errorf("%d effects, at (-want +got):\n%s", len(ids), diff)
		}
	})
}

// What comes too late or again changes nothing.
func TestStaleOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &late{}
		e, j := run(t, new(journal.Memory), w)
		start(t, e, "one", `{"StartAt": "Train", "States": {
			"Train": {"Type": "Task", "Resource": "`+invoke+`", "TimeoutSeconds": 5, "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "Hold"}], "End": true},
			"Hold": {"Type": "Wait", "Seconds": 1000, "End": true}}}`, `{}`)
		time.Sleep(100 * time.Second) // the outcome has come after 60
		synctest.Wait()
		events, err := e.History(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		if last := events[len(events)-1].Type; last != "WaitStateEntered" || !w.stopped {
			t.Errorf("last event %s, effect stopped: %v", last, w.stopped)
		}
		before := j.Last()
		if x := wait(t, e, "one"); x.Status != anneal.StatusSucceeded || j.Last() != before+1 {
			t.Errorf("ended %s with %d more records, want 1", x.Status, j.Last()-before)
		}
	})
}

// late does not listen to Stop.
type late struct{ stopped bool }

func (l *late) Do(ctx context.Context, e asl.Effect, _ bool, submitted func(json.RawMessage)) (asl.Outcome, error) {
	time.Sleep(time.Minute)
	submitted(json.RawMessage(`{}`))
	return asl.Outcome{Output: json.RawMessage(`{}`)}, nil
}
func (l *late) Stop(context.Context, string) { l.stopped = true }
func (l *late) Check(asl.Resource) error     { return nil }

// A failure of one execution is not one of its neighbors.
func TestFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(journal.Memory)
		w := &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
			if strings.Contains(string(e.Input), "panic") {
				panic("a bug")
			}
			return time.Hour, asl.Outcome{Output: json.RawMessage(`{}`)}
		}}
		func() {
			ctx, cancel := context.WithCancel(t.Context())
			j, e := open(t, store, w)
			ended := make(chan error)
			go func() { ended <- e.Run(ctx) }()
			start(t, e, "panics", task(invoke, ""), `{"panic": true}`)
			if x := wait(t, e, "panics"); x.Status != anneal.StatusFailed || x.Error != "States.TaskFailed" || !strings.Contains(x.Cause, "a bug") {
				t.Errorf("panics: %+v", x)
			}
			start(t, e, "lost", task(invoke, ""), `{}`)
			start(t, e, "sound", task(trainSync, ""), `{}`)
			// A definition that a later version can no longer read.
			bad := journal.Record{Kind: KindMachine, Key: Digest([]byte(task(invoke, ""))), Data: []byte("{")}
			if _, err := j.Append(t.Context(), bad); err != nil {
				t.Fatal(err)
			}
			cancel()
			<-ended
			j.Close()
		}()
		e, _ := run(t, store, w)
		if x := wait(t, e, "lost"); x.Status != anneal.StatusFailed || x.Error != "States.Runtime" || x.Ended == nil {
			t.Errorf("lost: %+v", x)
		}
		if x := wait(t, e, "sound"); x.Status != anneal.StatusSucceeded {
			t.Errorf("sound: %+v", x)
		}
		events, err := e.History(t.Context(), "lost")
		if err != nil || types(events)[len(events)-1] != "ExecutionFailed" || int(events[len(events)-1].ID) != len(events) {
			t.Errorf("history of lost: %v, %v", types(events), err)
		}
	})
}

// A messenger hands its work over to somebody who tells the outcome.
type messenger struct {
	mu      sync.Mutex
	tokens  []string
	effects []string
	stopped []string
}

func (w *messenger) Do(_ context.Context, e asl.Effect, _ bool, submitted func(json.RawMessage)) (asl.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = append(w.tokens, e.Token())
	w.effects = append(w.effects, e.ID)
	submitted(json.RawMessage(`{"sent":true}`))
	return asl.Outcome{}, orchestrator.ErrLater
}
func (w *messenger) Stop(_ context.Context, effect string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = append(w.stopped, effect)
}
func (w *messenger) Check(asl.Resource) error { return nil }

// A task that waits for its token ends when somebody who has the token says so,
// through a restart; one that sends no heartbeats times out.
func TestToken(t *testing.T) {
	const definition = `{"StartAt": "Ask", "States": {"Ask": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
		"Parameters": {"token.$": "$$.Task.Token"}, "HeartbeatSeconds": 60, "End": true}}}`
	synctest.Test(t, func(t *testing.T) {
		memory, w := new(journal.Memory), &messenger{}
		j, e := open(t, memory, w)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- e.Run(ctx) }()
		start(t, e, "answered", definition, `{}`)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		j.Close()

		e, _ = run(t, memory, w)
		start(t, e, "silent", definition, `{}`)
		synctest.Wait()
		if len(w.tokens) != 2 {
			t.Fatalf("%d tokens were handed over, want 2", len(w.tokens))
		}
		for range 5 {
			time.Sleep(50 * time.Second)
			if err := e.Heartbeat(t.Context(), w.tokens[0]); err != nil {
				t.Fatal(err)
			}
		}
		if x := wait(t, e, "silent"); x.Status != anneal.StatusFailed || x.Error != asl.ErrTimeout {
			t.Errorf("silent ended %s: %s", x.Status, x.Error)
		}
		if err := e.Heartbeat(t.Context(), w.tokens[1]); !errors.Is(err, ErrTaskClosed) {
			t.Errorf("heartbeat after the end: %v", err)
		}
		if err := e.Resolve(t.Context(), w.tokens[0], asl.Outcome{Output: json.RawMessage(`{"ok":true}`)}); err != nil {
			t.Error(err)
		}
		if err := e.Resolve(t.Context(), w.tokens[0], asl.Outcome{Output: json.RawMessage(`1`)}); !errors.Is(err, ErrTaskClosed) {
			t.Errorf("resolve again: %v", err)
		}
		if x := wait(t, e, "answered"); x.Status != anneal.StatusSucceeded || string(x.Output) != `{"ok":true}` {
			t.Errorf("answered ended %s: %s", x.Status, x.Output)
		}
		if diff := cmp.Diff(w.effects[1:], w.stopped); diff != "" {
			t.Errorf("stopped (-want +got):\n%s", diff)
		}
	})
}

// An execution can be redriven for two weeks, by one of many at a time.
func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: func(asl.Effect) (time.Duration, asl.Outcome) { return time.Minute, asl.Outcome{Error: "Broken"} }}
		e, _ := run(t, new(journal.Memory), w)
		start(t, e, "one", task(trainSync, ""), `{}`)
		wait(t, e, "one")
		time.Sleep(13 * 24 * time.Hour)
		var wg sync.WaitGroup
		var mu sync.Mutex
		done, refused := 0, 0
		for range 8 {
			wg.Go(func() {
				_, err := e.Redrive(t.Context(), "one")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					done++
				case errors.Is(err, orchestrator.ErrNotRedrivable):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done != 1 || refused != 7 {
			t.Errorf("%d of 8 redrove it, %d were refused", done, refused)
		}
		if x := wait(t, e, "one"); x.Error != "Broken" || x.Redrives != 1 || len(w.works) != 2 {
			t.Errorf("ended %s %s after %d redrives and %d effects", x.Status, x.Error, x.Redrives, len(w.works))
		}
		time.Sleep(14*24*time.Hour + time.Second)
		if _, err := e.Redrive(t.Context(), "one"); !errors.Is(err, orchestrator.ErrNotRedrivable) || !strings.Contains(err.Error(), "more than 14 days ago") {
			t.Errorf("after two weeks: %v", err)
		}
		if len(e.open) != 0 || len(e.times) != 0 {
			t.Errorf("an ended execution is kept: %d open, %d timed", len(e.open), len(e.times))
		}
	})
}

func TestCheckedBeforeStart(t *testing.T) {
	e, j := run(t, new(journal.Memory), &world{})
	_, err := e.Start(t.Context(), orchestrator.StartInput{Name: "one", Machine: orchestrator.Machine{Name: "m", Definition: []byte(task("arn:aws:states:::nowhere:go", ""))}})
	if err == nil || !strings.Contains(err.Error(), "start execution one: nothing to call") || j.Last() != 0 {
		t.Errorf("start: %v, %d records", err, j.Last())
	}
	_, err = e.Start(t.Context(), orchestrator.StartInput{Name: "one", Machine: orchestrator.Machine{ARN: "arn:aws:states:::stateMachine:m"}})
	if err == nil || !strings.Contains(err.Error(), "needs the definition") {
		t.Errorf("start by ARN: %v", err)
	}
}

// open is an engine that is not run.
func open(t *testing.T, store journal.Store, tasks Tasks) (*journal.Journal, *Engine) {
	t.Helper()
	j, err := journal.Open(t.Context(), store, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(t.Context(), Config{Journal: j, Tasks: tasks}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return j, e
}

// TestOpen counts executions while others begin, end and are redriven.
func TestOpen(t *testing.T) {
	e, _ := run(t, new(journal.Memory), &world{})
	ctx, stop := context.WithCancel(t.Context())
	var counts sync.WaitGroup
	counts.Go(func() {
		for ctx.Err() == nil {
			if n := e.Open("x"); n > 1 {
				t.Errorf("%d are open; want one at most", n)
			}
		}
	})
	for i := range 50 {
		name := fmt.Sprintf("x%d", i)
		start(t, e, name, `{"StartAt":"A","States":{"A":{"Type":"Fail"}}}`, `{}`)
		wait(t, e, name)
		if _, err := e.Redrive(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		wait(t, e, name)
	}
	stop()
	counts.Wait()
	if n := e.Open(""); n != 0 {
		t.Errorf("%d are open when all have ended", n)
	}
}

// ARNs are of the account and region that the engine was given. What began under
// others keeps them, and is found.
func TestARNs(t *testing.T) {
	j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	in := func(name string) orchestrator.StartInput {
		return orchestrator.StartInput{Name: name, Input: json.RawMessage(`{}`), Machine: orchestrator.Machine{Name: "m", Definition: []byte(
			`{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}}`)}}
	}
	began := map[string]string{}
	for _, c := range []struct{ region, account, name, want string }{
		{"us-east-1", "000000000000", "old", "arn:aws:states:us-east-1:000000000000:execution:m:old"},
		{"", "", "default", "arn:aws:states:us-east-1:123456789012:execution:m:default"},
		{"eu-central-1", "111122223333", "set", "arn:aws:states:eu-central-1:111122223333:execution:m:set"},
	} {
		e, err := New(t.Context(), Config{Journal: j, Tasks: &world{}, Region: c.region, Account: c.account}, nil)
		if err != nil {
			t.Fatal(err)
		}
		x, err := e.Start(t.Context(), in(c.name))
		if machine := strings.Replace(strings.TrimSuffix(c.want, ":"+c.name), ":execution:", ":stateMachine:", 1); err != nil || x.ARN != c.want || x.Machine != machine {
			t.Errorf("%s is %s of %s, %v; want %s", c.name, x.ARN, x.Machine, err, c.want)
		}
		began[c.name] = x.ARN
		for name, arn := range began {
			if x, err := e.Describe(t.Context(), name); err != nil || x.ARN != arn {
				t.Errorf("%s is %s, %v; want %s", name, x.ARN, err, arn)
			}
			if x, err := e.Start(t.Context(), in(name)); err != nil || x.ARN != arn {
				t.Errorf("%s begun again is %s, %v; want %s", name, x.ARN, err, arn)
			}
		}
	}
}
