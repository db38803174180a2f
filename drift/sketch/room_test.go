package sketch

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRoom holds that a sketch takes little more than its values may come to, whatever
// its levels hold: a table may have thousands of columns.
func TestRoom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var q Quantiles
	for n := range 3_000_000 {
		q.Add(r.NormFloat64())
		if n < 20_000 || n%97 > 0 { // before, a buffer is as large as a tally was
			continue
		}
		if took := cap(q.packed) + cap(q.levels[0]); took > q.room+buffer/2+buffer {
			t.Fatalf("after %d values a sketch has room for %d, of which it uses up to %d", n+1, took, q.room)
		}
	}
	q.Trim()
	if took := cap(q.packed) + cap(q.levels[0]); took > q.size+buffer/8 {
		t.Errorf("once it is trimmed, a sketch of %d values has room for %d", q.size, took)
	}
	// More may come: it is as if it had not been trimmed, but for what that compacted.
	before := q.N()
	for range 100_000 {
		q.Add(r.NormFloat64())
	}
	weights := int64(0)
	for _, p := range q.Points() {
		weights += p.Weight
	}
	if weights != before+100_000 || !slices.IsSortedFunc(q.Points(), func(a, b Point) int { return int(math.Copysign(1, a.Value-b.Value)) }) {
		t.Errorf("%d values stand for %d of %d", q.size, weights, q.N())
	}
}

// TestTallyOfBillions counts beyond what a slot holds.
func TestTallyOfBillions(t *testing.T) {
	var a, b Quantiles
	a.table.add(7, math.MaxUint32-1)
	a.n = math.MaxUint32 - 1
	a.Add(7, 7, 7, -7)
	b.table.add(7, 10*math.MaxUint32)
	b.n = 10 * math.MaxUint32
	a.Merge(&b)
	want := []Point{{-7, 1}, {7, 11*math.MaxUint32 + 2}}
	if got := a.Points(); !slices.Equal(got, want) || a.N() != want[1].Weight+1 {
		t.Errorf("%v of %d values, want %v", got, a.N(), want)
	}
	code, err := a.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var c Quantiles
	if err := c.UnmarshalBinary(code); err != nil || !slices.Equal(c.Points(), want) {
		t.Errorf("once encoded: %v, %v", c.Points(), err)
	}
	for i := range 2 * Exact { // grows, and becomes a sketch
		c.Add(float64(i))
	}
	weights := int64(0)
	for _, p := range c.Points() {
		weights += p.Weight
	}
	if want := a.N() + 2*Exact; weights != want || c.N() != want {
		t.Errorf("values of a weight of %d of %d, want %d", weights, c.N(), want)
	}
}
