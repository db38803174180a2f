package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/envelope"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

var update = flag.Bool("update", false, "rewrite testdata")

var (
	sent = time.Date(2026, 7, 1, 11, 59, 58, 0, time.UTC)
	seen = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
)

// TestDecode shows what becomes of requests: each NAME is one, headers and then
// the body, and `NAME is` its event or what is wrong.
func TestDecode(t *testing.T) {
	const file = "testdata/requests.txt"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rewritten := &txtar.Archive{Comment: archive.Comment}
	want := make(map[string]string)
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	for _, f := range archive.Files {
		if strings.HasSuffix(f.Name, " is") {
			continue
		}
		head, body, _ := strings.Cut(string(f.Data), "\n\n")
		h := make(http.Header)
		for line := range strings.Lines(head) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			h.Add(name, value)
		}
		var got string
		event, err := decode("/hooks/ci", h, []byte(strings.TrimSuffix(body, "\n")), "msg_1", sent, seen)
		if err != nil {
			got = err.Error() + "\n"
		} else {
			triggertest.Check(t, event)
			text, err := json.MarshalIndent(event, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = string(text) + "\n"
		}
		rewritten.Files = append(rewritten.Files, f, txtar.File{Name: f.Name + " is", Data: []byte(got)})
		if diff := cmp.Diff(want[f.Name+" is"], got); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(rewritten), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// A CloudEvent is the same event in both modes.
func TestModes(t *testing.T) {
	binary, err := decode("/h", header("ce-specversion", "1.0", "ce-id", "1", "ce-source", "/s", "ce-type", "t", "ce-time", "2026-07-01T10:00:00Z",
		"ce-subject", "x", "Content-Type", "application/json"), []byte(`{"n": 1}`), "a", sent, seen)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-07-01T10:00:00Z","subject":"x","data":{"n":1}}`
	structured, err := decode("/h", header("Content-Type", "application/cloudevents+json; charset=utf-8"), []byte(body), "b", sent, seen)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(binary, structured); diff != "" {
		t.Errorf("(-binary +structured):\n%s", diff)
	}
}

// Whatever a request says, it is an event that is whole and not anneal's own,
// or nothing.
func FuzzDecode(f *testing.F) {
	f.Add("", "", "", "", "application/json", "push", []byte(`{"a": [1, "x"]}`))
	f.Add("1.0", "1", "/s", "t", "text/plain", "", []byte("hello"))
	f.Add("1.0", `"a\"%20b"`, "anneal.cron", "%zz", "application/x+json", "", []byte("{}"))
	f.Add("", "", "", "", "application/cloudevents+json", "", []byte(`{"specversion":"1.0","id":"1","source":"anneal.cron","Source":"x","type":"t"}`))
	f.Add("", "", "", "", "", "", []byte(`{"specversion":"1.0","detail-type":"x","Records":[],"source":"aws.s3"}`))
	f.Add("", "", "", "", "", "", bytes.Repeat([]byte("["), 20_000))
	f.Fuzz(func(t *testing.T, version, id, source, kind, contentType, github string, body []byte) {
		h := header("ce-specversion", version, "ce-id", id, "ce-source", source, "ce-type", kind, "Content-Type", contentType, "X-GitHub-Event", github)
		e, err := decode("/h", h, body, "msg_1", sent, seen)
		if err != nil {
			triggertest.Check(t, parked("/h", body, "msg_1", sent, seen, err))
			return
		}
		triggertest.Check(t, e)
		if strings.HasPrefix(e.Source, "anneal.") && (e.Source != "anneal.webhook/h" || e.ID != ownID("/h", "msg_1")) {
			t.Fatalf("source %s, ID %s", e.Source, e.ID)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Fatalf("event has no JSON form: %v", err)
		}
	})
}

func TestOwnSource(t *testing.T) {
	for _, source := range []string{"anneal.cron", "anneal.webhook/h", "anneal.x"} {
		_, binary := decode("/h", header("ce-specversion", "1.0", "ce-id", "1", "ce-source", source, "ce-type", "t"), nil, "a", sent, seen)
		body := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":%q,"type":"t"}`, source)
		_, structured := decode("/h", header("Content-Type", "application/cloudevents+json"), []byte(body), "a", sent, seen)
		if !errors.Is(binary, errOwnSource) || !errors.Is(structured, errOwnSource) {
			t.Errorf("source %s: got %v and %v; want both refused", source, binary, structured)
		}
	}
	// What is not asked for its source first has none of ours either.
	if _, err := envelope.Decode([]byte(`{"specversion":"1.0","id":"1","source":"anneal.cron","Source":"x","type":"t"}`), seen); err == nil {
		t.Error("envelope takes a source of ours")
	}
}

func TestIdentity(t *testing.T) {
	one, two := claim{id: "msg_1"}, claim{id: "msg_2"}
	a, b := []byte("a"), []byte("b")
	if one.identity(a) != one.identity(b) || one.identity(a) == two.identity(a) {
		t.Error("with a webhook-id, that alone is the identity")
	}
	if unnamed := (claim{}); unnamed.identity(a) != unnamed.identity([]byte("a")) || unnamed.identity(a) == unnamed.identity(b) {
		t.Error("without a webhook-id, the body is the identity")
	}
	if ownID("/a", "x") == ownID("/b", "x") {
		t.Error("two paths have one event")
	}
	if got, want := ownID("/a", "x"), anneal.ID("event", "anneal.webhook/a", "x"); got != want {
		t.Errorf("ID %s; want %s", got, want)
	}
}
