package journal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
)

// all are the records of a journal, or of its kept ones and the rest.
func all(t *testing.T, j *journal.Journal) (records []journal.Record) {
	t.Helper()
	for r, err := range j.Read(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func TestImport(t *testing.T) {
	src := &journal.Memory{}
	story(t, src)
	j := openStore(t, src)
	defer j.Close()
	large := journal.Record{Kind: "profile", Key: "large", Data: []byte(strings.Repeat("\x01", 1<<20))}
	if _, err := j.Append(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	if err := j.Cut(t.Context(), 31, []byte(`{"n":30}`), []uint64{7, 18}); err != nil {
		t.Fatal(err)
	}
	dst := &journal.Memory{}
	n, err := journal.Import(t.Context(), dst, j.Read(t.Context(), 0, false))
	if err != nil {
		t.Fatal(err)
	}
	if want := int(j.Last() - j.First() + 1); n != want {
		t.Errorf("%d records imported, want %d", n, want)
	}
	copied := openStore(t, dst)
	defer copied.Close()
	if diff := cmp.Diff(all(t, j), all(t, copied), cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("the copy is another: %s", diff)
	}
	if diff := cmp.Diff(view(t, j), view(t, copied)); diff != "" {
		t.Errorf("the copy is seen as another: %s", diff)
	}
	if _, err := copied.Append(t.Context(), large); err != nil {
		t.Errorf("append to the copy: %v", err)
	}
	copied.Close()
	if _, err := journal.Import(t.Context(), dst, j.Read(t.Context(), 0, false)); !errors.Is(err, journal.ErrNotEmpty) {
		t.Errorf("import to a journal with records: %v, want ErrNotEmpty", err)
	}
}

func TestImportRefuses(t *testing.T) {
	of := func(records ...journal.Record) iter.Seq2[journal.Record, error] {
		return func(yield func(journal.Record, error) bool) {
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	torn := func(yield func(journal.Record, error) bool) {
		_ = yield(journal.Record{Seq: 1, Kind: "event"}, nil) && yield(journal.Record{}, io.ErrUnexpectedEOF)
	}
	for _, c := range []struct {
		name    string
		records iter.Seq2[journal.Record, error]
		want    string
	}{
		{"a number twice", of(journal.Record{Seq: 4, Kind: "event"}, journal.Record{Seq: 4, Kind: "event"}), "record 4 comes after record 4: want ascending numbers"},
		{"backwards", of(journal.Record{Seq: 4, Kind: "event"}, journal.Record{Seq: 3, Kind: "event"}), "record 3 comes after record 4"},
		{"no kind", of(journal.Record{Seq: 1}), `kind "" has 0 bytes`},
		{"a torn file", torn, "unexpected EOF"},
	} {
		_, err := journal.Import(t.Context(), &journal.Memory{}, c.records)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want … %s …", c.name, err, c.want)
		}
	}
}

// TestSalvageOfACutJournal damages a journal that was cut: the checkpoint is
// all that is left of what came before it.
func TestSalvageOfACutJournal(t *testing.T) {
	src := &journal.Memory{}
	story(t, src)
	j := openStore(t, src)
	if err := j.Cut(t.Context(), 31, []byte(`{"n":30}`), []uint64{7, 18}); err != nil {
		t.Fatal(err)
	}
	want := view(t, j)
	j.Close()
	whole := &journal.Memory{}
	report, err := journal.Salvage(t.Context(), unmarked{src}, whole)
	if err != nil || report.Sound() || !report.Whole() {
		t.Errorf("salvage without the mark: %v, %v, want all of it", report, err)
	}
	copied := openStore(t, whole)
	if diff := cmp.Diff(want, view(t, copied)); diff != "" {
		t.Errorf("the copy is seen as another: %s", diff)
	}
	copied.Close()

	frames := 0
	for range src.Read(t.Context(), 0, false) {
		frames++
	}
	for _, c := range []struct {
		frame int // from the end
		lost  []journal.Range
	}{
		{1, []journal.Range{{First: 1, Last: 30}, {First: 63, Last: 63}}}, // the checkpoint
		{2, []journal.Range{{First: 61, Last: 62}}},                       // what it keeps
		{20, []journal.Range{{First: 43, Last: 43}}},
	} {
		damaged := &journal.Memory{}
		report, err := journal.Salvage(t.Context(), flipped{src, frames - c.frame}, damaged)
		if err != nil || report.Whole() || !slices.Equal(report.Lost, c.lost) {
			t.Errorf("frame %d from the end is damaged: %v, %v, want %v lost", c.frame, report, err, c.lost)
		}
	}
	report, err = journal.Salvage(t.Context(), unmarked{flipped{src, frames - 1}}, &journal.Memory{})
	if err != nil || report.Whole() {
		t.Errorf("neither mark nor checkpoint: %v, %v, want a loss", report, err)
	}
}

// An unmarked store has lost its mark.
type unmarked struct{ journal.Store }

func (unmarked) Mark(ctx context.Context) (journal.Mark, error) { return journal.Mark{}, nil }

// A flipped store has a flipped bit in one of its frames.
type flipped struct {
	journal.Store
	at int
}

func (s flipped) Read(ctx context.Context, from uint64, follow bool) iter.Seq2[journal.Frame, error] {
	return func(yield func(journal.Frame, error) bool) {
		n := 0
		for f, err := range s.Store.Read(ctx, from, follow) {
			if n == s.at {
				f.Data = slices.Clone(f.Data)
				f.Data[len(f.Data)/2] ^= 1
			}
			if n++; !yield(f, err) {
				return
			}
		}
	}
}
