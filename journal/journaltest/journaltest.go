// Package journaltest is the contract of a [journal.Store]: what every store
// does, seen directly and through a [journal.Journal] over it.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
)

// An Opener opens the same store again and again; the one before was closed.
// Read-only ones may be open beside it.
type Opener func(readOnly bool) (journal.Store, error)

// Run runs the contract. fresh makes an Opener of an empty store.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"store appends only after the last frame", storeOrder},
		{"store reads, follows and trims", storeRead},
		{"store keeps the newest mark", storeMark},
		{"store keeps snapshots", storeSnapshots},
		{"append numbers and keeps", appends},
		{"concurrent appends stay whole", concurrent},
		{"a batch larger than a frame is one batch", large},
		{"a batch that did not fit is not there", unfinished},
		{"append refuses what cannot be kept", refused},
		{"append ends with its context", cancelled},
		{"a failed store stops the journal", failed},
		{"find and newest", finds},
		{"follow", follows},
		{"follow what is wanted", picks},
		{"trim", trims},
		{"cut", cuts},
		{"save and load", saves},
		{"read only", readOnly},
		{"salvage copies everything", salvages},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

func open(t *testing.T, o Opener) *journal.Journal {
	t.Helper()
	return openWith(t, o, journal.Options{})
}

func openWith(t *testing.T, o Opener, opts journal.Options) *journal.Journal {
	t.Helper()
	s, err := o(opts.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func shut(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func add(t *testing.T, j *journal.Journal, records ...journal.Record) uint64 {
	t.Helper()
	last, err := j.Append(t.Context(), records...)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return last
}

func record(kind, key, data string) journal.Record {
	return journal.Record{Kind: kind, Key: key, Data: []byte(data)}
}

// lines shows records as "1 event a=x", long data by its length.
func lines(t *testing.T, records iter.Seq2[journal.Record, error]) []string {
	t.Helper()
	var got []string
	for r, err := range records {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		data := string(r.Data)
		if len(data) > 32 {
			data = fmt.Sprintf("%d bytes of %q", len(data), data[:1])
			if strings.Trim(string(r.Data), data[len(data)-2:len(data)-1]) != "" {
				data += ", changed"
			}
		}
		got = append(got, fmt.Sprintf("%d %s %s=%s", r.Seq, r.Kind, r.Key, data))
	}
	return got
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: got + and not -:\n%s", what, diff)
	}
}

// sealed is a frame that a journal wrote, one for each record.
func sealed(t *testing.T, n int) [][]byte {
	t.Helper()
	var m journal.Memory
	j := open(t, func(bool) (journal.Store, error) { return &m, nil })
	for i := range n {
		add(t, j, record("event", fmt.Sprint(i), strings.Repeat("x", i)))
	}
	var frames [][]byte
	for f, err := range m.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f.Data)
	}
	return frames
}

func storeOrder(t *testing.T, o Opener) {
	ctx := t.Context()
	s, err := o(false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	frames := sealed(t, 3)
	if _, err := s.Append(ctx, 5, frames[0]); !errors.Is(err, journal.ErrRegressed) {
		t.Errorf("append after frame 5 of an empty store: %v, want ErrRegressed", err)
	}
	for i, f := range frames[:2] {
		if seq, err := s.Append(ctx, uint64(i), f); err != nil || seq != uint64(i+1) {
			t.Fatalf("append after %d: %d, %v", i, seq, err)
		}
	}
	if _, err := s.Append(ctx, 1, frames[1]); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("append after frame 1 of 2: %v, want ErrFenced", err)
	}
	if _, err := s.Append(ctx, 3, frames[2]); !errors.Is(err, journal.ErrRegressed) {
		t.Errorf("append after frame 3 of 2: %v, want ErrRegressed", err)
	}
	if seq, err := s.Append(ctx, 2, frames[2]); err != nil || seq != 3 {
		t.Errorf("append after refusals: %d, %v", seq, err)
	}
}

func storeRead(t *testing.T, o Opener) {
	s, err := o(false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	frames := sealed(t, 5)
	for i, f := range frames[:4] {
		if _, err := s.Append(t.Context(), uint64(i), f); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next := uint64(3)
	for f, err := range s.Read(ctx, 3, true) {
		if next > 5 {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("follow after its context: %v, %v", f.Seq, err)
			}
			break
		}
		if err != nil || f.Seq != next || string(f.Data) != string(frames[next-1]) {
			t.Fatalf("follow: frame %d, %v, want %d as it was appended", f.Seq, err, next)
		}
		switch next++; next {
		case 5:
			if _, err := s.Append(t.Context(), 4, frames[4]); err != nil {
				t.Fatal(err)
			}
		case 6:
			cancel()
		}
	}
	if err := s.Trim(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for f, err := range s.Read(t.Context(), 3, false) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Seq)
	}
	same(t, "frames from 3 on after a trim before 3", got, []uint64{3, 4, 5})
}

func storeMark(t *testing.T, o Opener) {
	s, err := o(false)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.Mark(t.Context()); err != nil || m.Order != 0 {
		t.Errorf("mark of an empty store: %+v, %v", m, err)
	}
	var want journal.Mark
	for i := range uint64(5) {
		want = journal.Mark{Order: i + 1, Base: 1, Tip: i, Last: 10 * i, TipHash: [32]byte{byte(i)}}
		if err := s.SetMark(t.Context(), want, i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = o(false); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "mark", got, want)
}

func storeSnapshots(t *testing.T, o Opener) {
	s, err := o(false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), "open-runs"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("load what was not saved: %v, want ErrNotFound", err)
	}
	for _, blob := range []string{"first", "", "third"} {
		if err := s.Save(t.Context(), "open-runs", []byte(blob)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(t.Context(), "open-runs"); err != nil || string(got) != blob {
			t.Errorf("load: %q, %v, want %q", got, err, blob)
		}
	}
	s.Close()
	if s, err = o(false); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Load(t.Context(), "open-runs"); err != nil || string(got) != "third" {
		t.Errorf("load after reopening: %q, %v", got, err)
	}
}

func appends(t *testing.T, o Opener) {
	j := open(t, o)
	same(t, "first and last of an empty journal", []uint64{j.First(), j.Last()}, []uint64{1, 0})
	same(t, "last of one record", add(t, j, record("event", "a", "x")), uint64(1))
	same(t, "last of two", add(t, j, record("signal", "b", ""), record("decision", "", "y")), uint64(3))
	same(t, "last of none", add(t, j), uint64(3))
	want := []string{"1 event a=x", "2 signal b=", "3 decision =y"}
	same(t, "records", lines(t, j.Read(t.Context(), 0, false)), want)
	shut(t, j)
	if _, err := j.Append(t.Context(), record("event", "", "")); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("append after close: %v, want ErrClosed", err)
	}
	for i := range 3 {
		j = open(t, o)
		same(t, "records after reopening", lines(t, j.Read(t.Context(), 0, false)), want)
		add(t, j, record("run", fmt.Sprint(i), ""))
		want = append(want, fmt.Sprintf("%d run %d=", 4+i, i))
		same(t, "records from 3 on", lines(t, j.Read(t.Context(), 3, false)), want[2:])
		shut(t, j)
	}
}

func concurrent(t *testing.T, o Opener) {
	const writers, each = 64, 40
	j := open(t, o)
	var mu sync.Mutex
	acked := map[uint64]string{} // last record's number to the batch
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range each {
				name := fmt.Sprintf("%d-%d", w, i)
				batch := make([]journal.Record, 1+random.IntN(3))
				for k := range batch {
					batch[k] = record("event", name, fmt.Sprintf("%d of %d", k, len(batch)))
				}
				last, err := j.Append(t.Context(), batch...)
				if err != nil {
					t.Errorf("append %s: %v", name, err)
					return
				}
				mu.Lock()
				acked[last] = name
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	check := func(j *journal.Journal) {
		t.Helper()
		batches, next := 0, uint64(1)
		part, whole := 0, 0
		for r, err := range j.Read(t.Context(), 0, false) {
			if err != nil {
				t.Fatal(err)
			}
			var k, n int
			fmt.Sscanf(string(r.Data), "%d of %d", &k, &n)
			if r.Seq != next || k != part || part > 0 && n != whole {
				t.Fatalf("record %d is part %d of %d of %s, want record %d, part %d", r.Seq, k, n, r.Key, next, part)
			}
			next++
			part, whole = part+1, n
			if part == n {
				if acked[r.Seq] != r.Key {
					t.Fatalf("batch %s ends with record %d, which %q was told", r.Key, r.Seq, acked[r.Seq])
				}
				batches, part = batches+1, 0
			}
		}
		same(t, "batches", batches, writers*each)
	}
	check(j)
	shut(t, j)
	check(open(t, o))
}

func large(t *testing.T, o Opener) {
	j := open(t, o)
	a, b := strings.Repeat("a", 3<<20), strings.Repeat("b", 700<<10)
	add(t, j, record("event", "1", "x"))
	add(t, j, record("profile", "2", "y"), record("profile", "3", a), record("profile", "4", b), record("profile", "5", "z"))
	add(t, j, record("event", "6", "x"))
	want := []string{"1 event 1=x", "2 profile 2=y", `3 profile 3=3145728 bytes of "a"`, `4 profile 4=716800 bytes of "b"`, "5 profile 5=z", "6 event 6=x"}
	for range 2 {
		same(t, "records", lines(t, j.Read(t.Context(), 0, false)), want)
		r, err := j.Find(t.Context(), "profile", "4")
		if err != nil || string(r.Data) != b {
			t.Errorf("find the second large value: %d bytes, %v", len(r.Data), err)
		}
		if r, err := j.At(t.Context(), 6); err != nil || r.Key != "6" {
			t.Errorf("at 6: %q, %v", r.Key, err)
		}
		shut(t, j)
		j = open(t, o)
	}
}

// A limited store takes so many frames.
type limited struct {
	journal.Store
	frames int
	err    error
}

func (l *limited) Append(ctx context.Context, prev uint64, frame []byte) (uint64, error) {
	if l.frames == 0 {
		return 0, l.err
	}
	l.frames--
	return l.Store.Append(ctx, prev, frame)
}

func unfinished(t *testing.T, o Opener) {
	var l *limited
	limit := func(readOnly bool) (journal.Store, error) {
		s, err := o(readOnly)
		l = &limited{s, 4, journal.ErrFull}
		return l, err
	}
	j := open(t, limit)
	add(t, j, record("event", "before", ""))
	big := record("profile", "big", strings.Repeat("x", 2<<20))
	if _, err := j.Append(t.Context(), record("event", "with", ""), big); !errors.Is(err, journal.ErrFull) {
		t.Fatalf("append to a full store: %v, want ErrFull", err)
	}
	if err := j.Err(); err != nil {
		t.Fatalf("a full store stopped the journal: %v", err)
	}
	want := []string{"1 event before="}
	same(t, "records after half a batch", lines(t, j.Read(t.Context(), 0, false)), want)
	shut(t, j)
	j = open(t, limit)
	same(t, "records after reopening", lines(t, j.Read(t.Context(), 0, false)), want)
	l.frames = -1
	add(t, j, record("event", "after", ""))
	want = append(want, "2 event after=")
	same(t, "records after the next append", lines(t, j.Read(t.Context(), 0, false)), want)
	add(t, j, big)
	want = append(want, `3 profile big=2097152 bytes of "x"`)
	shut(t, j)
	j = open(t, o)
	same(t, "records in the end", lines(t, j.Read(t.Context(), 0, false)), want)
	same(t, "newest first", lines(t, j.Newest(t.Context(), "event", 0)), []string{"2 event after=", "1 event before="})
}

func refused(t *testing.T, o Opener) {
	j := open(t, o)
	for _, r := range []journal.Record{
		record("", "a", ""), record(strings.Repeat("k", 33), "a", ""), record("event", strings.Repeat("k", 256), ""),
	} {
		if _, err := j.Append(t.Context(), record("event", "good", ""), r); err == nil {
			t.Errorf("append of kind %q with a key of %d bytes: no error", r.Kind, len(r.Key))
		}
	}
	same(t, "last", j.Last(), uint64(0))
	same(t, "last after the longest kind and key", add(t, j, record(strings.Repeat("k", 32), strings.Repeat("k", 255), "")), uint64(1))
}

func cancelled(t *testing.T, o Opener) {
	j := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Append(ctx, record("event", "a", "")); !errors.Is(err, context.Canceled) {
		t.Errorf("append with an ended context: %v", err)
	}
	same(t, "last", j.Last(), uint64(0))
}

func failed(t *testing.T, o Opener) {
	j := open(t, func(readOnly bool) (journal.Store, error) {
		s, err := o(readOnly)
		return &limited{s, 1, errors.New("sync: the disk is gone")}, err
	})
	add(t, j, record("event", "a", ""))
	for range 2 {
		if _, err := j.Append(t.Context(), record("event", "b", "")); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
			t.Errorf("append after the store failed: %v, want its reason", err)
		}
	}
	<-j.Done()
	if err := j.Err(); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("why it stopped: %v", err)
	}
	for _, err := range j.Read(t.Context(), 0, true) {
		if err != nil {
			if !strings.Contains(err.Error(), "the disk is gone") {
				t.Errorf("follow: %v, want the reason", err)
			}
			break
		}
	}
	j.Close()
	same(t, "records", lines(t, open(t, o).Read(t.Context(), 0, false)), []string{"1 event a="})
}

func finds(t *testing.T, o Opener) {
	cache := filepath.Join(t.TempDir(), "cache")
	j := openWith(t, o, journal.Options{Cache: cache})
	filler := strings.Repeat(".", 500)
	kinds := []string{"event", "signal", "decision"}
	var batch []journal.Record
	newest := map[string]uint64{}
	var rare []string
	for i := uint64(1); i <= 30000; i++ {
		r := record(kinds[i%3], fmt.Sprint("k", i%7000), filler)
		if i%9999 == 0 {
			r = record("model", "", fmt.Sprint(i))
			rare = append([]string{fmt.Sprintf("%d model =%d", i, i)}, rare...)
		}
		newest[r.Kind+" "+r.Key] = i
		batch = append(batch, r)
		if i%250 == 0 {
			add(t, j, batch...)
			batch = batch[:0]
		}
	}
	for round := range 3 {
		for i := 0; i < 7000; i += 311 {
			for _, kind := range kinds {
				want, ok := newest[fmt.Sprint(kind, " k", i)]
				r, err := j.Find(t.Context(), kind, fmt.Sprint("k", i))
				if ok && (err != nil || r.Seq != want) || !ok && !errors.Is(err, journal.ErrNotFound) {
					t.Fatalf("round %d: find %s k%d: %d, %v, want %d, %v", round, kind, i, r.Seq, err, want, ok)
				}
			}
		}
		if _, err := j.Find(t.Context(), "event", "unknown"); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("find what is not there: %v", err)
		}
		same(t, "models", lines(t, j.Newest(t.Context(), "model", 0)), rare)
		same(t, "models before 29997", lines(t, j.Newest(t.Context(), "model", 29997)), rare[1:])
		for range j.Newest(t.Context(), "notice", 0) {
			t.Errorf("there is no notice")
		}
		want := uint64(30000)
		for r, err := range j.Newest(t.Context(), "", 0) {
			if err != nil || r.Seq != want {
				t.Fatalf("newest: record %d, %v, want %d", r.Seq, err, want)
			}
			if want--; want == 20000 {
				break
			}
		}
		if r, err := j.At(t.Context(), 12345); err != nil || r.Seq != 12345 || r.Key != "k5345" {
			t.Errorf("at 12345: %d %s, %v", r.Seq, r.Key, err)
		}
		if _, err := j.At(t.Context(), 30001); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("at 30001: %v, want ErrNotFound", err)
		}
		shut(t, j)
		opts := journal.Options{Cache: cache, ReadOnly: true}
		if round == 1 {
			opts = journal.Options{Cache: filepath.Join(t.TempDir(), "new")}
		}
		j = openWith(t, o, opts)
	}
}

func follows(t *testing.T, o Opener) {
	j := open(t, o)
	add(t, j, record("event", "1", ""), record("event", "2", ""))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []uint64
	for r, err := range j.Read(ctx, 2, true) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("follow: %v", err)
			}
			break
		}
		if got = append(got, r.Seq); len(got) == 4 {
			cancel()
			continue
		}
		add(t, j, record("event", "", strings.Repeat("x", 600<<10)))
	}
	same(t, "followed", got, []uint64{2, 3, 4, 5})

	ended := make(chan error)
	go func() {
		for _, err := range j.Read(context.WithoutCancel(ctx), 99, true) {
			ended <- err
		}
	}()
	shut(t, j)
	if err := <-ended; !errors.Is(err, journal.ErrClosed) {
		t.Errorf("follow a journal that is closed: %v, want ErrClosed", err)
	}
}

// picks: a follower gets what it wants, in order and once, however much else comes at
// the same time.
func picks(t *testing.T, o Opener) {
	j := open(t, o)
	wants := []struct {
		name  string
		kinds []string
		is    func(journal.Record) bool
	}{
		{"events", []string{"event"}, nil},
		{"even ones", nil, func(r journal.Record) bool { return r.Key == "end" || strings.HasSuffix(r.Key, "0") }},
		{"even events", []string{"event"}, func(r journal.Record) bool { return r.Key == "end" || strings.HasSuffix(r.Key, "0") }},
		{"the end", []string{"event", "notice"}, func(r journal.Record) bool { return r.Key == "end" }},
	}
	got := make([][]string, len(wants))
	var followers, appenders sync.WaitGroup
	for i, w := range wants {
		followers.Go(func() {
			for r, err := range j.Follow(t.Context(), 1, w.is, w.kinds...) {
				if err != nil {
					t.Errorf("%s: %v", w.name, err)
					return
				}
				if got[i] = append(got[i], fmt.Sprint(r.Seq, " ", r.Key)); r.Key == "end" {
					return
				}
			}
		})
	}
	for a := range 4 {
		appenders.Go(func() {
			for i := range 40 {
				key := fmt.Sprintf("%d-%d", a, i)
				records := []journal.Record{record("turn", key, strings.Repeat("x", 40<<10))}
				switch {
				case i%5 == 0:
					records = append(records, record("event", key, ""))
				case i%13 == 0:
					records = []journal.Record{record("event", key, strings.Repeat("x", 600<<10))}
				}
				if _, err := j.Append(t.Context(), records...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appenders.Wait()
	add(t, j, record("event", "end", ""))
	followers.Wait()
	for i, w := range wants {
		var want []string
		for r, err := range j.Read(t.Context(), 1, false) {
			if err != nil {
				t.Fatal(err)
			}
			if (w.kinds == nil || slices.Contains(w.kinds, r.Kind)) && (w.is == nil || w.is(r)) {
				want = append(want, fmt.Sprint(r.Seq, " ", r.Key))
			}
		}
		same(t, w.name, got[i], want)
	}
}

func trims(t *testing.T, o Opener) {
	j := open(t, o)
	for i := range 100 {
		add(t, j, record("event", fmt.Sprint(i+1), strings.Repeat("x", 8000)), record("tail", fmt.Sprint(i+1), ""))
	}
	for _, c := range []struct{ before, first uint64 }{{0, 1}, {1, 1}, {52, 51}, {30, 51}, {51, 51}, {152, 151}, {500, 201}} {
		if err := j.Trim(t.Context(), c.before); err != nil {
			t.Fatal(err)
		}
		for round := range 2 {
			same(t, fmt.Sprintf("first after a trim before %d", c.before), j.First(), c.first)
			next := c.first
			for r, err := range j.Read(t.Context(), 0, false) {
				if err != nil || r.Seq != next {
					t.Fatalf("read after a trim before %d: record %d, %v, want %d", c.before, r.Seq, err, next)
				}
				next++
			}
			same(t, "one behind the last", next, 201)
			if _, err := j.At(t.Context(), c.first-1); !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("at %d, which was trimmed: %v", c.first-1, err)
			}
			if _, err := j.Find(t.Context(), "event", fmt.Sprint((c.first-1)/2)); !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("find what was trimmed: %v", err)
			}
			if round == 0 {
				shut(t, j)
				j = open(t, o)
			}
		}
	}
	same(t, "number after everything was trimmed", add(t, j, record("event", "new", "x")), uint64(201))
	shut(t, j)
	j = open(t, o)
	same(t, "records", lines(t, j.Read(t.Context(), 0, false)), []string{"201 event new=x"})
}

// cuts cuts again and again, and looks for what is kept in between.
func cuts(t *testing.T, o Opener) {
	j := open(t, o)
	large := strings.Repeat("x", 1<<20)
	add(t, j, record("champion", "a", large))
	for n := uint64(2); j.Last() < 400; n++ {
		add(t, j, record("event", fmt.Sprint(j.Last()+1), strings.Repeat("e", 6000)))
		if n%60 > 0 {
			continue
		}
		before := j.Last() - 20
		if err := j.Cut(t.Context(), before, fmt.Appendf(nil, `{"through":%d}`, before-1), []uint64{1, before - 1}); err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			same(t, "first after a cut", j.First(), before)
			c, err := j.Checkpoint(t.Context())
			if err != nil || c.Before != before || string(c.State) != fmt.Sprintf(`{"through":%d}`, before-1) {
				t.Errorf("checkpoint before %d: %+v, %v", before, c, err)
			}
			if r, err := j.At(t.Context(), 1); err != nil || string(r.Data) != large || r.Key != "a" {
				t.Errorf("record 1 is kept and was not found: %v", err)
			}
			if r, err := j.Find(t.Context(), "event", fmt.Sprint(before-1)); err != nil || r.Seq != before-1 {
				t.Errorf("event %d is kept and was not found: %v", before-1, err)
			}
			if _, err := j.Find(t.Context(), "event", fmt.Sprint(before-2)); !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("find what was given up: %v", err)
			}
			var last uint64
			for r, err := range j.Newest(t.Context(), "event", 0) {
				if err != nil {
					t.Fatal(err)
				}
				last = r.Seq
			}
			same(t, "the oldest event that is listed", last, before-1)
			switch round {
			case 0:
				shut(t, j)
				j = openWith(t, o, journal.Options{ReadOnly: true})
			case 1:
				shut(t, j)
				j = open(t, o)
			}
		}
	}
}

func saves(t *testing.T, o Opener) {
	j := open(t, o)
	if _, err := j.Load(t.Context(), "a"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("load what was not saved: %v", err)
	}
	if err := j.Save(t.Context(), "a", []byte("blob")); err != nil {
		t.Fatal(err)
	}
	shut(t, j)
	j = open(t, o)
	if got, err := j.Load(t.Context(), "a"); err != nil || string(got) != "blob" {
		t.Errorf("load: %q, %v", got, err)
	}
}

func readOnly(t *testing.T, o Opener) {
	j := open(t, o)
	add(t, j, record("event", "1", ""))
	r := openWith(t, o, journal.Options{ReadOnly: true})
	same(t, "records", lines(t, r.Read(t.Context(), 0, false)), []string{"1 event 1="})
	if _, err := r.Append(t.Context(), record("event", "2", "")); !errors.Is(err, journal.ErrReadOnly) {
		t.Errorf("append to a journal for reading: %v, want ErrReadOnly", err)
	}
	add(t, j, record("event", "2", ""))
	same(t, "records as of opening", lines(t, r.Read(t.Context(), 0, false)), []string{"1 event 1="})
	next := uint64(1)
	for rec, err := range r.Read(t.Context(), 0, true) {
		if err != nil || rec.Seq != next {
			t.Fatalf("follow: record %d, %v, want %d", rec.Seq, err, next)
		}
		if next++; next == 6 {
			break
		}
		if next > 2 {
			add(t, j, record("event", "", ""))
		}
	}
	shut(t, r)
}

func salvages(t *testing.T, o Opener) {
	j := open(t, o)
	for i := range 50 {
		add(t, j, record("event", fmt.Sprint(i), strings.Repeat("x", i*100)))
	}
	add(t, j, record("profile", "", strings.Repeat("y", 2<<20)))
	if err := j.Trim(t.Context(), 11); err != nil {
		t.Fatal(err)
	}
	want := lines(t, j.Read(t.Context(), 0, false))
	shut(t, j)
	src, err := o(true)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var dst journal.Memory
	report, err := journal.Salvage(t.Context(), src, &dst)
	if err != nil || !report.Sound() || report.First != 11 || report.Last != 51 {
		t.Errorf("salvage: %v, %v", report, err)
	}
	copied := open(t, func(bool) (journal.Store, error) { return &dst, nil })
	same(t, "copied records", lines(t, copied.Read(t.Context(), 0, false)), want)
	same(t, "first", copied.First(), uint64(11))
}
