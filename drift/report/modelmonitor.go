package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// parseModelMonitor reads constraint_violations.json or statistics.json.
//
// Source: the SageMaker developer guide, "Schema for Violations" and "Schema for
// Statistics".
func parseModelMonitor(data []byte) (*Report, error) {
	var file struct {
		Violations *[]struct {
			Feature     string `json:"feature_name"`
			Check       string `json:"constraint_check_type"`
			Description string `json:"description"`
		} `json:"violations"`
		Dataset *struct {
			Items *float64 `json:"item_count"`
		} `json:"dataset"`
		Features []struct {
			Name    string           `json:"name"`
			Numbers *monitorNumerics `json:"numerical_statistics"`
			Texts   *struct {
				Common monitorCommon `json:"common"`
			} `json:"string_statistics"`
		} `json:"features"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, wrong(err)
	}
	r := &Report{Format: ModelMonitor}
	at := func(name string) *Column {
		i := slices.IndexFunc(r.Columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			i = len(r.Columns)
			r.Columns = append(r.Columns, Column{Name: name})
		}
		return &r.Columns[i]
	}
	switch {
	case file.Violations != nil:
		n := len(*file.Violations)
		r.Violations = &n
		for i, v := range *file.Violations {
			if v.Feature == "" || v.Check == "" {
				return nil, fmt.Errorf("has at violations[%d] no feature_name or no constraint_check_type", i)
			}
			c := at(v.Feature)
			c.Violations = append(c.Violations, v.Check+": "+short([]byte(v.Description)))
		}
		return r, nil
	case file.Dataset == nil || file.Dataset.Items == nil:
		return nil, errors.New("is no report of Model Monitor on data: want the violations of constraint_violations.json, or the dataset.item_count and features of statistics.json")
	}
	rows := int64(*file.Dataset.Items)
	r.Rows = &rows
	for i, f := range file.Features {
		if f.Name == "" {
			return nil, fmt.Errorf("has at features[%d] no name", i)
		}
		c := at(f.Name)
		switch {
		case f.Numbers != nil:
			c.Mean, c.StdDev, c.Min, c.Max = f.Numbers.Mean, f.Numbers.StdDev, f.Numbers.Min, f.Numbers.Max
			c.Missing = f.Numbers.Common.missing()
		case f.Texts != nil:
			c.Missing = f.Texts.Common.missing()
		}
	}
	return r, nil
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
