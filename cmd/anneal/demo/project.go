package demo

import (
	"bytes"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"unicode/utf8"
)

// files are a project folder as it can be served: the settings, the market's
// policy and the state machine.
//
//go:embed files
var files embed.FS

// The folders of a project, below its own.
const (
	Inbox  = "inbox"  // where data is dropped
	Bucket = "bucket" // s3://ml-data
)

// WriteMarket makes the project folder of the market: anneal.yaml, the policy
// `market`, its state machine, the inbox and the bucket. The settings name the
// trainer as ./anneal, which becomes a link to executable, or a copy of one that
// `go run` will remove.
func WriteMarket(folder, executable string) error {
	market, err := files.ReadFile("files/policies/market.yaml")
	if err != nil {
		return err // unreachable: it is embedded
	}
	return writeProject(folder, executable, "market", market)
}

// ProjectOptions say what a project is about.
type ProjectOptions struct {
	Name   string   // of the policy and its model group: lower-case letters, digits and hyphens
	Target string   // column to predict
	Task   string   // classification or regression
	Ignore []string // columns not to learn from

	ReferenceRows int // of the first object
	BatchRows     int // of a later one
}

// WriteProject makes a project folder as [WriteMarket] does, with a policy made
// for other data: it trains on the first object, and again when a third of the
// columns have drifted and three batches have come since, on the last two.
func WriteProject(folder, executable string, o ProjectOptions) error {
	policy, err := o.policy()
	if err != nil {
		return fmt.Errorf("write policy %s: %w", o.Name, err)
	}
	return writeProject(folder, executable, o.Name, policy)
}

func writeProject(folder, executable, name string, policy []byte) error {
	for _, sub := range []string{Inbox, Bucket, "policies"} {
		if err := os.MkdirAll(filepath.Join(folder, sub), 0o755); err != nil {
			return err
		}
	}
	link := filepath.Join(folder, "anneal")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	executable, err := filepath.Abs(executable)
	if err != nil {
		return err
	}
	if err := bring(executable, link); err != nil {
		return err
	}
	for _, path := range []string{"anneal.yaml", "policies/pipeline.asl.json"} {
		data, err := files.ReadFile("files/" + path)
		if err != nil {
			return err // unreachable: it is embedded
		}
		if err := write(filepath.Join(folder, filepath.FromSlash(path)), data); err != nil {
			return err
		}
	}
	return write(filepath.Join(folder, "policies", name+".yaml"), policy)
}

// ofGoRun is in the path of a program that `go run` removes when it ends.
var ofGoRun = regexp.MustCompile(`[/\\]go-build\d+[/\\]`)

// bring has executable be at link, too: as a link, or as itself where it would be gone
// by the time that it is wanted.
func bring(executable, link string) error {
	if !ofGoRun.MatchString(executable) {
		return os.Symlink(executable, link)
	}
	if os.Link(executable, link) == nil {
		return nil // it has two names
	}
	program, err := os.ReadFile(executable)
	if err != nil {
		return err
	}
	return os.WriteFile(link, program, 0o755)
}

// projectPolicy is the market's policy, for other data. What comes from outside
// goes through quote: a JSON string is a YAML one.
const projectPolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: {{quote .Name}}}
spec:
  mode: enforce
  model: {group: {{quote .Name}}}
  data:
    format: csv
    target: {{quote .Target}}
    train: {last: 2}
  signals:
    drift: {source: data, window: {objects: 1}, reference: champion, tests: [ks, psi]}
    rows: {source: data, reduce: rows, since: lastTrained}
  triggers:
    - {id: new-data, event: {type: Object Created}}
  rules:
    - {id: first, if: "!champion.exists && signals.rows.value >= {{.FirstRows}}"}
    - {id: drifted, if: "signals.drift.share >= 0.3 && signals.rows.value >= {{.AgainRows}}"}
  guards:
    concurrency: {limit: 1, overlap: buffer-one}
  run:
    stateMachine: {file: pipeline.asl.json}
    input:
      DataPath: {expr: training.prefix}
      TrainingJobName: {expr: "'train-' + run.id"}
      ModelOutputPath: s3://ml-data/models/
      HyperParameters:
        target: {{quote .Target}}
        task: {{.Task}}
        ignore: {{quote .IgnoreList}}
        champion: {expr: champion.artifact}
      Metric: {{.Metric}}
      MetricThreshold: {{.Threshold}}
    timeout: 1h
    model:
      state: RegisterModel
      artifact: {expr: state.parameters.Payload.ModelArtifact}
      metrics: {expr: state.parameters.Payload.Metrics}
  promote:
    if: "{{.Promote}}"
  notify:
    - {events: [started, failed, promoted], to: team}
`

func (o ProjectOptions) policy() ([]byte, error) {
	for _, name := range append([]string{o.Name, o.Target}, o.Ignore...) {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("the name %q is not UTF-8", name)
		}
	}
	values := struct {
		ProjectOptions
		FirstRows, AgainRows int
		IgnoreList           string
		Metric               string
		Threshold            float64
		Promote              string
	}{
		ProjectOptions: o,
		// Half, so that a few unreadable rows do not keep the first model away.
		FirstRows: max(1, o.ReferenceRows/2),
		// Two and a half batches, so that three are enough where they differ.
		AgainRows:  max(1, o.BatchRows*5/2),
		IgnoreList: joinNames(o.Ignore),
	}
	// The thresholds only stop what has learnt nothing: how good a model on
	// unknown data should be, only its champion can say.
	switch o.Task {
	case Classification:
		values.Metric, values.Threshold = "accuracy", 0.2
		values.Promote = "candidate.metrics.accuracy >= candidate.metrics.champion_accuracy"
	case Regression:
		values.Metric, values.Threshold = "r2", -1
		values.Promote = "candidate.metrics.mae <= candidate.metrics.champion_mae"
	default:
		return nil, fmt.Errorf("unknown task %q (have %s, %s)", o.Task, Classification, Regression)
	}
	page, err := template.New("policy").Funcs(template.FuncMap{"quote": quote}).Parse(projectPolicy)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, values); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// quote writes a string as JSON does, which is also YAML.
func quote(s string) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	// U+007F and the C1 controls are the only ones that JSON allows as they are
	// and YAML does not; U+FEFF is a byte order mark to it.
	var escaped strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if r >= 0x7f && r <= 0x9f || r == 0xfeff {
			fmt.Fprintf(&escaped, `\u%04x`, r)
			continue
		}
		escaped.WriteRune(r)
	}
	return escaped.String(), err
}

// joinNames writes a list of columns as splitNames reads it.
func joinNames(names []string) string {
	switch {
	case len(names) == 0:
		return ""
	case len(names) == 1 && names[0] == "":
		return `""` // encoding/csv would leave an empty line, which reads as no name
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(names) // into a Builder: cannot fail
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}
