package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cmd/anneal/demo"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/policy"
)

type demoOptions struct {
	data, target string
	ignore       []string
	task         string
	dir          string
	seed         uint64
	keep         bool
}

func newDemo() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Tell the whole story, with no set-up",
		Long: `Make a project folder, run the daemon in it, and drop batches of data into its inbox
one by one: an electricity market whose law changes, or, with --data, the CSV files of
a folder (reference* first, then by name). Each batch is measured, the policy decides,
a real training runs in a process of its own, and the better model is promoted. At the
end a table says what that was worth.

The project folder is an ordinary one: ` + "`anneal serve --config DIR/anneal.yaml`" + ` goes on in it.`,
		Example: "  anneal demo\n  anneal demo --data ./batches --target price --ignore id,comment\n  anneal demo --keep",
		Args:    cobra.NoArgs,
		// It is what makes a project.
		SuggestFor: []string{"init", "new"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.data == "") != (o.target == "") {
				return usage(errors.New("--data DIR and --target COLUMN go together"))
			}
			if have := []string{demo.Auto, demo.Classification, demo.Regression}; !slices.Contains(have, o.task) {
				return usage(fmt.Errorf("unknown task %q%s", o.task, policy.Have(o.task, have)))
			}
			return runDemo(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&o.data, "data", "", "folder of CSV files to use instead of the market")
	c.Flags().StringVar(&o.target, "target", "", "column to predict in them")
	c.Flags().StringSliceVar(&o.ignore, "ignore", nil, "columns not to learn from")
	c.Flags().StringVar(&o.task, "task", demo.Auto, "auto, classification or regression")
	c.Flags().StringVar(&o.dir, "dir", "", "project folder to make, which must not exist (default: a temporary one)")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the market")
	c.Flags().BoolVar(&o.keep, "keep", false, "go on serving afterwards")
	return c
}

// newDemoTrain is the hidden command that the demo's training jobs run.
func newDemoTrain() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-train",
		Short:  "Train a model under SageMaker's contract (run by the demo's pipeline)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := demo.EnvFrom(os.Getenv, cmd.OutOrStdout())
			if err == nil {
				err = demo.Train(cmd.Context(), env)
			}
			if err != nil {
				return &exit{exitNo, err}
			}
			return nil
		},
	}
}

// A batch is a file to drop.
type batch struct {
	name string
	rows int
	data func() ([]byte, error)
}

func runDemo(ctx context.Context, o demoOptions, out io.Writer) error {
	dir, err := demoFolder(o.dir)
	if err != nil {
		return usage(err)
	}
	executable, err := os.Executable()
	if err != nil {
		return broken(fmt.Errorf("find the program: %w", err))
	}
	batches, metric, err := prepare(dir, executable, o)
	if err != nil {
		os.RemoveAll(dir) // it was made here, and would be in the way of the next try
		return usage(err)
	}
	logFile, err := os.Create(filepath.Join(dir, "anneal.log"))
	if err != nil {
		return broken(err)
	}
	defer logFile.Close()
	cfg, err := configs.Load(filepath.Join(dir, "anneal.yaml"), loadOptions())
	if err != nil {
		return broken(err)
	}
	cfg.Settings.Listen, cfg.Settings.Embedded.Listen = "127.0.0.1:0", "127.0.0.1:0" // a daemon may be here already
	d, err := assemble(ctx, cfg, slog.New(slog.NewTextHandler(logFile, nil)), 0)
	if err != nil {
		return err
	}
	defer d.close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()

	s := newStory(out, d, dir, metric)
	told := make(chan error, 1)
	go func() { told <- s.tell(ctx, batches) }()
	select {
	case err := <-ended: // the daemon broke, or somebody stopped it
		stop()
		<-told
		return err
	case err = <-told:
	}
	if err == nil && o.keep {
		fmt.Fprintf(out, "\nserving on %s until stopped; drop CSV files into %s\nfor commands   export ANNEAL_SERVER=%[1]s\n", d.address(), filepath.Join(dir, demo.Inbox))
		return <-ended
	}
	stop()
	if stopErr := <-ended; err == nil {
		err = stopErr
	}
	if err == nil {
		program := filepath.Join(dir, "anneal") // which is there however this one was started
		fmt.Fprintf(out, "\nwhy   %s explain --policy %s --data %s\n", program, cfg.Policies[0].Name(), cfg.Settings.Data)
		fmt.Fprintf(out, "on    %s serve --config %s\n", program, cfg.File)
	}
	return err
}

func demoFolder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "anneal-demo-")
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("%s exists already: name a folder to be made", dir)
		}
		return "", err
	}
	return filepath.Abs(dir)
}

// prepare makes the project folder and the batches to drop into it, and names
// the metric of the story.
func prepare(dir, executable string, o demoOptions) (batches []batch, metric string, err error) {
	if o.data == "" {
		for _, f := range demo.Market(o.seed) {
			batches = append(batches, batch{f.Name, f.Rows, func() ([]byte, error) { return f.Data, nil }})
		}
		return batches, "accuracy", demo.WriteMarket(dir, executable)
	}
	files, err := demo.Batches(o.data)
	if err != nil {
		return nil, "", err
	}
	summary, err := demo.Summarise(files, o.target, o.ignore)
	if err != nil {
		return nil, "", err
	}
	task := o.task
	if task == demo.Auto {
		task = summary.Task
	}
	metric = "accuracy"
	if task == demo.Regression {
		metric = "mae"
	}
	for _, file := range files {
		batches = append(batches, batch{filepath.Base(file), 0, func() ([]byte, error) { return os.ReadFile(file) }})
	}
	return batches, metric, demo.WriteProject(dir, executable, demo.ProjectOptions{
		Name: "demo", Target: o.target, Task: task, Ignore: o.ignore,
		ReferenceRows: summary.ReferenceRows, BatchRows: summary.BatchRows,
	})
}

// A story drops batches and tells what comes of them, as it happens.
type story struct {
	out    io.Writer
	d      *daemon
	dir    string
	color  bool
	table  demo.Table
	first  *demo.Model // the first champion
	live   *demo.Model // the champion
	liveID string

	records chan journal.Record
	heard   uint64 // number of the last record told of
	signals map[string]anneal.Signal
	row     *demo.Batch
}

func newStory(out io.Writer, d *daemon, dir, metric string) *story {
	s := &story{
		out: out, d: d, dir: dir,
		table:   demo.Table{Metric: metric, LowerIsBetter: metric == "mae"},
		records: make(chan journal.Record), signals: map[string]anneal.Signal{},
	}
	if f, ok := fileOf(out); ok {
		s.color = demo.Colored(f, os.Getenv)
	}
	return s
}

func (s *story) tell(ctx context.Context, batches []batch) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(s.follow(ctx)) }()
	fmt.Fprintf(s.out, "project %s\n", s.dir)
	for _, b := range batches {
		data, err := b.data()
		if err != nil {
			return err
		}
		if err := s.drop(ctx, b, data); err != nil {
			return err
		}
		s.table.Batches = append(s.table.Batches, *s.row)
	}
	fmt.Fprintln(s.out)
	return s.table.Write(s.out, 96, s.color)
}

// follow hands on what the journal takes in.
func (s *story) follow(ctx context.Context) error {
	for record, err := range s.d.journal.Read(ctx, 1, true) {
		if err != nil {
			return err
		}
		select {
		case s.records <- record:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// drop puts a batch into the inbox and tells until nothing more comes of it.
func (s *story) drop(ctx context.Context, b batch, data []byte) error {
	s.row = &demo.Batch{Name: b.name, Rows: b.rows, Model: s.liveID}
	inbox := filepath.Join(s.dir, demo.Inbox)
	hidden := filepath.Join(inbox, "."+b.name)
	if err := os.WriteFile(hidden, data, 0o666); err != nil {
		return broken(err)
	}
	if err := os.Rename(hidden, filepath.Join(inbox, b.name)); err != nil {
		return broken(err)
	}
	s.score(filepath.Join(inbox, b.name))
	fmt.Fprintf(s.out, "\n%s\n", s.bold(b.name))
	arrived := false
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case record := <-s.records:
			if err := s.happened(ctx, record, b.name, &arrived); err != nil {
				return err
			}
		case <-tick.C:
			if arrived && s.quiet(ctx) {
				return nil
			}
		}
	}
}

// quiet reports whether everything that was taken in has come to its end, and
// has been told.
func (s *story) quiet(ctx context.Context) bool {
	status := s.d.controller.Status()
	if status.Waiting > 0 || s.heard < s.d.journal.Last() {
		return false
	}
	for _, p := range status.Policies {
		if len(p.OpenRuns) > 0 {
			return false
		}
	}
	for record, err := range s.d.journal.Newest(ctx, controller.KindEvent, 0) {
		return err == nil && record.Seq <= status.Taken
	}
	return false
}

// score measures the live model and the first one on a batch that neither has
// seen yet.
func (s *story) score(path string) {
	rows, err := demo.ReadFile(path)
	if err != nil {
		return // the policy will say what is wrong with it
	}
	s.row.Rows = len(rows.Records)
	measure := func(m *demo.Model) *float64 {
		if m == nil {
			return nil
		}
		metrics, n, err := m.Score(rows)
		value, ok := metrics[s.table.Metric]
		if err != nil || n == 0 || !ok {
			return nil
		}
		return &value
	}
	s.row.Live, s.row.Never = measure(s.live), measure(s.first)
}

// happened tells of one record.
func (s *story) happened(ctx context.Context, record journal.Record, name string, arrived *bool) error {
	s.heard = record.Seq
	switch record.Kind {
	case controller.KindEvent:
		var e anneal.Event
		if err := json.Unmarshal(record.Data, &e); err != nil {
			return broken(err)
		}
		if e.Subject == name {
			*arrived = true
			s.say("arrived", "%d rows, event %s", s.row.Rows, e.ID)
		}
	case controller.KindParked:
		var why struct {
			Reason string `json:"reason"`
		}
		if err := json.Unmarshal(record.Data, &why); err != nil {
			return broken(err)
		}
		s.row.Verdict, s.row.Reason = "parked", why.Reason
		s.say("parked", "%s", why.Reason)
	case controller.KindSignal:
		var signal anneal.Signal
		if err := json.Unmarshal(record.Data, &signal); err != nil {
			return broken(err)
		}
		s.signals[signal.Name] = signal
	case controller.KindDecision:
		var d anneal.Decision
		if err := json.Unmarshal(record.Data, &d); err != nil {
			return broken(err)
		}
		s.decided(d)
	case controller.KindRun:
		var r anneal.Run
		if err := json.Unmarshal(record.Data, &r); err != nil {
			return broken(err)
		}
		s.ran(r)
	case controller.KindModel:
		var m anneal.Model
		if err := json.Unmarshal(record.Data, &m); err != nil {
			return broken(err)
		}
		return s.trained(ctx, m)
	}
	return nil
}

func (s *story) decided(d anneal.Decision) {
	if drift, ok := s.signals["drift"]; ok && drift.Cause == d.Cause {
		switch rows := s.signals["rows"]; {
		case drift.Share != nil:
			s.row.Drift = drift.Share
			s.say("measured", "%.0f %% of the columns drifted%s; %.0f rows since the last training", 100**drift.Share, driftedColumns(drift), *rows.Value)
		case rows.Value != nil:
			s.say("measured", "drift is %s (%s); %.0f rows since the last training", drift.Status, drift.Error, *rows.Value)
		}
	}
	if s.row.Verdict != anneal.VerdictRun {
		s.row.Verdict, s.row.Reason = d.Verdict, shortReason(d)
	}
	s.say(string(d.Verdict), "%s", d.Reason)
}

// shortReason fits into a table: where no rule is true, how far each has come.
func shortReason(d anneal.Decision) string {
	if d.Rule != "" || !strings.HasPrefix(d.Reason, "no rule") {
		return d.Reason
	}
	for _, r := range d.Rules {
		if r.For != "" && !strings.HasPrefix(r.For, "0 ") {
			return r.ID + ": " + r.For
		}
	}
	return "no rule is true"
}

// driftedColumns names the columns that a drift signal found drifted.
func driftedColumns(signal anneal.Signal) string {
	var comparison struct {
		Columns []struct {
			Name    string `json:"name"`
			Target  bool   `json:"target"`
			Verdict string `json:"verdict"`
		} `json:"columns"`
	}
	if json.Unmarshal(signal.Detail, &comparison) != nil {
		return ""
	}
	var names []string
	for _, c := range comparison.Columns {
		if c.Verdict == "drift" && !c.Target {
			names = append(names, printable(c.Name))
		}
	}
	switch {
	case len(names) == 0:
		return ""
	case len(names) > 4:
		return fmt.Sprintf(" (%s and %d more)", strings.Join(names[:4], ", "), len(names)-4)
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func (s *story) ran(r anneal.Run) {
	switch {
	case r.Status == anneal.StatusPending:
		s.table.Runs++
		s.say("training", "%s, %d rows", count(len(r.Training.Objects), "object"), r.Training.Rows)
	case r.Status.Ended() && r.Status != anneal.StatusSucceeded:
		s.say("failed", "%s: %s", r.Error, r.Cause)
	case r.Status.Ended():
		s.say("trained", "in %s, run %s", r.Ended.Sub(r.Started).Round(10*time.Millisecond), r.ID)
	}
}

// tooGood is a metric that real data seldom allow, and leaked targets do.
const tooGood = 0.999

func (s *story) trained(ctx context.Context, m anneal.Model) error {
	switch m.Stage {
	case anneal.StageCandidate:
		text := fmt.Sprintf("%s %.4g", s.table.Metric, m.Metrics[s.table.Metric])
		if champion, ok := m.Metrics["champion_"+s.table.Metric]; ok {
			text += fmt.Sprintf(", the champion's on the same rows %.4g", champion)
		}
		s.say("model", "%s: %s", m.ID(), text)
		if m.Reason != "" {
			s.say("", "%s", m.Reason)
		}
		if s.first == nil && (m.Metrics["r2"] > tooGood || m.Metrics["accuracy"] > tooGood) {
			s.say("note", "that is too good: does a column give the target away? Leave it out with --ignore")
		}
	case anneal.StageLive:
		s.table.Promoted++
		s.say("promoted", "%s is live: %s", m.ID(), m.Reason)
		model, err := demo.Load(ctx, s.d.objects, m.Artifact.URI)
		if err != nil {
			return broken(fmt.Errorf("load model %s: %w", m.ID(), err))
		}
		s.live, s.liveID = model, m.ID()
		if s.first == nil {
			s.first = model
		}
	}
	return nil
}

// say prints one line of the story.
func (s *story) say(what, format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	if r := []rune(text); len(r) > 150 {
		text = string(r[:149]) + "…"
	}
	fmt.Fprintf(s.out, "  %s %s\n", s.tint(what), text)
}

func (s *story) bold(text string) string {
	if !s.color {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// tint colours the first word of a line by what it means.
func (s *story) tint(word string) string {
	padded := fmt.Sprintf("%-9s", word)
	color, ok := map[string]string{
		"run": "33", "training": "33", "promoted": "32", "failed": "31", "parked": "31", "error": "31",
		"hold": "2", "defer": "2", "arrived": "36", "measured": "36",
	}[word]
	if !s.color || !ok {
		return padded
	}
	return "\x1b[" + color + "m" + padded + "\x1b[0m"
}
