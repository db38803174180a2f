package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/policy"
)

const (
	// rowHistory is how many objects the rows of the newest are held against;
	// leastHistory are enough.
	rowHistory, leastHistory = 30, 5
)

// qualityDetail is the detail of a signal about the quality of data.
type qualityDetail struct {
	Quality string       `json:"quality"`
	Median  *float64     `json:"median,omitempty"` // rows of the objects before
	Objects int          `json:"objects"`          // those before, or those of the window
	Facts   []drift.Fact `json:"facts,omitempty"`
}

// ofFacts reports whether a signal counts facts that a comparison finds.
func ofFacts(s policy.Signal) bool {
	return s.IsQuality() && s.Quality != policy.QualityRows && s.Quality != policy.QualityDuplicates
}

// uniqueOf is what a signal of duplicates looks for repetitions of.
func uniqueOf(s policy.Signal) profile.Unique {
	return profile.Unique{Column: s.Column, Ignore: s.Ignore}
}

// uniques are those of all signals of p.
func uniques(p *policy.Policy) []profile.Unique {
	var list []profile.Unique
	for _, name := range sortedKeys(p.Spec.Spec.Signals) {
		s := p.Spec.Spec.Signals[name]
		same := func(u profile.Unique) bool { return u.Column == s.Column && slices.Equal(u.Ignore, s.Ignore) }
		if s.Quality == policy.QualityDuplicates && !slices.ContainsFunc(list, same) {
			list = append(list, uniqueOf(s))
		}
	}
	return list
}

// quality measures a fact about the newest data of p.
func (c *Controller) quality(ctx context.Context, p *policy.Policy, signal *anneal.Signal) error {
	s, data := p.Spec.Spec.Signals[signal.Name], c.state.data(p.Name())
	if len(data.Objects) == 0 {
		signal.Status, signal.Error = anneal.SignalMissing, "no data has come"
		return nil
	}
	window := data.window(s.Window.Objects, nil)
	signal.Window = windowID(window)
	for _, o := range window {
		signal.N += o.Rows
	}
	detail := qualityDetail{Quality: s.Quality, Objects: len(window)}
	var value float64
	problem := ""
	switch s.Quality {
	case policy.QualityRows:
		before := data.Objects[max(0, len(data.Objects)-1-rowHistory) : len(data.Objects)-1]
		var rows []float64
		for _, o := range before {
			rows = append(rows, float64(o.Rows))
		}
		slices.Sort(rows)
		detail.Objects = len(rows)
		if len(rows) < leastHistory {
			problem = fmt.Sprintf("objects before the newest: %d, want %d", len(rows), leastHistory)
			break
		}
		median := (rows[(len(rows)-1)/2] + rows[len(rows)/2]) / 2
		detail.Median = &median
		if median == 0 {
			problem = "most objects before the newest have no rows"
			break
		}
		value = float64(signal.N) / median
		low, high := usual(rows, median)
		signal.Low, signal.High = &low, &high
	case policy.QualityDuplicates:
		merged, err := c.profiles.merged(ctx, p, window)
		if err != nil {
			return err
		}
		repeats := merged.RepeatsOf(uniqueOf(s))
		switch {
		case repeats == nil:
			problem = "the data were not read for what repeats in them"
		case repeats.Rows() == 0 && s.Column != "":
			problem = fmt.Sprintf("the data have no values in column %q", s.Column)
		case repeats.Rows() == 0:
			problem = "the data have no rows"
		}
		if problem != "" {
			break
		}
		signal.N = repeats.Rows()
		share, low, high := repeats.Share()
		value, signal.Low, signal.High = share, &low, &high
	default:
		champion := c.state.Models.Champion(p.Group())
		if champion == nil {
			problem = "there is no champion to compare with"
			break
		}
		comparison, err := c.compare(ctx, p, signal.Name, champion, window)
		if err != nil {
			return err
		}
		for _, f := range comparison.Facts {
			if f.Kind == s.Quality {
				detail.Facts = append(detail.Facts, f)
			}
		}
		value = float64(len(detail.Facts))
	}
	var err error
	if signal.Detail, err = json.Marshal(detail); err != nil {
		return err
	}
	if problem != "" {
		signal.Status, signal.Error, signal.Low, signal.High = anneal.SignalMissing, problem, nil, nil
		return nil
	}
	signal.Value = &value
	return nil
}

// usual is within which part of the median the counts mostly are, which rise: three
// standard deviations, by the median of how far they are off (Hampel 1974), and at
// least those of counting alone (Poisson).
func usual(counts []float64, median float64) (low, high float64) {
	off := make([]float64, len(counts))
	for i, n := range counts {
		off[i] = math.Abs(n - median)
	}
	slices.Sort(off)
	const ofNormal = 1.4826 // standard deviations in such a median of the normal law
	deviation := max(ofNormal*(off[(len(off)-1)/2]+off[len(off)/2])/2, math.Sqrt(median))
	return max(0, 1-3*deviation/median), 1 + 3*deviation/median
}
