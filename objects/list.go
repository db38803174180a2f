package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// List describes the objects under a prefix, sorted by URI.
//
// An s3:// prefix is a string prefix, as in S3: s3://b/tr has tr.csv and
// train/a.csv; nothing there is an empty list. A path is that of a file, which
// is the list, or of a folder, which stands for all below it. On the web nothing
// can be listed: the URI is that of an object, which is the list.
//
// Symbolic links to files are objects, except where they lead out of a bucket's
// folder; links to folders are not followed. Files that are still being written
// by Create are not listed, nor are names that are not UTF-8.
func (s *Store) List(ctx context.Context, prefix string) ([]Info, error) {
	p, err := s.resolve(prefix)
	if err != nil {
		return nil, err
	}
	switch {
	case p.url != nil:
		info, err := s.Stat(ctx, prefix)
		if err != nil {
			return nil, err
		}
		return []Info{info}, nil
	case p.bucket != "":
		return s.s3.list(ctx, prefix, p.bucket, p.key)
	case p.local:
		return s.listPath(ctx, prefix, p)
	}
	root, err := p.openRoot()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list", prefix, err)
	}
	defer root.Close()

	key := p.name
	switch {
	case key == ".":
		key = ""
	case p.slash:
		key += "/"
	}
	bucket := strings.TrimSuffix(prefix, "/")
	if key != "" {
		bucket = strings.TrimSuffix(prefix, "/"+key)
	}
	start := "."
	if i := strings.LastIndexByte(key, '/'); i >= 0 {
		start = key[:i]
	}
	infos, err := walk(ctx, root.FS(), start, key, func(name string) string { return bucket + "/" + name })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list", prefix, err)
	}
	return infos, nil
}

func (s *Store) listPath(ctx context.Context, prefix string, p place) ([]Info, error) {
	abs := filepath.Join(p.folder, p.name)
	stat, err := os.Stat(abs)
	if err != nil {
		return nil, wrap("list", prefix, err)
	}
	uri := func(name string) string { return filepath.Join(filepath.FromSlash(prefix), filepath.FromSlash(name)) }
	if strings.HasPrefix(prefix, "file://") {
		uri = func(name string) string {
			return (&url.URL{Scheme: "file", Path: path.Join(filepath.ToSlash(abs), name)}).String()
		}
	}
	if !stat.IsDir() {
		if !stat.Mode().IsRegular() || p.slash {
			return nil, fmt.Errorf("list %s: %w: neither a folder nor a regular file", prefix, ErrNotFound)
		}
		return []Info{{URI: prefix, Bytes: stat.Size(), ModTime: stat.ModTime()}}, nil
	}
	infos, err := walk(ctx, os.DirFS(abs), ".", "", uri)
	if err != nil {
		return nil, wrap("list", prefix, err)
	}
	return infos, nil
}

// walk lists the files of fsys from the folder start on whose names begin with
// prefix.
func walk(ctx context.Context, fsys fs.FS, start, prefix string, uri func(name string) string) ([]Info, error) {
	var infos []Info
	err := fs.WalkDir(fsys, start, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if name != start && errors.Is(err, fs.ErrNotExist) {
				return nil // it went while we walked
			}
			return err
		}
		if !utf8.ValidString(name) || temporary(path.Base(name)) {
			return skip(d)
		}
		if d.IsDir() {
			below := name + "/"
			if name != "." && !strings.HasPrefix(below, prefix) && !strings.HasPrefix(prefix, below) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := d.Info()
		if err == nil && d.Type()&fs.ModeSymlink != 0 {
			info, err = fs.Stat(fsys, name)
			if err != nil {
				return nil // it leads nowhere, or out of the folder
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			infos = append(infos, Info{URI: uri(name), Bytes: info.Size(), ModTime: info.ModTime()})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.URI, b.URI) })
	return infos, nil
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}
