package asl

import (
	"encoding/json"
	"fmt"
	"time"
)

// MaxRedrives is how often an execution may be redriven.
const MaxRedrives = 1000

// NotRedrivable says why the execution cannot be redriven; it is empty where it
// can. How long ago it ended is not considered.
func (s *State) NotRedrivable() string {
	switch {
	case s.Status == StatusRunning || s.Status == StatusSucceeded:
		return "Execution is " + s.Status + " and cannot be redriven"
	case s.Redrives >= MaxRedrives:
		return fmt.Sprintf("Execution has been redriven %d times and cannot be redriven", s.Redrives)
	case s.NextEvent >= MaxEvents-1:
		return "Execution history has no room for more events and cannot be redriven"
	case s.Left == nil:
		return "Execution was not able to start and cannot be redriven"
	}
	return ""
}

// Redrive goes on with an execution that did not end well, as RedriveExecution
// does: from the states that it was in, those of the branches that failed or
// were aborted with it, each with its input and with attempts and timeouts
// counted anew. What had succeeded stays. It changes nothing where
// [State.NotRedrivable] says why not.
func (m *Machine) Redrive(s *State, env Env) Turn {
	if s.NotRedrivable() != "" {
		return unchanged(s)
	}
	t := m.begin(s, env)
	n := t.s
	n.Status, n.Root, n.Left = StatusRunning, s.Left.clone(nil), nil
	n.Redrives, n.RedrivenAt, n.Deadline = s.Redrives+1, env.Now, time.Time{}
	_, timeout := m.entry(s.Execution)
	if x := s.Execution; !x.Deadline.IsZero() {
		if d := x.Deadline.Sub(x.Started); timeout == 0 || d < timeout {
			timeout = d
		}
	}
	if timeout > 0 {
		n.Deadline = env.Now.Add(timeout)
	}
	t.record(n.NextEvent-1, HistoryEvent{Type: ExecutionRedriven, ExecutionRedriven: &RedrivenDetails{RedriveCount: n.Redrives}})
	for c := range n.contexts() {
		if c.Phase == PhaseBranches && len(c.Branches) > 0 {
			continue // its branches go on
		}
		entered := c.Phase != PhaseReady || c.Wake.IsZero()
		c.Phase, c.Wake, c.Effect = PhaseReady, time.Time{}, nil
		f := t.frame(c)
		if f == nil {
			break
		}
		t.ready = append(t.ready, ready{c: c, d: f.raw, entered: entered})
	}
	return t.done()
}

// again begins the state that a line is in from its beginning.
func (t *turn) again(c *Context) {
	f := t.frame(c)
	if f == nil {
		return
	}
	c.Retries, c.RetryCount, c.Begun, c.Failed, c.Results = nil, 0, 0, 0, nil
	if c.MapRun != "" && f.st.each.distributed {
		f.redriveMapRun()
		return
	}
	f.enter()
}

// standing is where the execution stands, before what failed is let go of.
func (t *turn) standing() *Context {
	for _, r := range t.ready {
		if !r.entered {
			r.c.Wake, r.c.Input = t.env.Now, json.RawMessage(r.d.json())
		}
	}
	left := t.s.Root.clone(nil)
	for _, r := range t.ready {
		r.c.Wake = time.Time{}
	}
	return left
}
