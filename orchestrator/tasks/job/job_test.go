package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is the shim of its own jobs.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "shim" {
		os.Exit(Run(os.Args[2]))
	}
	os.Exit(m.Run())
}

func shimCommand(t *testing.T) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{exe, "shim"}
}

var env = []string{"PATH=/usr/bin:/bin"}

// sh is a job that runs a script.
func sh(dir, script string) Spec {
	return Spec{Command: []string{"/bin/sh", "-c", script}, Dir: dir, Env: env}
}

func launch(t *testing.T, dir string, spec Spec) {
	t.Helper()
	if err := Launch(t.Context(), shimCommand(t), dir, spec); err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, dir string) Outcome {
	t.Helper()
	o, err := Wait(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if o.Started.IsZero() || !o.Lost && o.Ended.Before(o.Started) {
		t.Errorf("outcome has no sound times: %+v", o)
	}
	return o
}

func read(t *testing.T, names ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(names...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOutcome(t *testing.T) {
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "train"), []byte("#!/bin/sh\necho here: $(pwd)\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	with := func(s Spec, change func(*Spec)) Spec {
		change(&s)
		return s
	}
	tests := []struct {
		name   string
		spec   Spec
		want   Outcome // without times
		stdout string
		log    string
	}{
		{name: "log", spec: sh(work, "echo out; echo err >&2"), log: "out\nerr\n"},
		{name: "status", spec: sh(work, "exit 3"), want: Outcome{Code: 3}},
		{name: "signal", spec: sh(work, "kill -9 $$"), want: Outcome{Code: -1, Signal: "killed"}},
		{name: "stdin", spec: with(sh(work, "cat"), func(s *Spec) { s.Stdin, s.Capture = []byte(`{"a":1}`), 100 }), stdout: `{"a":1}`},
		{name: "no stdin", spec: with(sh(work, "wc -c"), func(s *Spec) { s.Capture = 100 }), stdout: "0\n"},
		{name: "captured apart", spec: with(sh(work, "echo out; echo err >&2"), func(s *Spec) { s.Capture = 100 }), stdout: "out\n", log: "err\n"},
		{name: "captured too much", spec: with(sh(work, "printf 12345; exit 1"), func(s *Spec) { s.Capture = 4 }), want: Outcome{Code: 1, Overflow: true}, stdout: "1234"},
		{name: "in its folder", spec: Spec{Command: []string{"./train"}, Dir: work, Env: env}, log: "here: " + work + "\n"},
		{name: "by its PATH", spec: Spec{Command: []string{"train"}, Dir: "/", Env: []string{"PATH=/bin:" + work}}, log: "here: /\n"},
		{name: "its environment only", spec: with(sh(work, "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^ANNEAL_JOB= | sort"), func(s *Spec) { s.Env = []string{"A=b c", env[0]} }),
			log: "A=b c\n" + env[0] + "\n"},
		{name: "not found", spec: Spec{Command: []string{"no-such-program"}, Dir: work, Env: env},
			want: Outcome{Code: -1, Problem: `exec: "no-such-program": executable file not found in $PATH`}},
		{name: "timeout", spec: with(sh(work, "sleep 60"), func(s *Spec) { s.Timeout = 50 * time.Millisecond }),
			want: Outcome{Code: -1, Signal: "killed", TimedOut: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "job")
			launch(t, dir, tt.spec)
			got := wait(t, dir)
			got.Started, got.Ended = time.Time{}, time.Time{}
			if got != tt.want {
				t.Errorf("outcome %+v, want %+v", got, tt.want)
			}
			if log := read(t, dir, Log); log != tt.log {
				t.Errorf("log %q, want %q", log, tt.log)
			}
			if tt.spec.Capture > 0 {
				if out := read(t, dir, Stdout); out != tt.stdout {
					t.Errorf("stdout %q, want %q", out, tt.stdout)
				}
			}
		})
	}
}

// A command is told that its time is over. It may not have come to listen by then, on a
// busy machine: then it is given more.
func TestTimeoutWithGrace(t *testing.T) {
	spec := sh("/", "trap 'echo saved; exit 0' TERM; sleep 60 & wait")
	spec.Grace = time.Minute
	for spec.Timeout = 300 * time.Millisecond; ; spec.Timeout *= 4 {
		dir := t.TempDir()
		launch(t, dir, spec)
		got := wait(t, dir)
		if got.Signal == "terminated" && got.TimedOut && spec.Timeout < 10*time.Second {
			continue
		}
		got.Started, got.Ended = time.Time{}, time.Time{}
		if log := read(t, dir, Log); got != (Outcome{TimedOut: true}) || log != "saved\n" {
			t.Errorf("outcome %+v with log %q, want what it says when it is told to end", got, log)
		}
		return
	}
}

func TestLaunchErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		argv []string
		dir  string
		spec Spec
		want string
	}{
		{"no command", shimCommand(t), t.TempDir(), Spec{}, "launch job: the job has no command"},
		{"no folder", shimCommand(t), filepath.Join(file, "job"), sh("/", "true"), "not a directory"},
		{"no shim", []string{"/no/such/shim"}, t.TempDir(), sh("/", "true"), "start shim: fork/exec /no/such/shim"},
		{"a shim that dies", []string{"/bin/sh", "-c", "printf oops"}, t.TempDir(), sh("/", "true"), "the shim ended early: oops"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Launch(t.Context(), tt.argv, tt.dir, tt.spec)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("launch: %v, want %q", err, tt.want)
			}
			if _, err := Wait(t.Context(), tt.dir); !errors.Is(err, ErrNotLaunched) && tt.dir != filepath.Join(file, "job") {
				t.Errorf("wait: %v, want %v", err, ErrNotLaunched)
			}
		})
	}
}

// Many daemons, one folder: one process.
func TestLaunchOnce(t *testing.T) {
	dir, marks := t.TempDir(), filepath.Join(t.TempDir(), "marks")
	spec := sh("/", fmt.Sprintf("echo $$ >>%s; sleep 0.2", marks))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := Launch(t.Context(), shimCommand(t), dir, spec); err != nil {
				t.Error(err)
			}
			if o, err := Wait(t.Context(), dir); err != nil || o.Code != 0 || o.Lost {
				t.Errorf("outcome %+v, %v", o, err)
			}
		})
	}
	wg.Wait()
	launch(t, dir, spec)
	wait(t, dir)
	if got := strings.Count(read(t, marks), "\n"); got != 1 {
		t.Errorf("%d processes, want 1", got)
	}
}

func TestWaitIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	launch(t, dir, sh("/", "sleep 60"))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := Wait(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v, want %v", err, context.Canceled)
	}
	if state, _, err := Describe(dir); state != Running || err != nil {
		t.Errorf("the job did not go on: state %v, %v", state, err)
	}
	if err := Stop(dir); err != nil {
		t.Fatal(err)
	}
	if o := wait(t, dir); !o.Stopped {
		t.Errorf("outcome %+v, want it stopped", o)
	}
}

// A trainer that forks, leaves its group, and does not listen.
func TestStopStubborn(t *testing.T) {
	dir, marks := t.TempDir(), filepath.Join(t.TempDir(), "marks")
	spec := sh("/", fmt.Sprintf(`
		trap '' TERM
		sh -c 'trap "" TERM; echo $$ >>%[1]s; while :; do sleep 1; done' &
		setsid sh -c 'trap "" TERM; echo $$ >>%[1]s; while :; do sleep 1; done' &
		while [ "$(wc -l <%[1]s)" != 2 ]; do sleep 0.02; done
		echo $$ >>%[1]s
		while :; do sleep 1; done`, marks))
	spec.Grace = 100 * time.Millisecond
	if err := os.WriteFile(marks, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, dir, spec)
	pids := waitLines(t, marks, 3)
	if err := Stop(dir); err != nil {
		t.Fatal(err)
	}
	o := wait(t, dir)
	if !o.Stopped || o.Signal != "killed" {
		t.Errorf("outcome %+v, want it stopped and killed", o)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d outlived its job", pid)
		}
	}
	if err := Stop(dir); err != nil {
		t.Errorf("stop again: %v", err)
	}
}

func TestLeftovers(t *testing.T) {
	dir, marks := t.TempDir(), filepath.Join(t.TempDir(), "marks")
	launch(t, dir, sh("/", fmt.Sprintf("sh -c 'echo $$ >%[1]s; sleep 60' & while ! [ -s %[1]s ]; do sleep 0.02; done; echo done", marks)))
	if o := wait(t, dir); o.Code != 0 {
		t.Errorf("outcome %+v, want success", o)
	}
	if pid := waitLines(t, marks, 1)[0]; alive(pid) {
		t.Errorf("process %d outlived its job", pid)
	}
}

func TestStopBeforeLaunch(t *testing.T) {
	dir, marks := t.TempDir(), filepath.Join(t.TempDir(), "marks")
	dir = filepath.Join(dir, "not yet there")
	if err := Stop(dir); err != nil {
		t.Fatal(err)
	}
	launch(t, dir, sh("/", "touch "+marks))
	if o := wait(t, dir); !o.Stopped {
		t.Errorf("outcome %+v, want it stopped", o)
	}
	if _, err := os.Stat(marks); err == nil {
		t.Error("a stopped job was started")
	}
}

// A shim that is killed takes the command with it, and nobody starts it again.
func TestLost(t *testing.T) {
	dir, marks := t.TempDir(), filepath.Join(t.TempDir(), "marks")
	spec := sh("/", fmt.Sprintf("echo $$ $PPID >>%s; sleep 60", marks))
	launch(t, dir, spec)
	pids := waitLines(t, marks, 1)
	unix.Kill(pids[1], unix.SIGKILL)
	if o := wait(t, dir); !o.Lost {
		t.Errorf("outcome %+v, want it lost", o)
	}
	until(t, "the command to die", func() bool { return !alive(pids[0]) })
	launch(t, dir, spec)
	if o := wait(t, dir); !o.Lost {
		t.Errorf("outcome %+v, want it lost still", o)
	}
	if got := strings.Count(read(t, marks), "\n"); got != 1 {
		t.Errorf("%d processes, want 1", got)
	}
}

// A shim that is killed cannot take along what its command started, in its
// session and out of it, with an environment and without.
func TestReap(t *testing.T) {
	dir, marks := t.TempDir(), filepath.Join(t.TempDir(), "marks")
	loop := `while :; do sleep 1; done`
	launch(t, dir, sh("/", fmt.Sprintf(`
		sh -c 'echo $$ >>%[1]s; %[2]s' &
		setsid sh -c 'trap "" TERM; echo $$ >>%[1]s; %[2]s' &
		env -i /bin/sh -c 'echo $$ >>%[1]s; %[2]s' &
		echo $PPID >>%[1]s
		wait`, marks, loop)))
	pids := waitLines(t, marks, 4)
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Process.Kill()
	if n, err := Reap(dir); n != 0 || err != nil {
		t.Errorf("reaped %d of a job that runs, %v", n, err)
	}
	shim := shimOf(t, pids)
	unix.Kill(shim, unix.SIGKILL)
	if o := wait(t, dir); !o.Lost {
		t.Errorf("outcome %+v, want it lost", o)
	}
	if n, err := Reap(dir); n < 3 || err != nil {
		t.Errorf("reaped %d, %v, want at least the 3 that are left", n, err)
	}
	for _, pid := range pids {
		until(t, fmt.Sprintf("process %d to die", pid), func() bool { return pid == shim || session(pid) == 0 })
	}
	if !alive(stranger.Process.Pid) {
		t.Error("a stranger was killed")
	}
	if n, err := Reap(dir); n != 0 || err != nil {
		t.Errorf("reaped %d again, %v", n, err)
	}
}

// shimOf is the one of the processes that is a shim.
func shimOf(t *testing.T, pids []int) int {
	t.Helper()
	for _, pid := range pids {
		if strings.Contains(read(t, fmt.Sprintf("/proc/%d/cmdline", pid)), "\x00shim\x00") {
			return pid
		}
	}
	t.Fatal("no shim")
	return 0
}

func TestPrune(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	job := func(name, execution, script string) {
		spec := sh("/", script)
		spec.Execution = execution
		launch(t, at(name), spec)
	}
	job("ended", "one", "true")
	job("of an open execution", "two", "true")
	job("runs", "one", "sleep 60")
	job("young", "one", "true")
	for _, name := range []string{"ended", "of an open execution", "young"} {
		wait(t, at(name))
	}
	if err := Stop(at("stopped before it began")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nested/" + EffectFile:      `{"execution": "one"}`,
		"open nested/" + EffectFile: `{"execution": "two"}`,
		"broken/" + EffectFile:      `{`,
		".names/training-job/x":     "",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at(name)), 0o700), os.WriteFile(at(name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if strings.Contains(path, "young") {
			return err
		}
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Prune(root, time.Now().Add(-time.Minute), func(_, execution string) bool { return execution == "two" })
	if n != 3 || err == nil || !strings.Contains(err.Error(), "prune job broken: ") {
		t.Errorf("pruned %d, %v, want 3 and a problem of the broken one", n, err)
	}
	var left []string
	entries, err := os.ReadDir(root)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{".names", "broken", "of an open execution", "open nested", "runs", "young"}
	if err != nil || !slices.Equal(left, want) {
		t.Errorf("left %q, %v, want %q", left, err, want)
	}
	if err := Stop(at("runs")); err != nil {
		t.Fatal(err)
	}
	wait(t, at("runs"))
	if n, err := Prune(filepath.Join(root, "none"), time.Now(), nil); n != 0 || err != nil {
		t.Errorf("pruned %d in no folder, %v", n, err)
	}
}

func TestFlood(t *testing.T) {
	dir := t.TempDir()
	spec := sh("/", "echo first; head -c 50000000 /dev/zero; echo last")
	spec.LogLimit = 1000
	launch(t, dir, spec)
	wait(t, dir)
	log := read(t, dir, Log)
	if len(log) > 1100 || !strings.HasPrefix(log, "first\n") || !strings.HasSuffix(log, "\x00last\n") || !strings.Contains(log, "[49999011 bytes are left out here]") {
		t.Errorf("log of %d bytes: %.40q … %q", len(log), log, log[max(0, len(log)-60):])
	}
}

// What is in the pipe when the shim gets to it is kept, however late that is, and
// whoever else has the pipe still.
func TestDrainLate(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	all := strings.Repeat("x", pipeSize-5) + "last\n"
	if _, err := io.WriteString(w, all); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	drain(&got, r)
	if got.String() != all {
		t.Errorf("%d bytes are kept; want all %d", got.Len(), len(all))
	}
}

func TestFullDisk(t *testing.T) {
	full := func(t *testing.T, dir, name string) {
		t.Helper()
		if err := os.Symlink("/dev/full", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("at the start", func(t *testing.T) {
		dir := t.TempDir()
		full(t, dir, outcomeFile+".tmp")
		err := Launch(t.Context(), shimCommand(t), dir, sh("/", "true"))
		if err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Fatalf("launch: %v, want no space", err)
		}
		if err := os.Remove(filepath.Join(dir, outcomeFile+".tmp")); err != nil {
			t.Fatal(err)
		}
		launch(t, dir, sh("/", "true"))
		if o := wait(t, dir); o.Code != 0 {
			t.Errorf("outcome %+v with room again, want success", o)
		}
	})
	t.Run("for the log", func(t *testing.T) {
		dir := t.TempDir()
		full(t, dir, Log)
		launch(t, dir, sh("/", "echo much; exit 0"))
		if o := wait(t, dir); o.Code != 0 || o.Problem != "" || !strings.Contains(o.LogProblem, "no space left") {
			t.Errorf("outcome %+v, want success and a problem of the log", o)
		}
	})
	t.Run("for the output", func(t *testing.T) {
		dir := t.TempDir()
		full(t, dir, Stdout)
		spec := sh("/", "echo much")
		spec.Capture = 100
		launch(t, dir, spec)
		if o := wait(t, dir); !strings.Contains(o.Problem, "no space left") {
			t.Errorf("outcome %+v, want a problem", o)
		}
	})
}

func TestBoundedLog(t *testing.T) {
	for total := range 60 {
		for piece := 1; piece < 25; piece += 3 {
			var all []byte
			for i := range total {
				all = append(all, byte('a'+i%26))
			}
			var out bytes.Buffer
			l := &boundedLog{w: &out, half: 10}
			for rest := all; len(rest) > 0; {
				n := min(piece, len(rest))
				l.Write(rest[:n])
				rest = rest[n:]
			}
			if err := l.finish(); err != nil {
				t.Fatal(err)
			}
			want := string(all)
			if total > 20 {
				want = fmt.Sprintf("%s\n[%d bytes are left out here]\n%s", all[:10], total-20, all[total-10:])
			}
			if out.String() != want {
				t.Fatalf("%d bytes in pieces of %d: %q, want %q", total, piece, out.String(), want)
			}
		}
	}
}

// waitLines waits until the file has so many lines and reads their numbers.
func waitLines(t *testing.T, name string, lines int) []int {
	t.Helper()
	until(t, fmt.Sprintf("%d lines in %s", lines, name), func() bool {
		data, _ := os.ReadFile(name)
		return bytes.Count(data, []byte("\n")) >= lines
	})
	var pids []int
	for _, f := range strings.Fields(read(t, name)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
