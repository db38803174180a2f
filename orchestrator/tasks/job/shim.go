package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Run is the shim: it runs the job in the folder dir, to its end, and answers
// the exit status for the shim's own process: 0 if the job was seen to its end
// here or is another shim's, 3 if it was not.
//
// It must have the process to itself: it takes signals, adopts orphans, and
// dies with everything it started.
func Run(dir string) int {
	// The command's first process dies when this thread does; see childAttr.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Whoever launched us may be gone: a report to nobody is no reason to die.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	s, err := begin(dir)
	switch {
	case errors.Is(err, errTaken):
		fmt.Fprint(os.Stdout, reportTaken)
		return 0
	case err != nil:
		fmt.Fprintln(os.Stdout, err)
		return 3
	}
	fmt.Fprint(os.Stdout, reportStarted)
	os.Stdout.Close()
	if err := s.end(s.run()); err != nil {
		return 3 // the folder tells the same: neither lock nor outcome
	}
	return 0
}

var errTaken = errors.New("another shim has or had the job")

// A shim is one job while it runs. Its open files are its lock and its sign of
// life: they close with the process.
type shim struct {
	dir     string
	spec    Spec
	control *os.File
	alive   *os.File
	lock    *os.File
	outcome *os.File // has the room for an outcome
	log     *os.File
	stdout  *os.File // nil unless captured
	stdin   *os.File
}

// begin takes the job, and everything that it needs of the disk. When it
// returns without an error the job counts as started.
func begin(dir string) (*shim, error) {
	s := &shim{dir: dir}
	var err error
	// Before the lock, so that a held lock means an open pipe. Read and write:
	// neither open waits for the other end.
	if s.alive, err = s.open(alivePipe, os.O_RDWR|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	if s.control, err = s.open(controlPipe, os.O_RDWR|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	if s.lock, err = s.open(lockFile, os.O_RDWR|os.O_CREATE); err != nil {
		return nil, err
	}
	// Another shim that has the lock either marks the job as started at once, or
	// could not begin and goes away: then the job is ours.
	for {
		taken, err := lock(s.lock)
		if err != nil {
			return nil, fmt.Errorf("lock the job's folder: %w", err)
		}
		if done, err := exists(filepath.Join(dir, startedFile)); err != nil {
			return nil, err
		} else if done {
			return nil, errTaken
		}
		if taken {
			break
		}
		time.Sleep(time.Millisecond)
	}

	data, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &s.spec); err != nil {
		return nil, fmt.Errorf("read %s: %w", specFile, err)
	}
	if len(s.spec.Command) == 0 {
		return nil, errors.New("the job has no command")
	}
	const truncate = os.O_RDWR | os.O_CREATE | os.O_TRUNC
	if s.log, err = s.open(Log, truncate); err != nil {
		return nil, err
	}
	if s.spec.Capture > 0 {
		if s.stdout, err = s.open(Stdout, truncate); err != nil {
			return nil, err
		}
	}
	if len(s.spec.Stdin) > 0 {
		if s.stdin, err = s.open("stdin", truncate); err != nil {
			return nil, err
		}
		if _, err := s.stdin.Write(s.spec.Stdin); err != nil {
			return nil, err
		}
		if _, err := s.stdin.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	if s.outcome, err = s.open(outcomeFile+".tmp", truncate); err != nil {
		return nil, err
	}
	if _, err := s.outcome.WriteString(strings.Repeat(" ", outcomeRoom)); err != nil {
		return nil, fmt.Errorf("take room for the outcome: %w", err)
	}
	if err := s.outcome.Sync(); err != nil {
		return nil, fmt.Errorf("take room for the outcome: %w", err)
	}

	// From here on the command counts as started, whatever happens.
	f, err := s.open(startedFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) {
		return nil, errTaken
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return s, syncDir(dir)
}

// mark is the variable by which the processes of a job are known.
func mark(dir string) string { return "ANNEAL_JOB=" + dir }

// outcomeRoom is the most that an outcome takes, in bytes.
const outcomeRoom = 8 << 10

func (s *shim) open(name string, flag int) (*os.File, error) {
	return os.OpenFile(filepath.Join(s.dir, name), flag, 0o600)
}

// run starts the command and sees it to its end.
func (s *shim) run() Outcome {
	o := Outcome{Code: -1, Started: time.Now().UTC()}
	// From here on a signal to the shim is a stop; after this look for the
	// file, a byte in the pipe is.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	asked := make(chan struct{}, 1)
	go func() {
		s.control.Read(make([]byte, 1))
		asked <- struct{}{}
	}()
	if stopped, _ := Stopped(s.dir); stopped {
		o.Ended, o.Stopped = o.Started, true
		return o
	}
	fail := func(err error) Outcome {
		o.Ended, o.Problem = time.Now().UTC(), err.Error()
		return o
	}

	logs := newLog(s.log, s.spec.LogLimit)
	out := &capture{w: s.stdout, room: s.spec.Capture}
	logRead, logWrite, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	outWrite, copied := logWrite, 1
	done := make(chan struct{}, 2)
	keep := func(to io.Writer, from *os.File) {
		drain(to, from)
		done <- struct{}{}
	}
	reads := []*os.File{logRead}
	if s.stdout != nil {
		var outRead *os.File
		if outRead, outWrite, err = os.Pipe(); err != nil {
			return fail(err)
		}
		copied = 2
		reads = append(reads, outRead)
		go keep(out, outRead)
	}
	go keep(logs, logRead)

	// exec looks a bare program name up in the environment of this process.
	for _, e := range s.spec.Env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			os.Setenv("PATH", path)
		}
	}
	adoptOrphans()
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	cmd := exec.Command(s.spec.Command[0], s.spec.Command[1:]...)
	cmd.Dir, cmd.Env = s.spec.Dir, append(s.spec.Env, mark(s.dir))
	if s.stdin != nil {
		cmd.Stdin = s.stdin
	}
	cmd.Stdout, cmd.Stderr = outWrite, logWrite
	cmd.SysProcAttr = childAttr()
	err = cmd.Start()
	logWrite.Close()
	outWrite.Close()
	if err != nil {
		return fail(err)
	}

	group := cmd.Process.Pid
	exited := make(chan struct{})
	go func() {
		waitExit(cmd)
		close(exited)
	}()
	var timeout, kill <-chan time.Time
	if s.spec.Timeout > 0 {
		timeout = time.After(s.spec.Timeout)
	}
	terminate := func() {
		if s.spec.Grace <= 0 {
			unix.Kill(-group, unix.SIGKILL)
		} else if kill == nil {
			unix.Kill(-group, unix.SIGTERM)
			kill = time.After(s.spec.Grace)
		}
	}
	for running := true; running; {
		select {
		case <-exited:
			running = false
		case <-children:
			for _, pid := range orphans(group) {
				unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		case <-asked:
			o.Stopped = true
			terminate()
		case <-stop:
			o.Stopped = true
			terminate()
		case <-timeout:
			o.TimedOut = true
			terminate()
		case <-kill:
			unix.Kill(-group, unix.SIGKILL)
		}
	}
	// What the command left behind ends with it, as in a container.
	unix.Kill(-group, unix.SIGKILL)
	cmd.Wait() // after the kill: an unreaped process keeps the group's number taken
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		left := orphans(group)
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			unix.Kill(pid, unix.SIGKILL)
			unix.Wait4(pid, nil, 0, nil)
		}
	}
	o.Ended = time.Now().UTC()

	// The pipes are at their end now, unless something got away that could
	// not be killed.
	for _, r := range reads {
		r.SetReadDeadline(time.Now().Add(5 * time.Second))
	}
	for range copied {
		<-done
	}
	if err := logs.finish(); err != nil {
		o.LogProblem = err.Error()
	}
	if out.err != nil {
		o.Problem = "keep standard output: " + out.err.Error()
	}
	o.Overflow = out.overflow
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	o.Code = status.ExitStatus()
	if status.Signaled() {
		o.Signal = status.Signal().String()
	}
	return o
}

// drain copies what comes from a pipe until it is at its end, or its deadline has
// come and nothing more is in it: who has got no time until then loses nothing.
func drain(to io.Writer, from *os.File) {
	if _, err := io.Copy(to, from); !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	from.SetReadDeadline(time.Time{})
	raw, err := from.SyscallConn()
	if err != nil {
		return // unreachable: it is open
	}
	raw.Read(func(fd uintptr) bool {
		rest := make([]byte, pipeSize)
		if n, _ := unix.Read(int(fd), rest); n > 0 {
			to.Write(rest[:n])
		}
		return true // whatever it was: nothing is waited for
	})
}

// pipeSize is as much as a pipe holds, in bytes: see pipe(7).
const pipeSize = 64 << 10

// end makes the outcome durable.
func (s *shim) end(o Outcome) error {
	for _, f := range []*os.File{s.log, s.stdout} {
		if f != nil {
			f.Sync() // best effort: the outcome must not wait for a log
		}
	}
	if len(o.Problem) > outcomeRoom/4 {
		o.Problem = o.Problem[:outcomeRoom/4]
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := s.outcome.WriteAt(data, 0); err != nil {
		return err
	}
	if err := s.outcome.Truncate(int64(len(data))); err != nil {
		return err
	}
	if err := s.outcome.Sync(); err != nil {
		return err
	}
	if err := os.Rename(s.outcome.Name(), filepath.Join(s.dir, outcomeFile)); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	return s.alive.Close() // who waits need not wait for the process's own end
}
