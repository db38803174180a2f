package journal_test

import (
	"testing"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/journaltest"
)

func TestMemory(t *testing.T) {
	journaltest.Run(t, func(*testing.T) journaltest.Opener {
		var m journal.Memory
		return func(bool) (journal.Store, error) { return &m, nil }
	})
}
