package asl

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func machine(t testing.TB, definition string) *Machine {
	t.Helper()
	m, err := Parse([]byte(definition), "test.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEndlessLoop: a machine that runs in a circle ends with the event limit,
// in turns that are bounded.
func TestEndlessLoop(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": true, "Next": "A"}], "Default": "A"}}}`)
	turn := Start(m, info(), nil, Env{Now: start})
	total, last := 0, HistoryEvent{}
	for {
		if n := len(turn.Events); n > turnEvents+2 {
			t.Fatalf("a turn of %d events", n)
		}
		total += len(turn.Events)
		last = turn.Events[len(turn.Events)-1]
		if turn.Status != StatusRunning {
			break
		}
		if !turn.Wake.Equal(start) {
			t.Fatalf("it goes on at %v, want at once", turn.Wake)
		}
		turn = m.Tick(roundTrip(t, turn.State), Env{Now: start})
	}
	if total != MaxEvents || last.ID != MaxEvents || last.Type != ExecutionFailed {
		t.Errorf("%d events, the last is %d %s", total, last.ID, last.Type)
	}
	if want := "The execution reached the maximum number of history events (25000)."; turn.Error != ErrRuntime || turn.Cause != want {
		t.Errorf("got %s: %s", turn.Error, turn.Cause)
	}
}

// TestEndlessBranches: lines that run in circles beside each other go on evenly
// until the event limit, in turns that are bounded.
func TestEndlessBranches(t *testing.T) {
	m := machine(t, `{"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
		{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}},
		{"StartAt": "B", "States": {"B": {"Type": "Pass", "Next": "B"}}}]}}}`)
	turn := Start(m, info(), nil, Env{Now: start})
	entered := map[string]int{}
	for {
		if n := len(turn.Events); n > turnEvents+4 {
			t.Fatalf("a turn of %d events", n)
		}
		for _, e := range turn.Events {
			if e.StateEntered != nil {
				entered[e.StateEntered.Name]++
			}
		}
		if turn.Status != StatusRunning {
			break
		}
		turn = m.Tick(roundTrip(t, turn.State), Env{Now: turn.Wake})
	}
	if turn.State.NextEvent != MaxEvents+1 || turn.Error != ErrRuntime {
		t.Errorf("ended with event %d, %s: %s", turn.State.NextEvent-1, turn.Error, turn.Cause)
	}
	if d := entered["A"] - entered["B"]; d < -30 || d > 30 {
		t.Errorf("%d visits of A, %d of B", entered["A"], entered["B"])
	}
}

// TestWide: what a Map or Parallel holds at once is bounded.
func TestWide(t *testing.T) {
	// A Map in a Map in a Map, each of 1000 items.
	inner := `{"Type": "Wait", "Seconds": 9, "End": true}`
	for i := range 3 {
		inner = fmt.Sprintf(`{"Type": "Map", "ItemsPath": "$$.Execution.Input.list", "ItemProcessor": {"StartAt": "S%d", "States": {"S%d": %s}}, "End": true}`, i, i, inner)
	}
	m := machine(t, `{"StartAt": "M", "States": {"M": `+inner+`}}`)
	turn := Start(m, info(), json.RawMessage(`{"list": [`+strings.Repeat("1,", 999)+`1]}`), Env{Now: start})
	for turn.Status == StatusRunning {
		if n := len(turn.Events); n > turnEvents+3*MaxConcurrency {
			t.Fatalf("a turn of %d events", n)
		}
		turn = m.Tick(turn.State, Env{Now: turn.Wake})
	}
	if turn.Error != ErrRuntime || !strings.Contains(turn.Cause, "history events") {
		t.Errorf("maps: got %s: %s", turn.Error, turn.Cause)
	}

	// Many branches with a large input each.
	var branches []string
	for i := range 400 {
		branches = append(branches, fmt.Sprintf(`{"StartAt": "B%d", "States": {"B%d": {"Type": "Wait", "Seconds": 9, "End": true}}}`, i, i))
	}
	m = machine(t, `{"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": [`+strings.Join(branches, ",")+`], "End": true}}}`)
	turn = Start(m, info(), json.RawMessage(`"`+strings.Repeat("x", 200_000)+`"`), Env{Now: start})
	if turn.Error != ErrDataLimitExceeded || turn.State.Root != nil {
		t.Errorf("branches: got %s: %s", turn.Error, turn.Cause)
	}

	// Maps in Maps with a large input each are too much before that is written 1,600 times.
	inner = `{"Type": "Wait", "Seconds": 9, "End": true}`
	for i := range 2 {
		inner = fmt.Sprintf(`{"Type": "Map", "ItemsPath": "$.l", "ItemSelector": {"l.$": "$.l", "s.$": "$.s"},
			"ItemProcessor": {"StartAt": "S%d", "States": {"S%d": %s}}, "End": true}`, i, i, inner)
	}
	m = machine(t, `{"StartAt": "M", "States": {"M": `+inner+`}}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	turn = Start(m, info(), json.RawMessage(`{"l": [`+strings.Repeat("1,", 99)+`1], "s": "`+strings.Repeat("x", 200_000)+`"}`), Env{Now: start})
	runtime.ReadMemStats(&after)
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; turn.Error != ErrDataLimitExceeded || made > 100 {
		t.Errorf("large maps: got %s: %s, after %d MiB; want at most 100", turn.Error, turn.Cause, made)
	}

	// Outputs that add up to more than a ResultSelector should have to read.
	m = machine(t, `{"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": {"StartAt": "Grow", "States": {
		"Grow": {"Type": "Pass", "Parameters": {"x.$": "$$.Execution.Input"}, "End": true}}}, "ResultSelector": {"n.$": "States.ArrayLength($)"}, "End": true}}}`)
	turn = Start(m, info(), json.RawMessage(`["`+strings.Repeat("x", 100_000)+`"`+strings.Repeat(",1", 99)+`]`), Env{Now: start})
	for turn.Status == StatusRunning {
		turn = m.Tick(turn.State, Env{Now: turn.Wake})
	}
	if turn.Error != ErrDataLimitExceeded {
		t.Errorf("results: got %s: %s", turn.Error, turn.Cause)
	}
}

// TestRoom: a turn is the same in memory that turns before it were made in, and what
// it says of the execution lasts when the memory is cleared.
func TestRoom(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {
		"A": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:f", "ResultPath": "$.a", "Next": "P"},
		"P": {"Type": "Parallel", "Next": "L", "Branches": [
			{"StartAt": "B", "States": {"B": {"Type": "Task", "Resource": "arn:aws:states:::activity:b", "End": true}}},
			{"StartAt": "C", "States": {"C": {"Type": "Pass", "Next": "D"}, "D": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Parameters": {"x.$": "$.a"}, "End": true}}}]},
		"L": {"Type": "Pass", "Result": [1, 2, 3, 4, 5, 6, 7, 8, 9], "Next": "M"},
		"M": {"Type": "Map", "Next": "W", "ItemProcessor": {"StartAt": "N", "States": {"N": {"Type": "Pass", "End": true}}}},
		"W": {"Type": "Wait", "Seconds": 1, "Next": "Z"},
		"Z": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:g", "End": true}}}`)
	execute := func(room *Room) (told []string) {
		input := json.RawMessage(`{"in": "put"}`)
		turn := Start(m, info(), input, Env{Now: start, Room: room})
		for at := start; ; at = at.Add(time.Minute) {
			text, err := json.Marshal(turn)
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, string(text))
			if turn.Status != StatusRunning {
				return told
			}
			s, effects := turn.State, turn.State.Effects()
			before, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if room != nil {
				room.Clear()
			}
			if after, err := json.Marshal(s); err != nil || string(after) != string(before) {
				t.Fatalf("the state is %s, %v; before the room was cleared it was %s", after, err, before)
			}
			if env := (Env{Now: at, Room: room}); len(effects) == 0 {
				turn = m.Tick(s, env)
			} else {
				turn = m.Resolve(s, effects[0], Outcome{Output: input}, env)
			}
		}
	}
	want := execute(nil)
	room := &Room{}
	for range 3 {
		got := execute(room)
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("turn %d of %d, want %d:\n%s\nwant\n%s", i, len(got), len(want), got[min(i, len(got)-1)], want[min(i, len(want)-1)])
			}
		}
		room.Clear()
	}
	if last := want[len(want)-1]; !strings.Contains(last, `"status":"SUCCEEDED"`) {
		t.Errorf("it ends so: %s", last)
	}
}

// TestRetryOfResult: where the result of branches cannot be used, a retry makes
// all of them again.
func TestRetryOfResult(t *testing.T) {
	m := machine(t, `{"StartAt": "P", "States": {"P": {"Type": "Parallel", "ResultSelector": {"x.$": "$[0].n"}, "End": true,
		"Retry": [{"ErrorEquals": ["States.ParameterPathFailure"]}],
		"Branches": [{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true}}}]}}}`)
	turn := Start(m, info(), nil, Env{Now: start})
	turn = m.Resolve(turn.State, turn.Effects[0].ID, Outcome{Output: json.RawMessage(`{}`)}, Env{Now: start})
	turn = m.Tick(roundTrip(t, turn.State), Env{Now: turn.Wake})
	if len(turn.Effects) != 1 {
		t.Fatalf("the retry asks for %d effects, want 1", len(turn.Effects))
	}
	turn = m.Resolve(turn.State, turn.Effects[0].ID, Outcome{Output: json.RawMessage(`{"n": 3}`)}, Env{Now: start})
	if string(turn.Output) != `{"x":3}` {
		t.Errorf("got %s %s: %s", turn.Output, turn.Error, turn.Cause)
	}
}

// TestVariableLimits: one Assign and all variables together are bounded.
func TestVariableLimits(t *testing.T) {
	assign := func(n, times int) string {
		var states []string
		for i := range times {
			states = append(states, fmt.Sprintf(`"S%d": {"Type": "Pass", "Assign": {"v%d.$": "$", "w%d": "%s"}, "Next": "S%d"}`, i, i, i, strings.Repeat("w", n), i+1))
		}
		return `{"StartAt": "S0", "States": {` + strings.Join(states, ",") + fmt.Sprintf(`, "S%d": {"Type": "Succeed"}}}`, times)
	}
	for _, tt := range []struct {
		states, literal int
		want            string
	}{
		{1, 10_000, ""},
		{1, 70_000, ErrDataLimitExceeded},
		{50, 10, ""},
		{53, 10, ErrDataLimitExceeded},
	} {
		m := machine(t, assign(tt.literal, tt.states))
		turn := Start(m, info(), json.RawMessage(`"`+strings.Repeat("x", 200_000)+`"`), Env{Now: start})
		for turn.Status == StatusRunning {
			turn = m.Tick(turn.State, Env{Now: turn.Wake})
		}
		if turn.Error != tt.want {
			t.Errorf("%d states, %d more: got %q: %s, want %q", tt.states, tt.literal, turn.Error, turn.Cause, tt.want)
		}
	}
}

// TestLargeLoop: turns are bounded in bytes, too.
func TestLargeLoop(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}}`)
	turn := Start(m, info(), []byte(`"`+strings.Repeat("x", 200_000)+`"`), Env{Now: start})
	if n := len(turn.Events); n > 30 || turn.Status != StatusRunning {
		t.Errorf("a turn of %d events of 200 kB, %s", n, turn.Status)
	}
}

// TestGrowth: data that doubles in each state ends at the limit, without being
// built beyond it.
func TestGrowth(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Parameters": {"l.$": "$", "m": [{"n.$": "States.Array($, $, $)"}], "r.$": "States.Format('{}{}', States.JsonToString($), 'x')"}, "Next": "A"}}}`)
	turn := Start(m, info(), nil, Env{Now: start})
	for turn.Status == StatusRunning {
		turn = m.Tick(turn.State, Env{Now: start})
	}
	if turn.Error != ErrDataLimitExceeded {
		t.Errorf("got %s: %s", turn.Error, turn.Cause)
	}
	deep := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Parameters": {"l.$": "$"}, "Next": "A"}}}`)
	turn = Start(deep, info(), nil, Env{Now: start})
	for turn.Status == StatusRunning {
		turn = deep.Tick(roundTrip(t, turn.State), Env{Now: start})
	}
	if turn.Error != ErrDataLimitExceeded {
		t.Errorf("got %s: %s", turn.Error, turn.Cause)
	}
}

// TestFullHistory: a task that is tried forever ends with the event limit, and
// its last effect is never asked for.
func TestFullHistory(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
		"Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 99999999, "BackoffRate": 1}], "End": true}}}`)
	turn := Start(m, info(), nil, Env{Now: start})
	ids := map[string]bool{}
	now := start
	for turn.Status == StatusRunning {
		if len(turn.Effects) == 1 {
			if ids[turn.Effects[0].ID] {
				t.Fatalf("effect %s twice", turn.Effects[0].ID)
			}
			ids[turn.Effects[0].ID] = true
			turn = m.Resolve(turn.State, turn.Effects[0].ID, Outcome{Error: "E"}, Env{Now: now})
			continue
		}
		now = turn.Wake
		turn = m.Tick(turn.State, Env{Now: now})
	}
	if turn.Error != ErrRuntime || len(turn.Effects)+len(turn.Cancels) > 0 || turn.State.NextEvent != MaxEvents+1 {
		t.Errorf("got %s: %s, %d effects, next event %d", turn.Error, turn.Cause, len(turn.Effects), turn.State.NextEvent)
	}
}

// TestStale: what is told twice, too late or of another effect changes
// nothing.
func TestStale(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "End": true}}}`)
	first := Start(m, info(), nil, Env{Now: start})
	id := first.Effects[0].ID
	if len(id) != 26 {
		t.Errorf("the effect's ID %q has not 26 letters", id)
	}
	if got := first.State.Effects(); len(got) != 1 || got[0] != id {
		t.Errorf("it waits for %v, want %s", got, id)
	}
	env := Env{Now: start.Add(time.Second)}
	told := m.Submitted(first.State, id, nil, env)
	end := m.Resolve(told.State, id, Outcome{}, env)
	if end.Status != StatusSucceeded || string(end.Output) != "null" {
		t.Fatalf("got %s %s: %s", end.Status, end.Output, end.Cause)
	}
	for what, turn := range map[string]Turn{
		"an unknown effect":        m.Resolve(first.State, "unknown", Outcome{}, env),
		"an outcome after the end": m.Resolve(end.State, id, Outcome{}, env),
		"submitted twice":          m.Submitted(told.State, id, nil, env),
		"submitted after the end":  m.Submitted(end.State, id, nil, env),
		"a useless heartbeat":      m.Heartbeat(told.State, id, env),
		"started, no activity":     m.Started(told.State, id, "w", env),
		"a tick too early":         m.Tick(told.State, env),
		"a stop after the end":     m.Stop(end.State, "E", "", env),
	} {
		if len(turn.Events)+len(turn.Effects)+len(turn.Cancels) > 0 {
			t.Errorf("%s: %+v", what, turn)
		}
	}
}

func TestActivity(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:us-east-1:1:activity:a", "HeartbeatSeconds": 5, "TimeoutSeconds": 60, "End": true}}}`)
	turn := Start(m, info(), nil, Env{Now: start})
	turn = m.Started(turn.State, turn.Effects[0].ID, "w", Env{Now: start.Add(3 * time.Second)})
	if want := start.Add(8 * time.Second); !turn.Wake.Equal(want) || turn.Events[0].ActivityStarted.WorkerName != "w" {
		t.Errorf("wake %v, want %v", turn.Wake, want)
	}
	if turn = m.Tick(turn.State, Env{Now: turn.Wake}); turn.Events[0].Type != ActivityTimedOut || turn.Status != StatusFailed {
		t.Errorf("got %s, %s", turn.Events[0].Type, turn.Status)
	}
}

// TestDeadline: the caller's deadline counts beside the definition's.
func TestDeadline(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "TimeoutSeconds": 3600, "States": {"A": {"Type": "Wait", "Seconds": 7200, "End": true}}}`)
	x := info()
	x.Deadline = start.Add(time.Minute)
	if turn := Start(m, x, nil, Env{Now: start}); !turn.Wake.Equal(x.Deadline) {
		t.Errorf("wake %v, want %v", turn.Wake, x.Deadline)
	} else if turn = m.Tick(turn.State, Env{Now: turn.Wake}); turn.Status != StatusTimedOut || turn.Error != ErrTimeout {
		t.Errorf("got %s %s", turn.Status, turn.Error)
	}
	if turn := Start(m, info(), nil, Env{Now: start}); !turn.Wake.Equal(start.Add(time.Hour)) {
		t.Errorf("wake %v, want after an hour", turn.Wake)
	}
}

// TestJitter: delays with FULL jitter are within the backoff, differ, and are
// the same for the same seed.
func TestJitter(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
		"Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 100, "JitterStrategy": "FULL"}], "End": true}}}`)
	turn := Start(m, info(), nil, Env{Now: start})
	seen := map[time.Duration]bool{}
	for seed := range uint64(20) {
		d := m.Resolve(turn.State, turn.Effects[0].ID, Outcome{Error: "E"}, Env{Now: start, Seed: seed}).Wake.Sub(start)
		if again := m.Resolve(turn.State, turn.Effects[0].ID, Outcome{Error: "E"}, Env{Now: start, Seed: seed}).Wake.Sub(start); again != d {
			t.Errorf("seed %d gives %v and %v", seed, d, again)
		}
		if d < 0 || d > 100*time.Second {
			t.Errorf("delay %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 15 {
		t.Errorf("20 seeds give only %d delays", len(seen))
	}
}

func TestBadInput(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}`)
	for input, want := range map[string]string{
		`{"a":`:                                  ErrRuntime,
		`"` + strings.Repeat("x", MaxData) + `"`: ErrDataLimitExceeded,
	} {
		turn := Start(m, info(), json.RawMessage(input), Env{Now: start})
		if turn.Status != StatusFailed || turn.Error != want {
			t.Errorf("%.20s: %s %s: %s", input, turn.Status, turn.Error, turn.Cause)
		}
		if _, err := json.Marshal(turn); err != nil {
			t.Errorf("%.20s: the turn cannot be written: %v", input, err)
		}
	}
}

func TestHostileDefinitions(t *testing.T) {
	for what, definition := range map[string]string{
		"deep":     `{"StartAt":"A","States":{"A":{"Type":"Pass","Result":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"End":true}}}`,
		"deeper":   strings.Repeat(`{"a":`, 100_000),
		"long":     `{"StartAt":"` + strings.Repeat("x", MaxDefinition) + `"}`,
		"problems": `{"StartAt":"A","States":{"A":{` + strings.Repeat(`"X":1,`, 50_000) + `"Type":"Pass"}}}`,
		"empty":    ``,
		"null":     `null`,
	} {
		_, err := Parse([]byte(definition), "x.json")
		if p, ok := err.(Problems); !ok || len(p) == 0 || len(p) > maxProblems {
			t.Errorf("%s: %T", what, err)
		}
	}
}

// TestLongMessages has a definition whose mistake is in something long: what is wrong
// with it, at the end of the message, is told.
func TestLongMessages(t *testing.T) {
	path := strings.Repeat("(", 5_000)
	_, err := Parse([]byte(`{"StartAt":"A","States":{"A":{"Type":"Pass","InputPath":"$[?(`+path+`","End":true}}}`), "m.json")
	if err == nil || len(err.Error()) > 3_000 || !strings.Contains(err.Error(), "nest") {
		t.Errorf("got %d bytes: %.100s … %s", len(err.Error()), err, err.Error()[max(len(err.Error())-200, 0):])
	}
}

// TestSurrogates has halves of surrogate pairs, which data may have and names may not.
func TestSurrogates(t *testing.T) {
	_, err := Parse([]byte(`{"StartAt":"\ud800","States":{"\ud800":{"Type":"Pass","End":true}}}`), "m.json")
	if err == nil || !strings.Contains(err.Error(), "half of a surrogate pair") {
		t.Errorf("a name: %v", err)
	}
	m, err := Parse([]byte(`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"\ud83d":"\udfff","s.$":"States.Format('{}', $.s)"},"End":true}}}`), "m.json")
	if err != nil {
		t.Fatal(err)
	}
	turn := Start(m, ExecutionInfo{}, []byte(`{"s":"a\ud800"}`), Env{})
	if got, want := string(turn.Output), `{"\ud83d":"\udfff","s":"a\ud800"}`; got != want {
		t.Errorf("got %s, want %s (%s)", got, want, turn.Cause)
	}
}

func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(`{"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{"And": [{"Variable": "$.a", "IsNull": true}], "Next": "A"}]}}}`))
	f.Add([]byte(`{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"x.$": "$$.a"}, "Retry": [{"ErrorEquals": ["a"]}], "End": true}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, "f")
		if (m == nil) == (err == nil) {
			t.Fatalf("machine %v and error %v", m, err)
		}
		if p, ok := err.(Problems); err != nil && (!ok || len(p.Errors()) == 0) {
			t.Fatalf("an error without errors: %v", err)
		}
	})
}

// FuzzStart runs machines that parse on inputs that need not.
func FuzzStart(f *testing.F) {
	f.Add(`"Type": "Pass", "Parameters": {"x.$": "States.Format('{}', $.a)"}`, `{"a": 1}`, `{}`)
	f.Add(`"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "ResultPath": "$.r", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}]`, `{"a": 1}`, `{"b": [1]}`)
	f.Add(`"Type": "Parallel", "Branches": [{"StartAt": "X", "States": {"X": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true}}}, {"StartAt": "Y", "States": {"Y": {"Type": "Wait", "SecondsPath": "$.a", "Assign": {"v.$": "$"}, "End": true}}}], "Retry": [{"ErrorEquals": ["States.ALL"]}]`, `{"a": 1}`, `{}`)
	f.Add(`"Type": "Map", "ItemsPath": "$.a", "MaxConcurrencyPath": "$.b", "ItemSelector": {"x.$": "$$.Map.Item"}, "ResultPath": "$.r", "Assign": {"v.$": "$"}, "ItemProcessor": {"StartAt": "X", "States": {"X": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 1, "Next": "Y"}, "Y": {"Type": "Fail"}}}, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}]`, `{"a": [1, {}], "b": 1}`, `[]`)
	f.Add(`"Type": "Wait", "TimestampPath": "$.a"`, `{"a": "2030-01-01T00:00:00Z"}`, ``)
	f.Fuzz(func(t *testing.T, state, input, output string) {
		m, err := Parse([]byte(`{"StartAt": "A", "States": {"A": {`+state+`, "Next": "B"}, "B": {"Type": "Succeed"}}}`), "f")
		if err != nil {
			return
		}
		turn := Start(m, info(), json.RawMessage(input), Env{Now: start})
		for i := 0; turn.Status == StatusRunning && i < 50; i++ {
			turn.State = roundTrip(t, turn.State)
			switch {
			case len(turn.State.Effects()) > 0:
				turn = m.Resolve(turn.State, turn.State.Effects()[0], Outcome{Output: json.RawMessage(output)}, Env{Now: start})
			case !turn.Wake.IsZero():
				turn = m.Tick(turn.State, Env{Now: turn.Wake})
			default:
				t.Fatalf("waits for nothing: %+v", turn.State)
			}
			if _, err := json.Marshal(turn); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkChain(b *testing.B) {
	m := machine(b, `{"StartAt": "A", "States": {
		"A": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)", "name.$": "$.name", "list.$": "$.list"}, "Next": "B"},
		"B": {"Type": "Choice", "Choices": [{"And": [{"Variable": "$.n", "NumericLessThan": 1000}, {"Variable": "$.name", "StringMatches": "train-*"}], "Next": "A"}], "Default": "C"},
		"C": {"Type": "Succeed"}}}`)
	input := json.RawMessage(`{"n": 0, "name": "train-x", "list": [1, 2.0, {"a": "b"}]}`)
	states := 0
	b.ReportAllocs()
	for b.Loop() {
		turn := Start(m, info(), input, Env{Now: start})
		for turn.Status == StatusRunning {
			turn = m.Tick(turn.State, Env{Now: start})
		}
		if turn.Status != StatusSucceeded {
			b.Fatal(turn.Cause)
		}
		states += 2001
	}
	b.ReportMetric(float64(states)/b.Elapsed().Seconds(), "transitions/s")
}

// BenchmarkMap is a Map of 500 iterations of one Task, answered one by one.
func BenchmarkMap(b *testing.B) {
	m := machine(b, `{"StartAt": "M", "States": {"M": {"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "A", "States": {
		"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"n.$": "$", "i.$": "$$.Map.Item.Index"}, "End": true}}}}}}`)
	input := json.RawMessage(`[` + strings.Repeat(`{"name": "x"},`, 499) + `1]`)
	b.ReportAllocs()
	for b.Loop() {
		turn := Start(m, info(), input, Env{Now: start})
		for turn.Status == StatusRunning {
			turn = m.Resolve(turn.State, turn.State.Effects()[0], Outcome{Output: json.RawMessage(`{"ok":true}`)}, Env{Now: start})
		}
		if turn.Status != StatusSucceeded {
			b.Fatal(turn.Cause)
		}
	}
	b.ReportMetric(float64(500*b.N)/b.Elapsed().Seconds(), "iterations/s")
}

func BenchmarkTask(b *testing.B) {
	m := machine(b, `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "Payload.$": "$"}, "ResultPath": "$.r", "Next": "A"}}}`)
	turn := Start(m, info(), json.RawMessage(`{"n": 0}`), Env{Now: start})
	b.ReportAllocs()
	for b.Loop() {
		if turn.Status != StatusRunning {
			turn = Start(m, info(), json.RawMessage(`{"n": 0}`), Env{Now: start})
		}
		turn = m.Resolve(turn.State, turn.Effects[0].ID, Outcome{Output: json.RawMessage(`{"Payload":{"ok":true},"StatusCode":200}`)}, Env{Now: start})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transitions/s")
}

func ExampleProblem_String() {
	_, err := Parse([]byte(`{"StartAt": "TrainAll", "States": {
  "TrainAll": {"Type": "Parallel", "End": true}}}`), "pipeline.asl.json")
	fmt.Println(err)
	// Output: pipeline.asl.json:2:15: /States/TrainAll: must have "Branches", an array with at least one branch
}
