package drift

import "github.com/anneal-ml/anneal/drift/profile"

// mostParts bounds how many objects are looked at one by one.
const mostParts = 64

// Date says of each column that drifted since when: by the name of the first of the
// current data's parts from which on every part has drifted by itself. parts are in
// the order they came; of many, the newest are looked at. A column that no part
// shows alone has no date.
func (c *Comparison) Date(reference *profile.Profile, parts []*profile.Profile, names []string, opt Options) {
	if extra := len(parts) - mostParts; extra > 0 {
		parts, names = parts[extra:], names[extra:]
	}
	if c.Drifted == 0 || len(parts) < 2 {
		return
	}
	opt.Exact, opt.Quality, opt.Outlook, opt.Seasons = nil, nil, nil, nil
	reference, _ = c.Against(reference)
	since, open := map[string]string{}, map[string]bool{}
	for i := range c.Columns {
		open[c.Columns[i].Name] = c.Columns[i].Verdict == Drift
	}
	for i := len(parts) - 1; i >= 0; i-- {
		for _, column := range Compare(reference, parts[i], opt).Columns {
			if !open[column.Name] {
				continue
			}
			if column.Verdict == Drift {
				since[column.Name] = names[i]
			} else {
				open[column.Name] = false
			}
		}
	}
	for i := range c.Columns {
		if column := &c.Columns[i]; column.Verdict == Drift {
			column.Since = since[column.Name]
		}
	}
}
