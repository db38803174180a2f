package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/journal/internal/frame"
)

// A Report says what [Verify] or [Salvage] found.
type Report struct {
	Frames  int // intact
	Records int // intact
	Bytes   int64
	First   uint64 // numbers of the first and the last intact record
	Last    uint64
	Damage  []*DamageError
	Lost    []Range // records that were there and cannot be read
	// Torn is a write that a crash cut short. It was never acknowledged, so it
	// is not damage.
	Torn *DamageError
}

// A Range is the records from First to Last.
type Range struct{ First, Last uint64 }

// Sound says that nothing is damaged.
func (r Report) Sound() bool { return len(r.Damage) == 0 }

// Whole says that every record is intact: at most the mark beside the log is
// damaged or gone.
func (r Report) Whole() bool {
	return len(r.Lost) == 0 && !slices.ContainsFunc(r.Damage, func(d *DamageError) bool { return !d.ofMark() })
}

func (r Report) String() string {
	var b strings.Builder
	if r.Sound() {
		b.WriteString("The journal is sound.\n")
	} else {
		fmt.Fprintf(&b, "The journal is not sound: %d damaged places.\n", len(r.Damage))
		for _, d := range r.Damage {
			fmt.Fprintf(&b, "  %v\n", d)
		}
		for _, l := range r.Lost {
			fmt.Fprintf(&b, "  lost: records %d to %d\n", l.First, l.Last)
		}
	}
	fmt.Fprintf(&b, "Intact: %d records in %d frames, %d bytes", r.Records, r.Frames, r.Bytes)
	if r.Records > 0 {
		fmt.Fprintf(&b, ", numbers %d to %d", r.First, r.Last)
	}
	b.WriteString(".\n")
	if r.Torn != nil {
		fmt.Fprintf(&b, "The last write was torn and never acknowledged: %v\n", r.Torn)
	}
	return b.String()
}

// Verify reads all of store and reports every damage. It changes nothing, and
// may run beside the daemon. The error is about reading, not about damage.
func Verify(ctx context.Context, store Store) (Report, error) {
	return inspect(ctx, store, func(batch) error { return nil })
}

// Salvage copies every intact batch of src to dst, which must be empty, and
// reports what could not be. Records keep their numbers; src is not changed.
// Afterwards both stores are for the caller to close.
func Salvage(ctx context.Context, src, dst Store) (r Report, err error) {
	err = copyTo(ctx, dst, func(c *copier) (err error) {
		r, err = inspect(ctx, src, c.add)
		return err
	})
	return r, err
}

// inspect reads all that can be read and gives every whole batch to visit.
func inspect(ctx context.Context, store Store, visit func(batch) error) (Report, error) {
	var r Report
	damaged := func(err error) bool {
		var damage *DamageError
		if errors.As(err, &damage) {
			r.Damage = append(r.Damage, damage)
		}
		return damage != nil
	}
	mark, err := startMark(ctx, store)
	if err != nil && !damaged(err) {
		return r, err
	}
	var c chain
	var last opened           // that was intact
	want := uint64(0)         // number of the next record; 0: unknown
	checkpoint := uint64(0)   // where the newest one says that the journal begins
	lost := len(r.Damage) > 0 // since the last batch
	if mark.Base > 0 {
		c = chain{seq: mark.Base - 1, sum: mark.BaseHash, next: mark.First}
		last.Seq, want = mark.Base-1, mark.First
	}
	for f, err := range openAll(ctx, store.Read(ctx, mark.Base, false)) {
		var b batch
		var complete bool
		var damage *DamageError
		if err == nil {
			if b, complete, damage = c.add(f); damage != nil {
				err = damage
			}
		}
		if err != nil {
			if m, merr := store.Mark(ctx); last.Seq >= mark.Tip && merr == nil && m.Tip > mark.Tip {
				break // somebody appends meanwhile: this was half written when it was read
			}
			if !damaged(err) {
				return r, err
			}
			c, lost = chain{}, true
			if damage == nil || f.bad != nil {
				continue
			}
			b, complete, _ = c.add(f) // the chain begins anew
		} else if f.Seq == mark.Tip && f.sum != mark.TipHash {
			damaged(notTip(f))
		}
		last = f
		r.Frames++
		r.Bytes += int64(len(f.Data))
		if !complete {
			continue
		}
		if lost && want != 0 && b.first > want {
			r.Lost = append(r.Lost, Range{want, b.first - 1})
		}
		want, lost = b.first+uint64(b.count), false
		if r.Records == 0 {
			r.First = b.first
		}
		r.Records += b.count
		checkpoint = max(checkpoint, checkpointIn(b))
		r.Last = b.last()
		if err := visit(b); err != nil {
			return r, err
		}
	}
	if last.Seq < mark.Tip {
		if !lost {
			damaged(tooShort(last.Frame, mark))
		}
		if want <= mark.Last {
			r.Lost = append(r.Lost, Range{want, mark.Last})
		}
	} else if len(r.Damage) == 1 && mark.Base > 0 && r.Damage[0].Frame > max(mark.Tip, last.Seq) {
		r.Torn, r.Damage = r.Damage[0], nil
	}
	first := r.First // of what should be there
	if mark.Base > 0 {
		first = mark.First
	}
	if checkpoint = max(checkpoint, 1); !r.Sound() && r.Records > 0 && first > checkpoint {
		// What the records before came to was in a checkpoint that is lost.
		r.Lost = slices.Insert(r.Lost, 0, Range{checkpoint, first - 1})
	}
	return r, nil
}

// checkpointIn is where the journal begins, if one of the batch's records says
// so; else 0.
func checkpointIn(b batch) (before uint64) {
	for e, err := range frame.Entries(b.body) {
		var c struct {
			Before uint64 `json:"before"`
		}
		if err == nil && string(e.Kind) == KindCheckpoint && json.Unmarshal(e.Data, &c) == nil {
			before = c.Before
		}
	}
	return before
}

// notTip is the damage of a frame that is where the mark's last one should be.
func notTip(f opened) *DamageError {
	return &DamageError{Backwards, f.File, f.Offset, f.Seq, "it is not the frame that the mark knows: this is another log, or an older one that was continued"}
}

// tooShort is the damage of a log that ends with the frame last.
func tooShort(last Frame, m Mark) *DamageError {
	return &DamageError{Backwards, last.File, last.Offset + int64(len(last.Data)), last.Seq + 1,
		fmt.Sprintf("the log ends before it, but frame %d was acknowledged", m.Tip)}
}
