package objects

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// Glob describes the objects that a person's word stands for, by URI: an object,
// a folder or a prefix that ends in one, with all below it, or a pattern with *, ?
// and [] of one part of the path, each of whose matches is an object or a folder.
// None at all is [ErrNotFound].
func (s *Store) Glob(ctx context.Context, word string) ([]Info, error) {
	infos, err := s.glob(ctx, word)
	if err == nil && len(infos) == 0 {
		return nil, fmt.Errorf("%s: %w", shown(word), ErrNotFound)
	}
	return infos, err
}

func (s *Store) glob(ctx context.Context, word string) ([]Info, error) {
	scheme, _, ok := strings.Cut(word, "://")
	switch {
	case !ok:
		return s.globPaths(ctx, word)
	case scheme == "s3":
		return s.globKeys(ctx, word)
	}
	return s.List(ctx, word)
}

func (s *Store) globPaths(ctx context.Context, word string) ([]Info, error) {
	names, err := filepath.Glob(word)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	var infos []Info
	for _, name := range names {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		below, err := s.List(ctx, abs)
		if err != nil {
			return nil, err
		}
		infos = append(infos, below...)
	}
	return infos, nil
}

// globKeys matches keys. A key that is there as it is written is itself.
func (s *Store) globKeys(ctx context.Context, word string) ([]Info, error) {
	prefix := word
	i := strings.IndexAny(word[len("s3://"):], `*?[\`)
	if i >= 0 {
		prefix = word[:len("s3://")+i]
	}
	all, err := s.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	pattern := strings.TrimSuffix(word, "/")
	if _, err := path.Match(pattern, ""); i >= 0 && err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	var found []Info
	for _, info := range all {
		switch {
		case info.URI == word:
			return []Info{info}, nil
		case i < 0 && strings.HasPrefix(info.URI, pattern+"/"), i >= 0 && matches(pattern, info.URI):
			found = append(found, info)
		}
	}
	return found, nil
}

// matches says whether a pattern is of an object, or of a folder it is in.
func matches(pattern, uri string) bool {
	for end := len(uri); end > len("s3://"); end = strings.LastIndexByte(uri[:end], '/') {
		if ok, _ := path.Match(pattern, uri[:end]); ok { // the pattern was checked
			return true
		}
	}
	return false
}
