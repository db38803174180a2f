package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

func logLines(group string, messages ...string) []sfnapi.LogLine {
	var lines []sfnapi.LogLine
	for i, m := range messages {
		lines = append(lines, sfnapi.LogLine{Group: "arn:aws:logs:us-east-1:111111111111:log-group:" + group, Machine: "m", Time: time.UnixMilli(int64(i)), Message: []byte(m)})
	}
	return lines
}

// TestLogFolder keeps lines by group, whole, and below a size.
func TestLogFolder(t *testing.T) {
	f := &logFolder{filepath.Join(t.TempDir(), "logs"), 100}
	write := func(group string, messages ...string) {
		t.Helper()
		if err := f.write(t.Context(), logLines(group, messages...)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(f.path, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	write("/aws/states/churn", `{"id":"1"}`, `{"id":"2"}`)
	write("../b", `{"id":"9"}`)
	const name = "%2Faws%2Fstates%2Fchurn.jsonl"
	if got, want := read(name), "{\"id\":\"1\"}\n{\"id\":\"2\"}\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := read("..%2Fb.jsonl"), "{\"id\":\"9\"}\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, cut := range []string{`{"id":"3`, strings.Repeat("x", 5000)} {
		if err := os.WriteFile(filepath.Join(f.path, name), []byte("{\"id\":\"1\"}\n"+cut), 0o666); err != nil {
			t.Fatal(err)
		}
		write("/aws/states/churn", `{"id":"3"}`)
		if got, want := read(name), "{\"id\":\"1\"}\n{\"id\":\"3\"}\n"; got != want {
			t.Errorf("%q after a line that was cut short, want %q", got, want)
		}
	}
	for i := range 50 {
		write("/aws/states/churn", fmt.Sprintf(`{"id":"%d"}`, i+10))
	}
	old, last := read("%2Faws%2Fstates%2Fchurn.1.jsonl"), read(name)
	if len(old)+len(last) > 100 || !strings.HasSuffix(last, "{\"id\":\"59\"}\n") || !strings.HasPrefix(old, "{") {
		t.Errorf("%q and %q, want less than 100 bytes, the newest last", old, last)
	}
}

// TestLogGroups puts lines into streams of CloudWatch Logs, as many at once as it
// takes.
func TestLogGroups(t *testing.T) {
	var calls []string
	var messages []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct {
			LogGroupName, LogStreamName string
			LogEvents                   []struct {
				Timestamp int64
				Message   string
			}
		}
		if err := json.Unmarshal(body, &in); err != nil {
			t.Error(err)
		}
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		stream := strings.Split(in.LogStreamName, "/")
		if len(stream) != 4 || stream[0] != "states" || stream[1] != "m" {
			t.Errorf("stream %s", in.LogStreamName)
		}
		calls = append(calls, fmt.Sprintf("%s %s %d", action, in.LogGroupName, len(in.LogEvents)))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if in.LogGroupName == "gone" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}`)
			return
		}
		size := 0
		for i, e := range in.LogEvents {
			if i > 0 && e.Timestamp < in.LogEvents[i-1].Timestamp {
				t.Error("lines are not in the order of their times")
			}
			size += len(e.Message) + 26
			messages = append(messages, e.Message[:1])
		}
		if size > 1<<20 {
			t.Errorf("%d bytes at once", size)
		}
		fmt.Fprint(w, `{}`)
	}))
	defer server.Close()
	client := wire.New(func(context.Context, string) (aws.Config, error) {
		return aws.Config{Region: "us-east-1", HTTPClient: server.Client(), BaseEndpoint: new(server.URL), Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")}, nil
	})
	g := &logGroups{client: client, log: slog.New(slog.DiscardHandler), region: "us-east-1", process: "p"}
	long := strings.Repeat("x", 400_000)
	lines := append(logLines("g", "a"+long, "b"+long, "c"+long), logLines("gone", "d")...)
	slices.Reverse(lines[:3])
	if err := g.write(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	if wrong := g.wrong(); wrong != "ResourceNotFoundException: the log group gone is not there, and what is logged to it is dropped: create it" {
		t.Errorf("condition %q, want that of the missing group", wrong)
	}
	if err := g.write(t.Context(), logLines("g", "e")); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(calls, ", "), "CreateLogStream g 0, PutLogEvents g 2, PutLogEvents g 1, CreateLogStream gone 0, PutLogEvents g 1"; got != want {
		t.Errorf("calls: %s\nwant:  %s", got, want)
	}
	if got := strings.Join(messages, ""); got != "abce" {
		t.Errorf("lines %s, want abce", got)
	}
	if n := g.dropped.Load(); n != 1 {
		t.Errorf("%d lines are dropped, want that of the missing group", n)
	}
}

// TestLogGroupTrouble puts lines in the regions of their groups, waits for a group that
// is only being made, makes a stream again that somebody has deleted, and drops what is
// refused without holding up what is not.
func TestLogGroupTrouble(t *testing.T) {
	type group struct {
		region  string
		after   int // so many calls is it not there
		streams map[string]bool
		lines   []string
		refuses string // with this code
	}
	groups := map[string]*group{
		"late":      {region: "eu-west-1", after: 1},
		"far":       {region: "ap-south-1"},
		"forbidden": {region: "us-east-1", refuses: "AccessDeniedException"},
		"expired":   {region: "us-east-1", refuses: "ExpiredTokenException"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			LogGroupName, LogStreamName, LogGroupNamePrefix string
			LogEvents                                       []struct{ Message string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		refuse := func(code string) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, code)
		}
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if action == "DescribeLogGroups" {
			fmt.Fprintf(w, `{"logGroups":[{"logGroupName":"%s-other"}%s]}`, in.LogGroupNamePrefix, map[bool]string{true: `,{"logGroupName":"far"}`}[in.LogGroupNamePrefix == "far"])
			return
		}
		of := groups[in.LogGroupName]
		if !strings.Contains(r.Header.Get("Authorization"), "/"+of.region+"/logs/") {
			t.Errorf("%s of %s is signed as %s", action, in.LogGroupName, r.Header.Get("Authorization"))
		}
		of.after--
		switch {
		case of.refuses != "":
			refuse(of.refuses)
		case of.after >= 0, action == "PutLogEvents" && !of.streams[in.LogStreamName]:
			refuse("ResourceNotFoundException")
		case action == "CreateLogStream":
			of.streams = map[string]bool{in.LogStreamName: true}
			fmt.Fprint(w, `{}`)
		default:
			for _, e := range in.LogEvents {
				of.lines = append(of.lines, e.Message)
			}
			fmt.Fprint(w, `{}`)
		}
	}))
	defer server.Close()
	client := wire.New(func(context.Context, string) (aws.Config, error) {
		return aws.Config{Region: "us-east-1", HTTPClient: server.Client(), BaseEndpoint: new(server.URL), Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")}, nil
	})
	g := &logGroups{client: client, log: slog.New(slog.DiscardHandler), region: "us-east-1", process: "p", patience: time.Minute}
	write := func(name string, messages ...string) error {
		lines := logLines(name, messages...)
		for i := range lines {
			lines[i].Group = "arn:aws:logs:" + groups[name].region + ":111111111111:log-group:" + name
		}
		return g.write(t.Context(), lines)
	}
	for _, step := range []struct {
		what  string
		lines []string
		want  string // all that the group has
	}{
		{"late", []string{"a"}, "a"},
		{"far", []string{"a"}, "a"},
		{"far, its stream deleted", []string{"b"}, "ab"},
	} {
		name, deleted, _ := strings.Cut(step.what, ", ")
		if deleted != "" {
			groups[name].streams = nil
		}
		if err := write(name, step.lines...); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		if got := strings.Join(groups[name].lines, ""); got != step.want {
			t.Errorf("%s: %q, want %q", step.what, got, step.want)
		}
	}
	g.patience = 0
	for range 2 {
		if err := write("forbidden", "a", "b"); err != nil {
			t.Errorf("what a group refuses: %v", err)
		}
	}
	if n := g.dropped.Load(); n != 4 {
		t.Errorf("%d lines are dropped, want 4", n)
	}
	if wrong, want := g.wrong(), "AccessDeniedException: grant the role logs:CreateLogStream on the log group forbidden"; wrong != want {
		t.Errorf("%q, want %q", wrong, want)
	}
	groups["forbidden"].refuses = ""
	if err := write("forbidden", "c"); err != nil || g.wrong() != "" || strings.Join(groups["forbidden"].lines, "") != "c" {
		t.Errorf("once it takes lines: %v, %q, %v", err, g.wrong(), groups["forbidden"].lines)
	}
	if err := write("expired", "a"); err == nil || g.dropped.Load() != 4 {
		t.Errorf("lines are not to be dropped for the daemon's own credentials: %v", err)
	}
	for name, want := range map[string]bool{"far": true, "near": false} {
		there, err := g.exists(t.Context(), "arn:aws:logs:ap-south-1:111111111111:log-group:"+name+":*")
		if err != nil || there != want {
			t.Errorf("that %s is there is %v, %v", name, there, err)
		}
	}
}
