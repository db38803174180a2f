package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves what Prometheus reads: the process, the journal, and how each
// policy stands. Labels are names from the configuration, never IDs.
func (d *daemon) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		policyCollector{d},
		journalCollector{d},
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

var (
	journalRecords = prometheus.NewDesc("anneal_journal_records", "Number of the newest record.", nil, nil)
	waiting        = prometheus.NewDesc("anneal_wakes_waiting", "Wakes taken and not decided yet.", nil, nil)
	openRuns       = prometheus.NewDesc("anneal_runs_open", "Runs that have not ended.", []string{"policy", "model"}, nil)
	newRows        = prometheus.NewDesc("anneal_rows_since_training", "Rows that no successful run has trained on.", []string{"policy", "model"}, nil)
	championMetric = prometheus.NewDesc("anneal_champion_metric", "A metric of the live model.", []string{"policy", "model", "metric"}, nil)
)

// policyCollector reads the figures as they are asked for.
type policyCollector struct{ d *daemon }

func (c policyCollector) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, descs)
}

func (c policyCollector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	status := c.d.controller.Status()
	gauge(journalRecords, float64(c.d.journal.Last()))
	gauge(waiting, float64(status.Waiting))
	for _, p := range status.Policies {
		gauge(openRuns, float64(len(p.OpenRuns)), p.Name, p.Model)
		gauge(newRows, float64(p.Rows), p.Name, p.Model)
		for _, name := range sortedKeys(p.Metrics) {
			gauge(championMetric, p.Metrics[name], p.Name, p.Model, name)
		}
	}
}
