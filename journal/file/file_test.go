package file

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

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

// What was recorded is for the owner of the folder alone.
func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "journal")
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), os.FileMode(0o700); got != want {
		t.Errorf("folder of mode %o, want %o", got, want)
	}
}

// TestSegmentIsLocked looks whether the segment that is written is locked, and the
// ones before it are not.
func TestSegmentIsLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	s, err := Open(dir, Options{SegmentSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for prev := range uint64(2) {
		if _, err := s.Append(t.Context(), prev, []byte("a frame")); err != nil {
			t.Fatal(err)
		}
	}
	for first, want := range map[uint64]error{1: nil, 2: unix.EWOULDBLOCK} {
		f, err := os.Open(s.segmentPath(first))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); got != want {
			t.Errorf("locking segment %d: %v, want %v", first, got, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
