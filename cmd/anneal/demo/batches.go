package demo

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Batches lists the CSV files (.csv, .csv.gz) of a folder in the order in which
// they are dropped: those named reference* first, then by name. Folders in it
// are not looked into.
func Batches(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && isCSV(e.Name()) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	if len(names) < 2 {
		return nil, fmt.Errorf("%s: %d CSV files, want a reference and at least one batch (.csv or .csv.gz)", folder, len(names))
	}
	slices.SortFunc(names, inTime)
	for i, name := range names {
		names[i] = filepath.Join(folder, name)
	}
	return names, nil
}

func isCSV(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".csv.gz")
}

// inTime orders file names by time: reference* first, then by name.
func inTime(a, b string) int {
	rank := func(name string) int {
		if strings.HasPrefix(filepath.Base(name), "reference") {
			return 0
		}
		return 1
	}
	return cmp.Or(rank(a)-rank(b), strings.Compare(a, b))
}

// A Summary says what batches hold, as far as a policy for them needs it.
type Summary struct {
	Task          string // classification or regression
	ReferenceRows int    // of the first file
	BatchRows     int    // of the others, the median
}

// Summarise reads files in the order of [Batches] and finds out what a model of
// target would be. A broken batch is left for the pipeline to refuse; a broken
// reference, or one without the target or the ignored columns, is an error.
func Summarise(files []string, target string, ignore []string) (Summary, error) {
	if len(files) == 0 {
		return Summary{}, errors.New("no files")
	}
	reference, err := ReadFile(files[0])
	if err != nil {
		return Summary{}, err
	}
	name := filepath.Base(files[0])
	for _, want := range append([]string{target}, ignore...) {
		if reference.column(want) < 0 {
			return Summary{}, fmt.Errorf("%s: no column %q (have %s)", name, want, strings.Join(reference.Header, ", "))
		}
	}
	column := reference.column(target)
	rows := labelled(reference, column)
	if len(rows.Records) == 0 {
		return Summary{}, fmt.Errorf("%s: no row has a value for the target %q", name, target)
	}
	s := Summary{Task: guessTask(rows, column), ReferenceRows: len(reference.Records), BatchRows: 1}
	var sizes []int
	for _, f := range files[1:] {
		if batch, err := ReadFile(f); err == nil && len(batch.Records) > 0 {
			sizes = append(sizes, len(batch.Records))
		}
	}
	if len(sizes) > 0 {
		slices.Sort(sizes)
		s.BatchRows = sizes[len(sizes)/2]
	}
	return s, nil
}
