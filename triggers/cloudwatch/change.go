package cloudwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/envelope"
)

// stamp is how EventBridge writes the time of an alarm's state.
const stamp = "2006-01-02T15:04:05.000-0700"

// An alarm is as it is now, in the shape of EventBridge's detail.
type alarm struct {
	arn     string
	changed time.Time // when it came to the state that it is in
	detail  envelope.AlarmDetail
}

// A change is one that an alarm went through.
type change struct {
	arn    string
	at     time.Time
	detail envelope.AlarmDetail
}

func (c change) event(now time.Time) anneal.Event { return envelope.Alarm(c.arn, c.at, c.detail, now) }

// same reports whether the two are one change: AWS tells of it to the
// millisecond, whoever is asked.
func (c change) same(other change) bool {
	return c.detail.State.Value == other.detail.State.Value &&
		c.at.Truncate(time.Millisecond).Equal(other.at.Truncate(time.Millisecond))
}

// current is the change to the state that the alarm is in. What it was before is
// not known.
func (a alarm) current() change {
	return change{a.arn, a.changed, a.detail}
}

// changedAt is when an alarm came to its state. Servers that do not tell it tell
// when the state was last written.
func changedAt(transitioned, updated *time.Time) time.Time {
	if transitioned != nil {
		return *transitioned
	}
	return aws.ToTime(updated)
}

func ofMetrics(a types.MetricAlarm) alarm {
	at := changedAt(a.StateTransitionedTimestamp, a.StateUpdatedTimestamp)
	return alarm{aws.ToString(a.AlarmArn), at, envelope.AlarmDetail{
		AlarmName: aws.ToString(a.AlarmName),
		State:     state(a.StateValue, a.StateReason, a.StateReasonData, at),
		Configuration: envelope.AlarmConfiguration{
			Description: aws.ToString(a.AlarmDescription),
			Metrics:     metrics(a),
		},
	}}
}

func ofAlarms(a types.CompositeAlarm) alarm {
	at := changedAt(a.StateTransitionedTimestamp, a.StateUpdatedTimestamp)
	is := state(a.StateValue, a.StateReason, a.StateReasonData, at)
	is.ActionsSuppressedBy, is.ActionsSuppressedReason = string(a.ActionsSuppressedBy), aws.ToString(a.ActionsSuppressedReason)
	return alarm{aws.ToString(a.AlarmArn), at, envelope.AlarmDetail{
		AlarmName: aws.ToString(a.AlarmName),
		State:     is,
		Configuration: envelope.AlarmConfiguration{
			Description:                      aws.ToString(a.AlarmDescription),
			AlarmRule:                        aws.ToString(a.AlarmRule),
			ActionsSuppressor:                aws.ToString(a.ActionsSuppressor),
			ActionsSuppressorWaitPeriod:      aws.ToInt32(a.ActionsSuppressorWaitPeriod),
			ActionsSuppressorExtensionPeriod: aws.ToInt32(a.ActionsSuppressorExtensionPeriod),
		},
	}}
}

func state(value types.StateValue, reason, data *string, at time.Time) envelope.AlarmState {
	return envelope.AlarmState{
		Value: string(value), Reason: aws.ToString(reason), ReasonData: aws.ToString(data), Timestamp: at.UTC().Format(stamp),
	}
}

// metrics are what a metric alarm watches.
func metrics(a types.MetricAlarm) []envelope.AlarmMetric {
	series := func(namespace, name *string, dimensions []types.Dimension) envelope.AlarmSeries {
		s := envelope.AlarmSeries{Namespace: aws.ToString(namespace), Name: aws.ToString(name), Dimensions: map[string]string{}}
		for _, d := range dimensions {
			s.Dimensions[aws.ToString(d.Name)] = aws.ToString(d.Value)
		}
		return s
	}
	if a.MetricName != nil {
		stat := aws.ToString(a.ExtendedStatistic)
		if stat == "" {
			stat = string(a.Statistic)
		}
		return []envelope.AlarmMetric{{ReturnData: true, MetricStat: &envelope.AlarmStat{
			Metric: series(a.Namespace, a.MetricName, a.Dimensions), Period: int64(aws.ToInt32(a.Period)), Stat: stat,
		}}}
	}
	var all []envelope.AlarmMetric
	for _, m := range a.Metrics {
		one := envelope.AlarmMetric{ID: aws.ToString(m.Id), Expression: aws.ToString(m.Expression), Label: aws.ToString(m.Label), ReturnData: m.ReturnData == nil || *m.ReturnData}
		if s := m.MetricStat; s != nil && s.Metric != nil {
			one.MetricStat = &envelope.AlarmStat{
				Metric: series(s.Metric.Namespace, s.Metric.MetricName, s.Metric.Dimensions), Period: int64(aws.ToInt32(s.Period)), Stat: aws.ToString(s.Stat),
			}
		}
		all = append(all, one)
	}
	return all
}

// was is a change out of the alarm's history.
//
// Source: the CloudWatch API reference, AlarmHistoryItem, and the AWS CLI's
// reference of describe-alarm-history, which shows HistoryData.
func (a alarm) was(item types.AlarmHistoryItem) (change, error) {
	type told struct {
		Value  string          `json:"stateValue"`
		Reason string          `json:"stateReason"`
		Data   json.RawMessage `json:"stateReasonData"`

		SuppressedBy     string `json:"actionsSuppressedBy"`
		SuppressedReason string `json:"actionsSuppressedReason"`
	}
	var data struct {
		Old *told `json:"oldState"`
		New told  `json:"newState"`
	}
	if item.Timestamp == nil {
		return change{}, fmt.Errorf("%q has no time", aws.ToString(item.HistorySummary))
	}
	at := item.Timestamp.UTC()
	if err := json.Unmarshal([]byte(aws.ToString(item.HistoryData)), &data); err != nil {
		return change{}, fmt.Errorf("%s: %w", at.Format(time.RFC3339Nano), err)
	}
	if data.New.Value == "" {
		return change{}, fmt.Errorf("%s: newState has no stateValue", at.Format(time.RFC3339Nano))
	}
	of := func(t told, at string) envelope.AlarmState {
		return envelope.AlarmState{
			Value: t.Value, Reason: t.Reason, ReasonData: text(t.Data), Timestamp: at,
			ActionsSuppressedBy: t.SuppressedBy, ActionsSuppressedReason: t.SuppressedReason,
		}
	}
	c := change{arn: a.arn, at: at, detail: a.detail}
	c.detail.State = of(data.New, at.Format(stamp))
	if data.Old != nil && data.Old.Value != "" {
		before := of(*data.Old, "")
		c.detail.PreviousState = &before
	}
	return c, nil
}

// text is the reason's data as EventBridge has them: JSON in a string.
func text(data json.RawMessage) string {
	var already string
	if len(data) == 0 || string(data) == "null" || json.Unmarshal(data, &already) == nil {
		return already
	}
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return "" // unreachable: it was parsed
	}
	return b.String()
}
