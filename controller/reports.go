package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/report"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/policy"
)

// eventURI begins the URI of a report that was POSTed: the data of an event, whose
// ID follows.
const eventURI = "event:"

// besideReport reports whether an object lies where reports come to p: tools write
// other files beside them, which are no data either.
func besideReport(p *policy.Policy, uri string) bool {
	for _, s := range p.Spec.Spec.Signals {
		if s.IsReport() && s.Path != "" && under(uri, s.Path) {
			return true
		}
	}
	return false
}

// readReport reads another tool's report, or finds that it was read before.
func (c *Controller) readReport(ctx context.Context, job profileJob) (got known, data []byte, err error) {
	got.rows = 1 // an empty report is refused, and no object without a row
	_, err = c.cfg.Journal.Find(ctx, KindReport, job.key)
	if err == nil || !errors.Is(err, journal.ErrNotFound) {
		return got, nil, err
	}
	r, err := retry(ctx, c, job.object, func() (*report.Report, error) {
		id, posted := strings.CutPrefix(job.object.URI, eventURI)
		if !posted {
			return c.cfg.Report(ctx, job.object, *job.report)
		}
		record, err := c.cfg.Journal.Find(ctx, KindEvent, id)
		if errors.Is(err, journal.ErrNotFound) {
			return nil, &dataset.Error{Name: job.object.URI, Reason: "is no longer in the journal"}
		}
		if err != nil {
			return nil, err
		}
		var e anneal.Event
		if err := decode(record, &e); err != nil {
			return nil, err
		}
		return report.Read(ctx, strings.NewReader(string(e.Data)), job.object.URI, *job.report)
	})
	if err != nil {
		return got, nil, err
	}
	data, err = json.Marshal(r)
	return got, data, err
}

// reported measures what the newest report says.
func (c *Controller) reported(ctx context.Context, p *policy.Policy, signal *anneal.Signal, now time.Time) error {
	s, fed := p.Spec.Spec.Signals[signal.Name], c.state.fed(p.Name(), signal.Name)
	if len(fed.Objects) == 0 {
		signal.Status, signal.Error = anneal.SignalMissing, "no report has come"
		return nil
	}
	last := fed.Objects[len(fed.Objects)-1]
	signal.At, signal.N = last.Seen, 1
	signal.Age = now.Sub(last.Seen).Seconds()
	signal.Window = anneal.ShortID("window", last.URI, last.Version)
	record, err := c.cfg.Journal.Find(ctx, KindReport, feedJob(p, signal.Name, false, last.object()).key)
	if errors.Is(err, journal.ErrNotFound) {
		signal.Status, signal.Error = anneal.SignalMissing, fmt.Sprintf("%s is no report in the format of %s", last.URI, s.Format)
		return nil
	}
	if err != nil {
		return fmt.Errorf("report %s: %w", last.URI, err)
	}
	var r report.Report
	if err := decode(record, &r); err != nil {
		return err
	}
	if r.Rows != nil {
		signal.N = *r.Rows
	}
	if signal.Detail, err = json.Marshal(reportDetail{last.URI, r.Brief()}); err != nil {
		return err
	}
	v, problem := r.Value(s.Metric, s.Column)
	switch {
	case now.Sub(last.Seen) > time.Duration(s.StaleAfter):
		signal.Status, signal.Error = anneal.SignalStale, "no report has come since "+last.Seen.UTC().Format(time.RFC3339)
	case problem != "":
		signal.Status, signal.Error = anneal.SignalMissing, problem
	default:
		signal.Value, signal.Share, signal.Low, signal.High = &v.Value, v.Share, v.Low, v.High
	}
	return nil
}

// reportDetail is the detail of a signal that is another tool's report.
type reportDetail struct {
	URI string `json:"uri"` // where it lies
	*report.Report
}
