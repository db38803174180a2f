// Package cloudwatch reads metrics of Amazon CloudWatch, as a signal is measured
// on them.
//
// A [Query] is a statistic of one metric; [Reader.Read] reads many of them with
// few calls. What a [Reading] says at a moment is a function of it and the
// moment: the newest datapoint whose period was over by then. Queries of one
// region share calls, up to 500 each.
//
// A Reader keeps nothing. That a value is too old to be relied on, and that a
// former one is when a call fails, is decided by who asks.
package cloudwatch

import (
	"time"

	"github.com/anneal-ml/anneal"
)

// A Query is a statistic of one metric.
type Query struct {
	Region     string // that of the reader if empty
	Namespace  string
	Metric     string
	Dimensions map[string]string
	Stat       string        // as CloudWatch has them: Average, p99, TM(10%:90%)
	Period     time.Duration // of a datapoint
	Back       time.Duration // how far back the newest datapoint is looked for
}

// Key is the identity of what is asked, however far back.
func (q Query) Key() string {
	parts := []string{"metric", q.Region, q.Namespace, q.Metric, q.Stat, q.Period.String()}
	for _, name := range sortedKeys(q.Dimensions) {
		parts = append(parts, name, q.Dimensions[name])
	}
	return anneal.ID(parts...)
}

// A Point is one datapoint.
type Point struct {
	Begins time.Time // of its period
	Value  float64
}

// A Reading is what came of a query: its datapoints, newest first, or why there
// are none.
type Reading struct {
	Points []Point
	Err    error
}

// At is the newest datapoint whose period was over at a moment. Its end is when
// it was measured.
func (r Reading) At(moment time.Time, period time.Duration) (p Point, ok bool) {
	for _, p := range r.Points {
		if !p.Begins.Add(period).After(moment) {
			return p, true
		}
	}
	return Point{}, false
}
