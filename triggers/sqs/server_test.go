package sqs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/triggers/sqs/sqstest"
)

var quiet = slog.New(slog.DiscardHandler)

// source is a new source of a queue of the server.
func source(t *testing.T, s *sqstest.Server, cfg Config) *Source {
	t.Helper()
	source, err := New(cfg, sqstest.Account(s.URL), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// errFull is what a journal without space says.
var errFull = errors.New("no space left on device")

// run runs a source until stop is called, or the test is over.
func run(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run has not ended 20 s after its context")
		}
	}
	t.Cleanup(stop)
	return stop
}
