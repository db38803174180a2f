package statistics

import "math"

// An Online controls the false discovery rate over tests that come one after
// another and may never end: LORD++ (Ramdas, Yang, Wainwright, Jordan: Online
// Control of the False Discovery Rate with Decaying Memory, NIPS 2017). Each level
// depends on what was found before, and on nothing that comes later. The zero
// value has seen no test; all of it is exported, to be kept.
type Online struct {
	Tests int   `json:"tests"`
	Found []int `json:"found,omitempty"` // the tests that found something: the first, and the newest of the others
}

// mostFound bounds what is kept of discoveries. Without the older ones levels are
// a little lower, never higher.
const mostFound = 64

// Level is that of the next test, where at most a share alpha of the discoveries
// may be false.
func (o Online) Level(alpha float64) float64 {
	start := alpha / 2
	next := o.Tests + 1
	level := start * gammaOf(next)
	for i, at := range o.Found {
		won := alpha
		if i == 0 {
			won = alpha - start
		}
		level += won * gammaOf(next-at)
	}
	return level
}

// Add counts a test, and whether it found something.
func (o *Online) Add(found bool) {
	o.Tests++
	if !found {
		return
	}
	next := make([]int, 0, len(o.Found)+1)
	next = append(next, o.Found...)
	if len(next) == mostFound {
		next = append(next[:1], next[2:]...)
	}
	o.Found = append(next, o.Tests)
}

// gammaOf is the share of the wealth that is spent on test t after it was won:
// of Javanmard and Montanari (2018); all of them add up to 1.
func gammaOf(t int) float64 {
	x := float64(t)
	return 0.07720838 * math.Log(max(x, 2)) / (x * math.Exp(math.Sqrt(math.Log(x))))
}
