package profile

import (
	"math"
	"strconv"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/sketch"
)

// Types are what the columns of all profiles together are taken for, by name. A column
// that each was read as the same type is of that. Of another, all values decide as
// those of one object do ([dataset.Reader.Read]), whatever object they are in: it is
// Numeric if 95 of 100 are numbers, also those among the texts of a Categorical column,
// Timestamp if as many were read as dates or times, Categorical otherwise. So the order
// of the profiles does not matter. Columns without values are left out.
func Types(profiles ...*Profile) map[string]dataset.Type {
	type mix struct {
		alike                  bool
		first                  dataset.Type
		values, numbers, times int64
	}
	mixes := map[string]*mix{}
	for _, p := range profiles {
		for i := range p.Columns {
			c := &p.Columns[i]
			m := mixes[c.Name]
			if m == nil {
				m = &mix{alike: true, first: dataset.Empty}
				mixes[c.Name] = m
			}
			if c.Type == dataset.Empty {
				continue
			}
			if m.first == dataset.Empty {
				m.first = c.Type
			}
			m.alike = m.alike && m.first == c.Type
			m.values += c.Rows - c.Missing
			switch c.Type {
			case dataset.Numeric:
				m.numbers += c.N() + c.Infinite
			case dataset.Categorical:
				m.numbers += c.Numbers
			case dataset.Timestamp:
				m.times += c.N()
			}
		}
	}
	types := make(map[string]dataset.Type, len(mixes))
	for name, m := range mixes {
		const most = 0.95 // as for one object
		switch {
		case m.first == dataset.Empty:
		case m.alike:
			types[name] = m.first
		case float64(m.numbers) >= most*float64(m.values):
			types[name] = dataset.Numeric
		case float64(m.times) >= most*float64(m.values):
			types[name] = dataset.Timestamp
		default:
			types[name] = dataset.Categorical
		}
	}
	return types
}

// Replaces says that the objects of p were read again, as their columns are of another
// type in others: first is what they were by themselves.
func (p *Profile) Replaces(first *Profile) {
	for i := range p.Columns {
		c := &p.Columns[i]
		if o := first.Column(c.Name); o != nil && o.Type != c.Type && o.Type != dataset.Empty {
			c.Differing = c.Objects
		}
	}
}

// As is what the column would have been, had it been read as another type: as far as
// that can be told from a summary, or else its values are Mixed. Numbers become texts in
// their shortest spelling; of more than are kept each, those that come often do. Texts
// become numbers where they spell one and the sketch kept them.
func (c *Column) As(t dataset.Type) *Column {
	if c.Type == t {
		return c
	}
	as := &Column{Name: c.Name, Type: t, Objects: c.Objects, Rows: c.Rows, Missing: c.Missing, Differing: c.Differing}
	switch {
	case c.Type == dataset.Numeric && t == dataset.Categorical:
		var spelled []sketch.Category
		for _, p := range c.Quantiles.Points() {
			spelled = append(spelled, sketch.Category{Name: strconv.FormatFloat(p.Value+0, 'f', -1, 64), Count: p.Weight})
		}
		as.Categories.AddMany(spelled, int64(math.Ceil(c.Quantiles.Error()*float64(c.N()))))
		as.Numbers = c.N()
	case c.Type == dataset.Categorical && t == dataset.Numeric:
		for _, k := range c.Categories.List() {
			v, ok := dataset.Number([]byte(k.Name))
			if !ok {
				continue
			}
			if math.IsInf(v, 0) {
				as.Infinite += k.Count
				continue
			}
			as.addMany(v, k.Count)
		}
		as.Quantiles.Trim()
	}
	as.Mixed = as.Rows - as.Missing - as.Infinite - as.Categories.N() - as.Quantiles.N()
	return as
}

// addMany adds a number n times.
func (c *Column) addMany(v float64, n int64) {
	part := make([]float64, min(n, 1024))
	for n > 0 {
		part = part[:min(n, int64(len(part)))]
		for i := range part {
			part[i] = v
		}
		c.Moments.Add(part...)
		c.Quantiles.Add(part...)
		n -= int64(len(part))
	}
}
