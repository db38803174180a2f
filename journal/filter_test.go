package journal

import "testing"

// TestFilter holds a filter to what it was given, and to how often it is wrong of the
// rest: by 8 bits and 3 probes (1-e^(-3/8))^3, or 3.1 %.
func TestFilter(t *testing.T) {
	const n = 10_000
	f := newFilter(n)
	hash := func(i int) uint64 { return hashKey("turn", string(rune(i))) }
	for i := range n {
		f.add(hash(i))
	}
	wrong := 0
	for i := range n {
		if f.lacks(hash(i)) {
			t.Fatalf("hash %d was added, and is said to lack", i)
		}
		if !f.lacks(hash(n + i)) {
			wrong++
		}
	}
	if share := float64(wrong) / n; share > 0.04 {
		t.Errorf("of %.1f %% of what was not added it is not known, want at most 4 %%", 100*share)
	}
	if all := newFilter(mostFiltered + 1); all.lacks(hash(1)) || (filter{}).lacks(hash(1)) {
		t.Error("a filter of nothing says that something lacks")
	}
}
