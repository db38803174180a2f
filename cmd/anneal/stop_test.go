package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ends waits for a process that was told to stop, and returns its status: that
// of a shell where a signal has ended it.
func (p *process) ends(told time.Time) (status int, took time.Duration) {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(5 * time.Minute):
		p.t.Fatalf("the daemon has not ended within 5 minutes\n%s", p.log)
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(told)
}

func (p *process) status(path string) int {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(p.server + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// endless begins a request whose body never ends, and returns when the daemon
// reads it.
func (p *process) endless(path string) net.Conn {
	p.t.Helper()
	host := strings.TrimPrefix(p.server, "http://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "POST /api/v1/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", path, host)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		p.t.Fatalf("the daemon answers %q, %v, want that it goes on to read", line, err)
	}
	fmt.Fprint(c, "{")
	return c
}

// stopTries is how often a test looks at a daemon that stops, before it believes what it
// sees: the daemon holds out for [stopWithin] only, and where the test stood still for as
// long, there is nobody left to look at.
const stopTries = 5

// TestStop stops a daemon in the middle of a run, with peers that hold it up: it
// ends in order and in time, and the run goes on at the next start.
func TestStop(t *testing.T) {
	t.Parallel()
	dir := pipelineProject(t, readyTrainer, "1h")
	p := begin(t, dir)
	drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,0\n2,1\n3,1\n4,0\n"))
	jobs := filepath.Join(dir, "jobs.log")
	eventually(t, 30*time.Second, func() error {
		if len(lines(t, jobs)) == 0 {
			return errors.New("no training has begun")
		}
		return nil
	})
	for try := 1; ; try++ {
		slow := p.endless("events")
		p.endless("policies/train/trigger")
		told := time.Now()
		wrong := p.stops()
		drop(t, filepath.Join(dir, "inbox"), "late.csv", []byte("x,y\n1,0\n"))
		status, took := p.ends(told)
		if took > 10*time.Second {
			wrong = append(wrong, fmt.Sprintf("it took %s", took))
		}
		if status != 0 {
			t.Errorf("status %d after %s, want 0\n%s", status, took, p.log)
		}
		if _, err := io.ReadAll(slow); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the endless request: %v", err)
		}
		if out, status := p.anneal("journal", "verify", filepath.Join(dir, "anneal-data")); status != 0 || strings.Contains(out, "torn") {
			t.Errorf("journal verify: status %d\n%s", status, out)
		}
		if len(wrong) == 0 {
			break
		}
		if took < stopWithin || try == stopTries {
			t.Errorf("while it stopped, for %s: %s\n%s", took, strings.Join(wrong, "; "), p.log)
			break
		}
		p = begin(t, dir)
	}
	write(t, dir, map[string]string{"go": ""}) // the job was not stopped: it ends now
	p = begin(t, dir)
	if run := p.ended(1)[0]; run.Status != "SUCCEEDED" {
		t.Errorf("the run ended %s: %s", run.Status, run.Cause)
	}
	if n := len(lines(t, jobs)); n != 1 {
		t.Errorf("%d trainings, want 1", n)
	}
	p.event("late.csv")
	for try := 1; ; try++ {
		told := time.Now()
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		status, took := p.ends(told)
		if status != 0 || took > stopWithin && try == stopTries {
			t.Errorf("SIGINT with nothing to wait for: status %d after %s, want 0 at once", status, took)
		}
		if took <= stopWithin || try == stopTries {
			break
		}
		p = begin(t, dir)
	}
}

// stops tells a daemon that is held up to stop, and says what is wrong with how it
// answers meanwhile: it is alive and not ready, and takes nothing.
func (p *process) stops() (wrong []string) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(stopWithin); ; time.Sleep(20 * time.Millisecond) {
		status := p.status("/readyz")
		if status == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(deadline) {
			return []string{fmt.Sprintf("/readyz answers %d", status)}
		}
	}
	if status := p.status("/livez"); status != http.StatusOK {
		wrong = append(wrong, fmt.Sprintf("/livez answers %d", status))
	}
	if status := p.status("/api/v1/runs"); status != http.StatusOK {
		wrong = append(wrong, fmt.Sprintf("reading is answered %d", status))
	}
	resp, err := http.Post(p.server+"/api/v1/events", "application/json", strings.NewReader("{}"))
	if err != nil {
		return append(wrong, fmt.Sprintf("an event: %v", err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		wrong = append(wrong, fmt.Sprintf("an event is answered %s, want 503 with Retry-After", resp.Status))
	}
	return wrong
}

// TestSecondSignal ends a daemon that stops at once, and loses nothing by it.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		second syscall.Signal
		status int
	}{{syscall.SIGTERM, 143}, {syscall.SIGINT, 130}} {
		dir := hostileProject(t)
		p := begin(t, dir)
		drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,2\n"))
		p.decisionAbout(p.event("a.csv"))
		for try := 1; ; try++ {
			p.endless("events")
			told := time.Now()
			wrong := p.stops()
			if err := p.cmd.Process.Signal(c.second); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			status, took := p.ends(told)
			if status != c.status || took > stopWithin { // which the first signal alone takes
				wrong = append(wrong, fmt.Sprintf("status %d after %s, want %d at once", status, took, c.status))
			}
			if len(wrong) == 0 {
				break
			}
			if took < stopWithin || try == stopTries {
				t.Errorf("a second signal, %v: %s\n%s", c.second, strings.Join(wrong, "; "), p.log)
				break
			}
			p = begin(t, dir)
		}
		p = begin(t, dir)
		p.decisionAbout(p.event("a.csv"))
		if out, status := p.anneal("decisions", "verify"); status != 0 {
			t.Errorf("decisions verify: status %d\n%s", status, out)
		}
	}
}

// Nobody who asks for work is let in any more once those within have been waited for:
// there is no loop then that would do it.
func TestGate(t *testing.T) {
	for range 100 {
		var g gate
		var waited, late atomic.Bool
		h := g.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if waited.Load() {
				late.Store(true)
			}
			runtime.Gosched()
		}))
		var askers sync.WaitGroup
		for range 8 {
			askers.Go(func() {
				for status := 0; status != http.StatusServiceUnavailable; {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
					status = w.Code
				}
			})
		}
		runtime.Gosched()
		g.close()
		g.wait()
		waited.Store(true)
		askers.Wait()
		if late.Load() {
			t.Fatal("somebody was let in once those within had been waited for")
		}
	}
}

func TestVersion(t *testing.T) {
	out, err := exec.Command(annealBinary, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "anneal ") || !strings.Contains(string(out), " go1.") {
		t.Errorf("--version says %q, %v", out, err)
	}
}
