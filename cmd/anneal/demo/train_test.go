package demo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/objects"
)

// A job is the folder of a training job.
type job struct {
	hyperparameters map[string]string
	files           map[string]string // in the training channel
	buckets         map[string]string
}

// run trains in a new folder.
func (j job) run(t *testing.T) (root, log string, err error) {
	t.Helper()
	root = t.TempDir()
	put := func(path string, data []byte) {
		if err := write(filepath.Join(root, filepath.FromSlash(path)), data); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.Marshal(j.hyperparameters)
	if err != nil {
		t.Fatal(err)
	}
	put("input/config/hyperparameters.json", config)
	if err := os.MkdirAll(filepath.Join(root, "input", "data", "training"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range j.files {
		data := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			fmt.Fprint(z, text)
			z.Close()
			data = b.Bytes()
		}
		put("input/data/training/"+name, data)
	}
	var out strings.Builder
	err = Train(context.Background(), Env{Root: root, Buckets: j.buckets, Log: &out})
	return root, out.String(), err
}

func read(t *testing.T, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readMetrics(t *testing.T, root string) map[string]float64 {
	t.Helper()
	var metrics map[string]float64
	if err := json.Unmarshal(read(t, root, "model", "metrics.json"), &metrics); err != nil {
		t.Fatal(err)
	}
	return metrics
}

// packModel packs a job's model folder as the contract does, and returns its URI.
func packModel(t *testing.T, root, bucket string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range []string{"metrics.json", "model.json"} {
		data := read(t, root, "model", name)
		if err := w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	z.Close()
	if err := write(filepath.Join(bucket, "models", "first", "model.tar.gz"), b.Bytes()); err != nil {
		t.Fatal(err)
	}
	return "s3://ml-data/models/first/model.tar.gz"
}

// TestTrainMarket trains a first model and then, with it as champion, one on
// data under another law.
func TestTrainMarket(t *testing.T) {
	market := Market(1)
	first := job{
		hyperparameters: map[string]string{"target": MarketTarget, "champion": ""},
		files:           map[string]string{"reference.csv": string(market[0].Data)},
	}
	root, log, err := first.run(t)
	if err != nil {
		t.Fatal(err)
	}
	metrics := readMetrics(t, root)
	if a := metrics["accuracy"]; a < 0.83 || a > 0.95 {
		t.Errorf("accuracy on the market is %.3f, want about 0.87", a)
	}
	for _, name := range []string{"auc", "f1", "log_loss"} {
		if _, ok := metrics[name]; !ok {
			t.Errorf("no metric %s in %v", name, metrics)
		}
	}
	if _, ok := metrics["champion_accuracy"]; ok {
		t.Errorf("champion_accuracy without a champion: %v", metrics)
	}
	if want := fmt.Sprintf("accuracy=%.4f ", metrics["accuracy"]); !strings.Contains(log, want) {
		t.Errorf("log has no %q:\n%s", want, log)
	}

	bucket := t.TempDir()
	uri := packModel(t, root, bucket)
	buckets := map[string]string{"ml-data": bucket}
	second := job{
		hyperparameters: map[string]string{"target": MarketTarget, "champion": uri, "l2": "1"},
		files: map[string]string{ // batch_06 is older than batch_07, whatever their form
			"batch_06.csv.gz": string(market[6].Data),
			"batch_07.csv":    string(market[7].Data),
			"README.md":       "not data",
		},
		buckets: buckets,
	}
	root, log, err = second.run(t)
	if err != nil {
		t.Fatal(err)
	}
	metrics = readMetrics(t, root)
	if a, b := metrics["accuracy"], metrics["champion_accuracy"]; a < b+0.1 {
		t.Errorf("under a new law accuracy is %.3f, the champion's %.3f; want 0.1 more", a, b)
	}
	if !strings.Contains(log, " champion_accuracy=") || !strings.Contains(log, "README.md is not read") {
		t.Errorf("log has not the champion's accuracy and the file that was not read:\n%s", log)
	}

	// The champion's metrics are those of a scorer on the same rows.
	store, err := objects.New(objects.Config{Buckets: buckets})
	if err != nil {
		t.Fatal(err)
	}
	champion, err := Load(context.Background(), store, uri)
	if err != nil {
		t.Fatal(err)
	}
	six, seven := parse(t, string(market[6].Data)), parse(t, string(market[7].Data))
	both := join([]*Rows{six, seven})
	n := len(both.Records)
	scored, rows, err := champion.Score(both.slice(n-n/5, n))
	if err != nil {
		t.Fatal(err)
	}
	if scored["accuracy"] != metrics["champion_accuracy"] || rows != n/5 {
		t.Errorf("the champion scores %v on %d rows, want %v on %d", scored["accuracy"], rows, metrics["champion_accuracy"], n/5)
	}
}

func parse(t *testing.T, text string) *Rows {
	t.Helper()
	rows, err := readCSV(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestTrainIsDeterministic(t *testing.T) {
	market := Market(2)
	j := job{
		hyperparameters: map[string]string{"target": MarketTarget},
		files:           map[string]string{"a.csv": string(market[5].Data), "b.csv": string(market[6].Data)},
	}
	var models, metrics [2]string
	for i := range models {
		root, _, err := j.run(t)
		if err != nil {
			t.Fatal(err)
		}
		models[i], metrics[i] = string(read(t, root, "model", "model.json")), string(read(t, root, "model", "metrics.json"))
	}
	if models[0] != models[1] || metrics[0] != metrics[1] {
		t.Errorf("two trainings on the same data differ:\n%s", cmp.Diff(models[0], models[1]))
	}
}

// TestTrainOrder has a law that changes between two files: only in the order of
// time does the holdout have the new one.
func TestTrainOrder(t *testing.T) {
	line := func(sign float64) string {
		var b strings.Builder
		b.WriteString("x,y\n")
		for i := range 400 {
			x := float64(i%100) / 10
			fmt.Fprintf(&b, "%g,%g\n", x, sign*x+0.001*float64(i%7))
		}
		return b.String()
	}
	for name, files := range map[string]map[string]string{
		"by name":         {"day-1.csv": line(1), "day-2.csv": line(-1)},
		"reference first": {"reference.csv": line(1), "batch.csv": line(-1)},
	} {
		root, _, err := job{hyperparameters: map[string]string{"target": "y", "task": "regression", "holdout": "0.5"}, files: files}.run(t)
		if err != nil {
			t.Fatal(err)
		}
		// Trained on y=x, measured on y=-x for x from 0 to 9.9: an error of 2x.
		if mae := readMetrics(t, root)["mae"]; math.Abs(mae-9.9) > 0.1 {
			t.Errorf("%s: mae is %.3f, want 9.9", name, mae)
		}
	}
}

func TestTrainFails(t *testing.T) {
	good := map[string]string{"a.csv": "x,y\n" + strings.Repeat("1,0\n2,1\n", 50)}
	for _, test := range []struct {
		name            string
		hyperparameters map[string]string
		files           map[string]string
		want            string
	}{
		{"no target", map[string]string{}, good, "target is missing"},
		{"unknown target", map[string]string{"target": "z"}, good, `no column "z" for the target (have x, y)`},
		{"all at once", map[string]string{"task": "sorting", "l2": "-1", "depth": "3"}, good,
			"unknown hyperparameter \"depth\" (have target, task, l2, holdout, champion, ignore)\n" +
				`l2 is "-1", want a number from 0 to below 1e+12` + "\n" +
				`unknown task "sorting" (have auto, classification, regression)` + "\n" + "target is missing"},
		{"no files", map[string]string{"target": "y"}, nil, "no .csv or .csv.gz file"},
		{"empty file", map[string]string{"target": "y"}, map[string]string{"a.csv": ""}, "a.csv: empty file"},
		{"header only", map[string]string{"target": "y"}, map[string]string{"a.csv": "x,y\n"}, "0 rows are too few"},
		{"ragged", map[string]string{"target": "y"}, map[string]string{"a.csv": "x,y\n1\n2,1\n"}, "a.csv: 1 of 2 rows have not the 2 cells"},
		{"binary", map[string]string{"target": "y"}, map[string]string{"a.csv": "\x1f\x8b\x00"}, `no column "y" for the target`},
		{"one class", map[string]string{"target": "y", "task": "classification"}, map[string]string{"a.csv": "x,y\n" + strings.Repeat("1,0\n2,0\n", 50)}, "nothing to tell apart"},
		{"text as a number", map[string]string{"target": "y", "task": "regression"}, map[string]string{"a.csv": "x,y\n" + strings.Repeat("1,up\n2,3\n", 50)}, `want a number; or task=classification`},
		{"all ignored", map[string]string{"target": "y", "ignore": "x"}, good, "no column is left to learn from"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, _, err := job{hyperparameters: test.hyperparameters, files: test.files}.run(t)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v, want %q", err, test.want)
			}
			if got := string(read(t, root, "output", "failure")); got != err.Error() {
				t.Errorf("output/failure is %q, want %q", got, err)
			}
			if _, err := os.Stat(filepath.Join(root, "model", "model.json")); err == nil {
				t.Error("there is a model in spite of the error")
			}
		})
	}
}

// TestTrainWithoutChampion has champions that cannot be compared: the training
// goes on and says why.
func TestTrainWithoutChampion(t *testing.T) {
	bucket := t.TempDir()
	root, _, err := job{
		hyperparameters: map[string]string{"target": "x", "task": "regression"},
		files:           map[string]string{"a.csv": "x,y\n" + strings.Repeat("1,0\n2,1\n", 50)},
	}.run(t)
	if err != nil {
		t.Fatal(err)
	}
	other := packModel(t, root, bucket)
	if err := write(filepath.Join(bucket, "broken.tar.gz"), []byte("no archive")); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		other:                             `it is a regression of "x", not a classification of "y"`,
		"s3://ml-data/broken.tar.gz":      "load model s3://ml-data/broken.tar.gz: gzip",
		"s3://ml-data/absent.tar.gz":      "no such object",
		"s3://elsewhere/a/model.tar.gz":   "not mapped",
		"models:/what/a/strange/champion": "champion not compared",
	} {
		root, log, err := job{
			hyperparameters: map[string]string{"target": "y", "champion": uri},
			files:           map[string]string{"a.csv": "x,y\n" + strings.Repeat("1,0\n2,1\n", 50)},
			buckets:         map[string]string{"ml-data": bucket},
		}.run(t)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if !strings.Contains(log, "champion not compared: ") || !strings.Contains(log, want) {
			t.Errorf("%s: log has no %q:\n%s", uri, want, log)
		}
		if got := readMetrics(t, root)["accuracy"]; got != 1 {
			t.Errorf("%s: accuracy is %g, want 1", uri, got)
		}
	}
}

func TestEnvFrom(t *testing.T) {
	env := map[string]string{"ANNEAL_BUCKETS": `{"ml-data": "/srv/bucket"}`}
	got, err := EnvFrom(func(k string) string { return env[k] }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Env{Root: "/opt/ml", Buckets: map[string]string{"ml-data": "/srv/bucket"}}, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	env["ANNEAL_BUCKETS"] = "ml-data=/srv/bucket"
	if _, err := EnvFrom(func(k string) string { return env[k] }, nil); err == nil || !strings.Contains(err.Error(), "want a JSON object") {
		t.Errorf("error is %v, want one that says what would be right", err)
	}
}

// TestLogisticRecoversLaw draws classes from a known law.
func TestLogisticRecoversLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rows := &Rows{Header: []string{"a", "b", "class"}}
	for range 20_000 {
		a, b := r.NormFloat64(), r.NormFloat64()
		class := "no"
		if r.Float64() < 1/(1+math.Exp(-(0.5+2*a-b))) {
			class = "yes"
		}
		rows.Records = append(rows.Records, []string{spell(a), spell(b), class})
	}
	m, err := fit(rows, "class", Auto, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"no", "yes"}, m.Classes); diff != "" {
		t.Fatalf("classes (-want +got):\n%s", diff)
	}
	w := m.Weights[0] // intercept, a, a missing, b, b missing
	for i, want := range []float64{0.5, 2, 0, -1, 0} {
		if math.Abs(w[i]-want) > 0.1 {
			t.Errorf("weight %d is %.3f, want %.1f", i, w[i], want)
		}
	}
}

// TestRidgeRecoversLaw has a number, a category and missing values.
func TestRidgeRecoversLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rows := &Rows{Header: []string{"x", "colour", "y"}}
	for range 4000 {
		x, colour, y := 10+3*r.NormFloat64(), "red", 7.0
		if r.Float64() < 0.5 {
			colour, y = "blue", 9
		}
		cell := spell(x)
		if r.Float64() < 0.1 {
			cell = "NA"
			y -= 5
		} else {
			y += 2 * (x - 10) / 3
		}
		rows.Records = append(rows.Records, []string{cell, colour, spell(y + 0.01*r.NormFloat64())})
	}
	m, err := fit(rows, "y", Auto, nil, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	test := &Rows{Header: rows.Header, Records: [][]string{
		{"13", "red", "9"}, {"10", "blue", "9"}, {"", "red", "2"}, {"7", "blue", "7"},
	}}
	metrics, n, err := m.Score(test)
	if err != nil {
		t.Fatal(err)
	}
	if n != 4 || metrics["mae"] > 0.1 || metrics["r2"] < 0.99 {
		t.Errorf("on %d rows of the law: %v, want an error near 0", n, metrics)
	}
}

// TestManyClasses has three classes on a line.
func TestManyClasses(t *testing.T) {
	rows := &Rows{Header: []string{"x", "class"}}
	for i := range 900 {
		rows.Records = append(rows.Records, []string{spell(float64(i%90) + 0.5), []string{"low", "mid", "top"}[i%90/30]})
	}
	m, err := fit(rows, "class", Auto, nil, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	metrics, _, err := m.Score(rows)
	if err != nil {
		t.Fatal(err)
	}
	if metrics["accuracy"] < 0.95 {
		t.Errorf("accuracy is %.3f, want above 0.95: %v", metrics["accuracy"], metrics)
	}
	if _, ok := metrics["auc"]; ok {
		t.Errorf("auc for three classes: %v", metrics)
	}
	// A class that training had not is always wrong.
	metrics, _, err = m.Score(&Rows{Header: rows.Header, Records: [][]string{{"1", "low"}, {"1", "new"}}})
	if err != nil {
		t.Fatal(err)
	}
	if metrics["accuracy"] != 0.5 || math.IsInf(metrics["log_loss"], 0) {
		t.Errorf("with an unknown class: %v, want accuracy 0.5 and a finite log_loss", metrics)
	}
}

func TestGuessTask(t *testing.T) {
	for target, want := range map[string]string{
		"0 1 1":                     Classification,
		"0.0 1.0":                   Classification,
		"up down":                   Classification,
		"0.5 1":                     Regression,
		"1 2 3 4 5 6 7 8 9 10 11":   Regression,
		"1 2 3 4 5 6 7 8 9 10":      Classification,
		"1 2 3 4 5 6 7 8 9 10 11 x": Regression, // it has seen enough
	} {
		rows := &Rows{Header: []string{"y"}}
		for _, cell := range strings.Fields(target) {
			rows.Records = append(rows.Records, []string{cell})
		}
		if got := guessTask(rows, 0); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

func BenchmarkFit(b *testing.B) {
	rows := &Rows{Header: []string{"n1", "n2", "n3", "hour", "month", "class", "count"}}
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 10_000 {
		x := r.NormFloat64()
		class := "0"
		if x+math.Sin(float64(i%24))+0.5*r.NormFloat64() > 0 {
			class = "1"
		}
		rows.Records = append(rows.Records, []string{
			spell(x), spell(r.NormFloat64()), spell(r.NormFloat64()), spell(float64(i % 24)), spell(float64(i % 12)), class, spell(100 + 20*x),
		})
	}
	for task, target := range map[string]string{Classification: "class", Regression: "count"} {
		b.Run(task, func(b *testing.B) {
			for b.Loop() {
				if _, err := fit(rows, target, task, []string{"class", "count"}, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
