package file

import (
	"path/filepath"
	"testing"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/journaltest"
)

func TestStore(t *testing.T) {
	for name, size := range map[string]int64{"one segment": 0, "many segments": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			journaltest.Run(t, func(t *testing.T) journaltest.Opener {
				dir := filepath.Join(t.TempDir(), "journal")
				return func(readOnly bool) (journal.Store, error) {
					return Open(dir, Options{ReadOnly: readOnly, SegmentSize: size})
				}
			})
		})
	}
}
