package statistics

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestOnline holds the false discovery rate over 2,000 tests, of which some are of
// no effect, below what was asked for; and finds nearly all that are of one.
func TestOnline(t *testing.T) {
	const alpha = 0.05
	r := rand.New(rand.NewPCG(1, 2))
	rate, power := 0.0, 0.0
	const runs = 50
	for range runs {
		var o Online
		found, wrong, right, effects := 0.0, 0.0, 0.0, 0.0
		for range 2000 {
			p, effect := r.Float64(), r.Float64() < 0.05
			if effect {
				p *= 1e-8
				effects++
			}
			reject := p <= o.Level(alpha)
			o.Add(reject)
			if reject {
				found++
				if effect {
					right++
				} else {
					wrong++
				}
			}
		}
		rate += wrong / max(1, found) / runs
		power += right / effects / runs
	}
	if rate > alpha || power < 0.95 {
		t.Errorf("false discoveries are %.3f of all, want at most %v; %.3f of the effects are found", rate, alpha, power)
	}

	// What may be spent without a discovery is half of alpha, over all times.
	var quiet Online
	spent := 0.0
	for range 100_000 {
		spent += quiet.Level(alpha)
		quiet.Add(false)
	}
	if spent > alpha/2 {
		t.Errorf("%v was spent without a discovery, want at most %v", spent, alpha/2)
	}
	before := quiet.Level(alpha)
	quiet.Add(true)
	if after := quiet.Level(alpha); after < 100*before {
		t.Errorf("a discovery raises the level from %v to %v only", before, after)
	}
	var many Online
	for range 1000 {
		many.Add(true)
	}
	if l := many.Level(alpha); len(many.Found) > mostFound || many.Found[0] != 1 || l > alpha || math.IsNaN(l) {
		t.Errorf("%d discoveries kept from %d on, level %v", len(many.Found), many.Found[0], l)
	}
}
