package policy

import (
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
)

const guardBackoff = "backoff"

// ask defers after the model group's last failure: the longer, the more runs
// have failed since one succeeded. Runs that were stopped do not count.
func (b Backoff) ask(past *State, group string, now time.Time) anneal.GuardResult {
	g := anneal.GuardResult{ID: guardBackoff}
	ends := past.Ended[group]
	if ends.Streak == 0 {
		g.Detail = "no failure since the last success"
		return g
	}
	last := ends.Failed[len(ends.Failed)-1]
	until := last.At.Add(b.delay(ends.Streak))
	failures := "1 failure"
	if ends.Streak > 1 {
		failures = fmt.Sprintf("%d failures in a row", ends.Streak)
	}
	if left := until.Sub(now); left > 0 {
		g.Veto, g.Until = true, &until
		g.Detail = fmt.Sprintf("%s left (%s after %s, the last of %s)", about(left), about(b.delay(ends.Streak)), failures, last.Run)
	} else {
		g.Detail = fmt.Sprintf("over since %s (%s)", until.UTC().Format(time.RFC3339), failures)
	}
	return g
}

// delay is how long a run is deferred after n failures in a row.
func (b Backoff) delay(n int) time.Duration {
	delay, longest := float64(b.Initial), float64(b.Max)
	for range n - 1 {
		if delay >= longest || b.Factor == 1 {
			break
		}
		delay *= b.Factor
	}
	return time.Duration(min(delay, longest))
}

func (c *compiler) backoff(b *Backoff) {
	if b == nil {
		return
	}
	const path = "spec.guards.backoff"
	c.problems.oneOf(path+".after", b.After, []string{AfterFailure}, nil)
	if b.Initial <= 0 {
		c.problems.add(path+".initial", "a backoff needs a length after the first failure: initial: 1h")
	}
	if b.Factor < 1 {
		c.problems.add(path+".factor", "a factor of %v makes the waits shorter: at least 1", b.Factor)
	}
	if b.Max < b.Initial {
		c.problems.add(path+".max", "a max of %s is less than initial, %s", b.Max, b.Initial)
	}
}
