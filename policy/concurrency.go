package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal"
)

const guardConcurrency = "concurrency"

// ask says what there is to say of a run more under the key, whichever
// policies the open ones are of: whether it must wait, and which runs make way
// for it. cause is the event that asks.
func (c Concurrency) ask(past *State, policy, cause, key string) (g anneal.GuardResult, stops []string) {
	open := past.openUnder(key)
	g = anneal.GuardResult{ID: guardConcurrency, Veto: c.full(past, key)}
	if c.Overlap == AllowAll {
		g.Detail = fmt.Sprintf("%s open under %s%s, and all are allowed", plural(len(open), "run"), key, listed(open))
		return g, nil
	}
	runs := "runs"
	if c.Limit == 1 {
		runs = "run"
	}
	g.Detail = fmt.Sprintf("%d of %d %s open under %s%s", len(open), c.Limit, runs, key, listed(open))
	ahead := past.ahead(policy, cause)
	switch c.Overlap {
	case BufferOne:
		if g.Veto {
			g.Detail += ", decided again when one ends"
		}
	case BufferAll:
		if ahead > 0 {
			g.Veto = true
			g.Detail += fmt.Sprintf(", %s before it", plural(ahead, "decision"))
		}
		if ahead >= maxBuffer {
			g.Detail += ", the last of which it takes the place of: more do not wait"
		} else if g.Veto {
			g.Detail += ", decided again in its turn"
		}
	case CancelOther:
		if g.Veto {
			stops = past.oldest(key, len(open)-c.Limit+1)
			g.Detail += ", decided again when one ends"
		}
	case TerminateOther:
		// The runs that are being stopped have no say any more.
		if live := len(open) - past.stopping(open); live >= c.Limit {
			stops = past.oldest(key, len(open)-c.Limit+1)
			g.Detail += ", which makes way"
		}
	}
	return g, stops
}

// full reports whether a run more under the key has to wait.
func (c Concurrency) full(past *State, key string) bool {
	return c.Overlap != AllowAll && c.Overlap != TerminateOther && len(past.openUnder(key)) >= c.Limit
}

// InTheWay lists the open runs that leave no place under its key for a run that
// is to go on.
func (p *Policy) InTheWay(past *State, run anneal.Run) []string {
	c := p.Spec.Spec.Guards.Concurrency
	open := past.openUnder(cmp.Or(run.ConcurrencyKey, run.Model))
	if c == nil || c.Overlap == AllowAll || len(open) < c.Limit {
		return nil
	}
	return open
}

// waits reports whether a decision that finds no place under this overlap is
// made again when there is one.
func waits(overlap string) bool {
	return overlap == BufferOne || overlap == BufferAll || overlap == CancelOther
}

func listed(runs []string) string {
	if len(runs) == 0 {
		return ""
	}
	return " (" + strings.Join(runs[:min(3, len(runs))], ", ") + ")"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// oldest are those of the n oldest open runs under key that are not being
// stopped already.
func (s *State) oldest(key string, n int) []string {
	ids := s.openUnder(key)
	slices.SortStableFunc(ids, func(a, b string) int {
		x, y := s.Open[a], s.Open[b]
		if x.Stopping != y.Stopping { // those first that make way already
			return map[bool]int{true: -1, false: 1}[x.Stopping]
		}
		return x.Decided.Compare(y.Decided)
	})
	return slices.DeleteFunc(ids[:min(n, len(ids))], func(id string) bool { return s.Open[id].Stopping })
}

// stopping counts the runs that are being stopped.
func (s *State) stopping(ids []string) (n int) {
	for _, id := range ids {
		if s.Open[id].Stopping {
			n++
		}
	}
	return n
}

// Stopping lists the open runs that a decision has stopped and that have not
// ended yet: after a restart they are to be stopped again.
func (s *State) Stopping() (ids []string) {
	for id, o := range s.Open {
		if o.Stopping {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// concurrencyKey is what the policy's runs with these parameters are counted
// by: the model group, unless the policy says otherwise.
func (p *Policy) concurrencyKey(parameters map[string]any) (string, error) {
	v := vars{"model.group": p.Group()}
	if parameters != nil {
		v["parameters"] = parameters
	}
	result, _, err := p.key.eval(v)
	if err != nil {
		return "", fmt.Errorf("concurrency key %s: %w", p.key.text, err)
	}
	key, ok := result.Value().(string)
	if !ok || key == "" {
		return "", fmt.Errorf("concurrency key %s gives %v, not a string", p.key.text, result.Value())
	}
	return key, nil
}

// hasPlace reports whether concurrency would let a run with these parameters
// start, or can say that it is an error.
func (p *Policy) hasPlace(past *State, parameters map[string]any) bool {
	c := p.Spec.Spec.Guards.Concurrency
	if c == nil {
		return true
	}
	key, err := p.concurrencyKey(parameters)
	return err != nil || !c.full(past, key)
}

// firstVeto is the guard that is the reason, empty if none vetoes.
func firstVeto(guards []anneal.GuardResult) string {
	for _, g := range guards {
		if g.Veto {
			return g.ID
		}
	}
	return ""
}
