package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	publish "github.com/anneal-ml/anneal/notify/cloudwatch"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// maxSources bounds how many event sources have a series of their own beside
// anneal's own: their names come from outside.
const maxSources = 50

// ownSources have a series from the start, whatever else floods in.
var ownSources = []string{anneal.SourceDirectory, anneal.SourceCron, anneal.SourceManual, anneal.SourceTimer, anneal.SourceRun}

// measures are what happened since the daemon began: counted as it is
// recorded, from the records.
type measures struct {
	events    *prometheus.CounterVec
	parked    prometheus.Counter
	decisions *prometheus.CounterVec
	runs      *prometheus.CounterVec
	runTime   *prometheus.HistogramVec
	notices   *prometheus.CounterVec
	signal    *prometheus.GaugeVec
	share     *prometheus.GaugeVec
	usable    *prometheus.GaugeVec

	executions     *prometheus.CounterVec
	executionTimes *publish.Times // not sent yet; nil: they are sent nowhere

	sources  map[string]prometheus.Counter // those of events that have a series; of the goroutine that follows
	machines map[string]bool               // state machines that have one; as sources

	mu      sync.Mutex
	pending []uint64                        // guarded by mu; event records that were not taken when last looked at
	room    int                             // guarded by mu; how many of them there may be before they are looked at
	loaded  map[signalKey]bool              // guarded by mu; signals of the policies that decide
	shown   map[signalKey]prometheus.Labels // guarded by mu; those that have series
}

// A signalKey is a signal of a policy.
type signalKey struct{ policy, signal string }

func newMeasures() *measures {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"policy", "model", "signal"})
	}
	m := &measures{
		events:    counter("anneal_events_total", "Events recorded, by the source they name.", "source"),
		parked:    prometheus.NewCounter(prometheus.CounterOpts{Name: "anneal_events_parked_total", Help: "Events put aside because they could not be processed."}),
		decisions: counter("anneal_decisions_total", "Decisions, by verdict.", "policy", "verdict"),
		runs:      counter("anneal_runs_ended_total", "Runs that ended, by how.", "policy", "model", "status"),
		runTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "anneal_run_duration_seconds", Help: "Time from the start of a run to its end.",
			Buckets: []float64{1, 10, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400},
		}, []string{"policy", "model", "status"}),
		notices: counter("anneal_notices_total", "Notices that came to their end: delivered, or given up.", "channel", "outcome"),
		signal:  gauge("anneal_signal_value", "A signal's value when it was last measured."),
		share:   gauge("anneal_signal_share", "The share of columns that drifted when a drift signal was last measured."),
		usable:  gauge("anneal_signal_ok", "1 where a signal could be relied on when it was last looked at, else 0."),

		executions: counter("anneal_executions_changed_total", "Changes of the status of executions of the embedded engine, by what they came to.", "machine", "status"),

		sources: map[string]prometheus.Counter{}, machines: map[string]bool{},
		loaded: map[signalKey]bool{}, shown: map[signalKey]prometheus.Labels{},
	}
	for _, name := range ownSources {
		m.sources[name] = m.events.WithLabelValues(name)
	}
	return m
}

// followMetrics counts what is recorded from record number from on. What signals were
// measured last is looked up first, so that a restart leaves no gap.
func (d *daemon) followMetrics(ctx context.Context, from uint64) error {
	if err := d.lastSignals(ctx, from); err != nil && ctx.Err() == nil {
		return err
	}
	for record, err := range d.journal.Follow(ctx, from, counted, countedKinds...) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("follow the journal: %w", err)
		}
		if err := d.measures.record(record); err != nil {
			return err
		}
		d.measures.settle(func() uint64 { return d.controller.Status().Taken })
	}
	return nil
}

// countedKinds are the kinds of records that are counted.
var countedKinds = []string{
	controller.KindEvent, kindTurn, controller.KindParked, controller.KindDecision, controller.KindRun, controller.KindSignal, controller.KindNotice,
}

// counted says whether a record of these kinds may count: most turns do not.
func counted(r journal.Record) bool { return r.Kind != kindTurn || engine.Changes(r) }

// lookBack is how many signal records are looked at for those measured last.
const lookBack = 2000

func (d *daemon) lastSignals(ctx context.Context, before uint64) error {
	seen, n := map[signalKey]bool{}, 0
	for record, err := range d.journal.Newest(ctx, controller.KindSignal, before) {
		if err != nil {
			return fmt.Errorf("look for the last signals: %w", err)
		}
		var s anneal.Signal
		if err := json.Unmarshal(record.Data, &s); err != nil {
			return fmt.Errorf("read signal record %d: %w", record.Seq, err)
		}
		if key := (signalKey{s.Policy, s.Name}); !seen[key] {
			seen[key] = true
			d.measures.measured(s)
		}
		if n++; n == lookBack {
			break
		}
	}
	return nil
}

// record counts one record.
func (m *measures) record(r journal.Record) error {
	var err error
	read := func(v any) bool {
		if e := json.Unmarshal(r.Data, v); e != nil {
			err = fmt.Errorf("read %s record %d: %w", r.Kind, r.Seq, e)
		}
		return err == nil
	}
	switch r.Kind {
	case controller.KindEvent:
		source, ok := plainSource(r.Data)
		var e struct{ Source, Parked string }
		if e.Source = source; !ok && !read(&e) {
			break
		}
		m.mu.Lock()
		m.pending = append(m.pending, r.Seq)
		m.mu.Unlock()
		m.source(e.Source).Inc()
		if e.Parked != "" {
			m.parked.Inc()
		}
	case kindTurn:
		err = m.turn(r)
	case controller.KindParked:
		m.parked.Inc()
	case controller.KindDecision:
		var d struct {
			Policy  string
			Verdict string
		}
		if read(&d) {
			m.decisions.WithLabelValues(d.Policy, d.Verdict).Inc()
		}
	case controller.KindRun:
		var run anneal.Run
		if read(&run) && run.Status.Ended() && run.Ended != nil {
			m.runs.WithLabelValues(run.Policy, run.Model, string(run.Status)).Inc()
			m.runTime.WithLabelValues(run.Policy, run.Model, string(run.Status)).Observe(run.Ended.Sub(run.Started).Seconds())
		}
	case controller.KindSignal:
		var s anneal.Signal
		if read(&s) {
			m.measured(s)
		}
	case controller.KindNotice:
		var n anneal.Notice
		if !read(&n) {
			break
		}
		if n.Delivered != nil {
			m.notices.WithLabelValues(n.Channel, "delivered").Inc()
		} else if n.GivenUp {
			m.notices.WithLabelValues(n.Channel, "given-up").Inc()
		}
	}
	return err
}

// plainSource is the source of an event, without reading the rest of it: false where
// it may be parked, or its source is written with an escape.
func plainSource(event []byte) (string, bool) {
	_, rest, ok := bytes.Cut(event, []byte(`"source":"`)) // within a text the quotes would be escaped
	source, _, closed := bytes.Cut(rest, []byte(`"`))
	return string(source), ok && closed && !bytes.Contains(source, []byte(`\`)) && !bytes.Contains(event, []byte(`"parked":`))
}

// source counts the events of a source.
func (m *measures) source(name string) prometheus.Counter {
	counter := m.sources[name]
	if counter == nil {
		if len(m.sources) >= len(ownSources)+maxSources {
			return m.events.WithLabelValues("other")
		}
		counter = m.events.WithLabelValues(name)
		m.sources[name] = counter
	}
	return counter
}

// load has the signals of these policies shown, and no others any more.
func (m *measures) load(policies []configs.Policy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.loaded)
	for _, p := range policies {
		for name := range p.Spec.Spec.Signals {
			m.loaded[signalKey{p.Name(), name}] = true
		}
	}
	for key := range m.shown {
		if !m.loaded[key] {
			m.hide(key)
		}
	}
}

// hide ends the series of a signal. The caller holds m.mu.
func (m *measures) hide(key signalKey) {
	for _, vec := range []*prometheus.GaugeVec{m.signal, m.share, m.usable} {
		vec.Delete(m.shown[key])
	}
	delete(m.shown, key)
}

// measured shows a signal. One that has no value now shows none.
func (m *measures) measured(s anneal.Signal) {
	labels := prometheus.Labels{"policy": s.Policy, "model": s.Model, "signal": s.Name}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := signalKey{s.Policy, s.Name}
	if !m.loaded[key] {
		return // its policy was unloaded meanwhile, or is another by now
	}
	if m.shown[key]["model"] != s.Model {
		m.hide(key)
	}
	m.shown[key] = labels
	for vec, value := range map[*prometheus.GaugeVec]*float64{m.signal: s.Value, m.share: s.Share} {
		if value != nil && s.Status == anneal.SignalOK {
			vec.With(labels).Set(*value)
		} else {
			vec.Delete(labels)
		}
	}
	usable := 0.0
	if s.Status == anneal.SignalOK {
		usable = 1
	}
	m.usable.With(labels).Set(usable)
}

// fewPending is how many event records may be pending, however few are, before those
// that were taken are dropped.
const fewPending = 4096

// settle drops the pending event records that were taken, where there have come to be
// many: nobody may ever ask for the lag.
func (m *measures) settle(taken func() uint64) {
	m.mu.Lock()
	many := len(m.pending) > max(m.room, fewPending)
	m.mu.Unlock()
	if many {
		m.lag(taken())
	}
}

// lag is how many events are recorded that the controller, who has taken those
// up to record number taken, has not.
func (m *measures) lag(taken uint64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(m.pending) && m.pending[n] <= taken {
		n++
	}
	m.pending = append(m.pending[:0], m.pending[n:]...)
	m.room = 2 * len(m.pending)
	return len(m.pending)
}

// metrics serves what Prometheus reads. Labels are names from the
// configuration, never IDs.
func (d *daemon) metrics() http.Handler {
	return promhttp.HandlerFor(d.registry(), promhttp.HandlerOpts{})
}

func (d *daemon) registry() *prometheus.Registry {
	r, m := prometheus.NewRegistry(), d.measures
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.events, m.parked, m.decisions, m.runs, m.runTime, m.notices, m.signal, m.share, m.usable, m.executions,
		stateCollector{d},
		journalCollector{d},
	)
	return r
}

var (
	buildInfo      = prometheus.NewDesc("anneal_build_info", "The build that runs, always 1.", []string{"version", "goversion"}, nil)
	readyState     = prometheus.NewDesc("anneal_ready", "1 where /readyz answers 200, else 0.", nil, nil)
	sourceOK       = prometheus.NewDesc("anneal_source_ok", "0 where a source of events does not work at present, else 1.", []string{"source"}, nil)
	channelOK      = prometheus.NewDesc("anneal_channel_ok", "0 where a channel of notices does not work at present, else 1.", []string{"channel"}, nil)
	cloudOK        = prometheus.NewDesc("anneal_aws_ok", "0 where another part that needs AWS does not work at present, else 1.", []string{"part"}, nil)
	executorOK     = prometheus.NewDesc("anneal_executor_ok", "0 where an executor does not work at present, else 1.", []string{"executor"}, nil)
	linesDropped   = prometheus.NewDesc("anneal_log_lines_dropped_total", "Lines of executions that their log groups refused.", nil, nil)
	journalRecords = prometheus.NewDesc("anneal_journal_records", "Number of the newest record.", nil, nil)
	eventsLag      = prometheus.NewDesc("anneal_events_lag", "Events recorded and not yet matched against the policies.", nil, nil)
	policiesLoaded = prometheus.NewDesc("anneal_policies_loaded", "Policies that decide.", nil, nil)
	reloadRefused  = prometheus.NewDesc("anneal_reload_refused", "1 where the files have changed and cannot be used, so that older ones are in force, else 0.", nil, nil)
	waiting        = prometheus.NewDesc("anneal_wakes_waiting", "Wakes taken and not decided yet.", nil, nil)
	oldestWake     = prometheus.NewDesc("anneal_wakes_oldest_seconds", "How long ago the event of the oldest wake that waits was seen; 0 where none waits.", nil, nil)
	championAge    = prometheus.NewDesc("anneal_champion_age_seconds", "How long ago the live model was trained.", []string{"policy", "model"}, nil)
	openRuns       = prometheus.NewDesc("anneal_runs_open", "Runs that have not ended.", []string{"policy", "model"}, nil)
	newRows        = prometheus.NewDesc("anneal_rows_since_training", "Rows that no successful run has trained on.", []string{"policy", "model"}, nil)
	policyPaused   = prometheus.NewDesc("anneal_policy_paused", "1 where the policy is paused, in its file or by a person, else 0.", []string{"policy", "model"}, nil)
	nextWake       = prometheus.NewDesc("anneal_policy_next_wake_timestamp_seconds", "When the policy wakes itself.", []string{"policy", "model"}, nil)
	championMetric = prometheus.NewDesc("anneal_champion_metric", "A metric of the live model.", []string{"policy", "model", "metric"}, nil)
)

// stateCollector reads how things stand as it is asked.
type stateCollector struct{ d *daemon }

func (c stateCollector) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, descs)
}

func (c stateCollector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	yes := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	status := c.d.controller.Status()
	version, goversion := build()
	gauge(buildInfo, 1, version, goversion)
	ok, _ := c.d.condition()
	gauge(readyState, yes(ok))
	works := map[string]*prometheus.Desc{partSource: sourceOK, partChannel: channelOK, partExecutor: executorOK, partAWS: cloudOK}
	for _, p := range c.d.parts() {
		gauge(works[p.kind], yes(p.wrong == ""), p.name)
	}
	if groups, ok := c.d.logs.(*logGroups); ok {
		metrics <- prometheus.MustNewConstMetric(linesDropped, prometheus.CounterValue, float64(groups.dropped.Load()))
	}
	gauge(journalRecords, float64(c.d.journal.Last()))
	gauge(eventsLag, float64(c.d.measures.lag(status.Taken)))
	gauge(waiting, float64(status.Waiting))
	oldest := 0.0
	if status.Oldest != nil {
		oldest = max(0, time.Since(*status.Oldest).Seconds())
	}
	gauge(oldestWake, oldest)
	policies, refused := c.d.generation.state()
	gauge(policiesLoaded, float64(policies))
	gauge(reloadRefused, yes(refused != nil))
	for _, p := range status.Policies {
		gauge(openRuns, float64(len(p.OpenRuns)), p.Name, p.Model)
		gauge(newRows, float64(p.Rows), p.Name, p.Model)
		gauge(policyPaused, yes(p.Paused != "" || p.Mode == "paused"), p.Name, p.Model)
		if p.NextWake != nil {
			gauge(nextWake, float64(p.NextWake.UnixMilli())/1000, p.Name, p.Model)
		}
		if p.TrainedAt != nil {
			gauge(championAge, max(0, time.Since(*p.TrainedAt).Seconds()), p.Name, p.Model)
		}
		for _, name := range sortedKeys(p.Metrics) {
			gauge(championMetric, p.Metrics[name], p.Name, p.Model, name)
		}
	}
}

// build is the version of this program, and of Go.
func build() (version, goversion string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", "unknown"
	}
	return info.Main.Version, info.GoVersion
}
