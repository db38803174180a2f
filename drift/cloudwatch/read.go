package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/anneal-ml/anneal/cloud"
)

const (
	mostQueries = 500  // a call: CloudWatch's most
	mostPages   = 50   // of one call
	mostPoints  = 2000 // that are kept of a query
	// widest is how coarse the beginning of what a call asks for may be, so that
	// it is one of each of its periods: CloudWatch counts periods from there.
	widest = time.Hour
)

// A Reader reads metrics. Its methods may be called concurrently.
type Reader struct {
	load func(ctx context.Context, region string) (aws.Config, error)
	log  *slog.Logger

	mu      sync.Mutex
	regions map[string]*region // guarded by mu; by what queries call it
	missing map[string]string  // guarded by mu; why others cannot be asked
}

type region struct {
	client    *api.Client
	condition *cloud.Condition
	service   cloud.Service
}

// New returns a reader. load is how the AWS of a region is reached; an empty
// region is the usual one.
func New(load func(ctx context.Context, region string) (aws.Config, error), log *slog.Logger) *Reader {
	return &Reader{load: load, log: log, regions: map[string]*region{}, missing: map[string]string{}}
}

// Condition is what is wrong with reading at present, with the remedy; empty if
// nothing is.
func (r *Reader) Condition() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, name := range sortedKeys(r.regions) {
		if wrong := r.regions[name].condition.String(); wrong != "" {
			all = append(all, wrong)
		}
	}
	for _, name := range sortedKeys(r.missing) {
		all = append(all, r.missing[name])
	}
	return strings.Join(all, "; ")
}

// Read reads queries up to a moment, and returns a reading for each, in their
// order. It gives up when ctx ends.
func (r *Reader) Read(ctx context.Context, queries []Query, end time.Time) []Reading {
	readings := make([]Reading, len(queries))
	calls := together(queries)
	// Regions do not wait for each other: one that is lost takes until ctx ends.
	var regions sync.WaitGroup
	for _, name := range sortedKeys(calls) {
		regions.Go(func() {
			for _, call := range calls[name] {
				r.call(ctx, name, call, queries, end, readings)
			}
		})
	}
	regions.Wait()
	return readings
}

// A call is some queries, by index, that are asked together.
type call struct {
	align   time.Duration // a multiple of each period
	back    time.Duration
	queries []int
}

// together are the calls for queries, by region.
func together(queries []Query) map[string][]*call {
	calls := map[string][]*call{}
	order := make([]int, len(queries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(queries[b].Period, queries[a].Period) })
	for _, i := range order {
		q := queries[i]
		var into *call
		for _, c := range calls[q.Region] {
			if both := lcm(c.align, q.Period); len(c.queries) < mostQueries && (both <= widest || both == c.align) {
				into = c
				break
			}
		}
		if into == nil {
			into = &call{align: q.Period}
			calls[q.Region] = append(calls[q.Region], into)
		}
		into.align, into.back = lcm(into.align, q.Period), max(into.back, q.Back)
		into.queries = append(into.queries, i)
	}
	return calls
}

func lcm(a, b time.Duration) time.Duration {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// call asks once, page by page, and writes the readings of its queries.
//
// Source: the CloudWatch API reference, GetMetricData and MetricDataResult.
func (r *Reader) call(ctx context.Context, name string, c *call, queries []Query, end time.Time, readings []Reading) {
	fail := func(err error) {
		for _, i := range c.queries {
			readings[i] = Reading{Err: err}
		}
	}
	at, err := r.region(ctx, name)
	if err != nil {
		fail(err)
		return
	}
	start := end.Add(-c.back).Unix()
	start -= start % int64(c.align/time.Second)
	in := &api.GetMetricDataInput{StartTime: aws.Time(time.Unix(start, 0)), EndTime: &end, ScanBy: types.ScanByTimestampDescending}
	for n, i := range c.queries {
		in.MetricDataQueries = append(in.MetricDataQueries, queries[i].asked(fmt.Sprintf("q%d", n)))
	}
	pages := api.NewGetMetricDataPaginator(at.client, in)
	for page := 0; pages.HasMorePages(); page++ {
		if page == mostPages {
			fail(fmt.Errorf("GetMetricData: more than %d pages: make staleAfter shorter or period longer", mostPages))
			return
		}
		began := time.Now()
		out, err := pages.NextPage(ctx)
		at.condition.Note(ctx, "GetMetricData", began, err)
		if err != nil {
			fail(errors.New(at.service.Explain("GetMetricData", err)))
			return
		}
		for _, result := range out.MetricDataResults {
			var n int
			if _, err := fmt.Sscanf(aws.ToString(result.Id), "q%d", &n); err != nil || n < 0 || n >= len(c.queries) {
				continue
			}
			readings[c.queries[n]].add(result)
		}
	}
	for _, i := range c.queries {
		slices.SortFunc(readings[i].Points, func(a, b Point) int { return b.Begins.Compare(a.Begins) })
		readings[i].Points = readings[i].Points[:min(len(readings[i].Points), mostPoints)]
	}
}

// add takes in what one page has of a query.
func (r *Reading) add(result types.MetricDataResult) {
	switch result.StatusCode {
	case types.StatusCodeForbidden, types.StatusCodeInternalError:
		said := []string{string(result.StatusCode)}
		for _, m := range result.Messages {
			said = append(said, aws.ToString(m.Value))
		}
		*r = Reading{Err: errors.New("GetMetricData: " + strings.Join(said, ": "))}
		return
	}
	if r.Err != nil {
		return
	}
	for i, at := range result.Timestamps {
		if i < len(result.Values) && !math.IsNaN(result.Values[i]) && !math.IsInf(result.Values[i], 0) {
			r.Points = append(r.Points, Point{at.UTC(), result.Values[i]})
		}
	}
}

// asked is the query as CloudWatch has it.
func (q Query) asked(id string) types.MetricDataQuery {
	stat := &types.MetricStat{
		Metric: &types.Metric{Namespace: &q.Namespace, MetricName: &q.Metric},
		Period: aws.Int32(int32(q.Period / time.Second)), Stat: &q.Stat,
	}
	for _, name := range sortedKeys(q.Dimensions) {
		stat.Metric.Dimensions = append(stat.Metric.Dimensions, types.Dimension{Name: aws.String(name), Value: aws.String(q.Dimensions[name])})
	}
	return types.MetricDataQuery{Id: &id, MetricStat: stat}
}

// region is how a region is reached.
func (r *Reader) region(ctx context.Context, name string) (*region, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.regions[name]; known != nil {
		return known, nil
	}
	with, err := r.load(ctx, name)
	if err != nil {
		if r.missing[name] != err.Error() {
			r.missing[name] = err.Error()
			r.log.Warn("metrics of cloudwatch cannot be read, trying again", "region", name, "err", err)
		}
		return nil, err
	}
	delete(r.missing, name)
	service := cloud.Service{Name: "CloudWatch", Prefix: "cloudwatch", Region: with.Region, Resource: "*, which GetMetricData cannot do without"}
	r.regions[name] = &region{client: api.NewFromConfig(with), service: service, condition: service.Watch(r.log)}
	return r.regions[name], nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
