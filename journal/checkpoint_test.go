package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
)

// A frailStore dies at one of the steps that change it: the step is done or is
// not, and nobody hears.
type frailStore struct {
	*journal.Memory
	step  int // steps so far
	dieAt int
	done  bool // the step it dies at is done
	dead  bool
}

var errDied = errors.New("the process died")

func (s *frailStore) do(step func() error) error {
	if s.dead {
		return errDied
	}
	if s.step++; s.step != s.dieAt {
		return step()
	}
	s.dead = true
	if s.done {
		if err := step(); err != nil {
			return err
		}
	}
	return errDied
}

func (s *frailStore) Append(ctx context.Context, prev uint64, frame []byte) (seq uint64, err error) {
	err = s.do(func() error { seq, err = s.Memory.Append(ctx, prev, frame); return err })
	return seq, err
}

func (s *frailStore) SetMark(ctx context.Context, m journal.Mark, sync bool) error {
	return s.do(func() error { return s.Memory.SetMark(ctx, m, sync) })
}

func (s *frailStore) Trim(ctx context.Context, before uint64) error {
	return s.do(func() error { return s.Memory.Trim(ctx, before) })
}

// story is 60 records; run 7 begins with record 7 and is told of again, last
// with record 57.
func story(t *testing.T, m *journal.Memory) {
	t.Helper()
	j := openStore(t, m)
	for i := range 60 {
		n := i + 1
		r := journal.Record{Kind: "event", Key: fmt.Sprint(n), Data: fmt.Appendf(nil, `{"n": %d}`, n)}
		if n%10 == 7 {
			r = journal.Record{Kind: "run", Key: "7", Data: []byte{byte(n), 0xff}} // no JSON
		}
		if _, err := j.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func openStore(t *testing.T, s journal.Store) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), s, journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// view is what a reader can know of a journal.
func view(t *testing.T, j *journal.Journal) (lines []string) {
	t.Helper()
	ctx := t.Context()
	c, err := j.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lines = append(lines, fmt.Sprintf("first %d, state %s", j.First(), c.State))
	for r, err := range j.Newest(ctx, "event", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Seq < 30 {
			lines = append(lines, fmt.Sprintf("event %d %s", r.Seq, r.Data))
		}
	}
	for _, seq := range []uint64{3, 7, 17, 18, 57} {
		if r, err := j.At(ctx, seq); err == nil {
			lines = append(lines, fmt.Sprintf("at %d: %s %s %q", r.Seq, r.Kind, r.Key, r.Data))
		} else if !errors.Is(err, journal.ErrNotFound) {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"3", "18", "40"} {
		if r, err := j.Find(ctx, "event", key); err == nil {
			lines = append(lines, fmt.Sprintf("find %s: %d %s", key, r.Seq, r.Data))
		} else if !errors.Is(err, journal.ErrNotFound) {
			t.Fatal(err)
		}
	}
	run, err := j.Find(ctx, "run", "7")
	if err != nil {
		t.Fatal(err)
	}
	return append(lines, fmt.Sprintf("run 7 as of %d", run.Seq))
}

// These are the records that At gives, before and after a cut.
func TestThese(t *testing.T) {
	store := &journal.Memory{}
	story(t, store)
	j := openStore(t, store)
	defer j.Close()
	all := make([]uint64, 70) // more than there are
	for i := range all {
		all[i] = uint64(i)
	}
	check := func() {
		t.Helper()
		for _, seqs := range [][]uint64{nil, all, {0}, {3}, {60}, {61, 1000}, {3, 7, 18, 23, 40, 57, 99}, {20, 21, 22}} {
			var got, want []string
			for r, err := range j.These(t.Context(), seqs) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(r))
			}
			for _, seq := range seqs {
				if r, err := j.At(t.Context(), seq); err == nil {
					want = append(want, fmt.Sprint(r))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v (-want +got)\n%s", seqs, diff)
			}
		}
	}
	check()
	if err := j.Cut(t.Context(), 31, []byte(`"thirty"`), []uint64{7, 18, 23}); err != nil {
		t.Fatal(err)
	}
	check()
	j = openStore(t, store)
	defer j.Close()
	check()
}

// TestCutSurvivesDeath lets the process die at each step of a cut, with that
// step done and without: what is left is the journal as it was or as it is
// after, it is sound, and the next cut comes to the same as an undisturbed one.
func TestCutSurvivesDeath(t *testing.T) {
	cut := func(ctx context.Context, j *journal.Journal) error {
		if err := j.Cut(ctx, 21, []byte(`"twenty"`), []uint64{18, 7, 3, 3, 40}); err != nil {
			return err
		}
		return j.Cut(ctx, 31, []byte(`"thirty"`), []uint64{7, 18, 23})
	}
	story60 := &journal.Memory{}
	story(t, story60)
	j := openStore(t, story60)
	states := map[string]bool{}
	shown := func(lines []string) string { return fmt.Sprint(lines) }
	states[shown(view(t, j))] = true
	if err := j.Cut(t.Context(), 21, []byte(`"twenty"`), []uint64{18, 7, 3, 3, 40}); err != nil {
		t.Fatal(err)
	}
	between := view(t, j)
	if want := []string{
		`first 21, state "twenty"`, `event 29 {"n": 29}`, `event 28 {"n": 28}`, `event 26 {"n": 26}`, `event 25 {"n": 25}`,
		`event 24 {"n": 24}`, `event 23 {"n": 23}`, `event 22 {"n": 22}`, `event 21 {"n": 21}`, `event 18 {"n": 18}`, `event 3 {"n": 3}`,
		`at 3: event 3 "{\"n\": 3}"`, `at 7: run 7 "\a\xff"`, `at 18: event 18 "{\"n\": 18}"`, `at 57: run 7 "9\xff"`,
		`find 3: 3 {"n": 3}`, `find 18: 18 {"n": 18}`, `find 40: 40 {"n": 40}`, `run 7 as of 57`,
	}; !slices.Equal(between, want) {
		t.Errorf("after the first cut: %s", cmp.Diff(want, between))
	}
	states[shown(between)] = true
	if err := cut(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	after := view(t, j)
	if want := []string{
		`first 31, state "thirty"`, `event 23 {"n": 23}`, `event 18 {"n": 18}`,
		`at 7: run 7 "\a\xff"`, `at 18: event 18 "{\"n\": 18}"`, `at 57: run 7 "9\xff"`,
		`find 18: 18 {"n": 18}`, `find 40: 40 {"n": 40}`, `run 7 as of 57`,
	}; !slices.Equal(after, want) {
		t.Errorf("after both cuts: %s", cmp.Diff(want, after))
	}
	states[shown(after)] = true
	j.Close()

	for dieAt := 1; ; dieAt++ {
		survived := false
		for _, done := range []bool{true, false} {
			memory := &journal.Memory{}
			story(t, memory)
			s := &frailStore{Memory: memory}
			j := openStore(t, s)
			s.step, s.dieAt, s.done = 0, dieAt, done
			err := cut(t.Context(), j)
			survived = err == nil
			j.Close()
			if survived {
				break
			}
			report, err := journal.Verify(t.Context(), memory)
			if err != nil || !report.Sound() {
				t.Fatalf("death at step %d (done: %t) leaves: %v, %v", dieAt, done, report, err)
			}
			j = openStore(t, memory)
			if left := view(t, j); !states[shown(left)] {
				t.Errorf("death at step %d (done: %t) leaves something else: %s", dieAt, done, left)
			}
			if err := cut(t.Context(), j); err != nil {
				t.Fatalf("cut after a death at step %d: %v", dieAt, err)
			}
			for range 2 {
				if diff := cmp.Diff(after, view(t, j)); diff != "" {
					t.Errorf("death at step %d (done: %t), then cut again: %s", dieAt, done, diff)
				}
				j.Close()
				j = openStore(t, memory)
			}
			j.Close()
		}
		if survived {
			if dieAt < 10 {
				t.Errorf("only %d steps", dieAt)
			}
			break
		}
	}
}

// TestKeptIsWrittenOnce keeps a record over many cuts: it is written again only
// where its copy is given up, so that what is kept costs its size once for each
// time that the whole log is renewed.
func TestKeptIsWrittenOnce(t *testing.T) {
	m := &journal.Memory{}
	j := openStore(t, m)
	defer j.Close()
	add := func(kind string) {
		t.Helper()
		if _, err := j.Append(t.Context(), journal.Record{Kind: kind, Key: "k", Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	add("champion")
	for range 40 {
		for range 8 {
			add("event")
		}
		if j.Last() > 100 {
			if err := j.Cut(t.Context(), j.Last()-100, []byte("{}"), []uint64{1}); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := j.Find(t.Context(), "champion", "k"); err != nil || r.Seq != 1 {
			t.Fatalf("the champion is gone at record %d: %v", j.Last(), err)
		}
	}
	copies := 0
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == journal.KindKept {
			copies++
		}
	}
	if copies != 1 {
		t.Errorf("%d copies of the kept record in the last 100 records, want 1", copies)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(uint64(1), "event", "k", []byte(`{"a": "<é>"}`))
	f.Add(uint64(2), "profile", "", []byte{0, 1, 0xff})
	f.Add(uint64(3), "x", "y", []byte("null"))
	f.Add(uint64(4), "x", "y", []byte(" 1"))
	f.Add(uint64(5), "x", "y", []byte("{\n}"))
	f.Add(uint64(6), "x", "y", []byte(""))
	f.Fuzz(func(t *testing.T, seq uint64, kind, key string, data []byte) {
		want := journal.Record{Seq: seq, Kind: kind, Key: key, Data: data}
		text, err := journal.AppendLine(nil, want)
		if err != nil {
			return
		}
		if slices.Contains(text, '\n') {
			t.Fatalf("more than one line: %q", text)
		}
		got, err := journal.ParseLine(text)
		if seq == 0 || len(kind) < 1 || len(kind) > 32 || len(key) > 255 {
			if err == nil {
				t.Errorf("%s is a record", text)
			}
			return
		}
		if err != nil || got.Seq != seq || got.Kind != kind || got.Key != key || string(got.Data) != string(data) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	})
}
