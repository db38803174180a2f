package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// More executions wait than are kept at hand; each goes on when its time comes,
// in this process and in the next.
func TestManyWait(t *testing.T) {
	const many = maxDesks + 200
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		name := func(i int) string { return fmt.Sprint("x-", i) }
		e, stop := engineOn(t, j, &world{})
		for i := range many {
			definition := fmt.Sprintf(`{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": %d, "Next": "P"}, "P": {"Type": "Pass", "End": true}}}`, 60+i%2*3600)
			in := orchestrator.StartInput{Name: name(i), Machine: orchestrator.Machine{Name: "m", Definition: []byte(definition)}, Input: fmt.Appendf(nil, `{"i":%d}`, i)}
			if _, err := e.Start(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if desks := atHand(e); desks > maxDesks {
			t.Errorf("%d executions are at hand; want at most %d", desks, maxDesks)
		}
		if x, err := e.Describe(t.Context(), name(0)); err != nil || x.Status != anneal.StatusRunning || !e.Running(name(0)) {
			t.Errorf("one that is not at hand: %+v, %v; want RUNNING", x, err)
		}
		ended := func(i int) {
			t.Helper()
			x, err := e.Wait(t.Context(), name(i))
			if want := fmt.Sprintf(`{"i":%d}`, i); err != nil || string(x.Output) != want {
				t.Fatalf("execution %d came to %s, %v; want %s", i, x.Output, err, want)
			}
		}
		for i := 0; i < many; i += 2 {
			ended(i)
		}
		if err := e.Stop(t.Context(), name(1), "Enough", ""); err != nil {
			t.Error(err)
		}
		stop()

		e, stop = engineOn(t, j, &world{})
		defer stop()
		if desks := atHand(e); desks > 0 {
			t.Fatalf("%d executions that only wait for a time were read at the start", desks)
		}
		time.Sleep(time.Hour)
		for i := 3; i < many; i += 2 {
			ended(i)
		}
		if x, err := e.Describe(t.Context(), name(1)); err != nil || x.Status != anneal.StatusAborted {
			t.Errorf("the one that was stopped: %+v, %v", x, err)
		}
	})
}

// A clerk hands every effect over: its outcome is told by token.
type clerk struct {
	world
	asked map[string]asl.Effect // guarded by mu; by execution
}

func (c *clerk) Do(_ context.Context, e asl.Effect, _ bool, submitted func(json.RawMessage)) (asl.Outcome, error) {
	c.mu.Lock()
	c.asked[e.Execution] = e
	c.mu.Unlock()
	submitted(json.RawMessage(`{}`))
	return asl.Outcome{}, orchestrator.ErrLater
}

// What waits by token is not read at the start of the next process, but for activities
// that no worker has yet; all is told there as it would have been in this one.
func TestManyWaitByToken(t *testing.T) {
	const many = 2*maxDesks + 400
	kinds := []string{"token", "taken", "queued", "both"}
	definitions := map[string]string{
		"token":  task(invoke+".waitForTaskToken", `"HeartbeatSeconds": 600, "Parameters": {"token.$": "$$.Task.Token"},`),
		"taken":  task("arn:aws:states:us-east-1:123456789012:activity:work", `"HeartbeatSeconds": 600,`),
		"queued": task("arn:aws:states:us-east-1:123456789012:activity:work", `"HeartbeatSeconds": 600,`),
		// Asks in one turn, and waits in another.
		"both": `{"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "End": true, "OutputPath": "$[0]", "Branches": [` +
			task(invoke+".waitForTaskToken", `"HeartbeatSeconds": 600, "Parameters": {"token.$": "$$.Task.Token"},`) + `,
			{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": true}}}]}}}`,
	}
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		name := func(i int) string { return fmt.Sprintf("%s-%d", kinds[i%4], i) }
		before := &clerk{asked: map[string]asl.Effect{}}
		e, stop := engineOn(t, j, before)
		for i := range many {
			start(t, e, name(i), definitions[kinds[i%4]], `{}`)
		}
		synctest.Wait()
		for i := 1; i < many; i += 4 {
			if _, taken, err := e.Begin(t.Context(), before.asked[name(i)].Token(), "w"); err != nil || !taken {
				t.Fatalf("%s is taken: %t, %v", name(i), taken, err)
			}
		}
		synctest.Wait()
		stop()

		after := &clerk{asked: map[string]asl.Effect{}}
		e = readEngine(t, j, after)
		if desks := atHand(e); desks != many/4 {
			t.Errorf("%d executions were read at the start; want the %d that no worker has", desks, many/4)
		}
		defer runEngine(t, e)()
		synctest.Wait()
		for i := range many {
			got, again := after.asked[name(i)]
			if want := kinds[i%4] == "queued"; again != want || again && cmp.Diff(before.asked[name(i)], got) != "" {
				t.Fatalf("%s is asked for again: %t, %+v; before it was %+v", name(i), again, got, before.asked[name(i)])
			}
			if _, taken, err := e.Begin(t.Context(), before.asked[name(i)].Token(), "w"); err != nil || taken != again {
				t.Fatalf("%s is taken after the restart: %t, %v", name(i), taken, err)
			}
		}
		synctest.Wait()
		if desks := atHand(e); desks > maxDesks {
			t.Errorf("%d executions are at hand; want at most %d", desks, maxDesks)
		}
		time.Sleep(500 * time.Second)
		want := map[int]string{}
		for i := range many {
			token := before.asked[name(i)].Token()
			var err error
			switch i / 4 % 5 {
			case 0:
				want[i] = `SUCCEEDED {"by":"hand"} `
				err = e.Resolve(t.Context(), token, asl.Outcome{Output: json.RawMessage(`{"by":"hand"}`)})
			case 1:
				want[i] = "FAILED  Odd"
				err = e.Resolve(t.Context(), token, asl.Outcome{Error: "Odd"})
			case 2:
				want[i] = "ABORTED  Enough"
				err = e.Stop(t.Context(), name(i), "Enough", "")
			case 3:
				want[i] = "RUNNING  "
				err = e.Heartbeat(t.Context(), token)
			case 4:
				want[i] = "FAILED  States.Timeout"
			}
			if err != nil {
				t.Fatalf("%s: %v", name(i), err)
			}
		}
		time.Sleep(500 * time.Second)
		for i := range many {
			x, err := e.Describe(t.Context(), name(i))
			if got := fmt.Sprintf("%s %s %s", x.Status, x.Output, x.Error); err != nil || got != want[i] {
				t.Fatalf("%s: %s, %v; want %s", name(i), got, err, want[i])
			}
		}
	})
}

// engineOn runs an engine on a journal, until stop is called.
func engineOn(t *testing.T, j *journal.Journal, tasks Tasks) (e *Engine, stop func()) {
	t.Helper()
	e = readEngine(t, j, tasks)
	return e, runEngine(t, e)
}

// readEngine is an engine that is yet to be run.
func readEngine(t *testing.T, j *journal.Journal, tasks Tasks) *Engine {
	t.Helper()
	e, err := New(t.Context(), Config{Journal: j, Tasks: tasks}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func runEngine(t *testing.T, e *Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// atHand is how many executions have their desks.
func atHand(e *Engine) (desks int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.open {
		if x.desk != nil {
			desks++
		}
	}
	return desks
}

// A stop that is told as done has ended the execution, also where it comes while that
// begins.
func TestStopWhileStarting(t *testing.T) {
	e, _ := run(t, new(journal.Memory), &world{})
	for i := range 2000 {
		name := fmt.Sprintf("x%d", i)
		var begun sync.WaitGroup
		begun.Go(func() {
			if _, err := e.Start(t.Context(), orchestrator.StartInput{Key: name, Name: name, Input: json.RawMessage(`{}`),
				Machine: orchestrator.Machine{Name: "m", Definition: []byte(`{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}}`)}}); err != nil {
				t.Error(err)
			}
		})
		for e.Stop(t.Context(), name, "Enough", "") != nil {
		}
		begun.Wait()
		if is, err := e.Describe(t.Context(), name); err != nil || is.Status != anneal.StatusAborted {
			t.Fatalf("%s is %s, %v; want ABORTED", name, is.Status, err)
		}
	}
}

// A fold is read as it is written, and as older versions wrote it.
func TestFoldJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 3, 4, 5000, time.UTC)
	want := &Fold{
		Open: map[string]Opened{
			"waits":            {Seq: 7, Wake: at, Idle: true},
			"told":             {Seq: 9, Idle: true},
			"works":            {Seq: 1<<63 - 1},
			"\"odd\" <& name ": {Seq: 8, Wake: at.In(time.FixedZone("", 3600)).UTC()},
		},
		Dropped: []Dropped{{Effect: "e", At: at}},
	}
	var w value.Writer
	if want.Write(&w); w.Err != nil {
		t.Fatal(w.Err)
	}
	plain, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, plain, "", " "); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(w.Text), string(plain), indented.String()} {
		var got *Fold
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s is read otherwise (-want +got):\n%s", text, diff)
		}
	}
	var old Fold
	if err := json.Unmarshal([]byte(`{"open":{"x":7}}`), &old); err != nil || !cmp.Equal(old.Open["x"], Opened{Seq: 7}) {
		t.Errorf("a number alone is read as %+v, %v; want it as that of the record", old.Open["x"], err)
	}
	for _, text := range []string{`{"open":{"x":-1}}`, `{"open":{"x":"y"}}`, `{"open":{"x":{"seq":"y"}}}`, `{"open":{"x":{"seq":1,"wake":"noon"}}}`} {
		if err := json.Unmarshal([]byte(text), new(Fold)); err == nil {
			t.Errorf("%s is read; want an error", text)
		}
	}
}
