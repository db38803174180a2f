package policy

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The metrics of predictions.
const (
	MetricAccuracy         = "accuracy"
	MetricF1               = "f1"
	MetricPrecision        = "precision"
	MetricRecall           = "recall"
	MetricBalancedAccuracy = "balancedAccuracy"
	MetricAUC              = "auc"
	MetricAveragePrecision = "averagePrecision"
	MetricLogLoss          = "logLoss"
	MetricBrier            = "brier"
	MetricMAE              = "mae"
	MetricRMSE             = "rmse"
	MetricMAPE             = "mape"
	MetricR2               = "r2"
	MetricNDCG             = "ndcg"
	MetricPrecisionAtK     = "precisionAtK"
)

// Metrics are those that predictions with labels can be measured by.
func Metrics() []string {
	return []string{MetricAccuracy, MetricF1, MetricPrecision, MetricRecall, MetricBalancedAccuracy, MetricAUC, MetricAveragePrecision,
		MetricLogLoss, MetricBrier, MetricMAE, MetricRMSE, MetricMAPE, MetricR2, MetricNDCG, MetricPrecisionAtK}
}

// The ways to estimate: confidence-based performance estimation, of classes, and
// direct loss estimation, of numbers.
const (
	EstimateCBPE = "cbpe"
	EstimateDLE  = "dle"
)

// Estimates are the metrics that can be estimated without labels.
func Estimates() []string {
	return []string{MetricAccuracy, MetricF1, MetricPrecision, MetricRecall, MetricAUC, MetricAveragePrecision}
}

// ClassEstimates are those where there is a score of each of several classes.
func ClassEstimates() []string {
	return []string{MetricAccuracy, MetricF1, MetricBalancedAccuracy, MetricAUC}
}

// LossEstimates are those of numbers.
func LossEstimates() []string { return []string{MetricMAE, MetricRMSE, MetricMAPE} }

// mostScores is how many classes may have a score each, and mostFeatures what a
// loss may go by.
const (
	mostScores   = 256
	mostFeatures = 64
)

// StreamDetectors find the moment at which the errors of predictions change;
// those of the second list take errors of any size, the others only 0 and 1.
func StreamDetectors() (all, anySize []string) {
	anySize = []string{"adwin", "adwin_keep", "page_hinkley", "kswin"}
	return append([]string{"ddm", "eddm", "hddm_a", "hddm_a_two_sided", "hddm_w", "hddm_w_two_sided"}, anySize...), anySize
}

// OfScores reports whether the signal's metric is of probabilities of a class.
func (s Signal) OfScores() bool {
	return slices.Contains([]string{MetricAUC, MetricAveragePrecision, MetricLogLoss, MetricBrier}, s.Metric)
}

// OfNumbers reports whether it is of predictions that are numbers.
func (s Signal) OfNumbers() bool {
	return slices.Contains([]string{MetricMAE, MetricRMSE, MetricMAPE, MetricR2}, s.Metric)
}

// OfLists reports whether it is of lists, in which what is relevant should come
// first.
func (s Signal) OfLists() bool { return s.Metric == MetricNDCG || s.Metric == MetricPrecisionAtK }

// atMostOne reports whether the metric is from 0 to 1.
func (s Signal) atMostOne() bool {
	return s.Metric != MetricLogLoss && !s.OfNumbers()
}

// What f1 is taken over.
const (
	AverageBinary   = "binary"
	AverageMacro    = "macro"
	AverageWeighted = "weighted"
	AverageMicro    = "micro"
)

// DriftTests are the tests that a drift signal can choose: those of profiles.
func DriftTests() []string {
	return []string{"ks", "linf", "psi", "wasserstein", "js", "chi2", "hellinger", "tvd", "t", "energy", "mw"}
}

// DriftRules are the rules that a drift signal can choose.
func DriftRules() []string { return []string{"anneal", "evidently", "nannyml"} }

// Seasons are those that a drift signal can choose.
func Seasons() []string { return []string{"auto", "none", "year", "week", "day"} }

// Corrections are those of probabilities for the number of columns.
func Corrections() []string { return []string{"fdr_bh", "fdr_by", "holm", "bonferroni", "none"} }

// withDefaults fills in what a signal leaves open.
func (s Signal) withDefaults() Signal {
	or := func(v *string, value string) {
		if *v == "" {
			*v = value
		}
	}
	switch {
	case s.IsMetric():
		if s.Period == 0 {
			s.Period = Duration(5 * time.Minute)
		}
		if s.StaleAfter == 0 {
			s.StaleAfter = max(Duration(time.Hour), 3*s.Period)
		}
	case s.IsReport():
		if metrics := ReportMetrics(s.Format); len(metrics) > 0 {
			or(&s.Metric, metrics[0])
		}
		if s.StaleAfter == 0 {
			s.StaleAfter = Duration(week)
		}
	case s.IsPerformance():
		if s.Window == (Window{}) {
			s.Window.Since = Duration(week)
		}
		if s.LabelsWithin == 0 {
			s.LabelsWithin = s.Window.Since
		}
		if s.StaleAfter == 0 {
			s.StaleAfter = s.Window.Since
		}
		if s.Detector != "" {
			or(&s.Metric, MetricAccuracy)
		}
		if s.OfScores() && len(s.Scores) == 0 {
			or(&s.Score, s.Prediction)
		}
		if s.Estimate != "" && s.Calibration == 0 {
			s.Calibration = 4 * s.Window.Since
		}
		if s.OfLists() && s.K == 0 {
			s.K = 10
		}
	case s.IsQuality():
		if s.Window == (Window{}) {
			s.Window.Objects = 1
		}
		if slices.Contains(Facts(), s.Quality) {
			or(&s.Reference, ReferenceChampion)
		}
	case s.IsDrift():
		or(&s.Reference, ReferenceChampion)
		or(&s.Correction, Corrections()[0])
	default:
		or(&s.Since, SinceLastTrained)
	}
	return s
}

// Chosen are the tests that find drift; none where the default does.
func (s Signal) Chosen() []string {
	if s.Test != "" {
		return []string{s.Test}
	}
	return s.Tests
}

func (c *compiler) signals(signals map[string]Signal) {
	for _, name := range sortedKeys(signals) {
		path, s := At("spec.signals", name), signals[name]
		if !signalName.MatchString(name) {
			c.problems.add(path, "%q is not a signal's name: letters, digits and _, as in signals.NAME.value", name)
		}
		if s.Source == "" {
			c.problems.add(path+".source", "a signal needs a source: data, predictions, report or cloudwatch")
			continue
		}
		before := len(c.problems)
		c.problems.oneOf(path+".source", s.Source, []string{SourceData, SourcePredictions, SourceReport, SourceCloudWatch}, nil)
		if len(c.problems) > before {
			continue
		}
		if s.MinRows < 0 {
			c.problems.add(path+".minRows", "%d rows: at least 1", s.MinRows)
		}
		switch {
		case s.IsMetric():
			c.metric(path, s)
		case s.IsReport():
			c.report(path, s)
		case s.IsPerformance():
			c.performance(path, s)
		case s.IsQuality():
			c.quality(path, s)
		case s.IsDrift():
			c.drift(path, s)
		default:
			c.count(path, s)
		}
	}
}

// use is a key of a signal, and whether it is set.
type use struct {
	key string
	set bool
}

// refuse reports keys that are set and mean nothing for this kind of signal.
func (c *compiler) refuse(path, where string, uses ...[]use) {
	for _, u := range slices.Concat(uses...) {
		if u.set {
			c.problems.add(path+"."+u.key, "%s is for a signal %s", u.key, where)
		}
	}
}

// ofDrift and ofPredictions are the keys that only such a signal has.
func (s Signal) ofDrift() []use {
	return []use{
		{"reference", s.Reference != ""}, {"rules", s.Rules != ""}, {"test", s.Test != ""}, {"tests", len(s.Tests) > 0}, {"thresholds", len(s.Thresholds) > 0},
		{"alpha", s.Alpha != 0}, {"correction", s.Correction != ""}, {"season", s.Season != ""}, {"ignore", len(s.Ignore) > 0},
	}
}

func (s Signal) ofPredictions() []use {
	return []use{
		{"path", s.Path != ""}, {"labels", s.Labels != ""}, {"key", s.Key != ""}, {"prediction", s.Prediction != ""}, {"label", s.Label != ""},
		{"score", s.Score != ""}, {"scores", len(s.Scores) > 0}, {"features", len(s.Features) > 0}, {"time", s.Time != ""}, {"version", s.Version != ""}, {"metric", s.Metric != ""}, {"average", s.Average != ""},
		{"positive", s.Positive != ""}, {"labelsWithin", s.LabelsWithin != 0}, {"staleAfter", s.StaleAfter != 0},
		{"group", s.Group != ""}, {"k", s.K != 0}, {"estimate", s.Estimate != ""}, {"calibration", s.Calibration != 0}, {"detector", s.Detector != ""},
	}
}

// ofMetrics are the keys that only a metric of CloudWatch has.
func (s Signal) ofMetrics() []use {
	return []use{
		{"namespace", s.Namespace != ""}, {"dimensions", len(s.Dimensions) > 0}, {"stat", s.Stat != ""}, {"period", s.Period != 0}, {"region", s.Region != ""},
	}
}

// ofReports are the keys that only a report has.
func (s Signal) ofReports() []use {
	return []use{{"format", s.Format != ""}, {"event", s.Event != ""}, {"column", s.Column != ""}, {"pointer", s.Pointer != ""}}
}

const (
	ofReport        = "of another tool's report (source: report)"
	ofCloudWatch    = "of CloudWatch (source: cloudwatch)"
	overPredictions = "over predictions (source: predictions)"
	ofDrift         = "that is drift (window: {objects: 3})"
	thatCounts      = "that counts (reduce: rows)"
)

func (c *compiler) drift(path string, s Signal) {
	c.problems.oneOf(path+".reference", s.Reference, []string{ReferenceChampion}, []string{"fixed", "rolling"})
	switch {
	case s.Window.Since != 0:
		c.problems.add(path+".window", "the window of a drift signal counts objects: {objects: 3}")
	case s.Window.Objects < 1:
		c.problems.add(path+".window", "a drift signal needs a window: {objects: 3}; or count with reduce: rows")
	}
	if s.Rules != "" {
		before := len(c.problems)
		c.problems.oneOf(path+".rules", s.Rules, DriftRules(), nil)
		if len(c.problems) == before && s.Rules != DriftRules()[0] {
			for _, u := range []use{{"test", s.Test != ""}, {"tests", len(s.Tests) > 0}, {"thresholds", len(s.Thresholds) > 0}, {"alpha", s.Alpha != 0}, {"minRows", s.MinRows != 0}, {"season", s.Season != ""}} {
				if u.set {
					c.problems.add(path+"."+u.key, "the rules of %s choose the tests themselves: %s is for those of anneal", s.Rules, u.key)
				}
			}
		}
	}
	if s.Season != "" {
		c.problems.oneOf(path+".season", s.Season, Seasons(), nil)
	}
	if s.Test != "" {
		c.problems.oneOf(path+".test", s.Test, DriftTests(), nil)
		if len(s.Tests) > 0 {
			c.problems.add(path+".test", "choose test or tests, not both")
		}
	}
	for i, t := range s.Tests {
		at := index(path+".tests", i)
		c.problems.oneOf(at, t, DriftTests(), nil)
		if slices.Contains(s.Tests[:i], t) {
			c.problems.add(at, "the test %s is given twice", t)
		}
	}
	for _, t := range sortedKeys(s.Thresholds) {
		at := At(path+".thresholds", t)
		before := len(c.problems)
		c.problems.oneOf(at, t, DriftTests(), nil)
		switch v := s.Thresholds[t]; {
		case len(c.problems) > before:
		case !(v > 0) || math.IsInf(v, 0):
			c.problems.add(at, "a threshold is above 0")
		case len(s.Chosen()) > 0 && !slices.Contains(s.Chosen(), t):
			c.problems.add(at, "the test %s is not among those chosen: %s", t, strings.Join(s.Chosen(), ", "))
		}
	}
	if s.Alpha < 0 || s.Alpha >= 1 {
		c.problems.add(path+".alpha", "alpha is a probability, such as 0.05")
	}
	c.problems.oneOf(path+".correction", s.Correction, Corrections(), nil)
	c.refuse(path, thatCounts, []use{{"since", s.Since != ""}})
	c.refuse(path, overPredictions, s.ofPredictions())
	c.refuse(path, ofReport, s.ofReports())
	c.refuse(path, ofCloudWatch, s.ofMetrics())
}

func (c *compiler) count(path string, s Signal) {
	c.problems.oneOf(path+".reduce", s.Reduce, []string{ReduceRows}, []string{"sum", "objects", "bytes"})
	c.problems.oneOf(path+".since", s.Since, []string{SinceLastTrained}, nil)
	if s.Window != (Window{}) {
		c.problems.add(path+".window", "a signal that counts has since, not a window")
	}
	c.refuse(path, ofDrift, s.ofDrift(), []use{{"minRows", s.MinRows != 0}})
	c.refuse(path, overPredictions, s.ofPredictions())
	c.refuse(path, ofReport, s.ofReports())
	c.refuse(path, ofCloudWatch, s.ofMetrics())
}

// stat is a statistic of CloudWatch.
//
// Source: the CloudWatch user guide, "CloudWatch statistics definitions".
var stat = regexp.MustCompile(`^(Average|Sum|Minimum|Maximum|SampleCount|IQM|(p|tm|wm|tc|ts)\d{1,2}(\.\d{1,10})?|(p|tm|wm|tc|ts)100|(PR|TM|WM|TC|TS)\([0-9.%]*:[0-9.%]*\))$`)

// mostPeriods is how far back a datapoint may be looked for.
const mostPeriods = 1440

func (c *compiler) metric(path string, s Signal) {
	needs := func(key, value, why string) {
		if value == "" {
			c.problems.add(path+"."+key, "a metric of CloudWatch needs %s", why)
		}
	}
	needs("namespace", s.Namespace, "a namespace: namespace: AWS/SageMaker")
	needs("metric", s.Metric, "its name: metric: ModelLatency")
	needs("stat", s.Stat, "a statistic: stat: p99")
	if s.Stat != "" && !stat.MatchString(s.Stat) {
		c.problems.add(path+".stat", "%q is not a statistic of CloudWatch: Average, Sum, Minimum, Maximum, SampleCount, IQM, p99, tm90, TM(10%%:90%%)", s.Stat)
	}
	period := time.Duration(s.Period)
	if period <= 0 || period > 24*time.Hour || period%time.Minute != 0 && !slices.Contains([]time.Duration{1, 5, 10, 20, 30}, period/time.Second) || period%time.Second != 0 {
		c.problems.add(path+".period", "a period of CloudWatch is whole minutes, to 1d, or 1s, 5s, 10s, 20s or 30s")
	} else if s.StaleAfter < s.Period {
		c.problems.add(path+".staleAfter", "the newest datapoint is up to a period old: at least %s", s.Period)
	} else if s.StaleAfter/s.Period > mostPeriods {
		c.problems.add(path+".staleAfter", "at most %d periods", mostPeriods)
	}
	if len(s.Dimensions) > 30 {
		c.problems.add(path+".dimensions", "%d dimensions; a metric has at most 30", len(s.Dimensions))
	}
	c.refuse(path, "over data (source: data)", []use{{"reduce", s.Reduce != ""}, {"since", s.Since != ""}, {"window", s.Window != (Window{})}, {"minRows", s.MinRows != 0}})
	c.refuse(path, ofDrift, s.ofDrift())
	c.refuse(path, ofReport, s.ofReports())
	c.refuse(path, overPredictions, slices.DeleteFunc(s.ofPredictions(), func(u use) bool { return u.key == "metric" || u.key == "staleAfter" }))
}

// scores checks a signal that has a score of each of several classes.
func (c *compiler) scores(path string, s Signal) {
	const here = "without scores of several classes"
	c.refuse(path, here, []use{{"score", s.Score != ""}, {"features", len(s.Features) > 0 && s.Estimate == EstimateDLE}})
	if len(s.Scores) == 1 || len(s.Scores) > mostScores {
		c.problems.add(path+".scores", "%d scores: want those of 2 to %d classes: scores: {cat: p_cat, dog: p_dog}", len(s.Scores), mostScores)
	}
	for _, class := range slices.Sorted(maps.Keys(s.Scores)) {
		if class == "" || s.Scores[class] == "" {
			c.problems.add(path+".scores", "each class has a column: scores: {cat: p_cat, dog: p_dog}")
		}
	}
	switch {
	case s.Estimate != "" && s.Metric != MetricAUC && s.Prediction == "":
		c.problems.add(path+".prediction", "a signal over predictions needs prediction, the column with the class that was predicted: prediction: predicted")
	case s.Estimate == "" && s.Metric != "" && s.Metric != MetricAUC && s.Metric != MetricLogLoss:
		c.problems.add(path+".scores", "scores is for a signal whose metric is auc or logLoss, or that has an estimate")
	}
}

func (c *compiler) performance(path string, s Signal) {
	needs := func(key, value, why string) {
		if value == "" {
			c.problems.add(path+"."+key, "a signal over predictions needs %s", why)
		}
	}
	needs("path", s.Path, "path, what the keys of prediction objects begin with: path: predictions/")
	needs("labels", s.Labels, "labels, what the keys of label objects begin with: labels: labels/")
	needs("key", s.Key, "key, the column that predictions and labels have in common: key: id")
	needs("label", s.Label, "label, the column of the labels that says what came true: label: class")
	if s.Path != "" && s.Path == s.Labels {
		c.problems.add(path+".labels", "predictions and labels are both under %q: give each its own", s.Path)
	}
	if s.Metric == "" {
		c.problems.add(path+".metric", "a signal over predictions needs a metric: %s", strings.Join(Metrics(), ", "))
	} else {
		c.problems.oneOf(path+".metric", s.Metric, Metrics(), nil)
	}
	estimated, several, ofLoss := s.Estimate != "", len(s.Scores) > 0, s.Estimate == EstimateDLE
	switch {
	case several:
		c.scores(path, s)
	case s.OfLists():
		needs("score", s.Score, "score, the column that orders a list: score: rank_score")
		needs("group", s.Group, "group, the column that says which list a row is of: group: query")
		c.refuse(path, "whose metric is not of lists", []use{{"prediction", s.Prediction != ""}})
	case s.OfScores():
		needs("score", s.Score, "score, the column with the probability that "+s.Metric+" is measured on: score: probability")
	case s.Metric != "":
		needs("prediction", s.Prediction, "prediction, the column with what was predicted: prediction: predicted")
		if estimated && !ofLoss {
			needs("score", s.Score, "score, the column with the probability that the estimate rests on: score: probability")
		} else {
			c.refuse(path, "whose metric is auc, averagePrecision, logLoss, brier, ndcg or precisionAtK, or that has an estimate", []use{{"score", s.Score != ""}})
		}
	}
	c.refuse(path, "whose metric is ndcg or precisionAtK", []use{{"group", s.Group != "" && !s.OfLists()}, {"k", s.K != 0 && !s.OfLists()}})
	if s.K < 0 {
		c.problems.add(path+".k", "%d rows of a list: at least 1", s.K)
	}
	if s.Average != "" {
		c.problems.oneOf(path+".average", s.Average, []string{AverageBinary, AverageMacro, AverageWeighted, AverageMicro}, nil)
		c.refuse(path, "whose metric is f1", []use{{"average", s.Metric != MetricF1}})
	}
	ofClass := !several && (s.OfScores() || estimated && !ofLoss || slices.Contains([]string{MetricF1, MetricPrecision, MetricRecall}, s.Metric))
	c.refuse(path, "whose metric is f1, precision, recall, auc, averagePrecision, logLoss or brier", []use{{"positive", s.Positive != "" && !ofClass}})
	if estimated {
		c.problems.oneOf(path+".estimate", s.Estimate, []string{EstimateCBPE, EstimateDLE}, nil)
		can := Estimates()
		switch {
		case ofLoss:
			can = LossEstimates()
		case several:
			can = ClassEstimates()
		}
		if s.Metric != "" && !slices.Contains(can, s.Metric) {
			c.problems.add(path+".metric", "%s cannot be estimated without labels (have %s)", s.Metric, strings.Join(can, ", "))
		}
		switch {
		case several && s.Average != "" && s.Average != AverageMacro && s.Average != AverageWeighted:
			c.problems.add(path+".average", "an estimate of several classes is their mean: macro or weighted")
		case !several && s.Average != "" && s.Average != AverageBinary:
			c.problems.add(path+".average", "an estimate is of one class: binary; with scores of several it may be macro or weighted")
		}
		if s.Calibration < 0 {
			c.problems.add(path+".calibration", "calibration is a length of time: 30d")
		}
	}
	c.refuse(path, "whose estimate is dle", []use{{"features", len(s.Features) > 0 && !ofLoss}})
	if len(s.Features) > mostFeatures {
		c.problems.add(path+".features", "%d features: at most %d", len(s.Features), mostFeatures)
	}
	c.refuse(path, "that has an estimate", []use{{"calibration", s.Calibration != 0 && !estimated}})
	if s.Detector != "" {
		all, anySize := StreamDetectors()
		before := len(c.problems)
		c.problems.oneOf(path+".detector", s.Detector, all, nil)
		switch {
		case estimated:
			c.problems.add(path+".detector", "a detector goes by labels: choose detector or estimate, not both")
		case s.Metric != MetricAccuracy && s.Metric != MetricMAE:
			c.problems.add(path+".metric", "a detector follows errors: accuracy (right or wrong) or mae (how far off)")
		case len(c.problems) == before && s.Metric == MetricMAE && !slices.Contains(anySize, s.Detector):
			c.problems.add(path+".detector", "%s takes errors that are 0 or 1; of mae: %s", s.Detector, strings.Join(anySize, ", "))
		}
	}
	if s.Window.Objects != 0 || s.Window.Since <= 0 {
		c.problems.add(path+".window", "the window of a signal over predictions is a length of time: window: 7d")
	}
	c.refuse(path, "over data (source: data)", []use{{"reduce", s.Reduce != ""}, {"since", s.Since != ""}})
	c.refuse(path, ofDrift, s.ofDrift())
	c.refuse(path, ofReport, s.ofReports())
	c.refuse(path, ofCloudWatch, s.ofMetrics())
}
