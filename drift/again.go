package drift

import (
	"context"
	"io"
	"slices"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/sketch"
	"github.com/anneal-ml/anneal/drift/statistics"
)

const (
	// mostKept is how many values of a column, of both sides, are kept to be
	// exact in every test; of more, they are counted in bins.
	mostKept = 1 << 18
	// mostSeen is how many values are kept of the bins where something is unsure, or of
	// a column where a chosen test needs them, or its bins at least.
	mostSeen = 1 << 20
	// mostRoom is how much columns take that are read at a time, in bytes, unless
	// one takes more alone.
	mostRoom = 6 << 20
)

// An Exact is what the values of a column themselves say, where sketches leave a
// verdict open.
type Exact struct {
	column Column
	of     *profile.Column // of the reference, or of a part of it
}

// again are the values of a column on both sides: each of them, or counted.
type again struct {
	x, y []sketch.Point
	bins statistics.Bins
}

// Undecided names the columns of numbers whose verdict their sketches leave open:
// a test's interval holds the threshold, and nothing else made drift of the
// column; or a chosen test needs the values. With all, it is every column that
// sketches stand for.
func Undecided(c Comparison, reference, current *profile.Profile, opt Options, all bool) []string {
	reference, _ = c.Against(reference)
	opt = opt.withDefaults()
	var names []string
	for i := range c.Columns {
		col := &c.Columns[i]
		ref, cur := reference.Column(col.Name), current.Column(col.Name)
		if ref == nil || cur == nil || ref.Type != dataset.Numeric || cur.Type != dataset.Numeric ||
			ref.Quantiles.Error()+cur.Quantiles.Error() == 0 || col.Type != dataset.Numeric {
			continue
		}
		if all || opt.needs() > bySketch || len(opt.open(col)) > 0 {
			names = append(names, col.Name)
		}
	}
	return names
}

// needs is the most that a chosen test of numbers needs.
func (o Options) needs() (most need) {
	for _, p := range o.plan(func(k kind) role { return k.numbers }) {
		most = max(most, p.needs)
	}
	return most
}

// open are the tests that leave the verdict on a column open.
func (o Options) open(c *Column) []Test {
	if c.Verdict == Drift && o.Rules == AnnealRules {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.Tests), func(t Test) bool {
		low, high := t.Low, t.High
		if t.Effect != nil { // of the statistic, on the scale of the threshold
			low, high = *t.Effect, t.most
		}
		return t.Advisory || t.Test == "missing" || low >= t.Threshold || t.Threshold > high
	})
}

// Again reads columns again, as often as it takes and in bounded memory, for what
// their values say. A quarter of a million values of a column are kept, and every test of
// it is exact. More are counted: between cuts of the line, of which the sketches say
// where they are best made, the distribution functions are known, so that only
// within a bin something is unsure. Where that matters, the values of those bins
// alone are kept in a third reading.
type Again struct {
	reference, current *profile.Profile
	opt                Options
	all                bool
	queue, now         []*look
	exact              map[string]Exact
	column             string // of the times that phase is of
	phase              *Phase // that the reference is a part of; nil: of none
}

// NewAgain is for the columns that [Undecided] names, with the same options, and the
// reference that [Comparison.Against] gives. With all, every number that can be is exact;
// without, as many as decide.
func NewAgain(reference, current *profile.Profile, opt Options, columns []string, all bool) *Again {
	a := &Again{reference: reference, current: current, opt: opt.withDefaults(), all: all, exact: map[string]Exact{}}
	for _, name := range columns {
		a.queue = append(a.queue, newLook(reference.Column(name), current.Column(name), a.opt.needs() > bySketch))
	}
	return a
}

// Within has those rows alone of the reference counted whose times, in the column so
// named, are in the phase: its profile is of that part.
func (a *Again) Within(column string, phase Phase) { a.column, a.phase = column, &phase }

// More reports whether both sides are to be read, once more: every object of each.
func (a *Again) More() bool {
	for _, l := range a.now {
		if a.finish(l) {
			a.queue = slices.Insert(a.queue, 0, l) // first, that few are half done
		}
	}
	a.now = nil
	for room := mostRoom; len(a.queue) > 0; {
		if room -= a.queue[0].room(); room < 0 && len(a.now) > 0 {
			break
		}
		l := a.queue[0]
		a.queue, a.now = a.queue[1:], append(a.now, l)
		l.begin()
	}
	return len(a.now) > 0
}

// Reference reads an object of the reference. The columns should be given in opt as
// the profiles were read. It is for one object at a time, and may read while
// Current does.
func (a *Again) Reference(ctx context.Context, r io.Reader, name string, opt dataset.Options) error {
	return a.read(ctx, 0, r, name, opt)
}

// Current reads an object of the current data.
func (a *Again) Current(ctx context.Context, r io.Reader, name string, opt dataset.Options) error {
	return a.read(ctx, 1, r, name, opt)
}

func (a *Again) read(ctx context.Context, side int, r io.Reader, name string, opt dataset.Options) error {
	if side == 0 && a.phase != nil {
		return a.readPart(ctx, r, name, opt)
	}
	opt.Only = make([]string, len(a.now))
	for i, l := range a.now {
		opt.Only[i] = l.ref.Name
	}
	d, err := dataset.Open(r, name, opt)
	if err != nil {
		return err
	}
	names := d.Names()
	return d.EachColumn(ctx, func(i int, v *dataset.Values, _ int) error {
		if v.Type == dataset.Numeric {
			a.now[slices.Index(opt.Only, names[i])].add(side, v.Numbers)
		}
		return nil
	})
}

// readPart reads those rows of the reference that are in the phase.
func (a *Again) readPart(ctx context.Context, r io.Reader, name string, opt dataset.Options) error {
	d, err := dataset.Open(r, name, opt)
	if err != nil {
		return err
	}
	at, columns := slices.Index(d.Names(), a.column), make([]int, len(a.now))
	for i, l := range a.now {
		columns[i] = slices.Index(d.Names(), l.ref.Name)
	}
	for at >= 0 {
		batch, err := d.Read()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		for row, text := range batch.Columns[at].Text {
			if when, ok := dataset.Clock(text); !ok || !a.phase.Has(when) {
				continue
			}
			for i, column := range columns {
				if column >= 0 && batch.Columns[column].Type == dataset.Numeric {
					a.now[i].add(0, batch.Columns[column].Numbers[row:row+1])
				}
			}
		}
	}
	return nil
}

// Exact is what was found, for [Options.Exact], once there is no more to read. A
// column whose values are not those that the profiles stand for is not in it.
func (a *Again) Exact() map[string]Exact { return a.exact }

// finish makes of a column what was read, and reports whether it has to be read
// again.
func (a *Again) finish(l *look) bool {
	values, ok := l.end()
	if !ok {
		return false
	}
	opt := a.opt
	opt.again = map[string]again{l.ref.Name: values}
	column := compareColumn(l.ref, l.cur, a.reference.Counts.Rows, a.current.Counts.Rows, opt)
	a.exact[l.ref.Name] = Exact{column, l.ref}
	if l.narrow != nil || values.bins == nil {
		return false
	}
	// Whether it is open is seen by its probabilities alone, uncorrected.
	judged := column
	judged.Tests = slices.Clone(column.Tests)
	if opt.Rules == AnnealRules {
		opt.correct([]Column{judged})
		opt.judge(&judged)
	}
	open := opt.open(&judged)
	if a.all {
		open = column.Tests
	}
	return l.narrowTo(open, opt.Bins)
}
