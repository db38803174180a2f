package drift

import (
	"math"

	"github.com/anneal-ml/anneal/drift/witness"
)

// A Joint is a test of all columns together.
type Joint struct {
	Test
	// By are the columns that have most to do with it, with their share, where the
	// test can say.
	By []Importance `json:"by,omitempty"`
}

// An Importance is what a column has to do with something, of 1.
type Importance struct {
	Column string  `json:"column"`
	Share  float64 `json:"share"`
}

const (
	// ToldApart is how well rows must be told apart for drift, by the area under the
	// ROC curve (NannyML 0.13).
	ToldApart = 0.65
	// jointAlpha is the level of the mean discrepancy.
	jointAlpha = 0.05
	// mostJoint is how many columns are named.
	mostJoint = 5
)

// Joined are the tests of both data sets together. That of a classifier counts: it
// finds drift where it tells current rows from the reference's by more than
// [ToldApart], and not by chance. What principal components lose, and the mean
// discrepancy, are reported as other tools judge them.
func Joined(t witness.Together) []Joint {
	told := Joint{Test: Test{Test: "classifier", Statistic: t.Told.Value, Low: t.Told.Low, High: t.Told.High, Threshold: ToldApart, Verdict: None}}
	if t.Told.Value >= ToldApart {
		told.Verdict = TooFew
		if t.Told.Low > 0.5 {
			told.Verdict = Drift
		}
	}
	for _, name := range t.Most(mostJoint) {
		told.By = append(told.By, Importance{name, t.By[name]})
	}
	tests := []Joint{told}
	if t.Lost == t.Lost {
		lost := Joint{Test: Test{Test: "pca", Statistic: t.Lost, Low: t.Lost, High: t.Lost, Threshold: t.Mean + 3*t.Deviation, Advisory: true, Verdict: None}}
		if math.Abs(t.Lost-t.Mean) > 3*t.Deviation {
			lost.Verdict = Drift
		}
		tests = append(tests, lost)
	}
	if t.Discrepancy == t.Discrepancy {
		p := t.Chance
		mmd := Joint{Test: Test{Test: "mmd", Statistic: t.Discrepancy, Low: t.Discrepancy, High: t.Discrepancy, PValue: &p, Threshold: jointAlpha, Advisory: true, Verdict: None}}
		if p < jointAlpha {
			mmd.Verdict = Drift
		}
		tests = append(tests, mmd)
	}
	return tests
}
