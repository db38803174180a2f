package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/performance"
)

func newDriftScore() *cobra.Command {
	var s scoring
	var out output
	c := &cobra.Command{
		Use:   "score --task binary|multiclass|regression|ranking --label Y [--score P] [--prediction D] [--group Q] FILE",
		Short: "Measure predictions against labels",
		Long: `Measure the predictions of a file against the labels beside them, as scikit-learn does.

  binary      --score, the probability of the class --positive; --prediction is the
              decision, and a score of 0.5 or more if it is not there
  multiclass  --prediction, the class
  regression  --prediction, the number
  ranking     --score orders the lists that --group tells apart, all rows are one without;
              the label is the relevance, 0 or more, and the first --k of each list count.
              precision_at_k is the share of relevant ones, above 0, among them. Rows of
              one score share their places. ndcg has no value for a list in which nothing
              is relevant, and is the mean of the groups that have one

Rows that lack one of these are left out, and counted. interval has the 95 % intervals
of the metrics that have one.`,
		Example: "  anneal drift score --task binary --label y --score p predictions.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			s.only = cmd.Flags().Changed("k")
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
						if i, ok := v[part].([2]float64); ok {
							fmt.Fprintf(t, "%s.%s\t%.6g to %.6g\n", name, part, i[0], i[1])
							continue
						}
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
	c.Flags().StringVar(&s.task, "task", "", "binary, multiclass, regression or ranking")
	c.Flags().StringVar(&s.label, "label", "", "column of what came true")
	c.Flags().StringVar(&s.score, "score", "", "column of the probability, or of what orders a list")
	c.Flags().StringVar(&s.prediction, "prediction", "", "column of what was predicted")
	c.Flags().StringVar(&s.positive, "positive", "1", "the class that a probability is of")
	c.Flags().StringVar(&s.group, "group", "", "column that says which list a row is of")
	c.Flags().IntVar(&s.k, "k", 10, "rows of a list that count; 0: all")
	return c
}

// A scoring gathers labels and predictions.
type scoring struct {
	task, label, score, prediction, positive, group string
	k                                               int  // rows of a list that count; 0: all
	only                                            bool // k was given

	y, scores, numbers []float64
	classes, decided   []string
	lists              []*ranked
	place              map[string]int // of a group in lists
	n, skipped         int
}

func (s *scoring) check() error {
	need := func(flag, value string) error {
		if value == "" {
			return fmt.Errorf("the task %s needs --%s", s.task, flag)
		}
		return nil
	}
	switch {
	case s.k < 0:
		return fmt.Errorf("--k %d: want how many rows of a list count, or 0 for all", s.k)
	case s.group != "" && s.task != "ranking":
		return errors.New("--group is for the task ranking")
	case s.only && s.task != "ranking":
		return errors.New("--k is for the task ranking: of others all rows count")
	}
	switch s.task {
	case "binary", "ranking":
		return errors.Join(need("label", s.label), need("score", s.score))
	case "multiclass", "regression":
		return errors.Join(need("label", s.label), need("prediction", s.prediction))
	case "":
		return errors.New("score needs --task: binary, multiclass, regression or ranking")
	}
	return fmt.Errorf("--task %q: want binary, multiclass, regression or ranking", s.task)
}

// types are those that the columns are read as.
func (s *scoring) types() map[string]dataset.Type {
	if s.task == "ranking" {
		return s.rankedTypes()
	}
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
	if s.task == "ranking" {
		return s.rank(rows, columns)
	}
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
	if s.task == "ranking" {
		return s.measureLists(), nil
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
	results["interval"] = s.intervals()
	return results, nil
}

// intervals are of 95 %, by metric: of those that have one, as a policy's signals do.
func (s *scoring) intervals() map[string]any {
	all := map[string]any{}
	set := func(name string, i performance.Interval) {
		if i.Low-i.Low == 0 && i.High-i.High == 0 {
			all[name] = [2]float64{i.Low, i.High}
		}
	}
	mean := func(name string, loss func(i int) float64, of func([]float64) performance.Interval) {
		losses := make([]float64, s.n)
		for i := range losses {
			losses[i] = loss(i)
		}
		set(name, of(losses))
	}
	if s.task == "regression" {
		off := func(i int) float64 { return math.Abs(s.y[i] - s.numbers[i]) }
		mean("mae", off, performance.Mean)
		mean("mse", func(i int) float64 { return off(i) * off(i) }, performance.Mean)
		mean("rmse", func(i int) float64 { return off(i) * off(i) }, performance.RMSE)
		set("r2", performance.R2(s.y, s.numbers))
		return all
	}
	place, right := map[string]int{}, int64(0)
	labels, decided := s.classes, s.decided
	if s.task == "binary" {
		labels, decided = make([]string, s.n), make([]string, s.n)
		truths := make([]bool, s.n)
		place["0"], place["1"] = 0, 1 // F1 is of the last
		for i := range s.n {
			decision := s.scores[i] >= 0.5
			if s.numbers != nil {
				decision = s.numbers[i] == 1
			}
			truths[i], labels[i], decided[i] = s.y[i] == 1, fmt.Sprint(s.y[i]), fmt.Sprint(one(decision))
		}
		set("roc_auc", performance.AUC(truths, s.scores))
		set("average_precision", performance.AveragePrecision(truths, s.scores))
		mean("brier", func(i int) float64 { return (s.y[i] - s.scores[i]) * (s.y[i] - s.scores[i]) }, performance.Mean)
		mean("log_loss", func(i int) float64 { return performance.LogLoss(truths[i], s.scores[i]) }, performance.Mean)
	}
	for i := range s.n {
		for _, class := range []string{labels[i], decided[i]} {
			if _, ok := place[class]; !ok {
				place[class] = len(place)
			}
		}
		if labels[i] == decided[i] {
			right++
		}
	}
	set("accuracy", performance.Share(right, int64(s.n)))
	if len(place) > 256 {
		return all
	}
	matrix := make([][]float64, len(place)) // of labels, by decision
	for i := range matrix {
		matrix[i] = make([]float64, len(place))
	}
	for i := range s.n {
		matrix[place[labels[i]]][place[decided[i]]]++
	}
	if s.task == "multiclass" {
		set("macro_f1", performance.F1(matrix, performance.Macro))
		set("weighted_f1", performance.F1(matrix, performance.Weighted))
		return all
	}
	set("f1", performance.F1(matrix, performance.OneClass))
	set("balanced_accuracy", performance.BalancedAccuracy(matrix))
	if n := matrix[0][1] + matrix[1][1]; n > 0 {
		set("precision", performance.Share(int64(matrix[1][1]), int64(n)))
	}
	if n := matrix[1][0] + matrix[1][1]; n > 0 {
		set("recall", performance.Share(int64(matrix[1][1]), int64(n)))
	}
	return all
}
