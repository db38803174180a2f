package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	streams "github.com/anneal-ml/anneal/drift/stream"
	"github.com/anneal-ml/anneal/policy"
)

// stream is what a detector has found of the errors of predictions, and where it
// stands: a fold of the objects that fed its signal. Each step is a record, so a
// restart goes on with the very next error.
type stream struct {
	// Of is what was followed, and how: another detector, column or model begins
	// anew, with what is kept.
	Of       string `json:"of"`
	UpTo     int64  `json:"upTo"`  // the last object that was followed
	Detector []byte `json:"state"` // what the detector remembers

	N        int64     `json:"n"`        // outcomes
	Errors   float64   `json:"errors"`   // sum of them
	Drifts   int64     `json:"drifts"`   // found
	Warning  bool      `json:"warning"`  // since the last outcome
	Drift    time.Time `json:"drift"`    // when drift was found last
	At       time.Time `json:"at"`       // when the prediction was made that brought it
	Last     time.Time `json:"last"`     // when the last outcome was predicted
	Excluded int64     `json:"excluded"` // outcomes of other models, or whose label came too late
}

// streamRecord is a step of a stream.
type streamRecord struct {
	Policy string `json:"policy"`
	Signal string `json:"signal"`
	stream
}

func (s *State) applyStream(r streamRecord) { s.fed(r.Policy, r.Signal).Stream = &r.stream }

// watch has the detectors of p take in the outcomes that have become known, up
// to a moment.
func (c *Controller) watch(ctx context.Context, b *batch, p *policy.Policy, now time.Time) {
	for _, name := range sortedKeys(p.Spec.Spec.Signals) {
		s := p.Spec.Spec.Signals[name]
		if !s.IsDetector() {
			continue
		}
		fed := c.state.fed(p.Name(), name)
		next, changed, err := c.step(ctx, p, name, fed, now)
		if err != nil {
			b.fail(err)
			return
		}
		if changed {
			b.put(KindStream, p.Name()+"/"+name, streamRecord{p.Name(), name, next})
		}
	}
}

func (c *Controller) step(ctx context.Context, p *policy.Policy, name string, fed *Fed, now time.Time) (next stream, changed bool, err error) {
	s := p.Spec.Spec.Signals[name]
	q := c.question(p, s, now)
	predicted, labelled := formOf(s, false), formOf(s, true)
	of := anneal.ShortID("stream", s.Detector, predicted.Key, predicted.Value, predicted.Time, predicted.Version, labelled.Value, s.Metric,
		q.Since.UTC().Format(time.RFC3339Nano), strings.Join(q.Versions, " "))
	if fed.Stream != nil && fed.Stream.Of == of {
		next = *fed.Stream
	} else {
		next = stream{Of: of}
		c.joins.forget(p.Name(), name) // it has the outcomes told again
		changed = fed.Stream != nil
	}
	have, err := c.joins.of(ctx, c.cfg.Journal, p, name, fed.Objects)
	if err != nil {
		return next, false, err
	}
	have.told = slices.DeleteFunc(have.told, func(t toldOutcomes) bool { return t.no <= next.UpTo })
	if len(have.told) == 0 {
		return next, changed, nil
	}
	detector, err := drift.NewDetector(s.Detector)
	if err != nil {
		return next, false, err
	}
	if next.Detector != nil {
		if err := streams.Restore(detector, next.Detector); err != nil {
			return next, false, fmt.Errorf("signal %s of policy %s: %w", name, p.Name(), err)
		}
	}
	for _, told := range have.told {
		next.UpTo = told.no
		for _, o := range told.outcomes {
			at := time.UnixMilli(o.At).UTC()
			if len(q.Versions) > 0 && !slices.Contains(q.Versions, o.Version) || at.Before(q.Since) || o.Told-o.At > time.Duration(s.LabelsWithin).Milliseconds() {
				next.Excluded++
				continue
			}
			found, warning := detector.Add(o.Error)
			next.N++
			next.Errors += o.Error
			next.Last, next.Warning = at, warning
			if found {
				next.Drifts++
				next.Drift, next.At = now.UTC(), at
			}
		}
	}
	next.Detector = streams.Save(detector)
	return next, true, nil
}

// detectorDetail is the detail of a signal that is a detector.
type detectorDetail struct {
	Detector string     `json:"detector"`
	Found    string     `json:"found"` // drift, warning or nothing
	Drifts   int64      `json:"drifts"`
	Drift    *time.Time `json:"drift,omitempty"` // when it was found last
	At       *time.Time `json:"at,omitempty"`    // when the prediction was made that brought it
	Error    *float64   `json:"error"`           // mean error of all outcomes
	Last     *time.Time `json:"last,omitempty"`  // when the last outcome was predicted
	Excluded int64      `json:"excluded"`        // outcomes of other models, or whose label came too late
	Labelled *time.Time `json:"labelled,omitempty"`
}

// detected says what the detector of a signal has found: 1 for drift in the
// window, 0.5 for a warning, 0 for nothing.
func (c *Controller) detected(p *policy.Policy, signal *anneal.Signal, now time.Time) error {
	s, fed := p.Spec.Spec.Signals[signal.Name], c.state.fed(p.Name(), signal.Name)
	if len(fed.Objects) > 0 {
		last := fed.Objects[len(fed.Objects)-1]
		signal.Window = anneal.ShortID("window", last.URI, last.Version)
	}
	was := fed.Stream
	if was == nil {
		was = &stream{}
	}
	value := 0.0
	detail := detectorDetail{Detector: s.Detector, Found: "nothing", Drifts: was.Drifts, Excluded: was.Excluded}
	if was.Warning {
		value, detail.Found = 0.5, "warning"
	}
	if !was.Drift.IsZero() {
		detail.Drift, detail.At = &was.Drift, &was.At
		if now.Sub(was.Drift) < time.Duration(s.Window.Since) {
			value, detail.Found = 1, "drift"
		}
	}
	if was.N > 0 {
		mean := was.Errors / float64(was.N)
		detail.Error, detail.Last = &mean, &was.Last
	}
	if !fed.Labelled.IsZero() {
		detail.Labelled = &fed.Labelled
	}
	var err error
	if signal.Detail, err = json.Marshal(detail); err != nil {
		return err
	}
	signal.N = was.N
	least := s.MinRows
	if least == 0 {
		least = 30
	}
	switch {
	case len(fed.Objects) == 0:
		signal.Status, signal.Error = anneal.SignalMissing, "no predictions have come"
	case fed.Labelled.IsZero():
		signal.Status, signal.Error = anneal.SignalMissing, "no labels have come"
	case now.Sub(fed.Labelled) > time.Duration(s.StaleAfter):
		signal.Status, signal.Error = anneal.SignalStale, "no labels have come since "+fed.Labelled.UTC().Format(time.RFC3339)
	case was.N < least:
		signal.Status, signal.Error = anneal.SignalMissing, fmt.Sprintf("%d predictions have had their label: want %d", was.N, least)
	default:
		signal.Value = &value
	}
	return nil
}
