package policy

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/anneal-ml/anneal"
)

const guardBlackout = "blackout"

// blackouts are those of a policy, ready to be asked.
type blackouts struct {
	zone zone
	list []blackout
}

type blackout struct {
	starts *cron.SpecSchedule
	length time.Duration
	reason string
}

// maxStarts bounds how many starts of one blackout run into each other,
// maxTurns how often several take turns; clockChange is longer than any change
// of the clocks.
const (
	maxStarts   = 4_096
	maxTurns    = 512
	clockChange = 3 * time.Hour
)

// blackouts checks those of a policy.
func (c *compiler) blackouts(list []Blackout, timeZone string) blackouts {
	out := blackouts{zone: zone{time.UTC}}
	if location := c.zone(timeZone); location != nil {
		out.zone = zone{location}
	}
	for i, b := range list {
		path := index("spec.guards.blackout", i)
		if b.For <= 0 {
			c.problems.add(path+".for", "a blackout needs a length: for: 72h")
		}
		starts := c.cron(path+".cron", b.Cron, timeZone)
		if starts == nil || b.For <= 0 {
			continue
		}
		each := blackout{starts, time.Duration(b.For), b.Reason}
		if _, ends := each.end(zone{time.UTC}, starts.Next(beginning)); !ends {
			c.problems.add(path, "this blackout never ends: for is as long as the time between its starts; mode: paused holds for good")
			continue
		}
		out.list = append(out.list, each)
	}
	if len(out.list) > 1 {
		first, _ := out.zone.instants(out.list[0].starts.Next(beginning))
		if _, _, ends := out.end(first); !ends {
			c.problems.add("spec.guards.blackout", "together these blackouts never end; mode: paused holds for good")
		}
	}
	return out
}

// Blackout is when the blackouts that t is in are over, and the reason that the
// first of them gives; it is false where t is in none.
func (p *Policy) Blackout(t time.Time) (until time.Time, reason string, ok bool) {
	end, reason, _ := p.blackouts.end(t)
	return end, reason, end.After(t)
}

// ask defers to the end of the blackouts that now is in, those that follow
// without a gap included.
func (b blackouts) ask(now time.Time) anneal.GuardResult {
	g := anneal.GuardResult{ID: guardBlackout}
	end, reason, _ := b.end(now)
	if end.After(now) {
		g.Veto, g.Until = true, &end
		g.Detail = fmt.Sprintf("%s left", about(end.Sub(now)))
		if reason != "" {
			g.Detail += " (" + reason + ")"
		}
		return g
	}
	var next time.Time
	for _, each := range b.list {
		if first, _ := b.zone.instants(each.starts.Next(b.zone.local(now))); next.IsZero() || first.Before(next) {
			next = first
		}
	}
	g.Detail = "none before " + next.UTC().Format(time.RFC3339)
	return g
}

// end is when the blackouts that t is in are over, t where it is in none, and
// the reason of the first. It is false where no end was found; asked again at
// the time that it gives, it goes on from there.
func (b blackouts) end(t time.Time) (end time.Time, reason string, found bool) {
	end = t
	for range maxTurns {
		before := end
		for _, each := range b.list {
			further, ends := each.end(b.zone, end)
			if further.After(end) && reason == "" {
				reason = each.reason
			}
			if end = further; !ends {
				return end, reason, false
			}
		}
		if end.Equal(before) {
			return end.UTC(), reason, true
		}
	}
	return end.UTC(), reason, false
}

// end is when the blackout that t is in is over, t where it is in none.
func (b blackout) end(z zone, t time.Time) (end time.Time, found bool) {
	end = t
	start := z.local(t.Add(-b.length)).Add(-clockChange)
	for range maxStarts {
		start = b.starts.Next(start)
		if start.IsZero() || start.After(z.local(end).Add(clockChange)) {
			return end, true
		}
		if first, last := z.instants(start); !first.After(end) && last.Add(b.length).After(end) {
			end = last.Add(b.length)
		}
	}
	return end, false
}
