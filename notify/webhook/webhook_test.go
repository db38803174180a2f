package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/notify/notifytest"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var notice = anneal.Notice{
	ID: "n1", Kind: anneal.NoticeHeld, Channel: "team", Policy: "p", Model: "churn", Cause: "p-1",
	At: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), Subject: "churn: held", Text: "why", Reason: "hold: guard cooldown",
}

// newChannel returns a channel to a server with this handler.
func newChannel(t *testing.T, h http.HandlerFunc) *Channel {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(Config{URL: server.URL, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A peer keeps what it was sent.
type peer struct {
	channel *Channel
	mu      sync.Mutex
	told    []string // guarded by mu
}

func (p *peer) Channel() notify.Channel { return p.channel }

func (p *peer) Told(*testing.T) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

func TestContract(t *testing.T) {
	notifytest.Test(t, func(t *testing.T) notifytest.Recipient {
		p := &peer{}
		p.channel = newChannel(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			var m Message
			if err == nil {
				err = json.Unmarshal(body, &m)
			}
			if err != nil {
				t.Error(err)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.told = append(p.told, m.Data.Subject+"\n"+m.Data.Text)
		})
		return p
	})
}

// TestRequest checks a whole request, its signature by the letter of the
// specification.
func TestRequest(t *testing.T) {
	requests := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	c := newChannel(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r
		bodies <- string(body)
		w.WriteHeader(http.StatusNoContent)
	})
	c.now = func() time.Time { return time.Unix(1_700_000_000, 0) }
	if err := c.Notify(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	r, body := <-requests, <-bodies
	want := `{"specversion":"1.0","id":"n1","source":"anneal.notify","type":"anneal.notice.held","subject":"p","time":"2026-07-01T12:00:00Z",` +
		`"datacontenttype":"application/json","data":{"kind":"held","channel":"team","policy":"p","model":"churn","cause":"p-1",` +
		`"at":"2026-07-01T12:00:00Z","subject":"churn: held","text":"why","reason":"hold: guard cooldown"}}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, "n1.1700000000."+body)
	for name, want := range map[string]string{
		"webhook-id": "n1", "webhook-timestamp": "1700000000",
		"webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		"Content-Type":      "application/cloudevents+json; charset=utf-8",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
}

// The example of the Standard Webhooks specification.
func TestSignature(t *testing.T) {
	c, err := New(Config{URL: "http://localhost", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	got := c.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

// TestRefusals are answers that do not take a notice.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		want   notify.Refusal
		says   string
	}{
		{"a fault", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of \x1b[31mcheese", 500) },
			notify.Refusal{Status: 500}, `answered 500 Internal Server Error: "out of \x1b[31mcheese"`},
		{"too many", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		}, notify.Refusal{Status: 429, After: 2 * time.Minute}, "answered 429 Too Many Requests"},
		{"later", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "Tue, 14 Nov 2023 22:14:20 GMT")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, notify.Refusal{Status: 503, After: time.Minute}, "answered 503"},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) },
			notify.Refusal{Status: 410, Final: true}, "answered 410 Gone"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, notify.Refusal{Status: 307}, "a redirect is not followed"},
		{"an answer without end", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			for r.Context().Err() == nil {
				fmt.Fprint(w, strings.Repeat("x", 1000))
			}
		}, notify.Refusal{Status: 500}, `answered 500 Internal Server Error: "` + strings.Repeat("x", maxExcerpt) + `"`},
		{"an endless 200", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, strings.Repeat("x", 1000))
			}
		}, notify.Refusal{}, ""},
		{"no answer in time", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			notify.Refusal{}, "Client.Timeout exceeded"},
		{"a connection that breaks", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
			notify.Refusal{}, "post notice: EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChannel(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // else the server does not see the peer go
				test.answer(w, r)
			})
			if strings.Contains(test.says, "Timeout") {
				c.client.Timeout = 500 * time.Millisecond
			}
			c.now = func() time.Time { return time.Unix(1_700_000_000, 0) }
			err := c.Notify(t.Context(), notice)
			if test.says == "" {
				if err != nil {
					t.Errorf("got %v; want it taken", err)
				}
				return
			}
			var got *notify.Refusal
			if !errors.As(err, &got) || got.Status != test.want.Status || got.After != test.want.After || got.Final != test.want.Final {
				t.Errorf("got %+v; want %+v", got, test.want)
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v; want %q", err, test.says)
			}
		})
	}
}

// TestSecrets checks that neither the secret nor the URL is told.
func TestSecrets(t *testing.T) {
	for _, cfg := range []Config{
		{URL: "://user:hidden@host", Secret: secret}, {URL: "ftp://user:hidden@host", Secret: secret}, {URL: "hidden", Secret: secret},
		{URL: "http://localhost", Secret: "hidden!"}, {URL: "http://localhost", Secret: "whsec_"},
	} {
		if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%+v: got %v", cfg, err)
		}
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(Config{URL: server.URL + "/hidden", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Notify(t.Context(), notice); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "0", "120", "-1", "99999999999999999999", "Tue, 14 Nov 2023 22:14:20 GMT", "Tue, 14 Nov 1923 22:14:20 GMT", "soon"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got := retryAfter(value, time.Unix(1_700_000_000, 0)); got < 0 {
			t.Errorf("%s of %s", got, strconv.Quote(value))
		}
	})
}
