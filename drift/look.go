package drift

import (
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// A look is one column that is read again: all its values are kept, or counted
// between cuts, or, in a further look, those of some bins are kept.
type look struct {
	ref, cur *profile.Column
	counts   bool             // its values are too many to be kept
	cuts     *statistics.Cuts // where they are counted
	bins     statistics.Bins  // once they are
	narrow   []interest       // in the cuts' bins; nil: they were not counted yet
	kept     [2]int64         // how many values are to be kept of each side
	sides    [2]tally
}

// An interest is what is wanted of the values of a bin.
type interest uint8

const (
	counted interest = iota // no more than how many there are
	looked                  // what they do
	split                   // each of them
)

// A tally is one side of a look.
type tally struct {
	n       int64
	sum     float64
	foreign bool      // a value, or more of them, than the profile knows
	values  []float64 // that are kept
	bins    []binned
}

// A binned is how many values are in a bin, and by how much they are above its
// lower end, together.
type binned struct {
	n   int64
	off float64
}

func newLook(ref, cur *profile.Column, needed bool) *look {
	most := int64(mostKept)
	if needed {
		most = mostSeen
	}
	if ref.N()+cur.N() > most {
		return &look{ref: ref, cur: cur, counts: true}
	}
	return &look{ref: ref, cur: cur, kept: [2]int64{ref.N(), cur.N()}}
}

// room is about how many bytes it takes.
func (l *look) room() int {
	room := 8 * int(l.kept[0]+l.kept[1])
	if l.counts {
		room += 3 << 19 // cuts, and tallies of both sides
	}
	return room
}

// begin makes ready to read.
func (l *look) begin() {
	if l.counts && l.cuts == nil {
		l.cuts = cut(l.ref, l.cur)
	}
	for side := range l.sides {
		l.sides[side] = tally{values: make([]float64, 0, l.kept[side])}
		if l.counts && l.narrow == nil {
			l.sides[side].bins = make([]binned, l.cuts.Len())
		}
	}
}

// cut cuts the line for a column: also at the edges that Jensen-Shannon is taken
// between, which depend on no more than the ends and the number of the values.
func cut(ref, cur *profile.Column) *statistics.Cuts {
	least, most := ends(ref, cur)
	edges, err := statistics.SturgesEdges(least, most, ref.N()+cur.N())
	if err != nil {
		edges = nil // a range beyond float64: there is no such distance
	}
	return statistics.NewCuts(ref.Quantiles.Points(), cur.Quantiles.Points(), least, most, edges)
}

// add adds values of a side; infinite ones and NaN are none.
func (l *look) add(side int, values []float64) {
	t := &l.sides[side]
	for _, v := range values {
		if v-v != 0 {
			continue
		}
		t.n++
		t.sum += v
		if l.counts {
			if !l.cuts.Covers(v) {
				t.foreign = true
				continue
			}
			i := l.cuts.Bin(v)
			if l.narrow == nil {
				t.bins[i].n++
				t.bins[i].off += v - l.cuts.Low(i)
				continue
			}
			if l.narrow[i] == counted {
				continue
			}
		}
		if len(t.values) == cap(t.values) {
			t.foreign = true // there were not as many
			continue
		}
		t.values = append(t.values, v)
	}
}

// end gives what was read, and whether it is what the profiles stand for: the data
// may have changed since.
func (l *look) end() (again, bool) {
	x, y := &l.sides[0], &l.sides[1]
	if !x.of(l.ref) || !y.of(l.cur) {
		return again{}, false
	}
	defer func() { l.sides = [2]tally{} }()
	switch {
	case !l.counts:
		return again{x: statistics.TakePoints(x.values), y: statistics.TakePoints(y.values)}, true
	case l.narrow == nil:
		l.bins = make(statistics.Bins, 0, l.cuts.Len())
		for i := range x.bins {
			if a, b := x.bins[i], y.bins[i]; a.n+b.n > 0 {
				l.bins = append(l.bins, statistics.Bin{Low: l.cuts.Low(i), High: l.cuts.High(i), X: a.n, Y: b.n, OffX: a.off, OffY: b.off})
			}
		}
		return again{bins: l.bins}, true
	}
	slices.Sort(x.values)
	slices.Sort(y.values)
	of := func(i int) interest { return l.narrow[l.cuts.Bin(l.bins[i].Low)] }
	bins, ok := l.bins.See(x.values, y.values,
		func(i int) bool { return of(i) != counted }, func(i int) bool { return of(i) == split })
	return again{bins: bins}, ok
}

// of reports whether the values are those of a profile, as far as their number, their ends
// and their mean tell.
func (t *tally) of(c *profile.Column) bool {
	if t.foreign || t.n != c.N() {
		return false
	}
	m := c.Moments
	off := math.Abs(t.sum/float64(t.n) - m.Mean)
	return !(off > 1e-9*max(math.Abs(m.Min), math.Abs(m.Max))) // nor where a sum is beyond float64
}

// narrowTo has the values kept of the bins in which tests are unsure, as far as
// there is room, and reports whether there are such.
func (l *look) narrowTo(tests []Test, edges int) bool {
	l.narrow = make([]interest, l.cuts.Len())
	add := func(open []int, as interest) {
		for _, i := range open {
			b := l.bins[i]
			at := &l.narrow[l.cuts.Bin(b.Low)]
			if *at == counted {
				if l.kept[0]+l.kept[1]+b.X+b.Y > mostSeen {
					continue
				}
				l.kept[0] += b.X
				l.kept[1] += b.Y
			}
			*at = max(*at, as)
		}
	}
	for _, t := range tests {
		switch t.Test {
		case "ks", "ad":
			_, open := l.bins.KS()
			add(open, looked)
		case "psi", "chi2", "hellinger", "tvd":
			_, _, open := l.bins.OffEdges(edges)
			add(open, split)
		case "wasserstein":
			_, open := l.bins.Wasserstein()
			add(open, looked)
		}
	}
	return l.kept[0]+l.kept[1] > 0
}
