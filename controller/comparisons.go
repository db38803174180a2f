package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/witness"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/policy"
)

// What is read again for a comparison is bounded, whatever the data. Of objects
// that are together more than mostAgain every second, fourth and so on is read for
// a witness, and no columns for their values.
const (
	mostAgain   = 256 << 20 // bytes as they are stored, of each side
	fitWithin   = 2 * time.Minute
	againWithin = 30 * time.Second
	keptWitness = 64
)

// comparisons are what drift signals rest on where it takes the rows themselves: a
// witness of the champion's data, fitted once and ahead of time, and what the
// newest window came to. They belong to the loop; workers see only the jobs. A
// wake is decided when its windows are compared.
type comparisons struct {
	jobs   chan againJob
	queue  []againJob
	wanted map[string]bool // by key: queued or with a worker
	fits   bool            // a worker fits a witness: the others stay free for what wakes wait for

	witnesses map[string]fitted // by key
	recent    []string          // keys of witnesses, the one used last at the end
	known     map[string]compared
}

// fitted is a witness, or why there is none. What may pass is tried again.
type fitted struct {
	witness *witness.Witness
	reason  string
	passing bool
}

// compared is what came of the newest window of a signal, by policy and signal; or why
// nothing can come of it.
type compared struct {
	key        string
	comparison drift.Comparison
	odd        string
}

// An againJob fits a witness, compares, or estimates losses.
type againJob struct {
	key       string
	loss      *outcome.Loss // to be estimated
	signal    string        // by policy and signal; empty: a witness is fitted
	reference []anneal.Object
	window    []anneal.Object
	format    string
	columns   map[string]dataset.Type // that the policy gives
	rows      bool                    // they have a say, beside the profiles
	c         comparing
	fitted    fitted
	witness   string // its key; empty: none can be
}

// comparing is all that a comparison needs beside rows.
type comparing struct {
	by       func(ref, cur *profile.Profile, opt drift.Options) drift.Comparison
	ref, cur *profile.Profile
	opt      drift.Options
	parts    []*profile.Profile // of the window, where it has several
	names    []string
	// phases are those of seasons that only rows can be told by, in column.
	phases []drift.Phase
	column string
	// same are the reference's objects in the phases that objects are told by.
	same  map[drift.Phase][]anneal.Object
	alike string // why nothing is known of the importance of columns, where it should be
}

// compare is what profiles alone say.
func (c comparing) compare() drift.Comparison {
	comparison := c.by(c.ref, c.cur, c.opt)
	if c.alike != "" {
		comparison.Importance = &drift.Weighing{Alike: c.alike}
	}
	comparison.Date(c.ref, c.parts, c.names, c.opt)
	return comparison
}

func newComparisons() comparisons {
	return comparisons{jobs: make(chan againJob), wanted: map[string]bool{}, witnesses: map[string]fitted{}, known: map[string]compared{}}
}

// rereads reports whether the rows may have a say in a signal.
func (c *Controller) rereads(s policy.Signal) bool {
	return c.cfg.Open != nil && s.IsDrift() && cmp.Or(s.Rules, string(drift.AnnealRules)) == string(drift.AnnealRules)
}

// witnessKey is the identity of the witness of a champion for a signal; empty where
// no target is named.
func witnessKey(p *policy.Policy, s policy.Signal, champion *anneal.Model) string {
	target := p.Spec.Spec.Data.Target
	if target == "" {
		return ""
	}
	parts := append([]string{"witness", target}, s.Ignore...)
	for _, o := range champion.Objects {
		parts = append(parts, profileKey(p, o))
	}
	return anneal.ID(parts...)
}

// fitAhead has the witnesses of a policy's champion fitted, so that they are there
// when data come. What hinders it is told when the signal is measured.
func (c *Controller) fitAhead(ctx context.Context, p *policy.Policy) {
	champion := c.state.Models.Champion(p.Group())
	if champion == nil || c.profiles.again[p.Name()] != nil {
		return
	}
	for _, name := range sortedKeys(p.Spec.Spec.Signals) {
		s := p.Spec.Spec.Signals[name]
		if !c.rereads(s) || witnessKey(p, s, champion) == "" {
			continue
		}
		if ref, err := c.profiles.merged(ctx, p, champion.Objects); err == nil {
			c.fit(p, s, champion, ref)
		}
	}
}

// fit has a witness fitted that is not there.
func (c *Controller) fit(p *policy.Policy, s policy.Signal, champion *anneal.Model, ref *profile.Profile) {
	key := witnessKey(p, s, champion)
	if _, ok := c.comparisons.witnesses[key]; ok {
		return
	}
	c.comparisons.want(againJob{
		key: key, reference: champion.Objects, format: p.Spec.Spec.Data.Format, columns: columnsOf(p), c: comparing{ref: ref, opt: driftOptions(p, s)},
	})
}

func (cs *comparisons) want(job againJob) {
	if !cs.wanted[job.key] {
		cs.wanted[job.key] = true
		cs.queue = append(cs.queue, job)
	}
}

// compared says whether the windows of w are compared, and has those compared that
// are not. What hinders that is found again, and told, when the signal is measured; but
// where comparing them panicked, odd says so, and w cannot be processed.
func (c *Controller) compared(ctx context.Context, w *wake, p *policy.Policy) (ready bool, odd string) {
	if w.Silent || byHand(w.Trigger) || p.Gathers(w.Trigger, w.Event) {
		return true, ""
	}
	champion := c.state.Models.Champion(p.Group())
	if champion == nil {
		return true, ""
	}
	ready = true
	for _, name := range sortedKeys(p.Spec.Spec.Signals) {
		s := p.Spec.Spec.Signals[name]
		not := champion // what the window has none of
		switch {
		case ofFacts(s):
			not = nil
		case !s.IsDrift():
			continue
		}
		window := c.dataAt(p, w).window(s.Window.Objects, not)
		if len(window) == 0 {
			continue
		}
		of, key := c.comparisonKey(p, name, champion, window)
		if known := c.comparisons.known[of]; known.key == key {
			odd = cmp.Or(odd, known.odd)
			continue
		}
		if c.comparisons.wanted[key] {
			ready = false
			continue
		}
		own, err := c.comparing(ctx, p, name, champion, window)
		if err != nil {
			continue
		}
		ready = false
		job := againJob{
			key: key, signal: of, c: own, reference: champion.Objects, window: window,
			format: p.Spec.Spec.Data.Format, columns: columnsOf(p), rows: c.rereads(s),
		}
		if job.rows {
			job.witness = witnessKey(p, s, champion)
		}
		if job.witness != "" {
			fitted, ok := c.comparisons.use(job.witness)
			if !ok {
				c.fit(p, s, champion, own.ref)
				continue
			}
			job.fitted = fitted
		}
		c.comparisons.want(job)
	}
	return ready, odd
}

// dataAt is the data of p as they will be when it decides about w.
func (c *Controller) dataAt(p *policy.Policy, w *wake) *Data {
	data := *c.state.data(p.Name())
	if w.Object != nil {
		data.Objects = slices.Clone(data.Objects)
		from, gathers := c.state.Past.KeepFrom(p.Name())
		data.add(objectRecord{Policy: p.Name(), Object: *w.Object, Keep: p.Spec.Spec.Data.Train, Window: widestWindow(p)}, from, gathers)
	}
	return &data
}

// comparisonKey is a signal, and the identity of all that its comparison depends on.
func (c *Controller) comparisonKey(p *policy.Policy, name string, champion *anneal.Model, window []anneal.Object) (of, key string) {
	level := c.state.Found[p.Name()][name].Level(cmp.Or(p.Spec.Spec.Signals[name].Alpha, drift.DefaultAlpha))
	parts := []string{"comparison", p.Revision, name, fmt.Sprint(level), champion.ID()}
	for _, o := range champion.Objects {
		parts = append(parts, profileKey(p, o))
	}
	parts = append(parts, "")
	for _, o := range window {
		parts = append(parts, profileKey(p, o))
	}
	return anneal.ID(p.Name(), name), anneal.ID(parts...)
}

// use finds a witness, which then is kept for longest.
func (cs *comparisons) use(key string) (fitted, bool) {
	f, ok := cs.witnesses[key]
	if ok {
		cs.recent = append(slices.DeleteFunc(cs.recent, func(k string) bool { return k == key }), key)
	}
	return f, ok
}

// keep takes a witness in.
func (cs *comparisons) keep(key string, f fitted) {
	delete(cs.wanted, key)
	cs.fits = false
	cs.witnesses[key] = f
	cs.use(key)
	if len(cs.recent) > keptWitness {
		delete(cs.witnesses, cs.recent[0])
		cs.recent = cs.recent[1:]
	}
}

// took takes a comparison in. A witness that something passing hindered is tried
// again for the next.
func (cs *comparisons) took(job againJob, comparison drift.Comparison, odd string) {
	delete(cs.wanted, job.key)
	cs.known[job.signal] = compared{job.key, comparison, odd}
	if cs.witnesses[job.witness].passing {
		delete(cs.witnesses, job.witness)
		cs.recent = slices.DeleteFunc(cs.recent, func(k string) bool { return k == job.witness })
	}
}

// next is the job to hand out and where: comparisons first, as wakes wait for them,
// and one witness at a time.
func (cs *comparisons) next() (againJob, chan<- againJob) {
	i := slices.IndexFunc(cs.queue, func(j againJob) bool { return j.signal != "" })
	if i < 0 && !cs.fits && len(cs.queue) > 0 {
		i = 0
	}
	if i < 0 {
		return againJob{}, nil
	}
	return cs.queue[i], cs.jobs
}

func (cs *comparisons) started(job againJob) {
	cs.queue = slices.DeleteFunc(cs.queue, func(j againJob) bool { return j.key == job.key })
	cs.fits = cs.fits || job.signal == ""
}

// again does a job, and hands the loop what came of it.
func (c *Controller) again(ctx context.Context, job againJob) {
	var then func()
	switch {
	case job.loss != nil:
		e := c.estimate(job)
		then = func() {
			delete(c.comparisons.wanted, job.key)
			c.estimates[job.signal] = e
		}
	case job.signal == "":
		f := c.fitOne(ctx, job)
		then = func() { c.comparisons.keep(job.key, f) }
	default:
		comparison, odd := c.compareOne(ctx, job)
		then = func() { c.comparisons.took(job, comparison, odd) }
	}
	if ctx.Err() != nil {
		return
	}
	c.do(ctx, func(b *batch) error {
		b.then = append(b.then, func(context.Context) { then(); c.profiles.fresh = true })
		return nil
	})
}

// fitOne fits a witness; where that panics, there is none.
func (c *Controller) fitOne(ctx context.Context, job againJob) (f fitted) {
	defer func() {
		if p := recover(); p != nil {
			f = fitted{reason: fmt.Sprintf("reference: fitting a witness panicked: %v", c.panicked("fitting a witness", p, "target", job.c.opt.Target))}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, fitWithin)
	defer cancel()
	rows, err := c.rowsOf(ctx, job, job.reference)
	if err == nil {
		var w *witness.Witness
		if w, err = witness.New(rows, job.c.opt.Target, drift.WitnessColumns(job.c.ref, job.c.opt)); err == nil {
			return fitted{witness: w}
		}
	}
	var unreadable *dataset.Error
	passing := !errors.Is(err, witness.ErrNoWitness) && !errors.As(err, &unreadable) && !errors.Is(err, errLarge)
	return fitted{reason: "reference: " + err.Error(), passing: passing}
}

// compareOne compares, with what the rows say if they have a say. Where reading them
// panics, it is what profiles alone say; where that panics too, odd says so.
func (c *Controller) compareOne(ctx context.Context, job againJob) (comparison drift.Comparison, odd string) {
	alone := ""
	if job.rows {
		p := dataset.Catch(func() { comparison = c.compareAgain(ctx, job) })
		if p == nil {
			return comparison, ""
		}
		alone = fmt.Sprintf("window: reading again panicked: %v", c.panicked("reading again", p, "window", windowID(job.window)))
	}
	if p := dataset.Catch(func() { comparison = job.c.compare() }); p != nil {
		return comparison, fmt.Sprintf("%s: comparing it panicked: %v", job.window[len(job.window)-1].URI, c.panicked("comparing", p, "window", windowID(job.window)))
	}
	comparison.ColumnsAlone = alone
	return comparison, ""
}

// compareAgain compares with what the rows say: a witness, and, where that has not
// the last word, the values of columns whose sketches leave the verdict open.
func (c *Controller) compareAgain(ctx context.Context, job againJob) (comparison drift.Comparison) {
	var columns sync.WaitGroup
	defer columns.Wait()
	ctx, cancel := context.WithTimeout(ctx, againWithin)
	defer cancel()
	own, alone := job.c, job.fitted.reason
	if err := c.seasonOfRows(ctx, job, &own); err != nil {
		own.opt.Seasons = job.c.opt.Seasons
	}
	var odd *dataset.Panic
	columns.Go(func() { odd = dataset.Catch(func() { comparison = own.compare() }) }) // while the rows are read
	opt := own.opt
	switch {
	case job.witness == "":
		alone = "the policy names no target"
	case job.fitted.witness != nil:
		rows, err := c.rowsOf(ctx, job, job.window)
		if err != nil {
			alone = "window: " + err.Error()
			break
		}
		opt.Ask(job.fitted.witness, rows)
		if opt.Quality == nil {
			alone = "window: too few rows have the target"
		}
	}
	columns.Wait()
	if odd != nil {
		panic(odd)
	}
	own.opt = opt
	comparison.Conclude(own.opt)
	if !own.opt.Settled() {
		if exact, err := c.exactly(ctx, job, comparison, own.opt); err == nil && len(exact) > 0 {
			own.opt.Exact = exact
			comparison = own.compare()
		}
	}
	comparison.ColumnsAlone = alone
	return comparison
}

// errLarge is of an object that is not read again.
var errLarge = errors.New("too large to be read again")

// rowsOf reads rows of these objects, or of every second, fourth and so on.
func (c *Controller) rowsOf(ctx context.Context, job againJob, of []anneal.Object) (*witness.Rows, error) {
	for bytesOf(of) > mostAgain {
		if len(of) == 1 {
			return nil, fmt.Errorf("%s: %w", of[0].URI, errLarge)
		}
		var kept []anneal.Object
		for i := 0; i < len(of); i += 2 {
			kept = append(kept, of[i])
		}
		of = kept
	}
	rows := &witness.Rows{}
	err := c.eachAgain(ctx, job, of, func(r io.Reader, o anneal.Object, opt dataset.Options) error {
		return rows.Add(ctx, r, objects.Name(o.URI), opt)
	})
	return rows, err
}

func bytesOf(of []anneal.Object) (n int64) {
	for _, o := range of {
		n += o.Bytes
	}
	return n
}

func (c *Controller) eachAgain(ctx context.Context, job againJob, of []anneal.Object, read func(io.Reader, anneal.Object, dataset.Options) error) error {
	opt := dataset.Options{Format: job.format, Columns: job.columns, Found: job.c.ref.Schema()}
	for _, o := range of {
		r, err := retry(ctx, c, o, func() (io.ReadCloser, error) { return c.cfg.Open(ctx, o) })
		if err != nil {
			return fmt.Errorf("cannot be read again: %w", err)
		}
		err = read(r, o, opt)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// exactly compares by their values the columns that a comparison leaves open.
func (c *Controller) exactly(ctx context.Context, job againJob, comparison drift.Comparison, opt drift.Options) (map[string]drift.Exact, error) {
	if max(bytesOf(job.reference), bytesOf(job.window)) > mostAgain {
		return nil, nil
	}
	of, phase := comparison.Against(job.c.ref)
	again := drift.NewAgain(of, job.c.cur, opt, drift.Undecided(comparison, job.c.ref, job.c.cur, opt, false), false)
	reference := job.reference
	if phase != nil {
		if same, ok := job.c.same[*phase]; ok {
			reference = same
		} else {
			again.Within(job.c.column, *phase)
		}
	}
	for again.More() {
		for _, side := range []struct {
			objects []anneal.Object
			read    func(context.Context, io.Reader, string, dataset.Options) error
		}{{reference, again.Reference}, {job.window, again.Current}} {
			err := c.eachAgain(ctx, job, side.objects, func(r io.Reader, o anneal.Object, opt dataset.Options) error {
				return side.read(ctx, r, objects.Name(o.URI), opt)
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return again.Exact(), nil
}
