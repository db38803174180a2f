package cloudwatch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
)

const (
	atOnce = 100 // alarms a call, and records a page: CloudWatch's most
	// historyLag is how long an alarm's history may lack a change that the alarm
	// itself shows already.
	historyLag = 15 * time.Minute
	// overlap is how far before its first look an alarm that is new to us may
	// have changed: clocks differ.
	overlap = 5 * time.Minute

	shortestWait = 250 * time.Millisecond // after a refusal of the sink; then twice as long each time
	longestWait  = 30 * time.Second
)

var bothTypes = []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}

// known is what was told of an alarm.
type known struct {
	// upTo is the change up to which all are told, by the alarm's history.
	upTo time.Time
	// shown is the change after that which was told without its history.
	shown time.Time
}

// look asks for the alarms once and tells of what has changed.
func (s *Source) look(ctx context.Context, sink triggers.Sink) {
	began := time.Now()
	alarms, err := s.describe(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		s.follow(ctx, sink, alarms, began)
	}
}

// follow tells of what has changed in alarms, as they were found at some time.
func (s *Source) follow(ctx context.Context, sink triggers.Sink, alarms []alarm, at time.Time) {
	var all []change
	first := s.since.IsZero()
	next := make(map[string]*known, len(alarms))
	history := true // is given
	for _, a := range alarms {
		k := s.alarms[a.arn]
		switch {
		case k != nil:
		case first:
			k = &known{upTo: a.changed}
		default:
			k = &known{upTo: s.since}
		}
		k = &known{upTo: k.upTo, shown: k.shown} // until it is durable
		next[a.arn] = k
		if !a.changed.After(k.upTo) {
			continue
		}
		var changes []change
		if history {
			changes, history = s.history(ctx, a, k.upTo)
		}
		if ctx.Err() != nil {
			return
		}
		newest := a.current()
		switch i := slices.IndexFunc(changes, newest.same); {
		case i >= 0:
			k.upTo, k.shown = changes[len(changes)-1].at, time.Time{}
		case at.Sub(a.changed) > historyLag && history:
			changes = append(changes, newest)
			k.upTo, k.shown = a.changed, time.Time{}
		case !a.changed.Equal(k.shown):
			changes = append(changes, newest)
			k.shown = a.changed
		}
		all = append(all, changes...)
	}
	slices.SortStableFunc(all, func(a, b change) int { return a.at.Compare(b.at) })
	for _, c := range all {
		if !s.ingest(ctx, sink, c.event(time.Now())) {
			return
		}
	}
	// What was known of alarms that are gone goes with them.
	s.alarms = next
	if !s.watching {
		s.watching = true
		s.log.Info("watching alarms", "alarms", len(alarms), "told", len(all))
	}
	if !first && !history {
		return
	}
	s.since = at.Add(-overlap)
	if s.cfg.Looked != nil {
		s.cfg.Looked(ctx, at)
	}
}

// describe is the alarms as they are now, each once.
func (s *Source) describe(ctx context.Context) ([]alarm, error) {
	var ask []api.DescribeAlarmsInput
	var names []string
	for _, name := range s.cfg.Alarms {
		if prefix, ok := strings.CutSuffix(name, "*"); !ok {
			names = append(names, name)
		} else if prefix == "" { // all
			ask = append(ask, api.DescribeAlarmsInput{})
		} else {
			ask = append(ask, api.DescribeAlarmsInput{AlarmNamePrefix: &prefix})
		}
	}
	for some := range slices.Chunk(names, atOnce) {
		ask = append(ask, api.DescribeAlarmsInput{AlarmNames: some})
	}
	var all []alarm
	seen := map[string]bool{}
	add := func(a alarm) {
		if a.arn != "" && !a.changed.IsZero() && !seen[a.arn] {
			seen[a.arn] = true
			all = append(all, a)
		}
	}
	for _, in := range ask {
		in.AlarmTypes, in.MaxRecords = bothTypes, aws.Int32(atOnce)
		for pages := api.NewDescribeAlarmsPaginator(s.client, &in); pages.HasMorePages(); {
			began := time.Now()
			call, cancel := context.WithTimeout(ctx, callTime)
			page, err := pages.NextPage(call)
			cancel()
			s.condition.Note(ctx, "DescribeAlarms", began, err)
			if err != nil {
				return nil, err
			}
			for _, a := range page.MetricAlarms {
				add(ofMetrics(a))
			}
			for _, a := range page.CompositeAlarms {
				add(ofAlarms(a))
			}
		}
	}
	return all, nil
}

// history is what an alarm went through after some time, in order; ok is false
// where it is not given.
func (s *Source) history(ctx context.Context, a alarm, after time.Time) (changes []change, ok bool) {
	pages := api.NewDescribeAlarmHistoryPaginator(s.client, &api.DescribeAlarmHistoryInput{
		AlarmName: &a.detail.AlarmName, AlarmTypes: bothTypes, HistoryItemType: types.HistoryItemTypeStateUpdate,
		StartDate: &after, ScanBy: types.ScanByTimestampAscending, MaxRecords: aws.Int32(atOnce),
	})
	for pages.HasMorePages() {
		began := time.Now()
		call, cancel := context.WithTimeout(ctx, callTime)
		page, err := pages.NextPage(call)
		cancel()
		s.condition.Note(ctx, "DescribeAlarmHistory", began, err)
		if err != nil {
			return nil, false
		}
		for _, item := range page.AlarmHistoryItems {
			c, err := a.was(item)
			switch {
			case err != nil:
				s.log.Warn("history of an alarm cannot be read, its change is told without", "alarm", a.detail.AlarmName, "err", err)
			case c.at.After(after):
				changes = append(changes, c)
			}
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	return changes, true
}

// ingest returns when the event is durable, and false when ctx has ended first.
func (s *Source) ingest(ctx context.Context, sink triggers.Sink, event anneal.Event) bool {
	told := ""
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		_, duplicate, err := sink.Ingest(ctx, event)
		if err == nil {
			s.log.Debug("alarm has changed", "event", event.ID, "alarm", event.Subject, "duplicate", duplicate)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if told != err.Error() {
			told = err.Error()
			s.log.Warn("event is not taken, trying again", "event", event.ID, "err", err)
		}
		s.sleep(ctx, wait)
	}
}
