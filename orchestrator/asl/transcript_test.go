package asl

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// start is when the executions of the tests begin.
var start = time.Date(2026, 8, 18, 12, 0, 0, 0, time.UTC)

// TestTranscripts plays testdata/*.txt. Each has a definition and either the
// problems that Parse finds, or an input, a script of what happens, and the
// turns that follow. A line of the script is
//
//	[+10s] tick | start
//	[+10s] succeed|submit STATE JSON
//	[+10s] fail STATE ERROR CAUSE…
//	[+10s] beat STATE
//	[+10s] stop ERROR CAUSE…
//
// where the time is since the start; a tick without one comes when it is due.
// In a Map STATE is the state and the index of the iteration, as in Train#1.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]*txtar.File{}
			for i := range ar.Files {
				part[ar.Files[i].Name] = &ar.Files[i]
			}
			if part["definition.json"] == nil || part["turns"] == nil && part["problems"] == nil {
				t.Fatalf("%s needs definition.json and turns or problems", file)
			}
			m, err := Parse(part["definition.json"].Data, "definition.json")
			want := part["problems"]
			var got bytes.Buffer
			switch {
			case want != nil && err != nil:
				fmt.Fprintln(&got, err)
			case want != nil:
				fmt.Fprintln(&got, m.Warnings)
			case err != nil:
				t.Fatal(err)
			default:
				want = part["turns"]
				play(t, &got, m, bytes.TrimSpace(part["input.json"].Data), string(part["script"].Data))
			}
			if diff := cmp.Diff(string(want.Data), got.String()); diff != "" {
				if *update {
					want.Data = got.Bytes()
					if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				t.Errorf("want - got +\n%s", diff)
			}
		})
	}
}

func info() ExecutionInfo {
	return ExecutionInfo{
		ARN:  "arn:aws:states:eu-central-1:123456789012:execution:pipeline:run-1",
		Name: "run-1", StateMachineName: "pipeline",
		StateMachineARN: "arn:aws:states:eu-central-1:123456789012:stateMachine:pipeline",
		Started:         start,
	}
}

// play runs a script and writes what each line led to. Every state goes
// through its JSON on the way, and must stay as it is when a turn is made of
// it.
func play(t *testing.T, w *bytes.Buffer, m *Machine, input []byte, script string) {
	t.Helper()
	var turn Turn
	effects := map[string]string{} // name of the state to the newest effect
	names := map[string]string{}   // effect to how the transcript calls it
	for line := range strings.Lines(script) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		now := turn.Wake
		if strings.HasPrefix(fields[0], "+") {
			d, err := time.ParseDuration(fields[0][1:])
			if err != nil {
				t.Fatal(err)
			}
			now, fields = start.Add(d), fields[1:]
		}
		if now.IsZero() {
			now = start
		}
		env := Env{Now: now, Seed: 7}
		fields = append(fields, "", "", "")
		rest := strings.Join(strings.Fields(strings.Join(fields[2:], " ")), " ")
		old := turn.State
		before, _ := json.Marshal(old)
		switch what := fields[1]; fields[0] {
		case "start":
			turn = Start(m, info(), input, env)
		case "tick":
			turn = m.Tick(old, env)
		case "succeed":
			turn = m.Resolve(old, effects[what], Outcome{Output: json.RawMessage(rest)}, env)
		case "submit":
			turn = m.Submitted(old, effects[what], json.RawMessage(rest), env)
		case "fail":
			name, cause, _ := strings.Cut(rest, " ")
			turn = m.Resolve(old, effects[what], Outcome{Error: name, Cause: cause}, env)
		case "beat":
			turn = m.Heartbeat(old, effects[what], env)
		case "stop":
			turn = m.Stop(old, what, rest, env)
		case "redrive":
			if why := old.NotRedrivable(); why != "" {
				fmt.Fprintf(w, "+%v redrive\n  %s\n", now.Sub(start), why)
				continue
			}
			turn = m.Redrive(old, env)
		default:
			t.Fatalf("unknown line %q", line)
		}
		if after, _ := json.Marshal(old); !bytes.Equal(before, after) {
			t.Fatalf("%s: the old state was changed:\n%s\n%s", line, before, after)
		}
		fmt.Fprintf(w, "+%v %s\n", now.Sub(start), strings.TrimSpace(strings.Join(fields[:min(len(fields), 2)], " ")))
		for _, e := range turn.Events {
			fmt.Fprintf(w, "  %d<%d %s %s\n", e.ID, e.PreviousID, e.Type, details(e))
		}
		for _, e := range turn.Effects {
			name := e.State
			for c := turn.State.waiting(e.ID); c != nil && c.Path != ""; c = nil {
				if m.Type(strings.Split(c.Path, "/")[len(strings.Split(c.Path, "/"))-2]) == TypeMap {
					name = fmt.Sprintf("%s#%d", e.State, c.Index)
				}
			}
			effects[name] = e.ID
			names[e.ID] = fmt.Sprintf("%s/%d", name, e.Attempt)
			fmt.Fprintf(w, "  do %s %s %s%s\n", names[e.ID], e.Resource, e.Input, until(e.Deadline))
		}
		for _, c := range turn.Cancels {
			fmt.Fprintf(w, "  cancel %s\n", names[c.Effect])
		}
		fmt.Fprintf(w, "  %s", turn.Status)
		if turn.Status == StatusRunning {
			fmt.Fprintln(w, until(turn.Wake))
		} else {
			fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf(" %s %s %s", turn.Output, turn.Error, turn.Cause), " "))
		}
		turn.State = roundTrip(t, turn.State)
	}
}

func until(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(" until +%v", at.Sub(start))
}

// details is what is special about an event.
func details(e HistoryEvent) string {
	data, _ := json.Marshal(e)
	var all map[string]json.RawMessage
	json.Unmarshal(data, &all)
	for key, d := range all {
		if !strings.HasSuffix(key, "Details") {
			continue
		}
		var one map[string]any
		json.Unmarshal(d, &one)
		delete(one, "inputDetails")
		delete(one, "outputDetails")
		text, _ := json.Marshal(one)
		var b bytes.Buffer
		for i, part := range strings.SplitAfter(strings.ReplaceAll(string(text), `\"`, `'`), "\n") {
			if i > 0 {
				b.WriteString("    ")
			}
			b.WriteString(part)
		}
		return b.String()
	}
	return ""
}
