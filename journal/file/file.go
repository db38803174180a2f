// Package file keeps a journal in a folder, for one process.
//
//	00000000000000000001.seg   frames in a row, from this sequence on; the last is locked once it is written to
//	mark                       two slots: where the log begins, and how far it was acknowledged
//	lock                       locked as long as a writer has the folder; its process ID
//	NAME.snapshot              a saved blob
//	cache/                     the journal's index; may be deleted
//
// It promises that a frame is on the disk (fdatasync) when Append returns;
// that a second writer is refused, by name; that after a failed sync it
// writes no more; that a full disk loses nothing that was acknowledged, and
// that appends work again when there is room. Reading never changes a byte.
//
// Segments grow in steps by zeros, which makes a sync cheaper than growing
// with every write; zeros to the end of a segment are its end. Where small frames are
// written, the zeros before them are written too: see settle.
//
// Whether the frames are what was written is for package journal to check.
package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal/journal"
)

// Options are the settings of a [Store].
type Options struct {
	// ReadOnly takes no lock and changes nothing. Such a store does not follow.
	ReadOnly bool
	// SegmentSize is the length in bytes at which a segment is full. 0: 64 MiB.
	SegmentSize int64
}

// A Store is a [journal.Store] in a folder.
type Store struct {
	dir         string
	readOnly    bool
	segmentSize int64
	lock        *os.File

	// Owned by the one who appends.
	tail     *os.File // the last segment; nil before the first Append
	offset   int64    // behind the last frame in tail, in bytes
	size     int64    // of tail
	settled  int64    // zeros of tail are written up to here, or frames
	zeros    []byte   // that settle writes
	prepared bool     // tail, offset and size are known
	failed   error    // why nothing is written any more
	disk     disk
	snapshot sync.Mutex // held by Save

	mu       sync.Mutex
	segments []*segment    // guarded by mu; by first
	bounded  bool          // guarded by mu; nothing behind last is read: it may be torn, or about to be acknowledged
	last     uint64        // guarded by mu; sequence of the last frame
	moved    chan struct{} // guarded by mu; closed at the next append; nil: nobody waits

	markMu    sync.Mutex
	markFile  *os.File    // guarded by markMu; nil before the first mark
	markTimer *time.Timer // guarded by markMu; syncs the mark; nil: it is synced
	markErr   error       // guarded by markMu; of that sync
}

// A segment is one file of frames.
type segment struct {
	first  uint64 // sequence of its first frame
	path   string
	places []place // guarded by Store.mu; where some frames are, in order
}

// A place is where a frame begins.
type place struct {
	seq    uint64
	offset int64
}

// A disk is what writes segments; tests make it fail.
type disk interface {
	WriteAt(f *os.File, b []byte, off int64) (int, error)
	Sync(f *os.File) error
}

type realDisk struct{}

func (realDisk) WriteAt(f *os.File, b []byte, off int64) (int, error) { return f.WriteAt(b, off) }
func (realDisk) Sync(f *os.File) error                                { return datasync(f) }

const (
	placeEvery = 256 << 10 // bytes between remembered places
	growBy     = 4 << 20   // bytes of zeros that a segment grows by

	smallFrame   = 32 << 10 // bytes up to which a frame is small
	settleBy     = 64 << 10 // bytes of zeros that are written for small frames at least
	settleFrames = 8        // frames of the same size that they are written for at least
)

// Open opens the folder dir, and makes it if there is none. It fails with
// [journal.ErrInUse] if another process writes there.
func Open(dir string, opts Options) (*Store, error) {
	s := &Store{dir: dir, readOnly: opts.ReadOnly, segmentSize: opts.SegmentSize, disk: realDisk{}}
	if s.segmentSize == 0 {
		s.segmentSize = 64 << 20
	}
	if !s.readOnly {
		if err := s.take(); err != nil {
			return nil, fmt.Errorf("open journal folder: %w", err)
		}
	}
	var err error
	if s.segments, err = list(dir); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("open journal folder: %w", err)
	}
	return s, nil
}

// OpenJournal opens the journal in the folder dir, with its index in
// dir/cache unless opts name another cache.
func OpenJournal(ctx context.Context, dir string, opts journal.Options) (*journal.Journal, error) {
	s, err := Open(dir, Options{ReadOnly: opts.ReadOnly})
	if err != nil {
		return nil, err
	}
	if opts.Cache == "" {
		opts.Cache = filepath.Join(dir, "cache")
	}
	j, err := journal.Open(ctx, s, opts)
	if err != nil {
		s.Close()
		return nil, err
	}
	return j, nil
}

// Verify is [journal.Verify] for the folder dir.
func Verify(ctx context.Context, dir string) (journal.Report, error) {
	s, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		return journal.Report{}, err
	}
	defer s.Close()
	return journal.Verify(ctx, s)
}

// Salvage is [journal.Salvage] from the folder dir to the new folder to.
func Salvage(ctx context.Context, dir, to string) (journal.Report, error) {
	src, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		return journal.Report{}, err
	}
	defer src.Close()
	dst, err := Open(to, Options{})
	if err != nil {
		return journal.Report{}, err
	}
	r, err := journal.Salvage(ctx, src, dst)
	return r, errors.Join(err, dst.Close())
}

// Import is [journal.Import] to the folder dir, which is made if there is none.
// It fails with [journal.ErrInUse] if a process writes there.
func Import(ctx context.Context, dir string, records iter.Seq2[journal.Record, error]) (n int, err error) {
	dst, err := Open(dir, Options{})
	if err != nil {
		return 0, err
	}
	n, err = journal.Import(ctx, dst, records)
	return n, errors.Join(err, dst.Close())
}

// take makes the folder, for its owner alone, and locks it.
func (s *Store) take() error {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(s.dir)); err != nil {
			return err
		}
	}
	path := filepath.Join(s.dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := lock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", path, err)
		}
		owner, _ := os.ReadFile(path) // only for the message
		return fmt.Errorf("%s: %w by process %s, which has locked %s", s.dir, journal.ErrInUse, strings.TrimSpace(string(owner)), path)
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := errors.Join(f.Truncate(0), second(f.WriteAt([]byte(pid), 0))); err != nil && !full(err) {
		f.Close()
		return fmt.Errorf("lock %s: %w", path, err)
	}
	s.lock = f
	return nil
}

// orphanedFor is how long a lock is waited for whose owner has died.
const orphanedFor = 2 * time.Second

// lock locks f. A process that is killed while it starts a child leaves its
// locks to the child until that has begun its own program: what belongs to a
// dead process is waited for, what belongs to a living one is not.
func lock(f *os.File) error {
	for deadline := time.Now().Add(orphanedFor); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		owner, readErr := os.ReadFile(f.Name())
		pid, parseErr := strconv.Atoi(strings.TrimSpace(string(owner)))
		if readErr == nil && parseErr == nil && unix.Kill(pid, 0) != unix.ESRCH {
			return err
		}
	}
}

// claim locks the segment that is written, too. On a disk of this machine the
// folder's lock says it all. Over NFS a writer that hangs may lose that unasked:
// then the kernel fails what it writes to a file that it had locked.
func claim(f *os.File) error {
	for deadline := time.Now().Add(orphanedFor); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// list finds the segments in dir.
func list(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segments []*segment
	for _, e := range entries { // sorted by name
		name, ok := strings.CutSuffix(e.Name(), ".seg")
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(name, 10, 64)
		if err != nil || len(name) != 20 {
			return nil, fmt.Errorf("%s is not a segment's name, a sequence of 20 digits: move it away", filepath.Join(dir, e.Name()))
		}
		segments = append(segments, &segment{first: first, path: filepath.Join(dir, e.Name())})
	}
	return segments, nil
}

func (s *Store) segmentPath(first uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d.seg", first))
}

// Append implements [journal.Store].
func (s *Store) Append(_ context.Context, prev uint64, frame []byte) (uint64, error) {
	if s.readOnly {
		return 0, journal.ErrReadOnly
	}
	if s.failed != nil {
		return 0, s.failed
	}
	if !s.prepared {
		if err := s.prepare(prev); err != nil {
			return 0, err
		}
	}
	switch {
	case prev < s.last:
		return 0, fmt.Errorf("%s: append after frame %d: %w: the last is %d", s.dir, prev, journal.ErrFenced, s.last)
	case prev > s.last:
		return 0, fmt.Errorf("%s: append after frame %d: %w: the last is %d", s.dir, prev, journal.ErrRegressed, s.last)
	}
	if s.tail == nil || s.offset > 0 && s.offset+int64(len(frame)) > s.segmentSize {
		if err := s.roll(prev + 1); err != nil {
			return 0, err
		}
	}
	if err := s.write(frame); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(s.segments[len(s.segments)-1], prev+1, s.offset)
	s.offset += int64(len(frame))
	s.last = prev + 1
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
	return prev + 1, nil
}

// write writes a frame at the end of tail and syncs it. If there is no room
// for it, what was written is cut again.
func (s *Store) write(frame []byte) error {
	if need := s.offset + int64(len(frame)); need > s.size {
		// Where this cannot be had, the file grows by the write itself.
		if size := min(need+growBy, max(need, s.segmentSize)); grow(s.tail, s.size, size) == nil {
			s.size = size
		} else {
			s.size = need
		}
	}
	s.settle(int64(len(frame)))
	_, err := s.disk.WriteAt(s.tail, frame, s.offset)
	if err != nil {
		err = fmt.Errorf("write %s: %w", s.tail.Name(), err)
		if !full(err) {
			return s.fail(err)
		}
		s.size, s.settled = s.offset, s.offset
		if cut := errors.Join(s.tail.Truncate(s.offset), s.tail.Sync()); cut != nil {
			return s.fail(fmt.Errorf("cut the half-written frame: %w, after: %w", cut, err))
		}
		return fmt.Errorf("%w: %w", journal.ErrFull, err)
	}
	if err := s.disk.Sync(s.tail); err != nil {
		// Never retried: after a failed sync nobody knows what is on the disk.
		return s.fail(fmt.Errorf("sync %s: %w", s.tail.Name(), err))
	}
	return nil
}

// settle writes zeros where the next small frames will be. Room that a file was only
// given is marked as such, and the first write there changes the mark, so that each sync
// writes that too: over zeros that are written already it takes a third less time. What
// it takes to write them is shared by many small frames, and by few large ones.
func (s *Store) settle(frame int64) {
	from, end := max(s.offset, s.settled), min(s.offset+frame+max(settleBy, settleFrames*frame), s.size)
	if frame > smallFrame || s.offset+frame <= s.settled || end < s.offset+2*frame {
		return
	}
	if need := int(end - from); len(s.zeros) < need {
		s.zeros = make([]byte, need)
	}
	// They change nothing that is read, and where they cannot be written nothing is lost.
	if _, err := s.tail.WriteAt(s.zeros[:end-from], from); err == nil {
		s.settled = end
	}
}

// fail stops all writing.
func (s *Store) fail(err error) error {
	s.failed = err
	return err
}

// full says whether err means that there is no room.
func full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// prepare finds the end of frame prev, cuts what is behind it, and makes
// sure that it was nothing.
func (s *Store) prepare(prev uint64) error {
	last := uint64(0)
	if len(s.segments) > 0 {
		for f, err := range s.readAll(prev + 1) {
			if err == nil && intact(f.Data) {
				return fmt.Errorf("%s: append after frame %d: %w: there is frame %d", s.dir, prev, journal.ErrFenced, f.Seq)
			}
		}
		seg := s.segments[len(s.segments)-1]
		last = seg.first - 1
		end := int64(0)
		if prev >= seg.first {
			for f, err := range s.readAll(prev) {
				if err == nil && f.Seq == prev {
					last, end = prev, f.Offset+int64(len(f.Data))
				}
				break
			}
		}
		if last == prev {
			f, err := os.OpenFile(seg.path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			if err := claim(f); err != nil {
				f.Close()
				return s.fail(err)
			}
			if err := errors.Join(f.Truncate(end), f.Sync(), syncFolder(s.dir)); err != nil {
				f.Close()
				return s.fail(err)
			}
			s.tail, s.offset, s.size, s.settled = f, end, end, end
		}
	}
	if prev != last {
		return fmt.Errorf("%s: append after frame %d: %w: the last is %d", s.dir, prev, journal.ErrRegressed, last)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.bounded, s.prepared = prev, true, true
	return nil
}

// roll begins a segment with frame first. Its name is on the disk before the
// frame is.
func (s *Store) roll(first uint64) error {
	path := s.segmentPath(first)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if full(err) {
		return fmt.Errorf("%w: %w", journal.ErrFull, err)
	}
	if err != nil {
		return s.fail(fmt.Errorf("begin a segment: %w", err))
	}
	if err := errors.Join(claim(f), syncFolder(s.dir)); err != nil {
		f.Close()
		return s.fail(fmt.Errorf("begin segment %s: %w", path, err))
	}
	if s.tail != nil {
		// Only gives room back: the zeros would be read as the end, too.
		if err := errors.Join(s.tail.Truncate(s.offset), s.tail.Close()); err != nil {
			f.Close()
			return s.fail(fmt.Errorf("end a segment: %w", err))
		}
	}
	s.tail, s.offset, s.size, s.settled = f, 0, 0, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, &segment{first: first, path: path})
	return nil
}

// note remembers where a frame begins, if no near one is known. s.mu is held.
func (s *Store) note(seg *segment, seq uint64, offset int64) {
	last := place{seg.first, 0}
	if n := len(seg.places); n > 0 {
		last = seg.places[n-1]
	}
	if offset >= last.offset+placeEvery && seq > last.seq {
		seg.places = append(seg.places, place{seq, offset})
	}
}

// Trim implements [journal.Store]. It removes whole segments.
func (s *Store) Trim(_ context.Context, before uint64) error {
	s.mu.Lock()
	n := 0
	for n+1 < len(s.segments) && s.segments[n+1].first <= before {
		n++
	}
	gone := s.segments[:n]
	s.segments = slices.Clone(s.segments[n:])
	s.mu.Unlock()
	if n == 0 {
		return nil
	}
	for _, seg := range gone {
		if err := os.Remove(seg.path); err != nil {
			return err
		}
	}
	return syncFolder(s.dir)
}

// Size is how many bytes the segments take, with the room that the last one has
// grown by.
func (s *Store) Size() (int64, error) {
	s.mu.Lock()
	segments := slices.Clone(s.segments)
	s.mu.Unlock()
	n := int64(0)
	for _, seg := range segments {
		info, err := os.Stat(seg.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // trimmed
		}
		if err != nil {
			return 0, err
		}
		n += info.Size()
	}
	return n, nil
}

// Close syncs the mark, gives back the room that the last segment grew by, and
// unlocks the folder.
func (s *Store) Close() error {
	err := s.closeMark()
	if s.tail != nil {
		if s.failed == nil {
			err = errors.Join(err, s.tail.Truncate(s.offset), s.tail.Sync())
		}
		err = errors.Join(err, s.tail.Close())
		s.tail = nil
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	s.failed = cmp.Or(s.failed, journal.ErrClosed)
	return err
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
