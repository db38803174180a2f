package statistics

import (
	"math"
	"slices"

	"github.com/anneal-ml/anneal/drift/sketch"
)

const (
	// mostCuts is how many cuts are made of the line.
	mostCuts = 1 << 15
	// aloneShare is how much of both samples makes a value alone in its bin.
	aloneShare = 1. / 1024
)

// Cuts are where the line is cut to count two samples: as fine where there are many
// values as where there are few.
type Cuts struct {
	at    []float64 // rising; a value v is in bin i where at[i] <= v < at[i+1]
	slots []uint32  // the cuts before each of equal parts of the line, to find them by
	scale float64   // parts a unit
}

// NewCuts cuts the line from least to most, which are the ends of both samples, by
// what sketches know of them: at each of their values, on both sides of a frequent
// one, and evenly in between, by how much lies there. It also cuts at the edges
// given. The ends must be finite.
func NewCuts(x, y []sketch.Point, least, most float64, edges []float64) *Cuts {
	n, m := float64(N(x)), float64(N(y))
	at := append(make([]float64, 0, mostCuts), edges...)
	at = append(at, least, most)
	last, share := least, 0.0
	fine := float64(max(0, mostCuts-len(edges)))
	for v, c := range pooled(x, y) {
		here := (float64(c.x)/n + float64(c.y)/m) / 2
		for parts, i := int(fine*(share+here)/2), 1; i < parts; i++ {
			at = append(at, last+(v-last)*float64(i)/float64(parts))
		}
		at = append(at, v)
		if here >= aloneShare {
			at = append(at, math.Nextafter(v, math.Inf(1)))
		}
		last, share = v, here
	}
	at = slices.DeleteFunc(at, func(v float64) bool { return !(least <= v && v <= most) }) // nor NaN
	slices.Sort(at)
	c := &Cuts{at: slices.Compact(at), slots: make([]uint32, mostCuts+2)}
	if scale := mostCuts / (most - least); !math.IsInf(scale, 1) {
		c.scale = scale
	}
	slot := 0
	for i, v := range c.at {
		for s := c.slot(v); slot <= s; slot++ {
			c.slots[slot] = uint32(i)
		}
	}
	for ; slot < len(c.slots); slot++ {
		c.slots[slot] = uint32(len(c.at))
	}
	return c
}

// slot rises with v, whatever the rounding: so what is before it is before v.
func (c *Cuts) slot(v float64) int {
	if c.scale == 0 { // the ends are too far apart, or too close
		return 0
	}
	return int((v - c.at[0]) * c.scale)
}

// Len is the number of bins.
func (c *Cuts) Len() int { return len(c.at) }

// Covers reports whether v is between the ends.
func (c *Cuts) Covers(v float64) bool { return c.at[0] <= v && v <= c.at[len(c.at)-1] }

// Bin is the bin of a value between the ends.
func (c *Cuts) Bin(v float64) int {
	slot := c.slot(v)
	i, j := c.slots[slot], c.slots[slot+1]
	for j-i > 8 {
		if middle := (i + j) / 2; c.at[middle] <= v {
			i = middle + 1
		} else {
			j = middle
		}
	}
	for i < j && c.at[i] <= v {
		i++
	}
	return int(i) - 1
}

// Low is the lower end of a bin, which is in it.
func (c *Cuts) Low(i int) float64 { return c.at[i] }

// High is the upper end of a bin, which is in it.
func (c *Cuts) High(i int) float64 {
	if i == len(c.at)-1 {
		return c.at[i]
	}
	return math.Nextafter(c.at[i+1], math.Inf(-1))
}
