package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	metrics "github.com/anneal-ml/anneal/drift/cloudwatch"
	"github.com/anneal-ml/anneal/journal"
	publish "github.com/anneal-ml/anneal/notify/cloudwatch"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/triggers/cloudwatch"
)

// This file has what is asked of Amazon CloudWatch and told to it.

// alarms makes the source of some alarms.
func alarms(ctx context.Context, settings *configs.CloudWatch, from *watched, log *slog.Logger) (*cloudwatch.Source, error) {
	with, err := awsOf(ctx, settings.Account(), "", 0)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	cfg := settings.Source()
	cfg.Since, cfg.Looked = from.begin(time.Now()), from.looked
	source, err := cloudwatch.New(cfg, with, log)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	return source, nil
}

// addAlarms makes a source of alarms.
func (d *daemon) addAlarms(ctx context.Context, settings *configs.CloudWatch) error {
	source, err := alarms(ctx, settings, new(watched), d.log)
	if err != nil {
		return err
	}
	name := "cloudwatch " + source.Region()
	for n := 2; d.sources[name] != nil; n++ {
		name = fmt.Sprintf("cloudwatch %s %d", source.Region(), n)
	}
	from, err := d.watched(ctx, name)
	if err != nil {
		return err
	}
	if d.sources[name], err = alarms(ctx, settings, from, d.log); err != nil {
		return err
	}
	return nil
}

// kindWatched is that of the records which say how far alarms were looked at.
const kindWatched = "watched"

// watched is how far the alarms of a source were looked at: a record, made anew
// now and then, so that a restart knows where it was.
type watched struct {
	daemon *daemon
	source string

	First time.Time `json:"first"` // look of all
	At    time.Time `json:"at"`    // no change before is untold
}

const (
	// watchedEvery is how far apart those records are.
	watchedEvery = time.Hour
	// watchedAgain is how long before At is looked again: histories lag. What was
	// told is known.
	watchedAgain = time.Hour
	// watchedMost is how far back at most: what is older may not be known as told.
	watchedMost = 14 * 24 * time.Hour
)

// watched is how far the journal says that a source has looked.
func (d *daemon) watched(ctx context.Context, source string) (*watched, error) {
	w := &watched{daemon: d, source: source}
	record, err := d.journal.Find(ctx, kindWatched, source)
	if errors.Is(err, journal.ErrNotFound) {
		return w, nil
	}
	if err == nil {
		err = json.Unmarshal(record.Data, w)
	}
	if err != nil {
		return w, fmt.Errorf("find how far %s has looked: %w", source, err)
	}
	return w, nil
}

// begin is how far back a start looks; zero where it is the first.
func (w *watched) begin(now time.Time) time.Time {
	if w.First.IsZero() {
		return time.Time{}
	}
	since := w.At.Add(-watchedAgain)
	for _, least := range []time.Time{w.First, now.Add(-watchedMost)} {
		if since.Before(least) {
			since = least
		}
	}
	return since
}

// looked records a look, where the last that was is some time ago.
func (w *watched) looked(ctx context.Context, at time.Time) {
	if at.Sub(w.At) < watchedEvery {
		return
	}
	next := watched{First: w.First, At: at.UTC()}
	if next.First.IsZero() {
		next.First = next.At
	}
	data, err := json.Marshal(next)
	if err == nil {
		_, err = w.daemon.journal.Append(ctx, journal.Record{Kind: kindWatched, Key: w.source, Data: data})
	}
	if err != nil {
		w.daemon.log.Debug("look at alarms not recorded, it will be", "source", w.source, "err", err)
		return
	}
	w.First, w.At = next.First, next.At
}

// alarms looks at the settings of alarms, and at those of AWS, without asking AWS.
func (d *doctor) alarms(settings *configs.CloudWatch) {
	source, err := alarms(d.ctx, settings, new(watched), slog.New(slog.DiscardHandler))
	if err != nil {
		d.fail("source cloudwatch", "correct it in "+d.cfg.File+", or in the environment", "%v", err)
		return
	}
	d.ok("source cloudwatch "+source.Region(), "%s every %s; AWS is not asked", listed(settings.Alarms), settings.Source().WithDefaults().Interval)
}

// newMetricReader is what reads the metrics that signals are measured on.
func (d *daemon) newMetricReader() *metrics.Reader {
	return metrics.New(func(ctx context.Context, region string) (aws.Config, error) {
		account := d.cfg.Settings.CloudWatch
		account.Region = cmp.Or(region, account.Region) // a signal may name its own
		with, err := awsOf(ctx, account, "", 0)
		if err == nil && with.Region == "" {
			err = errors.New("no region: set region of the signal, of cloudwatch in the settings, or AWS_REGION")
		}
		return with, err
	}, d.log)
}

// newPublisher makes what sends metrics; nil where nothing does.
func (d *daemon) newPublisher(ctx context.Context) (*publish.Publisher, error) {
	settings := d.cfg.Settings.Metrics.CloudWatch
	if settings == nil {
		return nil, nil
	}
	r, m := prometheus.NewRegistry(), d.measures
	m.executionTimes = &publish.Times{}
	r.MustRegister(m.events, m.parked, m.decisions, m.runs, m.executions, m.signal, m.share, m.usable, stateCollector{d})
	p, err := publisher(ctx, settings, func() []publish.Sample { return samples(r, d.log) }, m.executionTimes, d.log)
	if err != nil {
		return nil, usage(fmt.Errorf("metrics.cloudwatch: %w", err))
	}
	return p, nil
}

func publisher(ctx context.Context, settings *configs.MetricsCloudWatch, gather func() []publish.Sample, times *publish.Times, log *slog.Logger) (*publish.Publisher, error) {
	with, err := awsOf(ctx, settings.Account(), "", 0)
	if err != nil {
		return nil, err
	}
	return publish.New(settings.Publisher(), with, gather, times, log)
}

// published are the metrics that are sent, by their name at /metrics. Their
// dimensions are the labels there, with a capital.
var published = map[string]struct { // constant
	name string
	unit publish.Unit
}{
	"anneal_events_total":             {"EventsRecorded", publish.Count},
	"anneal_events_parked_total":      {"EventsParked", publish.Count},
	"anneal_events_lag":               {"EventsWaiting", publish.Count},
	"anneal_wakes_waiting":            {"WakesWaiting", publish.Count},
	"anneal_wakes_oldest_seconds":     {"OldestWakeAge", publish.Seconds},
	"anneal_decisions_total":          {"Decisions", publish.Count},
	"anneal_runs_open":                {"RunsOpen", publish.Count},
	"anneal_runs_ended_total":         {"RunsEnded", publish.Count},
	"anneal_signal_value":             {"SignalValue", publish.None},
	"anneal_signal_share":             {"DriftShare", publish.None},
	"anneal_signal_ok":                {"SignalUsable", publish.None},
	"anneal_champion_age_seconds":     {"ChampionAge", publish.Seconds},
	"anneal_source_ok":                {"SourceWorks", publish.None},
	"anneal_ready":                    {"Ready", publish.None},
	"anneal_executions_changed_total": {"", publish.Count}, // of its status
}

// executionMetrics are Step Functions' own names for changes of an execution's
// status.
//
// Source: the Step Functions developer guide, "Monitoring Step Functions metrics
// using Amazon CloudWatch".
var executionMetrics = map[anneal.Status]string{ // constant
	anneal.StatusRunning:   "ExecutionsStarted",
	anneal.StatusSucceeded: "ExecutionsSucceeded",
	anneal.StatusFailed:    "ExecutionsFailed",
	anneal.StatusTimedOut:  "ExecutionsTimedOut",
	anneal.StatusAborted:   "ExecutionsAborted",
}

// stateMachineArn is the dimension of those metrics, by Step Functions' name.
const stateMachineArn = "StateMachineArn"

// samples are the metrics that are sent, as they are now.
func samples(from prometheus.Gatherer, log *slog.Logger) []publish.Sample {
	families, err := from.Gather()
	if err != nil {
		log.Warn("metrics not gathered", "err", err)
	}
	var all []publish.Sample
	for _, family := range families {
		as, ok := published[family.GetName()]
		if !ok {
			continue
		}
		for _, m := range family.GetMetric() {
			s := publish.Sample{Name: as.name, Unit: as.unit, Dimensions: map[string]string{}, Value: m.GetGauge().GetValue()}
			if m.GetCounter() != nil {
				s.Counter, s.Value = true, m.GetCounter().GetValue()
			}
			for _, label := range m.GetLabel() {
				name := label.GetName()
				s.Dimensions[strings.ToUpper(name[:1])+name[1:]] = label.GetValue()
			}
			if s.Name == "" {
				s.Name = executionMetrics[anneal.Status(s.Dimensions["Status"])]
				s.Dimensions = map[string]string{stateMachineArn: s.Dimensions["Machine"]}
			}
			all = append(all, s)
		}
	}
	return all
}

// mostMachines bounds how many state machines have series of their own.
const mostMachines = 100

// kindTurn is that of the engine's turns.
const kindTurn = "turn"

// turn counts an execution's beginning and its end, in the turn that they are in.
// The children of a distributed Map are parts of theirs.
func (m *measures) turn(r journal.Record) error {
	h, err := engine.HeadOf(r)
	if err != nil || h.Of == "" {
		return err
	}
	machine := m.machine(h.Of)
	if h.First.Type == asl.ExecutionStarted {
		m.executions.WithLabelValues(machine, string(anneal.StatusRunning)).Inc()
	}
	if h.Status != asl.StatusRunning {
		m.executions.WithLabelValues(machine, h.Status).Inc()
		if m.executionTimes != nil {
			m.executionTimes.Add("ExecutionTime", map[string]string{stateMachineArn: machine}, h.Last.Timestamp.Sub(h.Began))
		}
	}
	return nil
}

func (m *measures) machine(arn string) string {
	if !m.machines[arn] {
		if len(m.machines) >= mostMachines {
			return "other"
		}
		m.machines[arn] = true
	}
	return arn
}

// publishing looks at the settings of metrics that are sent, without asking AWS.
func (d *doctor) publishing() {
	settings := d.cfg.Settings.Metrics.CloudWatch
	if settings == nil {
		return
	}
	p, err := publisher(d.ctx, settings, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		d.fail("metrics", "correct metrics.cloudwatch in "+d.cfg.File+", or the environment", "%v", err)
		return
	}
	d.ok("metrics", "to CloudWatch in %s, namespace %s; AWS is not asked", p.Region(), settings.Publisher().WithDefaults().Namespace)
}
