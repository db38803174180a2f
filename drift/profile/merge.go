package profile

import (
	"cmp"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// Merge is the profile of the objects of all profiles together; they stay as
// they are. A column that only some have is the summary of those: its Objects
// and Rows say so. A column that was read as different types is of one all the same: see
// [Types] and [Column.As].
func Merge(profiles ...*Profile) *Profile {
	m := &Profile{}
	types := Types(profiles...)
	index := map[string]int{}
	for _, p := range profiles {
		m.Objects += p.Objects
		m.Counts.Add(p.Counts)
		for i := range p.Columns {
			c := &p.Columns[i]
			at, ok := index[c.Name]
			if !ok {
				at = len(m.Columns)
				index[c.Name] = at
				m.Columns = append(m.Columns, Column{Name: c.Name, Type: cmp.Or(types[c.Name], dataset.Empty), counting: true})
			}
			m.Columns[at].merge(c)
		}
	}
	m.mergeRepeats(profiles)
	return m
}

// Alike reports whether no column was read as one type here and as another there.
func (p *Profile) Alike(o *Profile) bool {
	return o.Of(p.Schema())
}

// Of reports whether each column that has values was read as its type in types, if that
// has one.
func (p *Profile) Of(types map[string]dataset.Type) bool {
	for _, c := range p.Columns {
		if t, ok := types[c.Name]; ok && t != c.Type && c.Type != dataset.Empty {
			return false
		}
	}
	return true
}

func (c *Column) merge(o *Column) {
	c.Objects += o.Objects
	c.Rows += o.Rows
	c.Missing += o.Missing
	c.Differing += o.Differing
	if o.Type == dataset.Empty {
		return
	}
	if o.Type != c.Type {
		c.Differing += o.Objects - o.Differing
		o = o.As(c.Type)
	}
	c.Infinite += o.Infinite
	c.Mixed += o.Mixed
	c.Odd = cmp.Or(c.Odd, o.Odd)
	c.Numbers += o.Numbers
	c.counting = c.counting && o.counting
	c.Moments.Merge(o.Moments)
	c.Quantiles.Merge(&o.Quantiles)
	c.Categories.Merge(&o.Categories)
	c.span(o.Earliest, o.Latest)
}
