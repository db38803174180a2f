package sfnapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// echo is tasks that all succeed with what they were given.
type echo struct{}

func (echo) Do(_ context.Context, e asl.Effect, _ bool, _ func(json.RawMessage)) (asl.Outcome, error) {
	return asl.Outcome{Output: e.Input}, nil
}
func (echo) Stop(context.Context, string) {}
func (echo) Check(asl.Resource) error     { return nil }

// A service is the API over HTTP, on an engine that runs.
type service struct {
	t       testing.TB
	url     string
	journal *journal.Journal
	stop    func()
	api     *sfnapi.Server

	mu     sync.Mutex
	events []anneal.Event // guarded by mu
}

// fold reads the whole journal.
func fold(t testing.TB, j *journal.Journal) sfnapi.Fold {
	t.Helper()
	var f sfnapi.Fold
	for r, err := range j.Read(t.Context(), 0, false) {
		if err == nil {
			err = f.Apply(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// As it comes back from a checkpoint.
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back sfnapi.Fold
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// serve serves what the journal has come to.
func serve(t testing.TB, j *journal.Journal, change ...func(*sfnapi.Config)) *service {
	t.Helper()
	s := &service{t: t, journal: j}
	activities := sfnapi.NewActivities(echo{})
	e, err := engine.New(t.Context(), engine.Config{Journal: j, Tasks: activities}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := sfnapi.Config{Journal: j, Engine: e, Activities: activities, Account: "111111111111", Tell: s.tell}
	for _, f := range change {
		f(&cfg)
	}
	api := sfnapi.New(cfg, fold(t, j))
	s.api, e = api, cfg.Engine
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{e.Run, api.Run, api.WriteLogs} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	server := httptest.NewServer(api)
	s.url = server.URL
	s.stop = sync.OnceFunc(func() { cancel(); server.CloseClientConnections(); server.Close(); wg.Wait() })
	t.Cleanup(s.stop)
	return s
}

func (s *service) tell(_ context.Context, events []anneal.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
	var records []journal.Record
	for _, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		records = append(records, journal.Record{Kind: "event", Key: e.ID, Data: data})
	}
	_, err := s.journal.Append(context.Background(), records...)
	return err
}

func newJournal(t testing.TB) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// call makes one call. Numbers come back as they were written.
func (s *service) call(action string, params any) (status int, out map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(params)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		s.t.Fatalf("%s: %v: %s", action, err, data)
	}
	return resp.StatusCode, out
}

// must makes a call that must succeed.
func (s *service) must(action string, params any) map[string]any {
	s.t.Helper()
	status, out := s.call(action, params)
	if status != http.StatusOK {
		s.t.Fatalf("%s %v: %d %v", action, params, status, out)
	}
	return out
}

// object is short for the parameters of a call.
type object map[string]any

func text(v any) string { return fmt.Sprint(v) }

// deaf is a service that tells nobody of changes.
func deaf(cfg *sfnapi.Config) { cfg.Tell = nil }
