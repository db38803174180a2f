package objects

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/anneal-ml/anneal"
)

// A Source is an object to stage.
type Source struct {
	URI string
	// Version is the SHA-256, in hex, that the object must have. A version of
	// another kind, or none, is not compared.
	Version string
	// Remote is what it must be where it is in S3 or on the web.
	Remote Version
}

// Stage puts exactly these objects under the prefix dst, all of them or none:
// what is under dst after a nil error is whole, and stays so after a crash.
// Doing it again changes nothing; a dst that holds anything else is left alone
// and is an error, as is a source that is not the version asked for
// ([ErrChanged]).
//
// An object keeps its base name; where several have one base name, each of them
// gets a digest of its URI before it. Objects are hard links where that is
// possible, else copies: a link costs nothing, but a source that is later
// rewritten in place (not replaced by a rename) changes under its links too. What
// goes from S3 to S3 is copied there; S3 cannot rename, so objects appear there
// one by one, and what a crash has left is completed by doing it again.
func (s *Store) Stage(ctx context.Context, dst string, sources []Source) (err error) {
	p, err := s.resolve(dst)
	if err != nil {
		return err
	}
	if p.name == "." || p.bucket != "" && p.key == "" || p.url != nil {
		return fmt.Errorf("%w: %s: want a prefix below the bucket to stage under", ErrBadURI, shown(dst))
	}
	files, err := s.stagedNames(sources)
	if err != nil {
		return fmt.Errorf("stage %s: %w", dst, err)
	}

	s.staging.Lock()
	defer s.staging.Unlock()
	if p.bucket != "" {
		return s.stageS3(ctx, dst, p, files)
	}
	if err := os.MkdirAll(p.folder, 0o777); err != nil {
		return wrap("stage", dst, err)
	}
	root, err := os.OpenRoot(p.folder)
	if err != nil {
		return wrap("stage", dst, err)
	}
	defer root.Close()
	parent := path.Dir(p.name)
	if err := root.MkdirAll(parent, 0o777); err != nil {
		return wrap("stage", dst, err)
	}
	if _, err := root.Lstat(p.name); err == nil {
		if err := staged(ctx, root, p.name, files); err != nil {
			return wrap("stage", dst, err)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return wrap("stage", dst, err)
	}

	temp := path.Join(parent, temporaryName(anneal.ShortID("stage", p.name)))
	if err := root.RemoveAll(temp); err != nil { // of a crash
		return wrap("stage", dst, err)
	}
	if err := root.Mkdir(temp, 0o777); err != nil {
		return wrap("stage", dst, err)
	}
	defer func() {
		if err != nil {
			root.RemoveAll(temp)
		}
	}()
	for name, source := range files {
		if err := s.stageOne(ctx, root, path.Join(temp, name), source); err != nil {
			return fmt.Errorf("stage %s: %w", dst, err)
		}
	}
	if err := syncFolders(root, temp); err != nil {
		return wrap("stage", dst, err)
	}
	if err := root.Rename(temp, p.name); err != nil {
		return wrap("stage", dst, err)
	}
	if err := syncFolders(root, parent); err != nil {
		return wrap("stage", dst, err)
	}
	return nil
}

// stagedNames gives each source its name. It does not depend on their order.
func (s *Store) stagedNames(sources []Source) (map[string]Source, error) {
	byURI := make(map[string]Source, len(sources))
	times := make(map[string]int) // base name to sources that have it
	for _, source := range sources {
		if known, ok := byURI[source.URI]; ok {
			if known.Version != source.Version || known.Remote != source.Remote {
				return nil, fmt.Errorf("two versions of %s are asked for, %s and %s: want one", source.URI, known.version(), source.version())
			}
			continue
		}
		byURI[source.URI] = source
		times[s.base(source.URI)]++
	}
	files := make(map[string]Source, len(byURI))
	for uri, source := range byURI {
		name := s.base(uri)
		if times[name] > 1 {
			name = anneal.ShortID("stage", uri) + "-" + name
		}
		if other, ok := files[name]; ok {
			return nil, fmt.Errorf("%s and %s both want the name %s", uri, other.URI, name)
		}
		files[name] = source
	}
	return files, nil
}

// version is what tells the source from others of its URI.
func (s *Source) version() string { return cmp.Or(s.Version, s.Remote.ID, s.Remote.ETag) }

// base is the name of the file that uri leads to.
func (s *Store) base(uri string) string {
	if p, err := s.resolve(uri); err == nil && p.remote() {
		return p.base()
	}
	local, _ := s.Path(uri)
	return filepath.Base(local)
}

// stageOne links or copies source to name, and checks what then lies there: had
// the source been checked, it could have changed since.
func (s *Store) stageOne(ctx context.Context, root *os.Root, name string, source Source) error {
	in, _, err := s.OpenVersion(ctx, source.URI, source.Remote)
	if err != nil {
		return err
	}
	defer in.Close()
	if f, ok := in.(*reader); !ok || !s.link(f.f, source.URI, root, name) {
		out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return wrap("copy", source.URI, err)
		}
		defer out.Close()
		if _, err := io.Copy(out, in); err != nil {
			return wrap("copy", source.URI, err)
		}
	}
	if err := check(ctx, root, name, source); err != nil {
		return err
	}
	// Whoever wrote the source may not have made it durable.
	out, err := root.Open(name)
	if err != nil {
		return wrap("stage", source.URI, err)
	}
	defer out.Close()
	if err := out.Sync(); err != nil {
		return wrap("stage", source.URI, err)
	}
	return nil
}

// link makes name a hard link to the file that is open as f, if it can be done.
func (s *Store) link(f *os.File, uri string, root *os.Root, name string) bool {
	from, _ := s.Path(uri)
	if real, err := filepath.EvalSymlinks(from); err == nil {
		from = real
	}
	if os.Link(from, filepath.Join(root.Name(), filepath.FromSlash(name))) != nil {
		return false
	}
	// The path may lead elsewhere by now than to f.
	linked, err := root.Lstat(name)
	if err == nil {
		var stat fs.FileInfo
		stat, err = f.Stat()
		if err == nil && os.SameFile(linked, stat) {
			return true
		}
	}
	root.Remove(name)
	return false
}

// staged checks that folder holds the files and nothing else.
func staged(ctx context.Context, root *os.Root, folder string, files map[string]Source) error {
	f, err := root.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := files[name]; !ok {
			return fmt.Errorf("%w: it holds %s already, which is not to be staged", ErrChanged, name)
		}
	}
	if len(names) < len(files) {
		return fmt.Errorf("%w: it is there already, with %d of the %d objects", ErrChanged, len(names), len(files))
	}
	for name, source := range files {
		if err := check(ctx, root, path.Join(folder, name), source); err != nil {
			return err
		}
	}
	return nil
}

// check compares a staged file with the version it must have.
func check(ctx context.Context, root *os.Root, name string, source Source) error {
	f, err := openRegular(root, name)
	if err != nil {
		return wrap("stage", source.URI, err)
	}
	defer f.Close()
	if sum, err := hex.DecodeString(source.Version); err != nil || len(sum) != sha256.Size {
		return nil
	}
	stat, err := f.Stat()
	if err != nil {
		return wrap("stage", source.URI, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, &reader{ctx, f, Info{URI: source.URI, Bytes: stat.Size(), ModTime: stat.ModTime()}}); err != nil {
		return wrap("read", source.URI, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != source.Version {
		return fmt.Errorf("%s: %w: its SHA-256 is %s, not %s", source.URI, ErrChanged, sum, source.Version)
	}
	return nil
}
