package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/report"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/policy"
)

// A feed is an object that holds predictions or labels for a signal, or another
// tool's report. It is no training data, and needs no trigger.
type feed struct {
	Signal string        `json:"signal"`
	Labels bool          `json:"labels,omitempty"`
	Object anneal.Object `json:"object"`
}

// fedRecord is a feed that joined what its signal is measured on. Without a
// Signal it only closes the wake of a policy that is no longer loaded.
type fedRecord struct {
	Policy string          `json:"policy"`
	Event  string          `json:"event"`
	Silent bool            `json:"silent,omitempty"` // nothing is decided about the event
	Keep   policy.Duration `json:"keep,omitempty"`
	// Every keeps every version of an object: a detector has followed them.
	Every bool `json:"every,omitempty"`
	// Newest keeps nothing else: a report takes the place of the one before it.
	Newest bool `json:"newest,omitempty"`
	feed
}

// Fed is what a signal over predictions is measured on: the objects that came,
// in the order they came.
type Fed struct {
	Objects []fedObject `json:"objects"`
	// Labelled is when labels came last.
	Labelled time.Time `json:"labelled,omitzero"`
	// Came is how many objects ever joined.
	Came int64 `json:"came,omitempty"`
	// Stream is what a detector has found of them.
	Stream *stream `json:"stream,omitempty"`
}

type fedObject struct {
	URI     string    `json:"uri"`
	Version string    `json:"version,omitempty"`
	Labels  bool      `json:"labels,omitempty"`
	Rows    int64     `json:"rows"`
	Seen    time.Time `json:"seen"`
	No      int64     `json:"no,omitempty"` // its place among all that came, from 1

	VersionID string `json:"versionId,omitempty"`
	ETag      string `json:"etag,omitempty"`
}

// object is what is opened.
func (o *fedObject) object() anneal.Object {
	return anneal.Object{URI: o.URI, Version: o.Version, VersionID: o.VersionID, ETag: o.ETag}
}

// mostFed is how many objects a signal is measured on at most: the newest.
const mostFed = 20_000

// add takes an object in. One that is there already changes nothing, and a new
// version takes the place of the old one. Objects that no window can reach are
// let go, not one by one: each time the join is made anew.
func (f *Fed) add(r fedRecord) {
	o := fedObject{
		URI: r.Object.URI, Version: r.Object.Version, Labels: r.Labels, Rows: r.Object.Rows, Seen: r.Object.Seen,
		No: f.Came + 1, VersionID: r.Object.VersionID, ETag: r.Object.ETag,
	}
	if o.Labels && o.Rows > 0 && o.Seen.After(f.Labelled) {
		f.Labelled = o.Seen
	}
	same := func(x fedObject) bool {
		return x.URI == o.URI && x.Labels == o.Labels && (!r.Every || x.Version == o.Version)
	}
	if i := slices.IndexFunc(f.Objects, same); i >= 0 && f.Objects[i].Version == o.Version {
		return
	}
	f.Came++
	f.Objects = append(slices.DeleteFunc(f.Objects, same), o)
	oldest, gone := o.Seen.Add(-time.Duration(r.Keep)), 0
	for gone < len(f.Objects) && f.Objects[gone].Seen.Before(oldest) {
		gone++
	}
	if gone < max(16, len(f.Objects)/4) {
		gone = 0
	}
	if len(f.Objects)-gone > mostFed {
		gone = len(f.Objects) - mostFed*3/4
	}
	if r.Newest {
		gone = len(f.Objects) - 1
	}
	f.Objects = slices.Delete(f.Objects, 0, gone)
}

// fed is what a signal of a policy is measured on.
func (s *State) fed(policy, signal string) *Fed {
	if s.Fed == nil {
		s.Fed = map[string]map[string]*Fed{}
	}
	if s.Fed[policy] == nil {
		s.Fed[policy] = map[string]*Fed{}
	}
	if s.Fed[policy][signal] == nil {
		s.Fed[policy][signal] = &Fed{}
	}
	return s.Fed[policy][signal]
}

func (s *State) applyFed(r fedRecord) {
	if r.Signal != "" {
		s.fed(r.Policy, r.Signal).add(r)
	}
	if r.Silent {
		s.decided(r.Policy, r.Event)
	}
}

// feeds are what an event brings to the signals of p. Where keys begin with
// both, what is longer says what they are.
func feeds(p *policy.Policy, e anneal.Event) []feed {
	var found []feed
	object, isObject := dataObject(e)
	for _, name := range sortedKeys(p.Spec.Spec.Signals) {
		s := p.Spec.Spec.Signals[name]
		switch {
		case s.IsReport() && s.Event != "" && (s.Event == e.Type || s.Event == e.Source):
			found = append(found, feed{name, false, anneal.Object{URI: eventURI + e.ID, Version: e.ID, Bytes: int64(len(e.Data)), Event: e.ID, Seen: e.Seen}})
		case !s.IsFed() || !isObject:
		default:
			if labels, ok := fedBy(s, object.URI); ok {
				found = append(found, feed{name, labels, object})
			}
		}
	}
	return found
}

// fedBy says whether an object feeds a signal, and with what.
func fedBy(s policy.Signal, uri string) (labels, ok bool) {
	if s.IsReport() {
		return false, s.Path != "" && under(uri, s.Path) && report.Fits(s.Format, s.Metric, uri) || strings.HasPrefix(uri, eventURI)
	}
	predictions, truths := under(uri, s.Path), under(uri, s.Labels)
	return truths && (!predictions || len(s.Labels) > len(s.Path)), predictions || truths
}

// under reports whether the key of an object begins with prefix, or its URI with
// one that is a URI.
func under(uri, prefix string) bool {
	if strings.Contains(prefix, "://") {
		return strings.HasPrefix(uri, prefix)
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	return strings.HasPrefix(key, prefix)
}

// formOf says what is read of the objects that feed a signal.
func formOf(s policy.Signal, labels bool) outcome.Form {
	f := outcome.Form{Labels: labels, Key: s.Key, Numbers: s.OfNumbers() || labels && s.OfLists()}
	switch {
	case labels:
		f.Value = s.Label
		return f
	case len(s.Scores) > 0:
		f.Scores = s.Scores
		if !s.OfScores() {
			f.Value = s.Prediction
		}
	case s.OfScores() || s.OfLists():
		f.Score, f.Group = s.Score, s.Group
	case s.Estimate != "":
		f.Value, f.Score, f.Features = s.Prediction, s.Score, s.Features
	default:
		f.Value = s.Prediction
	}
	f.Time, f.Version = s.Time, s.Version
	return f
}

// feedJob is the reading of an object that feeds a signal of p.
func feedJob(p *policy.Policy, signal string, labels bool, o anneal.Object) profileJob {
	if s := p.Spec.Spec.Signals[signal]; s.IsReport() {
		f := report.Form{Format: s.Format, Pointer: s.Pointer}
		return profileJob{key: anneal.ID("report", o.URI, o.Version, f.Format, f.Pointer), object: o, report: &f}
	}
	f := formOf(p.Spec.Spec.Signals[signal], labels)
	parts := []string{"outcomes", o.URI, o.Version, f.Key, f.Value, strconv.FormatBool(f.Numbers), f.Score, f.Time, f.Version}
	if f.Group != "" {
		parts = append(parts, f.Group)
	}
	for _, class := range f.Scores.Classes() {
		parts = append(parts, "score", class, f.Scores[class])
	}
	for _, feature := range f.Features {
		parts = append(parts, "feature", feature)
	}
	return profileJob{key: anneal.ID(parts...), object: o, form: &f}
}

// feed has what w brought join what its signals are measured on.
func (c *Controller) feed(b *batch, p *policy.Policy, w *wake) {
	for _, r := range c.feedsOf(p, w) {
		b.put(KindFed, "", r)
	}
}

// feedsOf is what w brought, as it joins.
func (c *Controller) feedsOf(p *policy.Policy, w *wake) (records []fedRecord) {
	for _, f := range w.Feeds {
		s, ok := p.Spec.Spec.Signals[f.Signal]
		if !ok || !s.IsFed() { // another generation since
			continue
		}
		read := c.profiles.known[feedJob(p, f.Signal, f.Labels, f.Object).key]
		f.Object.Rows, f.Object.Ragged = read.rows, read.ragged
		keep := max(s.Window.Since, s.Calibration) + s.LabelsWithin
		records = append(records, fedRecord{Policy: w.Policy, Event: w.Event.ID, Keep: keep, Every: s.IsDetector(), Newest: s.IsReport(), feed: f})
	}
	return records
}

// swallow closes a wake about which nothing is decided.
func (c *Controller) swallow(b *batch, w *wake) {
	b.put(KindFed, "", fedRecord{Policy: w.Policy, Event: w.Event.ID, Silent: true})
}

// readOutcomes reads an object of predictions or labels, or finds that it was
// read before.
func (c *Controller) readOutcomes(ctx context.Context, job profileJob) (got known, data []byte, err error) {
	read := func(b *outcome.Batch) { got.rows, got.ragged = b.Rows, b.Ragged }
	record, err := c.cfg.Journal.Find(ctx, KindOutcomes, job.key)
	if err == nil {
		b, err := outcome.Decode(record.Data)
		if err == nil {
			read(b)
		}
		return got, nil, err
	}
	if !errors.Is(err, journal.ErrNotFound) {
		return got, nil, err
	}
	b, err := retry(ctx, c, job.object, func() (*outcome.Batch, error) { return c.cfg.Outcomes(ctx, job.object, *job.form) })
	if err != nil {
		return got, nil, err
	}
	read(b)
	return got, b.Encode(), nil
}

// performance measures a metric of the predictions that came with labels.
func (c *Controller) performance(ctx context.Context, p *policy.Policy, signal *anneal.Signal, now time.Time) error {
	s, fed := p.Spec.Spec.Signals[signal.Name], c.state.fed(p.Name(), signal.Name)
	if len(fed.Objects) > 0 {
		last := fed.Objects[len(fed.Objects)-1]
		signal.Window = anneal.ShortID("window", last.URI, last.Version)
	}
	have, err := c.joins.of(ctx, c.cfg.Journal, p, signal.Name, fed.Objects)
	if err != nil {
		return err
	}
	q := c.question(p, s, now)
	var m outcome.Measurement
	switch of, key := c.estimateKey(p, signal.Name, signal.ID); {
	case s.Estimate == "":
		m = have.join.Measure(q)
	case c.estimates[of].key != key:
		m = have.join.Estimate(q, time.Duration(s.Calibration))
	case c.estimates[of].odd != "":
		return errors.New(c.estimates[of].odd)
	default:
		m = c.estimates[of].of
	}
	detail := performanceDetail{Measurement: m, Unread: have.unread}
	if !fed.Labelled.IsZero() {
		detail.Labelled = &fed.Labelled
	}
	if signal.Detail, err = json.Marshal(detail); err != nil {
		return err
	}
	signal.N = m.N
	switch {
	case len(fed.Objects) == 0:
		signal.Status, signal.Error = anneal.SignalMissing, "no predictions have come"
	case fed.Labelled.IsZero():
		signal.Status, signal.Error = anneal.SignalMissing, "no labels have come"
	case s.Estimate == "" && now.Sub(fed.Labelled) > time.Duration(s.StaleAfter):
		signal.Status, signal.Error = anneal.SignalStale, "no labels have come since "+fed.Labelled.UTC().Format(time.RFC3339)
	case m.Value == nil:
		signal.Status, signal.Error = anneal.SignalMissing, m.Problem
	default:
		signal.Value, signal.Share, signal.Low, signal.High = m.Value, m.Coverage, m.Low, m.High
	}
	return nil
}

// question is what s asks of the champion's predictions.
func (c *Controller) question(p *policy.Policy, s policy.Signal, now time.Time) outcome.Question {
	q := outcome.Question{
		Metric: s.Metric, Average: s.Average, Positive: s.Positive, K: s.K, Scores: s.Scores, Way: s.Estimate,
		Now: now, Window: time.Duration(s.Window.Since), LabelsWithin: time.Duration(s.LabelsWithin), MinRows: s.MinRows,
	}
	if champion := c.state.Models.Champion(p.Group()); champion != nil {
		switch {
		case s.Version != "":
			version := strconv.Itoa(champion.Version)
			q.Versions = []string{champion.ID(), version, "v" + version}
		case len(c.state.Models.Versions(p.Group())) > 1 && c.replaced(champion):
			q.Since = champion.StageAt
		}
	}
	return q
}

// performanceDetail is the detail of a signal over predictions.
type performanceDetail struct {
	outcome.Measurement
	Labelled *time.Time `json:"labelled,omitempty"` // when labels came last
	Unread   int        `json:"unread,omitempty"`   // objects that could not be read as the policy has it now
}

// replaced reports whether the champion took the place of another: what was
// predicted before was not its own then. What came before the first champion
// of all was made by a model that nobody told of.
func (c *Controller) replaced(champion *anneal.Model) bool {
	return slices.ContainsFunc(c.state.Models.Versions(champion.Group), func(m anneal.Model) bool {
		return m.Version != champion.Version && m.Stage == anneal.StageRetired
	})
}

// joins remembers the joins that were used last. It belongs to the loop.
type joins struct {
	by     map[string]*joined // by policy and signal
	recent []string           // keys of by, the one used last at the end
}

// joined is a join and the objects that are in it, by the keys of what was
// read of them.
type joined struct {
	keys   []string
	unread int
	join   outcome.Join
	told   []toldOutcomes // that a detector has not followed yet
}

// toldOutcomes are those that were known by an object.
type toldOutcomes struct {
	no       int64 // the object's
	outcomes []outcome.Outcome
}

// keptJoins bounds how many joins are kept. One can take thirty megabytes.
const keptJoins = 8

// forget has the next join made anew.
func (js *joins) forget(policy, signal string) { delete(js.by, policy+"/"+signal) }

// of is the join of these objects, as p has them read. Objects that it finds
// nothing of are counted.
func (js *joins) of(ctx context.Context, j *journal.Journal, p *policy.Policy, signal string, objects []fedObject) (*joined, error) {
	var keys []string
	var chosen []fedObject
	for _, o := range objects {
		if labels, ok := fedBy(p.Spec.Spec.Signals[signal], o.URI); ok && labels == o.Labels {
			keys = append(keys, feedJob(p, signal, o.Labels, o.object()).key)
			chosen = append(chosen, o)
		}
	}
	name := p.Name() + "/" + signal
	js.recent = slices.DeleteFunc(js.recent, func(k string) bool { return k == name })
	have := js.by[name]
	if have == nil || len(have.keys) > len(keys) || !slices.Equal(have.keys, keys[:len(have.keys)]) {
		have = &joined{}
	}
	if js.by == nil {
		js.by = map[string]*joined{}
	}
	delete(js.by, name) // it is no use if what follows fails half-way
	for i := len(have.keys); i < len(keys); i++ {
		have.keys = append(have.keys, keys[i])
		record, err := j.Find(ctx, KindOutcomes, keys[i])
		if errors.Is(err, journal.ErrNotFound) {
			have.unread++
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("outcomes of %s: %w", chosen[i].URI, err)
		}
		batch, err := outcome.Decode(record.Data)
		if err != nil {
			return nil, fmt.Errorf("outcomes of %s: %w", chosen[i].URI, err)
		}
		if !p.Spec.Spec.Signals[signal].IsDetector() {
			have.join.Add(batch, chosen[i].Labels, chosen[i].Seen)
		} else if told := have.join.Follow(batch, chosen[i].Labels, chosen[i].Seen); len(told) > 0 {
			have.told = append(have.told, toldOutcomes{chosen[i].No, told})
		}
	}
	if len(js.recent) == keptJoins {
		delete(js.by, js.recent[0])
		js.recent = js.recent[1:]
	}
	js.by[name] = have
	js.recent = append(js.recent, name)
	return have, nil
}
