package objects

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newStore returns a store with two buckets and the folder that all lies in.
func newStore(t *testing.T) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := New(Config{Buckets: map[string]string{"data": filepath.Join(dir, "bucket"), "other": filepath.Join(dir, "bucket", "nested")}})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, dir, name, target string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *Store, uri string) (string, error) {
	t.Helper()
	r, info, err := s.Open(t.Context(), uri)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if info.URI != uri || info.Bytes != int64(len(content)) || info.ModTime.IsZero() {
		t.Errorf("%s: info %+v, and %d bytes", uri, info, len(content))
	}
	return string(content), nil
}

func TestOpen(t *testing.T) {
	s, dir := newStore(t)
	put(t, dir, "bucket/train/a.csv", "in the bucket")
	put(t, dir, "bucket/odd #1?%41+ü.csv", "odd")
	put(t, dir, "outside.csv", "outside")
	put(t, dir, "with space.csv", "space")
	link(t, dir, "bucket/inside.csv", "train/a.csv")
	link(t, dir, "bucket/folder", "train")
	link(t, dir, "bucket/escape.csv", "../outside.csv")
	link(t, dir, "bucket/absolute.csv", filepath.Join(dir, "outside.csv"))
	link(t, dir, "bucket/dangling.csv", "nothing")
	link(t, dir, "link.csv", filepath.Join(dir, "outside.csv"))
	if err := syscall.Mkfifo(filepath.Join(dir, "bucket", "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)

	for _, test := range []struct {
		uri, content string
		err          error
		says         string
	}{
		{uri: "s3://data/train/a.csv", content: "in the bucket"},
		{uri: "s3://data/odd #1?%41+ü.csv", content: "odd"},
		{uri: "s3://data/inside.csv", content: "in the bucket"},
		{uri: "s3://data/folder/a.csv", content: "in the bucket"},
		{uri: "bucket/train/a.csv", content: "in the bucket"},
		{uri: "./bucket/../outside.csv", content: "outside"},
		{uri: dir + "/outside.csv", content: "outside"},
		{uri: "link.csv", content: "outside"},
		{uri: "file://" + dir + "/with%20space.csv", content: "space"},
		{uri: "file://localhost" + dir + "/outside.csv", content: "outside"},

		{uri: "s3://data/nothing.csv", err: ErrNotFound, says: "open s3://data/nothing.csv: no such object"},
		{uri: "s3://data/dangling.csv", err: ErrNotFound},
		{uri: "s3://data/train", err: ErrNotFound, says: "folder"},
		{uri: "s3://data/train/a.csv/b", err: ErrNotFound},
		{uri: "s3://data/pipe", err: ErrNotFound, says: "not a regular file"},
		{uri: "nothing.csv", err: ErrNotFound},
		{uri: "s3://other/a.csv", err: ErrNotFound},
		{uri: "s3://ml-data/a.csv", err: ErrNotMapped, says: "buckets: {ml-data: FOLDER}"},

		{uri: "s3://data/escape.csv", says: "escapes"},
		{uri: "s3://data/absolute.csv", says: "escapes"},
		{uri: "", err: ErrBadURI, says: "empty"},
		{uri: "s3://", err: ErrBadURI, says: "no bucket"},
		{uri: "s3:///a.csv", err: ErrBadURI, says: "no bucket"},
		{uri: "s3://data", err: ErrBadURI, says: "folder"},
		{uri: "s3://data/train/", err: ErrBadURI, says: "folder"},
		{uri: "s3://data/../outside.csv", err: ErrBadURI, says: "`..`"},
		{uri: "s3://data/train/../a.csv", err: ErrBadURI, says: "`..`"},
		{uri: "s3://data/./a.csv", err: ErrBadURI, says: "`.`"},
		{uri: "s3://data//a.csv", err: ErrBadURI, says: "empty segment"},
		{uri: "s3://data/a\x00.csv", err: ErrBadURI, says: "NUL"},
		{uri: "s3://data/a\xff.csv", err: ErrBadURI, says: "UTF-8"},
		{uri: "s3://data/" + strings.Repeat("x", 300), err: ErrBadURI, says: "too long"},
		{uri: "a\x00.csv", err: ErrBadURI, says: "NUL"},
		{uri: "http:///a.csv", err: ErrBadURI, says: "want http://host/path"},
		{uri: "ftp://host/a.csv", err: ErrBadURI, says: "want a path, file://, s3:// or http(s)://"},
		{uri: "file://host/a.csv", err: ErrBadURI, says: "file:///path"},
		{uri: "file:///a%zz.csv", err: ErrBadURI, says: "file:///path"},
		{uri: "/", err: ErrBadURI, says: "folder"},
	} {
		content, err := read(t, s, test.uri)
		if content != test.content || (err == nil) != (test.err == nil && test.says == "") {
			t.Errorf("%q: got %q, %v; want %q", test.uri, content, err, test.content)
			continue
		}
		if err == nil {
			continue
		}
		if test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: error is %v; want %v with %q", test.uri, err, test.err, test.says)
		}
		if _, statErr := s.Stat(t.Context(), test.uri); statErr == nil || statErr.Error() != err.Error() {
			t.Errorf("%q: Stat says %v, Open says %v", test.uri, statErr, err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	s, dir := newStore(t)
	put(t, dir, "bucket/a.csv", "abc")
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := s.Open(ctx, "s3://data/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: got %v, want %v", err, context.Canceled)
	}
	if _, _, err := s.Checksum(ctx, "s3://data/a.csv"); !errors.Is(err, context.Canceled) {
		t.Errorf("checksum after cancel: got %v, want %v", err, context.Canceled)
	}
	if err := s.Stage(ctx, "s3://data/staged/", []Source{{URI: "s3://data/a.csv"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("stage after cancel: got %v, want %v", err, context.Canceled)
	}
}

func TestTorn(t *testing.T) {
	const before, half = "a,b\n1,2\n3,4\n", 5
	for _, test := range []struct {
		name  string
		write func(file string) error
		want  error
	}{
		{"written over", func(file string) error {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte("9"), half)
			return err
		}, ErrTorn},
		{"written anew", func(file string) error { return os.WriteFile(file, []byte("a,b\n5,6\n7,8\n"), 0o666) }, ErrTorn},
		{"appended to", func(file string) error { return os.WriteFile(file, []byte(before+"5,6\n"), 0o666) }, ErrTorn},
		{"cut", func(file string) error { return os.Truncate(file, half) }, ErrTorn},
		{"replaced", func(file string) error {
			if err := os.WriteFile(file+".new", []byte("c\n1\n"), 0o666); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		}, nil},
		{"removed", os.Remove, nil},
	} {
		s, dir := newStore(t)
		put(t, dir, "bucket/a.csv", before)
		file := filepath.Join(dir, "bucket", "a.csv")
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-time.Minute)); err != nil { // for all to be later
			t.Fatal(err)
		}
		r, _, err := s.Open(t.Context(), "s3://data/a.csv")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, half)
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatalf("%s: first half: %v", test.name, err)
		}
		if err := test.write(file); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(r)
		if !errors.Is(err, test.want) || test.want != nil && len(rest) > 0 || test.want == nil && string(got)+string(rest) != before {
			t.Errorf("%s: then %q, %v; want %v", test.name, rest, err, test.want)
		}
		if n, err := r.(io.ReaderAt).ReadAt(got, 0); !errors.Is(err, test.want) || test.want != nil && n > 0 {
			t.Errorf("%s: ReadAt gives %d bytes, %v; want %v", test.name, n, err, test.want)
		}
		r.Close()
	}
}

func TestChecksum(t *testing.T) {
	s, dir := newStore(t)
	put(t, dir, "bucket/a.csv", "abc")
	sum, n, err := s.Checksum(t.Context(), "s3://data/a.csv")
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, B.1
	if sum != want || n != 3 || err != nil {
		t.Errorf("got %s, %d, %v; want %s, 3", sum, n, err, want)
	}
}

func TestList(t *testing.T) {
	s, dir := newStore(t)
	for _, name := range []string{"train.csv", "train/a.csv", "train/b/c.csv", "train-2/a.csv", "test/.hidden", ".top", "tr\xff.csv", ".anneal-X.tmp", ".anneal-Y.tmp/a.csv"} {
		put(t, dir, "bucket/"+name, name)
	}
	put(t, dir, "outside.csv", "")
	link(t, dir, "bucket/train/in.csv", "a.csv")
	link(t, dir, "bucket/train/out.csv", "../../outside.csv")
	link(t, dir, "bucket/train/dir", "b")
	t.Chdir(dir)

	for _, test := range []struct {
		prefix string
		want   []string
	}{
		{"s3://data/train", []string{"s3://data/train-2/a.csv", "s3://data/train.csv", "s3://data/train/a.csv", "s3://data/train/b/c.csv", "s3://data/train/in.csv"}},
		{"s3://data/train/", []string{"s3://data/train/a.csv", "s3://data/train/b/c.csv", "s3://data/train/in.csv"}},
		{"s3://data/train/b", []string{"s3://data/train/b/c.csv"}},
		{"s3://data/train/b/c.csv", []string{"s3://data/train/b/c.csv"}},
		{"s3://data", []string{"s3://data/.top", "s3://data/test/.hidden", "s3://data/train-2/a.csv", "s3://data/train.csv", "s3://data/train/a.csv", "s3://data/train/b/c.csv", "s3://data/train/in.csv"}},
		{"s3://data/t", []string{"s3://data/test/.hidden", "s3://data/train-2/a.csv", "s3://data/train.csv", "s3://data/train/a.csv", "s3://data/train/b/c.csv", "s3://data/train/in.csv"}},
		{"s3://data/nothing/here", nil},
		{"s3://data/train.csv/", nil},
		{"s3://other/", nil}, // its folder is not there
		{"bucket/train", []string{"bucket/train/a.csv", "bucket/train/b/c.csv", "bucket/train/in.csv", "bucket/train/out.csv"}},
		{"bucket/train/", []string{"bucket/train/a.csv", "bucket/train/b/c.csv", "bucket/train/in.csv", "bucket/train/out.csv"}},
		{"bucket/train.csv", []string{"bucket/train.csv"}},
		{"file://" + dir + "/bucket/train/b/", []string{"file://" + dir + "/bucket/train/b/c.csv"}},
	} {
		infos, err := s.List(t.Context(), test.prefix)
		if err != nil {
			t.Errorf("%s: %v", test.prefix, err)
			continue
		}
		var got []string
		for _, info := range infos {
			got = append(got, info.URI)
			if _, err := s.Stat(t.Context(), info.URI); err != nil {
				t.Errorf("%s: is listed, but %v", info.URI, err)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.prefix, diff)
		}
	}
	for prefix, want := range map[string]error{"nothing": ErrNotFound, "bucket/train.csv/": ErrNotFound, "s3://x/": ErrNotMapped, "s3://data/../": ErrBadURI} {
		if _, err := s.List(t.Context(), prefix); !errors.Is(err, want) {
			t.Errorf("%s: got error %v; want %v", prefix, err, want)
		}
	}
}

func TestPathAndURI(t *testing.T) {
	s, dir := newStore(t)
	for _, test := range []struct{ uri, path string }{
		{"s3://data/a/b.csv", "/bucket/a/b.csv"},
		{"s3://other/a.csv", "/bucket/nested/a.csv"}, // the nearest bucket
		{"s3://data/", "/bucket"},
		{dir + "/elsewhere.csv", "/elsewhere.csv"},
		{dir + "/bucket-2/a.csv", "/bucket-2/a.csv"},
	} {
		if path, ok := s.Path(test.uri); path != dir+test.path || !ok {
			t.Errorf("Path(%s) = %s, %v; want %s", test.uri, path, ok, dir+test.path)
		}
		if uri := s.URI(dir + test.path); uri != test.uri {
			t.Errorf("URI(%s) = %s; want %s", dir+test.path, uri, test.uri)
		}
	}
	for _, uri := range []string{"s3://x/a.csv", "s3://data/../a.csv", "http://x/a", ""} {
		if path, ok := s.Path(uri); ok {
			t.Errorf("Path(%q) = %s; want none", uri, path)
		}
	}
}

func TestConfig(t *testing.T) {
	_, err := New(Config{Buckets: map[string]string{"a": "./a", "b": "", "c/d": "/c", "e": "/e"}})
	want := `bucket a: folder "./a": want an absolute path
bucket b: folder "": want an absolute path
bucket name "c/d": want letters, digits, dots and hyphens`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// names lists a folder, everything that is hidden included.
func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	slices.Sort(all)
	return all
}

func TestCreate(t *testing.T) {
	s, dir := newStore(t)
	for _, uri := range []string{"s3://data/new/folder/a.csv", filepath.Join(dir, "local", "a.csv")} {
		for _, content := range []string{"first", "second"} {
			w, err := s.Create(t.Context(), uri)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, content); err != nil {
				t.Fatal(err)
			}
			if before, err := read(t, s, uri); before == content {
				t.Errorf("%s: is there before it was committed (%v)", uri, err)
			}
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Errorf("close after commit: %v", err)
			}
			if err := w.Commit(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("second commit: got %v, want %v", err, os.ErrClosed)
			}
			if got, err := read(t, s, uri); got != content {
				t.Errorf("%s: got %q, %v; want %q", uri, got, err, content)
			}
		}

		w, err := s.Create(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "third"); err != nil {
			t.Fatal(err)
		}
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, s, uri); got != "second" {
			t.Errorf("%s after abort: got %q, %v; want second", uri, got, err)
		}
		path, _ := s.Path(uri)
		if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"a.csv"}) {
			t.Errorf("%s: left behind %q", uri, got)
		}
	}

	put(t, dir, "bucket/file", "")
	link(t, dir, "bucket/out", "..")
	for _, uri := range []string{"s3://data/file/a.csv", "s3://data/out/a.csv", "s3://data/../a.csv", "s3://data/x/", "s3://x/a.csv"} {
		if w, err := s.Create(t.Context(), uri); err == nil {
			w.Abort()
			t.Errorf("%s: can be created", uri)
		}
	}
	if w, err := s.Create(t.Context(), "s3://data/new"); err != nil { // a folder
		t.Error(err)
	} else if err := w.Commit(); err == nil {
		t.Error("a folder was replaced by an object")
	}
	if got := names(t, filepath.Join(dir, "bucket")); !slices.Equal(got, []string{"file", "new", "out"}) {
		t.Errorf("left behind %q", got)
	}
}

// A disk that is full is told at the latest by Commit, and changes nothing.
func TestCreateOnFullDisk(t *testing.T) {
	s, dir := newStore(t)
	put(t, dir, "bucket/a.csv", "before")
	w, err := s.Create(t.Context(), "s3://data/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.f.Close()
	w.f = full
	if _, err := io.WriteString(w, "after"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write: got %v; want %v", err, syscall.ENOSPC)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, s, "s3://data/a.csv"); got != "before" {
		t.Errorf("got %q, %v; want before", got, err)
	}
	if got := names(t, filepath.Join(dir, "bucket")); !slices.Equal(got, []string{"a.csv"}) {
		t.Errorf("left behind %q", got)
	}
}

func FuzzURI(f *testing.F) {
	for _, uri := range []string{"s3://data/a/b.csv", "s3://data/../x", "s3://data/a/", "file:///a%20b", "a/../b", "s3://data/\x00", "http://x", "s3://data//"} {
		f.Add(uri)
	}
	dir := f.TempDir()
	s, err := New(Config{Buckets: map[string]string{"data": filepath.Join(dir, "bucket")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		path, ok := s.Path(uri)
		if !ok || !strings.HasPrefix(uri, "s3://") {
			return
		}
		// Whatever a key says, it stays in its bucket, and leads back.
		if path != filepath.Join(dir, "bucket") && !strings.HasPrefix(path, filepath.Join(dir, "bucket")+"/") {
			t.Errorf("%q leads to %s", uri, path)
		}
		if back := s.URI(path); strings.TrimSuffix(back, "/") != strings.TrimSuffix(uri, "/") {
			t.Errorf("%q leads to %s, and back to %q", uri, path, back)
		}
	})
}
