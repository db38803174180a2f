package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal/journal"
)

// A store that dies when it has removed only some of the segments.
type halfTrimmed struct{ *Store }

func (s halfTrimmed) Trim(ctx context.Context, before uint64) error {
	return errors.Join(s.Store.Trim(ctx, before/2), errors.New("the process died"))
}

// TestCutThatWasInterrupted dies while segments are removed: the journal is
// sound and as it is after the cut, and the next one removes the rest.
func TestCutThatWasInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	s, err := Open(dir, Options{SegmentSize: smallSegment})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), halfTrimmed{s}, journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, j, 200, 7)
	before, all := j.Last()-100, segmentsIn(t, dir)
	if err := j.Cut(t.Context(), before, []byte("{}"), []uint64{1, 2}); err == nil {
		t.Fatal("the cut was not interrupted")
	}
	want := contents(t, j)
	j.Close()
	left := segmentsIn(t, dir)
	if report, err := Verify(t.Context(), dir); err != nil || !report.Sound() {
		t.Fatalf("verify: %v, %v", report, err)
	}
	j = mustOpen(t, dir)
	defer j.Close()
	if diff := cmp.Diff(want, contents(t, j)); diff != "" || j.First() != before {
		t.Errorf("first record %d, want %d: %s", j.First(), before, diff)
	}
	if err := j.Cut(t.Context(), before, nil, nil); err != nil {
		t.Fatal(err)
	}
	if end := segmentsIn(t, dir); !(end < left && left < all) {
		t.Errorf("segments: %d, then %d, then %d, want fewer each time", all, left, end)
	}
	if r, err := j.At(t.Context(), 2); err != nil || r.Seq != 2 {
		t.Errorf("what is kept: %v", err)
	}
}

func segmentsIn(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestCutOnAFullDisk cuts where there is no room for the checkpoint: nothing is
// given up.
func TestCutOnAFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir)
	write(t, j, 50, 3)
	want := contents(t, j)
	j.Close()
	s, err := Open(dir, Options{SegmentSize: smallSegment})
	if err != nil {
		t.Fatal(err)
	}
	s.disk = &faultyDisk{write: func(*os.File, []byte, int64) (int, error) {
		return 0, &os.PathError{Op: "write", Path: dir, Err: unix.ENOSPC}
	}}
	j, err = journal.Open(t.Context(), s, journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Cut(t.Context(), j.Last()-10, []byte("{}"), []uint64{1}); !errors.Is(err, journal.ErrFull) {
		t.Errorf("cut on a full disk: %v, want ErrFull", err)
	}
	if diff := cmp.Diff(want, contents(t, j)); diff != "" || j.First() != 1 {
		t.Errorf("the first record is %d, want 1: %s", j.First(), diff)
	}
}
