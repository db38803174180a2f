package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/anneal-ml/anneal"
)

const cloudwatchSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policies]
sources:
  - cloudwatch: {alarms: ["churn-*"], interval: 1s}
metrics: {cloudwatch: {namespace: tuning, interval: 1s}}
`

const cloudwatchPolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: churn}
spec:
  mode: enforce
  model: {group: churn}
  signals:
    latency: {source: cloudwatch, namespace: Serving, metric: Latency, dimensions: {Endpoint: churn}, stat: Average, period: 1m, staleAfter: 1h}
  triggers:
    - {id: alarm, event: {source: aws.cloudwatch, type: CloudWatch Alarm State Change, match: "event.data.state.value == 'ALARM'"}}
  rules:
    - {id: slow, if: "signals.latency.value > 100.0"}
  run: {stateMachine: {file: machine.asl.json}}
`

// TestCloudWatch has the daemon and moto, which is CloudWatch here, work together:
// an alarm goes off, the policy decides on a metric and starts a run, and all of
// that is in CloudWatch again; killed and started anew, it tells of no change
// twice, and of those that it missed.
func TestCloudWatch(t *testing.T) {
	client := cloudwatch.NewFromConfig(newMoto(t).account())
	ctx := t.Context()
	alarm := func(name string) {
		t.Helper()
		_, err := client.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{
			AlarmName: &name, Namespace: aws.String("Serving"), MetricName: aws.String("Latency"), Statistic: types.StatisticAverage,
			Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(100), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change := func(name string, value types.StateValue) {
		t.Helper()
		if _, err := client.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: &name, StateValue: value, StateReason: aws.String("a test")}); err != nil {
			t.Fatal(err)
		}
	}
	alarm("churn-latency")
	alarm("churn-auc")
	alarm("fraud")
	change("churn-auc", types.StateValueAlarm) // before the first start
	at := time.Now().Add(-3 * time.Minute)
	if _, err := client.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("Serving"), MetricData: []types.MetricDatum{
		{MetricName: aws.String("Latency"), Dimensions: []types.Dimension{{Name: aws.String("Endpoint"), Value: aws.String("churn")}}, Timestamp: &at, Value: aws.Float64(250)},
	}}); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml": cloudwatchSettings, "policies/churn.yaml": cloudwatchPolicy,
		"policies/machine.asl.json": `{"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": true}}}`,
	})
	p := begin(t, dir)
	// told are the changes that came, newest first.
	told := func() (all []string) {
		var events []anneal.Event
		if err := p.get("events?limit=0", &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Source == "aws.cloudwatch" {
				name := e.Subject[strings.LastIndexByte(e.Subject, ':')+1:]
				state := strings.Split(strings.SplitN(string(e.Data), `"value":"`, 2)[1], `"`)[0]
				all = append(all, name+" "+state)
			}
		}
		return all
	}
	looked := func() { // has seen the alarms as they were when it began
		t.Helper()
		eventually(t, 20*time.Second, func() error {
			if !strings.Contains(p.log.String(), "watching alarms") {
				return fmt.Errorf("alarms are not watched:\n%s", p.log)
			}
			return nil
		})
	}
	looked()
	if got := told(); len(got) > 0 {
		t.Errorf("a first start tells of %v; want nothing: it takes alarms as they are", got)
	}
	change("churn-latency", types.StateValueAlarm)
	change("fraud", types.StateValueAlarm)
	want := []string{"churn-latency ALARM"}
	agree := func() error {
		if got := told(); !slices.Equal(got, want) {
			return fmt.Errorf("told of %v; want %v", got, want)
		}
		return nil
	}
	eventually(t, 20*time.Second, agree)

	var decision anneal.Decision
	var run anneal.Run
	eventually(t, 30*time.Second, func() error {
		var decisions []anneal.Decision
		var runs []anneal.Run
		if err := p.get("decisions", &decisions); err != nil {
			return err
		}
		if err := p.get("runs", &runs); err != nil {
			return err
		}
		if len(decisions) != 1 || len(runs) != 1 || !runs[0].Status.Ended() {
			return fmt.Errorf("%d decisions, %d runs; want one that has ended", len(decisions), len(runs))
		}
		decision, run = decisions[0], runs[0]
		return nil
	})
	if s := decision.Signals["latency"]; decision.Verdict != anneal.VerdictRun || s.Value == nil || *s.Value != 250 || s.Age < 119 || s.Age > time.Since(at).Seconds() {
		t.Errorf("decided %s, %s, on %+v; want run on 250, from two minutes old", decision.Verdict, decision.Reason, s)
	}

	// All of it is in CloudWatch.
	sum := func(metric string, dimensions ...string) float64 {
		t.Helper()
		m := types.Metric{Namespace: aws.String("tuning"), MetricName: &metric}
		for i := 0; i < len(dimensions); i += 2 {
			m.Dimensions = append(m.Dimensions, types.Dimension{Name: &dimensions[i], Value: &dimensions[i+1]})
		}
		out, err := client.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
			StartTime: aws.Time(time.Now().Add(-10 * time.Minute).Truncate(time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)),
			MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("q"), MetricStat: &types.MetricStat{Metric: &m, Period: aws.Int32(60), Stat: aws.String("Sum")}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for _, result := range out.MetricDataResults {
			for _, v := range result.Values {
				total += v
			}
		}
		return total
	}
	machine := strings.Replace(run.ExecutionARN[:strings.LastIndexByte(run.ExecutionARN, ':')], ":execution:", ":stateMachine:", 1)
	events := 1.0
	counted := func() error {
		for _, c := range []struct {
			metric     string
			dimensions []string
			want       float64
		}{
			{"Decisions", []string{"Policy", "churn", "Verdict", "run"}, 1},
			{"RunsEnded", []string{"Model", "churn", "Policy", "churn", "Status", string(run.Status)}, 1},
			{"EventsRecorded", []string{"Source", "aws.cloudwatch"}, events},
			{"ExecutionsStarted", []string{"StateMachineArn", machine}, 1},
			{"ExecutionsSucceeded", []string{"StateMachineArn", machine}, 1},
		} {
			if got := sum(c.metric, c.dimensions...); got != c.want {
				return fmt.Errorf("%s %v is %v in CloudWatch; want %v", c.metric, c.dimensions, got, c.want)
			}
		}
		return nil
	}
	eventually(t, 20*time.Second, counted)

	// A restart tells of nothing twice, and of what happened meanwhile.
	p.kill()
	p.start()
	p.awaitReady()
	looked()
	if err := agree(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	p.kill()
	change("churn-latency", types.StateValueOk)
	p.start()
	p.awaitReady()
	want = append([]string{"churn-latency OK"}, want...)
	eventually(t, 20*time.Second, agree)
	events = 2
	eventually(t, 20*time.Second, counted)
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%.2000s", status, out)
	}
}

// How far back a start looks at alarms, by what the journal says.
func TestAlarmsSince(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		name      string
		first, at time.Time
		want      time.Time
	}{
		{"a first start", time.Time{}, time.Time{}, time.Time{}},
		{"an hour before where it was", ago(48 * time.Hour), ago(5 * time.Hour), ago(6 * time.Hour)},
		{"not before the first look", ago(20 * time.Minute), ago(20 * time.Minute), ago(20 * time.Minute)},
		{"not before what is known as told", ago(1000 * time.Hour), ago(900 * time.Hour), ago(14 * 24 * time.Hour)},
	} {
		w := watched{First: c.first, At: c.at}
		if got := w.begin(now); !got.Equal(c.want) {
			t.Errorf("%s: since %s; want %s", c.name, got, c.want)
		}
	}
}
