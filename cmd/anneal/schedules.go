package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/cron"
)

// schedulesOf are the schedules of these policies. Both sides have checked them
// by the same rules.
func schedulesOf(policies []configs.Policy) ([]*cron.Schedule, error) {
	var schedules []*cron.Schedule
	zones := map[string]*time.Location{} // many policies share a few
	for _, p := range policies {
		for _, t := range p.Spec.Spec.Triggers {
			if t.Schedule == nil {
				continue
			}
			name := p.Spec.Spec.TimeZone
			if zones[name] == nil {
				zone, err := time.LoadLocation(name)
				if err != nil {
					return nil, fmt.Errorf("policy %s: %w", p.Name(), err)
				}
				zones[name] = zone
			}
			schedule, err := newSchedule(p.Policy, t, zones[name])
			if err != nil {
				return nil, fmt.Errorf("policy %s, trigger %s: %w", p.Name(), t.ID, err)
			}
			schedules = append(schedules, schedule)
		}
	}
	return schedules, nil
}

func newSchedule(p *policy.Policy, t policy.Trigger, zone *time.Location) (*cron.Schedule, error) {
	return cron.Parse(cron.Entry{
		Policy: p.Name(), Trigger: t.ID, Cron: t.Schedule.Cron, Zone: zone,
		CatchUp: cron.CatchUp(t.Schedule.CatchUp), Max: t.Schedule.Max,
		Deadline: time.Duration(t.Schedule.Deadline), Jitter: time.Duration(t.Schedule.Jitter),
	})
}

// scheduled is what [schedules.set] takes for a generation.
func (d *daemon) scheduled(cfg *configs.Config) []*cron.Schedule {
	list, err := schedulesOf(cfg.Policies)
	if err != nil {
		d.log.Error("schedules not loaded", "err", err) // a bug: checked when the policy was compiled
	}
	return list
}

// schedules is the source of the ticks of the generation that decides.
type schedules struct {
	log   *slog.Logger
	ticks func(ctx context.Context) (controller.Ticks, error)
	next  chan []*cron.Schedule // the newest that is not taken up yet
}

// set has the source go on with other schedules. It does not wait.
func (s *schedules) set(list []*cron.Schedule) {
	select {
	case <-s.next:
	default:
	}
	s.next <- list
}

// Run gives ticks to sink until ctx ends. Ticks that come a second time, where
// one set of schedules takes over from another, are known by their ID.
func (s *schedules) Run(ctx context.Context, sink triggers.Sink) error {
	var stop context.CancelFunc = func() {}
	ended := make(chan error, 1)
	ended <- nil
	for {
		select {
		case <-ctx.Done():
			stop()
			return <-ended
		case list := <-s.next:
			stop()
			if err := <-ended; err != nil {
				return err
			}
			ticks, err := s.ticks(ctx)
			if err != nil {
				return err
			}
			source, err := cron.New(cron.Config{Schedules: list, Last: func(s *cron.Schedule) (time.Time, bool) {
				e := s.Entry()
				return ticks.Last(e.Policy, e.Trigger, e.Cron, e.Zone.String())
			}}, s.log)
			if err != nil {
				return err
			}
			var mine context.Context
			mine, stop = context.WithCancel(ctx)
			go func() { ended <- source.Run(mine, sink) }()
		}
	}
}
