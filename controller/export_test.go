package controller

import (
	"context"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/policy"
)

// CompareBy has profiles compared by something else.
func (c *Config) CompareBy(compare func(reference, current *profile.Profile, opt drift.Options) drift.Comparison) {
	c.compare = compare
}

// EstimateBy has losses estimated by something else.
func (c *Config) EstimateBy(estimate func(*outcome.Loss) outcome.Measurement) { c.estimate = estimate }

// Cut gives up the records before a number, as if they were too old.
func Cut(ctx context.Context, j *journal.Journal, before uint64, now time.Time) (gone []string, err error) {
	base, first, err := loadCheckpoint(ctx, j)
	if err != nil {
		return nil, err
	}
	present, err := Recover(ctx, j)
	if err != nil {
		return nil, err
	}
	next, keep, _, err := advance(ctx, j, base, first, before, present, nil, now)
	if err != nil {
		return nil, err
	}
	state, err := encode(next)
	if err != nil {
		return nil, err
	}
	return next.Gone, j.Cut(ctx, before, state, keep)
}

// OutcomesKey is the key of what was read of an object that feeds a signal of a
// policy without settings of its own for that.
func OutcomesKey(p *policy.Policy, signal string, labels bool, uri, version string) string {
	return feedJob(p, signal, labels, anneal.Object{URI: uri, Version: version}).key
}
