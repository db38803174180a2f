package main

import (
	"fmt"
	"io"
	"os"
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

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

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
