package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
)

// largestImportance bounds the file that is read, in bytes.
const largestImportance = 4 << 20

// readImportance reads what columns are worth to a model.
func readImportance(name string) (map[string]float64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestImportance+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > largestImportance {
		return nil, fmt.Errorf("%s has more than %d bytes", name, largestImportance)
	}
	importance, err := anneal.ParseImportance(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return importance, nil
}

// mattering are the columns of a comparison, those first that its drift is attributed
// to, then the others that drifted, then by how near they are to it.
func mattering(c drift.Comparison) []drift.Column {
	place := func(column *drift.Column) int {
		if i := slices.Index(c.Attribution, column.Name); i >= 0 && !column.Target {
			return i
		}
		if column.Verdict == drift.Drift {
			return len(c.Attribution)
		}
		return len(c.Attribution) + 1
	}
	columns := slices.Clone(c.Columns)
	slices.SortStableFunc(columns, func(a, b drift.Column) int {
		_, times := a.Furthest()
		_, timesB := b.Furthest()
		return cmp.Or(cmp.Compare(place(&a), place(&b)), cmp.Compare(timesB, times))
	})
	return columns
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// worthOf is what a column is worth to the model, as people read it.
func worthOf(c drift.Column) string {
	switch {
	case c.Importance == nil || c.Target:
		return "-"
	case *c.Importance > 0 && *c.Importance < 0.005:
		return "< 1 %"
	}
	return percent(*c.Importance)
}

// weighedShare says how much of what the model goes by has drifted; it is empty where
// columns count alike.
func weighedShare(c drift.Comparison) string {
	if c.Importance == nil || c.Importance.Alike != "" || c.Share == nil {
		return ""
	}
	return ", with " + percent(*c.Share) + " of the importance"
}

// writeImportance says what is odd about the importance of columns.
func writeImportance(w io.Writer, i *drift.Weighing) {
	if i == nil {
		return
	}
	if len(i.Unknown) > 0 {
		fmt.Fprintf(w, "note: importance of what is no column: %s\n", printable(strings.Join(i.Unknown, ", ")))
	}
	if i.Alike != "" {
		fmt.Fprintf(w, "note: all columns count alike: %s\n", printable(i.Alike))
	}
}
