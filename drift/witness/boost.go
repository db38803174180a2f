package witness

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// The constants of gradient boosting are scikit-learn's HistGradientBoosting's.
const (
	rounds    = 100
	rate      = 0.1
	mostLeafs = 31
	leastLeaf = 20 // rows
	leastFlat = 1e-3
)

// A loss gives gradient and curvature of what is minimised at a raw score.
type loss func(y, score float64) (gradient, curvature float64)

func squared(y, score float64) (float64, float64) { return score - y, 1 }

func logistic(y, score float64) (float64, float64) {
	p := 1 / (1 + math.Exp(-score))
	return p - y, p * (1 - p)
}

// A forest is the sum of trees over binned features (Friedman: Greedy Function
// Approximation, 2001), grown leaf by leaf as LightGBM does (Ke et al. 2017).
type forest struct {
	base  float64
	trees [][]node
	gain  []float64 // by feature: what its splits have won
}

// A node splits at a bin, or is a leaf: left is 0. What is right lies behind what is
// left. To the left go bins that are at most bin when shift, 0 or 1, is taken off them:
// 1 makes bin 0, of what is missing or was never seen, the last of all, to the right.
type node struct {
	value   float64
	left    int32
	feature uint16
	bin     uint8
	shift   uint8
}

// grow fits a forest to y; bins is by feature, then by row.
func grow(features []feature, bins [][]uint8, y []float64, base float64, of loss) *forest {
	f := &forest{base: base, gain: make([]float64, len(bins))}
	if len(bins) == 0 {
		return f // there is nothing to learn by
	}
	g := newGrower(features, bins, len(y))
	score := make([]float64, len(y))
	for i := range score {
		score[i] = base
	}
	for range rounds {
		for i := range y {
			g.gradient[i], g.curvature[i] = of(y[i], score[i])
		}
		tree := g.tree(score, f.gain)
		if len(tree) == 1 {
			break // nothing is left to be learnt
		}
		f.trees = append(f.trees, tree)
	}
	return f
}

// growClasses fits forests to several classes at once, whose probabilities are those of
// their scores together (Friedman 2001, multiclass logistic): y is the class of each row,
// by its place in base.
func growClasses(features []feature, bins [][]uint8, y []uint8, base []float64) []*forest {
	n := len(y)
	g := newGrower(features, bins, n)
	forests, scores, p := make([]*forest, len(base)), make([][]float64, len(base)), make([][]float64, len(base))
	for k := range base {
		forests[k] = &forest{base: base[k], gain: make([]float64, len(bins))}
		scores[k], p[k] = make([]float64, n), make([]float64, n)
		for i := range n {
			scores[k][i] = base[k]
		}
	}
	for range rounds {
		for k := range p {
			copy(p[k], scores[k])
		}
		softmax(p)
		learnt := false
		for k, f := range forests {
			for i, at := range p[k] {
				g.gradient[i], g.curvature[i] = at, at*(1-at)
				if y[i] == uint8(k) {
					g.gradient[i]--
				}
			}
			tree := g.tree(scores[k], f.gain)
			f.trees = append(f.trees, tree)
			learnt = learnt || len(tree) > 1
		}
		if !learnt {
			break
		}
	}
	return forests
}

// softmax makes probabilities of raw scores, which are by class, then by row.
func softmax(scores [][]float64) {
	for i := range scores[0] {
		most, sum := math.Inf(-1), 0.0
		for k := range scores {
			most = max(most, scores[k][i])
		}
		for k := range scores {
			scores[k][i] = math.Exp(scores[k][i] - most)
			sum += scores[k][i]
		}
		for k := range scores {
			scores[k][i] /= sum
		}
	}
}

// block is how many rows are scored at a time: they and a tree fit into the processor's
// nearest cache.
const block = 1024

// scores are the raw scores of the first n rows.
func (f *forest) scores(bins [][]uint8, n int) []float64 {
	all, next := make([]float64, n), atomic.Int64{}
	var workers sync.WaitGroup
	var odd atomic.Pointer[dataset.Panic]
	for range min(runtime.GOMAXPROCS(0), (n+block-1)/block) {
		workers.Go(func() {
			p := dataset.Catch(func() {
				row := make([]uint8, block*len(bins))
				for from := int(next.Add(block)) - block; from < n; from = int(next.Add(block)) - block {
					f.score(bins, from, all[from:min(n, from+block)], row)
				}
			})
			if p != nil {
				odd.Store(p)
			}
		})
	}
	workers.Wait()
	if p := odd.Load(); p != nil {
		panic(p)
	}
	return all
}

// score scores rows from one on. The bins of a row are put side by side first, in rows.
func (f *forest) score(bins [][]uint8, from int, scores []float64, rows []uint8) {
	width := len(bins)
	for k, of := range bins {
		for i, bin := range of[from : from+len(scores)] {
			rows[i*width+k] = bin
		}
	}
	for i := range scores {
		scores[i] = f.base
	}
	for _, t := range f.trees {
		for i := range scores {
			row, k := rows[i*width:(i+1)*width], &t[0]
			for k.left != 0 {
				next := k.left // without a branch, which would be guessed wrong every second time
				if row[k.feature]-k.shift > k.bin {
					next++
				}
				k = &t[next]
			}
			scores[i] += k.value
		}
	}
}

// A grower holds what the trees of a forest are grown with.
type grower struct {
	features            []feature
	bins                [][]uint8
	gradient, curvature []float64
	order, spare        []int32 // rows; those of a leaf lie side by side
	near                []slope // of the rows of a leaf, side by side
	free                [][]sums
}

func newGrower(features []feature, bins [][]uint8, n int) *grower {
	return &grower{features: features, bins: bins, gradient: make([]float64, n), curvature: make([]float64, n), order: make([]int32, n), spare: make([]int32, n), near: make([]slope, n)}
}

type slope struct{ g, h float64 }

// sums are over the rows of a leaf in one bin.
type sums struct {
	g, h float64
	n    int
}

func (s sums) less(o sums) sums { return sums{s.g - o.g, s.h - o.h, s.n - o.n} }

// worth is what a leaf with these sums wins.
func (s sums) worth() float64 { return s.g * s.g / (s.h + 1e-12) }

// A leaf may be split yet: best is how.
type leaf struct {
	at         int // node
	start, end int // of order
	total      sums
	parts      []sums // by feature and bin
	gain       float64
	feature    int
	bin, shift uint8
}

// tree grows one tree, moves the scores by it, and adds to gain what its splits win.
func (g *grower) tree(score, gain []float64) []node {
	for i := range g.order {
		g.order[i] = int32(i)
	}
	root := &leaf{end: len(g.order), parts: g.histogram(0, len(g.order))}
	for _, s := range root.parts[:256] {
		root.total = root.total.less(sums{-s.g, -s.h, -s.n})
	}
	g.best(root)
	tree, leafs := []node{{}}, []*leaf{root}
	for len(leafs) < mostLeafs {
		var l *leaf
		for _, o := range leafs {
			if o.gain > 0 && (l == nil || o.gain > l.gain) {
				l = o
			}
		}
		if l == nil {
			break
		}
		gain[l.feature] += l.gain
		middle := g.split(l)
		right := &leaf{at: len(tree) + 1, start: middle, end: l.end}
		tree[l.at] = node{feature: uint16(l.feature), bin: l.bin, shift: l.shift, left: int32(len(tree))}
		tree = append(tree, node{}, node{})
		l.at, l.end = len(tree)-2, middle
		small, large := l, right
		if right.end-right.start < l.end-l.start {
			small, large = right, l
		}
		parts := l.parts
		small.parts = g.histogram(small.start, small.end)
		for i, s := range small.parts {
			parts[i] = parts[i].less(s)
		}
		large.parts = parts
		for _, o := range []*leaf{l, right} {
			o.total = sums{}
			for _, s := range o.parts[:256] {
				o.total = o.total.less(sums{-s.g, -s.h, -s.n})
			}
			g.best(o)
		}
		leafs = append(leafs, right)
	}
	for _, l := range leafs {
		value := -rate * l.total.g / (l.total.h + 1e-12)
		tree[l.at].value = value
		for _, i := range g.order[l.start:l.end] {
			score[i] += value
		}
		g.free = append(g.free, l.parts)
	}
	return tree
}

func (g *grower) histogram(start, end int) []sums {
	var parts []sums
	if last := len(g.free) - 1; last >= 0 {
		parts, g.free = g.free[last], g.free[:last]
		clear(parts)
	} else {
		parts = make([]sums, 256*len(g.bins))
	}
	rows, near := g.order[start:end], g.near[:end-start]
	for k, i := range rows {
		near[k] = slope{g.gradient[i], g.curvature[i]}
	}
	for f, bins := range g.bins {
		of := (*[256]sums)(parts[256*f:])
		for k, i := range rows {
			s := &of[bins[i]]
			s.g += near[k].g
			s.h += near[k].h
			s.n++
		}
	}
	return parts
}

// best finds the split of a leaf that wins most. Numbers that are missing go to the side
// that wins more by them; where none was, to that with more rows. A class that is missing
// or was never seen is before all others.
func (g *grower) best(l *leaf) {
	l.gain = 0
	if l.end-l.start < 2*leastLeaf {
		return
	}
	whole := l.total.worth()
	for f := range g.bins {
		parts, numbers := l.parts[256*f:256*(f+1)-1], g.features[f].bins == nil
		for shift := range 2 {
			if shift == 1 && (!numbers || parts[0].n == 0) {
				break
			}
			var left sums
			for b, s := range parts[shift:] {
				if s.n == 0 {
					continue
				}
				left = left.less(sums{-s.g, -s.h, -s.n})
				right := l.total.less(left)
				if right.n < leastLeaf {
					break
				}
				if left.n < leastLeaf || left.h < leastFlat || right.h < leastFlat {
					continue
				}
				if gain := left.worth() + right.worth() - whole; gain > l.gain+1e-9 {
					l.gain, l.feature, l.bin, l.shift = gain, f, uint8(b), uint8(shift)
					if numbers && parts[0].n == 0 && right.n >= left.n {
						l.bin, l.shift = l.bin-1, 1
					}
				}
			}
		}
	}
}

// split moves the rows of the left part before those of the right, each in
// their order, and says where the right begins.
func (g *grower) split(l *leaf) int {
	bins, middle, rest := g.bins[l.feature], l.start, g.spare[:0]
	for _, i := range g.order[l.start:l.end] {
		if bins[i]-l.shift <= l.bin {
			g.order[middle] = i
			middle++
		} else {
			rest = append(rest, i)
		}
	}
	copy(g.order[middle:], rest)
	return middle
}
