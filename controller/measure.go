package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/report"
	"github.com/anneal-ml/anneal/drift/statistics"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/policy"
)

// measure takes one signal of p about w, from profiles that are in the journal. A panic
// over it is that it cannot be taken.
func (c *Controller) measure(ctx context.Context, p *policy.Policy, name string, w *wake) (signal anneal.Signal) {
	defer func() {
		if odd := recover(); odd != nil {
			signal.Status, signal.Error = anneal.SignalFailed, fmt.Sprintf("measuring it panicked: %v", c.panicked("measuring", odd, "policy", p.Name(), "signal", name))
		}
	}()
	spec := p.Spec.Spec
	signal = anneal.Signal{
		ID:     anneal.ID("signal", w.Event.ID, p.Name(), name),
		Name:   name,
		Policy: p.Name(),
		Model:  spec.Model.Group,
		At:     w.Event.Seen,
		Status: anneal.SignalOK,
		Cause:  w.Event.ID,
	}
	data := c.state.data(p.Name())
	if spec.Signals[name].IsMetric() {
		if err := c.metric(spec.Signals[name], &signal, w.Event.Seen); err != nil {
			signal.Status, signal.Error = anneal.SignalFailed, err.Error()
		}
		return signal
	}
	if spec.Signals[name].IsQuality() {
		if err := c.quality(ctx, p, &signal); err != nil {
			signal.Status, signal.Error = anneal.SignalFailed, err.Error()
		}
		return signal
	}
	if spec.Signals[name].IsReport() {
		if err := c.reported(ctx, p, &signal, w.Event.Seen); err != nil {
			signal.Status, signal.Error = anneal.SignalFailed, err.Error()
		}
		return signal
	}
	if spec.Signals[name].IsDetector() {
		if err := c.detected(p, &signal, w.Event.Seen); err != nil {
			signal.Status, signal.Error = anneal.SignalFailed, err.Error()
		}
		return signal
	}
	if spec.Signals[name].IsPerformance() {
		if err := c.performance(ctx, p, &signal, w.Event.Seen); err != nil {
			signal.Status, signal.Error = anneal.SignalFailed, err.Error()
		}
		return signal
	}
	if !spec.Signals[name].IsDrift() {
		rows := float64(data.Rows - data.Trained)
		signal.Value, signal.N = &rows, data.Rows-data.Trained
		signal.Window = windowID(data.Objects[max(0, len(data.Objects)-1):])
		return signal
	}
	champion := c.state.Models.Champion(spec.Model.Group)
	if champion == nil {
		signal.Status, signal.Error = anneal.SignalMissing, "there is no champion to compare with"
		return signal
	}
	window := data.window(spec.Signals[name].Window.Objects, champion)
	if len(window) == 0 {
		signal.Status, signal.Error = anneal.SignalMissing, "no data has come since the champion's"
		return signal
	}
	signal.Window = windowID(window)
	comparison, err := c.compare(ctx, p, name, champion, window)
	if err == nil {
		signal.Detail, err = json.Marshal(comparison)
	}
	if err != nil {
		signal.Status, signal.Error = anneal.SignalFailed, err.Error()
		return signal
	}
	signal.N = comparison.CurrentRows
	if comparison.Share == nil {
		signal.Status, signal.Error = anneal.SignalMissing, unknowable(comparison)
		return signal
	}
	signal.Value, signal.Share, signal.Verdict = comparison.Share, comparison.Share, string(comparison.Verdict)
	why, due := drift.Due(comparison, data.Rows-data.Trained, c.state.Savings[p.Name()][name].See(signal.Window))
	signal.Due, signal.Why = &due, why
	return signal
}

// compare measures how far window has moved from what the champion was trained on, or
// knows it.
func (c *Controller) compare(ctx context.Context, p *policy.Policy, name string, champion *anneal.Model, window []anneal.Object) (drift.Comparison, error) {
	if of, key := c.comparisonKey(p, name, champion, window); c.comparisons.known[of].key == key {
		return c.comparisons.known[of].comparison, nil
	}
	own, err := c.comparing(ctx, p, name, champion, window)
	if err != nil {
		return drift.Comparison{}, err
	}
	return own.compare(), nil
}

// comparing is what profiles say of the champion's data and window.
func (c *Controller) comparing(ctx context.Context, p *policy.Policy, name string, champion *anneal.Model, window []anneal.Object) (own comparing, err error) {
	reference := champion.Objects
	if own.ref, err = c.profiles.merged(ctx, p, reference); err != nil {
		return own, fmt.Errorf("reference: %w", err)
	}
	if own.cur, err = c.profiles.merged(ctx, p, window); err != nil {
		return own, fmt.Errorf("window: %w", err)
	}
	own.by, own.opt = c.cfg.compare, driftOptions(p, p.Spec.Spec.Signals[name])
	switch own.opt.Rules {
	case drift.NannyMLRules:
		for _, o := range reference { // each object is a chunk
			part, err := c.profiles.merged(ctx, p, []anneal.Object{o})
			if err != nil {
				return own, fmt.Errorf("reference: %w", err)
			}
			own.opt.Chunks = append(own.opt.Chunks, part)
		}
	case drift.AnnealRules:
		own.opt.Alpha = c.state.Found[p.Name()][name].Level(cmp.Or(own.opt.Alpha, drift.DefaultAlpha))
		own.opt.Importance, own.alike = champion.Importance, champion.ImportanceProblem
		if err := c.seasonal(ctx, p, reference, &own); err != nil {
			return own, err
		}
	}
	if len(window) > 1 {
		for _, o := range window {
			part, err := c.profiles.merged(ctx, p, []anneal.Object{o})
			if err != nil {
				return own, fmt.Errorf("window: %w", err)
			}
			own.parts, own.names = append(own.parts, part), append(own.names, o.URI)
		}
	}
	return own, nil
}

// driftOptions are what a signal says of how drift is found.
func driftOptions(p *policy.Policy, s policy.Signal) drift.Options {
	opt := drift.Options{
		Target: p.Spec.Spec.Data.Target, Ignore: s.Ignore,
		Rules:  drift.RuleSet(cmp.Or(s.Rules, string(drift.AnnealRules))),
		Season: drift.Season(cmp.Or(s.Season, string(drift.AnySeason))),
		Alpha:  s.Alpha, Correction: statistics.Correction(s.Correction), MinRows: s.MinRows, Thresholds: s.Thresholds,
	}
	for _, test := range s.Chosen() {
		opt.Tests = append(opt.Tests, drift.Choice{Test: test})
	}
	return opt
}

// unknowable says why a comparison has no share.
func unknowable(c drift.Comparison) string {
	for _, column := range c.Columns {
		if column.Verdict == drift.TooFew {
			return fmt.Sprintf("too few rows to tell: %d against %d", c.CurrentRows, c.ReferenceRows)
		}
	}
	return "no column can be tested"
}

// windowID is the identity of the data in a window.
func windowID(objects []anneal.Object) string {
	parts := []string{"window"}
	for _, o := range objects {
		parts = append(parts, o.URI, o.Version)
	}
	return anneal.ShortID(parts...)
}

// profiles has each object read once, by a few workers, and remembers the
// merged profiles that were used last. It belongs to the loop; workers see only
// the jobs.
type profiles struct {
	cfg    Config
	queue  []profileJob
	jobs   chan profileJob
	wanted map[string]bool  // by key: queued or with a worker
	known  map[string]known // by key: of wakes that are not decided yet
	// again holds, by policy, what must be read before it decides anything.
	again  map[string]map[string]bool
	cache  map[string]*profile.Profile
	spans  map[string]drift.Span // of objects, by key and column of times
	recent []string              // keys of cache, the one used last at the end
	fresh  bool                  // something was read since the loop last decided
}

// known is what came of an object that was read.
type known struct {
	rows       int64
	ragged     int64 // rows skipped
	unreadable string
}

type profileJob struct {
	key    string
	object anneal.Object
	opt    dataset.Options
	unique []profile.Unique // of data: repetitions to look for
	form   *outcome.Form    // of predictions or labels
	report *report.Form     // of another tool's report; with neither it is data, which are profiled
	tries  int              // that S3 or the web has not given it in
}

func dataJob(p *policy.Policy, o anneal.Object) profileJob {
	return profileJob{key: profileKey(p, o), object: o, opt: dataset.Options{Format: p.Spec.Spec.Data.Format, Columns: columnsOf(p)}, unique: uniques(p)}
}

// jobs are what has to be read for a wake, as p has it read.
func (w *wake) jobs(p *policy.Policy) []profileJob {
	var jobs []profileJob
	if w.Object != nil {
		jobs = append(jobs, dataJob(p, *w.Object))
	}
	for _, f := range w.Feeds {
		if s, ok := p.Spec.Spec.Signals[f.Signal]; ok && s.IsFed() {
			jobs = append(jobs, feedJob(p, f.Signal, f.Labels, f.Object))
		}
	}
	return jobs
}

// cachedProfiles bounds how many merged profiles are kept decoded: the
// references and windows of a few policies. One can take a megabyte.
const cachedProfiles = 8

func newProfiles(cfg Config) profiles {
	return profiles{
		cfg: cfg, jobs: make(chan profileJob),
		wanted: map[string]bool{}, known: map[string]known{},
		again: map[string]map[string]bool{}, cache: map[string]*profile.Profile{},
		spans: map[string]drift.Span{},
	}
}

// columnsOf is the types that the policy gives, where they are not inferred.
func columnsOf(p *policy.Policy) map[string]dataset.Type {
	columns := map[string]dataset.Type{}
	for name, kind := range p.Spec.Spec.Data.Columns {
		columns[name] = dataset.Type(kind)
	}
	return columns
}

// profileKey is the identity of the profile of an object under p's schema.
func profileKey(p *policy.Policy, o anneal.Object) string {
	columns := p.Spec.Spec.Data.Columns
	parts := []string{"profile", o.URI, o.Version}
	for _, name := range sortedKeys(columns) {
		parts = append(parts, name, columns[name])
	}
	if f := p.Spec.Spec.Data.Format; f != "" && f != policy.FormatCSV { // what csv was read as before there was a choice
		parts = append(parts, "", f)
	}
	for _, u := range uniques(p) {
		parts = append(parts, "unique", u.Column)
		parts = append(parts, u.Ignore...)
	}
	return anneal.ID(parts...)
}

// want has the object of a wake read, if it brought one.
func (c *Controller) want(w *wake) {
	if p := c.generation.Load().policy(w.Policy); p != nil {
		for _, job := range w.jobs(p) {
			c.profiles.want(job)
		}
	}
}

func (ps *profiles) want(job profileJob) {
	if _, ok := ps.known[job.key]; ok || ps.wanted[job.key] {
		return
	}
	ps.wanted[job.key] = true
	ps.queue = append(ps.queue, job)
}

// wantAgain has read what p still needs and was read under another schema, or
// never: the champion's data and the policy's own. It decides nothing before.
func (c *Controller) wantAgain(ctx context.Context, p *policy.Policy) error {
	var objects []anneal.Object
	if champion := c.state.Models.Champion(p.Spec.Spec.Model.Group); champion != nil {
		objects = append(objects, champion.Objects...)
	}
	objects = append(objects, c.state.data(p.Name()).Objects...)
	var jobs []profileJob
	for _, o := range objects {
		jobs = append(jobs, dataJob(p, o))
	}
	for name, s := range p.Spec.Spec.Signals {
		if !s.IsFed() {
			continue
		}
		for _, o := range c.state.fed(p.Name(), name).Objects {
			if labels, ok := fedBy(s, o.URI); ok && labels == o.Labels {
				jobs = append(jobs, feedJob(p, name, labels, o.object()))
			}
		}
	}
	for _, job := range jobs {
		_, err := c.cfg.Journal.Find(ctx, job.kind(), job.key)
		if err == nil {
			continue
		}
		if !errors.Is(err, journal.ErrNotFound) {
			return fmt.Errorf("find what was read of %s: %w", job.object.URI, err)
		}
		delete(c.profiles.known, job.key) // that it could not be read: it is tried again
		c.profiles.want(job)
		if c.profiles.again[p.Name()] == nil {
			c.profiles.again[p.Name()] = map[string]bool{}
		}
		c.profiles.again[p.Name()][job.key] = true
	}
	return nil
}

// read takes in what came of an object, once its profile is in the journal.
func (ps *profiles) read(key string, k known) {
	ps.fresh = true
	delete(ps.wanted, key)
	for name, keys := range ps.again {
		if delete(keys, key); len(keys) == 0 {
			delete(ps.again, name)
		}
	}
	ps.known[key] = k
}

// forget drops what is known of objects that no wake waits for.
func (c *Controller) forget() {
	if len(c.profiles.known) < 2*maxWakes {
		return
	}
	needed := map[string]bool{}
	for _, w := range c.state.Wakes {
		if p := c.generation.Load().policy(w.Policy); p != nil {
			for _, job := range w.jobs(p) {
				needed[job.key] = true
			}
		}
	}
	maps.DeleteFunc(c.profiles.known, func(key string, _ known) bool { return !needed[key] })
}

// next is the job to hand out and where; a nil channel while there is none.
func (ps *profiles) next() (profileJob, chan<- profileJob) {
	if len(ps.queue) == 0 {
		return profileJob{}, nil
	}
	return ps.queue[0], ps.jobs
}

func (ps *profiles) started() { ps.queue = ps.queue[1:] }

// measured says whether everything that w needs has been read, and why it
// never can be.
func (c *Controller) measured(ctx context.Context, w *wake) (ready bool, unreadable string) {
	p := c.generation.Load().policy(w.Policy)
	if p == nil {
		return true, ""
	}
	ready = c.profiles.again[w.Policy] == nil
	for _, job := range w.jobs(p) {
		k, ok := c.profiles.known[job.key]
		if k.unreadable != "" {
			return ready, k.unreadable
		}
		ready = ready && ok
	}
	if ready = c.readings.read(w, p) && ready; !ready {
		return false, ""
	}
	ready = c.losses(ctx, w, p)
	compared, odd := c.compared(ctx, w, p)
	return ready && compared, odd
}

// profileWorker reads objects until ctx ends.
func (c *Controller) profileWorker(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-c.profiles.jobs:
			c.profileOne(ctx, job)
		case job := <-c.comparisons.jobs:
			c.again(ctx, job)
		}
	}
}

// kind is that of the record which holds what was read.
func (j profileJob) kind() string {
	switch {
	case j.form != nil:
		return KindOutcomes
	case j.report != nil:
		return KindReport
	}
	return KindProfile
}

// sheltered reads an object; a panic over it is that it cannot be read. It would come
// again at each start, and keep all other data from being looked at.
func (c *Controller) sheltered(o anneal.Object, read func() (known, []byte, error)) (got known, data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: reading it panicked: %v", o.URI, c.panicked("reading", p, "object", o.URI))
		}
	}()
	return read()
}

// panicked logs that something did, and gives what it says of it: a panic of a goroutine
// that worked for this one says where that was.
func (c *Controller) panicked(what string, p any, about ...any) (value any) {
	value, stack := p, debug.Stack()
	if within, ok := p.(*dataset.Panic); ok {
		value, stack = within.Value, within.Stack
	}
	c.log.Error(what+" panicked", append(about, "err", value, "stack", string(stack))...)
	return value
}

// profileOne reads one object, or finds that it was read before, and hands the
// loop what came of it.
func (c *Controller) profileOne(ctx context.Context, job profileJob) {
	read := c.readProfile
	if job.form != nil {
		read = c.readOutcomes
	}
	if job.report != nil {
		read = c.readReport
	}
	got, data, err := c.sheltered(job.object, func() (known, []byte, error) { return read(ctx, job) })
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, objects.ErrUnavailable) && job.tries < awayTries {
		c.tasks.Go(func() { c.readLater(ctx, job, err) })
		return
	}
	if err != nil {
		got.unreadable = strings.ToValidUTF8(err.Error(), "\uFFFD")
	}
	if err == nil && got.rows == 0 {
		c.log.Warn("object without a row", "object", job.object.URI)
	}
	if got.ragged > 0 {
		c.log.Warn("rows skipped: more or fewer fields than the header, or no JSON object", "object", job.object.URI, "rows", got.ragged)
	}
	c.do(ctx, func(b *batch) error {
		if data != nil {
			b.putData(job.kind(), job.key, data)
		}
		b.then = append(b.then, func(context.Context) { c.profiles.read(job.key, got) })
		return nil
	})
}

// awayTries is how often an object is asked for that S3 or the web does not give:
// for about a day.
const awayTries = 300

// readLater has a worker read an object again, after a while in which the
// workers are free for others.
func (c *Controller) readLater(ctx context.Context, job profileJob, err error) {
	job.tries++
	level := slog.LevelDebug // S3 says so itself, once for all objects
	if job.tries == 1 && !strings.HasPrefix(job.object.URI, "s3://") {
		level = slog.LevelWarn
	}
	c.log.Log(ctx, level, "object not available, trying again later", "object", job.object.URI, "err", err)
	if sleep(ctx, notify.Backoff(job.tries)) != nil {
		return
	}
	c.do(ctx, func(b *batch) error {
		b.then = append(b.then, func(context.Context) { c.profiles.queue = append(c.profiles.queue, job) })
		return nil
	})
}

// readProfile profiles an object, or finds that it was read before.
func (c *Controller) readProfile(ctx context.Context, job profileJob) (got known, data []byte, err error) {
	read := func(p *profile.Profile) { got.rows, got.ragged = p.Counts.Rows, p.Counts.Ragged }
	record, err := c.cfg.Journal.Find(ctx, KindProfile, job.key)
	if err == nil {
		p, err := profile.Decode(record.Data)
		if err == nil {
			read(p)
		}
		return got, nil, err
	}
	if !errors.Is(err, journal.ErrNotFound) {
		return got, nil, err
	}
	p, err := retry(ctx, c, job.object, func() (*profile.Profile, error) { return c.profile(ctx, job) })
	if err == nil {
		err = p.Counts.Check(job.object.URI)
	}
	if err != nil {
		return got, nil, err
	}
	read(p)
	return got, p.Encode(), nil
}

// profile summarises an object, and counts what repeats in it where that is asked.
func (c *Controller) profile(ctx context.Context, job profileJob) (*profile.Profile, error) {
	if len(job.unique) == 0 || c.cfg.Open == nil {
		return c.cfg.Profile(ctx, job.object, job.opt)
	}
	r, err := c.cfg.Open(ctx, job.object)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return profile.BuildRows(ctx, r, objects.Name(job.object.URI), job.opt, job.unique)
}

// readTries is how often an object is tried whose trouble may pass.
const readTries = 3

// retry reads an object. What is wrong with the data is final; trouble with
// reaching it is tried again.
func retry[T any](ctx context.Context, c *Controller, o anneal.Object, read func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		got, err := read()
		var unreadable *dataset.Error
		if err == nil || attempt == readTries || errors.As(err, &unreadable) || lasting(err) {
			return got, err
		}
		c.log.Warn("object not read, trying again", "object", o.URI, "err", err)
		if err := sleep(ctx, notify.Backoff(attempt)); err != nil {
			return got, err
		}
	}
}

// lasting says that an object will not be had by asking again at once.
func lasting(err error) bool {
	for _, kind := range []error{objects.ErrNotFound, objects.ErrNotMapped, objects.ErrBadURI, objects.ErrChanged, objects.ErrUnavailable} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// merged is the profile of all these objects together.
func (ps *profiles) merged(ctx context.Context, p *policy.Policy, objects []anneal.Object) (*profile.Profile, error) {
	keys := make([]string, 0, len(objects)) // two policies may read one object under two schemas
	for _, o := range objects {
		keys = append(keys, profileKey(p, o))
	}
	key := anneal.ID(keys...)
	ps.recent = slices.DeleteFunc(ps.recent, func(k string) bool { return k == key })
	if m := ps.cache[key]; m != nil {
		ps.recent = append(ps.recent, key)
		return m, nil
	}
	parts := make([]*profile.Profile, 0, len(objects))
	for i, o := range objects {
		record, err := ps.cfg.Journal.Find(ctx, KindProfile, keys[i])
		if err != nil {
			return nil, fmt.Errorf("profile of %s: %w", o.URI, err)
		}
		part, err := profile.Decode(record.Data)
		if err != nil {
			return nil, fmt.Errorf("profile of %s: %w", o.URI, err)
		}
		parts = append(parts, part)
	}
	m := profile.Merge(parts...)
	if len(ps.recent) == cachedProfiles {
		delete(ps.cache, ps.recent[0])
		ps.recent = ps.recent[1:]
	}
	ps.cache[key] = m
	ps.recent = append(ps.recent, key)
	return m, nil
}
