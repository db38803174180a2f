package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// Unstage removes what [Store.Stage] put under the prefix dst: the files of that
// one folder, and the folder. What is not there is removed already. A folder in
// it, or a dst that is a link or a file, is not Stage's: it is left alone and is
// an error.
func (s *Store) Unstage(ctx context.Context, dst string) error {
	p, err := s.resolve(dst)
	if err != nil {
		return err
	}
	if p.name == "." || p.bucket != "" && p.key == "" || p.url != nil {
		return fmt.Errorf("%w: %s: want a prefix below the bucket", ErrBadURI, shown(dst))
	}
	if p.bucket != "" {
		return s.unstageS3(ctx, dst, p)
	}
	return s.below(ctx, dst, p, func(root *os.Root) error {
		info, err := root.Lstat(p.name)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return errors.New("it is not a folder")
		}
		folder, err := root.Open(p.name)
		if err != nil {
			return err
		}
		entries, err := folder.ReadDir(-1)
		folder.Close()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() {
				return fmt.Errorf("it holds the folder %s, which was not staged", e.Name())
			}
		}
		for _, e := range entries {
			if err := root.Remove(path.Join(p.name, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return root.Remove(p.name)
	})
}

// Remove removes an object. One that is not there is removed already.
func (s *Store) Remove(ctx context.Context, uri string) error {
	p, err := s.object(uri)
	switch {
	case err != nil:
		return err
	case p.url != nil:
		return fmt.Errorf("remove %s: %w: the web can only be read", shown(uri), ErrBadURI)
	case p.bucket != "":
		return s.s3.remove(ctx, uri, p.bucket, p.key)
	}
	return s.below(ctx, uri, p, func(root *os.Root) error {
		info, err := root.Lstat(p.name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return notRegular(info)
		}
		return root.Remove(p.name)
	})
}

// below has something removed in the folder of p, which nothing leads out of.
func (s *Store) below(ctx context.Context, uri string, p place, remove func(*os.Root) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.staging.Lock()
	defer s.staging.Unlock()
	root, err := os.OpenRoot(p.folder)
	if err == nil {
		err = remove(root)
		root.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap("remove", uri, err)
	}
	return nil
}
