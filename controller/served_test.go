package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"path"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
)

// A served controller runs until the test is over, on a journal in memory: objects are
// dropped, and it is seen what is measured of them.
type served struct {
	*controller.Controller
	tb      testing.TB
	journal *journal.Journal
	policy  string
}

// serve runs one that decides by p. Its runs take a minute, and it can profile what open
// opens; change is what else it is to have.
func serve(tb testing.TB, p *policy.Policy, open opener, change func(*controller.Config)) *served {
	tb.Helper()
	silent := slog.New(slog.DiscardHandler)
	j, err := journal.Open(tb.Context(), &journal.Memory{}, journal.Options{Logger: silent})
	if err != nil {
		tb.Fatal(err)
	}
	recovery, err := controller.Recover(tb.Context(), j)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := controller.Config{
		Journal: j, Log: silent,
		Generation: controller.Generation{
			Policies: []*policy.Policy{p},
			Machines: map[string]orchestrator.Machine{p.Name(): {Name: "m", Definition: []byte(simMachine)}},
		},
		Executors: map[string]orchestrator.Executor{policy.ExecutorEmbedded: newWorld(script{conduct: []conduct{{takes: time.Minute}}})},
		Profile:   open.profile,
		Stage:     func(context.Context, anneal.Training) error { return nil },
		Checksum:  func(context.Context, string) (string, int64, error) { return "00", 1, nil },
	}
	change(&cfg)
	s := &served{controller.New(cfg, recovery.State), tb, j, p.Name()}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(tb.Context()) }()
	tb.Cleanup(func() { // the context has ended
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		j.Close()
	})
	return s
}

// An opener opens the objects that are dropped.
type opener func(anneal.Object) (io.ReadCloser, error)

// opens is an opener of files by their names.
func opens(files map[string][]byte) opener {
	return func(o anneal.Object) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files[path.Base(o.URI)])), nil
	}
}

func (open opener) profile(ctx context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
	f, err := open(o)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return profile.Build(ctx, f, path.Base(o.URI), opt)
}

// read is what a controller reads rows by.
func (open opener) read(_ context.Context, o anneal.Object) (io.ReadCloser, error) { return open(o) }

// dropped is the event of a file that is new at a time.
func dropped(name string, seen time.Time) anneal.Event {
	data := anneal.ObjectCreated{Version: "0", Bucket: anneal.BucketRef{Name: "inbox"}, Object: anneal.ObjectRef{Key: name, Size: 1, SHA256: name}}
	raw, _ := json.Marshal(data)
	return anneal.Event{
		SpecVersion: "1.0", ID: data.EventID(anneal.SourceDirectory), Source: anneal.SourceDirectory,
		Type: anneal.TypeObjectCreated, Subject: name, Time: seen.UTC(), Seen: seen.UTC(), Data: raw,
	}
}

// drop has a file appear.
func (s *served) drop(name string) anneal.Event {
	s.tb.Helper()
	e := dropped(name, time.Now())
	if _, _, err := s.Ingest(s.tb.Context(), e); err != nil {
		s.tb.Fatal(err)
	}
	return e
}

// drift is the signal that was measured of an event, and the comparison that it comes
// from.
func (s *served) drift(e anneal.Event) (signal anneal.Signal, comparison drift.Comparison) {
	s.tb.Helper()
	record, err := s.journal.Find(s.tb.Context(), controller.KindSignal, anneal.ID("signal", e.ID, s.policy, "drift"))
	if err != nil {
		s.tb.Fatal(err)
	}
	json.Unmarshal(record.Data, &signal)
	json.Unmarshal(signal.Detail, &comparison)
	return signal, comparison
}

// verify makes all decisions again.
func (s *served) verify() controller.Verification {
	s.tb.Helper()
	v, err := controller.Verify(s.tb.Context(), s.journal)
	if err != nil || !v.Sound() {
		s.tb.Errorf("decisions made again: %+v %v", v, err)
	}
	return v
}
