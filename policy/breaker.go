package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
)

const guardBreaker = "breaker"

// ask holds while as many runs of the model group as the breaker says have
// failed, or not been promoted: those that ended within the time before and
// since the policy was last resumed. What it holds is looked at again when
// enough of them are old.
func (b Breaker) ask(past *State, policy, group string, now time.Time) anneal.GuardResult {
	g := anneal.GuardResult{ID: guardBreaker}
	var closes time.Time
	count := func(what string, limit int, ends []End) {
		if limit == 0 {
			return
		}
		var counted []End
		resumed := past.resumed(policy)
		for _, end := range ends {
			if now.Before(end.At.Add(time.Duration(b.Within))) && end.At.After(resumed) {
				counted = append(counted, end)
			}
		}
		slices.SortStableFunc(counted, func(a, b End) int { return a.At.Compare(b.At) })
		if g.Detail != "" {
			g.Detail += ", "
		}
		g.Detail += fmt.Sprintf("%d of %d %s", len(counted), limit, what)
		if over := len(counted) - limit; over >= 0 {
			g.Veto = true
			if at := counted[over].At.Add(time.Duration(b.Within)); at.After(closes) {
				closes = at
			}
		}
	}
	count("failed", b.Failed, past.Ended[group].Failed)
	count("not promoted", b.NotPromoted, past.Ended[group].NotPromoted)
	g.Detail += " within " + b.Within.String()
	if g.Veto {
		closes = closes.UTC()
		g.Until = &closes
		g.Detail += fmt.Sprintf(": open until the policy is resumed, or until %s", closes.Format(time.RFC3339))
	}
	return g
}

func (c *compiler) breaker(b *Breaker, body Body) {
	if b == nil {
		return
	}
	const path = "spec.guards.breaker"
	if b.Failed == 0 && b.NotPromoted == 0 {
		c.problems.add(path, "a breaker counts something: {failed: 3} or {notPromoted: 3}")
	}
	for _, n := range []struct {
		key   string
		count int
	}{{"failed", b.Failed}, {"notPromoted", b.NotPromoted}} {
		if n.count < 0 || n.count > maxEnds {
			c.problems.add(At(path, n.key), "%d runs: 1 to %d", n.count, maxEnds)
		}
	}
	if b.NotPromoted > 0 && body.Run != nil && body.Run.Model == nil {
		c.problems.add(path+".notPromoted", "no run is ever promoted: run.model says how one becomes a model")
	}
}
