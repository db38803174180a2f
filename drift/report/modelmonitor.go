package report

import (
	"errors"
	"fmt"
)

// parseModelMonitor reads constraint_violations.json or statistics.json.
//
// Source: the SageMaker developer guide, "Schema for Violations" and "Schema for
// Statistics".
func parseModelMonitor(data []byte) (*Report, error) {
	file, err := object(data)
	if err != nil {
		return nil, err
	}
	m := monitor{r: &Report{Format: ModelMonitor}, at: map[string]int{}}
	var violations, features int
	var judged bool
	var dataset struct {
		Items *float64 `json:"item_count"`
	}
	err = members(file, func(name string, value []byte) (err error) {
		switch name {
		case "violations":
			judged, err = listed(name, value, func(v []byte) error { violations++; return m.violation(v, violations-1) })
		case "dataset":
			err = take(name, value, &dataset)
		case "features":
			_, err = listed(name, value, func(f []byte) error { features++; return m.feature(f, features-1) })
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r := m.r
	switch {
	case judged:
		r.Violations = &violations
		return r, nil
	case dataset.Items == nil:
		return nil, errors.New("is no report of Model Monitor on data: want the violations of constraint_violations.json, or the dataset.item_count and features of statistics.json")
	}
	rows, ok := whole(*dataset.Items, mostRows)
	if !ok {
		return nil, fmt.Errorf("has at dataset.item_count %v: want a number of rows", *dataset.Items)
	}
	r.Rows = &rows
	return r, nil
}

// monitor is a report in the making.
type monitor struct {
	r  *Report
	at map[string]int // columns by name
}

func (m *monitor) column(name string) *Column {
	i, ok := m.at[name]
	if !ok {
		i = len(m.r.Columns)
		m.at[name] = i
		m.r.Columns = append(m.r.Columns, Column{Name: name})
	}
	return &m.r.Columns[i]
}

// mostViolations is how many violations of a column are named.
const mostViolations = 100

// violation takes a violation in.
func (m *monitor) violation(value []byte, i int) error {
	var v struct {
		Feature     string `json:"feature_name"`
		Check       string `json:"constraint_check_type"`
		Description string `json:"description"`
	}
	if err := take("violations", value, &v); err != nil {
		return err
	}
	if v.Feature == "" || v.Check == "" {
		return fmt.Errorf("has at violations[%d] no feature_name or no constraint_check_type", i)
	}
	c := m.column(v.Feature)
	c.Violations = append(c.Violations, v.Check+": "+short([]byte(v.Description)))
	if len(c.Violations) > mostViolations {
		return fmt.Errorf("has more than %d violations of %q", mostViolations, short([]byte(v.Feature)))
	}
	return m.r.bounded()
}

// feature takes a feature of the statistics in.
func (m *monitor) feature(value []byte, i int) error {
	var f struct {
		Name    string           `json:"name"`
		Numbers *monitorNumerics `json:"numerical_statistics"`
		Texts   *struct {
			Common monitorCommon `json:"common"`
		} `json:"string_statistics"`
	}
	if err := take("features", value, &f); err != nil {
		return err
	}
	if f.Name == "" {
		return fmt.Errorf("has at features[%d] no name", i)
	}
	c := m.column(f.Name)
	switch {
	case f.Numbers != nil:
		c.Mean, c.StdDev, c.Min, c.Max = f.Numbers.Mean, f.Numbers.StdDev, f.Numbers.Min, f.Numbers.Max
		c.Missing = f.Numbers.Common.missing()
	case f.Texts != nil:
		c.Missing = f.Texts.Common.missing()
	}
	return m.r.bounded()
}

type monitorNumerics struct {
	Common monitorCommon `json:"common"`
	Mean   *float64      `json:"mean"`
	StdDev *float64      `json:"std_dev"`
	Min    *float64      `json:"min"`
	Max    *float64      `json:"max"`
}

type monitorCommon struct {
	Present *float64 `json:"num_present"`
	Missing *float64 `json:"num_missing"`
}

func (c monitorCommon) missing() *float64 {
	if c.Present == nil || c.Missing == nil || *c.Present+*c.Missing <= 0 {
		return nil
	}
	share := *c.Missing / (*c.Present + *c.Missing)
	return &share
}
