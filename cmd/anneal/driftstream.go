package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

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

func newDriftScore() *cobra.Command {
	var task, label, score, prediction, positive string
	var out output
	c := &cobra.Command{
		Use:   "score --task binary|multiclass|regression --label Y [--score P] [--prediction D] FILE",
		Short: "Measure predictions against labels",
		Long: `Measure the predictions of a file against the labels beside them, as scikit-learn does.

  binary      --score, the probability of the class --positive; --prediction is the
              decision, and a score of 0.5 or more if it is not there
  multiclass  --prediction, the class
  regression  --prediction, the number

Rows that lack one of these are left out, and counted.`,
		Example: "  anneal drift score --task binary --label y --score p predictions.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			s := scoring{task: task, label: label, score: score, prediction: prediction, positive: positive}
			if err := s.check(); err != nil {
				return usage(err)
			}
			if err := rowsOf(cmd.Context(), args[0], s.types(), s.add); err != nil {
				return usage(err)
			}
			results, err := s.measure()
			if err != nil {
				return usage(fmt.Errorf("%s: %w", args[0], err))
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), results)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, name := range sortedKeys(results) {
				switch v := results[name].(type) {
				case float64:
					fmt.Fprintf(t, "%s\t%s\n", name, strconv.FormatFloat(v, 'g', 6, 64))
				case map[string]any:
					for _, part := range sortedKeys(v) {
						fmt.Fprintf(t, "%s.%s\t%v\n", name, part, v[part])
					}
				default:
					fmt.Fprintf(t, "%s\t%v\n", name, v)
				}
			}
			return t.Flush()
		},
	}
	out.flags(c)
	c.Flags().StringVar(&task, "task", "", "binary, multiclass or regression")
	c.Flags().StringVar(&label, "label", "", "column of what came true")
	c.Flags().StringVar(&score, "score", "", "column of the probability")
	c.Flags().StringVar(&prediction, "prediction", "", "column of what was predicted")
	c.Flags().StringVar(&positive, "positive", "1", "the class that a probability is of")
	return c
}

// A scoring gathers labels and predictions.
type scoring struct {
	task, label, score, prediction, positive string

	y, scores, numbers []float64
	classes, decided   []string
	n, skipped         int
}

func (s *scoring) check() error {
	need := func(flag, value string) error {
		if value == "" {
			return fmt.Errorf("the task %s needs --%s", s.task, flag)
		}
		return nil
	}
	switch s.task {
	case "binary":
		return errors.Join(need("label", s.label), need("score", s.score))
	case "multiclass", "regression":
		return errors.Join(need("label", s.label), need("prediction", s.prediction))
	case "":
		return errors.New("score needs --task: binary, multiclass or regression")
	}
	return fmt.Errorf("--task %q: want binary, multiclass or regression", s.task)
}

// types are those that the columns are read as.
func (s *scoring) types() map[string]dataset.Type {
	types, of := map[string]dataset.Type{}, dataset.Categorical
	if s.task == "regression" {
		of = dataset.Numeric
	}
	for _, column := range []string{s.label, s.prediction} {
		if column != "" {
			types[column] = of
		}
	}
	if s.task == "binary" {
		types[s.score] = dataset.Numeric
	}
	return types
}

func (s *scoring) add(rows int, columns map[string]*dataset.Values) error {
	for row := range rows {
		if s.task == "regression" {
			y, d := columns[s.label].Numbers[row], columns[s.prediction].Numbers[row]
			if y-y != 0 || d-d != 0 {
				s.skipped++
				continue
			}
			s.y, s.numbers = append(s.y, y), append(s.numbers, d)
			s.n++
			continue
		}
		label := columns[s.label].Text[row]
		var decision []byte
		usable := label != nil
		if s.prediction != "" {
			decision = columns[s.prediction].Text[row]
			usable = usable && decision != nil
		}
		score := 0.0
		if s.task == "binary" {
			score = columns[s.score].Numbers[row]
			usable = usable && score-score == 0
		}
		if !usable {
			s.skipped++
			continue
		}
		s.n++
		if s.task == "multiclass" {
			s.classes, s.decided = append(s.classes, string(label)), append(s.decided, string(decision))
			continue
		}
		s.y, s.scores = append(s.y, one(string(label) == s.positive)), append(s.scores, score)
		if s.prediction != "" {
			s.numbers = append(s.numbers, one(string(decision) == s.positive))
		}
	}
	return nil
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// measure names the metrics as `anneal drift eval` does.
func (s *scoring) measure() (map[string]any, error) {
	if s.n == 0 {
		return nil, fmt.Errorf("no row can be used: %d lack a label or a prediction", s.skipped)
	}
	suite, inputs := map[string]string{"binary": "classification_metrics", "multiclass": "multiclass_metrics", "regression": "regression_metrics"}[s.task], map[string]any{}
	switch s.task {
	case "binary":
		inputs["y"], inputs["score"] = s.y, s.scores
		if s.prediction != "" {
			inputs["pred"] = s.numbers
		}
	case "multiclass":
		inputs["y"], inputs["pred"] = s.classes, s.decided
	default:
		inputs["y"], inputs["pred"] = s.y, s.numbers
	}
	data, err := json.Marshal(inputs)
	if err != nil {
		return nil, err
	}
	results, err := drift.Eval(suite, nil, data)
	if err != nil {
		return nil, err
	}
	results["n"], results["skipped"] = s.n, s.skipped
	return results, nil
}
