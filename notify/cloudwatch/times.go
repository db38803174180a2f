package cloudwatch

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

const (
	mostValues = 150 // different ones of a metric: CloudWatch's most
	mostSeries = 200
)

// Times are durations that were not sent yet, by what they are of. Up to 150
// different ones of each are kept as they are, so that CloudWatch can make
// percentiles of them; of those beyond, only their number, sum, least and
// greatest are. Its methods may be called concurrently.
type Times struct {
	mu sync.Mutex
	by map[string]*series // guarded by mu
}

// series is durations of one metric, in milliseconds.
type series struct {
	of     Sample
	values map[float64]float64 // how often each
	rest   *types.StatisticSet // of those that found no place; nil: none
}

// Add adds how long something took. What is of more than 200 kinds is left out.
func (t *Times) Add(name string, dimensions map[string]string, took time.Duration) {
	ms := float64(took.Milliseconds())
	s := Sample{Name: name, Unit: Milliseconds, Dimensions: dimensions}
	t.give(&series{of: s, values: map[float64]float64{ms: 1}})
}

// give adds a series to what is there.
func (t *Times) give(more *series) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]*series{}
	}
	key := more.of.key()
	have := t.by[key]
	if have == nil {
		if len(t.by) >= mostSeries {
			return
		}
		have = &series{of: more.of, values: map[float64]float64{}}
		t.by[key] = have
	}
	for _, value := range slices.Sorted(maps.Keys(more.values)) {
		n := more.values[value]
		if _, known := have.values[value]; known || len(have.values) < mostValues {
			have.values[value] += n
			continue
		}
		have.set(types.StatisticSet{SampleCount: &n, Sum: aws.Float64(n * value), Minimum: &value, Maximum: &value})
	}
	if more.rest != nil {
		have.set(*more.rest)
	}
}

// set adds to those that found no place.
func (s *series) set(more types.StatisticSet) {
	if s.rest == nil {
		s.rest = &more
		return
	}
	s.rest = &types.StatisticSet{
		SampleCount: aws.Float64(*s.rest.SampleCount + *more.SampleCount),
		Sum:         aws.Float64(*s.rest.Sum + *more.Sum),
		Minimum:     aws.Float64(min(*s.rest.Minimum, *more.Minimum)),
		Maximum:     aws.Float64(max(*s.rest.Maximum, *more.Maximum)),
	}
}

// take is all that is there, which is then no longer.
func (t *Times) take() []*series {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*series
	for _, key := range slices.Sorted(maps.Keys(t.by)) {
		all = append(all, t.by[key])
	}
	clear(t.by)
	return all
}

// timed is a metric, and what to give back where it is not sent.
type timed struct {
	types.MetricDatum
	back *series
}

// data is a series as CloudWatch takes it.
func (s *series) data(now time.Time) []timed {
	var all []timed
	if len(s.values) > 0 {
		datum := datumOf(s.of, now)
		for _, value := range slices.Sorted(maps.Keys(s.values)) {
			datum.Values = append(datum.Values, value)
			datum.Counts = append(datum.Counts, s.values[value])
		}
		all = append(all, timed{datum, &series{of: s.of, values: s.values}})
	}
	if s.rest != nil {
		datum := datumOf(s.of, now)
		datum.StatisticValues = s.rest
		all = append(all, timed{datum, &series{of: s.of, rest: s.rest}})
	}
	return all
}
