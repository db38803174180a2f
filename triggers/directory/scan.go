package directory

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// What a name of the folder turns out to be.
type kind int

const (
	isNothing kind = iota // gone, or not to be taken
	isFile
	isFolder
)

var errNotUTF8 = errors.New("name is not UTF-8")

// ignored reports whether a name is not to be taken, whatever it is.
func ignored(name string) bool {
	if strings.HasPrefix(name, ".") || len(name) > 1 && strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") {
		return true
	}
	lower := strings.ToLower(name)
	for _, end := range []string{".tmp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~"} {
		if strings.HasSuffix(lower, end) {
			return true
		}
	}
	return false
}

// look says what there is under a key, and warns of what is not taken.
func (w *watch) look(root *os.Root, key string) (stamp, kind) {
	if !utf8.ValidString(key) {
		w.warn(key, "file is not taken", errNotUTF8)
		return stamp{}, isNothing
	}
	stat, err := root.Lstat(key)
	if err == nil && stat.Mode()&fs.ModeSymlink != 0 {
		stat, err = root.Stat(key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return stamp{}, isNothing // a dangling link may come true later
		case err != nil:
			w.warn(key, "link is not followed", err)
			return stamp{}, isNothing
		case stat.IsDir():
			w.warn(key, "link is not followed", errors.New("it leads to a folder"))
			return stamp{}, isNothing
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return stamp{}, isNothing
	case err != nil:
		w.warn(key, "file is not taken", err)
		return stamp{}, isNothing
	case stat.IsDir():
		return stamp{}, isFolder
	case !stat.Mode().IsRegular():
		w.warn(key, "file is not taken", errors.New("it is not a regular file"))
		return stamp{}, isNothing
	}
	return stampOf(stat), isFile
}

func stampOf(stat fs.FileInfo) stamp {
	return stamp{size: stat.Size(), mtime: stat.ModTime().UnixNano(), inode: inodeOf(stat)}
}

// walk looks at all that lies in and below a folder, and has the system watch
// it from then on. It returns the folders that it could not read. However long it
// takes, all that is new counts as seen when it is over, and settles together.
func (w *watch) walk(ctx context.Context, root *os.Root, folder string) (unseen []string) {
	var settled, news []file
	folders := []string{folder}
	for len(folders) > 0 {
		folder := folders[len(folders)-1]
		folders = folders[:len(folders)-1]

		// Watched before it is read: what comes between the two is seen twice.
		if w.system != nil {
			err := w.system.Add(filepath.Join(w.cfg.Path, filepath.FromSlash(folder)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				w.warn("", "changes in some folders are noticed late", err)
			}
		}
		err := readNames(ctx, root, folder, func(name string) {
			if ignored(name) {
				return
			}
			key := path.Join(folder, name)
			switch stamp, what := w.look(root, key); what {
			case isFolder:
				folders = append(folders, key)
			case isFile:
				r, ok := w.remembered[key]
				if ok && r.stamp == stamp && w.known[key].stamp != stamp && w.busy[key] != stamp {
					settled = append(settled, file{key: key, stamp: stamp, sum: &r.sum})
					return
				}
				if w.isNews(key, stamp) {
					news = append(news, file{key: key, stamp: stamp})
				}
			}
		})
		if errors.Is(err, fs.ErrNotExist) && folder != "." {
			continue
		}
		if err != nil {
			unseen = append(unseen, folder)
			if ctx.Err() != nil {
				return append(unseen, folders...)
			}
			w.warn(folder, "folder cannot be read", err)
		}
	}
	slices.SortFunc(settled, byAge)
	w.enqueue(settled)
	now := time.Now()
	for _, f := range news {
		w.settler.saw(f.key, f.stamp, now)
	}
	return unseen
}

// readNames calls each with the names in a folder, without holding all of them.
func readNames(ctx context.Context, root *os.Root, folder string, each func(name string)) error {
	f, err := root.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	for ctx.Err() == nil {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			each(name)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
