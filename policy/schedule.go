package policy

import (
	"slices"
	"time"

	"github.com/robfig/cron/v3"
)

// The ways to catch up on ticks that were missed.
const (
	CatchUpNone   = "none"
	CatchUpLatest = "latest"
	CatchUpAll    = "all"
)

const (
	defaultMade = 24
	maxMade     = 1_000
	// minDeadline is how late a tick is that was missed.
	minDeadline = Duration(time.Minute)
)

// withDefaults fills in what the schedule leaves open.
func (s Schedule) withDefaults() Schedule {
	if s.CatchUp == "" {
		s.CatchUp = CatchUpNone
	}
	if s.CatchUp == CatchUpAll && s.Max == 0 {
		s.Max = defaultMade
	}
	return s
}

// schedule checks the schedule at path.
func (c *compiler) schedule(path string, s Schedule, timeZone string) {
	if ticks := c.cron(path+".cron", s.Cron, timeZone); ticks != nil && s.Jitter > shortest(ticks) {
		c.problems.add(path+".jitter", "a jitter of %s: at most %s, the shortest time between two ticks", s.Jitter, shortest(ticks))
	}
	c.problems.oneOf(path+".catchUp", s.CatchUp, []string{CatchUpNone, CatchUpLatest, CatchUpAll}, nil)
	switch {
	case s.Max != 0 && slices.Contains([]string{CatchUpNone, CatchUpLatest}, s.CatchUp):
		c.problems.add(path+".max", "max is for catchUp: all, this is %s", s.CatchUp)
	case s.Max < 0 || s.Max > maxMade:
		c.problems.add(path+".max", "%d ticks: 1 to %d", s.Max, maxMade)
	}
	switch {
	case s.Deadline != 0 && s.CatchUp == CatchUpNone:
		c.problems.add(path+".deadline", "deadline is for ticks that are made up: catchUp: latest or all, this is none")
	case s.Deadline != 0 && s.Deadline < minDeadline:
		c.problems.add(path+".deadline", "a tick is missed once it is %s late: a deadline of %s makes up none", minDeadline, s.Deadline)
	}
	if s.Jitter%Duration(time.Second) != 0 {
		c.problems.add(path+".jitter", "a jitter of %s: whole seconds", s.Jitter)
	}
}

// shortest is the shortest time between two ticks where the clocks do not
// change, if any day is followed by any.
func shortest(ticks *cron.SpecSchedule) Duration {
	var times []time.Duration
	for minute := range 24 * 60 {
		if ticks.Hour>>(minute/60)&1 == 1 && ticks.Minute>>(minute%60)&1 == 1 {
			times = append(times, time.Duration(minute)*time.Minute)
		}
	}
	least := times[0] + day - times[len(times)-1]
	for i := range len(times) - 1 {
		least = min(least, times[i+1]-times[i])
	}
	return Duration(least)
}
