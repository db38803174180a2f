package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// EffectFile tells, in the folder of what is not a local process, which
// execution it belongs to, in the member `execution`.
const EffectFile = "effect.json"

// Prune removes the folders in root of what ended before that time. It keeps a
// job that runs, what keep says is still needed, by the folder's name and the
// execution that it belongs to (empty where it does not say), and names that
// begin with a dot. n is how many it removed; one that could not be removed does
// not keep the others.
func Prune(root string, before time.Time, keep func(name, execution string) bool) (n int, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, fmt.Errorf("prune jobs: %w", err)
	}
	var problems []error
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		dir := filepath.Join(root, e.Name())
		old, err := prunable(dir, before, keep)
		if err == nil && old {
			if err = os.RemoveAll(dir); err == nil {
				n++
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("prune job %s: %w", e.Name(), err))
		}
	}
	return n, errors.Join(problems...)
}

func prunable(dir string, before time.Time, keep func(name, execution string) bool) (bool, error) {
	// The newest of what is written as it begins and ends; not the log, since a
	// job that runs is asked for by its lock.
	var newest time.Time
	for _, name := range []string{".", specFile, startedFile, stopFile, outcomeFile, EffectFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if !newest.Before(before) {
		return false, nil
	}
	if state, _, err := Describe(dir); err != nil || state == Running {
		return false, err
	}
	var of struct {
		Execution string `json:"execution"`
	}
	for _, name := range []string{specFile, EffectFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(data, &of)
		}
		if err != nil {
			return false, err
		}
	}
	return !keep(filepath.Base(dir), of.Execution), nil
}
