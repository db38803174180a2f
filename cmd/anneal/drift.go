package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	reports "github.com/anneal-ml/anneal/drift/report"
	"github.com/anneal-ml/anneal/drift/statistics"
	"github.com/anneal-ml/anneal/objects"
)

func newDrift() *cobra.Command {
	c := &cobra.Command{Use: "drift", Short: "Measure drift without a daemon"}
	c.AddCommand(newDriftCompare(), newDriftProfile(), newDriftDetect(), newDriftScore(), newDriftEval())
	return c
}

func newDriftCompare() *cobra.Command {
	var reference, current, target, tests, correction, rules, season, importance, page string
	var ignore, keys []string
	var exact, duplicates, joint bool
	var out output
	c := &cobra.Command{
		Use:   "compare --reference A --current B",
		Short: "Compare two sets of files, column by column",
		Long: `Compare current data with a reference, column by column, as the signal of a policy
does. A and B are files, folders or globs of CSV, JSON Lines or Parquet files, by
extension, as is gzip or zstd; or s3://bucket/… of the same kinds, in the region and
with the credentials of every AWS SDK; or http(s):// files; or what
` + "`anneal drift profile`" + ` kept of them. Exit status 1 if the data have drifted.

--tests chooses what counts, with a threshold where the default is not wanted:
` + "`--tests ks,psi=0.2`" + `. A test finds drift where the change is large enough to matter and
too large for chance, corrected over the columns.

Where A has the column --target, a model of gradient boosting is fitted on A. Where B
has it too, the model is measured on B: what that says of the relation of columns and
target is the verdict, since columns that move may do no harm. Where B has it not, and
the target is a class, columns that move without changing what is predicted are no
drift. --rules judges as other tools do.

Where both have a column of times, and A spans a year, a week or a day of which B is a
part, B is compared with the same part of A if that is nearer than all of it: July with
July. --season chooses that.

--importance FILE says what columns are worth to your model, as JSON: {"price": 0.6,
"hour": 0.4}, on any scale. Columns count by that, and one that is not named counts
nothing.

--joint looks at all columns together, for changes that no column shows: how well a
classifier tells rows of B from rows of A, which counts for the verdict, and beside it
what principal components of A lose of B, and the maximum mean discrepancy.

--duplicates says how many rows of B are there already, --key how many values of a
column that should not repeat.`,
		Example: "  anneal drift compare --reference january.csv --current 'february/*.csv' --target price",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			if reference == "" || current == "" {
				return usage(errors.New("compare needs --reference and --current"))
			}
			opt := drift.Options{Target: target, Ignore: ignore, Correction: statistics.Correction(correction), Parts: page != ""}
			if opt.Tests, err = drift.ParseTests(tests); err != nil {
				return usage(fmt.Errorf("--tests: %w", err))
			}
			if opt.Rules, err = drift.ParseRules(rules); err != nil {
				return usage(fmt.Errorf("--rules: %w", err))
			}
			if opt.Season, err = drift.ParseSeason(season); err != nil {
				return usage(fmt.Errorf("--season: %w", err))
			}
			if importance != "" {
				if opt.Importance, err = readImportance(importance); err != nil {
					return usage(fmt.Errorf("--importance: %w", err))
				}
			}
			if err := opt.Validate(); err != nil {
				return usage(err)
			}
			if !slices.Contains(statistics.Corrections(), opt.Correction) {
				return usage(fmt.Errorf("--correction %q: want one of %q", correction, statistics.Corrections()))
			}
			keepSmall()
			ref, err := profileAll(cmd.Context(), reference, nil)
			if err != nil {
				return usage(err)
			}
			var uniques []profile.Unique
			if duplicates {
				uniques = append(uniques, profile.Unique{Ignore: ignore})
			}
			for _, key := range keys {
				uniques = append(uniques, profile.Unique{Column: key})
			}
			done := keepWithin(len(ref.Columns))
			cur, err := profileAll(cmd.Context(), current, ref.Schema(), uniques...)
			done()
			keepSmall() // as there is more to keep now
			if err != nil {
				return usage(err)
			}
			alone, err := askRules(cmd.Context(), &opt, reference, current, ref, cur)
			if err != nil {
				return usage(err)
			}
			if joint {
				if opt.Joint, err = compareRows(cmd.Context(), reference, current, ref, opt); err != nil {
					return usage(fmt.Errorf("--joint: %w", err))
				}
			}
			comparison := drift.Compare(ref, cur, opt)
			rereads := exact || !cmd.Flags().Changed("exact")
			if open := drift.Undecided(comparison, ref, cur, opt, exact); rereads && len(open) > 0 {
				of, phase := comparison.Against(ref)
				again := drift.NewAgain(of, cur, opt, open, exact)
				if phase != nil {
					column, _, _ := drift.TimeOf(ref, cur)
					again.Within(column, *phase)
				}
				if opt.Exact, err = readAgain(cmd.Context(), reference, current, ref.Schema(), again); err != nil {
					return usage(err)
				}
				comparison = drift.Compare(ref, cur, opt)
				for _, name := range open {
					if _, ok := opt.Exact[name]; !ok {
						comparison.NotReadAgain = append(comparison.NotReadAgain, name)
					}
				}
			}
			comparison.ColumnsAlone = alone
			if comparison.Drifted > 0 {
				if err := date(cmd.Context(), &comparison, current, ref, opt); err != nil {
					return usage(err)
				}
			}
			if page != "" {
				if err := writePage(page, driftReport{comparison, reference, current, target, opt.Rules}); err != nil {
					return err
				}
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), comparison)
			} else {
				err = writeComparison(cmd, comparison)
			}
			if err == nil && comparison.Verdict == drift.Drift {
				err = &exit{status: exitNo}
			}
			return err
		},
	}
	out.flags(c)
	c.Flags().StringVar(&reference, "reference", "", "file, folder, glob or URI")
	c.Flags().StringVar(&current, "current", "", "file, folder, glob or URI")
	c.Flags().StringVar(&target, "target", "", "column that a model predicts; not counted in the share")
	c.Flags().StringVar(&tests, "tests", "", "tests that count, of "+strings.Join(drift.TestNames(), ", ")+" (default: as a policy's signal)")
	c.Flags().StringVar(&page, "html", "", "write a page with charts to this file too")
	c.Flags().BoolVar(&exact, "exact", false, "read columns again for which sketches stand; =false: none (default: where they leave the verdict open)")
	c.Flags().StringVar(&rules, "rules", string(drift.AnnealRules), "how columns and data sets are judged: anneal, evidently or nannyml")
	c.Flags().StringVar(&season, "season", string(drift.AnySeason), "compare with the same season of the reference: year, week, day, none, or auto: the nearest, if it is nearer than the whole")
	c.Flags().StringVar(&importance, "importance", "", "file that says what columns are worth to the model: a JSON object of numbers")
	c.Flags().StringVar(&correction, "correction", string(statistics.BenjaminiHochberg), "over the columns: fdr_bh, fdr_by, holm, bonferroni or none")
	c.Flags().StringSliceVar(&ignore, "ignore", nil, "columns not to compare")
	c.Flags().BoolVar(&joint, "joint", false, "look at all columns together, too")
	c.Flags().BoolVar(&duplicates, "duplicates", false, "count the rows of B that are there already, without columns of --ignore")
	c.Flags().StringSliceVar(&keys, "key", nil, "columns of B whose values should not repeat, to count those that do")
	return c
}

// profileAll reads all files that a name stands for, and counts what repeats in them
// where that is asked. Files in which a column is of another type than in all of them
// together are read again, as what it is in all.
func profileAll(ctx context.Context, name string, found map[string]dataset.Type, uniques ...profile.Unique) (*profile.Profile, error) {
	store, list, err := inputs(ctx, name)
	if err != nil {
		return nil, err
	}
	// Of any number of files that are read alike, one profile is kept.
	var parts []*profile.Profile
	var files [][]objects.Info // of each part
	for _, info := range list {
		p, err := profileOf(ctx, store, info, found, uniques...)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(parts, func(part *profile.Profile) bool { return part.Alike(p) })
		if at < 0 {
			parts, files = append(parts, p), append(files, []objects.Info{info})
			continue
		}
		parts[at], files[at] = profile.Merge(parts[at], p), append(files[at], info)
	}
	types := profile.Types(parts...)
	for i, part := range parts {
		if part.Of(types) {
			continue
		}
		var again *profile.Profile
		for _, info := range files[i] {
			p, err := profileOf(ctx, store, info, types, uniques...)
			if err != nil {
				return nil, err
			}
			if again == nil {
				again = p
				continue
			}
			again = profile.Merge(again, p)
		}
		again.Replaces(part)
		parts[i] = again
	}
	all := parts[0]
	if len(parts) > 1 {
		all = profile.Merge(parts...)
	}
	for _, u := range uniques {
		if u.Column != "" && all.Column(u.Column) == nil {
			return nil, fmt.Errorf("--key: %s has no column %q", name, u.Column)
		}
	}
	return all, nil
}

// readProfile reads a version of an object once, and counts what repeats in it where
// that is asked.
func readProfile(ctx context.Context, store *objects.Store, o anneal.Object, opt dataset.Options, uniques ...profile.Unique) (*profile.Profile, error) {
	r, _, err := store.OpenVersion(ctx, o.URI, versionOf(o))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if len(uniques) > 0 {
		return profile.BuildRows(ctx, r, objects.Name(o.URI), opt, uniques)
	}
	return profile.Build(ctx, r, objects.Name(o.URI), opt)
}

// readOutcomes takes predictions or labels from an object.
func readOutcomes(ctx context.Context, store *objects.Store, o anneal.Object, form outcome.Form) (*outcome.Batch, error) {
	r, _, err := store.OpenVersion(ctx, o.URI, versionOf(o))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return outcome.Read(ctx, r, objects.Name(o.URI), form, dataset.Options{})
}

// readReport reads what another tool has measured.
func readReport(ctx context.Context, store *objects.Store, o anneal.Object, form reports.Form) (*reports.Report, error) {
	r, _, err := store.OpenVersion(ctx, o.URI, versionOf(o))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return reports.Read(ctx, r, objects.Name(o.URI), form)
}

func writeComparison(cmd *cobra.Command, c drift.Comparison) error {
	w := cmd.OutOrStdout()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	important := c.Importance != nil
	fmt.Fprintln(t, "COLUMN\tTYPE\tVERDICT\t"+map[bool]string{true: "IMPORTANCE\t"}[important]+"TESTS\tEFFECT")
	for _, column := range c.Columns {
		tests := ""
		for _, test := range column.Tests {
			tests += test.Test + " " + strconv.FormatFloat(test.Statistic, 'g', 3, 64) + "  "
		}
		worth := ""
		if important {
			worth = column.Worth() + "\t"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s%s\t%s\n", printable(column.Name), column.Type, column.Verdict, worth, tests, printable(column.Effect))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if c.Drifted > 0 {
		writeMoves(w, c.Mattering())
	}
	for _, column := range c.Columns {
		for _, not := range column.NotMeasured {
			fmt.Fprintf(w, "note: %s: not measured: %s needs %s\n", printable(column.Name), not.Test, not.Why)
		}
	}
	for _, fact := range c.Facts {
		where := ""
		if fact.Column != "" {
			where = printable(fact.Column) + ": "
		}
		fmt.Fprintf(w, "note: %s%s\n", where, printable(fact.Text))
	}
	if len(c.NotReadAgain) > 0 {
		fmt.Fprintf(w, "note: not read again, as the data are only there as a profile or have changed meanwhile: %s\n", printable(strings.Join(c.NotReadAgain, ", ")))
	}
	writeImportance(w, c.Importance)
	writeJoint(w, c.Joint)
	if err := writeWitness(w, c); err != nil {
		return err
	}
	if why := c.Harmless(); why != "" {
		fmt.Fprintln(w, "note: columns have moved, and "+why)
	}
	if s := c.Season; s != nil {
		fmt.Fprintf(w, "note: compared with the same season of the reference, %s (%s): %d of its %d rows; %s drifted from all of it\n", s.Part, s.Season, c.ReferenceRows, s.Of, plural(s.Drifted, "column", "columns"))
	}
	if c.NoSeason != "" {
		fmt.Fprintf(w, "note: compared with no season of the reference: %s\n", printable(c.NoSeason))
	}
	weighed := c.Weighed()
	if weighed != "" {
		weighed = ", " + weighed
	}
	_, err := fmt.Fprintf(w, "%s: %d of %d columns drifted%s (%d rows against %d)\n", c.Verdict, c.Drifted, c.Tested, weighed, c.CurrentRows, c.ReferenceRows)
	return err
}

func newDriftEval() *cobra.Command {
	return &cobra.Command{
		Use:   "eval",
		Short: "Compute statistics: JSON Lines in, JSON Lines out",
		Long: `Read lines {"suite": NAME, "args": {…}, "inputs": {…}} and answer each with a line: an
object of results. A line that cannot be computed is answered with {"error": …}.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := drift.EvalLines(cmd.InOrStdin(), cmd.OutOrStdout()); err != nil {
				return usage(err)
			}
			return nil
		},
	}
}
