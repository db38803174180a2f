package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/items"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

func newASLRun() *cobra.Command {
	var out output
	var input, mocks, name, at, settings string
	var virtual bool
	var buckets []string
	r := &rehearsal{}
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a state machine alone, with mocks for its tasks",
		Long: `Run a state machine without a daemon. Its tasks answer what a mock file says, in the
form of Step Functions Local (MockConfigFile.json):

  {"StateMachines": {"pipeline": {"TestCases": {"Happy": {"Train": "TrainRetried"}}}},
   "MockedResponses": {"TrainRetried": {
     "0-1": {"Throw": {"Error": "SageMaker.ResourceLimitExceeded", "Cause": "busy"}},
     "2":   {"Return": {"TrainingJobStatus": "Completed"}}}}}

A state's first task gets the response 0, its second 1, whether it is tried again or
comes again. The machine is the only one of the mock file, the one named like FILE
without its extensions, or that of --name.

With --config what the mocks do not answer is done as a settings file says: its functions
and images run, topics are told of on standard error instead, and buckets are folders.
Nothing goes to AWS.

A distributed Map runs its children here. Its ItemReader reads buckets that are
folders, as --bucket or the settings say; else give the state itself a response, which
is its result.

Waits take their time; with --virtual-time they take none, and the clock goes on by
itself. The history is printed, then how it ended. Exit status 1 if it did not succeed.
Where it cannot go on, as a task has no answer, the history up to there is printed, with
the status RUNNING, and the exit status is 2.`,
		Example: "  anneal asl run pipeline.asl.json --input input.json\n  anneal asl run pipeline.asl.json --mocks MockConfigFile.json --case Happy --virtual-time\n  anneal asl run pipeline.asl.json --config anneal.yaml\n  anneal asl run map.asl.json --bucket ml-data=./data",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			definition, err := readDefinition(args[0])
			if err != nil {
				return usage(err)
			}
			machine, err := asl.Parse(definition, args[0])
			if err != nil {
				return usage(err)
			}
			data := []byte("{}")
			if input != "" {
				if data, err = os.ReadFile(input); err != nil {
					return usage(err)
				}
				if _, err := value.Parse(data); err != nil {
					return usage(fmt.Errorf("%s: %w", input, err))
				}
			}
			if r.objects, err = folders(buckets); err != nil {
				return usage(err)
			}
			if settings != "" {
				remove, err := r.settle(settings, cmd.ErrOrStderr())
				if err != nil {
					return usage(err)
				}
				defer remove()
			}
			stem, _, _ := strings.Cut(filepath.Base(args[0]), ".")
			if (mocks == "") != (r.testCase == "") {
				return usage(errors.New("--mocks and --case go together"))
			}
			if mocks != "" {
				text, err := os.ReadFile(mocks)
				if err != nil {
					return usage(err)
				}
				if err := r.read(text, cmp.Or(name, stem), name != ""); err != nil {
					return usage(fmt.Errorf("%s: %w", mocks, err))
				}
			}
			r.machine, r.now = machine, time.Now().UTC()
			if at != "" {
				if r.now, err = time.Parse(time.RFC3339, at); err != nil {
					return usage(fmt.Errorf("--at %s: want a time as 2026-03-01T12:00:00Z", at))
				}
				if !virtual {
					return usage(errors.New("--at goes with --virtual-time"))
				}
			}
			r.wait = realWait
			if virtual {
				r.wait = func(context.Context, time.Time) error { return nil }
			}
			turn, history, stopped := r.run(cmd.Context(), cmp.Or(name, stem), data)
			if err := writeRehearsal(cmd.OutOrStdout(), turn, history, asJSON); err != nil {
				return err
			}
			if stopped != nil {
				return usage(stopped)
			}
			if turn.Status != asl.StatusSucceeded {
				return &exit{exitNo, nil}
			}
			return nil
		},
	}
	c.Flags().StringVar(&input, "input", "", "a file with the input, in JSON; {} without")
	c.Flags().StringVar(&mocks, "mocks", "", "a mock file, as of Step Functions Local")
	c.Flags().StringVar(&r.testCase, "case", "", "the test case of the mock file")
	c.Flags().StringVar(&settings, "config", "", "the settings file, for tasks without a mock; without: none")
	c.Flags().StringVar(&name, "name", "", "the name of the state machine; that of FILE without")
	c.Flags().StringArrayVar(&buckets, "bucket", nil, "a bucket that an ItemReader may read, as name=folder; may be given again")
	c.Flags().BoolVar(&virtual, "virtual-time", false, "let waits take no time")
	c.Flags().StringVar(&at, "at", "", "when a virtual execution begins, as 2026-03-01T12:00:00Z; now without")
	out.flags(c)
	return c
}

// writeRehearsal writes the history of an execution and how it ended.
func writeRehearsal(w io.Writer, turn asl.Turn, history []asl.HistoryEvent, asJSON bool) error {
	if asJSON {
		return writeJSON(w, struct {
			Status string             `json:"status"`
			Output json.RawMessage    `json:"output,omitempty"`
			Error  string             `json:"error,omitempty"`
			Cause  string             `json:"cause,omitempty"`
			Events []asl.HistoryEvent `json:"events"`
		}{turn.Status, turn.Output, turn.Error, turn.Cause, history})
	}
	if err := writeHistory(w, history); err != nil {
		return err
	}
	end := string(turn.Output)
	if turn.Status != asl.StatusSucceeded {
		end = strings.Trim(turn.Error+": "+turn.Cause, ": ")
	}
	_, err := fmt.Fprintln(w, "\n"+strings.TrimRight(turn.Status+" "+printable(end), " "))
	return err
}

// A rehearsal runs one state machine with answers that are known beforehand.
type rehearsal struct {
	testCase string
	answers  map[string]answers // by state
	asked    map[string]int     // how often, by state
	machine  *asl.Machine
	objects  *objects.Store // that an ItemReader may read; nil: none
	tasks    *tasks.Tasks   // that do what has no answer; nil: nothing does
	now      time.Time
	wait     func(ctx context.Context, until time.Time) error
}

// folders are buckets that are given as name=folder; nil where there is none.
func folders(given []string) (*objects.Store, error) {
	if len(given) == 0 {
		return nil, nil
	}
	buckets := map[string]string{}
	for _, g := range given {
		name, folder, ok := strings.Cut(g, "=")
		if !ok {
			return nil, fmt.Errorf("--bucket %s: want name=folder", g)
		}
		folder, err := filepath.Abs(folder)
		if err != nil {
			return nil, fmt.Errorf("--bucket %s: %w", g, err)
		}
		buckets[name] = folder
	}
	store, err := objects.New(objects.Config{Buckets: buckets})
	if err != nil {
		return nil, fmt.Errorf("--bucket: %w", err)
	}
	return store, nil
}

func realWait(ctx context.Context, until time.Time) error {
	select {
	case <-time.After(time.Until(until)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answers are a mocked response: the outcomes of calls, the first of which is 0.
type answers struct {
	name  string
	calls map[int]asl.Outcome
}

// mostCalls is how many calls a response may be for.
const mostCalls = 100_000

// read takes the test case out of a mock file, in the form of Step Functions Local
// ("Mocked service integrations" of its developer guide).
func (r *rehearsal) read(text []byte, machine string, named bool) error {
	if _, err := value.Parse(text); err != nil { // which says where
		return err
	}
	var file struct {
		StateMachines map[string]struct {
			TestCases map[string]map[string]string
		}
		MockedResponses map[string]map[string]struct {
			Return json.RawMessage
			Throw  *struct{ Error, Cause string }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	if !named && len(file.StateMachines) == 1 {
		machine = sortedKeys(file.StateMachines)[0]
	}
	mocked, ok := file.StateMachines[machine]
	if !ok {
		return fmt.Errorf("no state machine %q (have %s): --name", machine, strings.Join(sortedKeys(file.StateMachines), ", "))
	}
	states, ok := mocked.TestCases[r.testCase]
	if !ok {
		return fmt.Errorf("the state machine %s has no test case %q (have %s)", machine, r.testCase, strings.Join(sortedKeys(mocked.TestCases), ", "))
	}
	r.answers = map[string]answers{}
	for _, state := range sortedKeys(states) {
		name := states[state]
		responses, ok := file.MockedResponses[name]
		if !ok {
			return fmt.Errorf("test case %s: no mocked response %q for the state %s (have %s)", r.testCase, name, state, strings.Join(sortedKeys(file.MockedResponses), ", "))
		}
		a := answers{name, map[int]asl.Outcome{}}
		for _, calls := range sortedKeys(responses) {
			x := responses[calls]
			if (x.Return == nil) == (x.Throw == nil) {
				return fmt.Errorf("MockedResponses/%s/%s: must have either Return or Throw", name, calls)
			}
			first, last, err := callsOf(calls)
			if err != nil {
				return fmt.Errorf("MockedResponses/%s: %w", name, err)
			}
			for i := first; i <= last; i++ {
				if _, twice := a.calls[i]; twice {
					return fmt.Errorf("MockedResponses/%s: there are two for call %d", name, i)
				}
				if a.calls[i] = (asl.Outcome{Output: x.Return}); x.Throw != nil {
					a.calls[i] = asl.Outcome{Error: x.Throw.Error, Cause: x.Throw.Cause, Failed: true}
				}
			}
		}
		r.answers[state] = a
	}
	return nil
}

// callsOf reads 0 or 1-3.
func callsOf(text string) (first, last int, err error) {
	from, to, ranged := strings.Cut(text, "-")
	if !ranged {
		to = from
	}
	if first, err = strconv.Atoi(from); err == nil {
		last, err = strconv.Atoi(to)
	}
	if err != nil || first < 0 || last < first || last >= mostCalls {
		return 0, 0, fmt.Errorf("%q is no call: want a number from 0, or a range as 1-3", text)
	}
	return first, last, nil
}

// run takes an execution from its first turn to its end, or to where it cannot go on,
// which the error tells.
func (r *rehearsal) run(ctx context.Context, name string, input json.RawMessage) (asl.Turn, []asl.HistoryEvent, error) {
	const arn = "arn:aws:states:us-east-1:123456789012:"
	r.asked = map[string]int{}
	return r.drive(ctx, asl.Start(r.machine, asl.ExecutionInfo{
		ARN: arn + "execution:" + name + ":rehearsal", Name: "rehearsal", StateMachineName: name, StateMachineARN: arn + "stateMachine:" + name,
		RoleARN: "arn:aws:iam::123456789012:role/rehearsal", Started: r.now,
	}, input, asl.Env{Now: r.now}))
}

func (r *rehearsal) drive(ctx context.Context, turn asl.Turn) (asl.Turn, []asl.HistoryEvent, error) {
	history, waiting := turn.Events, turn.Effects
	for turn.Status == asl.StatusRunning {
		switch {
		case len(waiting) > 0:
			e := waiting[0]
			outcome, err := r.answer(ctx, turn.State, e)
			if errors.Is(err, errLate) {
				r.now = e.Deadline
				turn = r.machine.Tick(turn.State, asl.Env{Now: r.now})
				break
			}
			if err != nil {
				return turn, history, err
			}
			turn = r.machine.Resolve(turn.State, e.ID, outcome, asl.Env{Now: r.now})
		case turn.Wake.IsZero():
			return turn, history, errors.New("the execution waits for nothing") // unreachable: an effect or a time is waited for
		default:
			if err := r.wait(ctx, turn.Wake); err != nil {
				return turn, history, err
			}
			r.now = turn.Wake
			turn = r.machine.Tick(turn.State, asl.Env{Now: r.now})
		}
		history, waiting = append(history, turn.Events...), append(waiting, turn.Effects...)
		open := turn.State.Effects()
		waiting = slices.DeleteFunc(waiting, func(e asl.Effect) bool { return !slices.Contains(open, e.ID) })
	}
	return turn, history, nil
}

// answer is what the next call of a state comes to.
func (r *rehearsal) answer(ctx context.Context, s *asl.State, e asl.Effect) (asl.Outcome, error) {
	a, ok := r.answers[e.State]
	if !ok && e.MapRun != "" {
		return r.mapRun(ctx, s, e)
	}
	if !ok && r.tasks != nil {
		return r.does(ctx, e)
	}
	if !ok {
		return asl.Outcome{}, r.lacks(e)
	}
	n := r.asked[e.State]
	r.asked[e.State]++
	o, ok := a.calls[n]
	if !ok {
		return o, fmt.Errorf("the state %s calls once more than there are responses: MockedResponses/%s has none for call %d", e.State, a.name, n)
	}
	return o, nil
}

// items are those of a distributed Map.
func (r *rehearsal) items(ctx context.Context, run *asl.MapRun) ([]asl.Item, error) {
	if run.Reader == nil {
		return run.Items(), nil
	}
	if r.objects == nil {
		return nil, fmt.Errorf("it reads its items from %s: give the bucket a folder with --bucket or --config, or the state itself a response, which is its result", run.Reader.Parameters)
	}
	reader, err := items.Open(ctx, r.objects, items.Spec(*run.Reader))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var all []asl.Item
	for {
		x, err := reader.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, asl.Item{Index: len(all), Value: x.Value, Source: x.Source})
	}
}

// mapRun runs the children of a distributed Map, one after the other.
func (r *rehearsal) mapRun(ctx context.Context, s *asl.State, e asl.Effect) (asl.Outcome, error) {
	run, err := r.machine.MapRun(s, e.ID)
	if err != nil {
		return asl.Outcome{}, err
	}
	all, err := r.items(ctx, run)
	var failed *items.Error
	switch {
	case errors.As(err, &failed):
		return asl.Outcome{Error: asl.ErrItemReaderFailed, Cause: failed.Reason}, nil
	case err != nil:
		return asl.Outcome{}, fmt.Errorf("the state %s: %w", e.State, err)
	}
	results, failures, batch := []json.RawMessage{}, int64(0), run.Batch()
	index := 0
	begin := func() error {
		if batch.Len() == 0 {
			return nil
		}
		info := run.Child(index, batch.Len(), r.now)
		turn, _, err := r.drive(ctx, asl.Start(r.machine, info, batch.Input(), asl.Env{Now: r.now}))
		if err != nil {
			return err
		}
		if turn.Status != asl.StatusSucceeded {
			failures += int64(batch.Len())
		}
		results = append(results, run.Results(asl.Child{Info: info, Status: turn.Status, Input: batch.Input(), Output: turn.Output, Error: turn.Error, Cause: turn.Cause, Stopped: r.now})...)
		index, batch = index+1, run.Batch()
		return nil
	}
	for _, item := range all {
		v, err := run.Input(item)
		if fault, ok := err.(interface{ Fault() (string, string) }); ok {
			name, cause := fault.Fault()
			return asl.Outcome{Error: name, Cause: cause}, nil
		}
		if err != nil {
			return asl.Outcome{}, fmt.Errorf("the state %s: %w", e.State, err)
		}
		if !batch.Takes(v) {
			if err := begin(); err != nil {
				return asl.Outcome{}, err
			}
		}
		if batch.Add(v); batch.Full() {
			if err := begin(); err != nil {
				return asl.Outcome{}, err
			}
		}
	}
	if err := begin(); err != nil {
		return asl.Outcome{}, err
	}
	switch {
	case !run.Tolerates(failures, int64(len(all))):
		return asl.NotTolerated(), nil
	case run.Writer.Parameters != nil:
		return asl.Outcome{Output: run.Written()}, nil
	}
	data, err := json.Marshal(results)
	return asl.Outcome{Output: data}, err
}
