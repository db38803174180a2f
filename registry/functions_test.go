package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/objects"
)

// archive is a .tar.gz of names and contents, in turn.
func archive(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// bucket is s3://b with these files.
func bucket(t *testing.T, files map[string]string) *objects.Store {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	store, err := objects.New(objects.Config{Buckets: map[string]string{"b": dir}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

const artifact = "s3://b/models/job/output/model.tar.gz"

func TestEvaluate(t *testing.T) {
	model := func(metrics string) map[string]string {
		return map[string]string{"models/job/output/model.tar.gz": archive(t, "weights.bin", strings.Repeat("w", 100_000), "metrics.json", metrics)}
	}
	noMetrics := archive(t, "weights.bin", "w", "deep/metrics.json", `{"accuracy": 0.1}`)
	for _, test := range []struct {
		name    string
		files   map[string]string
		payload string // besides ModelArtifact
		want    string // the answer, or the error
	}{
		{
			"passed", model(`{"accuracy": 0.8, "rows": 120}`), `"MetricThreshold": 0.7, "TrainingJobName": "job"`,
			`{"Metrics":{"accuracy":0.8,"rows":120},"Metric":"accuracy","Direction":"max","Value":0.8,"Threshold":0.7,"PassedThreshold":true}`,
		},
		{
			"just passed", model(`{"accuracy": 0.7}`), `"MetricThreshold": 0.7`,
			`{"Metrics":{"accuracy":0.7},"Metric":"accuracy","Direction":"max","Value":0.7,"Threshold":0.7,"PassedThreshold":true}`,
		},
		{
			"not passed", model(`{"accuracy": 0.69}`), `"MetricThreshold": 0.7`,
			`{"Metrics":{"accuracy":0.69},"Metric":"accuracy","Direction":"max","Value":0.69,"Threshold":0.7,"PassedThreshold":false}`,
		},
		{
			"an error: less is better", model(`{"rmse": 120.5, "rows": 7}`), `"MetricThreshold": 150, "Metric": "rmse"`,
			`{"Metrics":{"rmse":120.5,"rows":7},"Metric":"rmse","Direction":"min","Value":120.5,"Threshold":150,"PassedThreshold":true}`,
		},
		{
			"a direction that is said", model(`{"rmse": 120.5}`), `"MetricThreshold": 150, "Direction": "max"`,
			`{"Metrics":{"rmse":120.5},"Metric":"rmse","Direction":"max","Value":120.5,"Threshold":150,"PassedThreshold":false}`,
		},
		{
			"the only number", model(`{"f1": 0.5, "note": "x", "classes": ["a"], "none": null, "ok": true}`), `"MetricThreshold": 0.5`,
			`{"Metrics":{"f1":0.5},"Metric":"f1","Direction":"max","Value":0.5,"Threshold":0.5,"PassedThreshold":true}`,
		},
		{
			"what columns are worth", model(`{"accuracy": 0.8, "importance": {"usage": 3, "tickets": 1}}`), `"MetricThreshold": 0.7`,
			`{"Metrics":{"accuracy":0.8},"Metric":"accuracy","Direction":"max","Value":0.8,"Threshold":0.7,"PassedThreshold":true,"Importance":{"tickets":1,"usage":3}}`,
		},
		{
			"what they are worth, as anything", model(`{"accuracy": 0.8, "importance": ["usage"]}`), `"MetricThreshold": 0.7`,
			`{"Metrics":{"accuracy":0.8},"Metric":"accuracy","Direction":"max","Value":0.8,"Threshold":0.7,"PassedThreshold":true,"Importance":["usage"]}`,
		},
		{
			"of too many columns", model(`{"accuracy": 0.8, "importance": {"` + strings.Repeat("x", 64<<10) + `": 1}}`), `"MetricThreshold": 0.7`,
			`{"Metrics":{"accuracy":0.8},"Metric":"accuracy","Direction":"max","Value":0.8,"Threshold":0.7,"PassedThreshold":true,"Importance":"left out: 65542 bytes are more than the limit of 65536"}`,
		},
		{
			"a metric of that name", model(`{"importance": 0.8}`), `"MetricThreshold": 0.7`,
			`{"Metrics":{"importance":0.8},"Metric":"importance","Direction":"max","Value":0.8,"Threshold":0.7,"PassedThreshold":true}`,
		},
		{
			"auc before r2", model(`{"r2": 0.5, "auc": 0.6, "rows": 1}`), `"MetricThreshold": 0.5`,
			`{"Metrics":{"auc":0.6,"r2":0.5,"rows":1},"Metric":"auc","Direction":"max","Value":0.6,"Threshold":0.5,"PassedThreshold":true}`,
		},
		{
			"beside, in data", map[string]string{"models/job/output/model.tar.gz": noMetrics, "models/job/output/data/metrics.json": `{"r2": 0.4}`}, `"MetricThreshold": 0.5`,
			`{"Metrics":{"r2":0.4},"Metric":"r2","Direction":"max","Value":0.4,"Threshold":0.5,"PassedThreshold":false}`,
		},
		{
			"beside, in output.tar.gz", map[string]string{"models/job/output/model.tar.gz": "not gzip", "models/job/output/output.tar.gz": archive(t, "./metrics.json", `{"r2": 0.4}`)}, `"MetricThreshold": 0.5`,
			`{"Metrics":{"r2":0.4},"Metric":"r2","Direction":"max","Value":0.4,"Threshold":0.5,"PassedThreshold":false}`,
		},

		{"no artifact", nil, `"MetricThreshold": 0.5`, "ArtifactNotFound: open " + artifact + ": no such object"},
		{"no metrics", map[string]string{"models/job/output/model.tar.gz": noMetrics}, `"MetricThreshold": 0.5`, "MetricsNotFound: no metrics.json in " + artifact},
		{"no metrics in an empty artifact", map[string]string{"models/job/output/model.tar.gz": ""}, `"MetricThreshold": 0.5`, "MetricsNotFound: "},
		{"cut off", map[string]string{"models/job/output/model.tar.gz": archive(t, "weights.bin", strings.Repeat("w", 100))[:40]}, `"MetricThreshold": 0.5`, "ArtifactNotRead: read " + artifact},
		{"too large", model(strings.Repeat(" ", 1<<20+1)), `"MetricThreshold": 0.5`, "ArtifactNotRead: read " + artifact + ": metrics.json: it has more than 1048576 bytes"},
		{"NaN", model(`{"accuracy": NaN}`), `"MetricThreshold": 0.5`, "InvalidMetrics: " + artifact + ": metrics.json: want a JSON object of numbers"},
		{"a list", model(`[0.5]`), `"MetricThreshold": 0.5`, "InvalidMetrics: "},
		{"no number", model(`{"accuracy": "0.5"}`), `"MetricThreshold": 0.5`, "InvalidMetrics: " + artifact + ": metrics.json: has no number"},
		{"none to choose", model(`{"b": 1, "a": 2}`), `"MetricThreshold": 0.5`, "MetricNotFound: no metric is named to compare; want Metric to be one of a, b"},
		{"not the one", model(`{"b": 1, "a": 2}`), `"MetricThreshold": 0.5, "Metric": "c"`, `MetricNotFound: no metric "c" (have a, b)`},
		{"no threshold", model(`{"a": 2}`), `"Metric": "a"`, "InvalidPayload: MetricThreshold is missing"},
		{"threshold", model(`{"a": 2}`), `"MetricThreshold": "0.5"`, "InvalidPayload: json: cannot unmarshal string"},
		{"direction", model(`{"a": 2}`), `"MetricThreshold": 0.5, "Direction": "up"`, `InvalidPayload: Direction is "up"; want max or min`},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := `{"ModelArtifact": "` + artifact + `", ` + test.payload + `}`
			answer, err := Evaluate(t.Context(), bucket(t, test.files), json.RawMessage(payload))
			check(t, answer, err, test.want)
		})
	}
}

func check(t *testing.T, answer json.RawMessage, err error, want string) {
	t.Helper()
	if err == nil {
		if string(answer) != want {
			t.Errorf("got  %s\nwant %s", answer, want)
		}
		return
	}
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v; want %s", err, want)
	}
	if typed, ok := errors.AsType[*Error](err); !ok || !strings.HasPrefix(want, typed.ErrorType()+": ") {
		t.Errorf("error %v has type %v", err, typed)
	}
	text, err := json.Marshal(err)
	if err != nil || !strings.HasPrefix(string(text), `{"errorType":`) {
		t.Errorf("error is %s, %v; want a Lambda function's", text, err)
	}
}

func TestRegister(t *testing.T) {
	store := bucket(t, map[string]string{"models/job/output/model.tar.gz": "abc"})
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for _, test := range []struct{ payload, want string }{
		{
			`{"ModelArtifact": "` + artifact + `", "Metrics": {"accuracy": 0.8}}`,
			`{"ModelArtifact":"` + artifact + `","Metrics":{"accuracy":0.8},"SHA256":"` + sum + `","Bytes":3,"Status":"Registered"}`,
		},
		{
			`{"ModelArtifact": "` + artifact + `"}`,
			`{"ModelArtifact":"` + artifact + `","Metrics":{},"SHA256":"` + sum + `","Bytes":3,"Status":"Registered"}`,
		},
		{`{"ModelArtifact": "s3://b/nothing"}`, "ArtifactNotFound: "},
		{`{"ModelArtifact": "s3://c/nothing"}`, "ArtifactNotRead: s3://c/nothing: bucket is not mapped"},
		{`{"ModelArtifact": "s3://b/../x"}`, "InvalidPayload: ModelArtifact: "},
		{`{"ModelArtifact": "` + artifact + `", "Metrics": {"accuracy": "high"}}`, "InvalidPayload: "},
		{`{}`, "InvalidPayload: ModelArtifact is missing"},
		{``, "InvalidPayload: "},
	} {
		answer, err := Register(t.Context(), store, json.RawMessage(test.payload))
		check(t, answer, err, test.want)
	}
}

func TestFunctionsEndWithContext(t *testing.T) {
	store := bucket(t, map[string]string{"models/job/output/model.tar.gz": "abc"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	payload := json.RawMessage(`{"ModelArtifact": "` + artifact + `", "MetricThreshold": 1}`)
	if _, err := Evaluate(ctx, store, payload); err != context.Canceled {
		t.Errorf("Evaluate: got %v; want %v", err, context.Canceled)
	}
	if _, err := Register(ctx, store, payload); err != context.Canceled {
		t.Errorf("Register: got %v; want %v", err, context.Canceled)
	}
}

func TestIsError(t *testing.T) {
	for metric, want := range map[string]bool{
		"accuracy": false, "auc": false, "r2": false, "f1": false, "precision": false, "loss_reduction_rank": true,
		"mae": true, "rmse": true, "val_loss": true, "log_loss": true, "validation:logloss": true, "brier_score": true,
		"Mean Absolute Error": true, "error_rate": true, "neg_mean_squared_error": false, "terror": false,
	} {
		if got := isError(metric); got != want {
			t.Errorf("less of %s is better: got %v; want %v", metric, got, want)
		}
	}
}
