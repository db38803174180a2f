package sketch

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// Heavy is up to how many categories [Categories] counts each of them; with
	// more, it keeps as many of the frequent ones.
	Heavy = 1024

	// keyLimit is the length of a category's name; a longer one is cut and
	// told apart by a hash.
	keyLimit = 128
)

// Categories counts how often each category comes. It is exact while there
// are at most [Heavy] of them; beyond, it keeps the frequent ones and states by
// how much a count may be too low, in the manner of Misra and Gries (1982) with
// the merge of Agarwal et al. (Mergeable Summaries, PODS 2012).
//
// The zero value is empty.
type Categories struct {
	n        int64
	counts   map[string]*int64
	missed   int64    // by how much a count may be too low, or a category be missing
	distinct distinct // once missed > 0: of all there were
}

// N is how many were added.
func (c *Categories) N() int64 { return c.n }

// AddAll adds one of each category that is not nil.
func (c *Categories) AddAll(categories [][]byte) {
	// Few categories come often: they are found here by their length and their
	// last bytes.
	var often [256]struct {
		name []byte
		n    *int64
	}
	for _, category := range categories {
		n := len(category)
		if category == nil || n == 0 || n > keyLimit || c.missed > 0 || len(c.counts) > Heavy {
			if category != nil {
				c.Add(category)
			}
			continue
		}
		at := uint32(n)<<24 | uint32(category[n-1])
		if n > 1 {
			at |= uint32(category[n-2])<<8 | uint32(category[0])<<16
		}
		slot := &often[at*0x9e3779b1>>24]
		if slot.n != nil && bytes.Equal(slot.name, category) {
			*slot.n++
			c.n++
			continue
		}
		c.Add(category)
		if known := c.counts[string(category)]; known != nil {
			slot.name, slot.n = category, known
		}
	}
}

// Add adds one of the category.
func (c *Categories) Add(category []byte) {
	if c.counts == nil {
		c.counts = map[string]*int64{}
	}
	c.n++
	if len(category) > keyLimit {
		category = shorten(category)
	}
	if c.missed > 0 {
		c.distinct.add(Hash(category))
	}
	if n := c.counts[string(category)]; n != nil {
		*n++
		return
	}
	c.counts[string(category)] = new(int64(1))
	if len(c.counts) > 2*Heavy { // for less work than one by one
		c.Trim()
	}
}

// AddMany adds n of each category, any of which may be as many as doubt too few, or be
// missing.
func (c *Categories) AddMany(categories []Category, doubt int64) {
	o := Categories{counts: map[string]*int64{}, missed: doubt}
	for _, k := range categories {
		if len(k.Name) > keyLimit {
			k.Name = string(shorten([]byte(k.Name)))
		}
		if o.counts[k.Name] == nil {
			o.counts[k.Name] = new(int64)
		}
		*o.counts[k.Name] += k.Count
		o.n += k.Count
		if doubt > 0 {
			o.distinct.string(k.Name)
		}
	}
	o.Trim()
	c.Merge(&o)
}

// shorten cuts a long name to keyLimit bytes, the last of which are a hash of
// the whole.
func shorten(category []byte) []byte {
	cut := keyLimit - len("…") - 16
	for !utf8.RuneStart(category[cut]) {
		cut--
	}
	return fmt.Appendf(nil, "%s…%016x", category[:cut], Hash(category))
}

// Trim brings the categories down to Heavy, to be called after the last Add:
// all counts give up as much as the first one beyond has.
func (c *Categories) Trim() {
	if len(c.counts) <= Heavy {
		return
	}
	if c.missed == 0 {
		for name := range c.counts {
			c.distinct.string(name)
		}
	}
	counts := make([]int64, 0, len(c.counts))
	for _, n := range c.counts {
		counts = append(counts, *n)
	}
	slices.Sort(counts)
	cut := counts[len(counts)-1-Heavy]
	for name, n := range c.counts {
		if *n -= cut; *n <= 0 {
			delete(c.counts, name)
		}
	}
	c.missed += cut
}

// Merge adds what o has counted. o stays as it is.
func (c *Categories) Merge(o *Categories) {
	if o.n == 0 {
		return
	}
	if c.counts == nil {
		c.counts = map[string]*int64{}
	}
	if c.missed > 0 || o.missed > 0 {
		for _, x := range []*Categories{c, o} {
			if x.missed == 0 {
				for name := range x.counts {
					c.distinct.string(name)
				}
			}
		}
		c.distinct.merge(&o.distinct)
	}
	c.n += o.n
	c.missed += o.missed
	for name, n := range o.counts {
		if c.counts[name] == nil {
			c.counts[name] = new(int64)
		}
		*c.counts[name] += *n
	}
	c.Trim()
}

// Error is the stated error of a category's share of N: it may be that much
// higher than counted. It is 0 while every category is counted.
func (c *Categories) Error() float64 {
	if c.n == 0 {
		return 0
	}
	return float64(c.missed) / float64(c.n)
}

// Distinct is how many categories there are, estimated once they are not
// counted exactly.
func (c *Categories) Distinct() int64 {
	if c.missed > 0 {
		return c.distinct.estimate()
	}
	return int64(len(c.counts))
}

// A Category is a name and how many there are of it.
type Category struct {
	Name  string
	Count int64
}

// List are the categories kept, the most frequent first, then by name.
func (c *Categories) List() []Category {
	list := make([]Category, 0, len(c.counts))
	for name, n := range c.counts {
		list = append(list, Category{name, *n})
	}
	slices.SortFunc(list, func(a, b Category) int {
		if a.Count != b.Count {
			return int(max(-1, min(1, b.Count-a.Count)))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}
