// Package job runs a command that outlives the process which asked for it.
//
// A job is a folder. [Launch] writes there what is to be run and starts a shim:
// the same binary in a session of its own, which calls [Run]. The shim locks the
// folder, runs the command, and leaves its outcome in the folder. [Wait] and
// [Describe] read the folder, so a daemon that was restarted finds its jobs
// again: a held lock is a job that runs, an outcome is a job that ended, and a
// job that was started and has neither is lost.
//
// Promises: however many times and from however many processes a folder is
// launched, its command is started at most once. What a command has started ends
// with it, and what a killed shim leaves behind is found by [Reap]. Logs are
// bounded. The room for the outcome is taken before the command starts, so a
// disk that fills up later does not lose it.
//
// What a command means, and what its exit status says, is left to the caller.
package job

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Spec is what to run. It is written to the job's folder, environment
// included, readable by the owner only.
type Spec struct {
	Execution string `json:"execution,omitempty"` // that the job belongs to, for [Prune]

	Command []string `json:"command"` // program and arguments; there is no shell
	Dir     string   `json:"dir"`     // where it runs; an absolute path
	Env     []string `json:"env"`     // NAME=value; all that the command sees but its mark, ANNEAL_JOB
	Stdin   []byte   `json:"stdin,omitempty"`

	// Timeout ends the command that long after its start; zero: never. Grace
	// is how long after SIGTERM the command is killed; zero: at once, without
	// SIGTERM.
	Timeout time.Duration `json:"timeout,omitempty"` // ns
	Grace   time.Duration `json:"grace,omitempty"`   // ns

	// Capture, if not zero, is how many bytes of standard output are kept in
	// the file [Stdout]; standard error then goes to [Log] alone. Otherwise
	// both go there.
	Capture int64 `json:"capture,omitempty"`
	// LogLimit is how many bytes of the log are kept, half of them from the
	// beginning and half from the end; zero: 16 MiB.
	LogLimit int64 `json:"logLimit,omitempty"`
}

// The files of a job's folder that its owner may read.
const (
	Stdout = "stdout" // see [Spec.Capture]
	Log    = "log"
)

// The other files of the folder.
const (
	specFile    = "spec.json"
	lockFile    = "lock"         // locked by the shim while it lives
	startedFile = "started"      // made, once, before the command is started
	stopFile    = "stop"         // made by Stop
	controlPipe = "control"      // a byte in it wakes the shim to look for stopFile
	alivePipe   = "alive"        // held open by the shim: end of file when it is gone
	outcomeFile = "outcome.json" // written when the command has ended
)

// An Outcome is how a command ended.
type Outcome struct {
	Code    int       `json:"code"`             // exit status; -1 if a signal ended it
	Signal  string    `json:"signal,omitempty"` // "killed"
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`

	TimedOut bool `json:"timedOut,omitempty"`
	Stopped  bool `json:"stopped,omitempty"`  // by Stop, or with the shim by a signal
	Overflow bool `json:"overflow,omitempty"` // standard output had more than Spec.Capture bytes

	// Problem is why the command could not be started, or its output not kept.
	Problem string `json:"problem,omitempty"`
	// LogProblem is why the log is not whole; the command did not notice.
	LogProblem string `json:"logProblem,omitempty"`
	// Lost says that the shim ended without a word: nobody knows how far the
	// command came. It is never started again.
	Lost bool `json:"lost,omitempty"`
}

// A State is how far a job has come.
type State int

// The states of a job.
const (
	New     State = iota // never started
	Running              // a shim has it
	Ended                // there is an outcome, if only that it was lost
)

// ErrNotLaunched is what Wait answers for a job that was never started.
var ErrNotLaunched = errors.New("job was never launched")

// Launch makes the folder dir and starts a shim there: argv is the command of
// the shim, to which dir is added. It returns when a shim has the job, which
// may be another than its own; a job that was started before is left alone.
// When ctx ends first, the job may have been started or not.
//
// An error means that the command was not and, by this call, will not be
// started.
func Launch(ctx context.Context, argv []string, dir string, spec Spec) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("launch job: %w", err)
	}
	if err := prepare(dir, spec); err != nil {
		return fmt.Errorf("launch job: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("launch job: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], dir)...)
	cmd.Dir = dir
	cmd.Env = []string{} // the daemon's secrets are not the job's
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("launch job: start shim: %w", err)
	}
	// The shim is reaped whenever it ends; it is not waited for.
	go cmd.Wait()

	defer context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })()
	br := bufio.NewReader(r)
	line, err := br.ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case line == reportStarted || line == reportTaken:
		return nil
	case err != nil:
		return fmt.Errorf("launch job: the shim ended early: %s", strings.TrimSpace(line))
	}
	rest, _ := io.ReadAll(io.LimitReader(br, 4<<10))
	return fmt.Errorf("launch job: %s", strings.TrimSpace(line+string(rest)))
}

// What a shim says on its standard output, once; anything else is why it
// could not begin.
const (
	reportStarted = "started\n"
	reportTaken   = "taken\n"
)

// prepare makes what the shim finds in its folder.
func prepare(dir string, spec Spec) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{controlPipe, alivePipe} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make pipe %s: %w", name, err)
		}
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, specFile), data)
}

// Describe reads how far the job in dir has come. The outcome is of an ended
// job.
func Describe(dir string) (State, Outcome, error) {
	// The shim holds its lock from before the started file until after the
	// outcome: looked at in this order, the three cannot mislead.
	started, err := exists(filepath.Join(dir, startedFile))
	if err != nil {
		return New, Outcome{}, err
	}
	if !started {
		return New, Outcome{}, nil
	}
	held, err := lockHeld(filepath.Join(dir, lockFile))
	if err != nil {
		return New, Outcome{}, err
	}
	data, err := os.ReadFile(filepath.Join(dir, outcomeFile))
	switch {
	case err == nil:
		var o Outcome
		if err := json.Unmarshal(data, &o); err != nil {
			return New, Outcome{}, fmt.Errorf("read %s: %w", filepath.Join(dir, outcomeFile), err)
		}
		return Ended, o, nil
	case !errors.Is(err, fs.ErrNotExist):
		return New, Outcome{}, err
	case held:
		return Running, Outcome{}, nil
	}
	info, err := os.Stat(filepath.Join(dir, startedFile))
	if err != nil {
		return New, Outcome{}, err
	}
	return Ended, Outcome{Code: -1, Lost: true, Started: info.ModTime()}, nil
}

// Wait blocks until the job in dir has ended, or ctx has; the job goes on
// then.
func Wait(ctx context.Context, dir string) (Outcome, error) {
	for {
		state, o, err := Describe(dir)
		switch {
		case err != nil:
			return Outcome{}, err
		case state == New:
			return Outcome{}, ErrNotLaunched
		case state == Ended:
			return o, nil
		}
		if err := waitGone(ctx, filepath.Join(dir, alivePipe)); err != nil {
			return Outcome{}, err
		}
	}
}

// waitGone blocks until the shim no longer holds its pipe open. The lock goes
// at the same time, give or take the order in which the kernel closes files.
func waitGone(ctx context.Context, pipe string) error {
	// Not blocking: Open would otherwise wait for a writer, and Read could not
	// be interrupted.
	f, err := os.OpenFile(pipe, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })()
	_, err = f.Read(make([]byte, 1))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && err != io.EOF {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Millisecond):
		return nil
	}
}

// Stop asks for the end of the job in dir: SIGTERM, then SIGKILL after its
// grace. A job that was not started yet, or has no folder yet, never will be.
// Stop does not wait, and does nothing for a job that has ended.
func Stop(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("stop job: %w", err)
	}
	if ok, err := exists(filepath.Join(dir, outcomeFile)); err != nil || ok {
		return err
	}
	if err := writeFile(filepath.Join(dir, stopFile), nil); err != nil {
		return fmt.Errorf("stop job: %w", err)
	}
	// The file says it for good, the byte only wakes a shim that has looked.
	f, err := os.OpenFile(filepath.Join(dir, controlPipe), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, fs.ErrNotExist) {
		return nil // no shim
	}
	if err != nil {
		return fmt.Errorf("stop job: %w", err)
	}
	defer f.Close()
	if _, err := f.Write([]byte{'s'}); err != nil && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("stop job: %w", err)
	}
	return nil
}

// Stopped reports whether [Stop] was called for the job in dir before it
// ended.
func Stopped(dir string) (bool, error) { return exists(filepath.Join(dir, stopFile)) }
