package controller

import (
	"maps"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/policy"
)

// Ticks is what has come of schedules, by policy and trigger.
type Ticks map[string]map[string]schedule

// A schedule is one that is in force, and until when its ticks have come.
type schedule struct {
	Cron     string    `json:"cron"`
	TimeZone string    `json:"timeZone"`
	Through  time.Time `json:"through"` // its newest tick, or when it came into force
}

// scheduleRecord says that a schedule has come into force, or, without a
// Schedule, that there is none any more.
type scheduleRecord struct {
	Policy   string    `json:"policy"`
	Trigger  string    `json:"trigger"`
	Schedule *schedule `json:"schedule,omitempty"`
}

// scheduled takes a change of a schedule in.
func (s *State) scheduled(r scheduleRecord) {
	if r.Schedule == nil {
		delete(s.Schedules[r.Policy], r.Trigger)
		return
	}
	if s.Schedules[r.Policy] == nil {
		s.Schedules[r.Policy] = map[string]schedule{}
	}
	s.Schedules[r.Policy][r.Trigger] = *r.Schedule
}

// ticked takes in that a policy was woken by a tick, if it was.
func (s *State) ticked(w *wake) {
	known, ok := s.Schedules[w.Policy][w.Trigger]
	if ok && w.Event.Source == anneal.SourceCron && w.Event.Time.After(known.Through) {
		known.Through = w.Event.Time
		s.Schedules[w.Policy][w.Trigger] = known
	}
}

// Last is the newest tick of a policy's schedule that has come, or, before the
// first, when the schedule came into force. It is false where that is not known
// or the schedule was another then: such a schedule owes nothing.
func (t Ticks) Last(policy, trigger, cron, timeZone string) (time.Time, bool) {
	known, ok := t[policy][trigger]
	return known.Through, ok && known.Cron == cron && known.TimeZone == timeZone
}

// recordSchedules writes down which schedules have come into force or ceased to
// be now, so that one that is new owes no tick of the time before.
func (c *Controller) recordSchedules(b *batch, now time.Time) {
	for _, p := range c.generation.Load().Policies {
		for _, t := range p.Spec.Spec.Triggers {
			if t.Schedule == nil {
				continue
			}
			is := schedule{Cron: t.Schedule.Cron, TimeZone: p.Spec.Spec.TimeZone, Through: now.UTC()}
			if _, same := c.state.Schedules.Last(p.Name(), t.ID, is.Cron, is.TimeZone); !same {
				b.put(KindSchedule, "", scheduleRecord{Policy: p.Name(), Trigger: t.ID, Schedule: &is})
			}
		}
	}
	for _, name := range sortedKeys(c.state.Schedules) {
		for _, trigger := range slices.Sorted(maps.Keys(c.state.Schedules[name])) {
			if !hasSchedule(c.generation.Load().policy(name), trigger) {
				b.put(KindSchedule, "", scheduleRecord{Policy: name, Trigger: trigger})
			}
		}
	}
}

func hasSchedule(p *policy.Policy, trigger string) bool {
	return p != nil && slices.ContainsFunc(p.Spec.Spec.Triggers, func(t policy.Trigger) bool {
		return t.ID == trigger && t.Schedule != nil
	})
}
