package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal"
)

func versionOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func TestStage(t *testing.T) {
	s, dir := newStore(t)
	put(t, dir, "bucket/in/a.csv", "a")
	put(t, dir, "bucket/in/b.csv", "b")
	put(t, dir, "bucket/in/sub/b.csv", "other b")
	put(t, dir, "local.csv", "local")
	link(t, dir, "bucket/in/link.csv", "a.csv")
	sources := []Source{
		{URI: "s3://data/in/a.csv", Version: versionOf("a")},
		{URI: "s3://data/in/b.csv", Version: ""},
		{URI: "s3://data/in/sub/b.csv", Version: "an ETag"},
		{URI: filepath.Join(dir, "local.csv"), Version: versionOf("local")},
		{URI: "s3://data/in/link.csv", Version: versionOf("a")},
		{URI: "s3://data/in/a.csv", Version: versionOf("a")}, // once more
	}
	first := anneal.ShortID("stage", "s3://data/in/b.csv") + "-b.csv"
	second := anneal.ShortID("stage", "s3://data/in/sub/b.csv") + "-b.csv"
	want := map[string]string{"a.csv": "a", first: "b", second: "other b", "local.csv": "local", "link.csv": "a"}

	for _, dst := range []string{"s3://data/staging/run-1/", "s3://data/staging/run-2", filepath.Join(dir, "staging", "run-1")} {
		for range 2 { // the second time changes nothing
			if err := s.Stage(t.Context(), dst, sources); err != nil {
				t.Fatalf("%s: %v", dst, err)
			}
			slices.Reverse(sources)
			folder, _ := s.Path(dst)
			if got := names(t, folder); len(got) != len(want) {
				t.Errorf("%s: holds %q; want %d files", dst, got, len(want))
			}
			for name, content := range want {
				got, err := os.ReadFile(filepath.Join(folder, name))
				if string(got) != content {
					t.Errorf("%s: %s is %q, %v; want %q", dst, name, got, err, content)
				}
			}
			if got := names(t, filepath.Dir(folder)); slices.ContainsFunc(got, temporary) {
				t.Errorf("%s: left behind %q", dst, got)
			}
		}
	}
	if !sameFile(t, filepath.Join(dir, "bucket/in/a.csv"), filepath.Join(dir, "bucket/staging/run-1/a.csv")) {
		t.Error("a.csv was copied; want a link")
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

// Whatever is wrong with one object, nothing is staged.
func TestStageRefuses(t *testing.T) {
	s, dir := newStore(t)
	put(t, dir, "bucket/in/a.csv", "a")
	put(t, dir, "bucket/in/b.csv", "b")
	put(t, dir, "bucket/taken/other.csv", "other")
	put(t, dir, "bucket/partly/a.csv", "a")
	put(t, dir, "bucket/file", "")
	a := Source{URI: "s3://data/in/a.csv", Version: versionOf("a")}
	for _, test := range []struct {
		dst     string
		sources []Source
		err     error
		says    string
	}{
		{"s3://data/s/", []Source{a, {URI: "s3://data/in/c.csv", Version: ""}}, ErrNotFound, "s3://data/in/c.csv"},
		{"s3://data/s/", []Source{a, {URI: "s3://data/in/b.csv", Version: versionOf("a")}}, ErrChanged, "its SHA-256 is " + versionOf("b")},
		{"s3://data/s/", []Source{a, {URI: "s3://data/in/a.csv", Version: versionOf("b")}}, nil, "two versions"},
		{"s3://data/s/", []Source{a, {URI: "s3://x/in/a.csv", Version: ""}}, ErrNotMapped, "x"},
		{"s3://data/s/", []Source{a, {URI: "s3://data/in", Version: ""}}, ErrNotFound, "folder"},
		{"s3://data/taken/", []Source{a}, ErrChanged, "it holds other.csv already"},
		{"s3://data/partly/", []Source{a, {URI: "s3://data/in/b.csv", Version: ""}}, ErrChanged, "1 of the 2"},
		{"s3://data/file/", []Source{a}, nil, "file"},
		{"s3://data/", []Source{a}, ErrBadURI, "below the bucket"},
		{"s3://x/s/", []Source{a}, ErrNotMapped, "x"},
	} {
		err := s.Stage(t.Context(), test.dst, test.sources)
		if err == nil || test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s %v: got %v; want %v with %q", test.dst, test.sources, err, test.err, test.says)
		}
		if got := names(t, filepath.Join(dir, "bucket")); !slices.Equal(got, []string{"file", "in", "partly", "taken"}) {
			t.Fatalf("%s: left behind %q", test.dst, got)
		}
	}
}

// What a crash left of an earlier try is cleared away, and a staged object that
// was written through its link is noticed.
func TestStageAgain(t *testing.T) {
	s, dir := newStore(t)
	put(t, dir, "bucket/in/a.csv", "a")
	left := filepath.Join("bucket", temporaryName(anneal.ShortID("stage", "s")), "half.csv")
	put(t, dir, left, "half")
	sources := []Source{{URI: "s3://data/in/a.csv", Version: versionOf("a")}}
	if err := s.Stage(t.Context(), "s3://data/s/", sources); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(dir, "bucket")); !slices.Equal(got, []string{"in", "s"}) {
		t.Errorf("left behind %q", got)
	}
	put(t, dir, "bucket/in/a.csv", "b") // in place, so through the link
	if err := s.Stage(t.Context(), "s3://data/s/", sources); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v; want %v", err, ErrChanged)
	}
	if err := s.Stage(t.Context(), "s3://data/empty/", nil); err != nil {
		t.Errorf("staging nothing: %v", err)
	}
}

// Across devices there are no links.
func TestStageAcrossDevices(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "anneal-objects-")
	if err != nil {
		shm = t.TempDir() // one device only: then this is one more test of links
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	s, dir := newStore(t)
	put(t, dir, "bucket/a.csv", "a")
	dst := filepath.Join(shm, "staged")
	for range 2 {
		if err := s.Stage(t.Context(), dst, []Source{{URI: "s3://data/a.csv", Version: versionOf("a")}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dst, "a.csv")); string(got) != "a" {
		t.Errorf("got %q, %v; want a", got, err)
	}
}
