package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/web"
)

const hostileSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policies]
sources:
  - directory: {path: ./inbox, settle: 20ms}
`

// hostilePolicy counts rows, and compares them with nothing.
const hostilePolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: count}
spec:
  model: {group: count}
  data: {target: y, train: {last: 1}}
  signals:
    rows: {source: data, reduce: rows, since: lastTrained}
    drift: {source: data, window: {objects: 1}, reference: champion}
  triggers:
    - {id: new-data, event: {type: Object Created}}
  rules:
    - {id: never, if: "signals.rows.value >= 1000000000"}
  notify:
    - {events: [parked], to: log}
`

func hostileProject(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, map[string]string{"anneal.yaml": hostileSettings, "policies/count.yaml": hostilePolicy, "inbox/.keep": ""})
	return dir
}

// TestHostileFiles drops what nobody should: each file is parked with its
// reason, or taken with what was skipped counted, and a good file that comes
// after it is decided on as ever.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	dir := hostileProject(t)
	inbox := filepath.Join(dir, "inbox")
	p := begin(t, dir)
	good, rows := 0, 0.0
	for _, f := range []struct {
		name   string
		write  func(io.Writer)
		parked string // part of the reason
		rows   int64  // taken, where it is not parked
		ragged int64  // skipped
	}{
		{name: "ragged.csv", write: text("x,y\n1,2\n1\n1,2,3\n3,4\n"), rows: 2, ragged: 2},
		{name: "types.csv", write: text("x,y\n1,2\nred,2\n3,blue\n"), rows: 3},
		{name: "open-quote.csv", write: text("x,y\n1,2\n3,\"4\n5,6\n"), rows: 2},
		{name: "no-end.csv", write: text("x,y\n1,2"), rows: 1},
		{name: "header.csv", write: text("x,y\n"), rows: 0},
		{name: "empty.csv", write: text(""), parked: "is empty: want a header line"},
		{name: "empty.csv.gz", write: text(""), parked: "is empty: want a header line"},
		{name: "nul.csv", write: text("x,y\n1,\x00\n"), parked: "it holds a NUL byte at offset 6"},
		{name: "binary.csv", write: text("\x7fELF\x02\x01\x01\x00\x00"), parked: "is not text"},
		{name: "parquet.csv", write: text("PAR1\x15\x04"), parked: "is Parquet: its name must end in"},
		{name: "semicolons.csv", write: text("x;y\n1;2\n"), parked: "want commas"},
		{name: "twice.csv", write: text("x,x\n1,2\n"), parked: `two columns are called "x"`},
		{name: "long.csv", write: longLine, parked: ":3: the line is longer than 1048576 bytes"},
		{name: "bomb.csv.gz", write: packed(func(w io.Writer) { repeat(w, "x,y\n", "1,1\n", 25_000_000) }), parked: "unpacks to more than 500 times its size"},
		{name: "cut.csv.gz", write: cut(packed(func(w io.Writer) { repeat(w, "x,y\n", "1,1\n", 1000) })), parked: "the gzip stream has no end"},
		{name: "not.csv.gz", write: text("x,y\n1,2\n"), parked: "is not gzip, though its name says so"},
		{name: "a name\nof two lines é😀.csv", write: text("x,y\n1,2\n"), rows: 1},
		{name: "a..b.csv", write: text("x,y\n1,2\n"), rows: 1},
		{name: "%2e%2e%2fpasswd?#&.csv", write: text("x,y\n1,2\n"), rows: 1},
		{name: "-rf.csv", write: text("x,y\n1,2\n"), rows: 1},
	} {
		path := filepath.Join(inbox, ".hostile")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		f.write(file)
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, filepath.Join(inbox, f.name)); err != nil {
			t.Fatal(err)
		}
		event := p.event(f.name)
		if f.parked != "" {
			eventually(t, time.Minute, func() error {
				if event = p.event(f.name); event.Parked == "" {
					return fmt.Errorf("%q is not parked", f.name)
				}
				return nil
			})
			if !strings.Contains(event.Parked, f.parked) {
				t.Errorf("%q is parked: %s\nwant … %s …", f.name, event.Parked, f.parked)
			}
		} else {
			d := p.decisionAbout(event)
			rows += float64(f.rows)
			if o := d.Training.Objects[0]; o.Event != event.ID || o.Rows != f.rows || o.Ragged != f.ragged || *d.Signals["rows"].Value != rows {
				t.Errorf("%q: %d rows of it taken and %d skipped, %g in all; want %d, %d and %g", f.name, o.Rows, o.Ragged, *d.Signals["rows"].Value, f.rows, f.ragged, rows)
			}
		}
		os.Remove(filepath.Join(inbox, f.name)) // a large one; the rest does not mind

		name := fmt.Sprintf("good-%02d.csv", good)
		good++
		drop(t, inbox, name, fmt.Appendf(nil, "x,y\n1,2\n3,%d\n", good))
		d := p.decisionAbout(p.event(name))
		if rows += 2; *d.Signals["rows"].Value != rows {
			t.Errorf("after %q a good file gives %g rows in all, want %g", f.name, *d.Signals["rows"].Value, rows)
		}
	}

	var notices []anneal.Notice
	if err := p.get("notices", &notices); err != nil {
		t.Fatal(err)
	}
	if n := len(notices); n != 11 {
		t.Errorf("%d notices of parked events, want 11", n)
	}
	table, _ := p.anneal("events", "list")
	if !strings.Contains(table, "empty.csv (parked: s3://inbox/empty.csv is empty: want a header line)") || strings.Contains(table, "two lines") && !strings.Contains(table, "a name of two lines") {
		t.Errorf("events list:\n%s", table)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%s", status, out)
	}
	if peak := p.peakMemory(); peak > 128<<20 {
		t.Errorf("the daemon took %d MiB of memory at its peak, want less than 128", peak>>20)
	}
}

// TestHostileNames puts what is no file into the inbox: it is not taken, and
// the log says why.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	dir := hostileProject(t)
	inbox := filepath.Join(dir, "inbox")
	write(t, dir, map[string]string{"secret.csv": "x,y\n1,2\n", "outside/deep.csv": "x,y\n1,2\n"})
	p := begin(t, dir)
	for _, err := range []error{
		syscall.Mkfifo(filepath.Join(inbox, "pipe.csv"), 0o666),
		os.Symlink("../secret.csv", filepath.Join(inbox, "link.csv")),
		os.Symlink(filepath.Join(dir, "outside"), filepath.Join(inbox, "folder")),
		os.Symlink("round.csv", filepath.Join(inbox, "round.csv")),
		os.WriteFile(filepath.Join(inbox, "latin\xe9.csv"), []byte("x,y\n1,2\n"), 0o666),
		os.WriteFile(filepath.Join(inbox, "..hidden.csv"), []byte("x,y\n1,2\n"), 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	drop(t, inbox, "good.csv", []byte("x,y\n1,2\n"))
	p.decisionAbout(p.event("good.csv"))
	eventually(t, 30*time.Second, func() error {
		log := p.log.String()
		for _, want := range []string{"key=pipe.csv", "key=link.csv", "key=folder", `key="latin\xe9.csv"`} {
			if !strings.Contains(log, want) {
				return fmt.Errorf("the log does not tell of %s:\n%s", want, log)
			}
		}
		return nil
	})
	var events []anneal.Event
	if err := p.get("events", &events); err != nil {
		t.Fatal(err)
	}
	if len(events) != 1 {
		t.Errorf("%d events, want the one of good.csv: %+v", len(events), events)
	}

	// The same by an event that names what lies outside.
	reasons := map[string]string{ // by key
		"../secret.csv":   "a key with an empty segment, `.` or `..`",
		"link.csv":        "path escapes from parent",
		"pipe.csv":        "it is not a regular file",
		"folder/deep.csv": "path escapes from parent",
		"/etc/passwd":     "a key with an empty segment, `.` or `..`",
		"none.csv":        "no such object",
	}
	ids := map[string]string{}
	for key := range reasons {
		body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"aws.s3","type":"Object Created","time":"2026-11-22T00:00:00Z",
			"data":{"version":"0","bucket":{"name":"inbox"},"object":{"key":%q,"size":8,"etag":"1"}}}`, key, key)
		status, answer := p.post("events", body, nil)
		var taken []struct{ ID string }
		if err := json.Unmarshal([]byte(answer), &taken); err != nil || status != http.StatusAccepted {
			t.Fatalf("event about %s: %d %s", key, status, answer)
		}
		ids[key] = taken[0].ID
	}
	for key, reason := range reasons {
		var event anneal.Event
		eventually(t, time.Minute, func() error {
			if err := p.get("events/"+ids[key], &event); err != nil {
				return err
			}
			if event.Parked == "" {
				return fmt.Errorf("the event about %s is not parked", key)
			}
			return nil
		})
		if !strings.Contains(event.Parked, reason) {
			t.Errorf("the event about %s is parked: %s\nwant … %s …", key, event.Parked, reason)
		}
	}
	drop(t, inbox, "again.csv", []byte("x,y\n1,3\n"))
	if d := p.decisionAbout(p.event("again.csv")); *d.Signals["rows"].Value != 2 {
		t.Errorf("%g rows in all, want the 2 of the good files", *d.Signals["rows"].Value)
	}
}

// TestHostileHTTP asks what is not to be answered.
func TestHostileHTTP(t *testing.T) {
	t.Parallel()
	dir := hostileProject(t)
	p := begin(t, dir)
	host := strings.TrimPrefix(p.server, "http://")

	// A peer that never ends its request, while the others are answered.
	slow, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST /api/v1/events HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n{", host)

	event := func(source string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":"1","source":%q,"type":"Object Created","time":"2026-11-22T00:00:00Z","data":{}}`, source)
	}
	for _, c := range []struct {
		name, path, body string
		header           map[string]string
		status           int
		says             string
	}{
		{"a huge body", "events", strings.Repeat(" ", 2<<20) + event("x"), nil, 413, "the body is larger than 1048576 bytes"},
		{"no JSON", "events", "{", nil, 400, ""},
		{"no event", "events", "[1]", nil, 400, ""},
		{"nothing", "events", "", nil, 400, ""},
		{"a deep body", "events", strings.Repeat("[", 100_000), nil, 400, ""},
		{"malformed JSON", "policies/count/trigger", `{"force": tru`, nil, 400, "the body is not as expected"},
		{"an unknown key", "policies/count/trigger", `{"forse": true}`, nil, 400, `unknown field "forse"`},
		{"two values", "policies/count/trigger", `{"force": true}{}`, nil, 400, "more than one JSON value"},
		{"an unknown policy", "policies/cuont/trigger", `{}`, nil, 404, `no policy "cuont" is loaded`},
		{"an unknown run", "runs/none/stop", `{}`, nil, 404, `no run "none"`},
		{"a foreign origin", "policies/count/trigger", `{}`, map[string]string{"Origin": "https://evil.example"}, 403, "may not write here"},
		{"no origin at all", "policies/count/trigger", `{}`, map[string]string{"Origin": "null"}, 403, "may not write here"},
		{"a foreign host", "policies/count/trigger", `{}`, map[string]string{"Host": "evil.example"}, 421, `host "evil.example" is not this server`},
		{"anneal's own source", "events", event(anneal.SourceDirectory), nil, 400, "anneal's own"},
		{"a trigger in disguise", "events", event(anneal.SourceManual), nil, 400, "anneal's own"},
		{"a source that anneal may have some day", "events", event("anneal.else"), nil, 400, "anneal's own"},
	} {
		status, answer := p.post(c.path, c.body, c.header)
		var refusal web.Error
		if err := json.Unmarshal([]byte(answer), &refusal); err != nil {
			t.Errorf("%s: the answer is not JSON: %.300q", c.name, answer)
		}
		if status != c.status || refusal.Status != status || !strings.Contains(refusal.Detail, c.says) {
			t.Errorf("%s: %d %.300s\nwant %d … %s …", c.name, status, refusal.Detail, c.status, c.says)
		}
	}
	var events []anneal.Event
	if err := p.get("events", &events); err != nil {
		t.Fatal(err)
	}
	if len(events) > 0 {
		t.Errorf("%d events were taken, want none: %+v", len(events), events)
	}

	// The same port, and the same folder.
	taken := t.TempDir()
	write(t, taken, map[string]string{
		"anneal.yaml":         strings.Replace(hostileSettings, "127.0.0.1:0", host, 1),
		"policies/count.yaml": hostilePolicy, "inbox/.keep": "",
		"same.yaml": strings.Replace(hostileSettings, "./anneal-data", filepath.Join(dir, "anneal-data"), 1),
	})
	for _, c := range []struct{ name, settings, says string }{
		{"a port in use", "anneal.yaml", "listen on " + host},
		{"a data folder in use", "same.yaml", filepath.Join(dir, "anneal-data")},
	} {
		out, status := p.anneal("serve", "--wait", "0s", "--config", filepath.Join(taken, c.settings))
		if status != exitBroken || !strings.Contains(out, c.says) || !strings.Contains(out, "in use") {
			t.Errorf("%s: status %d, %s\nwant %d … %s …", c.name, status, out, exitBroken, c.says)
		}
	}
	drop(t, filepath.Join(dir, "inbox"), "good.csv", []byte("x,y\n1,2\n"))
	p.decisionAbout(p.event("good.csv"))
}

// TestFullDisk fills the disk under the journal while files come, and frees it
// again: what was acknowledged is there, and what was not is taken later.
func TestFullDisk(t *testing.T) {
	dir := hostileProject(t)
	data := filepath.Join(dir, "anneal-data")
	smallDisk(t, data)
	p := begin(t, dir)
	inbox := filepath.Join(dir, "inbox")
	drop(t, inbox, "before.csv", []byte("x,y\n1,2\n"))
	p.decisionAbout(p.event("before.csv"))

	ballast := filepath.Join(data, "ballast")
	write(t, data, map[string]string{"ballast": strings.Repeat("b", 1<<19)})
	acknowledged := map[string]bool{}
	refused := 0
	post := func() {
		n := len(acknowledged) + refused
		body := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"tests","type":"Noise","time":"2026-11-22T00:00:00Z","data":%q}`, n, strings.Repeat("n", 8<<10))
		status, answer := p.post("events", body, nil)
		var taken []struct{ ID string }
		switch {
		case status == http.StatusInsufficientStorage && strings.Contains(answer, "no space left"):
			refused++
		case status == http.StatusAccepted && json.Unmarshal([]byte(answer), &taken) == nil:
			acknowledged[taken[0].ID] = true
		default:
			t.Fatalf("event %d: %d %.300s", n, status, answer)
		}
	}
	for range 1000 {
		if post(); refused > 0 {
			break
		}
	}
	for i := range 40 {
		drop(t, inbox, fmt.Sprintf("full-%02d.csv", i), fmt.Appendf(nil, "x,y\n1,2\n3,%d\n", i))
		post()
	}
	if refused == 0 {
		t.Fatal("all events were taken: the disk was not full")
	}
	if err := p.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("the daemon has ended: %v\n%s", err, p.log)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	drop(t, inbox, "after.csv", []byte("x,y\n1,5\n"))
	d := p.decisionAbout(p.event("after.csv"))
	eventually(t, time.Minute, func() error {
		if n := len(p.decided(42)); n != 42 {
			return fmt.Errorf("%d decisions, want 42", n)
		}
		return nil
	})
	total := 0.0
	for _, d = range p.decided(42) {
		total = max(total, *d.Signals["rows"].Value)
	}
	if total != 82 {
		t.Errorf("%g rows in all, want 82", total)
	}
	for id := range acknowledged {
		var event anneal.Event
		if err := p.get("events/"+id, &event); err != nil {
			t.Errorf("an acknowledged event is not there: %v", err)
		}
	}
	// The same after a restart, from the disk alone.
	p.kill()
	p = begin(t, dir)
	if n := len(p.decided(42)); n != 42 {
		t.Errorf("%d decisions after a restart, want 42", n)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%s", status, out)
	}
	p.kill()
	if out, status := p.anneal("journal", "verify", data); status != 0 {
		t.Errorf("journal verify: status %d\n%s", status, out)
	}
	t.Logf("%d events acknowledged and %d refused while the disk was full", len(acknowledged), refused)
}

// readyTrainer writes its model first, and ends when there is a file `go`.
const readyTrainer = `#!/bin/sh
echo '{"accuracy": 0.8}' > "$ANNEAL_ML_ROOT/model/metrics.json"
echo "$TRAINING_JOB_NAME" >> jobs.log
while [ ! -e go ]; do sleep 0.02; done
`

// TestFullDiskUnderRun fills the disk while a job trains: the job ends, what
// it says is not lost, and the run goes on when there is space again.
func TestFullDiskUnderRun(t *testing.T) {
	t.Parallel()
	dir := pipelineProject(t, readyTrainer, "1h")
	data := filepath.Join(dir, "anneal-data")
	smallDisk(t, data)
	p := begin(t, dir)
	drop(t, filepath.Join(dir, "inbox"), "a.csv", []byte("x,y\n1,0\n2,1\n3,1\n4,0\n"))
	log := filepath.Join(dir, "jobs.log")
	eventually(t, 30*time.Second, func() error {
		if len(lines(t, log)) == 0 {
			return fmt.Errorf("no training has begun")
		}
		return nil
	})
	ballast := filepath.Join(data, "ballast")
	fill(t, ballast)
	write(t, dir, map[string]string{"go": ""})
	for i := range 40 { // the journal's own reserve
		p.post("events", fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"tests","type":"Noise","time":"2026-11-22T00:00:00Z","data":%q}`, i, strings.Repeat("n", 64<<10)), nil)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	run := p.ended(1)[0]
	if run.Status != anneal.StatusSucceeded {
		t.Errorf("the run ended %s %q: %s, want SUCCEEDED", run.Status, run.Error, run.Cause)
	}
	if got, want := lines(t, log), []string{"train-" + run.ID + "-0"}; !slices.Equal(got, want) {
		t.Errorf("training jobs %q, want %q", got, want)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%s", status, out)
	}
}

// smallDisk mounts a file system of 2 MiB.
func smallDisk(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("anneal-test", path, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("a small file system is needed: %v", err)
		}
		t.Skipf("without a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, 2); err != nil { // MNT_DETACH
			t.Errorf("unmount %s: %v", path, err)
		}
	})
}

// fill writes a file until its file system is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
}

// event waits for the event of a dropped file.
func (p *process) event(subject string) anneal.Event {
	p.t.Helper()
	var found anneal.Event
	eventually(p.t, time.Minute, func() error {
		var events []anneal.Event
		if err := p.get("events?limit=0", &events); err != nil {
			return err
		}
		i := slices.IndexFunc(events, func(e anneal.Event) bool { return e.Subject == subject })
		if i < 0 {
			return fmt.Errorf("no event of %q", subject)
		}
		found = events[i]
		return nil
	})
	return found
}

// decisionAbout waits for the decision about an event.
func (p *process) decisionAbout(event anneal.Event) anneal.Decision {
	p.t.Helper()
	var decision anneal.Decision
	eventually(p.t, time.Minute, func() error {
		var decisions []anneal.Decision
		if err := p.get("decisions?limit=0", &decisions); err != nil {
			return err
		}
		i := slices.IndexFunc(decisions, func(d anneal.Decision) bool { return d.Cause == event.ID })
		if i < 0 {
			return fmt.Errorf("no decision about %q", event.Subject)
		}
		decision = decisions[i]
		return nil
	})
	return decision
}

// post asks the API; the header Host is the request's host.
func (p *process) post(path, body string, header map[string]string) (status int, answer string) {
	p.t.Helper()
	status, answer = p.send("/api/v1/"+path, strings.NewReader(body), header)
	if status == 0 {
		p.t.Fatal(answer)
	}
	return status, answer
}

// peakMemory is the most memory that the daemon had resident, in bytes.
func (p *process) peakMemory() int64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kilobytes << 10
}

func text(s string) func(io.Writer) { return func(w io.Writer) { io.WriteString(w, s) } }

// longLine has a third line of 200 MB.
func longLine(w io.Writer) {
	repeat(w, "x,y\n1,2\n", strings.Repeat("a", 1<<16), 3200)
}

func repeat(w io.Writer, head, line string, n int) {
	io.WriteString(w, head)
	block := strings.Repeat(line, min(n, 1024))
	for ; n >= 1024; n -= 1024 {
		io.WriteString(w, block)
	}
	io.WriteString(w, strings.Repeat(line, n))
}

func packed(write func(io.Writer)) func(io.Writer) {
	return func(w io.Writer) {
		z := gzip.NewWriter(w)
		write(z)
		z.Close()
	}
}

// cut writes the first half of what write writes.
func cut(write func(io.Writer)) func(io.Writer) {
	return func(w io.Writer) {
		var b bytes.Buffer
		write(&b)
		w.Write(b.Bytes()[:b.Len()/2])
	}
}
