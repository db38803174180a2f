package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/objects"
)

// rowsOf reads the named columns of one file, batch by batch.
func rowsOf(ctx context.Context, name string, types map[string]dataset.Type, each func(rows int, columns map[string]*dataset.Values) error) error {
	store, err := anyObjects()
	if err != nil {
		return err
	}
	r, _, err := store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	d, err := dataset.Open(r, objects.Name(name), dataset.Options{Columns: types})
	if err != nil {
		return err
	}
	at := map[string]int{}
	for _, column := range sortedKeys(types) {
		i := slices.Index(d.Names(), column)
		if i < 0 {
			return fmt.Errorf("%s has no column %q (have %s)", name, column, strings.Join(d.Names(), ", "))
		}
		at[column] = i
	}
	for {
		b, err := d.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		columns := map[string]*dataset.Values{}
		for column, i := range at {
			columns[column] = &b.Columns[i]
		}
		if err := each(b.Rows, columns); err != nil {
			return err
		}
	}
}

// detected is what a detector found in a column.
type detected struct {
	Detector string `json:"detector"`
	Column   string `json:"column"`
	N        int    `json:"n"`        // values
	Skipped  int    `json:"skipped"`  // rows without a finite number
	Drift    []int  `json:"drift"`    // values that brought drift, from 0
	Warnings []int  `json:"warnings"` // values that began a warning
}

func newDriftDetect() *cobra.Command {
	var name, column string
	var out output
	c := &cobra.Command{
		Use:   "detect --detector NAME --column C FILE",
		Short: "Find where a column of numbers changes, value by value",
		Long: `Follow a column of numbers, such as the errors of a model in the order they were
made, with a stream detector, and tell at which values it finds drift. Values count
from 0; rows without a finite number are skipped. Exit status 1 if it finds any.`,
		Example: "  anneal drift detect --detector adwin --column error errors.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			detector, err := drift.NewDetector(name)
			if err != nil {
				return usage(fmt.Errorf("--detector: %w", err))
			}
			if column == "" {
				return usage(errors.New("detect needs --column, the numbers to follow"))
			}
			found := detected{Detector: name, Column: column, Drift: []int{}, Warnings: []int{}}
			warned := false
			err = rowsOf(cmd.Context(), args[0], map[string]dataset.Type{column: dataset.Numeric}, func(rows int, columns map[string]*dataset.Values) error {
				for _, x := range columns[column].Numbers {
					if x-x != 0 { // NaN or infinite
						found.Skipped++
						continue
					}
					drifted, warning := detector.Add(x)
					if drifted {
						found.Drift = append(found.Drift, found.N)
					}
					if warning && !warned {
						found.Warnings = append(found.Warnings, found.N)
					}
					warned = warning
					found.N++
				}
				return nil
			})
			if err != nil {
				return usage(err)
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), found)
			} else {
				err = writeDetected(cmd.OutOrStdout(), found)
			}
			if err == nil && len(found.Drift) > 0 {
				err = &exit{status: exitNo}
			}
			return err
		},
	}
	out.flags(c)
	c.Flags().StringVar(&name, "detector", "adwin", strings.Join(drift.Detectors(), ", "))
	c.Flags().StringVar(&column, "column", "", "the numbers to follow")
	return c
}

func writeDetected(w io.Writer, d detected) error {
	for _, i := range d.Drift {
		fmt.Fprintf(w, "drift at value %d\n", i)
	}
	text := ""
	if d.Skipped > 0 {
		text = fmt.Sprintf(", %d rows skipped", d.Skipped)
	}
	_, err := fmt.Fprintf(w, "%s: %d changes and %d warnings in %d values of %s%s\n", d.Detector, len(d.Drift), len(d.Warnings), d.N, printable(d.Column), text)
	return err
}
