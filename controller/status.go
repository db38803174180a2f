package controller

import (
	"slices"
	"time"

	"github.com/anneal-ml/anneal/policy"
)

// Status is how the loop stands, as of its last append.
type Status struct {
	Record   uint64         `json:"record"` // last one of the loop's
	Taken    uint64         `json:"taken"`  // events up to this record were taken
	Waiting  int            `json:"waiting"`
	Oldest   *time.Time     `json:"oldest,omitempty"` // when the event of the oldest wake that waits was seen
	Policies []PolicyStatus `json:"policies"`
}

// PolicyStatus is how one policy stands.
type PolicyStatus struct {
	Name     string             `json:"name"`
	Mode     policy.Mode        `json:"mode"`
	Model    string             `json:"model"`
	Revision string             `json:"revision"`
	Champion string             `json:"champion,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	// TrainedAt is when the champion was trained.
	TrainedAt *time.Time        `json:"trainedAt,omitempty"`
	Objects   int               `json:"objects"` // kept for windows and trainings
	Waiting   int               `json:"waiting"` // wakes not decided yet
	Rows      int64             `json:"rows"`    // since the last training
	OpenRuns  []string          `json:"openRuns"`
	NextWake  *time.Time        `json:"nextWake,omitempty"`
	Paused    string            `json:"paused,omitempty"`   // why a person has paused it
	Gathered  []policy.Gathered `json:"gathered,omitempty"` // what its triggers have gathered
	Asks      string            `json:"asks,omitempty"`     // the decision that waits for approval
}

// Full reports whether the loop waits because the journal has no space. Safe
// for concurrent use.
func (c *Controller) Full() bool { return c.full.Load() }

const (
	// statusWithin is how long Status waits for the loop to say how it stands: it may
	// be measuring, or wait for a slow disk, and what it said last may be old.
	statusWithin = 5 * time.Second
	// fullWithin is how long where the loop may wait for space.
	fullWithin = 250 * time.Millisecond
)

// Status returns how the loop stands: with all that was asked of it and has
// returned. Where it does not answer it is how it stood last: while it waits for
// space, and when it has ended. Safe for concurrent use.
func (c *Controller) Status() Status {
	begun := time.Now()
	look := time.NewTicker(fullWithin)
	defer look.Stop()
	answer := make(chan Status, 1)
	for {
		select {
		case c.asked <- answer:
			return <-answer
		case <-c.ended:
			return *c.status.Load()
		case <-look.C:
			if c.Full() || time.Since(begun) >= statusWithin {
				return *c.status.Load()
			}
		}
	}
}

// standing is how the loop stands now.
func (c *Controller) standing() Status {
	policies := c.generation.Load().Policies
	s := Status{Record: c.state.Seq, Taken: c.state.Taken, Waiting: len(c.state.Wakes), Policies: make([]PolicyStatus, 0, len(policies))}
	waiting, open := map[string]int{}, map[string][]string{}
	for _, w := range c.state.Wakes {
		waiting[w.Policy]++
		if seen := w.Event.Seen; s.Oldest == nil || seen.Before(*s.Oldest) {
			s.Oldest = &seen
		}
	}
	for _, id := range sortedKeys(c.state.Runs) {
		name := c.state.Runs[id].Policy
		open[name] = append(open[name], id)
	}
	for _, p := range policies {
		spec, data := p.Spec.Spec, c.state.data(p.Name())
		ps := PolicyStatus{
			Name: p.Name(), Mode: spec.Mode, Model: spec.Model.Group, Revision: p.Revision, Waiting: waiting[p.Name()],
			Objects: len(data.Objects), Rows: data.Rows - data.Trained, OpenRuns: slices.Clone(open[p.Name()]),
		}
		if ps.OpenRuns == nil {
			ps.OpenRuns = []string{}
		}
		if champion := c.state.Models.Champion(spec.Model.Group); champion != nil {
			ps.Champion, ps.Metrics, ps.TrainedAt = champion.ID(), champion.Metrics, &champion.TrainedAt
		}
		if m := c.state.Past.Policies[p.Name()]; m != nil {
			if m.Paused != nil {
				ps.Paused = *m.Paused
			}
			ps.Gathered = slices.Clone(m.Gathered)
			if m.Approval != nil && m.Approval.Answer == "" {
				ps.Asks = m.Approval.Decision
			}
		}
		if at, ok := c.state.Past.NextOf(p); ok {
			ps.NextWake = &at
		}
		s.Policies = append(s.Policies, ps)
	}
	return s
}

func (c *Controller) publishStatus() Status {
	s := c.standing()
	c.status.Store(&s)
	return s
}
