package web

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/anneal-ml/anneal"
)

// latest remembers what each policy decided last. A first page for many
// policies would else look through the journal for each of them, and all of it
// for one that has decided nothing.
type latest struct {
	mu        sync.Mutex
	upTo      uint64                     // decisions up to this record were read; guarded by mu
	decisions map[string]anneal.Decision // by policy, what a page shows of them; guarded by mu
}

// of returns the newest decision of each of the policies, nil for one that has
// none. It reads what was decided since it was last asked.
func (l *latest) of(ctx context.Context, v view, policies []Policy) ([]*anneal.Decision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tip := v.journal.Last()
	fresh := map[string]anneal.Decision{}
	for record, err := range v.journal.Newest(ctx, kindDecision, tip+1) {
		if err != nil {
			return nil, fmt.Errorf("list decisions: %w", err)
		}
		if record.Seq <= l.upTo {
			break
		}
		var d anneal.Decision
		if err := json.Unmarshal(record.Data, &d); err != nil {
			return nil, fmt.Errorf("read decision %s: %w", record.Key, err)
		}
		if _, newer := fresh[d.Policy]; !newer {
			fresh[d.Policy] = anneal.Decision{ID: d.ID, Verdict: d.Verdict, At: d.At, Reason: d.Reason}
		}
	}
	if l.decisions == nil {
		l.decisions = map[string]anneal.Decision{}
	}
	for name, d := range fresh {
		l.decisions[name] = d
	}
	l.upTo = tip
	all := make([]*anneal.Decision, len(policies))
	for i, p := range policies {
		if d, ok := l.decisions[p.Name]; ok {
			all[i] = &d
		}
	}
	return all, nil
}
