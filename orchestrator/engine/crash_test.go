package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

// A breaking store fails an append for good: the process is gone as far as
// its journal can tell.
type breaking struct {
	journal.Store
	mu     sync.Mutex
	left   int  // appends until it breaks; below 0: never
	stored bool // the frame of the last one is stored all the same
	full   int  // appends that find the disk full first
	count  int
}

var errCrash = errors.New("crash")

func (b *breaking) Append(ctx context.Context, prev uint64, frame []byte) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full > 0 {
		b.full--
		return 0, journal.ErrFull
	}
	b.count++
	if b.left == 0 {
		if b.stored {
			b.Store.Append(ctx, prev, frame)
		}
		return 0, errCrash
	}
	b.left--
	return b.Store.Append(ctx, prev, frame)
}

// A crashStory is one machine that the crash tests run.
type crashStory struct {
	name       string
	definition string
	input      string
	world      func() *world
	begun      int // effects
	stopped    int
	redriven   bool // once, as it has failed
}

var crashStories = []crashStory{
	{"line", story, `{"a": 1}`, storyWorld, 5, 1, false},
	{"wide", wideStory, `{"models": ["a", "b", "c", "d"]}`, wideWorld, 8, 3, false},
	{"deep", deepStory, `{"models": ["a", "b"]}`, deepWorld, 9, 3, true},
	{"spread", spreadStory, `{"models": ["a", "b", "c", "d"]}`, spreadWorld, 5, 0, false},
	{"asked", askedStory, `{}`, askedWorld, 5, 0, false},
	{"cut off", cutOffStory, `{"models": ["a", "b", "c", "d"]}`, spreadWorld, 8, 2, true},
}

// Tasks that wait for their tokens, one after the other, and nothing beside.
const (
	askedStory = `{"StartAt": "First", "States": {
		"First": {` + asking + `, "Next": "Second"}, "Second": {` + asking + `, "Next": "Third"},
		"Third": {` + asking + `, "HeartbeatSeconds": 100, "Next": "Fourth"}, "Fourth": {` + asking + `, "TimeoutSeconds": 100, "Next": "Data"},
		"Data": {"Type": "Task", "Resource": "` + invoke + `", "End": true}}}`
	asking = `"Type": "Task", "Resource": "` + invoke + `.waitForTaskToken", "Parameters": {"token.$": "$$.Task.Token"}`
)

func askedWorld() *world {
	return &world{plan: func(asl.Effect) (time.Duration, asl.Outcome) {
		return 50 * time.Second, asl.Outcome{Output: json.RawMessage(`{}`)}
	}}
}

// A distributed Map, two children at a time, one of which may fail; and one
// beside a state that fails while two of its children run: they are aborted, and
// redriven, and the one that had ended is not.
const (
	spreadStory = `{"StartAt": "Each", "States": {"Each": ` + spreadMap + `, "ToleratedFailureCount": 1, "Next": "Data"},
		"Data": {"Type": "Task", "Resource": "` + invoke + `", "End": true}}}`
	cutOffStory = `{"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "End": true, "Branches": [
		{"StartAt": "Once", "States": {"Once": {"Type": "Task", "Resource": "` + trainSync + `", "End": true}}},
		{"StartAt": "Each", "States": {"Each": ` + spreadMap + `, "ToleratedFailurePercentage": 25, "ResultPath": null, "End": true}}}]}}}`
	spreadMap = `{"Type": "Map", "ItemsPath": "$.models", "ItemSelector": {"name.$": "$$.Map.Item.Value"}, "MaxConcurrency": 2,
		"ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Train", "States": {
			"Train": {"Type": "Task", "Resource": "` + invoke + `", "Next": "Rest"}, "Rest": {"Type": "Wait", "Seconds": 5, "End": true}}}`
)

func spreadWorld() *world {
	var mu sync.Mutex
	once := 0
	return &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		if e.State == "Once" {
			if once++; once == 1 {
				return 43 * time.Second, asl.Outcome{Error: "Broken"}
			}
			return 41 * time.Second, asl.Outcome{Output: json.RawMessage(`{}`)}
		}
		took := map[string]time.Duration{"a": 17, "b": 59, "c": 61, "d": 47}
		var in struct{ Name string }
		json.Unmarshal(e.Input, &in) // it has none but in Train
		if in.Name == "d" {
			return took["d"] * time.Second, asl.Outcome{Error: "Broken", Cause: "d diverged"}
		}
		return took[in.Name] * time.Second, asl.Outcome{Output: e.Input}
	}}
}

// Tasks that wait for their tokens and a nested execution, beside one that
// fails: the others are aborted with it, and all but what had succeeded is
// redriven.
const (
	deepStory = `{"StartAt": "Both", "States": {
	"Both": {"Type": "Parallel", "End": true, "Branches": [
		{"StartAt": "Train", "States": {"Train": {"Type": "Task", "Resource": "` + trainSync + `", "End": true}}},
		{"StartAt": "Nest", "States": {"Nest": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
			"Parameters": {"StateMachineArn": "child", "Input": {"depth": 1}}, "ResultSelector": {"out.$": "$.Output"}, "End": true}}},
		{"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemsPath": "$.models", "End": true, "ItemProcessor": {"StartAt": "Ask", "States": {
			"Ask": {"Type": "Task", "Resource": "` + invoke + `.waitForTaskToken", "HeartbeatSeconds": 100,
				"Parameters": {"name.$": "$", "token.$": "$$.Task.Token"}, "End": true}}}}}}]}}}`
	childStory = `{"StartAt": "Rest", "States": {
		"Rest": {"Type": "Wait", "Seconds": 30, "Next": "Work"},
		"Work": {"Type": "Task", "Resource": "` + invoke + `", "End": true}}}`
)

func deepWorld() *world {
	var mu sync.Mutex
	trained := 0
	return &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		var in struct{ Name string }
		json.Unmarshal(e.Input, &in) // it has none but in Ask
		switch {
		case e.State == "Train":
			if trained++; trained == 1 {
				return 43 * time.Second, asl.Outcome{Error: "Broken"}
			}
			return 41 * time.Second, asl.Outcome{Output: json.RawMessage(`{}`)}
		case in.Name == "a":
			return 17 * time.Second, asl.Outcome{Output: json.RawMessage(`"a"`)}
		case e.State == "Ask":
			return 59 * time.Second, asl.Outcome{Output: json.RawMessage(`"b"`)}
		}
		return 47 * time.Second, asl.Outcome{Output: e.Input}
	}}
}

// nesting does the nested executions of a world by the real tasks, in the
// engine of the process.
type nesting struct {
	*world
	*Engine
	tasks *tasks.Tasks
}

func nest(t *testing.T, w *world) *nesting {
	t.Helper()
	n := &nesting{world: w}
	var err error
	n.tasks, err = tasks.New(tasks.Config{Dir: t.TempDir(), Shim: []string{"none"}, Executor: n, Machines: func() map[string]orchestrator.Machine {
		return map[string]orchestrator.Machine{"child": {Definition: []byte(childStory)}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *nesting) Do(ctx context.Context, e asl.Effect, recovered bool, submitted func(json.RawMessage)) (asl.Outcome, error) {
	nested := strings.Contains(e.Resource, ":startExecution")
	if !nested && !e.ByToken() {
		return n.world.Do(ctx, e, recovered, submitted)
	}
	// One after the other, so that histories can be compared.
	delay := 3 * time.Second
	if strings.Contains(string(e.Input), `"name":"a"`) {
		delay = time.Second
	} else if e.ByToken() {
		delay = 2 * time.Second
	}
	w := n.begin(e, recovered)
	select {
	case <-time.After(time.Until(w.begun.Add(delay))):
	case <-ctx.Done():
		return asl.Outcome{}, ctx.Err()
	}
	if nested {
		return n.tasks.Do(ctx, e, recovered, submitted)
	}
	submitted(json.RawMessage(`{"asked":true}`))
	return asl.Outcome{}, orchestrator.ErrLater
}

func (n *nesting) Check(r asl.Resource) error { return n.world.Check(r) }

// effects stops effects; the engine has a Stop too.
type effects struct{ *nesting }

func (e effects) Stop(ctx context.Context, effect string) {
	e.world.Stop(ctx, effect)
	e.tasks.Stop(ctx, effect)
}

func (n *nesting) Stop(ctx context.Context, name, errorName, cause string) error {
	return n.Engine.Stop(ctx, name, errorName, cause)
}

// answer is somebody who answers what was asked, when its time has come, and
// asks again where a crash kept it from being heard.
func (n *nesting) answer(ctx context.Context) {
	for ctx.Err() == nil {
		n.world.mu.Lock()
		for id, w := range n.works {
			if w.token != "" && !time.Now().Before(w.end) {
				token, outcome := w.token, w.outcome
				n.world.mu.Unlock()
				err := n.Resolve(ctx, token, outcome)
				n.world.mu.Lock()
				if err == nil || errors.Is(err, ErrTaskClosed) || errors.Is(err, ErrNoTask) {
					n.works[id].token = ""
				}
				break
			}
		}
		n.world.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// Several effects at once: a Parallel whose first attempt fails and has the
// Map beside it aborted, with what two of its iterations wait for; the second
// attempt has one iteration that is late.
const wideStory = `{"StartAt": "Both", "States": {
	"Both": {"Type": "Parallel", "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 10, "MaxAttempts": 1}], "End": true, "Branches": [
		{"StartAt": "Data", "States": {"Data": {"Type": "Task", "Resource": "` + trainSync + `", "End": true}}},
		{"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemsPath": "$.models", "MaxConcurrency": 2, "End": true,
			"ItemProcessor": {"StartAt": "Train", "States": {
				"Train": {"Type": "Task", "Resource": "` + invoke + `", "TimeoutSeconds": 300, "Parameters": {"name.$": "$"},
					"Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "Late"}], "End": true},
				"Late": {"Type": "Wait", "Seconds": 30, "End": true}}}}}}]}}}`

func wideWorld() *world {
	var mu sync.Mutex
	data := 0
	return &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		if e.State == "Data" {
			if data++; data == 1 {
				return 41 * time.Second, asl.Outcome{Error: "Broken"}
			}
			return 71 * time.Second, asl.Outcome{Output: json.RawMessage(`{}`)}
		}
		took := map[string]time.Duration{"a": 59, "b": 1000, "c": 83, "d": 17}
		var in struct{ Name string }
		json.Unmarshal(e.Input, &in) // unreachable otherwise: the machine sends it
		return took[in.Name] * time.Second, asl.Outcome{Output: e.Input}
	}}
}

// The machine of the crash tests: a job that fails twice, a function, a wait,
// one that takes too long, and a notice.
const story = `{"StartAt": "Train", "States": {
	"Train": {"Type": "Task", "Resource": "` + trainSync + `", "ResultPath": "$.model",
		"Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 60}], "Next": "Rest"},
	"Rest": {"Type": "Wait", "Seconds": 30, "Next": "Evaluate"},
	"Evaluate": {"Type": "Task", "Resource": "` + invoke + `", "TimeoutSeconds": 100, "ResultPath": "$.evaluation",
		"Catch": [{"ErrorEquals": ["States.Timeout"], "ResultPath": "$.error", "Next": "Tell"}], "End": true},
	"Tell": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "ResultPath": "$.told", "End": true}}}`

func storyWorld() *world {
	return &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
		switch {
		case e.State == "Train" && e.Attempt < 2:
			return time.Minute, asl.Outcome{Error: "States.TaskFailed", Cause: "diverged"}
		case e.State == "Evaluate":
			return time.Hour, asl.Outcome{Output: json.RawMessage(`{}`)}
		}
		return time.Minute, asl.Outcome{Output: json.RawMessage(`{"by":"` + e.State + `"}`)}
	}}
}

// facts are what must not depend on crashes.
type facts struct {
	Execution orchestrator.Execution
	History   []string
	Begun     []string
	Effects   []string
	Stopped   int
	Nested    []string
}

// nestedOf lists the nested executions in a journal and how they ended.
func nestedOf(t *testing.T, j *journal.Journal) (list []string) {
	t.Helper()
	newest := map[string]string{}
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != kindTurn || r.Key == "story" {
			continue
		}
		turn, err := decodeTurn(r)
		if err != nil {
			t.Fatal(err)
		}
		newest[r.Key] = turn.Status
	}
	for key, status := range newest {
		list = append(list, key+" "+status)
	}
	slices.Sort(list)
	return list
}

// tell runs a story to its end over a store, with a new engine after each
// crash; crash says how the nth process ends, or that it does not.
func tell(t *testing.T, c crashStory, crash func(process int, s *breaking)) (facts, int) {
	t.Helper()
	memory, w := new(journal.Memory), c.world()
	n := nest(t, w)
	in := orchestrator.StartInput{Name: "story", Machine: orchestrator.Machine{Name: "story", Definition: []byte(c.definition)}, Input: json.RawMessage(c.input)}
	count := 0
	for process := 0; ; process++ {
		if process > 100 {
			t.Fatal("it does not end")
		}
		store := &breaking{Store: memory, left: -1}
		crash(process, store)
		j, e := open(t, store, effects{n})
		n.Engine = e
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		var others sync.WaitGroup
		others.Go(func() { n.answer(ctx) })
		others.Go(func() {
			if err := n.tasks.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		go func() { ended <- e.Run(ctx); cancel() }()
		// As the controller does: start what is open again, and wait.
		x, err := e.Start(ctx, in)
		if err == nil {
			x, err = e.Wait(ctx, "story")
		}
		if err == nil && c.redriven && x.Redrives == 0 {
			if x.Status != "FAILED" {
				t.Fatalf("it ended %s, want FAILED to be redriven", x.Status)
			}
			select {
			case <-time.After(100 * time.Second): // what was aborted has ended
				if _, err = e.Redrive(ctx, "story"); err == nil {
					_, err = e.Wait(ctx, "story")
				}
			case <-ctx.Done(): // the process has
				err = ctx.Err()
			}
		}
		f := facts{}
		if err == nil {
			var events []asl.HistoryEvent
			f.Execution, err = e.Describe(t.Context(), "story")
			if err == nil {
				events, err = e.History(t.Context(), "story")
			}
			for _, ev := range events {
				f.History = append(f.History, fmt.Sprintf("%d<-%d %s", ev.ID, ev.PreviousID, ev.Type))
			}
		}
		synctest.Wait() // Run acts on the last turn
		cancel()
		runErr := <-ended
		others.Wait()
		if err == nil {
			f.Nested = nestedOf(t, j)
		}
		j.Close()
		count += store.count
		if err != nil {
			if store.left != 0 {
				t.Fatalf("process %d: %v, run: %v", process, err, runErr)
			}
			continue
		}
		f.Execution.Started, f.Execution.Ended, f.Execution.Redriven = nil, nil, nil
		slices.Sort(w.log) // those of one turn begin in any order
		f.Begun, f.Stopped = w.log, len(w.stopped)
		for id := range w.works {
			f.Effects = append(f.Effects, id)
		}
		slices.Sort(f.Effects)
		return f, count
	}
}

// Crash at every append, before and after it became durable, and go on: what
// comes out is what would have come out.
func TestCrashAtEveryAppend(t *testing.T) {
	for _, c := range crashStories {
		t.Run(c.name, func(t *testing.T) { crashEverywhere(t, c) })
	}
}

func crashEverywhere(t *testing.T, c crashStory) {
	var want facts
	var appends int
	synctest.Test(t, func(t *testing.T) {
		want, appends = tell(t, c, func(int, *breaking) {})
	})
	if want.Execution.Status != "SUCCEEDED" || len(want.Begun) != c.begun || want.Stopped != c.stopped || appends < 10 {
		t.Fatalf("undisturbed, after %d appends: %+v", appends, want)
	}
	for _, stored := range []bool{false, true} {
		for at := range appends {
			t.Run(fmt.Sprintf("append %d stored %v", at, stored), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					got, _ := tell(t, c, func(process int, s *breaking) {
						if process == 0 {
							s.left, s.stored = at, stored
						}
					})
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("(-undisturbed +crashed)\n%s", diff)
					}
				})
			})
		}
	}
	t.Run("again and again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got, _ := tell(t, c, func(process int, s *breaking) {
				s.left, s.stored = process%2, true
				if process > 40 {
					s.left = -1
				}
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-undisturbed +crashed)\n%s", diff)
			}
		})
	})
}

func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &breaking{Store: new(journal.Memory), left: -1}
		e, _ := run(t, store, storyWorld())
		start(t, e, "one", story, `{}`)
		store.mu.Lock()
		store.full = 5
		store.mu.Unlock()
		if x := wait(t, e, "one"); x.Status != "SUCCEEDED" {
			t.Errorf("ended %s: %s", x.Status, x.Cause)
		}
		if store.full != 0 {
			t.Errorf("the disk was not full: %d left", store.full)
		}
	})
}

// A restart finds what runs, in a record before the newest one too, and stops
// nothing.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, w := new(journal.Memory), storyWorld()
		j, e := open(t, memory, w)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- e.Run(ctx) }()
		start(t, e, "one", story, `{}`)
		time.Sleep(10 * time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		j.Close()
		if len(w.stopped) != 0 {
			t.Errorf("%d effects were stopped by a restart", len(w.stopped))
		}
		e, _ = run(t, memory, w)
		if x := wait(t, e, "one"); x.Status != "SUCCEEDED" {
			t.Errorf("ended %s: %s", x.Status, x.Cause)
		}
		want := []string{"Train 0 begun", "Train 1 begun", "Train 2 begun", "Evaluate 0 begun", "Tell 0 begun"}
		if diff := cmp.Diff(want, w.log); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
	})
}

// What a fold remembers is the same whether it is made in one go or goes
// through a checkpoint.
func TestFold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, j := run(t, new(journal.Memory), storyWorld())
		start(t, e, "ended", story, `{}`)
		wait(t, e, "ended")
		start(t, e, "open", story, `{}`)
		var whole, parts Fold
		for r, err := range j.Read(t.Context(), 0, false) {
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(whole.Apply(r), parts.Apply(r)); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(parts)
			if err != nil {
				t.Fatal(err)
			}
			parts = Fold{}
			if err := json.Unmarshal(data, &parts); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(whole, parts); diff != "" {
			t.Errorf("(-whole +parts)\n%s", diff)
		}
		if len(whole.Open) != 1 || whole.Open["open"].Seq == 0 || len(whole.Dropped) != 1 {
			t.Errorf("fold %+v, want one open and one dropped", whole)
		}
	})
}
