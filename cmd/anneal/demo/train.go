package demo

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/objects"
)

// Env is where a training job finds itself.
type Env struct {
	Root    string            // the contract's /opt/ml
	Buckets map[string]string // bucket to absolute folder, to read the champion from
	Log     io.Writer
}

// EnvFrom reads the environment: the root is $ANNEAL_ML_ROOT, or /opt/ml; the
// buckets are the JSON object $ANNEAL_BUCKETS, bucket to absolute folder.
func EnvFrom(getenv func(string) string, log io.Writer) (Env, error) {
	env := Env{Root: getenv("ANNEAL_ML_ROOT"), Log: log}
	if env.Root == "" {
		env.Root = "/opt/ml"
	}
	if text := getenv("ANNEAL_BUCKETS"); text != "" {
		if err := json.Unmarshal([]byte(text), &env.Buckets); err != nil {
			return env, fmt.Errorf("read ANNEAL_BUCKETS: %w; want a JSON object of buckets and their folders", err)
		}
	}
	return env, nil
}

// settings are the hyperparameters of a training.
type settings struct {
	target   string
	task     string
	l2       float64
	holdout  float64
	champion string
	ignore   []string
}

// Train is a training job under SageMaker's contract. It reads
// input/config/hyperparameters.json and the CSV files (.csv, .csv.gz) below
// input/data/training, files named reference* first and then by name, which is
// taken for the order of time. It leaves model/model.json, all that is needed to
// predict, and model/metrics.json, flat numbers. An error is also left in
// output/failure.
//
// Hyperparameters, all of them strings:
//
//	target    column to predict; required
//	task      auto (default), classification or regression
//	l2        penalty of the coefficients; 1/C or alpha of scikit-learn; default 1
//	holdout   share of the rows, the last ones, that the metrics are measured on; default 0.2
//	champion  URI of the model.tar.gz to compare with; may be empty
//	ignore    columns not to learn from, separated by commas
//
// The metrics of a candidate are those of a model trained on the rows before the
// holdout; the model that is left is then trained on all rows. The metrics of the
// champion on the same holdout have names that begin with champion_; they are
// absent where it cannot be read or predicts something else, and the log says
// why.
//
// Numbers are standardised, whole numbers of at most 60 values and categories
// also one-hot encoded; a date becomes its weekday. A column that gives the
// target away is the user's to ignore.
func Train(ctx context.Context, env Env) error {
	err := train(ctx, env)
	if err == nil {
		return nil
	}
	return errors.Join(err, write(filepath.Join(env.Root, "output", "failure"), []byte(err.Error())))
}

func train(ctx context.Context, env Env) error {
	set, err := readSettings(filepath.Join(env.Root, "input", "config", "hyperparameters.json"))
	if err != nil {
		return fmt.Errorf("read hyperparameters: %w", err)
	}
	rows, err := readTraining(ctx, filepath.Join(env.Root, "input", "data", "training"), env.Log)
	if err != nil {
		return fmt.Errorf("read training data: %w", err)
	}
	column := rows.column(set.target)
	if column < 0 {
		return fmt.Errorf("no column %q for the target (have %s)", set.target, strings.Join(rows.Header, ", "))
	}
	if rows.Ragged > 0 {
		fmt.Fprintf(env.Log, "%d rows have not the cells of their header and are left out\n", rows.Ragged)
	}
	all := len(rows.Records)
	rows = labelled(rows, column)
	n := len(rows.Records)
	if n < all {
		fmt.Fprintf(env.Log, "%d of %d rows have no %s and are left out\n", all-n, all, set.target)
	}
	cut := n - int(set.holdout*float64(n))
	if cut == n || cut == 0 {
		return fmt.Errorf("%d rows are too few to hold out a share of %g", n, set.holdout)
	}
	task := set.task
	if task == Auto {
		task = guessTask(rows, column) // by all rows, not by those before the holdout
	}
	candidate, err := fit(rows.slice(0, cut), set.target, task, set.ignore, set.l2)
	if err != nil {
		return fmt.Errorf("train on the first %d of %d rows: %w", cut, n, err)
	}
	holdout := rows.slice(cut, n)
	metrics, _, err := candidate.Score(holdout)
	if err != nil {
		return err
	}
	if set.champion != "" {
		champion, err := measureChampion(ctx, env, set.champion, candidate, holdout)
		if err != nil {
			fmt.Fprintf(env.Log, "champion not compared: %v\n", err)
		}
		for name, v := range champion {
			metrics["champion_"+name] = v
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	model, err := fit(rows, set.target, task, set.ignore, set.l2)
	if err != nil {
		return fmt.Errorf("train on all %d rows: %w", n, err)
	}
	fmt.Fprintf(env.Log, "%s of %s: trained on %d rows, measured on the last %d\n", task, set.target, n, n-cut)
	if err := writeJSON(filepath.Join(env.Root, "model", "model.json"), model); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(env.Root, "model", "metrics.json"), metrics); err != nil {
		return err
	}
	fmt.Fprintln(env.Log, metricsLine(metrics))
	return nil
}

func measureChampion(ctx context.Context, env Env, uri string, candidate *Model, holdout *Rows) (map[string]float64, error) {
	store, err := objects.New(objects.Config{Buckets: env.Buckets})
	if err != nil {
		return nil, err
	}
	champion, err := Load(ctx, store, uri)
	if err != nil {
		return nil, err
	}
	if champion.Task != candidate.Task || champion.Target != candidate.Target {
		return nil, fmt.Errorf("it is a %s of %q, not a %s of %q", champion.Task, champion.Target, candidate.Task, candidate.Target)
	}
	metrics, _, err := champion.Score(holdout)
	return metrics, err
}

// metricsLine is what the log says, in a form that MetricDefinitions can find.
func metricsLine(metrics map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		parts = append(parts, fmt.Sprintf("%s=%.4f", name, metrics[name]))
	}
	return strings.Join(parts, " ")
}

func readSettings(path string) (settings, error) {
	set := settings{task: Auto, l2: 1, holdout: 0.2}
	data, err := os.ReadFile(path)
	if err != nil {
		return set, err
	}
	var given map[string]string
	if err := json.Unmarshal(data, &given); err != nil {
		return set, fmt.Errorf("%w; want an object of strings", err)
	}
	var problems []error
	decimal := func(name, text string, least, below float64) float64 {
		v, ok := number(text)
		if !ok || v < least || v >= below {
			problems = append(problems, fmt.Errorf("%s is %q, want a number from %g to below %g", name, text, least, below))
		}
		return v
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		text := given[name]
		switch name {
		case "target":
			set.target = text
		case "task":
			set.task = text
			if !slices.Contains([]string{Auto, Classification, Regression}, text) {
				problems = append(problems, fmt.Errorf("unknown task %q (have %s, %s, %s)", text, Auto, Classification, Regression))
			}
		case "l2":
			set.l2 = decimal(name, text, 0, 1e12)
		case "holdout":
			set.holdout = decimal(name, text, 0.01, 0.9)
		case "champion":
			set.champion = text
		case "ignore":
			set.ignore = splitNames(text)
		default:
			// SageMaker's own begin with sagemaker_ or an underscore.
			if !strings.HasPrefix(name, "sagemaker_") && !strings.HasPrefix(name, "_") {
				problems = append(problems, fmt.Errorf("unknown hyperparameter %q (have target, task, l2, holdout, champion, ignore)", name))
			}
		}
	}
	if set.target == "" {
		problems = append(problems, errors.New("target is missing, want the column to predict"))
	}
	return set, errors.Join(problems...)
}

// splitNames reads a list of columns: names separated by commas, a name that
// has a comma or a quote as CSV quotes it.
func splitNames(text string) []string {
	names, err := csv.NewReader(strings.NewReader(text)).Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil: // written by hand, without the quotes
		return strings.Split(text, ",")
	}
	return names
}

// readTraining reads all CSV files below folder as one table.
func readTraining(ctx context.Context, folder string, log io.Writer) (*Rows, error) {
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	err = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if !isCSV(name) {
			fmt.Fprintf(log, "%s is not read: it is neither .csv nor .csv.gz\n", name)
			return err
		}
		names = append(names, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no .csv or .csv.gz file")
	}
	slices.SortFunc(names, inTime)
	var tables []*Rows
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		tables = append(tables, rows)
	}
	return join(tables), nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return write(path, append(data, '\n'))
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
