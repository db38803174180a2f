package drift

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/statistics"
)

// generated is the profile of columns of n values each, by what the generator calls them,
// made without the text between; and their values, of those that are numbers.
func generated(t *testing.T, n int, laws map[string]generator) (*profile.Profile, map[string][]float64) {
	t.Helper()
	p := &profile.Profile{Objects: 1, Counts: dataset.Counts{Rows: int64(n)}}
	for name := range laws {
		p.Columns = append(p.Columns, profile.Column{Name: name, Objects: 1, Rows: int64(n), Type: dataset.Numeric})
	}
	slices.SortFunc(p.Columns, func(a, b profile.Column) int { return cmp.Compare(a.Name, b.Name) })
	numbers := map[string][]float64{}
	var mu sync.Mutex // guards numbers
	var columns sync.WaitGroup
	for i := range p.Columns {
		columns.Go(func() {
			c := &p.Columns[i]
			law := laws[c.Name]
			law.N = n
			values, err := law.values()
			if err != nil {
				t.Error(err)
				return
			}
			if c.Name[0] == 'c' {
				c.Type = dataset.Categorical
				names := make([][]byte, int(law.K))
				for k := range names {
					names[k] = fmt.Append(nil, "city_", k)
				}
				all := make([][]byte, n)
				for i, v := range values {
					all[i] = names[int(v)]
				}
				c.Categories.AddAll(all)
				c.Categories.Trim()
				return
			}
			for part := range slices.Chunk(values, 4096) {
				c.Moments.Add(part...)
				c.Quantiles.Add(part...)
			}
			c.Quantiles.Trim()
			mu.Lock()
			numbers[c.Name] = values
			mu.Unlock()
		})
	}
	columns.Wait()
	return p, numbers
}

// lawsOf are those of some of the generator's columns that do not move, and of n2,
// which does.
func lawsOf(seed uint64, moved float64) map[string]generator {
	return map[string]generator{
		"n3": {Kind: "pow3", Seed: 100*seed + 3, A: 1000},
		"n4": {Kind: "int", Seed: 100*seed + 4, K: 50},
		"c1": {Kind: "int", Seed: 100*seed + 11, K: 90},
		"n2": {Kind: "ih12", Seed: 100*seed + 2, SD: 1, Mean: 0.15 * moved},
	}
}

// TestNoAlarmOfMillions compares a million rows with a million of one law, 100 times as a
// daemon does, at levels that change over time: no column drifts, and none leaves a
// verdict open, which would cost a second reading. What has moved then is found at
// once, at whatever the level has come down to.
func TestNoAlarmOfMillions(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a hundred million rows take a quarter of a minute")
	}
	const n = 1_000_000
	ref, _ := generated(t, n, lawsOf(1000, 0))
	var over statistics.Online
	for seed := range uint64(100) {
		cur, _ := generated(t, n, lawsOf(seed, 0))
		for _, alpha := range []float64{DefaultAlpha, over.Level(DefaultAlpha)} {
			opt := Options{Alpha: alpha}
			c := Compare(ref, cur, opt)
			if c.Drifted > 0 || c.Verdict != None || c.Tested != 4 {
				t.Errorf("seed %d, level %.2g: %s, %d of %d columns drifted", seed, alpha, c.Verdict, c.Drifted, c.Tested)
			}
			if open := Undecided(c, ref, cur, opt, false); len(open) > 0 {
				t.Errorf("seed %d, level %.2g: %q are open", seed, alpha, open)
			}
		}
		over.Add(false)
	}
	cur, _ := generated(t, n, lawsOf(100, 1))
	var drifted []string
	for _, c := range Compare(ref, cur, Options{Alpha: over.Level(DefaultAlpha)}).Columns {
		if c.Verdict == Drift {
			drifted = append(drifted, c.Name)
		}
	}
	if !slices.Equal(drifted, []string{"n2"}) {
		t.Errorf("after 100 quiet windows %q have drifted, want n2", drifted)
	}
}

// TestTenMillion compares a column of ten million values on each side, whose threshold
// is what they come to, to the last of them, or right above: two further readings decide, in
// bounded memory, and are exact.
func TestTenMillion(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("ten million values take some seconds to be sorted")
	}
	const n = 10_000_000
	ref, reference := generated(t, n, map[string]generator{"n3": {Kind: "pow3", Seed: 2, A: 1000}})
	cur, current := generated(t, n, map[string]generator{"n3": {Kind: "pow3", Seed: 4, A: 1050}})
	exactly := map[string]float64{}
	var both sync.WaitGroup
	var mu sync.Mutex // guards exactly
	for name, x := range reference {
		both.Go(func() {
			a, b := slices.Clone(x), slices.Clone(current[name])
			slices.Sort(a)
			slices.Sort(b)
			mu.Lock()
			exactly[name] = mostApart(a, b)
			mu.Unlock()
		})
	}
	both.Wait()
	for name, d := range exactly {
		opt := Options{Tests: []Choice{{Test: "ks", Threshold: d}}}
		rough := test(t, column(t, Compare(ref, cur, opt), name), "ks")
		if d < rough.Low || d > rough.High || rough.High-rough.Low > 2*0.005 {
			t.Errorf("%s: D of the sketches in [%v, %v], exactly %v", name, rough.Low, rough.High, d)
		}
		for _, c := range []struct {
			threshold float64
			verdict   Verdict
		}{{d - 1e-12, Drift}, {d + 1e-12, None}} {
			opt.Tests[0].Threshold = c.threshold
			opt.Exact = nil
			a := NewAgain(ref, cur, opt, []string{name}, false)
			times, before := 0, heap()
			for a.More() {
				times++
				for part := range slices.Chunk(reference[name], 4096) {
					a.now[0].add(0, part)
				}
				for part := range slices.Chunk(current[name], 4096) {
					a.now[0].add(1, part)
				}
				if more := int64(heap() - before); more > 8<<20 {
					t.Errorf("%s: reading %d takes %d bytes", name, times, more)
				}
			}
			opt.Exact = a.Exact()
			got := column(t, Compare(ref, cur, opt), name)
			ks := test(t, got, "ks")
			if ks.Low != ks.High || math.Abs(ks.Low-d) > 1e-13 || got.Verdict != c.verdict || times != 2 {
				t.Errorf("%s, threshold %v: %s after %d readings, D in [%v, %v], exactly %v", name, c.threshold, got.Verdict, times, ks.Low, ks.High, d)
			}
		}
	}
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// mostApart is D of sorted samples, of as many values each, by going through them.
func mostApart(x, y []float64) float64 {
	d, i, j := 0, 0, 0
	for i < len(x) && j < len(y) {
		v := min(x[i], y[j])
		for i < len(x) && x[i] == v {
			i++
		}
		for j < len(y) && y[j] == v {
			j++
		}
		d = max(d, i-j, j-i)
	}
	return float64(d) / float64(len(x))
}
