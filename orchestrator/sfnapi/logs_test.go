package sfnapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// A logbook takes the lines of executions.
type logbook struct {
	mu     sync.Mutex
	lines  []sfnapi.LogLine // guarded by mu
	refuse int              // guarded by mu; so many calls
	ends   bool             // guarded by mu; the process ends before what was written is recorded
}

func (b *logbook) take(cfg *sfnapi.Config) {
	cfg.Write = func(ctx context.Context, lines []sfnapi.LogLine) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.refuse > 0 {
			b.refuse--
			return errors.New("refused")
		}
		b.lines = append(b.lines, lines...)
		if b.ends {
			b.mu.Unlock()
			<-ctx.Done()
			b.mu.Lock()
			return ctx.Err()
		}
		return nil
	}
}

// told are the lines of a machine once there are n, each as `id<previous type details`.
func (b *logbook) told(t *testing.T, machine string, n int) []string {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		var told []string
		b.mu.Lock()
		for _, l := range b.lines {
			if l.Machine != machine {
				continue
			}
			var line struct {
				ID, Type, Previous, Timestamp, Redrives string
				Details                                 json.RawMessage
				Execution                               string
			}
			var members map[string]json.RawMessage
			if err := json.Unmarshal(l.Message, &members); err != nil {
				t.Fatal(err)
			}
			for name, into := range map[string]any{"id": &line.ID, "type": &line.Type, "details": &line.Details, "previous_event_id": &line.Previous, "event_timestamp": &line.Timestamp, "execution_arn": &line.Execution, "redrive_count": &line.Redrives} {
				if err := json.Unmarshal(members[name], into); err != nil {
					t.Fatalf("%s of %s: %v", name, l.Message, err)
				}
			}
			if line.Timestamp != fmt.Sprint(l.Time.UnixMilli()) || !strings.Contains(line.Execution, ":"+machine) || len(members) != 7 {
				t.Errorf("%s", l.Message)
			}
			told = append(told, fmt.Sprintf("%s<%s %s %s redriven %s", line.ID, line.Previous, line.Type, line.Details, line.Redrives))
		}
		b.mu.Unlock()
		if len(told) >= n {
			return told
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("%s: %d lines, want %d:\n%s", machine, len(told), n, strings.Join(told, "\n"))
		}
	}
}

func logsTo(level string, data bool) map[string]any {
	return map[string]any{"level": level, "includeExecutionData": data, "destinations": []any{map[string]any{
		"cloudWatchLogsLogGroup": map[string]any{"logGroupArn": "arn:aws:logs:us-east-1:111111111111:log-group:/states/" + level + ":*"},
	}}}
}

const breaks = `{"StartAt": "P", "States": {"P": {"Type": "Pass", "Next": "F"}, "F": {"Type": "Fail", "Error": "Broken", "Cause": "worn"}}}`

func (s *service) createLogging(name, kind, definition string, logging any) {
	s.must("CreateStateMachine", map[string]any{"name": name, "type": kind, "definition": definition, "roleArn": "arn:aws:iam::1:role/r", "loggingConfiguration": logging})
}

// TestLogs logs an execution at each level.
func TestLogs(t *testing.T) {
	book := &logbook{refuse: 1}
	s := serve(t, newJournal(t), book.take)
	started := `1<0 ExecutionStarted {"input":"{\"a\":1}","inputDetails":{"truncated":false},"roleArn":"arn:aws:iam::1:role/r"} redriven 0`
	entered := `4<3 FailStateEntered {"input":"{\"a\":1}","inputDetails":{"truncated":false},"name":"F"} redriven 0`
	failed := `5<4 ExecutionFailed {"cause":"worn","error":"Broken"} redriven 0`
	tests := []struct {
		name, kind, level string
		data              bool
		want              []string
	}{
		{"all", "STANDARD", "ALL", true, []string{started,
			`2<0 PassStateEntered {"input":"{\"a\":1}","inputDetails":{"truncated":false},"name":"P"} redriven 0`,
			`3<2 PassStateExited {"name":"P","output":"{\"a\":1}","outputDetails":{"truncated":false}} redriven 0`, entered, failed}},
		{"express", "EXPRESS", "ERROR", true, []string{entered, failed}},
		{"express-all", "EXPRESS", "ALL", false, []string{`1<0 ExecutionStarted {"roleArn":"arn:aws:iam::1:role/r"} redriven 0`,
			`2<0 PassStateEntered {"name":"P"} redriven 0`, `3<2 PassStateExited {"name":"P"} redriven 0`, `4<3 FailStateEntered {"name":"F"} redriven 0`, failed}},
		{"error", "STANDARD", "ERROR", false, []string{`4<3 FailStateEntered {"name":"F"} redriven 0`, failed}},
		{"fatal", "STANDARD", "FATAL", false, []string{failed}},
		{"off", "STANDARD", "OFF", true, nil},
	}
	for _, test := range tests {
		s.createLogging(test.name, test.kind, breaks, logsTo(test.level, test.data))
		s.begin(test.name, "x", `{"a":1}`)
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, book.told(t, test.name, len(test.want))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestLogsOfChildren logs the children of a distributed Map as their parent.
func TestLogsOfChildren(t *testing.T) {
	book := &logbook{}
	s := serve(t, newJournal(t), book.take)
	s.createLogging("m", "STANDARD", `{"StartAt": "M", "States": {"M": {"Type": "Map", "End": true, "ItemProcessor": {
		"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}}}}`, logsTo("ALL", false))
	s.begin("m", "x", `[1,2]`)
	count := map[string]int{}
	for _, line := range book.told(t, "m", 8+2*4) {
		count[strings.Fields(line)[1]]++
	}
	want := map[string]int{
		"ExecutionStarted": 3, "ExecutionSucceeded": 3, "PassStateEntered": 2, "PassStateExited": 2, "MapStateEntered": 1, "MapStateStarted": 1,
		"MapRunStarted": 1, "MapRunSucceeded": 1, "MapStateSucceeded": 1, "MapStateExited": 1,
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("lines by type (-want +got):\n%s", diff)
	}
}

// TestLogsAgain ends the process around the writing of lines: none is lost, what was
// not recorded as written comes again, and what was does not. A redriven execution logs
// on.
func TestLogsAgain(t *testing.T) {
	j, book := newJournal(t), &logbook{ends: true}
	s := serve(t, j, book.take)
	s.createLogging("m", "STANDARD", breaks, logsTo("FATAL", false))
	s.createLogging("silent", "STANDARD", breaks, nil)
	arn := s.begin("m", "x", "{}")
	s.begin("silent", "x", "{}")
	s.ended(arn)
	first := book.told(t, "m", 1)
	s.stop()

	book.ends = false
	s = serve(t, j, book.take)
	if again := book.told(t, "m", 2); len(again) != 2 || again[1] != first[0] {
		t.Fatalf("%q, want %q again", again, first)
	}
	s.must("RedriveExecution", map[string]any{"executionArn": arn})
	if all := book.told(t, "m", 3); !strings.HasSuffix(all[2], "redriven 1") {
		t.Errorf("%q of what was redriven", all[2])
	}
	recorded(t, s)
	s.stop()

	s = serve(t, j, book.take)
	s.begin("m", "y", "{}")
	if all := book.told(t, "m", 4); len(all) != 4 || !strings.HasPrefix(all[3], "5<") {
		t.Errorf("%d lines, want 4: %q", len(all), all)
	}
	if silent := book.told(t, "silent", 0); len(silent) > 0 {
		t.Errorf("%q of what does not log", silent)
	}
}

// recorded waits until all that was written is recorded as such.
func recorded(t *testing.T, s *service) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		var turn uint64
		for r, err := range s.journal.Read(t.Context(), 0, false) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind == "turn" {
				turn = r.Seq
			}
		}
		if fold(t, s.journal).Unlogged > turn {
			return
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatal("what was written is not recorded")
		}
	}
}

// TestLogGroupThere asks whether a log group is there that a state machine is to log to.
func TestLogGroupThere(t *testing.T) {
	groups := func(cfg *sfnapi.Config) {
		cfg.LogGroup = func(_ context.Context, arn string) (bool, error) {
			if strings.HasSuffix(arn, ":forbidden:*") {
				return false, errors.New("not allowed")
			}
			return strings.HasSuffix(arn, ":there:*"), nil
		}
	}
	s := serve(t, newJournal(t), groups)
	to := func(group string) object {
		return object{"level": "ALL", "destinations": []object{{"cloudWatchLogsLogGroup": object{"logGroupArn": "arn:aws:logs:us-east-1:111111111111:log-group:" + group + ":*"}}}}
	}
	for _, group := range []string{"there", "forbidden"} {
		s.must("CreateStateMachine", object{"name": group, "definition": pass, "roleArn": role, "loggingConfiguration": to(group)})
	}
	for action, params := range map[string]object{
		"CreateStateMachine": {"name": "gone", "definition": pass, "roleArn": role, "loggingConfiguration": to("gone")},
		"UpdateStateMachine": {"stateMachineArn": account + "stateMachine:there", "loggingConfiguration": to("gone")},
	} {
		if _, out := s.call(action, params); out["__type"] != "InvalidLoggingConfiguration" || out["message"] != "Invalid Logging Configuration: Log Destination not found." {
			t.Errorf("%s: %v", action, out)
		}
	}
}
