package policy

import (
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
)

const guardBudget = "budget"

// ask defers while as many runs as the budget has were decided on for the model
// group within the time before, whatever became of them.
func (b Budget) ask(past *State, group string, now time.Time) anneal.GuardResult {
	g := anneal.GuardResult{ID: guardBudget}
	var counted []time.Time
	for _, at := range past.Ended[group].Decided {
		if now.Before(at.Add(time.Duration(b.Per))) {
			counted = append(counted, at)
		}
	}
	g.Detail = fmt.Sprintf("%d of %d runs within %s", len(counted), b.Runs, b.Per)
	if over := len(counted) - b.Runs; over >= 0 {
		until := counted[over].Add(time.Duration(b.Per))
		g.Veto, g.Until = true, &until
		g.Detail = about(until.Sub(now)) + " left (" + g.Detail + ")"
	}
	return g
}

func (c *compiler) budget(b *Budget) {
	if b == nil {
		return
	}
	if b.Runs < 1 || b.Runs > maxDecided {
		c.problems.add("spec.guards.budget.runs", "a budget of %d runs: 1 to %d", b.Runs, maxDecided)
	}
	if b.Per <= 0 {
		c.problems.add("spec.guards.budget.per", "a budget is for a time: per: 30d")
	}
}
