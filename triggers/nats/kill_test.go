package nats

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
)

// TestMain is the process that TestKill kills, where it is told to be.
func TestMain(m *testing.M) {
	if file := os.Getenv("NATS_KILL_FILE"); file != "" {
		s, err := New(Config{URLs: []string{os.Getenv("NATS_KILL_SERVER")}, Stream: "uploads", AckWait: time.Second}, quiet)
		if err == nil {
			err = s.Run(context.Background(), &ledger{path: file})
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A ledger is a sink whose events outlive the process: an ID a line.
type ledger struct {
	path string

	mu    sync.Mutex
	out   *os.File        // guarded by mu
	known map[string]bool // guarded by mu
}

func (f *ledger) Ingest(_ context.Context, e anneal.Event) (anneal.Event, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out == nil {
		f.known = make(map[string]bool)
		for _, id := range recorded(f.path) {
			f.known[id] = true
		}
		var err error
		if f.out, err = os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666); err != nil {
			return e, false, err
		}
	}
	if f.known[e.ID] {
		return e, true, nil
	}
	if _, err := fmt.Fprintf(f.out, "%s %s\n", e.ID, e.Subject); err != nil {
		return e, false, err
	}
	f.known[e.ID] = true
	return e, false, nil
}

func recorded(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil // not written yet
	}
	defer file.Close()
	var ids []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		id, _, _ := strings.Cut(lines.Text(), " ")
		ids = append(ids, id)
	}
	return ids
}

// However often the process is killed, nothing is lost and nothing recorded
// twice: plain bodies, which only their place in the stream tells apart, and
// changes of S3, of which one in twenty is told twice.
func TestKill(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	p := newPublisher(t, s.ClientURL())
	p.stream(t, "uploads")
	const things = 1000
	var bodies []string
	for n := range things / 2 {
		bodies = append(bodies, notification(fmt.Sprint(n), n), `{"the same": true}`)
		if n%10 == 0 {
			bodies = append(bodies, notification(fmt.Sprint(n), n))
		}
	}
	rand.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	file := filepath.Join(t.TempDir(), "events")
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "NATS_KILL_FILE="+file, "NATS_KILL_SERVER="+s.ClientURL())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	kills := 0
	for len(bodies) > 0 {
		n := min(len(bodies), 50)
		for _, body := range bodies[:n] {
			p.send(t, "uploads.put", body)
		}
		bodies = bodies[n:]
		cmd, before := start(), len(recorded(file))
		// In the middle of what was just sent, wherever that is by then.
		eventually(t, "an event", func() bool { return len(recorded(file)) > before })
		time.Sleep(rand.N(10 * time.Millisecond))
		cmd.Process.Kill()
		cmd.Wait()
		kills++
	}
	cmd := start()
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	p.drained(t, "uploads")
	ids := map[string]bool{}
	all := recorded(file)
	for _, id := range all {
		ids[id] = true
	}
	if len(all) != things || len(ids) != things {
		t.Errorf("%d events are recorded, %d of them different, after %d kills; want %d", len(all), len(ids), kills, things)
	}
}
