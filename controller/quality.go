package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
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
	case policy.QualityDuplicates:
		merged, err := c.profiles.merged(ctx, p, window)
		if err != nil {
			return err
		}
		column := merged.Column(s.Column)
		if column == nil || column.N() == 0 {
			problem = fmt.Sprintf("the data have no values in column %q", s.Column)
			break
		}
		signal.N = column.N()
		different, off := float64(column.Distinct()), column.DistinctError()
		share := func(different float64) float64 { return min(1, max(0, 1-different/float64(column.N()))) }
		value = share(different)
		low, high := share(different*(1+off)), share(different*(1-off))
		signal.Low, signal.High = &low, &high
	default:
		champion := c.state.Models.Champion(p.Group())
		if champion == nil {
			problem = "there is no champion to compare with"
			break
		}
		comparison, err := c.compare(ctx, p, signal.Name, champion.Objects, window)
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
