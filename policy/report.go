package policy

import (
	"slices"
	"strings"

	"github.com/anneal-ml/anneal"
)

// Metrics of reports that are bounded by what they are.
const (
	ReportShare      = "share"
	ReportColumns    = "columns"
	ReportDrifted    = "drifted"
	ReportViolations = "violations"
	ReportRows       = "rows"
	ReportMissing    = "missing"
	reportNumber     = "number"
)

// reportJSON is the format of which one number is read.
const reportJSON = "json"

// ReportFormats are those of other tools' reports.
func ReportFormats() []string { return []string{"evidently", "nannyml", "model-monitor", reportJSON} }

// ReportMetrics are what can be asked of reports of a format, the usual one first.
func ReportMetrics(format string) []string {
	switch format {
	case "evidently", "nannyml":
		return []string{ReportShare, ReportColumns, "score", ReportDrifted, ReportRows}
	case "model-monitor":
		return []string{ReportViolations, ReportRows, ReportMissing, "mean", "stdDev", "min", "max"}
	case reportJSON:
		return []string{reportNumber}
	}
	return nil
}

// ReportColumn reports whether a metric needs a column, and whether it may have one.
func ReportColumn(metric string) (needs, may bool) {
	needs = slices.Contains([]string{"score", ReportDrifted, "mean", "stdDev", "min", "max"}, metric)
	return needs, needs || metric == ReportViolations || metric == ReportMissing
}

func (c *compiler) report(path string, s Signal) {
	if s.Format == "" {
		c.problems.add(path+".format", "a report has a format: %s", strings.Join(ReportFormats(), ", "))
	} else {
		c.problems.oneOf(path+".format", s.Format, ReportFormats(), nil)
	}
	if s.Path == "" && s.Event == "" {
		c.problems.add(path+".path", "a report comes as an object, path: reports/, or is POSTed, event: com.example.report")
	}
	if s.Event == anneal.TypeObjectCreated {
		c.problems.add(path+".event", "objects are found by path: reports/")
	}
	metrics := ReportMetrics(s.Format)
	if metrics != nil {
		c.problems.oneOf(path+".metric", s.Metric, metrics, nil)
	}
	switch needs, may := ReportColumn(s.Metric); {
	case needs && s.Column == "":
		c.problems.add(path+".column", "%s is of one column: say which", s.Metric)
	case !may && s.Column != "":
		c.problems.add(path+".column", "%s is of the whole report, and of no column", s.Metric)
	}
	switch {
	case s.Format != reportJSON && s.Pointer != "":
		c.problems.add(path+".pointer", "pointer is for format: json")
	case s.Format == reportJSON && !strings.HasPrefix(s.Pointer, "/"):
		c.problems.add(path+".pointer", "says where the number is, as a JSON pointer: /drift/share")
	}
	c.refuse(path, "over data (source: data)", []use{{"reduce", s.Reduce != ""}, {"since", s.Since != ""}, {"window", s.Window != (Window{})}, {"minRows", s.MinRows != 0}})
	c.refuse(path, ofDrift, s.ofDrift())
	c.refuse(path, overPredictions, slices.DeleteFunc(s.ofPredictions(), func(u use) bool {
		return slices.Contains([]string{"path", "metric", "staleAfter"}, u.key)
	}))
	c.refuse(path, ofCloudWatch, s.ofMetrics())
}
