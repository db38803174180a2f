package controller

import (
	"context"
	"fmt"
	"io"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/policy"
)

// seasonal has a window compared with what of the champion's data is of the same
// season: its objects whose times lie about the same part of the year, the week or the day.
// Where all or none do, the rows are asked, if they can be read again.
func (c *Controller) seasonal(ctx context.Context, p *policy.Policy, reference []anneal.Object, own *comparing) error {
	column, of, now := drift.TimeOf(own.ref, own.cur)
	for _, phase := range drift.Phases(of, now, own.opt.Season) {
		var same []anneal.Object
		for _, o := range reference {
			span, err := c.profiles.spanOf(ctx, p, o, column)
			if err != nil {
				return fmt.Errorf("reference: %w", err)
			}
			if middle := span.From.Add(span.To.Sub(span.From) / 2); !middle.IsZero() && phase.Has(middle) {
				same = append(same, o)
			}
		}
		if len(same) == 0 || len(same) == len(reference) {
			own.column, own.phases = column, append(own.phases, phase)
			continue
		}
		part, err := c.profiles.merged(ctx, p, same)
		if err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		own.opt.Seasons = append(own.opt.Seasons, drift.Part{Phase: phase, Profile: part})
		if own.same == nil {
			own.same = map[drift.Phase][]anneal.Object{}
		}
		own.same[phase] = same
	}
	return nil
}

// mostRead is up to how many bytes of a champion's data, as they are stored, are read for
// every window.
const mostRead = 32 << 20

// seasonOfRows reads what of the champion's data is of the same season, where that is
// not by objects, and they are not too large to be read for every window.
func (c *Controller) seasonOfRows(ctx context.Context, job againJob, own *comparing) error {
	if bytesOf(job.reference) > mostRead {
		return nil
	}
	for _, phase := range own.phases {
		var parts []*profile.Profile
		err := c.eachAgain(ctx, job, job.reference, func(r io.Reader, o anneal.Object, opt dataset.Options) error {
			part, err := profile.BuildPart(ctx, r, objects.Name(o.URI), opt, own.column, phase.Has)
			parts = append(parts, part)
			return err
		})
		if err != nil {
			return err
		}
		own.opt.Seasons = append(own.opt.Seasons, drift.Part{Phase: phase, Profile: profile.Merge(parts...)})
	}
	return nil
}

// mostSpans bounds of how many objects the times are remembered.
const mostSpans = 16 << 10

// spanOf is the time from the first to the last row of an object.
func (ps *profiles) spanOf(ctx context.Context, p *policy.Policy, o anneal.Object, column string) (drift.Span, error) {
	key := anneal.ID(profileKey(p, o), column)
	if span, ok := ps.spans[key]; ok {
		return span, nil
	}
	record, err := ps.cfg.Journal.Find(ctx, KindProfile, profileKey(p, o))
	if err != nil {
		return drift.Span{}, fmt.Errorf("profile of %s: %w", o.URI, err)
	}
	part, err := profile.Decode(record.Data)
	if err != nil {
		return drift.Span{}, fmt.Errorf("profile of %s: %w", o.URI, err)
	}
	var span drift.Span
	if c := part.Column(column); c != nil {
		span = drift.Span{From: c.Earliest, To: c.Latest}
	}
	if len(ps.spans) == mostSpans {
		clear(ps.spans)
	}
	ps.spans[key] = span
	return span, nil
}
