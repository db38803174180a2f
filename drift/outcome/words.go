package outcome

import "fmt"

// few says why there are too few pairs.
func few(m Measurement, least int64) string {
	switch {
	case m.Predictions == 0 && m.Others > 0:
		return fmt.Sprintf("no prediction in the window is the champion's: %d are of other models", m.Others)
	case m.Predictions == 0 && m.Unmatched > 0:
		return fmt.Sprintf("no prediction in the window: %d labels have none", m.Unmatched)
	case m.Predictions == 0:
		return "no prediction in the window"
	}
	text := fmt.Sprintf("%d of %d predictions in the window have their label: want %d", m.N, m.Predictions, least)
	if m.Unmatched > 0 && m.N == 0 {
		text += fmt.Sprintf("; %d labels are of other keys", m.Unmatched)
	}
	return text
}
