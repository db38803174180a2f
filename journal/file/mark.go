package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/internal/frame"
)

const (
	slotSize  = 512 // bytes; a disk writes so much at once
	syncAfter = time.Second
)

func (s *Store) markPath() string { return filepath.Join(s.dir, "mark") }

// Mark implements [journal.Store]. A damaged slot is borne: the other one is
// one commit older at most. One that a newer version wrote is not: the other may say
// what that version has changed since.
func (s *Store) Mark(context.Context) (journal.Mark, error) {
	b, err := os.ReadFile(s.markPath())
	if errors.Is(err, fs.ErrNotExist) || err == nil && allZero(b) {
		return journal.Mark{}, nil
	}
	if err != nil {
		return journal.Mark{}, err
	}
	var newest journal.Mark
	damage := func(p journal.Problem, detail string) error {
		return &journal.DamageError{Problem: p, File: s.markPath(), Detail: detail}
	}
	for slot := range 2 {
		at := min(slot*slotSize, len(b))
		m, err := frame.ParseMark(b[at:])
		if errors.As(err, new(frame.VersionError)) {
			return journal.Mark{}, damage(journal.Newer, err.Error())
		}
		if err == nil && m.Order > newest.Order {
			newest = m
		}
	}
	if newest.Order == 0 {
		return journal.Mark{}, damage(journal.Changed, "neither of the mark's two slots matches its checksum")
	}
	return newest, nil
}

// SetMark implements [journal.Store]. What it does not sync at once, it syncs
// within a second.
func (s *Store) SetMark(_ context.Context, m journal.Mark, sync bool) error {
	if s.readOnly {
		return journal.ErrReadOnly
	}
	s.markMu.Lock()
	defer s.markMu.Unlock()
	if s.markErr != nil {
		return s.markErr
	}
	if s.markFile == nil {
		f, err := os.OpenFile(s.markPath(), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		s.markFile = f
		if info, err := f.Stat(); err != nil {
			return err
		} else if info.Size() < 2*slotSize {
			// All of its room now: a full disk does not stop the mark later.
			if err := errors.Join(second(f.WriteAt(make([]byte, 2*slotSize), 0)), f.Sync(), syncFolder(s.dir)); err != nil {
				return fmt.Errorf("make %s: %w", s.markPath(), err)
			}
		}
	}
	if _, err := s.markFile.WriteAt(m.Encode(), int64(m.Order%2*slotSize)); err != nil {
		return err
	}
	s.mu.Lock()
	if !s.bounded {
		s.bounded, s.last = true, m.Tip
	}
	s.mu.Unlock()
	if sync {
		s.stopMarkTimer()
		return s.syncMark()
	}
	if s.markTimer == nil {
		var mine *time.Timer
		mine = time.AfterFunc(syncAfter, func() {
			s.markMu.Lock()
			defer s.markMu.Unlock()
			if s.markTimer != mine {
				return // somebody has synced, or closed, since it went off
			}
			s.markTimer = nil
			s.markErr = s.syncMark()
		})
		s.markTimer = mine
	}
	return nil
}

// syncMark syncs the mark's file. s.markMu is held.
func (s *Store) syncMark() error {
	if err := datasync(s.markFile); err != nil {
		return fmt.Errorf("sync %s: %w", s.markPath(), err)
	}
	return nil
}

// stopMarkTimer takes over from the timer. s.markMu is held.
func (s *Store) stopMarkTimer() {
	if s.markTimer != nil {
		s.markTimer.Stop()
		s.markTimer = nil
	}
}

func (s *Store) closeMark() error {
	s.markMu.Lock()
	defer s.markMu.Unlock()
	s.stopMarkTimer()
	if s.markFile == nil {
		return nil
	}
	err := errors.Join(s.markErr, s.syncMark(), s.markFile.Close())
	s.markFile, s.markErr = nil, journal.ErrClosed
	return err
}

func allZero(b []byte) bool { return len(strings.TrimLeft(string(b), "\x00")) == 0 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Store) snapshotPath(name string) (string, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return "", fmt.Errorf("snapshot name %q: want letters, digits and dashes", name)
	}
	return filepath.Join(s.dir, name+".snapshot"), nil
}

// Save implements [journal.Store]: the blob and its CRC-32C in a file.
func (s *Store) Save(_ context.Context, name string, blob []byte) error {
	path, err := s.snapshotPath(name)
	if err != nil {
		return err
	}
	if s.readOnly {
		return journal.ErrReadOnly
	}
	s.snapshot.Lock()
	defer s.snapshot.Unlock()
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	sum := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(blob, castagnoli))
	err = errors.Join(second(f.Write(blob)), second(f.Write(sum)), f.Sync(), f.Close())
	if err == nil {
		err = errors.Join(os.Rename(path+".new", path), syncFolder(s.dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save snapshot %s: %w", name, err), os.Remove(path+".new"))
	}
	return nil
}

// Load implements [journal.Store].
func (s *Store) Load(_ context.Context, name string) ([]byte, error) {
	path, err := s.snapshotPath(name)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("snapshot %s: %w", name, journal.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	n := len(b) - 4
	if n < 0 || crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return nil, &journal.DamageError{Problem: journal.Changed, File: path, Detail: "snapshot does not match its checksum"}
	}
	return b[:n], nil
}
