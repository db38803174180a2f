package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ends waits for a process that was told to stop, and returns its status: that
// of a shell where a signal has ended it.
func (p *process) ends(within time.Duration) (status int, took time.Duration) {
	p.t.Helper()
	begun := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(within):
		p.t.Fatalf("the daemon has not ended within %s\n%s", within, p.log)
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(begun)
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
	slow := p.endless("events")
	p.endless("policies/train/trigger")

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// Held up by the two, it is alive and not ready, and takes nothing.
	eventually(t, 2*time.Second, func() error {
		if status := p.status("/readyz"); status != http.StatusServiceUnavailable {
			return fmt.Errorf("/readyz answers %d", status)
		}
		return nil
	})
	if status := p.status("/livez"); status != http.StatusOK {
		t.Errorf("/livez answers %d while it stops", status)
	}
	if status := p.status("/api/v1/runs"); status != http.StatusOK {
		t.Errorf("reading is answered %d while it stops", status)
	}
	resp, err := http.Post(p.server+"/api/v1/events", "application/json", strings.NewReader("{}"))
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("an event that comes while it stops: %v, %v, want 503 with Retry-After", resp, err)
	}
	drop(t, filepath.Join(dir, "inbox"), "late.csv", []byte("x,y\n1,0\n"))

	if status, took := p.ends(10 * time.Second); status != 0 {
		t.Errorf("status %d after %s, want 0\n%s", status, took, p.log)
	}
	if _, err := io.ReadAll(slow); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the endless request: %v", err)
	}
	if out, status := p.anneal("journal", "verify", filepath.Join(dir, "anneal-data")); status != 0 || strings.Contains(out, "torn") {
		t.Errorf("journal verify: status %d\n%s", status, out)
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
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if status, took := p.ends(10 * time.Second); status != 0 || took > 3*time.Second {
		t.Errorf("SIGINT with nothing to wait for: status %d after %s, want 0 at once", status, took)
	}
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
		p.endless("events")
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		eventually(t, 2*time.Second, func() error {
			if status := p.status("/readyz"); status != http.StatusServiceUnavailable {
				return fmt.Errorf("/readyz answers %d", status)
			}
			return nil
		})
		if err := p.cmd.Process.Signal(c.second); err != nil {
			t.Fatal(err)
		}
		if status, took := p.ends(5 * time.Second); status != c.status || took > time.Second {
			t.Errorf("a second signal, %v: status %d after %s, want %d at once", c.second, status, took, c.status)
		}
		p = begin(t, dir)
		p.decisionAbout(p.event("a.csv"))
		if out, status := p.anneal("decisions", "verify"); status != 0 {
			t.Errorf("decisions verify: status %d\n%s", status, out)
		}
	}
}

func TestVersion(t *testing.T) {
	out, err := exec.Command(annealBinary, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "anneal ") || !strings.Contains(string(out), " go1.") {
		t.Errorf("--version says %q, %v", out, err)
	}
}
