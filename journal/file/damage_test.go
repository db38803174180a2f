package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/internal/frame"
)

const smallSegment = 64 << 10

// quiet is a logger that shows its lines only if the test fails.
func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// openIn opens the journal in dir with small segments and no cache.
func openIn(t *testing.T, dir string) (*journal.Journal, error) {
	t.Helper()
	s, err := Open(dir, Options{SegmentSize: smallSegment})
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(t.Context(), s, journal.Options{Logger: quiet(t)})
	if err != nil {
		s.Close()
	}
	return j, err
}

func mustOpen(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := openIn(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// write appends a varied history: small and large records, one of several
// frames, over several segments.
func write(t *testing.T, j *journal.Journal, appends int, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range appends {
		batch := make([]journal.Record, 1+random.IntN(4))
		for k := range batch {
			batch[k] = journal.Record{Kind: "event", Key: fmt.Sprintf("%d-%d-%d", seed, i, k), Data: noise(random, random.IntN(3000))}
		}
		if i == appends/2 {
			batch[0].Data = noise(random, 1<<20)
		}
		if _, err := j.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func digest(r journal.Record) string {
	return fmt.Sprintf("%s %s %x", r.Kind, r.Key, sha256.Sum256(r.Data))
}

// contents are the digests of all records, by number.
func contents(t *testing.T, j *journal.Journal) map[uint64]string {
	t.Helper()
	got := map[uint64]string{}
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Seq] = digest(r)
	}
	return got
}

// snapshotOf is all bytes in a folder but the lock's.
func snapshotOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		got[path] = fmt.Sprintf("%d %x", len(b), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func flip(t *testing.T, path string, bit int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, bit/8); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (bit % 8)
	if _, err := f.WriteAt(b, bit/8); err != nil {
		t.Fatal(err)
	}
}

// salvaged is what a salvage of dir finds, with its report. It must not change
// dir.
func salvaged(t *testing.T, dir string) (map[uint64]string, journal.Report) {
	t.Helper()
	before := snapshotOf(t, dir)
	to := filepath.Join(t.TempDir(), "salvaged")
	report, err := Salvage(t.Context(), dir, to)
	if err != nil {
		t.Fatalf("salvage: %v", err)
	}
	if diff := cmp.Diff(before, snapshotOf(t, dir)); diff != "" {
		t.Errorf("salvage changed the old folder: %s", diff)
	}
	j, err := OpenJournal(t.Context(), to, journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatalf("open what was salvaged: %v", err)
	}
	defer j.Close()
	return contents(t, j), report
}

// TestFlippedBits changes one bit in a place taken at random, of a journal
// that was closed and of one that was killed: it is either harmless, or it is
// refused by name, nothing is changed, and salvage loses the records of one
// batch at most.
func TestFlippedBits(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	j := mustOpen(t, closed)
	write(t, j, 60, 1)
	killed := copyOf(t, closed) // as a kill leaves it: zeros at the end, mark not synced
	want := contents(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	refused, harmless := 0, 0
	part := 1 // of all that could be done
	if testing.Short() {
		part = 5 // most of the time is the disk's
	}
	for _, c := range []struct {
		dir, pristine string
		times         int
	}{{closed, copyOf(t, closed), 250 / part}, {killed, copyOf(t, killed), 80 / part}} {
		files, err := filepath.Glob(filepath.Join(c.dir, "*.seg"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(c.dir, "mark"))
		for i := range c.times {
			path := files[i%len(files)]
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			bit := random.Int64N(8 * info.Size())
			where := fmt.Sprintf("%s, bit %d", filepath.Base(path), bit)
			flip(t, path, bit)
			before := snapshotOf(t, c.dir)
			j, err := openIn(t, c.dir)
			if err == nil {
				harmless++
				if diff := cmp.Diff(want, contents(t, j)); diff != "" {
					t.Errorf("%s: accepted, but the records are others: %s", where, diff)
				}
				j.Close()
				if err := os.RemoveAll(c.dir); err != nil { // opening has repaired or replaced it
					t.Fatal(err)
				}
				if err := os.CopyFS(c.dir, os.DirFS(c.pristine)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			refused++
			var unsound *journal.UnsoundError
			if !errors.As(err, &unsound) || unsound.Damage.File != path || unsound.Damage.Problem == "" {
				t.Errorf("%s: %v, want an UnsoundError that names the file", where, err)
			}
			if diff := cmp.Diff(before, snapshotOf(t, c.dir)); diff != "" {
				t.Errorf("%s: refused, but the folder was changed: %s", where, diff)
			}
			if i%4 == 0 {
				got, report := salvaged(t, c.dir)
				if report.Sound() {
					t.Errorf("%s: refused, but verify finds nothing", where)
				}
				compareSalvaged(t, where, want, got, report, 4)
			}
			flip(t, path, bit)
		}
	}
	t.Logf("%d refused, %d harmless", refused, harmless)
	if refused < 200/part {
		t.Errorf("%d of %d changes were refused: most should hit a frame", refused, 330/part)
	}
}

// compareSalvaged checks that got has everything of want but what the report
// names, which is at most so many records.
func compareSalvaged(t *testing.T, where string, want, got map[uint64]string, report journal.Report, most int) {
	t.Helper()
	left := maps.Clone(want)
	lost := 0
	for _, r := range report.Lost {
		for seq := r.First; seq <= r.Last; seq++ {
			delete(left, seq)
			lost++
		}
	}
	if diff := cmp.Diff(left, got); diff != "" {
		t.Errorf("%s: salvaged records differ from the old ones less the lost: %s", where, diff)
	}
	if lost > most || lost == 0 {
		t.Errorf("%s: %d records were lost, want 1 to %d: %v", where, lost, most, report)
	}
}

// TestDamage is about damage that has a name of its own.
func TestDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir)
	write(t, j, 30, 1)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	earlier := copyOf(t, dir)
	j = mustOpen(t, dir)
	write(t, j, 30, 2)
	want := contents(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	j = mustOpen(t, other)
	write(t, j, 70, 3)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	segments := func(dir string) []string {
		names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
		if err != nil || len(names) < 3 {
			t.Fatalf("segments %v, %v, want three at least", names, err)
		}
		return names
	}
	cut := func(n int64) func(dir string) error {
		return func(dir string) error {
			names := segments(dir)
			path := names[len(names)-1]
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, max(info.Size()-n, 0))
		}
	}
	replace := func(dir, by string, pattern string) error {
		old, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		names, _ := filepath.Glob(filepath.Join(by, pattern))
		for _, path := range names {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), b, 0o644); err != nil {
				return err
			}
		}
		return nil
	}
	for _, c := range []struct {
		name    string
		harm    func(dir string) error
		problem journal.Problem
	}{
		{"a byte is cut off the end", cut(1), journal.Cut},
		{"the last segment is empty", cut(1 << 30), journal.Backwards},
		{"the last segment is removed", func(dir string) error {
			names := segments(dir)
			return os.Remove(names[len(names)-1])
		}, journal.Backwards},
		{"a segment between is removed", func(dir string) error { return os.Remove(segments(dir)[1]) }, journal.Hole},
		{"a segment between is cut", func(dir string) error { return os.Truncate(segments(dir)[1], 1000) }, journal.Cut},
		{"the first segment is removed", func(dir string) error { return os.Remove(segments(dir)[0]) }, journal.Hole},
		{"all segments are removed", func(dir string) error { return replace(dir, "nowhere", "*.seg") }, journal.Backwards},
		{"the mark is removed", func(dir string) error { return os.Remove(filepath.Join(dir, "mark")) }, journal.NoMark},
		{"the mark is zeros", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "mark"), make([]byte, 1024), 0o644)
		}, journal.NoMark},
		{"both slots of the mark are changed", func(dir string) error {
			flip(t, filepath.Join(dir, "mark"), 100)
			flip(t, filepath.Join(dir, "mark"), 8*slotSize+100)
			return nil
		}, journal.Changed},
		{"the log is an older copy", func(dir string) error { return replace(dir, earlier, "*.seg") }, journal.Backwards},
		{"the mark is an older copy of another log", func(dir string) error { return replace(dir, other, "mark") }, journal.Backwards},
		{"a segment is zeroed", func(dir string) error {
			path := segments(dir)[1]
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, make([]byte, info.Size()), 0o644)
		}, journal.Hole},
		{"zeros in a segment", func(dir string) error {
			b, err := os.ReadFile(segments(dir)[1])
			if err != nil {
				return err
			}
			clear(b[:4096])
			return os.WriteFile(segments(dir)[1], b, 0o644)
		}, journal.Changed},
		{"a segment has another's content", func(dir string) error {
			b, err := os.ReadFile(segments(dir)[0])
			if err != nil {
				return err
			}
			return os.WriteFile(segments(dir)[1], b, 0o644)
		}, journal.Changed},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyOf(t, dir)
			if err := c.harm(dir); err != nil {
				t.Fatal(err)
			}
			before := snapshotOf(t, dir)
			_, err := openIn(t, dir)
			var damage *journal.DamageError
			if !errors.As(err, &damage) || damage.Problem != c.problem {
				t.Errorf("open: %v, want %q", err, c.problem)
			}
			if !strings.Contains(fmt.Sprint(err), "anneal journal salvage") {
				t.Errorf("the error does not say what to do: %v", err)
			}
			if diff := cmp.Diff(before, snapshotOf(t, dir)); diff != "" {
				t.Errorf("refused, but the folder was changed: %s", diff)
			}
			got, report := salvaged(t, dir)
			if report.Sound() {
				t.Errorf("refused, but verify finds nothing")
			}
			for seq, r := range got {
				if c.name != "the mark is an older copy of another log" && want[seq] != r {
					t.Errorf("salvaged record %d is %s, was %s", seq, r, want[seq])
				}
			}
			lost := 0
			for _, r := range report.Lost {
				lost += int(r.Last - r.First + 1)
			}
			if c.problem != journal.NoMark && !strings.HasPrefix(c.name, "both") && !strings.HasPrefix(c.name, "the mark") && len(got)+lost != len(want) {
				t.Errorf("%d records were salvaged and %d are reported lost, want %d together:\n%v", len(got), lost, len(want), report)
			}
		})
	}
}

// TestTornTail cuts a killed journal's last write at every length: as long as
// the mark does not know the frame, it is replaced without a word.
func TestTornTail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir)
	write(t, j, 5, 1)
	want := contents(t, j)
	names, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	path := names[len(names)-1]
	mark, err := os.ReadFile(filepath.Join(dir, "mark"))
	if err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sound = bytes.TrimRight(sound, "\x00")
	if _, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: "torn", Data: []byte(strings.Repeat("x", 500))}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := len(sound); n < len(whole); n += 41 {
		for _, zeros := range []int{0, 5000} { // with and without room behind
			if err := os.WriteFile(path, append(bytes.Clone(whole[:n]), make([]byte, zeros)...), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "mark"), mark, 0o644); err != nil {
				t.Fatal(err)
			}
			if report, err := Verify(t.Context(), dir); err != nil || !report.Sound() {
				t.Fatalf("verify with %d of %d bytes of the last frame: %v, %v", n-len(sound), len(whole)-len(sound), report, err)
			}
			j := mustOpen(t, dir)
			if diff := cmp.Diff(want, contents(t, j)); diff != "" {
				t.Fatalf("with %d bytes of the last frame: %s", n-len(sound), diff)
			}
			last, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: "next"})
			if err != nil || last != uint64(len(want)+1) {
				t.Fatalf("append behind a torn tail: %d, %v", last, err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			j = mustOpen(t, dir)
			if got := contents(t, j); len(got) != len(want)+1 {
				t.Fatalf("%d records after an append behind a torn tail, want %d", len(got), len(want)+1)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir)
	write(t, j, 20, 1)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, readOnly := range []bool{true, false} {
		if _, err := OpenJournal(ctx, dir, journal.Options{ReadOnly: readOnly}); !errors.Is(err, context.Canceled) {
			t.Errorf("open with an ended context: %v, want that it was cancelled", err)
		}
	}
}

// TestVerifyBesideTheWriter finds no damage in what is being written.
func TestVerifyBesideTheWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(9, uint64(w)))
			for range 300 {
				if _, err := j.Append(t.Context(), journal.Record{Kind: "event", Data: noise(random, 20000)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for acked := uint64(0); acked < 4*300 && !t.Failed(); {
		acked = j.Last()
		report, err := Verify(t.Context(), dir)
		if err != nil || !report.Sound() || report.Last < acked {
			t.Errorf("verify up to record %d at least: %v, %v", acked, report, err)
		}
		r, err := OpenJournal(t.Context(), dir, journal.Options{ReadOnly: true, Logger: quiet(t)})
		if err != nil {
			t.Errorf("open for reading: %v", err)
			break
		}
		if got := contents(t, r); uint64(len(got)) < acked {
			t.Errorf("%d records beside the writer, %d were acknowledged", len(got), acked)
		}
		r.Close()
	}
	writers.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNewer has the last frame, the mark, or both, be of a later version of their form:
// that is told as it is, and nobody is sent to salvage what is sound.
func TestNewer(t *testing.T) {
	age := func(t *testing.T, file string, at, size int) {
		t.Helper()
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		part := b[at : at+size]
		part[4] = 2
		binary.LittleEndian.PutUint32(part[size-4:], crc32.Checksum(part[:size-4], castagnoli))
		if err := os.WriteFile(file, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		frame bool
		slots []int // of the mark
	}{{"frame", true, nil}, {"mark", false, []int{0, 1}}, {"both", true, []int{0, 1}}, {"first slot", false, []int{0}}, {"second slot", false, []int{1}}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir)
			for _, key := range []string{"a", "b"} {
				if _, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: key, Data: []byte("{}")}); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
			if err != nil || len(segments) != 1 {
				t.Fatalf("segments %v (%v), want one", segments, err)
			}
			if c.frame {
				b, err := os.ReadFile(segments[0])
				if err != nil {
					t.Fatal(err)
				}
				age(t, segments[0], bytes.LastIndex(b, frame.Magic), frame.HeaderSize)
			}
			for _, slot := range c.slots {
				age(t, filepath.Join(dir, "mark"), slot*slotSize, frame.MarkSize)
			}
			before := snapshotOf(t, dir)
			_, err = openIn(t, dir)
			var unsound *journal.UnsoundError
			if !errors.As(err, &unsound) || unsound.Damage.Problem != journal.Newer {
				t.Fatalf("opened: %v, want a newer form", err)
			}
			if text := err.Error(); !strings.Contains(text, "version 2") || strings.Contains(text, "salvage") {
				t.Errorf("%q: want the version, and no word of salvage", text)
			}
			if diff := cmp.Diff(before, snapshotOf(t, dir)); diff != "" {
				t.Errorf("files have changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestReport is how a person reads it.
func TestReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir)
	for i := range 3 {
		if _, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: fmt.Sprint(i), Data: []byte("data")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	seg := filepath.Join(dir, "00000000000000000001.seg")
	for _, c := range []struct{ name, want string }{
		{"sound", "The journal is sound.\nIntact: 3 records in 3 frames, 402 bytes, numbers 1 to 3.\n"},
		{"damaged", "The journal is not sound: 1 damaged places.\n  " + seg + ": byte 134: frame 2: changed: frame does not match its hash: bits have changed\n  lost: records 2 to 2\nIntact: 2 records in 2 frames, 268 bytes, numbers 1 to 3.\n"},
	} {
		if c.name == "damaged" {
			flip(t, seg, 8*(134+100))
		}
		report, err := Verify(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, report.String()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// FuzzSegment opens whatever bytes as a segment: nothing panics, and nothing
// is changed by reading.
func FuzzSegment(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "journal")
	j, err := OpenJournal(f.Context(), dir, journal.Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, data := range []string{"one", "two"} {
		if _, err := j.Append(f.Context(), journal.Record{Kind: "event", Data: []byte(data)}); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "00000000000000000001.seg"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(slices.Concat(b, make([]byte, 100), b))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000000000000000001.seg"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		report, err := Verify(t.Context(), dir)
		if err != nil {
			t.Errorf("verify: %v", err)
		}
		if report.Bytes > int64(len(b)) {
			t.Errorf("%d bytes are intact of %d", report.Bytes, len(b))
		}
	})
}
