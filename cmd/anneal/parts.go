package main

import (
	"cmp"
	"slices"

	"github.com/anneal-ml/anneal/policy"
)

// A part is one that may not work at present while the daemon goes on.
type part struct{ kind, name, wrong string } // wrong is empty where it works

// The kinds of parts.
const (
	partSource   = "source"
	partChannel  = "channel"
	partExecutor = "executor"
	partAWS      = "aws" // what else needs it
)

// conditioned is what says what is wrong with it at present, or nothing.
type conditioned interface{ Condition() string }

// parts are all parts and what is wrong with each, in order.
func (d *daemon) parts() []part {
	var all []part
	for name, source := range d.sources {
		p := part{kind: partSource, name: name}
		if s, ok := source.(conditioned); ok {
			p.wrong = s.Condition()
		}
		all = append(all, p)
	}
	for name, channel := range d.channels {
		if c, ok := channel.(conditioned); ok {
			all = append(all, part{partChannel, name, c.Condition()})
		}
	}
	if wrong := d.remote.Condition(); wrong != "" || d.remoteUsed() {
		all = append(all, part{partExecutor, policy.ExecutorStepFunctions, wrong})
	}
	if d.readsMetrics() {
		all = append(all, part{partAWS, "metrics of cloudwatch", d.reader.Condition()})
	}
	if d.publisher != nil {
		all = append(all, part{partAWS, "metrics to cloudwatch", d.publisher.Condition()})
	}
	if logs, ok := d.logs.(*logGroups); ok {
		all = append(all, part{partAWS, "logs to cloudwatch", logs.wrong()})
	}
	if d.objects.Remote() {
		all = append(all, part{partAWS, "s3", d.objects.Condition()})
	}
	slices.SortFunc(all, func(a, b part) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })
	return all
}

// readsMetrics says whether a policy has a metric of CloudWatch as a signal.
func (d *daemon) readsMetrics() bool {
	for _, p := range d.generation.config().Policies {
		for _, s := range p.Spec.Spec.Signals {
			if s.IsMetric() {
				return true
			}
		}
	}
	return false
}
