package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// annealBinary is the real program, built once: daemons are killed for real.
var annealBinary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "anneal-test-")
	if err != nil {
		panic(err)
	}
	annealBinary = filepath.Join(dir, "anneal")
	if out, err := exec.Command("go", "build", "-o", annealBinary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build anneal: %v\n%s", err, out)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// TestScripts runs the commands of testdata as a user would.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: scriptCommands,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(annealBinary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TZ", "UTC")
			return nil
		},
	})
}

// A process is a daemon that runs in a folder of its own.
type process struct {
	t      testing.TB
	dir    string
	env    []string // beside that of the test
	server string
	cmd    *exec.Cmd
	log    *logged
}

// logged is what a daemon has logged so far. Safe for concurrent use.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// begin starts a daemon on the settings in dir and waits until it is ready.
func begin(t testing.TB, dir string) *process {
	t.Helper()
	p := &process{t: t, dir: dir}
	p.start()
	p.awaitReady()
	return p
}

// start starts the daemon, which ends with the test at the latest.
func (p *process) start() {
	p.t.Helper()
	addresses, _ := filepath.Glob(filepath.Join(p.dir, "*", "address"))
	for _, stale := range addresses { // another daemon may have the port by now
		if err := os.Remove(stale); err != nil {
			p.t.Fatal(err)
		}
	}
	p.log = &logged{}
	p.cmd = exec.Command(annealBinary, "serve", "--config", filepath.Join(p.dir, "anneal.yaml"))
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	started := p.cmd
	p.t.Cleanup(func() { started.Process.Kill(); started.Wait() })
}

func (p *process) awaitReady() {
	p.t.Helper()
	eventually(p.t, 30*time.Second, func() error {
		files, err := filepath.Glob(filepath.Join(p.dir, "*", "address"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no address yet (%v)\n%s", err, p.log)
		}
		address, err := os.ReadFile(files[0])
		if err != nil {
			return err
		}
		p.server = strings.TrimSpace(string(address))
		resp, err := http.Get(p.server + "/readyz")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.log)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %d", resp.StatusCode)
		}
		return nil
	})
}

// kill ends the daemon at once; its jobs go on.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// get reads a list or an item of the API.
func (p *process) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", p.server+"/api/v1/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("GET %s: %d: %s", path, resp.StatusCode, body)
	}
	return json.Unmarshal(body, into)
}

// anneal runs a command against the daemon and returns what it printed.
func (p *process) anneal(args ...string) (stdout string, status int) {
	p.t.Helper()
	return runWith([]string{"ANNEAL_SERVER=" + p.server}, args...)
}

// runOnce runs a command and returns what it printed; runWith with more in its
// environment. A status of -1 is of one that could not be run.
func runOnce(args ...string) (output string, status int) { return runWith(nil, args...) }

func runWith(env []string, args ...string) (output string, status int) {
	cmd := exec.Command(annealBinary, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return err.Error(), -1
	}
	return out.String() + errs.String(), cmd.ProcessState.ExitCode()
}

// eventually waits for ok to have nothing to complain of: ten times as long as it
// may take on a machine that has nothing else to do, since one that has may stand
// still for seconds.
func eventually(t testing.TB, within time.Duration, ok func() error) {
	t.Helper()
	within = min(10*within, 5*time.Minute)
	for deadline := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		late := time.Now().After(deadline) // before it is asked for the last time, however long that takes
		err := ok()
		if err == nil {
			return
		}
		if late {
			t.Fatalf("not within %s: %v", within, err)
		}
	}
}

// write puts files, by name, into a folder.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

// drop moves a file into an inbox, whole.
func drop(t *testing.T, inbox, name string, data []byte) {
	t.Helper()
	hidden := filepath.Join(inbox, "."+name)
	if err := os.WriteFile(hidden, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, filepath.Join(inbox, name)); err != nil {
		t.Fatal(err)
	}
}
