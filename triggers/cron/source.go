package cron

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/anneal-ml/anneal/triggers"
)

const (
	// lookEvery is the longest sleep. A timer does not notice that the machine
	// slept or that its clock was set, so it is less than grace.
	lookEvery = 30 * time.Second

	// Between two tries of a sink that refuses.
	shortestWait = 100 * time.Millisecond
	longestWait  = 30 * time.Second
)

// Config is the schedules of all policies.
type Config struct {
	Schedules []*Schedule
	// Last is the newest tick of a schedule that is in the journal (see
	// [Schedule.Told]), and false if there is none. A schedule without one
	// starts at the time of Run and owes nothing; whoever knows since when the
	// schedule has been in force may answer with that time. It is asked once a
	// schedule, at the start of Run.
	Last func(*Schedule) (time.Time, bool)
}

// New returns the source of all schedules. It is an error if two have the same
// policy and trigger.
func New(cfg Config, log *slog.Logger) (*Source, error) {
	type name struct{ policy, trigger string }
	seen := make(map[name]bool)
	var problems []error
	for _, s := range cfg.Schedules {
		n := name{s.entry.Policy, s.entry.Trigger}
		if seen[n] {
			problems = append(problems, fmt.Errorf("policy %s: two schedules of the trigger %s; want one", n.policy, n.trigger))
		}
		seen[n] = true
	}
	if problems != nil {
		return nil, errors.Join(problems...)
	}
	return &Source{cfg: cfg, log: log, now: time.Now, lookEvery: lookEvery}, nil
}

// A Source gives the ticks of schedules when they are due.
//
// What is missed is decided whenever the source looks at the clock, not only at
// its start, so a machine that slept is like a daemon that was down. If the
// clock goes back behind a tick that was given, by more than a minute, the
// schedule goes on from the new time; what comes again is known by its ID.
type Source struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	lookEvery time.Duration
}

var _ triggers.Source = (*Source)(nil)

// A follower is a schedule and how far it has come.
type follower struct {
	*Schedule
	settled time.Time // every tick up to here has been given or skipped
	next    time.Time // when the one after it is due
}

func (f *follower) settle(through time.Time) {
	f.settled = through
	tick, ok := f.Schedule.next(through.Add(1), through.Add(far))
	if !ok {
		panic("schedule has no next tick") // unreachable: checked by Parse
	}
	f.next = tick.Due
}

// Run hands ticks to sink until ctx ends, and then returns nil.
func (s *Source) Run(ctx context.Context, sink triggers.Sink) error {
	start := s.now().UTC()
	followers := make([]*follower, len(s.cfg.Schedules))
	for i, schedule := range s.cfg.Schedules {
		last, ok := s.cfg.Last(schedule)
		if !ok {
			last = start
		}
		followers[i] = &follower{Schedule: schedule}
		followers[i].settle(last)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if !s.look(ctx, sink, followers) {
			return nil
		}
		wait := s.lookEvery
		now := s.now()
		for _, f := range followers {
			wait = min(wait, f.next.Sub(now))
		}
		timer.Reset(wait)
	}
}

// look gives what is due by now, or returns false when ctx has ended.
func (s *Source) look(ctx context.Context, sink triggers.Sink, followers []*follower) bool {
	type gift struct {
		*follower
		tick Tick
	}
	var gifts []gift
	through := make(map[*follower]time.Time)
	now := s.now().UTC()
	for _, f := range followers {
		if f.settled.After(now.Add(grace)) {
			s.log.Warn("clock is behind the last tick, schedule goes on from now",
				"policy", f.entry.Policy, "trigger", f.entry.Trigger, "tick", f.settled, "now", now)
			f.settle(now)
		}
		if f.next.After(now) {
			continue
		}
		missed := f.Missed(f.settled, now)
		if missed.Skipped > 0 {
			s.log.Info("missed ticks are not made up",
				"policy", f.entry.Policy, "trigger", f.entry.Trigger, "ticks", missed.Skipped, "catchUp", f.entry.CatchUp)
		}
		through[f] = missed.Through
		for _, tick := range missed.Ticks {
			gifts = append(gifts, gift{f, tick})
		}
	}
	slices.SortFunc(gifts, func(a, b gift) int {
		return cmp.Or(
			a.tick.At.Compare(b.tick.At),
			cmp.Compare(a.entry.Policy, b.entry.Policy),
			cmp.Compare(a.entry.Trigger, b.entry.Trigger),
		)
	})
	for _, g := range gifts {
		if !s.give(ctx, sink, g.Schedule, g.tick) {
			return false
		}
	}
	for f, t := range through {
		f.settle(t)
	}
	return true
}

// give returns when the sink has the tick, or false when ctx has ended.
func (s *Source) give(ctx context.Context, sink triggers.Sink, schedule *Schedule, tick Tick) bool {
	told := ""
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		event := schedule.Event(tick, s.now())
		log := s.log.With("event", event.ID, "policy", schedule.entry.Policy, "trigger", schedule.entry.Trigger, "tick", tick.At)
		_, duplicate, err := sink.Ingest(ctx, event)
		if err == nil {
			if told != "" {
				log.Info("event is taken again")
			}
			log.Debug("tick given", "duplicate", duplicate)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if told != err.Error() {
			told = err.Error()
			log.Warn("event is not taken, trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}
