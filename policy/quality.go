package policy

import "slices"

// What can be asked about the quality of data beside the facts of a comparison.
const (
	QualityRows       = "rows"       // of the newest object, against those before it
	QualityDuplicates = "duplicates" // share of rows, or of a column's values, that are there already
)

// Facts are the kinds of fact that a comparison finds.
func Facts() []string {
	return []string{
		"no-rows", "ragged", "new-column", "vanished-column", "type-change", "missing", "range", "constant", "new-categories", "vanished-categories",
	}
}

func (c *compiler) quality(path string, s Signal) {
	c.problems.oneOf(path+".quality", s.Quality, append([]string{QualityRows, QualityDuplicates}, Facts()...), nil)
	if s.Window.Since != 0 || s.Window.Objects < 1 {
		c.problems.add(path+".window", "the window of a signal over data counts objects: {objects: 3}")
	}
	if s.Quality == QualityRows && s.Window.Objects > 1 {
		c.problems.add(path+".window", "rows are those of the newest object")
	}
	switch {
	case s.Quality != QualityDuplicates && s.Column != "":
		c.problems.add(path+".column", "column is for quality: duplicates")
	case s.Column != "" && len(s.Ignore) > 0:
		c.problems.add(path+".ignore", "duplicates are of a column, or of whole rows without those to ignore")
	}
	ofDrift := slices.DeleteFunc(s.ofDrift(), func(u use) bool {
		return slices.Contains(Facts(), s.Quality) && slices.Contains([]string{"reference", "ignore"}, u.key) ||
			s.Quality == QualityDuplicates && u.key == "ignore"
	})
	c.refuse(path, ofDriftAlone, ofDrift, []use{{"minRows", s.MinRows != 0}})
	c.refuse(path, thatCounts, []use{{"reduce", s.Reduce != ""}, {"since", s.Since != ""}})
	c.refuse(path, ofReport, slices.DeleteFunc(s.ofReports(), func(u use) bool { return u.key == "column" }))
	c.refuse(path, overPredictions, s.ofPredictions())
	c.refuse(path, ofCloudWatch, s.ofMetrics())
}

const ofDriftAlone = "that is drift, and asks for no quality"
