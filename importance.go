package anneal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// mostImportance is for how many columns it can be said what they are worth.
const mostImportance = 10_000

// ParseImportance reads what columns are worth to a model, in JSON: an object of
// numbers from 0 on by column, on any scale, or a list of them as data frames are
// written, [{"feature": "price", "importance": 0.6}]. null is none. At least one
// number is above 0, and there are at most 10,000.
func ParseImportance(data []byte) (map[string]float64, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	var numbers map[string]json.RawMessage
	switch data[0] {
	case 'n':
		return nil, nil
	case '{':
		if err := json.Unmarshal(data, &numbers); err != nil {
			return nil, err // unreachable: it is an object
		}
	case '[':
		var rows []struct {
			Feature, Column string
			Importance      json.RawMessage
		}
		if err := json.Unmarshal(data, &rows); err != nil {
			return nil, errors.New(`want a list of {"feature": NAME, "importance": NUMBER}`)
		}
		numbers = make(map[string]json.RawMessage, len(rows))
		for i, row := range rows {
			name := row.Feature + row.Column
			if name == "" || row.Feature != "" && row.Column != "" {
				return nil, fmt.Errorf(`item %d of the list: want {"feature": NAME, "importance": NUMBER}`, i)
			}
			if _, twice := numbers[name]; twice {
				return nil, fmt.Errorf("column %.60q is there twice", name)
			}
			if row.Importance == nil {
				row.Importance = json.RawMessage("nothing")
			}
			numbers[name] = row.Importance
		}
	default:
		return nil, fmt.Errorf(`%.60s is no object of columns and numbers, such as {"price": 0.6, "hour": 0.4}`, data)
	}
	if len(numbers) > mostImportance {
		return nil, fmt.Errorf("%d columns are more than the limit of %d", len(numbers), mostImportance)
	}
	importance, most := make(map[string]float64, len(numbers)), 0.0
	for _, name := range slices.Sorted(maps.Keys(numbers)) { // the first problem is always the same
		text := numbers[name]
		v := math.NaN() // as of null, which Unmarshal takes for nothing
		if err := json.Unmarshal(text, &v); err != nil || !(v >= 0) {
			return nil, fmt.Errorf("column %.60q has %.60s: want a number from 0 on, such as the size of a coefficient", name, text)
		}
		importance[name], most = v, max(most, v)
	}
	if most == 0 {
		return nil, errors.New("no column has any: at least one is above 0")
	}
	return importance, nil
}
