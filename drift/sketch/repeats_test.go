package sketch

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestRepeats: exact while there are few different rows; of more the truth is
// within the bounds, and these narrow, whether rows come once more each, or one of
// them again and again. The order of merging changes nothing.
func TestRepeats(t *testing.T) {
	for _, c := range []struct {
		name  string
		row   func(i uint64) uint64 // which one the i-th is
		rows  uint64
		exact bool
	}{
		{"none repeats", func(i uint64) uint64 { return i }, 50_000, true},
		{"every one repeats", func(i uint64) uint64 { return i / 2 }, 100_000, true},
		{"all are one", func(uint64) uint64 { return 7 }, 1_000_000, true},
		{"none of many repeats", func(i uint64) uint64 { return i }, 1_000_000, false},
		{"a hundredth of many repeats", func(i uint64) uint64 { return i - i%100/99 }, 1_000_000, false},
		{"one of many repeats again and again", func(i uint64) uint64 { return i * min(1, i%10) }, 1_000_000, false},
		{"half of many are a few", func(i uint64) uint64 { return i % 2 * i }, 1_000_000, false},
	} {
		var all, a, b Repeats
		different := map[uint64]bool{}
		for i := range c.rows {
			h := mix(c.row(i))
			different[h] = true
			all.Add(h)
			if i < c.rows/3 {
				a.Add(h)
			} else {
				b.Add(h)
			}
		}
		truth := 1 - float64(len(different))/float64(c.rows)
		share, low, high := all.Share()
		if all.Rows() != int64(c.rows) || all.Exact() != c.exact {
			t.Errorf("%s: %d rows, exact %t", c.name, all.Rows(), all.Exact())
		}
		if c.exact && (share != truth || low != truth || high != truth) {
			t.Errorf("%s: %v (%v to %v), want %v", c.name, share, low, high, truth)
		}
		if low > truth || truth > high || share < low || share > high || high-low > 2*0.017 {
			t.Errorf("%s: %v (%v to %v), truth %v", c.name, share, low, high, truth)
		}
		if !c.exact && c.name != "one of many repeats again and again" && c.name != "half of many are a few" && math.Abs(share-truth) > 0.002 {
			t.Errorf("%s: %v, want %v nearly", c.name, share, truth)
		}
		var ab, ba Repeats
		ab.Merge(&a)
		ab.Merge(&b)
		ba.Merge(&b)
		ba.Merge(&a)
		whole, _ := all.AppendBinary(nil)
		for _, m := range []*Repeats{&ab, &ba} {
			got, _ := m.AppendBinary(nil)
			if string(got) != string(whole) {
				t.Errorf("%s: merged it is another", c.name)
			}
		}
		var again Repeats
		if err := again.UnmarshalBinary(whole); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if s, l, h := again.Share(); s != share || l != low || h != high {
			t.Errorf("%s: decoded %v (%v to %v), want %v (%v to %v)", c.name, s, l, h, share, low, high)
		}
	}
	var none Repeats
	if share, low, high := none.Share(); share != 0 || low != 0 || high != 0 {
		t.Error("nothing repeats where there is nothing")
	}
}

// FuzzRepeats: bytes that no encoder wrote are refused, and others give what they
// were.
func FuzzRepeats(f *testing.F) {
	var r Repeats
	random := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		r.Add(mix(random.Uint64N(60)))
	}
	b, _ := r.AppendBinary(nil)
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Repeats
		if r.UnmarshalBinary(b) != nil {
			return
		}
		again, _ := r.AppendBinary(nil)
		var same Repeats
		if err := same.UnmarshalBinary(again); err != nil || same.Rows() != r.Rows() || len(same.times) != len(r.times) {
			t.Fatalf("encoded again it is another: %v", err)
		}
		if share, low, high := r.Share(); !(low <= share && share <= high && 0 <= low && high <= 1) {
			t.Fatalf("%v (%v to %v)", share, low, high)
		}
	})
}
