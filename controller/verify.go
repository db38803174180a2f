package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/policy"
)

// A Verification is what replaying the journal's decisions showed.
type Verification struct {
	Decisions int          `json:"decisions"`
	Agreed    int          `json:"agreed"`
	Skipped   int          `json:"skipped"` // made without a policy, so there is nothing to compare
	Divergent []Divergence `json:"divergent"`
	// FirstRecord and LastRecord are the records that were replayed; what was
	// before is in the checkpoint that it began with.
	FirstRecord uint64 `json:"firstRecord"`
	LastRecord  uint64 `json:"lastRecord"`
}

// Sound reports whether every decision came out as it was recorded.
func (v Verification) Sound() bool { return len(v.Divergent) == 0 }

// A Divergence is a decision that comes out otherwise when it is made again.
type Divergence struct {
	Decision string          `json:"decision"`
	Record   uint64          `json:"record"`
	Problem  string          `json:"problem,omitempty"`
	Recorded json.RawMessage `json:"recorded,omitempty"`
	Again    json.RawMessage `json:"again,omitempty"`
}

// Verify makes every decision that the journal holds again, by the policy that made
// it and from the records before it, and compares the two byte for byte.
func Verify(ctx context.Context, j *journal.Journal) (Verification, error) {
	begin, before, err := loadCheckpoint(ctx, j)
	if err != nil {
		return Verification{}, err
	}
	v := verifier{journal: j, state: begin.State, policies: map[string]*policy.Policy{}, signals: map[string]anneal.Signal{}}
	v.result.Divergent, v.result.FirstRecord = []Divergence{}, before
	for record, err := range j.Read(ctx, before, false) {
		if err != nil {
			return v.result, fmt.Errorf("read the journal: %w", err)
		}
		if err := v.record(ctx, record); err != nil {
			return v.result, err
		}
		v.result.LastRecord = record.Seq
	}
	return v.result, nil
}

type verifier struct {
	journal  *journal.Journal
	state    *State
	policies map[string]*policy.Policy // by revision
	signals  map[string]anneal.Signal  // since the last decision, by name
	result   Verification
}

func (v *verifier) record(ctx context.Context, record journal.Record) error {
	switch record.Kind {
	case KindSignal:
		var s anneal.Signal
		if err := decode(record, &s); err != nil {
			return err
		}
		v.signals[s.Name] = s
	case KindDecision:
		if err := v.decision(ctx, record); err != nil {
			return err
		}
		clear(v.signals)
	}
	return v.state.Apply(record)
}

func (v *verifier) decision(ctx context.Context, record journal.Record) error {
	var recorded anneal.Decision
	if err := decode(record, &recorded); err != nil {
		return err
	}
	v.result.Decisions++
	if recorded.Revision == "" {
		v.result.Skipped++
		return nil
	}
	diverges := func(problem string, again []byte) {
		v.result.Divergent = append(v.result.Divergent, Divergence{
			Decision: recorded.ID, Record: record.Seq, Problem: problem, Recorded: record.Data, Again: again,
		})
	}
	p := v.policies[recorded.Revision]
	if p == nil {
		var err error
		if p, err = policyRevision(ctx, v.journal, recorded.Revision); err != nil {
			diverges(err.Error(), nil)
			return nil
		}
		v.policies[recorded.Revision] = p
	}
	w, ok := v.wake(recorded)
	if !ok {
		diverges("no event woke the policy for it", nil)
		return nil
	}
	cause, err := causeOf(ctx, v.journal, v.state, p, w, v.signals)
	if err != nil {
		diverges(err.Error(), nil)
		return nil
	}
	again, err := encode(policy.Decide(p, &v.state.Past, cause))
	if err != nil {
		return fmt.Errorf("encode decision %s made again: %w", recorded.ID, err)
	}
	if bytes.Equal(again, record.Data) {
		v.result.Agreed++
		return nil
	}
	diverges("", again)
	return nil
}

// wake finds what the decision was about.
func (v *verifier) wake(d anneal.Decision) (*wake, bool) {
	for _, w := range v.state.Wakes {
		if w.Policy == d.Policy && w.Event.ID == d.Cause {
			return w, true
		}
	}
	return nil, false
}

// policyRevision compiles a policy as it was when it decided.
func policyRevision(ctx context.Context, j *journal.Journal, revision string) (*policy.Policy, error) {
	record, err := j.Find(ctx, KindPolicy, revision)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, fmt.Errorf("revision %.12s of the policy is not in the journal", revision)
	}
	if err != nil {
		return nil, fmt.Errorf("find policy revision %.12s: %w", revision, err)
	}
	spec, err := policy.ParseSpec(record.Data)
	if err != nil {
		return nil, fmt.Errorf("policy revision %.12s: %w", revision, err)
	}
	p, problems := policy.Compile(spec)
	if len(problems) > 0 {
		return nil, fmt.Errorf("policy revision %.12s does not compile any more: %w", revision, problems)
	}
	return p, nil
}

// Explain says in words why a decision came out as it did, and what would have
// to change for a run.
func Explain(ctx context.Context, j *journal.Journal, d anneal.Decision) (string, error) {
	if d.Revision == "" {
		return d.Reason + "\n", nil
	}
	p, err := policyRevision(ctx, j, d.Revision)
	if err != nil {
		return "", err
	}
	return policy.Explain(d, p, time.Now()), nil
}
