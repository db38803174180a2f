package tasks

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SageMaker's words, by which people find what to do.
const (
	downloadFailed = "Data download failed"
	uploadFailed   = "Artifact upload failed"
	noObjects      = "No S3 objects found under S3 URL"
)

// stage copies what a data source names into dir, which it makes anew.
func (t *Tasks) stage(ctx context.Context, dataType, uri, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	switch dataType {
	case "S3Prefix":
		objects, err := t.cfg.Objects.List(ctx, uri)
		if err != nil {
			return err
		}
		n := 0
		for _, o := range objects {
			if strings.HasSuffix(o, "/") { // a folder's marker
				continue
			}
			if err := t.fetch(ctx, o, dir, under(uri, o)); err != nil {
				return err
			}
			n++
		}
		if n == 0 {
			return fmt.Errorf("%s %q given in input data source", noObjects, uri)
		}
		return nil
	case "ManifestFile":
		return t.stageManifest(ctx, uri, dir)
	}
	return fmt.Errorf("S3DataType %q is not supported by local jobs (have S3Prefix, ManifestFile)", dataType)
}

// stageManifest copies what a manifest lists: an object with the prefix first,
// then paths below it.
func (t *Tasks) stageManifest(ctx context.Context, uri, dir string) error {
	r, err := t.cfg.Objects.Open(ctx, uri)
	if err != nil {
		return err
	}
	defer r.Close()
	var entries []json.RawMessage
	if err := json.NewDecoder(r).Decode(&entries); err != nil {
		return fmt.Errorf("manifest %s: %w", uri, err)
	}
	var head struct {
		Prefix string `json:"prefix"`
	}
	if len(entries) == 0 || json.Unmarshal(entries[0], &head) != nil || head.Prefix == "" {
		return fmt.Errorf(`manifest %s: the first entry must be {"prefix": "s3://…"}`, uri)
	}
	for _, e := range entries[1:] {
		var rel string
		if err := json.Unmarshal(e, &rel); err != nil {
			return fmt.Errorf("manifest %s: %s is not a path", uri, e)
		}
		if err := t.fetch(ctx, head.Prefix+rel, dir, under(head.Prefix, head.Prefix+rel)); err != nil {
			return err
		}
	}
	return nil
}

// under is an object's path below a prefix. A prefix that ends in the middle
// of a name keeps the name whole.
func under(prefix, uri string) string {
	if rest, ok := strings.CutPrefix(uri, strings.TrimRight(prefix, "/")+"/"); ok {
		return rest
	}
	return uri[strings.LastIndex(prefix, "/")+1:]
}

// fetch copies one object to a path below dir.
func (t *Tasks) fetch(ctx context.Context, uri, dir, rel string) error {
	if !filepath.IsLocal(rel) {
		return fmt.Errorf("object %s: its name leads out of the folder", uri)
	}
	name := filepath.Join(dir, rel)
	r, err := t.cfg.Objects.Open(ctx, uri)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, contextReader{ctx, r}); err != nil {
		return fmt.Errorf("object %s: %w", uri, err)
	}
	return f.Close()
}

// A contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// pack writes a folder as a tar.gz object. Equal folders give equal bytes:
// names are in order, and times and owners are left out.
func (t *Tasks) pack(ctx context.Context, dir, uri string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeArchive(w, dir)) }()
	err := t.cfg.Objects.Write(ctx, uri, r)
	r.CloseWithError(errors.New("not wanted any more")) // ends the writer
	return err
}

func writeArchive(w io.Writer, dir string) error {
	gz := gzip.NewWriter(w)
	tw := tar.NewWriter(gz)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(rel), Mode: 0o644}
		switch {
		case info.IsDir():
			h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, h.Name+"/"
		case info.Mode()&fs.ModeSymlink != 0:
			h.Typeflag = tar.TypeSymlink
			if h.Linkname, err = os.Readlink(path); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			h.Typeflag, h.Size = tar.TypeReg, info.Size()
			if info.Mode()&0o111 != 0 {
				h.Mode = 0o755
			}
		default:
			return nil // a socket or a pipe is no artifact
		}
		if err := tw.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(tw, f)
		return err
	})
	if err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return gz.Close()
}

// createFile makes a file, whole and durable, or answers fs.ErrExist.
func createFile(name string, data []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Link(f.Name(), name) // unlike a rename, not over another
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
