package sqs

import (
	"errors"
	"log/slog"
	"testing"

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
