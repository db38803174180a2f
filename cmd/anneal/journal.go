package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
)

func newJournal() *cobra.Command {
	c := &cobra.Command{
		Use:   "journal",
		Short: "Verify and salvage the journal",
		Long: `The journal is the one record of everything: under DATA/journal, where DATA is data in
the settings. Neither command changes it.`,
	}
	c.AddCommand(newJournalVerify(), newJournalSalvage())
	return c
}

func newJournalVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DATA",
		Short: "Check every bit of the journal in a data folder",
		Long: `Read the whole journal and check every hash, the chain and the mark. Nothing is
changed; it may run beside the daemon. Exit status 1 if the journal is unsound.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := file.Verify(cmd.Context(), filepath.Join(args[0], journalFolder))
			if err != nil {
				return journalError(err)
			}
			return told(cmd, report)
		},
	}
}

func newJournalSalvage() *cobra.Command {
	return &cobra.Command{
		Use:   "salvage DATA NEW",
		Short: "Copy every intact record to a new data folder",
		Long: `Copy every intact record of the journal in the data folder DATA to the data folder NEW,
which must not have a journal, and report what could not be read. DATA is not changed:
keep it until you are content with NEW. Exit status 1 if anything was lost.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := file.Salvage(cmd.Context(), filepath.Join(args[0], journalFolder), filepath.Join(args[1], journalFolder))
			if err != nil {
				return journalError(err)
			}
			return told(cmd, report)
		},
	}
}

func told(cmd *cobra.Command, report journal.Report) error {
	fmt.Fprint(cmd.OutOrStdout(), report)
	if !report.Sound() {
		return &exit{status: exitNo}
	}
	return nil
}

func journalError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return usage(err)
	}
	return broken(err)
}
