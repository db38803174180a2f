package cloudwatch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/envelope"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// start is before every change in these tests. They are of late: the history of
// an alarm is not waited for for ever.
var start = time.Now().UTC().Truncate(time.Millisecond).Add(-10 * time.Minute)

func minute(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }

func newSource(t *testing.T, w *wire, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg, account(w.url), quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.since, s.alarms = cfg.Since, map[string]*known{}
	return s
}

// A world is alarms on the wire; what happens is that a new one goes off.
type world struct{ *wire }

func (w world) Source(t *testing.T) triggers.Source {
	s, err := New(Config{Alarms: []string{"churn-*"}, Interval: time.Second, Since: start}, account(w.url), quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Interval = 10 * time.Millisecond
	return s
}

func (w world) Happen(t *testing.T, n int) string {
	name := fmt.Sprintf("churn-%d", n)
	w.change(name, "ALARM", time.Now())
	return arn(name)
}

func TestContract(t *testing.T) {
	triggertest.Test(t, func(t *testing.T) triggertest.World { return world{newWire(t)} })
}

// What each look tells of. A step is what happens before it.
func TestLooks(t *testing.T) {
	type step struct {
		happens func(*wire)
		want    []string // alarm, state, minute
	}
	change := func(name, value string, at int) func(*wire) {
		return func(w *wire) { w.change(name, value, minute(at)) }
	}
	all := func(steps ...func(*wire)) func(*wire) {
		return func(w *wire) {
			for _, s := range steps {
				s(w)
			}
		}
	}
	nothing := func(*wire) {}
	for _, c := range []struct {
		name  string
		since time.Time
		steps []step
	}{
		{"a first start takes alarms as they are", time.Time{}, []step{
			{change("a", "ALARM", 1), nil},
			{change("a", "OK", 2), []string{"a OK 2"}},
			{nothing, nil},
		}},
		{"a restart looks back", minute(2), []step{
			{all(change("a", "ALARM", 1), change("a", "OK", 3), change("b", "ALARM", 1)), []string{"a OK 3"}},
		}},
		{"changes between two looks are told in their order", minute(0), []step{
			{all(change("a", "OK", 1), change("b", "OK", 1)), []string{"a OK 1", "b OK 1"}},
			{all(change("a", "ALARM", 3), change("b", "ALARM", 4), change("a", "OK", 5), change("a", "ALARM", 6)),
				[]string{"a ALARM 3", "b ALARM 4", "a OK 5", "a ALARM 6"}},
		}},
		{"back to what it was, between two looks", minute(0), []step{
			{change("a", "OK", 1), []string{"a OK 1"}},
			{all(change("a", "ALARM", 2), change("a", "OK", 3)), []string{"a ALARM 2", "a OK 3"}},
		}},
		{"the history lags", minute(0), []step{
			{all(change("a", "ALARM", 1), change("a", "OK", 2), change("a", "ALARM", 3), func(w *wire) { w.hidden = 2 }), []string{"a ALARM 1", "a ALARM 3"}},
			{func(w *wire) { w.hidden = 0 }, []string{"a OK 2"}},
			{nothing, nil},
		}},
		{"the history is not given, and then it is", minute(0), []step{
			{all(change("a", "ALARM", 1), change("a", "OK", 2), func(w *wire) { w.wrong["DescribeAlarmHistory"] = "403 AccessDenied no" }), []string{"a OK 2"}},
			{nothing, nil},
			{change("a", "ALARM", 3), []string{"a ALARM 3"}},
			{func(w *wire) { delete(w.wrong, "DescribeAlarmHistory") }, []string{"a ALARM 1"}},
		}},
		{"a throttled look is made up for", minute(0), []step{
			{all(change("a", "ALARM", 1), func(w *wire) { w.wrong["DescribeAlarms"] = "400 Throttling Rate exceeded" }), nil},
			{func(w *wire) { delete(w.wrong, "DescribeAlarms") }, []string{"a ALARM 1"}},
		}},
		{"an alarm that is made later, and one that goes", time.Time{}, []step{
			{change("a", "OK", 1), nil},
			{change("b", "ALARM", 9), []string{"b ALARM 9"}},
			{func(w *wire) { w.alarms = nil }, nil},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t)
			s := newSource(t, w, Config{Alarms: []string{"*"}, Since: c.since})
			sink, told := triggertest.NewSink(), 0
			for i, step := range c.steps {
				step.happens(w)
				s.look(t.Context(), sink)
				var got []string
				for _, e := range sink.Events()[told:] {
					name, at := e.Subject[strings.LastIndexByte(e.Subject, ':')+1:], fmt.Sprint(int(e.Time.Sub(start)/time.Minute))
					detail := string(e.Data)
					value, _, _ := strings.Cut(detail[strings.Index(detail, `"value":"`)+len(`"value":"`):], `"`)
					got = append(got, name+" "+value+" "+at)
				}
				told += len(got)
				if diff := cmp.Diff(step.want, got); diff != "" {
					t.Errorf("look %d (-want +got):\n%s", i+1, diff)
				}
			}
		})
	}
}

// Alarms are asked for a hundred at a time and by pages, and each once.
func TestWhichAlarms(t *testing.T) {
	w := newWire(t)
	names := []string{"churn-1", "churn-2", "fraud*"}
	for n := range 230 {
		names = append(names, fmt.Sprintf("x-%d", n))
	}
	for _, name := range []string{"churn-1", "churn-2", "churn-3", "fraud-1", "fraud-2", "fraud-3", "x-7", "x-229"} {
		w.change(name, "OK", minute(1))
	}
	s := newSource(t, w, Config{Alarms: append(names, "fraud-1")})
	alarms, err := s.describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range alarms {
		got = append(got, a.detail.AlarmName)
	}
	want := []string{"fraud-1", "fraud-2", "fraud-3", "churn-1", "churn-2", "x-7", "x-229"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alarms (-want +got):\n%s", diff)
	}
	if got, want := w.times("DescribeAlarms"), 2+2+1+1; got != want {
		t.Errorf("%d calls; want %d", got, want)
	}
}

// One change is one event: told by EventBridge, by SNS, by the alarm's history
// and by the alarm.
func TestOneChangeOneEvent(t *testing.T) {
	at := minute(1)
	w := newWire(t)
	w.change("churn", "OK", minute(0))
	w.change("churn", "ALARM", at)
	ids := map[string]string{}
	for way, wrong := range map[string]string{"history": "", "alarm": "403 AccessDenied no"} {
		w.set(func() { w.wrong["DescribeAlarmHistory"] = wrong })
		s, sink := newSource(t, w, Config{Alarms: []string{"churn"}, Since: minute(0)}), triggertest.NewSink()
		s.look(t.Context(), sink)
		ids[way] = sink.Wait(t, arn("churn")).ID
	}
	for way, body := range map[string]string{
		"EventBridge": fmt.Sprintf(`{"version":"0","id":"c4c1c1c9-6542-e61b-6ef0-8c4d36933a92","detail-type":"CloudWatch Alarm State Change","source":"aws.cloudwatch","account":"123456789012","time":%q,"region":"eu-central-1","resources":[%q],"detail":{"alarmName":"churn","state":{"value":"ALARM","timestamp":%q}}}`,
			at.Format("2006-01-02T15:04:05Z"), arn("churn"), at.Format(stamp)),
		"SNS": fmt.Sprintf(`{"AlarmName":"churn","AlarmArn":%q,"NewStateValue":"ALARM","OldStateValue":"OK","NewStateReason":"r","StateChangeTime":%q,"AWSAccountId":"123456789012"}`, arn("churn"), at.Format(stamp)),
	} {
		events, err := envelope.Decode([]byte(body), time.Now())
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %d events, %v", way, len(events), err)
		}
		ids[way] = events[0].ID
	}
	for way, id := range ids {
		if id != ids["history"] {
			t.Errorf("by %s it is %s, by the history %s", way, id, ids["history"])
		}
	}
}

// The data are those of EventBridge.
func TestData(t *testing.T) {
	at := time.Date(2026, 11, 25, 8, 0, 0, 123e6, time.UTC)
	w := newWire(t)
	w.change("churn", "OK", at)
	w.change("churn", "ALARM", at.Add(time.Minute))
	w.change("all", "OK", at)
	w.change("all", "ALARM", at.Add(2*time.Minute))
	w.alarms[1].rule = "ALARM(churn)"
	s, sink := newSource(t, w, Config{Alarms: []string{"*"}, Since: at}), triggertest.NewSink()
	s.look(t.Context(), sink)
	for name, want := range map[string]string{
		"churn": `{"alarmName":"churn","state":{"value":"ALARM","reason":"came to ALARM","timestamp":"2026-11-25T08:01:00.123+0000","reasonData":"{\"n\":1}"},"previousState":{"value":"OK","reason":"came to OK"},"configuration":{"description":"of tests","metrics":[{"metricStat":{"metric":{"namespace":"Churn","name":"AUC","dimensions":{"Endpoint":"churn"}},"period":300,"stat":"Average"},"returnData":true}]}}`,
		"all":   `{"alarmName":"all","state":{"value":"ALARM","reason":"came to ALARM","timestamp":"2026-11-25T08:02:00.123+0000","reasonData":"{\"n\":1}"},"previousState":{"value":"OK","reason":"came to OK"},"configuration":{"description":"of tests","alarmRule":"ALARM(churn)"}}`,
	} {
		e := sink.Wait(t, arn(name))
		triggertest.Check(t, e)
		if got := string(e.Data); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// What AWS refuses is told once with a remedy, and is over when it is over.
func TestCondition(t *testing.T) {
	w := newWire(t)
	w.change("churn", "OK", minute(0))
	w.wrong["DescribeAlarms"] = "403 AccessDenied User is not authorized"
	var log bytes.Buffer
	s := newSource(t, w, Config{Alarms: []string{"churn"}, Since: start.Add(-time.Hour)})
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := New(s.cfg, account(w.url), s.log)
	if err != nil {
		t.Fatal(err)
	}
	sink := triggertest.NewSink()
	for range 3 {
		s.look(t.Context(), sink)
	}
	if got, want := s.Condition(), "AccessDenied: grant the role cloudwatch:DescribeAlarms on the alarms churn"; got != want {
		t.Errorf("condition %q; want %q", got, want)
	}
	w.set(func() { clear(w.wrong) })
	s.alarms = map[string]*known{}
	s.look(t.Context(), sink)
	if got := s.Condition(); got != "" {
		t.Errorf("condition %q; want none", got)
	}
	if n := strings.Count(log.String(), "level=WARN") + strings.Count(log.String(), "works again"); n != 2 {
		t.Errorf("%d lines of log; want 2:\n%s", n, &log)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, `alarms: want names of alarms or prefixes such as "churn-*"`},
		{Config{Alarms: []string{"a*b"}}, `alarms: "a*b" is neither an alarm's name nor a prefix such as "churn-*"`},
		{Config{Alarms: []string{"a"}, Interval: time.Millisecond}, "interval: 1ms; want 1s to 24h"},
		{Config{Alarms: make([]string, 1001)}, "alarms: 1001 names; want at most 1000: use prefixes"},
	} {
		if err := c.cfg.WithDefaults().Validate(); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v; want %s", c.cfg, err, c.want)
		}
	}
	with := account("")
	with.Region = ""
	if _, err := New(Config{Alarms: []string{"a"}}, with, quiet); err == nil {
		t.Error("no region is accepted")
	}
}

// A stop ends a look that waits for an answer.
func TestStop(t *testing.T) {
	w := newWire(t)
	s := newSource(t, w, Config{Alarms: []string{"a"}})
	w.mu.Lock() // nothing is answered
	defer w.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Run(ctx, triggertest.NewSink()); err != nil || time.Since(began) > callTime/2 {
		t.Errorf("stopped after %s with %v", time.Since(began), err)
	}
}
