// Package report reads what other tools have measured: the JSON of Evidently, the
// results of NannyML, the violations and statistics of SageMaker Model Monitor, and
// one number of any JSON.
//
// [Read] takes from a report what can be asked of it, a [Report], which is small
// and can be kept instead; [Report.Value] asks. What a report does not say is not
// made up: it is said to be missing. A report that is not of its format is a
// [*dataset.Error]. Sizes are bounded: 64 MiB, and 10,000 columns.
//
// When a report counts, and for how long, is for others to say.
package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/drift/dataset"
)

// The formats.
const (
	Evidently    = "evidently"     // the JSON of a Report with drift metrics, of 0.2 to 0.4 or of 0.6 and later
	NannyML      = "nannyml"       // a Result's to_df(multilevel=False), as CSV, Parquet or JSON
	ModelMonitor = "model-monitor" // constraint_violations.json or statistics.json
	JSON         = "json"          // any, of which one number is read
)

// Formats are all that can be read.
func Formats() []string { return []string{Evidently, NannyML, ModelMonitor, JSON} }

// What can be asked of a report.
const (
	Share      = "share"      // of its columns, those that have drifted or alert
	Columns    = "columns"    // how many have
	Score      = "score"      // of a column
	Drifted    = "drifted"    // 1 where a column has, 0 where it has not
	Violations = "violations" // of constraints: all, or of a column
	Rows       = "rows"
	Missing    = "missing" // share of the values, of all columns or of one
	Mean       = "mean"    // of a column
	StdDev     = "stdDev"
	Min        = "min"
	Max        = "max"
	Number     = "number" // the one that was pointed at
)

// Metrics are what can be asked of reports of a format, the usual one first.
func Metrics(format string) []string {
	switch format {
	case Evidently, NannyML:
		return []string{Share, Columns, Score, Drifted, Rows}
	case ModelMonitor:
		return []string{Violations, Rows, Missing, Mean, StdDev, Min, Max}
	case JSON:
		return []string{Number}
	}
	return nil
}

// OfColumn reports whether a metric is always of one column.
func OfColumn(metric string) bool {
	return slices.Contains([]string{Score, Drifted, Mean, StdDev, Min, Max}, metric)
}

// MayBeOfColumn reports whether a metric can be of one column.
func MayBeOfColumn(metric string) bool {
	return OfColumn(metric) || metric == Violations || metric == Missing
}

// A Form says what is read.
type Form struct {
	Format string
	// Pointer is where the number of a JSON report is (RFC 6901).
	Pointer string
}

// Fits reports whether an object of that name can be a report of which the metric
// is asked. Tools write other files beside it.
func Fits(format, metric, name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	switch format {
	case ModelMonitor:
		return (metric == Violations) == (base == "constraint_violations.json") && (metric == Violations || base == "statistics.json")
	case NannyML:
		return slices.ContainsFunc([]string{".json", ".csv", ".parquet", ".pq"}, func(end string) bool { return strings.HasSuffix(base, end) })
	}
	return strings.HasSuffix(base, ".json")
}

// A Report is what was read of one. Pointers are nil where it does not say.
type Report struct {
	Format     string   `json:"format"`
	Rows       *int64   `json:"rows,omitempty"`
	Share      *float64 `json:"share,omitempty"` // of drifted columns, as the report says itself
	Drifted    int      `json:"drifted"`         // columns
	Of         int      `json:"of"`              // columns that were tested
	Violations *int     `json:"violations,omitempty"`
	Number     *float64 `json:"number,omitempty"`
	Columns    []Column `json:"columns,omitempty"`
}

// A Column is what a report says of one.
type Column struct {
	Name       string   `json:"name"`
	Test       string   `json:"test,omitempty"`
	Score      *float64 `json:"score,omitempty"`
	Low        *float64 `json:"low,omitempty"` // confidence band of Score
	High       *float64 `json:"high,omitempty"`
	Threshold  *float64 `json:"threshold,omitempty"`
	Drifted    *bool    `json:"drifted,omitempty"`
	Violations []string `json:"violations,omitempty"` // the constraints
	Missing    *float64 `json:"missing,omitempty"`    // share of the values
	Mean       *float64 `json:"mean,omitempty"`
	StdDev     *float64 `json:"stdDev,omitempty"`
	Min        *float64 `json:"min,omitempty"`
	Max        *float64 `json:"max,omitempty"`
}

// A Value is the answer of a report.
type Value struct {
	Value     float64
	Share     *float64 // of its columns, those that have drifted, where it tests columns
	Low, High *float64
}

// Read reads a report called name to its end.
func Read(ctx context.Context, r io.Reader, name string, form Form) (*Report, error) {
	if form.Format == NannyML && !strings.HasSuffix(name, ".json") && !strings.HasPrefix(name, "event:") {
		return readTable(ctx, r, name)
	}
	data, err := io.ReadAll(io.LimitReader(r, mostBytes+1))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if len(data) > mostBytes {
		return nil, &dataset.Error{Name: name, Reason: "is larger than 64 MiB, and no report"}
	}
	report, err := parse(withoutNaN(data), form)
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			err = fmt.Errorf("is not JSON at byte %d: %w", syntax.Offset, err)
		}
		return nil, &dataset.Error{Name: name, Reason: err.Error()}
	}
	return report, nil
}

const (
	mostBytes   = 64 << 20
	mostColumns = 10_000
	mostRows    = 1 << 53
)

var errMany = errors.New("has more than 10,000 columns, and is no report")

// bounded refuses a report of too many columns.
func (r *Report) bounded() error {
	if len(r.Columns) > mostColumns {
		return errMany
	}
	return nil
}

// whole is a number that counts, up to most.
func whole(v, most float64) (int64, bool) {
	if !(v >= 0 && v <= most) || v != math.Trunc(v) {
		return 0, false
	}
	return int64(v), true
}

func parse(data []byte, form Form) (*Report, error) {
	switch form.Format {
	case Evidently:
		return parseEvidently(data)
	case NannyML:
		return parseNannyML(data)
	case ModelMonitor:
		return parseModelMonitor(data)
	}
	n, err := pointed(data, form.Pointer)
	return &Report{Format: JSON, Number: &n}, err
}

// withoutNaN has null where Python wrote a number that JSON does not have.
func withoutNaN(data []byte) []byte {
	var out []byte
	from, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted || c != 'N' && c != 'I' && c != '-':
		default:
			for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
				if bytes.HasPrefix(data[i:], []byte(word)) {
					out = append(append(out, data[from:i]...), "null"...)
					from = i + len(word)
					i = from - 1
					break
				}
			}
		}
	}
	if out == nil {
		return data
	}
	return append(out, data[from:]...)
}

// summed counts the columns that have drifted of those that were tested.
func (r *Report) summed() *Report {
	for _, c := range r.Columns {
		if c.Drifted != nil {
			r.Of++
			if *c.Drifted {
				r.Drifted++
			}
		}
	}
	return r
}

// Value asks for a metric, of a column if that is not empty; the problem says why
// there is none.
func (r *Report) Value(metric, column string) (v Value, problem string) {
	if v.Share = r.Share; r.Of > 0 {
		share := float64(r.Drifted) / float64(r.Of)
		v.Share = &share
	}
	set := func(n *float64, why string) (Value, string) {
		if n == nil {
			return Value{}, why
		}
		v.Value = *n
		return v, ""
	}
	count := func(n int) (Value, string) { v.Value = float64(n); return v, "" }
	var c *Column
	if column != "" {
		i := slices.IndexFunc(r.Columns, func(c Column) bool { return c.Name == column })
		if i < 0 && (metric != Violations || r.Violations == nil) {
			return Value{}, fmt.Sprintf("the report has no column %q%s", column, r.have())
		}
		c = &Column{}
		if i >= 0 {
			c = &r.Columns[i]
		}
	}
	if c == nil && OfColumn(metric) {
		return Value{}, metric + " is of one column: say which"
	}
	switch metric {
	case Share:
		return set(v.Share, "the report does not say how many columns have drifted")
	case Columns:
		return count(r.Drifted)
	case Violations:
		switch {
		case r.Violations == nil:
			return Value{}, "the report is of no constraints: want constraint_violations.json"
		case c != nil:
			return count(len(c.Violations))
		}
		return count(*r.Violations)
	case Rows:
		if r.Rows == nil {
			return Value{}, "the report does not say how many rows there were"
		}
		return count(int(*r.Rows))
	case Number:
		return set(r.Number, "the report has no number")
	case Missing:
		if c == nil {
			return set(r.missing(), "the report does not say what is missing")
		}
		return set(c.Missing, fmt.Sprintf("the report does not say what is missing of %q", column))
	case Drifted:
		if c.Drifted == nil {
			return Value{}, fmt.Sprintf("the report does not say whether %q has drifted", column)
		}
		if *c.Drifted {
			v.Value = 1
		}
		return v, ""
	case Score:
		v.Low, v.High = c.Low, c.High
	}
	of := map[string]*float64{Score: c.Score, Mean: c.Mean, StdDev: c.StdDev, Min: c.Min, Max: c.Max}
	return set(of[metric], fmt.Sprintf("the report has no %s of %q", metric, column))
}

// missing is the mean share of what is missing over the columns.
func (r *Report) missing() *float64 {
	sum, n := 0.0, 0
	for _, c := range r.Columns {
		if c.Missing != nil {
			sum += *c.Missing
			n++
		}
	}
	if n == 0 {
		return nil
	}
	mean := sum / float64(n)
	return &mean
}

// have names the first columns.
func (r *Report) have() string {
	var names []string
	for _, c := range r.Columns[:min(20, len(r.Columns))] {
		names = append(names, c.Name)
	}
	switch {
	case len(names) == 0:
		return ""
	case len(r.Columns) > 20:
		names = append(names, "…")
	}
	return " (have " + strings.Join(names, ", ") + ")"
}

// Brief is the report with its most telling columns alone: those that have drifted
// or violate a constraint come first, and 50 are kept.
func (r *Report) Brief() *Report {
	brief := *r
	brief.Columns = slices.Clone(r.Columns)
	tells := func(c Column) int {
		if c.Drifted != nil && *c.Drifted || len(c.Violations) > 0 {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(brief.Columns, func(a, b Column) int { return tells(a) - tells(b) })
	brief.Columns = brief.Columns[:min(50, len(brief.Columns))]
	return &brief
}
