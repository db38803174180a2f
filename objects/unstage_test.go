package objects_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/objects"
)

func TestUnstage(t *testing.T) {
	dir := t.TempDir()
	bucket, outside := filepath.Join(dir, "bucket"), filepath.Join(dir, "outside")
	for name, text := range map[string]string{
		"bucket/in/a.csv": "1", "bucket/in/b.csv": "2", "bucket/staging/mine/deep/c.csv": "3",
		"bucket/staging/file": "4", "outside/d.csv": "5",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(bucket, "staging/link")); err != nil {
		t.Fatal(err)
	}
	s, err := objects.New(objects.Config{Buckets: map[string]string{"ml": bucket}})
	if err != nil {
		t.Fatal(err)
	}
	sources := []objects.Source{{URI: "s3://ml/in/a.csv"}, {URI: "s3://ml/in/b.csv"}}
	for range 2 {
		if err := s.Stage(t.Context(), "s3://ml/staging/run-1/", sources); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing
			if err := s.Unstage(t.Context(), "s3://ml/staging/run-1/"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(filepath.Join(bucket, "staging/run-1")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was staged is still there: %v", err)
		}
	}
	for _, c := range []struct{ uri, want string }{
		{"s3://ml/", "want a prefix below the bucket"},
		{"s3://ml/staging/../in/", "`..`"},
		{"s3://ml/staging/mine/", "it holds the folder deep"},
		{"s3://ml/staging/link/", "it is not a folder"},
		{"s3://ml/staging/file/", "it is not a folder"},
		{"s3://else/staging/", "not mapped"},
	} {
		if err := s.Unstage(t.Context(), c.uri); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("unstage %s: %v, want … %s …", c.uri, err, c.want)
		}
	}
	for range 2 {
		if err := s.Remove(t.Context(), "s3://ml/staging/file"); err != nil {
			t.Error(err)
		}
	}
	if err := s.Remove(t.Context(), "s3://ml/staging/link"); err == nil {
		t.Error("a link was removed")
	}
	for _, name := range []string{"bucket/in/a.csv", "bucket/in/b.csv", "bucket/staging/mine/deep/c.csv", "bucket/staging/link", "outside/d.csv"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
}
