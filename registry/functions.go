package registry

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/anneal-ml/anneal/objects"
)

// Bounds on what a model artifact is read for.
const (
	largestMetrics    = 1 << 20  // bytes of a metrics.json
	largestImportance = 64 << 10 // bytes of the importance in it; a state's data have 256 KiB
	largestUnpacked   = 16 << 30 // bytes of an archive that are looked through
)

// An Error is the error of a function, as a Lambda function has it: a state
// machine's Retry and Catch match its type.
type Error struct {
	Kind    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// The types of the functions' errors.
const (
	InvalidPayload   = "InvalidPayload"   // the input of the function is wrong
	ArtifactNotFound = "ArtifactNotFound" // there is no such artifact
	ArtifactNotRead  = "ArtifactNotRead"  // it is there, or may be, but cannot be read
	MetricsNotFound  = "MetricsNotFound"  // no metrics.json in or beside it
	InvalidMetrics   = "InvalidMetrics"   // metrics.json is not a flat object with numbers
	MetricNotFound   = "MetricNotFound"   // the metric asked for, or one to choose, is not in it
)

func (e *Error) Error() string { return e.Kind + ": " + e.Message }

// ErrorType is the error's name in a state machine.
func (e *Error) ErrorType() string { return e.Kind }

func failed(kind, format string, args ...any) error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

// An Evaluation is the answer of `evaluate-model`.
type Evaluation struct {
	Metrics         map[string]float64
	Metric          string // the one that was compared
	Direction       string // max or min: which way it is better
	Value           float64
	Threshold       float64
	PassedThreshold bool // Value is at least as good as Threshold
	// Importance is what metrics.json says under `importance` that columns are worth.
	Importance json.RawMessage `json:",omitempty"`
}

// Evaluate is the built-in function `evaluate-model`: it compares a metric of a
// model with a threshold. Its payload:
//
//	ModelArtifact    URI of the model.tar.gz
//	MetricThreshold  the number to reach
//	Metric           its name; default: accuracy, else the only one, else auc, else r2
//	Direction        max or min; default min for an error (mae, rmse, log_loss, …), else max
//
// The metrics are the numbers of a flat metrics.json: in the artifact, else
// beside it (data/metrics.json, metrics.json, or in output.tar.gz). It may have an
// `importance` too: an object of columns and numbers, which is handed on as it is. The
// answer is an [Evaluation]; an error is an [Error], unless ctx has ended.
func Evaluate(ctx context.Context, store *objects.Store, payload json.RawMessage) (json.RawMessage, error) {
	var in struct {
		ModelArtifact   string
		MetricThreshold *float64
		Metric          string
		Direction       string
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, failed(InvalidPayload, "%v", err)
	}
	switch {
	case in.ModelArtifact == "":
		return nil, failed(InvalidPayload, "ModelArtifact is missing; want the URI of a model.tar.gz")
	case in.MetricThreshold == nil:
		return nil, failed(InvalidPayload, "MetricThreshold is missing; want a number")
	case in.Direction != "" && in.Direction != "max" && in.Direction != "min":
		return nil, failed(InvalidPayload, "Direction is %q; want max or min", in.Direction)
	}
	metrics, importance, err := readMetrics(ctx, store, in.ModelArtifact)
	if err != nil {
		return nil, err
	}
	metric, err := choose(metrics, in.Metric)
	if err != nil {
		return nil, err
	}
	answer := Evaluation{
		Metrics:    metrics,
		Metric:     metric,
		Direction:  in.Direction,
		Value:      metrics[metric],
		Threshold:  *in.MetricThreshold,
		Importance: importance,
	}
	if answer.Direction == "" {
		answer.Direction = "max"
		if isError(metric) {
			answer.Direction = "min"
		}
	}
	answer.PassedThreshold = answer.Value >= answer.Threshold
	if answer.Direction == "min" {
		answer.PassedThreshold = answer.Value <= answer.Threshold
	}
	return json.Marshal(answer)
}

// A Registration is the answer of `register-model`.
type Registration struct {
	ModelArtifact string
	Metrics       map[string]float64
	SHA256        string // hex
	Bytes         int64
	Status        string // Registered
}

// Register is the built-in function `register-model`: it makes sure that the
// artifact is there and whole, and answers what a run's model is made from; the
// version itself is recorded when the run has ended. Its payload:
//
//	ModelArtifact  URI of the artifact
//	Metrics        an object of numbers; default: none
//
// The answer is a [Registration]; an error is an [Error], unless ctx has ended.
func Register(ctx context.Context, store *objects.Store, payload json.RawMessage) (json.RawMessage, error) {
	var in struct {
		ModelArtifact string
		Metrics       map[string]float64
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, failed(InvalidPayload, "%v", err)
	}
	if in.ModelArtifact == "" {
		return nil, failed(InvalidPayload, "ModelArtifact is missing; want the URI of a model.tar.gz")
	}
	sum, n, err := store.Checksum(ctx, in.ModelArtifact)
	if err != nil {
		return nil, artifactError(ctx, err)
	}
	if in.Metrics == nil {
		in.Metrics = map[string]float64{}
	}
	return json.Marshal(Registration{in.ModelArtifact, in.Metrics, sum, n, "Registered"})
}

func artifactError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, objects.ErrNotFound):
		return failed(ArtifactNotFound, "%v", err)
	case errors.Is(err, objects.ErrBadURI):
		return failed(InvalidPayload, "ModelArtifact: %v", err)
	}
	return failed(ArtifactNotRead, "%v", err)
}

// readMetrics finds and reads the metrics.json of an artifact.
func readMetrics(ctx context.Context, store *objects.Store, artifact string) (metrics map[string]float64, importance json.RawMessage, err error) {
	text, err := unpack(ctx, store, artifact, "metrics.json")
	if err != nil {
		return nil, nil, artifactError(ctx, err)
	}
	if text != nil {
		return parseMetrics(artifact+": metrics.json", text)
	}
	folder := artifact[:strings.LastIndex(artifact, "/")+1]
	for _, name := range []string{"data/metrics.json", "metrics.json"} {
		text, err := readAll(ctx, store, folder+name)
		if errors.Is(err, objects.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, artifactError(ctx, err)
		}
		return parseMetrics(folder+name, text)
	}
	text, err = unpack(ctx, store, folder+"output.tar.gz", "metrics.json")
	if err != nil && !errors.Is(err, objects.ErrNotFound) {
		return nil, nil, artifactError(ctx, err)
	}
	if text != nil {
		return parseMetrics(folder+"output.tar.gz: metrics.json", text)
	}
	return nil, nil, failed(MetricsNotFound, "no metrics.json in %s, nor in %sdata/, beside it, or in output.tar.gz; "+
		"a training writes it to its model or output/data folder", artifact, folder)
}

// unpack returns the file called name in a .tar.gz, nil if there is none. An
// object that is not gzip has none.
func unpack(ctx context.Context, store *objects.Store, uri, name string) ([]byte, error) {
	r, _, err := store.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	in := bufio.NewReader(r)
	if magic, err := in.Peek(2); err == io.EOF || err == nil && string(magic) != "\x1f\x8b" {
		return nil, nil
	}
	unzip, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", uri, err)
	}
	bounded := &io.LimitedReader{R: unzip, N: largestUnpacked}
	archive := tar.NewReader(bounded)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil && bounded.N <= 0 {
			return nil, fmt.Errorf("read %s: no %s in the first %d GiB", uri, name, largestUnpacked>>30)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", uri, err)
		}
		if path.Clean(header.Name) != name || header.Typeflag != tar.TypeReg {
			continue
		}
		return limited(archive, uri+": "+name)
	}
}

func readAll(ctx context.Context, store *objects.Store, uri string) ([]byte, error) {
	r, _, err := store.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return limited(r, uri)
}

func limited(r io.Reader, what string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, largestMetrics+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(text) > largestMetrics {
		return nil, fmt.Errorf("read %s: it has more than %d bytes", what, largestMetrics)
	}
	return text, nil
}

// parseMetrics reads the numbers of a flat JSON object, and its importance. What else
// it has (names, notes, null for what could not be computed) is left out.
func parseMetrics(where string, text []byte) (metrics map[string]float64, importance json.RawMessage, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, nil, failed(InvalidMetrics, "%s: want a JSON object of numbers such as {\"accuracy\": 0.9}: %v", where, err)
	}
	metrics = make(map[string]float64, len(all))
	for name, value := range all {
		if x, ok := value.(float64); ok && !math.IsInf(x, 0) {
			metrics[name] = x
		}
	}
	if len(metrics) == 0 {
		return nil, nil, failed(InvalidMetrics, "%s: has no number; want a flat JSON object such as {\"accuracy\": 0.9}", where)
	}
	if _, isNumber := metrics["importance"]; all["importance"] == nil || isNumber {
		return metrics, nil, nil
	}
	if importance, err = json.Marshal(all["importance"]); err != nil {
		return nil, nil, err // unreachable: it was JSON
	}
	if len(importance) > largestImportance { // a model is not lost for it: whoever reads it is told
		importance = fmt.Appendf(nil, `"left out: %d bytes are more than the limit of %d"`, len(importance), largestImportance)
	}
	return metrics, importance, nil
}

// choose says which metric counts.
func choose(metrics map[string]float64, wanted string) (string, error) {
	have := slices.Sorted(maps.Keys(metrics))
	if wanted != "" {
		if _, ok := metrics[wanted]; !ok {
			return "", failed(MetricNotFound, "no metric %q (have %s)", wanted, strings.Join(have, ", "))
		}
		return wanted, nil
	}
	if _, ok := metrics["accuracy"]; ok {
		return "accuracy", nil
	}
	if len(have) == 1 {
		return have[0], nil
	}
	for _, name := range []string{"auc", "r2"} {
		if _, ok := metrics[name]; ok {
			return name, nil
		}
	}
	return "", failed(MetricNotFound, "no metric is named to compare; want Metric to be one of %s", strings.Join(have, ", "))
}

// isError reports whether less of a metric is better, by the words in its name.
func isError(metric string) bool {
	words := strings.FieldsFunc(strings.ToLower(metric), func(r rune) bool { return !unicode.IsLetter(r) })
	if slices.Contains(words, "neg") || slices.Contains(words, "negative") {
		return false // as scikit-learn turns an error round
	}
	for _, word := range words {
		switch word {
		case "error", "err", "loss", "logloss", "brier", "deviance", "perplexity",
			"mae", "mse", "rmse", "mape", "smape", "wape", "msle", "rmsle", "medae", "wer", "cer":
			return true
		}
	}
	return false
}
