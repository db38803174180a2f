package objects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
)

// Create opens an object for writing. It appears, or replaces the one that is
// there, when Commit returns nil; until then, and after Abort, nothing has
// changed. Missing folders are made.
func (s *Store) Create(ctx context.Context, uri string) (*Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := s.object(uri)
	switch {
	case err != nil:
		return nil, err
	case p.url != nil:
		return nil, fmt.Errorf("create %s: %w: the web can only be read", shown(uri), ErrBadURI)
	case p.bucket != "":
		return &Writer{uri: uri, up: s.s3.upload(ctx, uri, p.bucket, p.key)}, nil
	}
	if err := os.MkdirAll(p.folder, 0o777); err != nil {
		return nil, wrap("create", uri, err)
	}
	root, err := p.openRoot()
	if err != nil {
		return nil, wrap("create", uri, err)
	}
	w := &Writer{uri: uri, root: root, name: p.name}
	w.temp = path.Join(path.Dir(p.name), temporaryName(rand.Text()))
	if err := root.MkdirAll(path.Dir(p.name), 0o777); err != nil {
		root.Close()
		return nil, wrap("create", uri, err)
	}
	w.f, err = root.OpenFile(w.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		root.Close()
		return nil, wrap("create", uri, err)
	}
	return w, nil
}

// A Writer writes one object. It ends with Commit, Abort or Close.
type Writer struct {
	uri  string
	root *os.Root
	f    *os.File
	temp string // what f is called until Commit
	name string
	up   *upload // in S3; no file then
	done bool
}

// Write writes on.
func (w *Writer) Write(p []byte) (int, error) {
	if w.up != nil {
		return w.up.write(p)
	}
	n, err := w.f.Write(p)
	if err != nil {
		err = wrap("write", w.uri, err)
	}
	return n, err
}

// Commit makes the object appear, durably. After an error nothing has
// changed, unless it is the error of making the appearance itself durable.
func (w *Writer) Commit() error {
	if w.done {
		return fmt.Errorf("commit %s: %w", w.uri, os.ErrClosed)
	}
	defer w.Abort()
	if w.up != nil {
		err := w.up.commit()
		w.done = err == nil
		return err
	}
	if err := w.f.Sync(); err != nil {
		return wrap("commit", w.uri, err)
	}
	if err := w.f.Close(); err != nil {
		return wrap("commit", w.uri, err)
	}
	if err := w.root.Rename(w.temp, w.name); err != nil {
		return wrap("commit", w.uri, err)
	}
	w.done = true
	defer w.root.Close()
	if err := syncFolders(w.root, path.Dir(w.name)); err != nil {
		return wrap("commit", w.uri, err)
	}
	return nil
}

// Abort drops what was written. After Commit it does nothing.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	if w.up != nil {
		return w.up.abort()
	}
	w.f.Close()
	err := w.root.Remove(w.temp)
	w.root.Close()
	if err != nil {
		return wrap("abort", w.uri, err)
	}
	return nil
}

// Close is Abort, so that a deferred Close cleans up whatever happened.
func (w *Writer) Close() error { return w.Abort() }

// syncFolders makes the entries of folder, and of those that it is in, durable.
func syncFolders(root *os.Root, folder string) error {
	for {
		f, err := root.Open(folder)
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
			return err
		}
		if folder == "." {
			return nil
		}
		folder = path.Dir(folder)
	}
}

// temporaryName is the name of something that is still being written. It is
// hidden and ends in .tmp, so that nobody who watches a folder takes it.
func temporaryName(id string) string { return ".anneal-" + id + ".tmp" }

func temporary(name string) bool {
	return strings.HasPrefix(name, ".anneal-") && strings.HasSuffix(name, ".tmp")
}
