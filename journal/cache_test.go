package journal_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/journal"
)

// fill appends n records with keys k1, k2, …, where the last digits repeat.
func fill(t *testing.T, s journal.Store, cache string, n int, data string) {
	t.Helper()
	j, err := journal.Open(t.Context(), s, journal.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += 100 {
		var batch []journal.Record
		for k := range 100 {
			batch = append(batch, journal.Record{Kind: "event", Key: fmt.Sprint("k", (i+k)%(n/2)), Data: []byte(data)})
		}
		if _, err := j.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCacheIsNotTrusted(t *testing.T) {
	const n = 20000
	var log, other journal.Memory
	cache, otherCache := filepath.Join(t.TempDir(), "cache"), filepath.Join(t.TempDir(), "cache")
	fill(t, &log, cache, n, strings.Repeat("x", 100))
	fill(t, &other, otherCache, n, strings.Repeat("y", 100))
	runs, err := filepath.Glob(filepath.Join(cache, "*.run"))
	if err != nil || len(runs) == 0 {
		t.Fatalf("no runs in the cache: %v", err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(dir string) string {
		runs, _ := filepath.Glob(filepath.Join(dir, "*.run"))
		return runs[random.IntN(len(runs))]
	}
	for _, c := range []struct {
		name  string
		times int
		harm  func(dir string) error
	}{
		{"untouched", 1, func(string) error { return nil }},
		{"deleted", 1, os.RemoveAll},
		{"a run is missing", 3, func(dir string) error { return os.Remove(pick(dir)) }},
		{"a run is cut", 5, func(dir string) error { return os.Truncate(pick(dir), random.Int64N(100000)) }},
		{"of another log", 1, func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(otherCache)))
		}},
		{"a leftover of a crash", 1, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "00000000000000000001-00000000000000000009.run.new"), []byte("x"), 0o644)
		}},
		{"of another version", 1, func(dir string) error { // which is no damage
			runs, err := filepath.Glob(filepath.Join(dir, "*.run"))
			for _, path := range runs {
				b, readErr := os.ReadFile(path)
				if readErr != nil {
					return readErr
				}
				b[len(b)-96+4]++ // after the magic of the footer
				err = errors.Join(err, os.WriteFile(path, b, 0o644))
			}
			return err
		}},
		{"a bit is changed", 40, func(dir string) error {
			path := pick(dir)
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			return os.WriteFile(path, b, 0o644)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range c.times {
				dir := filepath.Join(t.TempDir(), "cache")
				if err := os.CopyFS(dir, os.DirFS(cache)); err != nil {
					t.Fatal(err)
				}
				if err := c.harm(dir); err != nil {
					t.Fatal(err)
				}
				for _, readOnly := range []bool{true, false, true} {
					var said strings.Builder
					logger := slog.New(slog.NewTextHandler(io.MultiWriter(&said, t.Output()), nil))
					opts := journal.Options{Cache: dir, ReadOnly: readOnly, Logger: logger}
					j, err := journal.Open(t.Context(), &log, opts)
					if err != nil {
						t.Fatal(err)
					}
					for i := 0; i < n/2; i += 1999 {
						r, err := j.Find(t.Context(), "event", fmt.Sprint("k", i))
						if want := uint64(n/2 + i + 1); err != nil || r.Seq != want {
							t.Errorf("find k%d: %d, %v, want %d", i, r.Seq, err, want)
						}
					}
					if r, err := j.Find(t.Context(), "event", "k-1"); !errors.Is(err, journal.ErrNotFound) {
						t.Errorf("find what is not there: %d, %v", r.Seq, err)
					}
					if err := j.Close(); err != nil {
						t.Fatal(err)
					}
					if c.name == "of another version" && strings.Contains(said.String(), "cache") {
						t.Errorf("a cache of another version is told of:\n%s", said.String())
					}
				}
			}
		})
	}
}
