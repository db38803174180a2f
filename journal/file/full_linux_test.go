package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal/journal"
)

// TestFullDisk fills a small file system with the journal and something else,
// while many append, and frees it again.
func TestFullDisk(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=8m"); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("mount a small file system: %v", err)
		}
		t.Skipf("needs to mount a small file system: %v", err)
	}
	defer unix.Unmount(mount, unix.MNT_DETACH)
	dir := filepath.Join(mount, "journal")
	j, err := OpenJournal(t.Context(), dir, journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	acked := map[uint64]string{}
	fill := func(round int) (full int) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 40 {
					r := journal.Record{Kind: "event", Key: fmt.Sprintf("%d-%d-%d", round, w, i), Data: make([]byte, 40<<10)}
					last, err := j.Append(t.Context(), r)
					mu.Lock()
					if errors.Is(err, journal.ErrFull) {
						full++
					} else if err != nil {
						t.Errorf("append: %v", err)
					} else {
						acked[last] = r.Key
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return full
	}
	if full := fill(1); full == 0 {
		t.Errorf("12 MB went on a disk of 8 MB")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		last, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: fmt.Sprint("freed-", i), Data: make([]byte, 40<<10)})
		if err != nil {
			t.Fatalf("append when space was freed: %v", err)
		}
		acked[last] = fmt.Sprint("freed-", i)
	}
	fill(2)
	if err := j.Close(); err != nil {
		t.Errorf("close on a full disk: %v", err)
	}
	j, err = OpenJournal(t.Context(), dir, journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatalf("open on a full disk: %v", err)
	}
	defer j.Close()
	got := map[uint64]string{}
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Seq] = r.Key
	}
	if diff := cmp.Diff(acked, got); diff != "" {
		t.Errorf("acknowledged - and stored + differ: %s", diff)
	}
}
