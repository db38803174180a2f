package envelope

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
)

// What EventBridge calls a change of an alarm.
const (
	sourceAlarm = "aws.cloudwatch"
	typeAlarm   = "CloudWatch Alarm State Change"
)

// An AlarmDetail is what EventBridge tells of an alarm's change, as its detail.
//
// Source: the CloudWatch user guide, "Alarm events and EventBridge".
type AlarmDetail struct {
	AlarmName     string             `json:"alarmName"`
	State         AlarmState         `json:"state"`
	PreviousState *AlarmState        `json:"previousState,omitempty"`
	Configuration AlarmConfiguration `json:"configuration"`
}

// An AlarmState is what an alarm came to, or was before.
type AlarmState struct {
	Value     string `json:"value"` // OK, ALARM or INSUFFICIENT_DATA
	Reason    string `json:"reason,omitempty"`
	Timestamp string `json:"timestamp,omitempty"`

	ReasonData          string `json:"reasonData,omitempty"` // JSON
	ActionsSuppressedBy string `json:"actionsSuppressedBy,omitempty"`
	// ActionsSuppressedReason is of a composite alarm, as what is above it.
	ActionsSuppressedReason string `json:"actionsSuppressedReason,omitempty"`
}

// An AlarmConfiguration is how an alarm is set: Metrics if it watches metrics,
// an AlarmRule if it is made of other alarms.
type AlarmConfiguration struct {
	Description string        `json:"description,omitempty"`
	AlarmRule   string        `json:"alarmRule,omitempty"`
	Metrics     []AlarmMetric `json:"metrics,omitempty"`

	ActionsSuppressor                string `json:"actionsSuppressor,omitempty"`
	ActionsSuppressorWaitPeriod      int32  `json:"actionsSuppressorWaitPeriod,omitempty"`      // seconds
	ActionsSuppressorExtensionPeriod int32  `json:"actionsSuppressorExtensionPeriod,omitempty"` // seconds
}

// An AlarmMetric is a metric that an alarm watches, or an expression over others.
type AlarmMetric struct {
	ID         string     `json:"id,omitempty"`
	Expression string     `json:"expression,omitempty"`
	Label      string     `json:"label,omitempty"`
	MetricStat *AlarmStat `json:"metricStat,omitempty"`
	ReturnData bool       `json:"returnData"`
}

// An AlarmStat is a statistic of a metric.
type AlarmStat struct {
	Metric AlarmSeries `json:"metric"`
	Period int64       `json:"period,omitempty"` // seconds
	Stat   string      `json:"stat,omitempty"`
}

// An AlarmSeries names a metric.
type AlarmSeries struct {
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	Dimensions map[string]string `json:"dimensions,omitempty"`
}

// alarmNotice is an alarm's change as SNS is told of it.
func alarmNotice(all object, from carrier, now time.Time) (anneal.Event, error) {
	name := all.text("AlarmName")
	detail := AlarmDetail{
		AlarmName: name,
		State:     AlarmState{Value: all.text("NewStateValue"), Reason: all.optional("NewStateReason"), Timestamp: all.text("StateChangeTime")},
		Configuration: AlarmConfiguration{
			Description: all.optional("AlarmDescription"),
			AlarmRule:   all.optional("AlarmRule"),
		},
	}
	if old := all.optional("OldStateValue"); old != "" {
		detail.PreviousState = &AlarmState{Value: old}
	}
	at := all.time("StateChangeTime", now)
	account := all.optional("AWSAccountId")
	arn := all.optional("AlarmArn")
	if err := all.err(); err != nil {
		return anneal.Event{}, err
	}
	// An older alarm does not say its ARN. It is in the region of its topic.
	if topic := strings.Split(from.subject, ":"); arn == "" && len(topic) == 6 && topic[2] == "sns" && account != "" {
		arn = strings.Join([]string{topic[0], topic[1], "cloudwatch", topic[3], account, "alarm", name}, ":")
	} else if arn == "" {
		arn = "alarm:" + account + ":" + name
	}
	detail.Configuration.Metrics = alarmMetrics(all.raw("Trigger"))
	return alarm(arn, detail.State.Value, at, detail, now), nil
}

// alarmMetrics are what a metric alarm watches. What is not as expected is left
// out: it only describes.
func alarmMetrics(trigger json.RawMessage) []AlarmMetric {
	type dimensions []struct{ Name, Value string }
	type series struct {
		Namespace, MetricName string
		Dimensions            dimensions
	}
	named := func(s series) AlarmSeries {
		m := AlarmSeries{Namespace: s.Namespace, Name: s.MetricName, Dimensions: map[string]string{}}
		for _, d := range s.Dimensions {
			m.Dimensions[d.Name] = d.Value
		}
		return m
	}
	var t struct {
		series
		Statistic, ExtendedStatistic string
		Period                       int64
		Metrics                      []struct {
			ID, Expression, Label string
			MetricStat            *struct {
				Metric series
				Period int64
				Stat   string
			}
			ReturnData bool
		}
	}
	if json.Unmarshal(trigger, &t) != nil {
		return nil
	}
	if t.MetricName != "" {
		stat := t.ExtendedStatistic
		if stat == "" && t.Statistic != "" { // AVERAGE: EventBridge has Average
			stat = t.Statistic[:1] + strings.ToLower(t.Statistic[1:])
		}
		return []AlarmMetric{{MetricStat: &AlarmStat{named(t.series), t.Period, stat}, ReturnData: true}}
	}
	var all []AlarmMetric
	for _, m := range t.Metrics {
		metric := AlarmMetric{ID: m.ID, Expression: m.Expression, Label: m.Label, ReturnData: m.ReturnData}
		if m.MetricStat != nil {
			metric.MetricStat = &AlarmStat{named(m.MetricStat.Metric), m.MetricStat.Period, m.MetricStat.Stat}
		}
		all = append(all, metric)
	}
	return all
}

// alarmAction is an alarm's change as a function is told of it.
func alarmAction(all object, now time.Time) (anneal.Event, error) {
	arn := all.text("alarmArn")
	data := all.object("alarmData")
	state := data.object("state")
	value := state.text("value")
	at := state.time("timestamp", now)
	if err := all.err(); err != nil {
		return anneal.Event{}, err
	}
	return alarm(arn, value, at, all.raw("alarmData"), now), nil
}

// Alarm is the event of the change of an alarm at some time, seen now: the one
// that EventBridge's telling of the same change becomes.
func Alarm(arn string, at time.Time, detail AlarmDetail, now time.Time) anneal.Event {
	return alarm(arn, detail.State.Value, at.UTC(), detail, now.UTC())
}

func alarm(arn, value string, at time.Time, detail any, now time.Time) anneal.Event {
	encoded, err := json.Marshal(detail)
	if err != nil {
		panic(err) // unreachable: strings, numbers, or JSON that was parsed
	}
	return anneal.Event{
		SpecVersion:     "1.0",
		ID:              alarmID(arn, value, at),
		Source:          sourceAlarm,
		Type:            typeAlarm,
		Subject:         arn,
		Time:            at,
		DataContentType: "application/json",
		Data:            encoded,
		Seen:            now,
	}
}

// alarmChange is the ID of the change that EventBridge tells of, empty if it
// does not say when that was.
func alarmChange(arn string, detail object) string {
	if !detail.has("state") {
		return ""
	}
	fields, ok := fieldsOf(detail.fields["state"])
	if !ok {
		return ""
	}
	state := object{fields: fields}
	value, at := state.optionalText("value"), state.time("timestamp", time.Time{})
	if arn == "" || value == "" || at.IsZero() || state.err() != nil {
		return ""
	}
	return alarmID(arn, value, at)
}

// alarmID is the identity of a change of an alarm: what it came to, and when, to
// the millisecond that every way of telling has.
func alarmID(arn, value string, at time.Time) string {
	return anneal.ID("event", sourceAlarm, typeAlarm, arn, value, at.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano))
}
