package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal/journal"
)

// TestMain runs the test binary as the process that is killed, or that comes
// second.
func TestMain(m *testing.M) {
	switch dir := os.Getenv("JOURNAL_TEST_DIR"); os.Getenv("JOURNAL_TEST_AS") {
	case "":
		os.Exit(m.Run())
	case "victim":
		victim(dir)
	case "second":
		_, err := OpenJournal(context.Background(), dir, journal.Options{})
		fmt.Println(errors.Is(err, journal.ErrInUse), err)
	}
}

func again(as, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_AS="+as, "JOURNAL_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// victim appends until it is killed, and says what was acknowledged.
func victim(dir string) {
	s, err := Open(dir, Options{SegmentSize: 256 << 10})
	if err != nil {
		panic(err)
	}
	j, err := journal.Open(context.Background(), s, journal.Options{Cache: filepath.Join(dir, "cache")})
	if err != nil {
		panic(err)
	}
	for w := range 8 {
		go func() {
			random := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(w)))
			for i := 0; ; i++ {
				batch := make([]journal.Record, 1+random.IntN(3))
				for k := range batch {
					batch[k] = journal.Record{Kind: "event", Key: fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i),
						Data: []byte(fmt.Sprintf("%d/%d %s", k, len(batch), strings.Repeat("x", random.IntN(2000))))}
				}
				if i%50 == 49 {
					batch[0].Data = append(batch[0].Data, make([]byte, 1<<20)...)
				}
				last, err := j.Append(context.Background(), batch...)
				if err != nil {
					panic(err)
				}
				os.Stdout.WriteString(fmt.Sprintf("%d %d %s\n", last, len(batch), batch[0].Key))
			}
		}()
	}
	select {}
}

// TestKill kills a process that appends, at random moments, and looks for
// everything that it said was acknowledged.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	type ack struct {
		records int
		key     string
	}
	acked := map[uint64]ack{}
	random := rand.New(rand.NewPCG(3, 1))
	kills := 30
	if testing.Short() {
		kills = 10
	}
	for range kills {
		cmd := again("victim", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		stop := 1 + random.IntN(120)
		for n := 0; lines.Scan(); n++ {
			var last uint64
			var a ack
			if _, err := fmt.Sscanf(lines.Text(), "%d %d %s", &last, &a.records, &a.key); err != nil {
				break // a line that was cut by the kill
			}
			acked[last] = a
			if n == stop {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()

		if report, err := Verify(t.Context(), dir); err != nil || !report.Sound() {
			t.Fatalf("verify after a kill: %v, %v", report, err)
		}
	}
	j, err := OpenJournal(t.Context(), dir, journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ends := map[uint64]ack{}
	next, part := uint64(1), 0
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		var k, n int
		fmt.Sscanf(string(r.Data), "%d/%d", &k, &n)
		if r.Seq != next || k != part {
			t.Fatalf("record %d is part %d of %s, want record %d, part %d: a batch is not whole", r.Seq, k, r.Key, next, part)
		}
		next++
		if part++; part == n {
			ends[r.Seq], part = ack{n, r.Key}, 0
		}
	}
	if part != 0 {
		t.Errorf("the last batch is not whole")
	}
	missing := 0
	for last, a := range acked {
		if ends[last] != a {
			missing++
		}
	}
	t.Logf("%d kills, %d batches acknowledged, %d in the journal", kills, len(acked), len(ends))
	if missing > 0 || len(acked) < kills {
		t.Errorf("%d of %d acknowledged batches are missing or different", missing, len(acked))
	}
}

func TestSecondProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir)
	write(t, j, 3, 1)
	out, err := again("second", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("true open journal folder: %s: journal is in use by process %d, which has locked %s/lock\n", dir, os.Getpid(), dir)
	if string(out) != want {
		t.Errorf("a second process says %q, want %q", out, want)
	}
	if _, err := openIn(t, dir); !errors.Is(err, journal.ErrInUse) {
		t.Errorf("a second time in this process: %v, want ErrInUse", err)
	}
	r, err := OpenJournal(t.Context(), dir, journal.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, j), contents(t, r)); diff != "" {
		t.Errorf("read beside the writer: %s", diff)
	}
	if err := errors.Join(r.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, dir).Close(); err != nil {
		t.Error(err)
	}
}

// A faultyDisk does what its functions say before the real thing.
type faultyDisk struct {
	realDisk
	write func(f *os.File, b []byte, off int64) (int, error)
	sync  func(f *os.File) error
}

func (d *faultyDisk) WriteAt(f *os.File, b []byte, off int64) (int, error) {
	if d.write != nil {
		if n, err := d.write(f, b, off); err != nil {
			return n, err
		}
	}
	return d.realDisk.WriteAt(f, b, off)
}

func (d *faultyDisk) Sync(f *os.File) error {
	if d.sync != nil {
		if err := d.sync(f); err != nil {
			return err
		}
	}
	return d.realDisk.Sync(f)
}

// openFaulty opens dir over a disk that can be made to fail.
func openFaulty(t *testing.T, dir string, size int64) (*journal.Journal, *faultyDisk) {
	t.Helper()
	s, err := Open(dir, Options{SegmentSize: size})
	if err != nil {
		t.Fatal(err)
	}
	d := &faultyDisk{}
	s.disk = d
	j, err := journal.Open(t.Context(), s, journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, d
}

// TestCrashMatrix stops the machine at every write and every sync: before it,
// after a part of it, and after it; with the mark as it was then and, as after
// a power loss, with an older one. Everything acknowledged before is there,
// and every batch is whole or absent.
func TestCrashMatrix(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, d := openFaulty(t, dir, 8<<10)
	type moment struct {
		what  string
		dir   string
		acked uint64
	}
	var moments []moment
	var oldMark []byte // of the first append
	acked := uint64(0)
	snap := func(what string) string {
		to := copyOf(t, dir)
		moments = append(moments, moment{what, to, acked})
		return to
	}
	d.write = func(f *os.File, b []byte, off int64) (int, error) {
		for _, n := range []int{0, 1, 79, 80, len(b) / 2, len(b) - 1, len(b)} {
			to := snap(fmt.Sprintf("%d of %d bytes at %d of %s", n, len(b), off, filepath.Base(f.Name())))
			part, err := os.OpenFile(filepath.Join(to, filepath.Base(f.Name())), os.O_RDWR, 0)
			if err != nil {
				return 0, err
			}
			if _, err := part.WriteAt(b[:n], off); err != nil {
				return 0, err
			}
			part.Close()
		}
		return 0, nil
	}
	d.sync = func(*os.File) error { snap("sync"); return nil }
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 12 {
		batch := make([]journal.Record, 1+random.IntN(3))
		for k := range batch {
			batch[k] = journal.Record{Kind: "event", Key: fmt.Sprint(i), Data: []byte(fmt.Sprintf("%d/%d %s", k, len(batch), strings.Repeat("x", random.IntN(2000))))}
		}
		if i == 7 {
			batch[0].Data = append(batch[0].Data, make([]byte, 1<<20)...)
		}
		last, err := j.Append(t.Context(), batch...)
		if err != nil {
			t.Fatal(err)
		}
		acked = last
		if i == 0 {
			if oldMark, err = os.ReadFile(filepath.Join(dir, "mark")); err != nil {
				t.Fatal(err)
			}
		}
	}
	var check sync.WaitGroup
	todo := make(chan moment)
	for range 8 { // they wait for the disk
		check.Go(func() {
			for m := range todo {
				if err := survives(t, m.dir, m.acked); err != nil {
					t.Errorf("%s: %v", m.what, err)
				}
			}
		})
	}
	for i, m := range moments {
		if m.acked > 0 && i%3 == 2 {
			m.what += ", old mark"
			if err := os.WriteFile(filepath.Join(m.dir, "mark"), oldMark, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		todo <- m
	}
	close(todo)
	check.Wait()
	t.Logf("%d moments", len(moments))
}

// survives says what is wrong with a journal of [TestCrashMatrix]: it has all that was
// acknowledged and no part of a batch, and goes on from there.
func survives(t *testing.T, dir string, acked uint64) error {
	j, err := openIn(t, dir)
	if err != nil {
		return err
	}
	defer func() { j.Close() }()
	if j.Last() < acked {
		return fmt.Errorf("the last record is %d, but %d was acknowledged", j.Last(), acked)
	}
	for round := range 2 {
		part, next := 0, uint64(1)
		for r, err := range j.Read(t.Context(), 0, false) {
			if err != nil {
				return err
			}
			var k, n int
			fmt.Sscanf(string(r.Data), "%d/%d", &k, &n)
			if k != part || r.Seq != next {
				return fmt.Errorf("record %d is part %d, want record %d, part %d", r.Seq, k, next, part)
			}
			next++
			if part++; part == n {
				part = 0
			}
		}
		if part != 0 {
			return errors.New("the last batch is not whole")
		}
		if round == 1 {
			break
		}
		if _, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: "after", Data: []byte("0/1")}); err != nil {
			return fmt.Errorf("append after it: %w", err)
		}
		if err := j.Close(); err != nil {
			return err
		}
		again, err := openIn(t, dir)
		if err != nil {
			return fmt.Errorf("open after the append after it: %w", err)
		}
		j = again
	}
	return nil
}

func TestFailedSyncStopsForGood(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, d := openFaulty(t, dir, smallSegment)
	write(t, j, 3, 1)
	want := j.Last()
	d.sync = func(*os.File) error { return unix.EIO }
	for range 2 {
		_, err := j.Append(t.Context(), journal.Record{Kind: "event"})
		if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), dir) {
			t.Errorf("append with a failing sync: %v, want EIO and the path", err)
		}
		d.sync = nil // it would work again, but nobody knows what is on the disk
	}
	<-j.Done()
	if !errors.Is(j.Err(), unix.EIO) {
		t.Errorf("why it stopped: %v", j.Err())
	}
	if err := j.Close(); !errors.Is(err, unix.EIO) {
		t.Errorf("close: %v, want the reason", err)
	}
	j = mustOpen(t, dir)
	if j.Last() < want {
		t.Errorf("last is %d after reopening, want %d or the one that was not acknowledged", j.Last(), want)
	}
	j.Close()
}

// TestNoSpace lets the disk be full in the middle of a frame.
func TestNoSpace(t *testing.T) {
	for _, problem := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		dir := filepath.Join(t.TempDir(), "journal")
		j, d := openFaulty(t, dir, smallSegment)
		write(t, j, 5, 1)
		want := contents(t, j)
		d.write = func(f *os.File, b []byte, off int64) (int, error) {
			n, err := f.WriteAt(b[:len(b)/2], off)
			return n, errors.Join(err, &os.PathError{Op: "write", Path: f.Name(), Err: problem})
		}
		for range 3 {
			_, err := j.Append(t.Context(), journal.Record{Kind: "event", Data: make([]byte, 5000)})
			if !errors.Is(err, journal.ErrFull) || !errors.Is(err, problem) || !strings.Contains(err.Error(), dir) {
				t.Errorf("append: %v, want ErrFull, %v and the path", err, problem)
			}
			if report, err := Verify(t.Context(), dir); err != nil || !report.Sound() || report.Torn != nil {
				t.Errorf("verify while full: %v, %v: the half-written frame should be cut", report, err)
			}
		}
		d.write = nil
		last, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: "after"})
		if err != nil || last != uint64(len(want)+1) {
			t.Errorf("append when there is room: %d, %v", last, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = mustOpen(t, dir)
		if got := contents(t, j); len(got) != len(want)+1 {
			t.Errorf("%d records after reopening, want %d", len(got), len(want)+1)
		}
		j.Close()
	}
}

// TestMarkIsSyncedWithinASecond also shows that nothing ticks when idle.
func TestMarkIsSyncedWithinASecond(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "journal"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetMark(t.Context(), journal.Mark{Order: 1, Base: 1}, false); err != nil {
		t.Fatal(err)
	}
	armed := func() bool {
		s.markMu.Lock()
		defer s.markMu.Unlock()
		return s.markTimer != nil
	}
	if !armed() {
		t.Fatal("no sync of the mark is planned")
	}
	for deadline := time.Now().Add(2 * time.Minute); armed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the mark is not synced")
		}
	}
}
