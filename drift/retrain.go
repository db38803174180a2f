package drift

// What makes a retraining worth its cost, beside an alarm.
const (
	dueFall = 1. / 3 // in tolerances
	dueRows = 0.5    // new rows, of those that the model was trained on
)

// Due says whether a model should be retrained, and why: where what it learnt is
// worth a third of a tolerance less than it was, or where half as many rows have
// come as it was trained on and at least half of the columns have moved.
// newRows are those since the training, on the rows of the reference.
func Due(c Comparison, newRows int64) (reason string, due bool) {
	trainedRows := c.ReferenceRows
	if c.Season != nil {
		trainedRows = c.Season.Of
	}
	switch {
	case c.Quality != nil && c.Quality.Fall >= dueFall:
		return "quality", true
	case c.Share != nil && *c.Share >= 0.5 && float64(newRows) >= dueRows*float64(trainedRows):
		return "rows", true
	}
	return "", false
}
