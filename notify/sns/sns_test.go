package sns

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/notify/notifytest"
)

const topic = "arn:aws:sns:us-east-1:123456789012:ml"

// A wire answers as SNS does over its query protocol, from what it is told.
//
// Source: the SNS API reference, Publish.
type wire struct {
	mu    sync.Mutex
	wrong string       // guarded by mu; "status code message"
	took  []url.Values // guarded by mu
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := r.ParseForm()
	out.Header().Set("Content-Type", "text/xml")
	wrong := w.wrong
	switch {
	case err != nil || r.PostForm.Get("Action") != "Publish":
		wrong = fmt.Sprintf("400 InvalidAction %q, %v", r.PostForm.Get("Action"), err)
	case len(r.PostForm.Get("Message")) > 256<<10:
		wrong = "400 InvalidParameter Invalid parameter: Message too long"
	}
	if wrong != "" {
		var status int
		var code string
		fmt.Sscan(wrong, &status, &code)
		_, message, _ := strings.Cut(wrong, code+" ")
		out.WriteHeader(status)
		fmt.Fprintf(out, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`, code, message)
		return
	}
	w.took = append(w.took, r.PostForm)
	fmt.Fprint(out, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m</MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>`)
}

// forms are what each kind of subscription gets of a message.
func forms(t *testing.T, v url.Values) (event notify.Event, mail, sms string) {
	t.Helper()
	all := map[string]string{}
	if err := json.Unmarshal([]byte(v.Get("Message")), &all); err != nil || v.Get("MessageStructure") != "json" {
		t.Fatalf("the message is of the structure %q: %v", v.Get("MessageStructure"), err)
	}
	if err := json.Unmarshal([]byte(all["default"]), &event); err != nil {
		t.Fatalf("the message is not an event: %v", err)
	}
	return event, all["email"], all["sms"]
}

func newChannel(t *testing.T, topic string) (*wire, *Channel) {
	t.Helper()
	w := &wire{}
	site := httptest.NewServer(w)
	t.Cleanup(site.Close)
	return w, to(t, site.URL, topic)
}

func to(t *testing.T, endpoint, topic string) *Channel {
	t.Helper()
	c, err := New(Config{Topic: topic}, aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type recipient struct {
	*wire
	channel *Channel
}

func (r recipient) Channel() notify.Channel { return r.channel }

func (r recipient) Told(t *testing.T) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []string
	for _, v := range r.took {
		event, _, _ := forms(t, v)
		told = append(told, event.Subject+"\n"+event.Text)
	}
	return told
}

func TestContract(t *testing.T) {
	notifytest.Test(t, func(t *testing.T) notifytest.Recipient {
		w, c := newChannel(t, topic)
		return recipient{w, c}
	})
}

var (
	at       = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	decision = anneal.Decision{ID: "p-1", Policy: "p", Model: "churn", Cause: "e-1", At: at, Verdict: anneal.VerdictHold, Reason: "guard cooldown: 5h left"}
)

// A program, a mailbox and a telephone each get what they can use, and
// subscriptions have what they can filter by.
func TestMessage(t *testing.T) {
	w, c := newChannel(t, topic)
	n := notify.Decided("topic", decision)
	if err := c.Notify(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	v := w.took[0]
	event, mail, sms := forms(t, v)
	if event.ID != n.ID || event.Kind != anneal.NoticeDecided || event.Verdict != anneal.VerdictHold || event.Event != "e-1" {
		t.Errorf("the event is %+v; want the decision, with its verdict and what it is about", event)
	}
	if want := "churn: hold, guard cooldown: 5h left"; v.Get("Subject") != want || sms != want || mail != want+"\n\n"+n.Text {
		t.Errorf("subject %q, sms %q, mail %q; want %q, and the text in the mail", v.Get("Subject"), sms, mail, want)
	}
	got := map[string]string{}
	for i := 1; v.Get(fmt.Sprintf("MessageAttributes.entry.%d.Name", i)) != ""; i++ {
		got[v.Get(fmt.Sprintf("MessageAttributes.entry.%d.Name", i))] = v.Get(fmt.Sprintf("MessageAttributes.entry.%d.Value.StringValue", i))
	}
	if want := fmt.Sprint(map[string]string{"id": n.ID, "kind": "decided", "policy": "p", "model": "churn", "verdict": "hold"}); fmt.Sprint(got) != want {
		t.Errorf("attributes %v; want %v", got, want)
	}
	if v.Has("MessageGroupId") || v.Has("MessageDeduplicationId") {
		t.Errorf("a standard topic got %v", v)
	}
}

// A FIFO topic has the messages of a policy in order, and the same one once.
func TestFIFO(t *testing.T) {
	w, c := newChannel(t, topic+".fifo")
	for _, n := range []anneal.Notice{notify.Decided("topic", decision), notify.Message("topic", "effect", "s", "", at)} {
		if err := c.Notify(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		v, group := w.took[len(w.took)-1], n.Policy
		if group == "" {
			group = "anneal"
		}
		if v.Get("MessageGroupId") != group || v.Get("MessageDeduplicationId") != n.ID {
			t.Errorf("group %q, deduplication %q; want %q and %q", v.Get("MessageGroupId"), v.Get("MessageDeduplicationId"), group, n.ID)
		}
	}
}

// What SNS refuses is one line with the remedy; what another try may mend is not
// final, shows as long as it goes on, and is over when it is over.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		answer, want string
		final        bool
	}{
		{"403 AuthorizationError no", "AuthorizationError: grant the role sns:Publish on the topic ml", false},
		{"404 NotFound Topic does not exist", "NotFound: there is no such topic in us-east-1: make it, or correct topic", false},
		{"400 KMSAccessDenied no", "KMSAccessDenied: grant the role kms:GenerateDataKey and kms:Decrypt on the key of the topic ml", false},
		{"400 KMSDisabled off", "KMSDisabled: the key of the topic ml is disabled: enable it", false},
		{"400 Throttled slow", "Throttled: AWS asks for fewer requests: they are made fewer", false},
		{"403 ExpiredToken old", "ExpiredToken: the credentials have expired: renew them; they are read again at each try", false},
		{"400 InvalidParameterValue odd", "InvalidParameterValue: odd", true},
	} {
		t.Run(strings.Fields(c.answer)[1], func(t *testing.T) {
			w, channel := newChannel(t, topic)
			w.wrong = c.answer
			notice := notify.Message("topic", "effect", "hello", "", at)
			err := channel.Notify(t.Context(), notice)
			refusal, _ := errors.AsType[*notify.Refusal](err)
			if refusal == nil || refusal.Error() != c.want || refusal.Final != c.final || fmt.Sprint(refusal.Status) != c.answer[:3] {
				t.Errorf("got %+v; want %q, final %v", refusal, c.want, c.final)
			}
			if got := channel.Condition(); got != c.want && !c.final {
				t.Errorf("condition %q; want %q", got, c.want)
			}
			w.mu.Lock()
			w.wrong = ""
			w.mu.Unlock()
			if err := channel.Notify(t.Context(), notice); err != nil || channel.Condition() != "" {
				t.Errorf("afterwards: error %v, condition %q; want none", err, channel.Condition())
			}
		})
	}
	gone := to(t, "http://127.0.0.1:1", topic)
	if err, want := gone.Notify(t.Context(), notify.Message("topic", "e", "s", "", at)), "SNS in us-east-1 cannot be reached (connection refused): check network and endpoint"; err == nil || err.Error() != want {
		t.Errorf("a topic that is away: %v; want %q", err, want)
	}
}

// A message is never larger than SNS takes.
func TestLarge(t *testing.T) {
	w, c := newChannel(t, topic)
	if err := c.Notify(t.Context(), notify.Message("topic", "effect", "large", strings.Repeat("ü\x01", 200_000), at)); err != nil {
		t.Fatal(err)
	}
	if event, _, _ := forms(t, w.took[0]); len(event.Text) < 10_000 || !strings.HasSuffix(event.Text, "…") {
		t.Errorf("the text has %d bytes; want as much as goes, and … after it", len(event.Text))
	}
}

func TestSubject(t *testing.T) {
	for line, want := range map[string]string{
		"churn: held, no rule":    "churn: held, no rule",
		"größer als…":             "gr??er als...",
		"a\nb\x1b[31m":            "a b [31m",
		" \t ":                    "anneal",
		strings.Repeat("x", 100):  strings.Repeat("x", 100),
		strings.Repeat("xy ", 90): strings.TrimSpace(strings.Repeat("xy ", 90)[:97]) + "...",
	} {
		if got := subject(line); got != want || len(got) > maxSubject {
			t.Errorf("subject of %q: %q; want %q", line, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ topic, region, want string }{
		{topic, "", ""},
		{topic + ".fifo", "us-east-1", ""},
		{"ml", "", "topic: want the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:ml"},
		{topic, "eu-central-1", "region: eu-central-1, and the topic is in us-east-1 by its ARN; want that"},
	} {
		got := ""
		if _, err := New(Config{Topic: c.topic}, aws.Config{Region: c.region}, slog.New(slog.DiscardHandler)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("topic %q in %q: %q; want %q", c.topic, c.region, got, c.want)
		}
	}
}
