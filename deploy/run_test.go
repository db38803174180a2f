package deploy_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/cloud/cloudtest"
)

// A workload is a container as a manifest describes it.
type workload struct {
	args     []string
	env      map[string]string
	folders  map[string]string // of the container, and where each is on this machine
	settings string
	port     int32  // that the daemon listens on, in the settings
	free     string // the port in its place here
}

// mapped is text of the container with this machine's folders and port.
func (w *workload) mapped(text string) string {
	var pairs []string
	for inside, here := range w.folders {
		pairs = append(pairs, inside, here)
	}
	pairs = append(pairs, ":"+strconv.Itoa(int(w.port)), ":"+w.free)
	return strings.NewReplacer(pairs...).Replace(text)
}

// mount puts files in a folder as the kubelet puts a ConfigMap there: links through
// a link that is replaced.
func (w *workload) mount(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	if w.free == "" {
		w.free = cloudtest.Port(t)
	}
	at, err := os.MkdirTemp(folder, "..generation-")
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(folder, "..data_tmp")
	if err := os.Symlink(filepath.Base(at), next); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		text := w.mapped(text)
		if name == "anneal.yaml" { // there is one port here, and many daemons
			text += "\nembedded: {listen: \"off\"}\n"
		}
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(next, filepath.Join(folder, "..data")); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

// A process is a container that runs.
type process struct {
	binary string
	env    []string
	server string
	cmd    *exec.Cmd

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// buildDir is where the binary is built, once.
var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "anneal-deploy-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(status)
}

var built = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildDir, "anneal")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/anneal").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build anneal: %w\n%s", err, out)
	}
	return binary, nil
})

// run starts the container's command.
func (w *workload) run(t *testing.T) *process {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{binary: binary, server: "http://127.0.0.1:" + w.free}
	p.env = append(os.Environ(), "ANNEAL_SERVER="+p.server)
	for name, value := range w.env {
		p.env = append(p.env, name+"="+value)
	}
	args := slices.Clone(w.args)
	for i := range args {
		args[i] = w.mapped(args[i])
	}
	p.cmd = p.command(args...)
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

// command is another one in the container.
func (p *process) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.binary, args...)
	cmd.Env = p.env
	return cmd
}

// status asks for a path; 0 is no answer.
func (p *process) status(t *testing.T, path string) int {
	t.Helper()
	resp, err := http.Get(p.server + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (p *process) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within five minutes: %s\n%s", what, p.logged())
		}
	}
}

func (p *process) awaitOK(t *testing.T, path string) {
	t.Helper()
	p.await(t, path+" answers 200", func() bool { return p.status(t, path) == http.StatusOK })
}

// awaitLog waits for a line with all these words.
func (p *process) awaitLog(t *testing.T, words ...string) {
	t.Helper()
	p.await(t, strings.Join(words, " "), func() bool {
		for line := range strings.Lines(p.logged()) {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
				return true
			}
		}
		return false
	})
}

// stop ends it as a platform does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("stopped: %v\n%s", err, p.logged())
	}
}
