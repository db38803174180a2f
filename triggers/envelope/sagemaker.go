package envelope

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
)

const sourceSageMaker = "aws.sagemaker"

// sageMakerChange is the identity of what SageMaker tells of, empty if that is
// no change of a status. SageMaker sends several events, each with its own ID,
// for one change: the change is what it is of (a step of a pipeline has no ARN of
// its own), the statuses it has come to (the fields of the detail that end in
// Status), and which time that was. A job comes to each status once, but for the
// secondary ones, whose last transition has a time of its own; other things may
// come back to one, at another time. What a deployment has come to is told of
// each variant, so its changes are not known by the status of the endpoint.
//
// Source: the SageMaker developer guide, "Events that Amazon SageMaker AI sends
// to Amazon EventBridge".
func sageMakerChange(e anneal.Event, resources []json.RawMessage, detail object) string {
	if strings.Contains(e.Type, "Deployment") {
		return ""
	}
	parts := []string{"event", e.Source, e.Type}
	for _, resource := range resources {
		parts = append(parts, stringOf(resource))
	}
	if step := detail.optionalText("stepName"); step != "" {
		parts = append(parts, "step", step)
	}
	statuses := 0
	for _, name := range slices.Sorted(maps.Keys(detail.fields)) {
		if value := detail.optionalText(name); strings.HasSuffix(name, "Status") && value != "" {
			parts = append(parts, name, value)
			statuses++
		}
	}
	if statuses == 0 || e.Subject == "" {
		return ""
	}
	if strings.HasSuffix(e.Type, "Job State Change") {
		parts = append(parts, string(detail.raw("CreationTime")))
		var transitions []struct{ StartTime json.RawMessage }
		if json.Unmarshal(detail.fields["SecondaryStatusTransitions"], &transitions) == nil && len(transitions) > 0 {
			parts = append(parts, string(transitions[len(transitions)-1].StartTime))
		}
		return anneal.ID(parts...)
	}
	if modified := detail.raw("LastModifiedTime"); modified != nil {
		return anneal.ID(append(parts, string(modified))...)
	}
	if e.Time.Equal(e.Seen) {
		return "" // it does not say when
	}
	return anneal.ID(append(parts, e.Time.Format(time.RFC3339Nano))...)
}
