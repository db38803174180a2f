package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// An evidentlyMetric is one of the list under metrics: of 0.4 with metric and
// result, of later versions with config and value.
type evidentlyMetric struct {
	Metric string          `json:"metric"`
	Result evidentlyResult `json:"result"`

	Name   string `json:"metric_name"`
	ID     string `json:"metric_id"`
	Config struct {
		Type      string   `json:"type"`
		Column    string   `json:"column"`
		Method    string   `json:"method"`
		Threshold *float64 `json:"threshold"`
	} `json:"config"`
	Value json.RawMessage `json:"value"`
}

type evidentlyResult struct {
	Columns   *int                       `json:"number_of_columns"`
	Drifted   *int                       `json:"number_of_drifted_columns"`
	ByColumns map[string]evidentlyColumn `json:"drift_by_columns"`
	evidentlyColumn
}

type evidentlyColumn struct {
	Name      string   `json:"column_name"`
	Test      string   `json:"stattest_name"`
	Threshold *float64 `json:"stattest_threshold"`
	Score     *float64 `json:"drift_score"`
	Drifted   *bool    `json:"drift_detected"`
}

func (c evidentlyColumn) column(name string) Column {
	if name == "" {
		name = c.Name
	}
	return Column{Name: name, Test: c.Test, Score: c.Score, Threshold: c.Threshold, Drifted: c.Drifted}
}

// parseEvidently reads the metrics of drift: DatasetDriftMetric, DataDriftTable
// and ColumnDriftMetric of 0.4; DriftedColumnsCount, ValueDrift and RowCount of
// later versions.
func parseEvidently(data []byte) (*Report, error) {
	file, err := object(data)
	if err != nil {
		return nil, err
	}
	e := evidently{r: &Report{Format: Evidently}, at: map[[2]string]bool{}}
	there := false
	err = members(file, func(name string, value []byte) (err error) {
		if name == "metrics" {
			there, err = listed(name, value, func(item []byte) error {
				var m evidentlyMetric
				if err := take(name, item, &m); err != nil {
					return err
				}
				return e.take(m)
			})
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !there:
		return nil, errors.New(`is no report of Evidently: want {"metrics": […]}, as its save_json writes`)
	case !e.found:
		return nil, fmt.Errorf("has no metric of drift: want DataDriftPreset, DriftedColumnsCount or ValueDrift%s", have(e.others))
	}
	r := e.r.summed()
	if e.drifted != nil {
		r.Drifted = *e.drifted
		r.Of = max(r.Of, r.Drifted)
		if e.of != nil {
			r.Of = *e.of
		}
	}
	if r.Drifted < 0 || r.Of < r.Drifted {
		return nil, fmt.Errorf("says that %d of %d columns have drifted", r.Drifted, r.Of)
	}
	return r, nil
}

// evidently is a report in the making.
type evidently struct {
	r           *Report
	at          map[[2]string]bool // columns by name and test
	drifted, of *int               // as the report says itself
	found       bool               // a metric of drift
	others      []string
}

func (e *evidently) add(c Column) error {
	if key := [2]string{c.Name, c.Test}; !e.at[key] {
		e.at[key] = true
		e.r.Columns = append(e.r.Columns, c)
	}
	return e.r.bounded()
}

// take takes a metric in.
func (e *evidently) take(m evidentlyMetric) error {
	switch kind := m.kind(); kind {
	case "DatasetDriftMetric", "DataDriftTable":
		e.found = true
		if m.Result.Columns != nil && m.Result.Drifted != nil {
			e.drifted, e.of = m.Result.Drifted, m.Result.Columns
		}
		for _, name := range slices.Sorted(maps.Keys(m.Result.ByColumns)) {
			if err := e.add(m.Result.ByColumns[name].column(name)); err != nil {
				return err
			}
		}
	case "ColumnDriftMetric":
		e.found = true
		return e.add(m.Result.column(""))
	case "DriftedColumnsCount":
		var value struct{ Count, Share *float64 }
		if err := json.Unmarshal(m.Value, &value); err != nil || value.Count == nil || value.Share == nil {
			return fmt.Errorf("has a DriftedColumnsCount without count and share: %s", short(m.Value))
		}
		n, ok := whole(*value.Count, mostColumns)
		if !ok || !(*value.Share >= 0 && *value.Share <= 1) || (n > 0) != (*value.Share > 0) {
			return fmt.Errorf("has a DriftedColumnsCount of no columns that there can be: %s", short(m.Value))
		}
		e.found = true
		drifted := int(n)
		e.drifted, e.r.Share = &drifted, value.Share
		if n > 0 {
			of := int(math.Round(min(mostColumns, float64(n) / *value.Share)))
			e.of = &of
		}
	case "ValueDrift":
		c := Column{Name: m.column(), Test: m.Config.Method, Threshold: m.Config.Threshold}
		if err := json.Unmarshal(m.Value, &c.Score); err != nil || c.Name == "" {
			return fmt.Errorf("has a ValueDrift that is not understood: column %q, value %s", c.Name, short(m.Value))
		}
		if c.Score != nil && c.Threshold != nil {
			c.Drifted = beyond(c.Test, *c.Score, *c.Threshold)
		}
		e.found = true
		return e.add(c)
	case "RowCount":
		var rows float64
		if json.Unmarshal(m.Value, &rows) == nil {
			if n, ok := whole(rows, mostRows); ok {
				e.r.Rows = &n
			}
		}
	default:
		if len(e.others) < mostHeld {
			e.others = append(e.others, kind)
		}
	}
	return nil
}

// kind is the metric's name without its options.
func (m evidentlyMetric) kind() string {
	switch {
	case m.Metric != "":
		return m.Metric
	case m.Config.Type != "":
		return m.Config.Type[strings.LastIndexByte(m.Config.Type, ':')+1:]
	}
	name, _, _ := strings.Cut(m.Name+m.ID, "(")
	return name
}

// column is that of the metric, which versions without config have in the name.
func (m evidentlyMetric) column() string {
	if m.Config.Column != "" {
		return m.Config.Column
	}
	_, name, _ := strings.Cut(m.Name+m.ID, "column=")
	name = strings.TrimSuffix(name, ")")
	if i := strings.Index(name, ",method="); i >= 0 {
		name = name[:i]
	}
	return name
}

// beyond reports whether a score is drift by a test of Evidently, of which some
// give a probability and the others a distance; nil where it is not known which.
func beyond(test string, score, threshold float64) *bool {
	test = strings.ToLower(test)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(test, w) })
	}
	var drifted bool
	switch {
	case has("p_value", "anderson", "cramer", "epps", "fisher", "g_test", "t_test", "mann", "variation", "tvd", "mmd"):
		drifted = score < threshold
	case has("distance", "divergence", "psi", "stability", "hellinger", "jensen", "wasserstein"):
		drifted = score >= threshold
	default:
		return nil
	}
	return &drifted
}
