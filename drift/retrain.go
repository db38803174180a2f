package drift

import (
	"fmt"
	"math"
)

// What makes a retraining worth its cost, beside an alarm.
const (
	dueFall = 1. / 3 // in tolerances
	dueRows = 0.5    // new rows, of those that the model was trained on
)

// What a retraining costs, in windows of data: two, so that no more than half of them,
// rounded up, are trained after before the next comes.
const (
	cost   = 2
	first  = cost + 1 // what the first brings
	plenty = 3 * cost // from here on little is worth one: two more remain for what may come
	most   = 4 * cost // that is kept: what was saved long ago is not all spent on one stretch of drift
)

// Savings are what there is to retrain with: each new window brings one, the first three,
// and each retraining takes two. The zero value is before the first window.
type Savings struct {
	Window string `json:"window,omitempty"` // the newest that was counted, by its identity
	Saved  int    `json:"saved"`            // in windows, from 0 to 8
}

// See counts a window, unless it is the newest already.
func (s Savings) See(window string) Savings {
	switch s.Window {
	case window:
		return s
	case "":
		return Savings{Window: window, Saved: first}
	}
	return Savings{Window: window, Saved: min(most, s.Saved+1)}
}

// Pay takes what a retraining costs, as far as it is there: one that was worth it for
// another reason makes no debt. What comes before the first window is not counted.
func (s Savings) Pay() Savings {
	s.Saved = max(0, s.Saved-cost)
	return s
}

// Due says whether a model should be retrained, and why or why not in words. It should
// where the price of that is saved, and what the model learnt is worth a third of a
// tolerance less than it was, or half as many rows have come as it was trained on and at
// least half of the columns have moved. Where thrice the price is saved any loss is worth
// it, and as many rows are: a slow change shows in little else. newRows are those since the
// training, on the rows of the reference.
func Due(c Comparison, newRows int64, s Savings) (why string, due bool) {
	trainedRows := c.ReferenceRows
	if c.Season != nil {
		trainedRows = c.Season.Of
	}
	lost, rows := math.Inf(-1), float64(newRows) >= dueRows*float64(trainedRows)
	come := fmt.Sprintf("%d rows are new to a model of %d", newRows, trainedRows)
	seen := come
	if c.Quality != nil {
		lost = c.Quality.Fall
		seen = learnt(lost) + ", and " + come
	}
	saved := fmt.Sprintf("%d windows are saved", s.Saved)
	switch {
	case lost >= dueFall:
		why = learnt(lost)
	case rows && c.Share != nil && *c.Share >= 0.5:
		why = "half of the columns have drifted, and " + come
	case s.Saved >= plenty && lost > 0:
		return learnt(lost) + ", and " + saved, true
	case s.Saved >= plenty && rows:
		return come + ", and " + saved, true
	case lost > 0 || rows:
		return fmt.Sprintf("%s: worth it once %d windows are saved, and %d are", seen, plenty, s.Saved), false
	default:
		return seen, false
	}
	if s.Saved < cost {
		return fmt.Sprintf("%s, but only %d of the %d windows that a retraining costs have come", why, s.Saved, cost), false
	}
	return why, true
}

// learnt says what became of what a model learnt, in tolerances.
func learnt(lost float64) string {
	if lost < 0 {
		return fmt.Sprintf("what it learnt has gained %.2f of a tolerance", -lost)
	}
	return fmt.Sprintf("what it learnt has lost %.2f of a tolerance", lost)
}
