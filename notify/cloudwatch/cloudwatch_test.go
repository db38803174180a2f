package cloudwatch

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
)

// A wire takes metrics as CloudWatch does over its Query protocol.
//
// Source: the CloudWatch API reference, PutMetricData and MetricDatum.
type wire struct {
	mu    sync.Mutex
	wrong string     // guarded by mu; "status code message"
	calls [][]string // guarded by mu; the metrics of each that was taken
	sizes []int      // guarded by mu; bytes of each, as CloudWatch counts them
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	text, _ := io.ReadAll(body)
	form, err := url.ParseQuery(string(text))
	if err != nil || form.Get("Action") != "PutMetricData" || form.Get("Namespace") != "anneal" {
		http.Error(out, "want PutMetricData for anneal", http.StatusBadRequest)
		return
	}
	if w.wrong != "" {
		var status int
		var code string
		fmt.Sscan(w.wrong, &status, &code)
		out.WriteHeader(status)
		fmt.Fprintf(out, `<ErrorResponse><Error><Code>%s</Code><Message>m</Message></Error></ErrorResponse>`, code)
		return
	}
	var metrics []string
	for i := 1; form.Get(fmt.Sprintf("MetricData.member.%d.MetricName", i)) != ""; i++ {
		at := func(field string) string { return form.Get(fmt.Sprintf("MetricData.member.%d.%s", i, field)) }
		said := at("MetricName")
		for n := 1; at(fmt.Sprintf("Dimensions.member.%d.Name", n)) != ""; n++ {
			said += " " + at(fmt.Sprintf("Dimensions.member.%d.Name", n)) + "=" + at(fmt.Sprintf("Dimensions.member.%d.Value", n))
		}
		switch {
		case at("Value") != "":
			said += " " + at("Value")
		case at("StatisticValues.SampleCount") != "":
			said += fmt.Sprintf(" n=%s sum=%s %s..%s", at("StatisticValues.SampleCount"), at("StatisticValues.Sum"), at("StatisticValues.Minimum"), at("StatisticValues.Maximum"))
		default:
			for n := 1; at(fmt.Sprintf("Values.member.%d", n)) != ""; n++ {
				said += fmt.Sprintf(" %sx%s", at(fmt.Sprintf("Counts.member.%d", n)), at(fmt.Sprintf("Values.member.%d", n)))
			}
		}
		metrics = append(metrics, said+" "+at("Unit"))
	}
	w.calls, w.sizes = append(w.calls, metrics), append(w.sizes, len(text))
	fmt.Fprint(out, `<PutMetricDataResponse></PutMetricDataResponse>`)
}

// taken is what was taken since it was last asked for.
func (w *wire) taken() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		all = append(all, c...)
	}
	w.calls = nil
	slices.Sort(all)
	return all
}

func (w *wire) set(wrong string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = wrong
}

func newPublisher(t *testing.T, gather func() []Sample) (*Publisher, *wire) {
	w := &wire{}
	site := httptest.NewServer(w)
	t.Cleanup(site.Close)
	p, err := New(Config{}, aws.Config{
		Region: "eu-central-1", BaseEndpoint: &site.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, gather, &Times{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p, w
}

// What is sent: growth of counters, gauges as they are, and each time once, also
// over calls that fail.
func TestPublish(t *testing.T) {
	runs, open := 0.0, 0.0
	p, w := newPublisher(t, func() []Sample {
		return []Sample{
			{Name: "RunsEnded", Unit: Count, Dimensions: map[string]string{"Policy": "churn", "Model": "", "Status": "FAILED"}, Value: runs, Counter: true},
			{Name: "RunsOpen", Unit: Count, Value: open},
		}
	})
	machine := map[string]string{"StateMachineArn": "arn:a"}
	for _, step := range []struct {
		name  string
		does  func()
		wrong string
		want  []string
	}{
		{"at first", func() {}, "", []string{"RunsOpen 0 Count"}},
		{"counted", func() { runs, open = 2, 1 }, "", []string{"RunsEnded Policy=churn Status=FAILED 2 Count", "RunsOpen 1 Count"}},
		{"nothing new", func() {}, "", []string{"RunsOpen 1 Count"}},
		{"AWS is lost", func() { runs = 3; p.times.Add("ExecutionTime", machine, 1500*time.Millisecond) }, "500 InternalServiceFault", nil},
		{"and still", func() { runs = 5; p.times.Add("ExecutionTime", machine, 1500*time.Millisecond) }, "400 Throttling", nil},
		{"made up for", func() { p.times.Add("ExecutionTime", machine, 20*time.Millisecond) }, "",
			[]string{"ExecutionTime StateMachineArn=arn:a 1x20 2x1500 Milliseconds", "RunsEnded Policy=churn Status=FAILED 3 Count", "RunsOpen 1 Count"}},
		{"not again", func() {}, "", []string{"RunsOpen 1 Count"}},
	} {
		step.does()
		w.set(step.wrong)
		p.publish(t.Context())
		if diff := cmp.Diff(step.want, w.taken()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if wrong := p.Condition(); (wrong != "") != (step.wrong != "") {
			t.Errorf("%s: condition %q", step.name, wrong)
		}
	}
}

// A call has 1000 metrics and 1 MB at most, whatever there is to say.
func TestCalls(t *testing.T) {
	long := strings.Repeat("ä", 3000) // cut to 1024
	for _, c := range []struct {
		metrics int
		value   string
		calls   int
	}{{2300, "x", 3}, {900, long, 5}} {
		p, w := newPublisher(t, func() []Sample {
			all := make([]Sample, c.metrics)
			for i := range all {
				all[i] = Sample{Name: fmt.Sprint("m", i), Unit: None, Dimensions: map[string]string{"Long": c.value}, Value: 1}
			}
			return all
		})
		p.publish(t.Context())
		if len(w.calls) != c.calls {
			t.Errorf("%d metrics took %d calls; want %d", c.metrics, len(w.calls), c.calls)
		}
		for i, size := range w.sizes {
			if size > 1<<20 || len(w.calls[i]) > 1000 {
				t.Errorf("a call of %d metrics and %d bytes", len(w.calls[i]), size)
			}
		}
		if n := len(w.taken()); n != c.metrics {
			t.Errorf("%d metrics were sent; want %d", n, c.metrics)
		}
	}
}

// Times are bounded, and their number and sum are right all the same.
func TestTimes(t *testing.T) {
	p, w := newPublisher(t, func() []Sample { return nil })
	w.set("500 InternalServiceFault")
	for i := range 1000 {
		p.times.Add("ExecutionTime", map[string]string{"StateMachineArn": "a"}, time.Duration(i%500)*time.Millisecond)
		p.times.Add("ExecutionTime", map[string]string{"StateMachineArn": fmt.Sprint(i)}, time.Second)
		if i%100 == 0 {
			p.publish(t.Context())
		}
	}
	if n := len(p.times.by); n != mostSeries {
		t.Errorf("%d series are kept; want %d", n, mostSeries)
	}
	w.set("")
	p.publish(t.Context())
	var got []string
	for _, said := range w.taken() {
		if rest, ok := strings.CutPrefix(said, "ExecutionTime StateMachineArn=a "); ok {
			if n := strings.Count(rest, "2x"); n > 0 {
				rest = fmt.Sprint(n, " values, twice each")
			}
			got = append(got, rest)
		}
	}
	want := []string{"150 values, twice each", "n=700 sum=227150 150..499 Milliseconds"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The last is sent when it stops.
func TestStop(t *testing.T) {
	p, w := newPublisher(t, func() []Sample { return []Sample{{Name: "Ready", Unit: None, Value: 1}} })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.taken(); len(got) != 1 {
		t.Errorf("sent %v; want one metric", got)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Namespace: "AWS/States"}, "namespace: AWS/States: names that begin with AWS/ are AWS's own; want another, such as anneal"},
		{Config{Namespace: "a b"}, `namespace: "a b"; want letters, digits, . - _ / # and :, 255 at most`},
		{Config{Interval: time.Millisecond}, "interval: 1ms; want 1s to 24h"},
	} {
		if err := c.cfg.WithDefaults().Validate(); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v; want %s", c.cfg, err, c.want)
		}
	}
}
