package policy

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal"
)

// newDomain is what is known of what the policy's expressions read.
func newDomain(b Body) domain {
	least := func(lo float64) span { return span{lo: lo, hi: math.Inf(1)} }
	d := domain{
		spans: map[string]span{
			"champion.version": least(1), "candidate.version": least(1), "champion.age": least(0),
			"training.rows": least(0), "training.bytes": least(0), "cost.forecastUSD": least(0),
		},
		words: map[string][]string{},
	}
	for name, s := range b.Signals {
		at := "signals." + name
		d.words[at+".status"] = []string{
			string(anneal.SignalOK), string(anneal.SignalMissing), string(anneal.SignalStale), string(anneal.SignalFailed),
		}
		d.spans[at+".n"], d.spans[at+".age"] = least(0), least(0)
		switch {
		case s.IsPerformance():
			d.spans[at+".share"] = span{hi: 1}
			switch {
			case s.IsDetector() || s.atMostOne():
				d.spans[at+".value"] = span{hi: 1}
			case s.Metric != MetricR2: // which has no least
				d.spans[at+".value"] = least(0)
			}
		case s.IsReport():
			d.spans[at+".share"] = span{hi: 1}
			switch s.Metric {
			case ReportShare, ReportDrifted, ReportMissing:
				d.spans[at+".value"] = span{hi: 1}
			case ReportColumns, ReportRows, ReportViolations:
				d.spans[at+".value"] = least(0)
			}
		case s.IsQuality():
			d.spans[at+".value"] = least(0)
			if s.Quality == QualityDuplicates {
				d.spans[at+".value"] = span{hi: 1}
			}
		case s.IsMetric(): // may be anything
		case s.IsDrift():
			d.spans[at+".value"], d.spans[at+".share"] = span{hi: 1}, span{hi: 1}
			d.words[at+".verdict"] = []string{"drift", "none", "too few rows"}
		default:
			d.spans[at+".value"] = least(0)
		}
	}
	properties, _ := b.Parameters["properties"].(map[string]any)
	for name, property := range properties {
		if words := enum(property); words != nil {
			d.words["parameters."+name] = words
		}
	}
	d.needs = func(path []string) []need {
		field := ""
		if len(path) > 0 {
			field = path[0]
		}
		switch field {
		case "champion.version", "champion.trainedAt", "champion.age", "champion.metrics":
			return []need{{text: "champion.exists"}}
		}
		rest, isSignal := strings.CutPrefix(field, "signals.")
		if !isSignal {
			return nil
		}
		name, of, _ := strings.Cut(rest, ".")
		may := []string{string(anneal.SignalOK), string(anneal.SignalStale)}
		switch of {
		case "status":
			return nil
		case "value", "share", "verdict", "due":
			may = may[:1]
		}
		needs := []need{{text: "signals." + name + ".status", words: may}}
		if s := b.Signals[name]; s.Source == SourceData && (s.IsDrift() || s.IsQuality()) && s.Reference == ReferenceChampion {
			needs = append(needs, need{text: "champion.exists"})
		}
		return needs
	}
	return d
}

// enum are the strings that a property of a JSON Schema may have, nil where it
// may have others.
func enum(property any) (words []string) {
	fields, _ := property.(map[string]any)
	list, _ := fields["enum"].([]any)
	for _, item := range list {
		word, ok := item.(string)
		if !ok {
			return nil
		}
		words = append(words, word)
	}
	return words
}

// of is the domain of a match whose trigger says the source and the type.
func (d domain) of(m Match) domain {
	d.words = maps.Clone(d.words)
	if m.Source != "" {
		d.words["event.source"] = []string{m.Source}
	}
	if m.Type != "" {
		d.words["event.type"] = []string{m.Type}
	}
	for text, words := range knownWords[m.Type] {
		d.words[text] = words
	}
	return d
}

// knownWords are the values that AWS documents for the details of its events,
// by the event's type.
var knownWords = map[string]map[string][]string{
	"CloudWatch Alarm State Change":                {"event.data.state.value": {"OK", "ALARM", "INSUFFICIENT_DATA"}},
	"SageMaker Training Job State Change":          {"event.data.TrainingJobStatus": {"InProgress", "Completed", "Failed", "Stopping", "Stopped"}},
	"SageMaker Processing Job State Change":        {"event.data.ProcessingJobStatus": {"InProgress", "Completed", "Failed", "Stopping", "Stopped"}},
	"SageMaker Transform Job State Change":         {"event.data.TransformJobStatus": {"InProgress", "Completed", "Failed", "Stopping", "Stopped"}},
	"SageMaker Model Package State Change":         {"event.data.ModelApprovalStatus": {"Approved", "Rejected", "PendingManualApproval"}},
	"Step Functions Execution Status Change":       {"event.data.status": {"RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"}},
	"CodeBuild Build State Change":                 {"event.data.build-status": {"IN_PROGRESS", "SUCCEEDED", "FAILED", "STOPPED"}},
	"CodePipeline Pipeline Execution State Change": {"event.data.state": {"CANCELED", "FAILED", "RESUMED", "STARTED", "STOPPED", "STOPPING", "SUCCEEDED", "SUPERSEDED"}},
}

// knownEvents are well-known types by their source; an empty type stands for
// others that the source may have.
var knownEvents = map[string][]string{
	"aws.s3": {
		anneal.TypeObjectCreated, "Object Deleted", "Object Restore Initiated", "Object Restore Completed", "Object Restore Expired",
		"Object Storage Class Changed", "Object Access Tier Changed", "Object ACL Updated", "Object Tags Added", "Object Tags Deleted",
	},
	anneal.SourceDirectory: {anneal.TypeObjectCreated},
	"aws.cloudwatch":       {"CloudWatch Alarm State Change", "CloudWatch Alarm Configuration Change"},
	"aws.sagemaker": {
		"SageMaker Training Job State Change", "SageMaker Processing Job State Change", "SageMaker Transform Job State Change",
		"SageMaker HyperParameter Tuning Job State Change", "SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change",
		"SageMaker Model Package State Change", "SageMaker Model State Change", "SageMaker Model Building Pipeline Execution Status Change",
	},
	"aws.states":       {"Step Functions Execution Status Change"},
	"aws.codebuild":    {"CodeBuild Build State Change", "CodeBuild Build Phase Change"},
	"aws.codepipeline": {"CodePipeline Pipeline Execution State Change", "CodePipeline Stage Execution State Change", "CodePipeline Action Execution State Change"},
	"aws.ecr":          {"ECR Image Action", "ECR Image Scan"},
	"aws.events":       {anneal.TypeScheduledEvent},
}

// objectFields are what the data of an Object Created event has; what has
// fields itself ends in a dot.
var objectFields = []string{
	"version", "bucket.", "bucket.name", "object.", "object.key", "object.size", "object.etag", "object.version-id",
	"object.sequencer", "object.sha256", "reason", "request-id", "requester", "source-ip-address",
}

// sameWord reports whether two names differ in spaces, hyphens and case only.
func sameWord(a, b string) bool {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "", ":", "", ".", "").Replace(s))
	}
	return fold(a) == fold(b)
}

// meant is the well-known name that was probably meant by another, else empty.
func meant(name string, known []string) string {
	if name == "" || slices.Contains(known, name) {
		return ""
	}
	for _, k := range known {
		if sameWord(name, k) || len(k) > 8 && distance(strings.ToLower(name), strings.ToLower(k)) <= 2 {
			return k
		}
	}
	return ""
}
