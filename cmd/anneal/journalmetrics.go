package main

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	journalBytes    = prometheus.NewDesc("anneal_journal_bytes", "Bytes that the journal takes on the disk.", nil, nil)
	journalFirst    = prometheus.NewDesc("anneal_journal_first_record", "Number of the oldest record.", nil, nil)
	journalOldest   = prometheus.NewDesc("anneal_journal_oldest_record_timestamp_seconds", "When the oldest record was made.", nil, nil)
	journalAppended = prometheus.NewDesc("anneal_journal_records_appended_total", "Records appended since the start.", nil, nil)
	journalTrimmed  = prometheus.NewDesc("anneal_journal_records_trimmed_total", "Records given up since the start because of the retention.", nil, nil)
	journalTrimAt   = prometheus.NewDesc("anneal_journal_trim_timestamp_seconds", "When records were last given up.", nil, nil)
	journalTrimBad  = prometheus.NewDesc("anneal_journal_trim_failed", "1 if the last try to give records up failed.", nil, nil)
	journalCommits  = prometheus.NewDesc("anneal_journal_commit_seconds", "How long a commit took to be written and synced.", nil, nil)
)

// journalCollector reads the journal's figures as they are asked for.
type journalCollector struct{ d *daemon }

func (c journalCollector) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, descs)
}

func (c journalCollector) Collect(metrics chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64) {
		metrics <- prometheus.MustNewConstMetric(desc, kind, value)
	}
	stats, retained := c.d.journal.Stats(), c.d.controller.Retained()
	if stats.Bytes >= 0 {
		send(journalBytes, prometheus.GaugeValue, float64(stats.Bytes))
	}
	send(journalFirst, prometheus.GaugeValue, float64(stats.First))
	send(journalAppended, prometheus.CounterValue, float64(stats.Records))
	send(journalTrimmed, prometheus.CounterValue, float64(retained.Trimmed))
	failed := 0.0
	if retained.Problem != "" {
		failed = 1
	}
	send(journalTrimBad, prometheus.GaugeValue, failed)
	if !retained.Oldest.IsZero() {
		send(journalOldest, prometheus.GaugeValue, float64(retained.Oldest.UnixMilli())/1e3)
	}
	if !retained.Last.IsZero() {
		send(journalTrimAt, prometheus.GaugeValue, float64(retained.Last.UnixMilli())/1e3)
	}
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, bound := range stats.Commits.Bounds {
		below += stats.Commits.Counts[i]
		buckets[bound] = below
	}
	metrics <- prometheus.MustNewConstHistogram(journalCommits, stats.Frames, stats.Commits.Sum, buckets)
}
