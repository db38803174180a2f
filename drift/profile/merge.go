package profile

import (
	"cmp"
	"maps"
	"slices"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// Merge is the profile of the objects of all profiles together; they stay as
// they are. A column that only some have is the summary of those: its Objects
// and Rows say so. Where a column was read as different types, it is of the
// type that most rows have, and the values of the others count as Mixed.
func Merge(profiles ...*Profile) *Profile {
	m := &Profile{}
	types := mergedTypes(profiles)
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
				m.Columns = append(m.Columns, Column{Name: c.Name, Type: types[c.Name], counting: true})
			}
			m.Columns[at].merge(c)
		}
	}
	m.mergeRepeats(profiles)
	return m
}

// mergedTypes are the types that most rows have, by column; of equals, the one
// that is first in the alphabet.
func mergedTypes(profiles []*Profile) map[string]dataset.Type {
	rows := map[string]map[dataset.Type]int64{}
	for _, p := range profiles {
		for _, c := range p.Columns {
			if rows[c.Name] == nil {
				rows[c.Name] = map[dataset.Type]int64{}
			}
			if c.Type != dataset.Empty {
				rows[c.Name][c.Type] += c.Rows
			}
		}
	}
	types := map[string]dataset.Type{}
	for name, of := range rows {
		types[name] = dataset.Empty
		if len(of) > 0 {
			types[name] = slices.MinFunc(slices.Collect(maps.Keys(of)), func(a, b dataset.Type) int {
				return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b))
			})
		}
	}
	return types
}

// Alike reports whether no column was read as one type here and as another there.
func (p *Profile) Alike(o *Profile) bool {
	types := p.Schema()
	for _, c := range o.Columns {
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
	if o.Type != c.Type {
		c.Mixed += o.Rows - o.Missing
		return
	}
	c.Infinite += o.Infinite
	c.Mixed += o.Mixed
	c.counting = c.counting && o.counting
	c.Moments.Merge(o.Moments)
	c.Quantiles.Merge(&o.Quantiles)
	c.Categories.Merge(&o.Categories)
	c.span(o.Earliest, o.Latest)
}
