package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift/cloudwatch"
	"github.com/anneal-ml/anneal/policy"
)

const (
	// readWithin is how long metrics may take; a decision goes on without.
	readWithin = 20 * time.Second
	// readAgain is how long what was read is good for wakes that come later: a
	// burst of them is one call, and calls are paid for.
	readAgain = 10 * time.Second
)

// readings are metrics that signals are measured on, read for all wakes that wait
// in one go. They belong to the loop; the reader sees only the jobs. A wake is
// decided when each metric of its policy was read, or was tried, since its event
// was seen.
type readings struct {
	jobs   chan readJob
	busy   bool                        // the reader has a job
	wanted map[string]cloudwatch.Query // by key
	// Wanted are wanted for moments between these.
	earliest, latest time.Time
	known            map[string]heard // by key
}

// heard is what CloudWatch said of a metric.
type heard struct {
	points      []cloudwatch.Point // of the last call that went well
	from, until time.Time          // what the last call asked for
	problem     string             // of the last call
}

// A readJob is metrics to be read up to a moment.
type readJob struct {
	queries []cloudwatch.Query
	until   time.Time
}

func newReadings() readings {
	return readings{jobs: make(chan readJob), wanted: map[string]cloudwatch.Query{}, known: map[string]heard{}}
}

// queryOf is what a signal asks of CloudWatch. A datapoint is looked for twice as
// far back as one may be relied on, so that what is stale is told from what never
// was.
func queryOf(s policy.Signal) cloudwatch.Query {
	return cloudwatch.Query{
		Region: s.Region, Namespace: s.Namespace, Metric: s.Metric, Dimensions: s.Dimensions, Stat: s.Stat,
		Period: time.Duration(s.Period), Back: 2 * time.Duration(s.StaleAfter+s.Period),
	}
}

// queries are what p needs to decide about w.
func (w *wake) queries(p *policy.Policy) []cloudwatch.Query {
	if w.Silent || byHand(w.Trigger) || p.Gathers(w.Trigger, w.Event) {
		return nil
	}
	var all []cloudwatch.Query
	for _, s := range p.Spec.Spec.Signals {
		if s.IsMetric() {
			all = append(all, queryOf(s))
		}
	}
	return all
}

// read says whether the metrics that w needs were read, and wants those that
// were not.
func (rs *readings) read(w *wake, p *policy.Policy) bool {
	ready := true
	for _, q := range w.queries(p) {
		key := q.Key()
		if rs.known[key].answers(w.Event.Seen, q) {
			continue
		}
		ready = false
		if wanted, ok := rs.wanted[key]; !ok || wanted.Back < q.Back {
			rs.wanted[key] = q
		}
		if w.Event.Seen.After(rs.latest) {
			rs.latest = w.Event.Seen
		}
		if rs.earliest.IsZero() || w.Event.Seen.Before(rs.earliest) {
			rs.earliest = w.Event.Seen
		}
	}
	return ready
}

// answers reports whether nothing newer is to be had for something seen then.
func (k heard) answers(seen time.Time, q cloudwatch.Query) bool {
	if !k.from.After(seen.Add(-q.Back/2)) && !k.until.Before(seen.Add(-readAgain)) {
		return true
	}
	p, ok := cloudwatch.Reading{Points: k.points}.At(seen, q.Period)
	return ok && p.Begins.Add(2*q.Period).After(seen)
}

// next is the job to hand out and where; a nil channel while there is none.
func (rs *readings) next(now time.Time) (readJob, chan<- readJob) {
	if rs.busy || len(rs.wanted) == 0 {
		return readJob{}, nil
	}
	job := readJob{until: now}
	if rs.latest.After(now) {
		job.until = rs.latest
	}
	for _, key := range sortedKeys(rs.wanted) {
		q := rs.wanted[key]
		q.Back += job.until.Sub(rs.earliest) // a wake may have waited for days
		job.queries = append(job.queries, q)
	}
	return job, rs.jobs
}

func (rs *readings) started() { rs.busy = true }

// took takes in what came of a job. Where a metric could not be read, what was
// read of it before is kept. What is wanted still, the loop wants again: it looks
// at the wakes next.
func (rs *readings) took(job readJob, got []cloudwatch.Reading) {
	rs.busy, rs.earliest, rs.latest = false, time.Time{}, time.Time{}
	clear(rs.wanted)
	for i, q := range job.queries {
		k := rs.known[q.Key()]
		k.from, k.until, k.problem = job.until.Add(-q.Back), job.until, ""
		if got[i].Err != nil {
			k.problem = got[i].Err.Error()
		} else {
			k.points = got[i].Points
		}
		rs.known[q.Key()] = k
	}
}

// forget drops what no policy asks for.
func (rs *readings) forget(policies []*policy.Policy) {
	asked := map[string]bool{}
	for _, p := range policies {
		for _, s := range p.Spec.Spec.Signals {
			if s.IsMetric() {
				asked[queryOf(s).Key()] = true
			}
		}
	}
	maps.DeleteFunc(rs.known, func(key string, _ heard) bool { return !asked[key] })
}

// metricReader reads metrics until ctx ends.
func (c *Controller) metricReader(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-c.readings.jobs:
			got := c.readMetrics(ctx, job)
			c.do(ctx, func(b *batch) error {
				b.then = append(b.then, func(context.Context) {
					c.readings.took(job, got)
					c.profiles.fresh = true
				})
				return nil
			})
		}
	}
}

func (c *Controller) readMetrics(ctx context.Context, job readJob) []cloudwatch.Reading {
	if c.cfg.Metrics == nil {
		return slices.Repeat([]cloudwatch.Reading{{Err: fmt.Errorf("CloudWatch is not set up here")}}, len(job.queries))
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return c.cfg.Metrics(ctx, job.queries, job.until)
}

// metricDetail is the detail of a signal that is a metric of CloudWatch.
type metricDetail struct {
	Datapoint *time.Time `json:"datapoint,omitempty"` // when its period began
	Problem   string     `json:"problem,omitempty"`   // with reading it this time: the value is of a former time
}

// metric measures a metric as it was when the event was seen.
func (c *Controller) metric(s policy.Signal, signal *anneal.Signal, seen time.Time) error {
	q := queryOf(s)
	k := c.readings.known[q.Key()]
	point, ok := cloudwatch.Reading{Points: k.points}.At(seen, q.Period)
	detail := metricDetail{Problem: k.problem}
	if ok {
		detail.Datapoint = &point.Begins
		signal.At, signal.N = point.Begins.Add(q.Period), 1
		signal.Age = seen.Sub(signal.At).Seconds()
		signal.Window = anneal.ShortID("window", q.Key(), point.Begins.UTC().Format(time.RFC3339))
	}
	var err error
	if signal.Detail, err = json.Marshal(detail); err != nil {
		return err
	}
	switch {
	case !ok && k.problem != "":
		signal.Status, signal.Error = anneal.SignalFailed, k.problem
	case !ok:
		signal.Status, signal.Error = anneal.SignalMissing, fmt.Sprintf("CloudWatch has no datapoint of %s %s in the %s before", s.Namespace, s.Metric, policy.Duration(q.Back))
	case seen.Sub(signal.At) > time.Duration(s.StaleAfter):
		signal.Status, signal.Error = anneal.SignalStale, "the newest datapoint ended at "+signal.At.UTC().Format(time.RFC3339)
		if k.problem != "" {
			signal.Error += "; " + k.problem
		}
	default:
		signal.Value = &point.Value
	}
	return nil
}
