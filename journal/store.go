package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// A Store keeps frames in order. It knows nothing of what is in them beyond
// what it needs to find them again; the [Journal] above it owns numbers, chain
// and mark. journaltest is the contract.
//
// Append, Trim and SetMark are called by one goroutine; all other methods may
// be called by many at once.
type Store interface {
	// Append makes frame durable as the one after prev, and returns its
	// sequence, prev+1. What a torn write left behind prev is cut first. The
	// frame is not kept after the call.
	//
	// ErrFenced and ErrRegressed: prev is not the end. ErrFull: nothing was
	// stored and a later Append may work. After any other error the store is
	// of no further use.
	Append(ctx context.Context, prev uint64, frame []byte) (seq uint64, err error)

	// Read yields the frames from sequence from on (0: from the oldest there
	// is), and with follow waits for more at the end until ctx is done. It
	// does not check their hashes. Where frames cannot be read it yields a
	// *DamageError, and then, if the caller goes on, what is readable behind.
	// A frame's bytes are never written again: they may be kept. A store that
	// is open for reading only need not follow.
	Read(ctx context.Context, from uint64, follow bool) iter.Seq2[Frame, error]

	// Trim gives the room of frames before the given one back, as far as it
	// can.
	Trim(ctx context.Context, before uint64) error

	// Mark is the newest mark. The zero Mark: none was ever set.
	Mark(ctx context.Context) (Mark, error)
	// SetMark replaces the older of the last two marks. Without sync it may
	// be lost with the power, for up to a second, but not with the process.
	// After the first one, Read ends at its tip and what was appended since.
	SetMark(ctx context.Context, m Mark, sync bool) error

	// Save keeps a small blob under a name of letters, digits and dashes,
	// replacing it as a whole; Load returns it, or ErrNotFound.
	Save(ctx context.Context, name string, blob []byte) error
	Load(ctx context.Context, name string) ([]byte, error)

	Close() error
}

// Mark is where the log begins and how far it was acknowledged.
type Mark = frame.Mark

// A Frame is what a [Store] keeps: some records, sealed. File and Offset (in
// bytes) say where it lies, for messages; File is empty in a store without
// files.
type Frame struct {
	Seq    uint64
	Data   []byte
	File   string
	Offset int64
}

// Errors of stores and journals.
var (
	ErrNotFound  = errors.New("not found")
	ErrClosed    = errors.New("journal is closed")
	ErrReadOnly  = errors.New("journal is open for reading only")
	ErrFull      = errors.New("no space left for the journal: free some, then append again")
	ErrFenced    = errors.New("another writer has appended to the journal")
	ErrRegressed = errors.New("the log is shorter than what was appended to it")
	ErrInUse     = errors.New("journal is in use")
)

// A Problem is a class of damage.
type Problem string

// The problems.
const (
	Changed   Problem = "changed"      // bits are not what was written
	Cut       Problem = "cut"          // it ends in the middle of a frame
	Hole      Problem = "hole"         // frames are missing
	Backwards Problem = "backwards"    // it ends before what was acknowledged, or is another log
	NoMark    Problem = "missing mark" // there are frames and no mark
	Newer     Problem = "newer"        // a later version wrote it, in a form that this one does not read
)

// A DamageError is one place where a journal is not what was written.
type DamageError struct {
	Problem Problem
	File    string // empty in a store without files
	Offset  int64  // in bytes, in File
	Frame   uint64 // the first frame that is concerned
	Detail  string
}

// ofMark says whether it is the mark that is damaged, and not the log: frames
// begin with 1.
func (e *DamageError) ofMark() bool {
	return e.Problem == NoMark || (e.Problem == Changed || e.Problem == Newer) && e.Frame == 0
}

func (e *DamageError) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "%s: byte %d: ", e.File, e.Offset)
	}
	fmt.Fprintf(&b, "frame %d: %s: %s", e.Frame, e.Problem, e.Detail)
	return b.String()
}

// UnsoundError is returned by [Open] for a journal that cannot be trusted.
// Nothing in it was changed.
type UnsoundError struct {
	Damage *DamageError // the first that was found
}

func (e *UnsoundError) Error() string {
	if e.Damage.Problem == Newer {
		return fmt.Sprintf("journal was written by a newer anneal, nothing was changed: %v; run that one", e.Damage)
	}
	return fmt.Sprintf("journal is not sound, nothing was changed: %v; `anneal journal verify` shows all of the damage, `anneal journal salvage` copies what is intact to a new folder", e.Damage)
}

func (e *UnsoundError) Unwrap() error { return e.Damage }
