package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRollingUpdate starts a second daemon on the data folder of the first. It
// waits: alive, not ready, with one line in the log. When the first is gone,
// killed or stopped, it takes over, and the journal is sound.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := hostileProject(t)
			inbox, data := filepath.Join(dir, "inbox"), filepath.Join(dir, "anneal-data")
			first := begin(t, dir)
			second := waiter(t, dir)

			// While it waits, the first goes on.
			drop(t, inbox, "one.csv", []byte("x,y\n1,2\n"))
			first.decisionAbout(first.event("one.csv"))
			for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/api/v1/events": 503} {
				if status, body := second.ask(path); status != want {
					t.Errorf("%s of the daemon that waits: %d %s, want %d", path, status, body, want)
				}
			}
			for flag, want := range map[string]int{"--ready": exitNo, "--ready=false": 0} {
				if out, status := second.anneal("health", flag); status != want {
					t.Errorf("health %s of the daemon that waits: status %d, want %d\n%s", flag, status, want, out)
				}
			}
			third := waiter(t, dir)
			if err := third.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := third.cmd.Wait(); err != nil {
				t.Errorf("a daemon that is stopped while it waits: %v\n%s", err, third.log)
			}

			if err := first.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			first.cmd.Wait() // killed: an error is right
			eventually(t, 30*time.Second, func() error {
				if status, body := second.ask("/readyz"); status != http.StatusOK {
					return fmt.Errorf("/readyz: %d %s\n%s", status, body, second.log)
				}
				return nil
			})
			if n := strings.Count(second.log.String(), "waiting for the data folder"); n != 1 {
				t.Errorf("it says %d times that it waits, want once:\n%s", n, second.log)
			}
			drop(t, inbox, "two.csv", []byte("x,y\n1,2\n"))
			second.event("one.csv")
			second.decisionAbout(second.event("two.csv"))
			if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := second.cmd.Wait(); err != nil {
				t.Errorf("the second daemon: %v\n%s", err, second.log)
			}
			for _, args := range [][]string{{"journal", "verify", data}, {"decisions", "verify", "--data", data}} {
				if out, status := runOnce(args...); status != 0 {
					t.Errorf("%v: status %d\n%s", args, status, out)
				}
			}
		})
	}
}

var waitsAt = regexp.MustCompile(`waiting for the data folder.* address=(\S+)`)

// waiter starts a daemon on a data folder that another one has, with the same
// settings, and returns when it waits.
func waiter(t *testing.T, dir string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, log: &logged{}}
	p.cmd = exec.Command(annealBinary, "serve", "--config", filepath.Join(dir, "anneal.yaml"), "--wait", "10m")
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	eventually(t, 30*time.Second, func() error {
		m := waitsAt.FindStringSubmatch(p.log.String())
		if m == nil {
			return fmt.Errorf("it does not say that it waits\n%s", p.log)
		}
		p.server = m[1]
		return nil
	})
	return p
}

// ask asks for a path, and returns the status of the answer; 0 is none.
func (p *process) ask(path string) (status int, body string) {
	resp, err := http.Get(p.server + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}
