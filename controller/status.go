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
	Objects  int                `json:"objects"` // kept for windows and trainings
	Waiting  int                `json:"waiting"` // wakes not decided yet
	Rows     int64              `json:"rows"`    // since the last training
	OpenRuns []string           `json:"openRuns"`
	NextWake *time.Time         `json:"nextWake,omitempty"`
	Paused   string             `json:"paused,omitempty"`   // why a person has paused it
	Gathered []policy.Gathered  `json:"gathered,omitempty"` // what its triggers have gathered
}

// Full reports whether the loop waits because the journal has no space. Safe
// for concurrent use.
func (c *Controller) Full() bool { return c.full.Load() }

// Status returns how the loop stands. Safe for concurrent use.
func (c *Controller) Status() Status { return *c.status.Load() }

func (c *Controller) publishStatus() {
	s := Status{Record: c.state.Seq, Taken: c.state.Taken, Waiting: len(c.state.Wakes), Policies: []PolicyStatus{}}
	for _, p := range c.generation.Load().Policies {
		spec := p.Spec.Spec
		data := c.state.data(p.Name())
		ps := PolicyStatus{
			Name: p.Name(), Mode: spec.Mode, Model: spec.Model.Group, Revision: p.Revision,
			Objects: len(data.Objects), Rows: data.Rows - data.Trained, OpenRuns: []string{},
		}
		if champion := c.state.Models.Champion(spec.Model.Group); champion != nil {
			ps.Champion, ps.Metrics = champion.ID(), champion.Metrics
		}
		for _, w := range c.state.Wakes {
			if w.Policy == p.Name() {
				ps.Waiting++
			}
		}
		for _, id := range sortedKeys(c.state.Runs) {
			if c.state.Runs[id].Policy == p.Name() {
				ps.OpenRuns = append(ps.OpenRuns, id)
			}
		}
		if m := c.state.Past.Policies[p.Name()]; m != nil {
			if m.Paused != nil {
				ps.Paused = *m.Paused
			}
			ps.Gathered = slices.Clone(m.Gathered)
		}
		if at, ok := c.state.Past.Next(map[string]*policy.Policy{p.Name(): p}); ok {
			ps.NextWake = &at
		}
		s.Policies = append(s.Policies, ps)
	}
	c.status.Store(&s)
}
