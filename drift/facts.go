package drift

import (
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
)

// The kinds of fact about the quality of current data.
const (
	FactNoRows             = "no-rows"             // there is not one row that can be used
	FactRagged             = "ragged"              // rows were skipped: more or fewer fields than the header, or no JSON object
	FactNotUTF8            = "not-utf8"            // fields of either side have bytes that were replaced
	FactQuotes             = "quotes"              // records of either side have a quote out of place
	FactLateMembers        = "late-members"        // members of JSON objects of either side made no column: they came late
	FactNewColumn          = "new-column"          // the reference has no such column
	FactVanishedColumn     = "vanished-column"     // only the reference has it
	FactTypeChange         = "type-change"         // numbers became categories, or the like
	FactMixedTypes         = "mixed-types"         // some values, or objects by themselves, are of another type: no matter of drift
	FactMissing            = "missing"             // more values cannot be used, and not by chance
	FactRange              = "range"               // more values are beyond the reference's range than chance puts there
	FactConstant           = "constant"            // all values are the same, and were not
	FactDuplicates         = "duplicates"          // rows, or values of a key, are there already, where that was counted
	FactNewCategories      = "new-categories"      // the reference has them not at all
	FactVanishedCategories = "vanished-categories" // only the reference has them
)

// A Fact is something about the quality of current data that is worth knowing
// whether or not the column has drifted.
type Fact struct {
	Kind   string `json:"kind"`
	Column string `json:"column,omitempty"`
	Text   string `json:"text"`
	// Share is of the rows or values that it concerns, where that can be said.
	Share *float64 `json:"share,omitempty"`
}

// facts are those of current data as a whole, then column by column.
func facts(reference, current *profile.Profile, columns []Column) []Fact {
	found := []Fact{}
	add := func(kind, column string, share *float64, format string, args ...any) {
		found = append(found, Fact{Kind: kind, Column: column, Text: fmt.Sprintf(format, args...), Share: share})
	}
	rows, ragged := current.Counts.Rows, current.Counts.Ragged
	if ragged > 0 {
		share := float64(ragged) / float64(rows+ragged)
		add(FactRagged, "", &share, "%d of %d rows skipped: %s", ragged, rows+ragged, current.Counts.Skipped())
	}
	for i, of := range []dataset.Counts{reference.Counts, current.Counts} {
		where := []string{"reference", "current data"}[i]
		if of.NotUTF8 > 0 {
			add(FactNotUTF8, "", nil, "the %s: fields that are not UTF-8, as of Latin-1: %d; the bytes were replaced", where, of.NotUTF8)
		}
		if of.Quotes > 0 {
			add(FactQuotes, "", nil, "the %s: records with a quote out of place, or left open: %d", where, of.Quotes)
		}
		if of.Members > 0 {
			add(FactLateMembers, "", nil, "the %s: members of objects that came after the first rows, and made no column: %d", where, of.Members)
		}
	}
	if rows == 0 {
		add(FactNoRows, "", nil, "there is not one row")
		return found
	}
	for i := range current.Repeats {
		r := &current.Repeats[i]
		share, low, high := r.Share()
		if share == 0 {
			continue
		}
		what, about := "rows", ""
		if r.Column != "" {
			what = "values"
		}
		if !r.Exact() {
			about = fmt.Sprintf(" (%s to %s)", percent(low), percent(high))
		}
		add(FactDuplicates, r.Column, &share, "%s%s of %d %s are there already", percent(share), about, r.Rows(), what)
	}
	for i := range columns {
		c := &columns[i]
		ref, cur := reference.Column(c.Name), current.Column(c.Name)
		switch {
		case ref == nil:
			add(FactNewColumn, c.Name, nil, "the reference has no such column")
			continue
		case cur == nil:
			add(FactVanishedColumn, c.Name, nil, "the column is gone")
			continue
		case ref.Type != cur.Type && ref.Type != dataset.Empty && cur.Type != dataset.Empty:
			read := readAlike(ref, cur)
			if read.Type != ref.Type {
				add(FactTypeChange, c.Name, nil, "was %s, is %s", ref.Type, cur.Type)
				continue
			}
			words := 1 - float64(cur.Numbers)/float64(cur.N())
			if cur.Type == dataset.Numeric {
				words = float64(cur.Mixed) / float64(cur.Rows-cur.Missing)
			}
			add(FactTypeChange, c.Name, &words, "was %s, is %s by itself, where %s of the values are no numbers: compared as %s", ref.Type, cur.Type, percent(words), ref.Type)
			cur = read
		case ref.Differing+cur.Differing > 0:
			var differ []string
			for i, side := range []*profile.Column{ref, cur} {
				if side.Differing > 0 {
					differ = append(differ, fmt.Sprintf("%d of %d objects of the %s", side.Differing, side.Objects, []string{"reference", "current data"}[i]))
				}
			}
			add(FactMixedTypes, c.Name, nil, "read as %s, and by itself of another type in %s", cur.Type, strings.Join(differ, " and "))
		case cur.Type == dataset.Numeric && cur.Mixed > 0 && ref.Mixed == 0:
			share := float64(cur.Mixed) / float64(cur.Rows-cur.Missing)
			add(FactMixedTypes, c.Name, &share, "%d of %d values are no numbers, such as %q, and none was in the reference", cur.Mixed, cur.Rows-cur.Missing, cur.Odd)
		}
		for _, t := range c.Tests {
			if t.Test == "missing" && t.Verdict == Drift {
				share := c.Current.Missing
				add(FactMissing, c.Name, &share, "unusable %s → %s", percent(c.Reference.Missing), percent(share))
			}
		}
		if cur.N() > 0 && ref.N() > 0 && cur.Type == ref.Type {
			if text, ok := constant(ref, cur); ok {
				add(FactConstant, c.Name, nil, "%s", text)
			}
			if share, ok := beyond(ref, cur); ok && c.Type == dataset.Numeric {
				add(FactRange, c.Name, &share, "%s of the values are beyond %s to %s", percent(share), number(ref.Moments.Min), number(ref.Moments.Max))
			}
		}
		for _, came := range []struct {
			kind, what string
			moves      []Move
		}{{FactNewCategories, "new", c.New}, {FactVanishedCategories, "gone", c.Vanished}} {
			if len(came.moves) == 0 {
				continue
			}
			share := 0.0
			for _, m := range came.moves {
				share += m.Reference + m.Current // one of them is 0
			}
			add(came.kind, c.Name, &share, "%s", list(came.what, came.moves)[0])
		}
	}
	return found
}

// constant says that a column which had several values has one.
func constant(ref, cur *profile.Column) (string, bool) {
	switch {
	case cur.N() < 2 || ref.Distinct() < 2:
	case cur.Type == dataset.Numeric && cur.Moments.Constant():
		return "is always " + number(cur.Moments.Min), true
	case cur.Type == dataset.Categorical && cur.Distinct() == 1:
		return "is always " + cur.Categories.List()[0].Name, true
	}
	return "", false
}

// beyond is the share of values outside the reference's range, where it is
// more than chance would put there: of as many values from one law, each is
// beyond the range of n others about twice in n.
func beyond(ref, cur *profile.Column) (float64, bool) {
	if cur.Type != dataset.Numeric || ref.Moments.Constant() {
		return 0, false
	}
	var out int64
	for _, p := range cur.Quantiles.Points() {
		if p.Value < ref.Moments.Min || p.Value > ref.Moments.Max {
			out += p.Weight
		}
	}
	n, m := float64(ref.N()), float64(cur.N())
	share := float64(out)/m - cur.Quantiles.Error()
	return share, share*m > 3+10*m/n && share > 0.001
}
