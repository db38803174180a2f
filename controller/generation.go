package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/policy"
)

// A Generation is the policies that decide and the state machines they name:
// what was read together and fits each other. It is never changed.
type Generation struct {
	Policies []*policy.Policy
	// Machines are the state machines that the policies name, by policy.
	Machines map[string]orchestrator.Machine

	byName map[string]*policy.Policy
	woken  *policy.Index    // whom events wake
	fed    []*policy.Policy // with signals over predictions or reports
}

// policy is the policy of that name, nil if it is not loaded.
func (g *Generation) policy(name string) *policy.Policy { return g.byName[name] }

func (g Generation) index() *Generation {
	g.byName = make(map[string]*policy.Policy, len(g.Policies))
	for _, p := range g.Policies {
		g.byName[p.Name()] = p
		for _, s := range p.Spec.Spec.Signals {
			if s.IsFed() {
				g.fed = append(g.fed, p)
				break
			}
		}
	}
	g.woken = policy.NewIndex(g.Policies)
	return &g
}

// Load has another generation decide from here on, and returns when that is
// durable. What is open goes on: wakes that wait are decided by it, runs keep
// the policy and the machine that they were decided with, and what triggers
// have gathered stays gathered. It is for the time while [Controller.Run] runs.
func (c *Controller) Load(ctx context.Context, g Generation) error {
	return c.do(ctx, func(b *batch) error {
		c.generation.Store(g.index())
		return c.begin(ctx, b)
	})
}

// begin has the generation that is loaded now take over: it records what is new
// in it, and has read what it needs.
func (c *Controller) begin(ctx context.Context, b *batch) error {
	if err := c.recordPolicies(ctx, b); err != nil {
		return err
	}
	c.recordSchedules(b, time.Now())
	clear(c.profiles.again)
	c.readings.forget(c.generation.Load().Policies)
	for _, p := range c.generation.Load().Policies {
		if err := c.wantAgain(ctx, p); err != nil {
			return err
		}
	}
	for _, w := range c.state.Wakes {
		c.want(w)
	}
	for _, p := range c.generation.Load().Policies {
		c.fitAhead(ctx, p)
	}
	return nil
}

// Ticks is what has come of the schedules that are in force now.
func (c *Controller) Ticks(ctx context.Context) (ticks Ticks, err error) {
	err = c.do(ctx, func(*batch) error {
		ticks = maps.Clone(c.state.Schedules)
		for name := range ticks {
			ticks[name] = maps.Clone(ticks[name])
		}
		return nil
	})
	return ticks, err
}

// recordPolicies writes down each policy that is not the one the journal knows
// under its name, so that its decisions can be made again later, and each
// definition, so that a run starts with the one it was decided with.
func (c *Controller) recordPolicies(ctx context.Context, b *batch) error {
	g := c.generation.Load()
	recorded := map[string]bool{} // definitions, which policies may share
	for _, p := range g.Policies {
		if c.state.Revisions[p.Name()] != p.Revision {
			data, err := p.Spec.JSON()
			if err != nil {
				return err
			}
			b.putData(KindPolicy, p.Revision, data)
		}
		machine, ok := g.Machines[p.Name()]
		if !ok || machine.Definition == nil {
			continue
		}
		digest := digestOf(machine)
		if recorded[digest] {
			continue
		}
		recorded[digest] = true
		if _, err := c.cfg.Journal.Find(ctx, KindMachine, digest); err == nil {
			continue
		} else if !errors.Is(err, journal.ErrNotFound) {
			return fmt.Errorf("find the state machine of policy %s: %w", p.Name(), err)
		}
		b.putData(KindMachine, digest, machine.Definition)
	}
	return nil
}

// machine is what a run executes: the definition that it was decided with.
func (c *Controller) machine(ctx context.Context, name, digest string) (orchestrator.Machine, error) {
	if strings.HasPrefix(digest, "arn:") {
		return orchestrator.Machine{Name: name, ARN: digest}, nil
	}
	m, ok := c.generation.Load().Machines[name]
	if ok && (digest == "" || digest == digestOf(m)) {
		return m, nil
	}
	if digest == "" {
		return m, fmt.Errorf("policy %s, which decided on this run, is no longer loaded", name)
	}
	record, err := c.cfg.Journal.Find(ctx, KindMachine, digest)
	if err != nil {
		return m, fmt.Errorf("find the state machine %.12s that the run was decided with: %w", digest, err)
	}
	return orchestrator.Machine{Name: name, Definition: record.Data}, nil
}

// digestOf is the identity of a machine: the digest of its definition, or its ARN
// where the definition is elsewhere.
func digestOf(m orchestrator.Machine) string {
	if m.Definition == nil {
		return m.ARN
	}
	return engine.Digest(m.Definition)
}
