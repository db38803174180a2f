package cloudwatch

import (
	"context"
	"errors"
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
	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

// A wire answers GetMetricData as CloudWatch does over its Query protocol: the
// datapoints of a metric, newest first, three a page.
//
// Source: the CloudWatch API reference, GetMetricData.
type wire struct {
	mu      sync.Mutex
	points  map[string][]string // guarded by mu; metric to "minutes after noon, value"
	status  map[string]string   // guarded by mu; metric to its status and message
	wrong   string              // guarded by mu; "status code message"
	queries []int               // guarded by mu; of each call, pages aside
	starts  []string            // guarded by mu; of each call
	regions []string            // guarded by mu; of each call
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := r.ParseForm(); err != nil || r.Form.Get("Action") != "GetMetricData" {
		http.Error(out, "want GetMetricData", http.StatusBadRequest)
		return
	}
	n := 0
	metric := func(i int, field string) string {
		return r.Form.Get(fmt.Sprintf("MetricDataQueries.member.%d.%s", i, field))
	}
	for metric(n+1, "Id") != "" {
		n++
	}
	page, _ := strconv.Atoi(r.Form.Get("NextToken"))
	if page == 0 {
		w.queries = append(w.queries, n)
		start, _ := time.Parse(time.RFC3339, r.Form.Get("StartTime"))
		w.starts = append(w.starts, start.Format("15:04:05"))
		w.regions = append(w.regions, strings.Split(r.Header.Get("Authorization"), "/")[2])
	}
	if w.wrong != "" {
		var status int
		var code string
		fmt.Sscan(w.wrong, &status, &code)
		_, message, _ := strings.Cut(w.wrong, code+" ")
		out.WriteHeader(status)
		fmt.Fprintf(out, `<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
		return
	}
	var results strings.Builder
	more := false
	for i := 1; i <= n; i++ {
		name := metric(i, "MetricStat.Metric.MetricName")
		if metric(i, "MetricStat.Metric.Dimensions.member.1.Name") != "Endpoint" || metric(i, "MetricStat.Stat") == "" {
			http.Error(out, "no dimension or no statistic", http.StatusBadRequest)
			return
		}
		all := w.points[name]
		some := all[min(3*page, len(all)):min(3*page+3, len(all))]
		code := "Complete"
		if 3*page+3 < len(all) {
			more, code = true, "PartialData"
		}
		fmt.Fprintf(&results, "<member><Id>%s</Id><Timestamps>", metric(i, "Id"))
		for _, p := range some {
			at, _, _ := strings.Cut(p, " ")
			m, _ := strconv.Atoi(at)
			fmt.Fprintf(&results, "<member>%s</member>", noon.Add(minutes(m)).Format(time.RFC3339))
		}
		results.WriteString("</Timestamps><Values>")
		for _, p := range some {
			_, value, _ := strings.Cut(p, " ")
			fmt.Fprintf(&results, "<member>%s</member>", value)
		}
		message := ""
		if s := w.status[name]; s != "" {
			code, message, _ = strings.Cut(s, " ")
			message = "<Messages><member><Code>" + code + "</Code><Value>" + message + "</Value></member></Messages>"
		}
		fmt.Fprintf(&results, "</Values><StatusCode>%s</StatusCode>%s</member>", code, message)
	}
	next := ""
	if more {
		next = fmt.Sprintf("<NextToken>%d</NextToken>", page+1)
	}
	fmt.Fprintf(out, `<GetMetricDataResponse><GetMetricDataResult><MetricDataResults>%s</MetricDataResults>%s</GetMetricDataResult></GetMetricDataResponse>`, results.String(), next)
}

func newReader(t *testing.T) (*Reader, *wire) {
	w := &wire{points: map[string][]string{}, status: map[string]string{}}
	site := httptest.NewServer(w)
	t.Cleanup(site.Close)
	return New(func(_ context.Context, region string) (aws.Config, error) {
		if region == "mars-1" {
			return aws.Config{}, errors.New("no such region")
		}
		if region == "" {
			region = "eu-central-1"
		}
		return aws.Config{
			Region: region, BaseEndpoint: &site.URL, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		}, nil
	}, slog.New(slog.DiscardHandler)), w
}

func query(metric string, period, back int) Query {
	return Query{Namespace: "N", Metric: metric, Dimensions: map[string]string{"Endpoint": "churn"}, Stat: "p99", Period: minutes(period), Back: minutes(back)}
}

// Many queries are few calls.
func TestCalls(t *testing.T) {
	r, w := newReader(t)
	var queries []Query
	for n := range 1200 {
		queries = append(queries, query(fmt.Sprint("m", n), 5, 65))
	}
	r.Read(t.Context(), queries, noon)
	slices.Sort(w.queries)
	if want := []int{200, 500, 500}; !slices.Equal(w.queries, want) {
		t.Errorf("calls of %v queries; want %v", w.queries, want)
	}

	// Periods that fit share a call, which begins where all of theirs do.
	r, w = newReader(t)
	r.Read(t.Context(), []Query{query("a", 60, 180), query("b", 1, 10), query("c", 5, 125), query("d", 7, 30)}, noon.Add(minutes(17)))
	if got, want := fmt.Sprint(w.queries, w.starts), "[3 1] [09:00:00 11:45:00]"; got != want {
		t.Errorf("calls %s; want %s", got, want)
	}

	r, w = newReader(t)
	elsewhere, nowhere := query("a", 5, 65), query("a", 5, 65)
	elsewhere.Region, nowhere.Region = "us-east-1", "mars-1"
	w.points["a"] = []string{"-5 1"}
	got := r.Read(t.Context(), []Query{nowhere, query("a", 5, 65), elsewhere}, noon)
	slices.Sort(w.regions)
	if want := []string{"eu-central-1", "us-east-1"}; !slices.Equal(w.regions, want) {
		t.Errorf("regions %v; want %v", w.regions, want)
	}
	if got[0].Err == nil || len(got[1].Points) != 1 || len(got[2].Points) != 1 {
		t.Errorf("got %+v; want an error and a point each", got)
	}
	if got, want := r.Condition(), "no such region"; got != want {
		t.Errorf("condition %q; want %q", got, want)
	}
}

// What comes of what CloudWatch answers: the newest datapoint that is whole at
// noon, or what is wrong.
func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, wrong, status string
		points              []string
		want                string
	}{
		{name: "the newest", points: []string{"-5 2.5", "-10 1"}, want: "11:55 2.5"},
		{name: "one whose period is not over is not whole", points: []string{"0 9", "-4 7", "-10 1"}, want: "11:50 1"},
		{name: "in no order", points: []string{"-30 3", "-10 1", "-20 2"}, want: "11:50 1"},
		{name: "pages", points: []string{"3 9", "2 9", "1 9", "0 9", "-1 9", "-10 1", "-15 2"}, want: "11:50 1"},
		{name: "none", want: "none"},
		{name: "not a number", points: []string{"-5 NaN", "-10 1"}, want: "11:50 1"},
		{name: "forbidden", status: "Forbidden not yours", want: "GetMetricData: Forbidden: not yours"},
		{name: "theirs to mend", status: "InternalError again, please", points: []string{"-5 1"}, want: "GetMetricData: InternalError: again, please"},
		{name: "throttled", wrong: "400 Throttling Rate exceeded", want: "Throttling: AWS asks for fewer requests: they are made fewer"},
		{name: "denied", wrong: "403 AccessDenied no", want: "AccessDenied: grant the role cloudwatch:GetMetricData on *, which GetMetricData cannot do without"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w := newReader(t)
			w.wrong, w.points["m"], w.status["m"] = c.wrong, c.points, c.status
			readings := r.Read(t.Context(), []Query{query("m", 5, 65)}, noon)
			got := "none"
			if p, ok := readings[0].At(noon, minutes(5)); ok {
				got = fmt.Sprintf("%s %v", p.Begins.Format("15:04"), p.Value)
			} else if readings[0].Err != nil {
				got = readings[0].Err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if wrong := r.Condition(); (wrong != "") != (c.wrong != "") {
				t.Errorf("condition %q", wrong)
			}
		})
	}
}

// A server that does not answer costs no more than the context allows.
func TestSilent(t *testing.T) {
	r, w := newReader(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	readings := r.Read(ctx, []Query{query("m", 5, 65)}, noon)
	if want := "GetMetricData: no answer in time: check the network, proxy and endpoint of CloudWatch in eu-central-1"; readings[0].Err == nil || readings[0].Err.Error() != want {
		t.Errorf("got %v; want %s", readings[0].Err, want)
	}
}
