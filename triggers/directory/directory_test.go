package directory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

const settle = 40 * time.Millisecond

// An inbox is a folder, and what its source logs.
type inbox struct {
	path, cache string
	log         logbook
	source      *Source // that watches
}

func newInbox(t *testing.T) *inbox {
	dir := t.TempDir()
	in := &inbox{path: filepath.Join(dir, "inbox"), cache: filepath.Join(dir, "data", "inbox.cache")}
	if err := os.Mkdir(in.path, 0o777); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *inbox) Source(t *testing.T) triggers.Source {
	t.Helper()
	s, err := New(Config{Path: in.path, Settle: settle, Cache: in.cache}, slog.New(slog.NewTextHandler(&in.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (in *inbox) Happen(t *testing.T, n int) string {
	t.Helper()
	key := fmt.Sprintf("batch_%02d.csv", n)
	in.write(t, key, fmt.Sprintf("n\n%d\n", n))
	return key
}

// write has a file be there, whole: one that is made and then filled may settle between
// the two.
func (in *inbox) write(t *testing.T, key, content string) {
	t.Helper()
	name, hidden := filepath.Join(in.path, key), filepath.Join(in.path, ".written")
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hidden, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, name); err != nil {
		t.Fatal(err)
	}
}

// watch runs a source until the test is over, or stop is called.
func (in *inbox) watch(t *testing.T, sink triggers.Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	source := in.Source(t).(*Source)
	in.source = source
	running.Go(func() {
		if err := source.Run(ctx, sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// A logbook is a log that can be read while it is written.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestContract(t *testing.T) {
	triggertest.Test(t, func(t *testing.T) triggertest.World { return newInbox(t) })
}

func TestEvent(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	in.write(t, "2026/07 août/batch #1?.csv", "a,b\n1,2\n")
	mtime := time.Date(2026, 7, 1, 12, 30, 0, 123456789, time.UTC)
	if err := os.Chtimes(filepath.Join(in.path, "2026/07 août/batch #1?.csv"), mtime, mtime); err != nil {
		t.Fatal(err)
	}
	in.watch(t, sink)
	e := sink.Wait(t, "2026/07 août/batch #1?.csv")
	triggertest.Check(t, e)
	if e.Source != "anneal.directory" || e.Type != "Object Created" || !e.Time.Equal(mtime) {
		t.Errorf("got source %s, type %s, time %s; want anneal.directory, Object Created, %s", e.Source, e.Type, e.Time, mtime)
	}
	want := `{"version":"0","bucket":{"name":"inbox"},"object":{"key":"2026/07 août/batch #1?.csv","size":8,` +
		`"sha256":"492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470"},"reason":"PutObject"}`
	if string(e.Data) != want {
		t.Errorf("got  %s\nwant %s", e.Data, want)
	}
	var data anneal.ObjectCreated
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	if want := data.EventID("anneal.directory"); e.ID != want {
		t.Errorf("ID is %s; want %s", e.ID, want)
	}
}

// What is under a key decides: new content is an event, everything else is none.
func TestContent(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	in.watch(t, sink)
	in.write(t, "a.csv", "one")
	sink.Wait(t, "a.csv")

	touched := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(in.path, "a.csv"), touched, touched); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(in.path, "a.csv"), filepath.Join(in.path, ".a.csv")); err != nil {
		t.Fatal(err)
	}
	in.write(t, "a.csv", "one")
	in.write(t, "mark-1", "")
	sink.Wait(t, "mark-1")
	if got := of(sink, "a.csv"); len(got) != 1 {
		t.Fatalf("touched and written again with the same content; got %d events, want 1", len(got))
	}

	in.write(t, "a.csv", "two")
	in.write(t, "mark-2", "")
	sink.Wait(t, "mark-2")
	if got := of(sink, "a.csv"); len(got) != 2 || got[0].ID == got[1].ID {
		t.Fatalf("rewritten; got %d events, want 2 with IDs of their own", len(got))
	}
}

func of(sink *triggertest.Sink, subject string) (events []anneal.Event) {
	for _, e := range sink.Events() {
		if e.Subject == subject {
			events = append(events, e)
		}
	}
	return events
}

// A file that grows is taken once, when it is whole.
func TestGrowing(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	in.watch(t, sink)
	f, err := os.Create(filepath.Join(in.path, "big.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := f.WriteString(strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settle / 8)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	e := sink.Wait(t, "big.csv")
	// A machine that stalls for the settle time may take a part of it first.
	for !strings.Contains(string(e.Data), `"size":20000`) {
		t.Logf("taken early: %s", e.Data)
		in.write(t, "mark", "")
		sink.Wait(t, "mark")
		e = of(sink, "big.csv")[len(of(sink, "big.csv"))-1]
	}
}

func TestNotTaken(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	outside := filepath.Join(filepath.Dir(in.path), "secret.csv")
	if err := os.WriteFile(outside, []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		".hidden", ".folder/a.csv", "a.csv.tmp", "a.csv.part", "a.csv.partial", "a.CRDOWNLOAD", "a.csv.filepart", "a.csv~",
		"#a.csv#", ".a.csv.swp", "a.csv.swp", "b\xffd.csv", "sub/.x", "sub/a.tmp",
	} {
		in.write(t, key, "no")
	}
	in.write(t, "sub/yes.csv", "yes")
	for name, target := range map[string]string{
		"absolute.csv": outside, "relative.csv": "../secret.csv", "folder": "sub", "dangling.csv": "nothing.csv", "inside.csv": "sub/yes.csv",
	} {
		if err := os.Symlink(target, filepath.Join(in.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(in.path, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	in.watch(t, sink)
	sink.Wait(t, "inside.csv")
	sink.Wait(t, "sub/yes.csv")
	in.write(t, "zz", "last")
	sink.Wait(t, "zz")
	var got []string
	for _, e := range sink.Events() {
		got = append(got, e.Subject)
	}
	slices.Sort(got)
	if want := []string{"inside.csv", "sub/yes.csv", "zz"}; !slices.Equal(got, want) {
		t.Errorf("taken: %q; want %q", got, want)
	}
	for _, key := range []string{"absolute.csv", "relative.csv", "folder", "pipe", `b\xffd.csv`} {
		if n := strings.Count(in.log.String(), "key="+key) + strings.Count(in.log.String(), `key="`+key); n != 1 {
			t.Errorf("%s is named in the log %d times; want once:\n%s", key, n, in.log.String())
		}
	}
}

// Sub-folders that come later are watched too, whole trees that are moved in
// included.
func TestNewFolders(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	in.watch(t, sink)
	in.write(t, "first", "")
	sink.Wait(t, "first")

	in.write(t, "a/b/c/deep.csv", "deep")
	sink.Wait(t, "a/b/c/deep.csv")
	in.write(t, "a/b/later.csv", "later")
	sink.Wait(t, "a/b/later.csv")

	tree := filepath.Join(filepath.Dir(in.path), "tree")
	if err := os.MkdirAll(filepath.Join(tree, "x"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "x", "1.csv"), []byte("moved"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tree, filepath.Join(in.path, "tree")); err != nil {
		t.Fatal(err)
	}
	sink.Wait(t, "tree/x/1.csv")
	in.write(t, "tree/x/2.csv", "after")
	sink.Wait(t, "tree/x/2.csv")

	if err := os.RemoveAll(filepath.Join(in.path, "tree")); err != nil {
		t.Fatal(err)
	}
	in.write(t, "tree/x/3.csv", "made again")
	sink.Wait(t, "tree/x/3.csv")
	in.write(t, "tree/x/4.csv", "and watched again")
	sink.Wait(t, "tree/x/4.csv")
}

func TestOrder(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, key := range []string{"z", "b/2", "a", "b/1", "c"} { // the last three at one time
		in.write(t, key, key)
		mtime := at.Add(time.Duration(min(i, 2)) * time.Second)
		if err := os.Chtimes(filepath.Join(in.path, key), mtime, mtime); err != nil {
			t.Fatal(err)
		}
	}
	in.watch(t, sink)
	for _, key := range []string{"z", "b/2", "a", "b/1", "c"} {
		sink.Wait(t, key)
	}
	var got []string
	for _, e := range sink.Events() {
		got = append(got, e.Subject)
	}
	if want := []string{"z", "b/2", "a", "b/1", "c"}; !slices.Equal(got, want) {
		t.Errorf("order %q; want %q", got, want)
	}
}

// A folder that is not there is waited for, and one that goes and comes back is
// watched again; nothing is told twice.
func TestFolderAway(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	if err := os.Remove(in.path); err != nil {
		t.Fatal(err)
	}
	in.watch(t, sink)
	waitFor(t, func() bool { return strings.Contains(in.log.String(), "waiting for it") })
	in.write(t, "a.csv", "a")
	sink.Wait(t, "a.csv")

	aside := in.path + ".away"
	if err := os.Rename(in.path, aside); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return strings.Contains(in.source.Condition(), "waiting for it") })
	if err := os.WriteFile(filepath.Join(aside, "b.csv"), []byte("b"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, in.path); err != nil {
		t.Fatal(err)
	}
	sink.Wait(t, "b.csv")
	waitFor(t, func() bool { return in.source.Condition() == "" })
	in.write(t, "c.csv", "c")
	sink.Wait(t, "c.csv")

	// Another folder takes its place at once.
	if err := os.Rename(in.path, aside); err != nil {
		t.Fatal(err)
	}
	in.write(t, "sub/d.csv", "d")
	sink.Wait(t, "sub/d.csv")
	in.write(t, "sub/e.csv", "e")
	sink.Wait(t, "sub/e.csv")
	if n := sink.Duplicates(); n != 0 {
		t.Errorf("%d events came twice; want none", n)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited two minutes in vain")
		}
	}
}

func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("root may read everything, so only the readable half is tested")
	}
	in, sink := newInbox(t), triggertest.NewSink()
	in.write(t, "closed/a.csv", "a")
	in.write(t, "b.csv", "b")
	if err := os.Chmod(filepath.Join(in.path, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(in.path, "closed"), 0o777) })
	in.watch(t, sink)
	sink.Wait(t, "b.csv")
	if err := os.Chmod(filepath.Join(in.path, "closed"), 0o777); err != nil {
		t.Fatal(err)
	}
	sink.Wait(t, "closed/a.csv")
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		config Config
		want   string // in the error
	}{
		{Config{}, "path: is missing"},
		{Config{Path: "/"}, `bucket: "/"`},
		{Config{Path: "/in", Bucket: "a/b"}, `bucket: "a/b"`},
		{Config{Path: "/in", Settle: -1}, "settle: -1ns"},
		{Config{Path: "/some/inbox"}, ""},
	} {
		got := fmt.Sprint(test.config.WithDefaults().Validate())
		if test.want == "" && got != "<nil>" || !strings.Contains(got, test.want) {
			t.Errorf("%+v: got error %s; want %q in it", test.config, got, test.want)
		}
	}
	got := Config{Path: "/some/inbox/"}.WithDefaults()
	if want := (Config{Path: "/some/inbox/", Bucket: "inbox", Settle: 2 * time.Second}); got != want {
		t.Errorf("defaults: got %+v; want %+v", got, want)
	}
}
