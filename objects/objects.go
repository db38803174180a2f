// Package objects opens a URI.
//
// A URI is the path of a file, file:///path, s3://bucket/key, or http(s)://. A
// bucket that is mapped is a folder, everywhere: s3://bucket/a/b.csv is the file
// a/b.csv below it, and nothing outside of it, whatever a key or a symbolic link
// says. What cannot be a file below a folder (`..`, an empty segment, a NUL) is
// refused by name. Any other bucket is in S3, where [Config.S3] says how that is
// reached. A key is taken as it is written; nothing in it is percent-decoded.
//
// What is read is one version of its object from end to end. Over the network a
// connection that breaks or falls silent is made again and goes on where it was,
// and an object that has changed meanwhile is [ErrChanged]; a file that is written
// to meanwhile is [ErrTorn]. What AWS refuses is told in one line with its remedy.
//
// What is written appears whole or not at all, and is durable when Commit or
// Stage returns. A [Store] remembers nothing of objects between calls and may be
// used from several goroutines.
//
// What an object contains, and which one is wanted, is left to others.
package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

// Errors that callers branch on; they come wrapped with the URI.
var (
	// ErrNotFound: there is no such object. A folder is not an object.
	ErrNotFound = errors.New("no such object")
	// ErrNotMapped: the bucket is not a folder here, and S3 is not reached.
	ErrNotMapped = errors.New("bucket is not mapped to a folder")
	// ErrBadURI: no object can have this URI.
	ErrBadURI = errors.New("not a URI of an object")
	// ErrChanged: the object is not the version that was asked for.
	ErrChanged = errors.New("object has changed")
	// ErrTorn: the file was written to while it was read, so what was read is of no
	// version of it. It can be read again.
	ErrTorn = errors.New("file was written to while it was read")
	// ErrUnavailable: S3 or the web does not give the object at present, and may
	// later, if what the error says is done.
	ErrUnavailable = errors.New("object is not available at present")
)

// Config says where buckets are.
type Config struct {
	// Buckets maps the names of buckets to absolute paths of folders. A
	// folder need not exist until it is read.
	Buckets map[string]string
	// S3 is how the other buckets are reached. Nil: they are not.
	S3 *S3
}

// Validate says everything that is wrong with the config.
func (c Config) Validate() error {
	var problems []error
	for name, folder := range c.Buckets {
		if name == "" || strings.ContainsAny(name, "/\x00") {
			problems = append(problems, fmt.Errorf("bucket name %q: want letters, digits, dots and hyphens", name))
		}
		if !filepath.IsAbs(folder) || strings.Contains(folder, "\x00") {
			problems = append(problems, fmt.Errorf("bucket %s: folder %q: want an absolute path", name, folder))
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

// A Store opens URIs.
type Store struct {
	buckets map[string]string // name to cleaned absolute folder
	s3      *account          // nil: other buckets are not reached
	web     *web

	staging sync.Mutex // held by Stage
}

// New returns a store. The error is that of [Config.Validate].
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	buckets := make(map[string]string, len(cfg.Buckets))
	for name, folder := range cfg.Buckets {
		buckets[name] = filepath.Clean(folder)
	}
	store := &Store{buckets: buckets, web: newWeb()}
	if cfg.S3 != nil {
		store.s3 = newAccount(*cfg.S3)
	}
	return store, nil
}

// Condition is what is wrong with S3 at present; empty if nothing is.
func (s *Store) Condition() string {
	if s.s3 == nil {
		return ""
	}
	return s.s3.condition()
}

// Remote says whether S3 has been asked for anything yet.
func (s *Store) Remote() bool { return s.s3 != nil && s.s3.asked() }

// Info describes an object.
type Info struct {
	URI     string
	Bytes   int64 // -1 where the server does not say
	ModTime time.Time
	Version Version
}

// A Version is one content of an object in S3 or on the web: by the ID that a
// bucket with versions gives, by its ETag (without quotes), or by both. The zero
// Version is the newest. Files have none.
type Version struct{ ID, ETag string }

// Open opens the newest version of an object for reading. The caller closes it;
// reading ends with ctx's error when ctx ends. Where it can be read in any order
// it has ReadAt, for several goroutines, and Size besides.
func (s *Store) Open(ctx context.Context, uri string) (io.ReadCloser, Info, error) {
	return s.OpenVersion(ctx, uri, Version{})
}

// OpenVersion opens this version of an object, as [Store.Open] does the newest.
// An object that is another by now is [ErrChanged]. Of a file it is not compared.
func (s *Store) OpenVersion(ctx context.Context, uri string, v Version) (io.ReadCloser, Info, error) {
	if p, err := s.object(uri); err == nil && p.remote() {
		return s.openRemote(ctx, uri, p, v)
	}
	f, info, err := s.open(ctx, uri)
	if err != nil {
		return nil, Info{}, err
	}
	return &reader{ctx, f, info}, info, nil
}

func (s *Store) openRemote(ctx context.Context, uri string, p place, v Version) (io.ReadCloser, Info, error) {
	if p.url != nil {
		return s.web.open(ctx, uri, p.url, v)
	}
	return s.s3.open(ctx, uri, p.bucket, p.key, v)
}

// Stat describes an object.
func (s *Store) Stat(ctx context.Context, uri string) (Info, error) {
	if p, err := s.object(uri); err == nil && p.remote() {
		if p.url == nil {
			return s.s3.stat(ctx, uri, p.bucket, p.key, Version{})
		}
		r, info, err := s.openRemote(ctx, uri, p, Version{})
		if err != nil {
			return Info{}, err
		}
		return info, r.Close()
	}
	f, info, err := s.open(ctx, uri)
	if err != nil {
		return Info{}, err
	}
	return info, f.Close()
}

// Checksum reads an object through and returns its SHA-256, in hex, and its
// length in bytes.
func (s *Store) Checksum(ctx context.Context, uri string) (sha256Hex string, bytes int64, err error) {
	r, _, err := s.Open(ctx, uri)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return "", 0, fmt.Errorf("read %s: %w", uri, err)
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

func (s *Store) open(ctx context.Context, uri string) (*os.File, Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, Info{}, err
	}
	p, err := s.object(uri)
	if err != nil {
		return nil, Info{}, err
	}
	root, err := p.openRoot()
	if err != nil {
		return nil, Info{}, wrap("open", uri, err)
	}
	defer root.Close()
	f, err := openRegular(root, p.name)
	if err != nil {
		return nil, Info{}, wrap("open", uri, err)
	}
	stat, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, Info{}, wrap("open", uri, err)
	}
	return f, Info{URI: uri, Bytes: stat.Size(), ModTime: stat.ModTime()}, nil
}

// openRegular opens a regular file, and hangs on nothing that is not one.
func openRegular(root *os.Root, name string) (*os.File, error) {
	stat, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, notRegular(stat)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	stat, err = f.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = notRegular(stat)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func notRegular(stat fs.FileInfo) error {
	if stat.IsDir() {
		return fmt.Errorf("%w: it is a folder", ErrNotFound)
	}
	return fmt.Errorf("%w: it is not a regular file", ErrNotFound)
}

// reader stops reading when ctx ends, or when the file is not what was opened. A file
// that is replaced by another of its name is still there to be read.
type reader struct {
	ctx    context.Context
	f      *os.File
	opened Info
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.f.Read(p)
	return r.whole(n, err)
}

// ReadAt and Size are for formats that are not read from end to end.
func (r *reader) ReadAt(p []byte, at int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.f.ReadAt(p, at)
	return r.whole(n, err)
}

// whole gives what was read, if the file is still what was opened: a write changes the
// time, and most the size, before there is anything of it to be read. Only what is
// overwritten within the tick of the clock in which the file was opened, some
// milliseconds, goes unseen.
func (r *reader) whole(n int, err error) (int, error) {
	stat, statErr := r.f.Stat()
	switch {
	case statErr != nil:
		return 0, wrap("read", r.opened.URI, statErr)
	case stat.Size() != r.opened.Bytes || !stat.ModTime().Equal(r.opened.ModTime):
		return 0, ErrTorn
	}
	return n, err
}

// Size is the object's length in bytes.
func (r *reader) Size() (int64, error) { return r.opened.Bytes, nil }

func (r *reader) Close() error { return r.f.Close() }

// wrap says what was being done, and makes of the system's words ours.
func wrap(doing, uri string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%s %s: %w", doing, uri, ErrNotFound)
	}
	if errors.Is(err, syscall.ENAMETOOLONG) {
		return fmt.Errorf("%s %s: %w: too long for a file", doing, uri, ErrBadURI)
	}
	return fmt.Errorf("%s %s: %w", doing, uri, err)
}

// A place is where a URI leads: a name below a folder that nothing leaves, or an
// object in S3 or on the web.
type place struct {
	folder string // absolute
	name   string // slash-separated, valid for [fs.ValidPath]; "." is the folder
	local  bool   // the URI was a path, so folder was not configured
	slash  bool   // the URI ends in one, so it is a prefix

	bucket, key string   // in S3
	url         *url.URL // on the web
}

// remote says that the place is no folder's.
func (p *place) remote() bool { return p.bucket != "" || p.url != nil }

// object resolves the URI of an object.
func (s *Store) object(uri string) (place, error) {
	p, err := s.resolve(uri)
	if err == nil && p.slash {
		return place{}, fmt.Errorf("%w: %s: it names a folder", ErrBadURI, uri)
	}
	return p, err
}

// resolve resolves the URI of an object or of a prefix.
func (s *Store) resolve(uri string) (place, error) {
	bad := func(why string) (place, error) {
		return place{}, fmt.Errorf("%w: %q: %s", ErrBadURI, uri, why)
	}
	switch {
	case uri == "":
		return bad("it is empty")
	case strings.Contains(uri, "\x00"):
		return bad("it has a NUL byte")
	case !utf8.ValidString(uri):
		return bad("it is not UTF-8")
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	switch {
	case !ok:
		return local(uri)
	case scheme == "file":
		u, err := url.Parse(uri)
		if err != nil || u.Host != "" && u.Host != "localhost" || u.Path == "" || u.RawQuery != "" || u.Fragment != "" {
			return bad("want file:///path, percent-encoded")
		}
		return local(filepath.FromSlash(u.Path))
	case scheme == "http" || scheme == "https":
		u, err := url.Parse(uri)
		if err != nil || u.Host == "" || u.Fragment != "" {
			return bad("want " + scheme + "://host/path")
		}
		return place{url: u}, nil
	case scheme != "s3":
		return bad("want a path, file://, s3:// or http(s)://")
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" {
		return bad("it names no bucket; want s3://bucket/key")
	}
	folder, ok := s.buckets[bucket]
	if !ok && s.s3 != nil {
		return place{bucket: bucket, key: key, slash: key == "" || strings.HasSuffix(key, "/")}, nil
	}
	if !ok {
		return place{}, fmt.Errorf("%s: %w: add `buckets: {%s: FOLDER}` to the settings; S3 itself is not reached from here", uri, ErrNotMapped, bucket)
	}
	if key == "" {
		return place{folder: folder, name: ".", slash: true}, nil
	}
	name, slash := strings.CutSuffix(key, "/")
	if !fs.ValidPath(name) || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) {
		return bad("a key with an empty segment, `.` or `..` cannot be a file below " + folder)
	}
	return place{folder: folder, name: name, slash: slash}, nil
}

func local(name string) (place, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return place{}, err
	}
	if filepath.Dir(abs) == abs {
		return place{folder: abs, name: ".", local: true, slash: true}, nil
	}
	slash := strings.HasSuffix(filepath.ToSlash(name), "/")
	return place{folder: filepath.Dir(abs), name: filepath.Base(abs), local: true, slash: slash}, nil
}

// openRoot opens the folder. The links on the way of a path that somebody wrote
// out are theirs to follow, so the folder is that of the file they lead to.
func (p *place) openRoot() (*os.Root, error) {
	if p.local && p.name != "." {
		real, err := filepath.EvalSymlinks(filepath.Join(p.folder, p.name))
		switch {
		case err == nil && filepath.Dir(real) != real:
			p.folder, p.name = filepath.Dir(real), filepath.Base(real)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return os.OpenRoot(p.folder)
}

// Path is the local path of an object, a prefix or a bucket, whether or not
// anything is there. It is false where there is none: an unmapped bucket, the
// web, or a URI that no file can have.
func (s *Store) Path(uri string) (string, bool) {
	p, err := s.resolve(uri)
	if err != nil || p.remote() {
		return "", false
	}
	return filepath.Join(p.folder, filepath.FromSlash(p.name)), true
}

// URI is the s3:// URI of a file below a mapped bucket, and the path itself for
// any other. The bucket nearest to the file is taken, by the words of the paths
// alone: links are not followed.
func (s *Store) URI(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	best, uri := -1, abs
	for bucket, folder := range s.buckets {
		rel, err := filepath.Rel(folder, abs)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		found := "s3://" + bucket + "/" + filepath.ToSlash(rel)
		if rel == "." {
			found = "s3://" + bucket + "/"
		}
		// Two buckets may share a folder: the first by name.
		if len(folder) > best || len(folder) == best && found < uri {
			best, uri = len(folder), found
		}
	}
	return uri
}
