package envelope

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal"
)

var (
	update = flag.Bool("update", false, "rewrite the transcripts")
	now    = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
)

// Each transcript in testdata has bodies, and after each what it decodes to: its
// events, or why not.
func TestDecode(t *testing.T) {
	transcripts(t, "testdata/*.txt", decoded)
}

// Those in testdata/queue are messages of a queue: attributes as `name: value`
// after an @, then the body.
func TestEvents(t *testing.T) {
	transcripts(t, "testdata/queue/*.txt", func(t *testing.T, text []byte) string { return shown(t, message(text).Events(now)) })
}

func message(text []byte) Message {
	m := Message{Source: "aws.sqs", Subject: "uploads", ID: "m-1", Sent: now.Add(-time.Second), Attributes: map[string]string{}}
	for len(text) > 0 && text[0] == '@' {
		line, rest, _ := bytes.Cut(text[1:], []byte("\n"))
		name, value, _ := strings.Cut(string(line), ": ")
		m.Attributes[name], text = value, rest
	}
	m.Body = text
	return m
}

func transcripts(t *testing.T, pattern string, decoded func(*testing.T, []byte) string) {
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: archive.Comment}
			for _, f := range archive.Files {
				if strings.HasSuffix(f.Name, " is") {
					continue
				}
				is := txtar.File{Name: f.Name + " is", Data: []byte(decoded(t, f.Data))}
				got.Files = append(got.Files, f, is)
			}
			if *update {
				if err := os.WriteFile(name, txtar.Format(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(got))); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

func decoded(t *testing.T, body []byte) string {
	t.Helper()
	events, err := Decode(body, now)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return shown(t, events)
}

func shown(t *testing.T, events []anneal.Event) string {
	t.Helper()
	if len(events) == 0 {
		return "nothing\n"
	}
	var b strings.Builder
	for _, e := range events {
		text, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
		b.WriteString("\n")
	}
	return b.String()
}

// One change to an object is one event, whichever way it is told.
func TestOneChange(t *testing.T) {
	const (
		direct = `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","eventTime":"2026-07-01T11:59:59.123Z","s3":{
			"bucket":{"name":"ml-data"},"object":{"key":"training/a+b%2Bc+%C3%BC.csv","size":7,"eTag":"e1","versionId":"VERSION","sequencer":"0055AED6"}}}]}`
		bridge = `{"version":"0","id":"b9c1","detail-type":"Object Created","source":"aws.s3","time":"2026-07-01T11:59:59Z","resources":["arn:aws:s3:::ml-data"],"detail":{
			"version":"0","bucket":{"name":"ml-data"},"object":{"key":"training/a b+c ü.csv","size":7,"etag":"e1","version-id":"VERSION","sequencer":"0055AED6"},"reason":"PutObject"}}`
		cloud = `{"specversion":"1.0","id":"77","source":"aws.s3","type":"Object Created","data":{
			"version":"0","bucket":{"name":"ml-data"},"object":{"key":"training/a b+c ü.csv","size":7,"etag":"e1","version-id":"VERSION","sequencer":"0055AED6"}}}`
	)
	for _, version := range []string{"3HL4kqtJvjVBH40Nrjfkd", "", "null"} {
		ids := make(map[string]bool)
		for _, body := range []string{direct, bridge, cloud} {
			events, err := Decode([]byte(strings.ReplaceAll(body, "VERSION", version)), now)
			if err != nil || len(events) != 1 {
				t.Fatalf("got %d events, error %v; want 1 event", len(events), err)
			}
			if got, want := events[0].Subject, "training/a b+c ü.csv"; got != want {
				t.Errorf("subject %q; want %q", got, want)
			}
			ids[events[0].ID] = true
		}
		if len(ids) != 1 {
			t.Errorf("version %q: three ways give %d IDs; want 1", version, len(ids))
		}
	}
}

// A message that is delivered again is the same event, also where two of its
// attributes differ in their spelling alone.
func TestAttributesTwice(t *testing.T) {
	m := Message{Source: "nats", ID: "uploads/1", Attributes: map[string]string{
		"ce-specversion": "1.0", "ce-source": "shop", "ce-type": "sold", "ce-id": "1", "ce_id": "2", "CE-ID": "3",
	}}
	ids := map[string]bool{}
	for range 20 {
		events := m.Events(now)
		if len(events) != 1 || events[0].Parked != "" {
			t.Fatalf("got %+v; want 1 event", events)
		}
		ids[events[0].ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("20 deliveries have %d IDs; want 1", len(ids))
	}
}

// So is one change of an alarm, and of what SageMaker tells of several times.
func TestTellings(t *testing.T) {
	for _, c := range []struct {
		file  string
		same  []string
		other string
	}{
		{"alarms.txt", []string{"metric alarm", "the same by sns", "the same to a function"}, "an older alarm, in its topic's region"},
		{"alarms.txt", []string{"composite", "composite by sns"}, "metric alarm"},
		{"sagemaker.txt", []string{"training", "training, told again"}, "training, before"},
		{"sagemaker.txt", []string{"endpoint, in service"}, "endpoint, in service again"},
		{"sagemaker-more.txt", []string{"pipeline step", "pipeline step, told again"}, "pipeline step, another in the same second"},
		{"sagemaker-more.txt", []string{"pipeline step"}, "pipeline step, of another execution in the same second"},
		{"sagemaker-more.txt", []string{"deployment, activating"}, "deployment, baking"},
	} {
		archive, err := txtar.ParseFile("testdata/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{}
		for _, f := range archive.Files {
			if events, err := Decode(f.Data, now); err == nil && len(events) == 1 {
				ids[f.Name] = events[0].ID
			}
		}
		for _, name := range c.same {
			if ids[name] == "" || ids[name] != ids[c.same[0]] {
				t.Errorf("%s: %q is %q, %q is %q; want one ID", c.file, name, ids[name], c.same[0], ids[c.same[0]])
			}
		}
		if ids[c.other] == "" || ids[c.other] == ids[c.same[0]] {
			t.Errorf("%s: %q is %q, as is %q; want two IDs", c.file, c.other, ids[c.other], c.same[0])
		}
	}
}

// What differs is told apart.
func TestManyChanges(t *testing.T) {
	const record = `{"Records":[{"eventSource":"aws:s3","eventName":"NAME","eventTime":"TIME","s3":{"bucket":{"name":"b"},"object":{"key":"k","size":1VERSION}}}]}`
	ids := make(map[string]string)
	for _, c := range []struct{ name, time, version string }{
		{"ObjectCreated:Put", "2026-07-01T00:00:00Z", `,"versionId":"v1","sequencer":"01"`},
		{"ObjectCreated:Put", "2026-07-01T00:00:00Z", `,"versionId":"v2","sequencer":"02"`},
		{"ObjectRemoved:Delete", "2026-07-01T00:00:00Z", `,"versionId":"v1","sequencer":"03"`},
		{"ObjectTagging:Put", "2026-07-01T00:00:00Z", `,"versionId":"v1"`},
		{"ObjectTagging:Put", "2026-07-01T00:00:01Z", `,"versionId":"v1"`},
		{"ObjectCreated:Put", "2026-07-01T00:00:00Z", `,"versionId":"null","sequencer":"04"`},
		{"ObjectCreated:Put", "2026-07-01T00:00:00Z", `,"versionId":"null","sequencer":"05"`},
		{"ObjectCreated:Put", "2026-07-01T00:00:00Z", `,"eTag":"x"`},
		{"ObjectCreated:Put", "2026-07-01T00:00:00Z", ``},
		{"ObjectCreated:Put", "2026-07-01T00:00:01Z", ``},
	} {
		body := strings.NewReplacer("NAME", c.name, "TIME", c.time, "VERSION", c.version).Replace(record)
		events, err := Decode([]byte(body), now)
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: got %d events, error %v; want 1 event", body, len(events), err)
		}
		if other, ok := ids[events[0].ID]; ok {
			t.Errorf("one ID for\n%s\n%s", other, body)
		}
		ids[events[0].ID] = body
	}
}

// Whatever a body says, what becomes of it is whole, not anneal's own, and the
// same the next time; and what a message says is in an event for all of it.
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"testdata/*.txt", "testdata/queue/*.txt"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range archive.Files {
				f.Add(file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		events, err := Decode(text, now)
		if err != nil && len(events) != 0 {
			t.Errorf("error %v, and %d events", err, len(events))
		}
		again, err2 := Decode(text, now)
		if cmp.Diff(events, again) != "" || (err == nil) != (err2 == nil) {
			t.Errorf("decoded differently the second time: %v, %v", err, err2)
		}
		m := message(text)
		told := m.Events(now)
		if cmp.Diff(told, m.Events(now)) != "" {
			t.Error("told differently the second time")
		}
		for _, e := range append(events, told...) {
			if e.SpecVersion != "1.0" || e.ID == "" || e.Source == "" || e.Type == "" || e.Time.IsZero() || !e.Seen.Equal(now) {
				t.Errorf("event is not whole: %+v", e)
			}
			if strings.HasPrefix(e.Source, "anneal.") {
				t.Errorf("event has our own source %s", e.Source)
			}
			if e.Parked == "" && e.Raw != nil || e.Parked != "" && e.Data != nil {
				t.Errorf("event is parked for %q with %q", e.Parked, e.Raw)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Errorf("event has no JSON form: %v", err)
			}
		}
		parked := map[string]bool{} // two parts of one message are two events
		for _, e := range told {
			if e.Parked != "" && e.Source == m.Source && parked[e.ID] {
				t.Errorf("two parked events have one ID: %s", text)
			}
			parked[e.ID] = parked[e.ID] || e.Parked != ""
		}
	})
}
