package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// spread is a machine of one distributed Map; more is further fields of it.
func spread(states, more string) string {
	return fmt.Sprintf(`{"StartAt": "Each", "States": {"Each": {"Type": "Map", "Label": "each", %s "End": true,
		"ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "One", "States": %s}}}}`, more, states)
}

const (
	passing = `{"One": {"Type": "Pass", "End": true}}`
	calling = `{"One": {"Type": "Task", "Resource": "` + invoke + `", "End": true}}`
	fromS3  = `"ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"}, "Parameters": {"Bucket": "b", "Key": "in.jsonl"}},`
	toS3    = `"ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "out/"}},`
)

// runWith starts an engine over a bucket b in dir.
func runWith(t *testing.T, store journal.Store, tasks Tasks, dir string) *Engine {
	t.Helper()
	s, err := objects.New(objects.Config{Buckets: map[string]string{"b": dir}})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), store, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(t.Context(), Config{Journal: j, Tasks: tasks, Objects: s}, nil)
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
	return e
}

// mapRunOf is the only map run of an execution, which is listed as soon as it has begun.
func mapRunOf(t *testing.T, e *Engine, name string) MapRun {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		runs, err := e.MapRuns(t.Context(), name)
		if err == nil && len(runs) == 1 {
			return runs[0]
		}
		if err != nil || len(runs) > 1 || time.Now().After(deadline) {
			t.Fatalf("%d map runs, %v; want one", len(runs), err)
		}
	}
}

// What is read and written, and what is told of it.
func TestReadAndWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.jsonl"), []byte("1\n2\n3\n4\n5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
		if strings.Contains(string(e.Input), "3") {
			return 0, asl.Outcome{Error: "Broken", Cause: "it is 3"}
		}
		return 0, asl.Outcome{Output: e.Input}
	}}
	e := runWith(t, new(journal.Memory), w, dir)
	start(t, e, "one", spread(calling, fromS3+toS3+`"ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"of.$": "$.run"}}, "ToleratedFailurePercentage": 40,`), `{"run": "r"}`)
	x := wait(t, e, "one")
	run := mapRunOf(t, e, "one")
	id := asl.MapRunID(run.ARN)
	if want := `{"MapRunArn":"` + run.ARN + `","ResultWriterDetails":{"Bucket":"b","Key":"out/` + id + `/manifest.json"}}`; string(x.Output) != want {
		t.Fatalf("output %s (%s: %s), want %s", x.Output, x.Error, x.Cause, want)
	}
	if run.Status != "SUCCEEDED" || run.Total != 5 || run.Items != (Counts{Succeeded: 3, Failed: 2}) || run.Executions != (Counts{Succeeded: 2, Failed: 1}) || run.Written != 5 {
		t.Errorf("the map run: %+v", run)
	}
	var manifest struct {
		DestinationBucket, MapRunArn string
		ResultFiles                  map[string][]struct {
			Key  string
			Size int64
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "out", id, "manifest.json"))
	if err != nil || json.Unmarshal(data, &manifest) != nil {
		t.Fatalf("manifest %s: %v", data, err)
	}
	if f := manifest.ResultFiles; len(f["SUCCEEDED"]) != 1 || len(f["FAILED"]) != 1 || f["PENDING"] == nil || len(f["PENDING"]) != 0 {
		t.Errorf("manifest %s", data)
	}
	var results []struct{ Name, Status, Input, Output, Error, Cause, ExecutionArn string }
	for _, kind := range []string{"SUCCEEDED", "FAILED"} {
		data, err := os.ReadFile(filepath.Join(dir, manifest.ResultFiles[kind][0].Key))
		if err != nil || json.Unmarshal(data, &results) != nil {
			t.Fatalf("%s: %s, %v", kind, data, err)
		}
		if int64(len(data)) != manifest.ResultFiles[kind][0].Size {
			t.Errorf("%s has %d bytes, the manifest says %d", kind, len(data), manifest.ResultFiles[kind][0].Size)
		}
	}
	if len(results) != 1 || results[0].Input != `{"BatchInput":{"of":"r"},"Items":[3,4]}` || results[0].Error != "Broken" || results[0].Status != "FAILED" {
		t.Errorf("what failed is told as %+v", results)
	}
	children, err := e.MapRunExecutions(t.Context(), run.ARN, 0, 10)
	if err != nil || len(children) != 3 {
		t.Fatalf("%d children, %v", len(children), err)
	}
	if c := children[2]; c.MapRun != run.ARN || string(c.Input) != `{"BatchInput":{"of":"r"},"Items":[5]}` || c.ARN != "arn:aws:states:us-east-1:123456789012:execution:test/each:"+c.Name {
		t.Errorf("the last child: %+v", c)
	}
	history, err := e.History(t.Context(), children[0].Name)
	if err != nil || len(history) != 7 {
		t.Errorf("a child has %d events, %v", len(history), err)
	}
}

// How a map run fails.
func TestMapRunFails(t *testing.T) {
	dir := t.TempDir()
	plan := func(e asl.Effect) (time.Duration, asl.Outcome) {
		if strings.HasPrefix(string(e.Input), `"bad`) {
			return 0, asl.Outcome{Error: "Broken"}
		}
		return time.Hour, asl.Outcome{Output: e.Input}
	}
	for _, c := range []struct{ name, definition, input, error, cause string }{
		{"one failed", spread(calling, ""), `["a", "bad", "b"]`, asl.ErrExceedToleratedFailure, "The specified tolerated failure threshold was exceeded"},
		{"more than the count", spread(calling, `"ToleratedFailureCount": 1,`), `["bad1", "a", "bad2"]`, asl.ErrExceedToleratedFailure, "The specified tolerated failure threshold was exceeded"},
		{"more than the share", spread(calling, `"ToleratedFailurePercentage": 50,`), `["bad1", "bad2", "a"]`, asl.ErrExceedToleratedFailure, "The specified tolerated failure threshold was exceeded"},
		{"nothing to read", spread(passing, fromS3), `{}`, asl.ErrItemReaderFailed, "The specified key does not exist: s3://b/in.jsonl"},
		{"nowhere to write", spread(passing, `"ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "c", "Prefix": "p"}},`), `["a"]`, asl.ErrResultWriterFailed, "not mapped"},
		{"no selector's path", spread(passing, `"ItemSelector": {"x.$": "$.none"},`), `["a"]`, asl.ErrRuntime, "'$.none'"},
		{"too much", spread(passing, ""), `["` + strings.Repeat("a", 90_000) + `", "` + strings.Repeat("b", 90_000) + `", "` + strings.Repeat("c", 81_000) + `"]`, "", ""},
		{"too much, twice", spread(passing, `"ItemSelector": {"a.$": "$$.Map.Item.Value", "b.$": "$$.Map.Item.Value"},`), `["` + strings.Repeat("a", 90_000) + `", "` + strings.Repeat("b", 90_000) + `"]`, asl.ErrDataLimitExceeded, "size exceeding"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := runWith(t, new(journal.Memory), &world{plan: plan}, dir)
			start(t, e, "one", c.definition, c.input)
			x := wait(t, e, "one")
			if x.Error != c.error || !strings.Contains(x.Cause, c.cause) {
				t.Errorf("%s %s: %s; want %s: …%s…", x.Status, x.Error, x.Cause, c.error, c.cause)
			}
			run := mapRunOf(t, e, "one")
			children, err := e.MapRunExecutions(t.Context(), run.ARN, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, child := range children {
				if child.Status == "RUNNING" {
					t.Errorf("child %s runs on", child.Input)
				}
			}
			if run.Status == "RUNNING" || run.Executions.Running != 0 {
				t.Errorf("the map run: %+v", run)
			}
		})
	}
}

// A stop of the execution stops the children; what is changed of a run is
// heeded.
func TestStopAndUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: func(asl.Effect) (time.Duration, asl.Outcome) {
			return time.Hour, asl.Outcome{Output: json.RawMessage(`1`)}
		}}
		e, _ := run(t, new(journal.Memory), w)
		start(t, e, "one", spread(calling, `"MaxConcurrency": 2,`), `[1, 2, 3, 4, 5, 6]`)
		time.Sleep(time.Minute)
		before := mapRunOf(t, e, "one")
		if before.Items != (Counts{Running: 2}) || before.MaxConcurrency != 2 || before.Status != "RUNNING" {
			t.Errorf("before: %+v", before)
		}
		three := 3
		if err := e.UpdateMapRun(t.Context(), before.ARN, MapRunUpdate{MaxConcurrency: &three}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := mapRunOf(t, e, "one"); got.Items.Running != 3 {
			t.Errorf("after the update %d run, want 3", got.Items.Running)
		}
		if err := e.Stop(t.Context(), "one", "", ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := mapRunOf(t, e, "one"); got.Status != "ABORTED" || got.Executions != (Counts{Aborted: 3}) {
			t.Errorf("after the stop: %+v", got)
		}
		if len(w.stopped) != 3 || len(e.open) != 0 || len(e.runs) != 0 || e.children != 0 {
			t.Errorf("%d effects stopped, %d executions and %d map runs left, %d children", len(w.stopped), len(e.open), len(e.runs), e.children)
		}
		if err := e.UpdateMapRun(t.Context(), before.ARN, MapRunUpdate{MaxConcurrency: &three}); !errors.Is(err, ErrMapRunEnded) {
			t.Errorf("an update after the end: %v", err)
		}
		if _, err := e.DescribeMapRun(t.Context(), before.ARN+"x"); !errors.Is(err, ErrNoMapRun) {
			t.Errorf("another map run: %v", err)
		}
	})
}

// crowd counts how many tasks are done at a time.
type crowd struct {
	world
	now, most atomic.Int64
	went      chan struct{}
}

func (c *crowd) Do(ctx context.Context, e asl.Effect, _ bool, _ func(json.RawMessage)) (asl.Outcome, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	select {
	case <-c.went:
	case <-ctx.Done():
	}
	return asl.Outcome{Output: json.RawMessage(`1`)}, nil
}

// Ten thousand children that wait for their tasks are no ten thousand
// goroutines, and small.
func TestManyChildren(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 2_000
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.jsonl"), []byte(strings.Repeat("{\"a\": 1}\n", n)), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &crowd{went: make(chan struct{})}
	e := runWith(t, new(journal.Memory), c, dir)
	start(t, e, "one", spread(calling, fromS3+`"ResultPath": null,`), `{}`)
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		run := mapRunOf(t, e, "one")
		if run.Items.Running == int64(n) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after five minutes: %+v", run)
		}
	}
	// Those that are about to end are counted too.
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > 2*maxDoing; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute there are %d goroutines", runtime.NumGoroutine())
		}
	}
	close(c.went)
	if x := wait(t, e, "one"); x.Status != "SUCCEEDED" {
		t.Errorf("%s %s: %s", x.Status, x.Error, x.Cause)
	}
	if run := mapRunOf(t, e, "one"); run.Executions != (Counts{Succeeded: int64(n)}) || c.most.Load() > maxDoing {
		t.Errorf("%+v, %d tasks at a time", run, c.most.Load())
	}
}

// Nested map runs come to their ends.
func TestNestedMapRuns(t *testing.T) {
	inner := `{"One": {"Type": "Map", "MaxConcurrency": 3, "End": true, "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
		"StartAt": "Two", "States": {"Two": {"Type": "Task", "Resource": "` + invoke + `", "End": true}}}}}`
	e := runWith(t, new(journal.Memory), &world{}, t.TempDir())
	start(t, e, "one", spread(inner, ""), `[[1, 2], [], [3, 4, 5, 6]]`)
	x := wait(t, e, "one")
	if diff := cmp.Diff(`[[1,2],[],[3,4,5,6]]`, string(x.Output)); diff != "" {
		t.Errorf("%s: %s (-want +got)\n%s", x.Error, x.Cause, diff)
	}
	children, err := e.MapRunExecutions(t.Context(), mapRunOf(t, e, "one").ARN, 0, 10)
	if err != nil || len(children) != 3 {
		t.Fatalf("%d children, %v", len(children), err)
	}
	grand, err := e.MapRunExecutions(t.Context(), mapRunOf(t, e, children[2].Name).ARN, 0, 10)
	if err != nil || len(grand) != 4 || !strings.HasPrefix(grand[0].ARN, "arn:aws:states:us-east-1:123456789012:express:test/each/") {
		t.Errorf("%d grandchildren, %v: %+v", len(grand), err, grand)
	}
}

// A map run that is redriven goes on with a child that somebody redrives at that instant,
// whether that comes to something or not.
func TestAdoptRedriven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: func(e asl.Effect) (time.Duration, asl.Outcome) {
			return time.Minute, asl.Outcome{Error: "Broken"}
		}}
		e, _ := run(t, new(journal.Memory), w)
		start(t, e, "x", spread(calling, ""), `[1, 2]`)
		if x := wait(t, e, "x"); x.Error == "" {
			t.Fatalf("ended %s; want it failed", x.Status)
		}
		child := asl.ChildName(asl.MapRunID(mapRunOf(t, e, "x").ARN), 0)
		time.Sleep(time.Minute)
		held, err := e.reclaim(t.Context(), child) // by a redrive
		if err != nil {
			t.Fatal(err)
		}
		w.plan = nil
		if _, err := e.Redrive(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		e.release(held) // which fails
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		x, err := e.Wait(ctx, "x")
		if want := `[1,2]`; err != nil || string(x.Output) != want {
			t.Errorf("the map run came to %s %s %s, %v; want %s", x.Status, x.Output, x.Cause, err, want)
		}
	})
}
