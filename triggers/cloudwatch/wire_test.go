package cloudwatch

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

var quiet = slog.New(slog.DiscardHandler)

// account is how tests sign; a server of ours does not look.
func account(endpoint string) aws.Config {
	return aws.Config{
		Region: "eu-central-1", BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}

// A wire answers for alarms as CloudWatch does over its Query protocol, two
// alarms and two records a page.
//
// Source: the CloudWatch API reference, DescribeAlarms and DescribeAlarmHistory.
type wire struct {
	url string

	mu     sync.Mutex
	alarms []*wired          // guarded by mu
	wrong  map[string]string // guarded by mu; action to "status code message"
	hidden int               // guarded by mu; newest records of each history that are not given yet
	asked  map[string]int    // guarded by mu; how often, by action
}

type wired struct {
	name, rule string
	history    []record // the last one is what it is in
}

type record struct {
	at    time.Time
	value string
}

func newWire(t *testing.T) *wire {
	w := &wire{wrong: map[string]string{}, asked: map[string]int{}}
	site := httptest.NewServer(w)
	t.Cleanup(site.Close)
	w.url = site.URL
	return w
}

func arn(name string) string { return "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:" + name }

// change has an alarm change, and makes it where it is new.
func (w *wire) change(name, value string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.alarms, func(a *wired) bool { return a.name == name })
	if i < 0 {
		i = len(w.alarms)
		w.alarms = append(w.alarms, &wired{name: name, history: []record{{at.Add(-time.Hour), "INSUFFICIENT_DATA"}}})
	}
	w.alarms[i].history = append(w.alarms[i].history, record{at, value})
}

func (w *wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *wire) times(action string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[action]
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	action := r.Form.Get("Action")
	w.asked[action]++
	if wrong := w.wrong[action]; wrong != "" {
		var status int
		var code string
		fmt.Sscan(wrong, &status, &code)
		_, message, _ := strings.Cut(wrong, code+" ")
		out.WriteHeader(status)
		fmt.Fprintf(out, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%d</RequestId></ErrorResponse>`, code, message, w.asked[action])
		return
	}
	from, _ := strconv.Atoi(r.Form.Get("NextToken"))
	next := func(n int) string {
		if from+2 < n {
			return fmt.Sprintf("<NextToken>%d</NextToken>", from+2)
		}
		return ""
	}
	switch action {
	case "DescribeAlarms":
		if r.Form.Get("AlarmTypes.member.2") != "CompositeAlarm" {
			http.Error(out, "composite alarms are not asked for", http.StatusBadRequest)
			return
		}
		var found []*wired
		for _, a := range w.alarms {
			named := r.Form.Get("AlarmNames.member.1") == "" && strings.HasPrefix(a.name, r.Form.Get("AlarmNamePrefix"))
			for i := 1; r.Form.Get(fmt.Sprintf("AlarmNames.member.%d", i)) != ""; i++ {
				named = named || r.Form.Get(fmt.Sprintf("AlarmNames.member.%d", i)) == a.name
			}
			if named {
				found = append(found, a)
			}
		}
		var metric, composite string
		for _, a := range found[from:min(from+2, len(found))] {
			is := a.history[len(a.history)-1]
			both := fmt.Sprintf(`<AlarmName>%s</AlarmName><AlarmArn>%s</AlarmArn><AlarmDescription>of tests</AlarmDescription><StateValue>%s</StateValue><StateReason>came to %s</StateReason><StateReasonData>{"n":1}</StateReasonData><StateUpdatedTimestamp>%s</StateUpdatedTimestamp><StateTransitionedTimestamp>%s</StateTransitionedTimestamp>`,
				a.name, arn(a.name), is.value, is.value, stamped(is.at.Add(time.Minute)), stamped(is.at))
			if a.rule != "" {
				composite += fmt.Sprintf(`<member>%s<AlarmRule>%s</AlarmRule></member>`, both, a.rule)
			} else {
				metric += fmt.Sprintf(`<member>%s<Namespace>Churn</Namespace><MetricName>AUC</MetricName><Statistic>Average</Statistic><Period>300</Period><Dimensions><member><Name>Endpoint</Name><Value>churn</Value></member></Dimensions></member>`, both)
			}
		}
		fmt.Fprintf(out, `<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms>%s</MetricAlarms><CompositeAlarms>%s</CompositeAlarms>%s</DescribeAlarmsResult></DescribeAlarmsResponse>`, metric, composite, next(len(found)))
	case "DescribeAlarmHistory":
		start, err := time.Parse(time.RFC3339Nano, r.Form.Get("StartDate"))
		if err != nil || r.Form.Get("ScanBy") != "TimestampAscending" || r.Form.Get("HistoryItemType") != "StateUpdate" {
			http.Error(out, "want the changes from a date on, in order", http.StatusBadRequest)
			return
		}
		var found []string
		for _, a := range w.alarms {
			if a.name != r.Form.Get("AlarmName") {
				continue
			}
			for i, is := range a.history[:len(a.history)-w.hidden] {
				if i == 0 || is.at.Before(start.Truncate(time.Second)) {
					continue
				}
				data, _ := json.Marshal(map[string]any{
					"version":  "1.0",
					"oldState": map[string]any{"stateValue": a.history[i-1].value, "stateReason": "came to " + a.history[i-1].value},
					"newState": map[string]any{"stateValue": is.value, "stateReason": "came to " + is.value, "stateReasonData": map[string]int{"n": 1}},
				})
				var text strings.Builder
				xml.EscapeText(&text, data)
				found = append(found, fmt.Sprintf(`<member><AlarmName>%s</AlarmName><HistoryItemType>StateUpdate</HistoryItemType><Timestamp>%s</Timestamp><HistoryData>%s</HistoryData></member>`, a.name, stamped(is.at), text.String()))
			}
		}
		some := found[min(from, len(found)):min(from+2, len(found))]
		fmt.Fprintf(out, `<DescribeAlarmHistoryResponse><DescribeAlarmHistoryResult><AlarmHistoryItems>%s</AlarmHistoryItems>%s</DescribeAlarmHistoryResult></DescribeAlarmHistoryResponse>`, strings.Join(some, ""), next(len(found)))
	default:
		http.Error(out, cmp.Or(action, "no action"), http.StatusBadRequest)
	}
}

// stamped is a time as CloudWatch writes it, to the millisecond.
func stamped(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
