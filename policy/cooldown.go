package policy

import (
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
)

const guardCooldown = "cooldown"

// ask defers until the length of the cooldown has passed since the model
// group's last run that ended as After says, whichever policy ran it.
func (c Cooldown) ask(past *State, group string, now time.Time) anneal.GuardResult {
	g := anneal.GuardResult{ID: guardCooldown}
	ends := past.Ended[group]
	var last *End
	for _, end := range []*End{ends.Success, ends.Failure} {
		counts := end != nil && (c.After == AfterAny || (c.After == AfterSuccess) == (end.Status == anneal.StatusSucceeded))
		if counts && (last == nil || end.At.After(last.At)) {
			last = end
		}
	}
	after := map[string]string{AfterSuccess: "success", AfterFailure: "failure", AfterAny: "run"}[c.After]
	if last == nil {
		g.Detail = "no " + after + " yet"
		return g
	}
	until := last.At.Add(time.Duration(c.For))
	if left := until.Sub(now); left > 0 {
		g.Veto, g.Until = true, &until
		g.Detail = fmt.Sprintf("%s left (%s after the %s of %s)", about(left), c.For, ended(last.Status), last.Run)
	} else {
		g.Detail = fmt.Sprintf("over since %s", until.UTC().Format(time.RFC3339))
	}
	return g
}

func ended(s anneal.Status) string {
	if s == anneal.StatusSucceeded {
		return "success"
	}
	return "failure"
}
