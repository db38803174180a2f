package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
)

func newJournal() *cobra.Command {
	c := &cobra.Command{
		Use:   "journal",
		Short: "Verify, salvage, export and import the journal",
		Long: `The journal is the one record of everything: under DATA/journal, where DATA is data in
the settings. No command here changes a journal that has records.`,
	}
	c.AddCommand(newJournalVerify(), newJournalSalvage(), newJournalExport(), newJournalImport())
	return c
}

func newJournalVerify() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "verify DATA",
		Short: "Check every bit of the journal in a data folder",
		Long: `Read the whole journal and check every hash, the chain and the mark. Nothing is
changed; it may run beside the daemon. Exit status 1 if the journal is unsound.`,
		Example: "  anneal journal verify ./anneal-data",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			report, err := file.Verify(cmd.Context(), filepath.Join(args[0], journalFolder))
			if err != nil {
				return journalError(err)
			}
			return told(cmd, report, report.Sound(), asJSON)
		},
	}
	out.flags(c)
	return c
}

func newJournalSalvage() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "salvage DATA NEW",
		Short: "Copy every intact record to a new data folder",
		Long: `Copy every intact record of the journal in the data folder DATA to the data folder NEW,
which must not have a journal, and report what could not be read. DATA is not changed:
keep it until you are content with NEW, and move its other folders over.

Exit status 0 if every record was saved, also where only the mark beside the log is
damaged or gone; 1 if anything was lost.`,
		Example: "  anneal journal salvage ./anneal-data ./anneal-data-2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			to := filepath.Join(args[1], journalFolder)
			report, err := file.Salvage(cmd.Context(), filepath.Join(args[0], journalFolder), to)
			if err != nil {
				return copyError(err, to)
			}
			return told(cmd, report, report.Whole(), asJSON)
		},
	}
	out.flags(c)
	return c
}

func newJournalExport() *cobra.Command {
	var from, to uint64
	var kinds []string
	c := &cobra.Command{
		Use:   "export DATA",
		Short: "Write the journal's records as JSON Lines",
		Long: `Write every record of the journal in the data folder DATA to standard output, a line a
record, in order. Nothing is changed; it may run beside the daemon.

    {"seq":7,"kind":"event","key":"…","data":{…}}

seq is the record's number, kind what it holds, key the ID it is found by (left out
where there is none), data what was recorded, to the byte. Data that is no JSON is under
"base64" instead. Where old records were given up there is a record "checkpoint" with
what they came to, and records "kept" with those of them that are still in use.

Without --from, --to and --kind, ` + "`anneal journal import`" + ` makes the same journal of it.`,
		Example: "  anneal journal export ./anneal-data > journal.jsonl\n  anneal journal export ./anneal-data --kind decision --from 1000",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := openJournal(cmd.Context(), args[0], journal.Options{ReadOnly: true})
			if err != nil {
				return err
			}
			defer j.Close()
			return export(cmd, j, from, to, kinds)
		},
	}
	c.Flags().Uint64Var(&from, "from", 0, "the first record, by number")
	c.Flags().Uint64Var(&to, "to", 0, "the last record, by number; 0: the last there is")
	c.Flags().StringSliceVar(&kinds, "kind", nil, "only records of these kinds, such as event,decision")
	return c
}

func export(cmd *cobra.Command, j *journal.Journal, from, to uint64, kinds []string) error {
	w := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<20)
	var text []byte
	n, first, last := 0, uint64(0), uint64(0)
	for r, err := range j.Read(cmd.Context(), from, false) {
		if err != nil {
			return broken(err)
		}
		if to > 0 && r.Seq > to {
			break
		}
		if len(kinds) > 0 && !slices.Contains(kinds, r.Kind) {
			continue
		}
		if text, err = journal.AppendLine(text[:0], r); err != nil {
			return broken(err)
		}
		if _, err := w.Write(append(text, '\n')); err != nil {
			return broken(fmt.Errorf("write the export: %w", err))
		}
		if n++; n == 1 {
			first = r.Seq
		}
		last = r.Seq
	}
	if err := w.Flush(); err != nil {
		return broken(fmt.Errorf("write the export: %w", err))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "exported %s\n", records(n, first, last))
	return nil
}

func newJournalImport() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "import DATA [FILE]",
		Short: "Make a journal of an export",
		Long: `Make the journal of the data folder DATA, which must not have one, of what
` + "`anneal journal export`" + ` wrote: FILE, or standard input. Records keep their numbers, and
the new journal is verified. Compare the count that both commands print.

Exit status 2 if a line is no record or the folder has a journal with records.`,
		Example: "  anneal journal import ./new-data journal.jsonl",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			in, name := cmd.InOrStdin(), "standard input"
			if len(args) == 2 && args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return usage(err)
				}
				defer f.Close()
				in, name = f, args[1]
			}
			to := filepath.Join(args[0], journalFolder)
			if err := importAll(cmd.Context(), to, in, name); err != nil {
				return err
			}
			report, err := file.Verify(cmd.Context(), to)
			if err != nil {
				return journalError(err)
			}
			if !asJSON {
				fmt.Fprintf(cmd.OutOrStdout(), "imported %s\n", records(report.Records, report.First, report.Last))
			}
			return told(cmd, report, report.Sound(), asJSON)
		},
	}
	out.flags(c)
	return c
}

// A lineError is of a line of an export that is no record.
type lineError struct {
	file string
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// importAll makes the journal in a folder of the lines of an export.
func importAll(ctx context.Context, to string, in io.Reader, name string) error {
	n, err := file.Import(ctx, to, recordsIn(in, name))
	var bad *lineError
	switch {
	case err == nil && n == 0:
		return usage(fmt.Errorf("%s has no records", name))
	case errors.As(err, &bad):
		return usage(fmt.Errorf("%w; what was imported before it is in %s: remove that", bad, to))
	case err != nil:
		return copyError(err, to)
	}
	return nil
}

// recordsIn are the records of an export.
func recordsIn(in io.Reader, name string) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		r := bufio.NewReaderSize(in, 1<<20)
		last := uint64(0)
		for n := 1; ; n++ {
			text, err := r.ReadBytes('\n')
			if err == io.EOF && len(text) == 0 {
				return
			}
			fail := func(err error) { yield(journal.Record{}, &lineError{name, n, err}) }
			if err == io.EOF {
				fail(errors.New("the line has no end: the export was cut"))
				return
			}
			if err != nil {
				fail(err)
				return
			}
			record, err := journal.ParseLine(text)
			if err != nil {
				fail(fmt.Errorf("no record: %w", err))
				return
			}
			if record.Seq <= last {
				fail(fmt.Errorf("record %d comes after record %d: want ascending numbers", record.Seq, last))
				return
			}
			last = record.Seq
			if !yield(record, nil) {
				return
			}
		}
	}
}

// records counts what went from one journal to another.
func records(n int, first, last uint64) string {
	if n == 0 {
		return "no records"
	}
	return fmt.Sprintf("%s, numbers %d to %d", count(n, "record"), first, last)
}

// A damage is a damaged place as JSON tells of it.
type damage struct {
	Problem string `json:"problem"`
	File    string `json:"file,omitempty"`
	Offset  int64  `json:"offset"`
	Frame   uint64 `json:"frame"`
	Detail  string `json:"detail"`
}

func damageOf(d *journal.DamageError) *damage {
	if d == nil {
		return nil
	}
	return &damage{string(d.Problem), d.File, d.Offset, d.Frame, d.Detail}
}

// told prints a report; good is the answer that status 0 stands for.
func told(cmd *cobra.Command, report journal.Report, good, asJSON bool) error {
	if asJSON {
		type lost struct {
			First uint64 `json:"first"`
			Last  uint64 `json:"last"`
		}
		answer := struct {
			Sound   bool      `json:"sound"`
			Whole   bool      `json:"whole"` // every record is intact
			Records int       `json:"records"`
			Frames  int       `json:"frames"`
			Bytes   int64     `json:"bytes"`
			First   uint64    `json:"first"`
			Last    uint64    `json:"last"`
			Damage  []*damage `json:"damage"`
			Lost    []lost    `json:"lost"`
			Torn    *damage   `json:"torn,omitempty"` // a write that was never acknowledged
		}{
			report.Sound(), report.Whole(), report.Records, report.Frames, report.Bytes, report.First, report.Last,
			[]*damage{}, []lost{}, damageOf(report.Torn),
		}
		for _, d := range report.Damage {
			answer.Damage = append(answer.Damage, damageOf(d))
		}
		for _, l := range report.Lost {
			answer.Lost = append(answer.Lost, lost(l))
		}
		if err := writeJSON(cmd.OutOrStdout(), answer); err != nil {
			return broken(err)
		}
	} else {
		fmt.Fprint(cmd.OutOrStdout(), report)
	}
	if !good {
		return &exit{status: exitNo}
	}
	return nil
}

// copyError is of a copy to a new journal.
func copyError(err error, to string) error {
	switch {
	case errors.Is(err, journal.ErrNotEmpty):
		return usage(fmt.Errorf("%s: %w", to, err))
	case errors.Is(err, journal.ErrFull):
		return broken(fmt.Errorf("%w; what was copied before is in %s: remove that", err, to))
	}
	return journalError(err)
}

func journalError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return usage(err)
	}
	return broken(err)
}
