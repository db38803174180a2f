// Package webhook is the channel that posts each notice to a URL, as a
// CloudEvent that is signed by Standard Webhooks.
//
// A message's webhook-id is the notice's ID, so that who gets one twice can
// tell. Any 2xx answer takes it; 410 says that it is not wanted, and Retry-After
// is passed on. A redirect is not followed: a signed message goes where it was
// sent. Whatever the peer does, a try ends within 15 seconds and reads no more
// than the beginning of the answer.
//
// Trying again is left to the caller.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
)

const (
	// Source is the CloudEvents source of every message. anneal's own webhook
	// source refuses it, so that no message comes back as an event.
	Source = "anneal.notify"

	secretPrefix = "whsec_"
	tryTime      = 15 * time.Second
	atOnce       = 4   // tries of one channel at a time
	maxExcerpt   = 200 // bytes of an answer that went wrong
)

// Config is a channel `webhook` under `notify`.
type Config struct {
	URL    string // http or https
	Secret string // whsec_ and the base64 of the key; the prefix may be left out
}

// A Message is the body of a request: a CloudEvent.
type Message struct {
	SpecVersion     string    `json:"specversion"` // 1.0
	ID              string    `json:"id"`          // of the notice
	Source          string    `json:"source"`      // anneal.notify
	Type            string    `json:"type"`        // anneal.notice. and the kind
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            News      `json:"data"`
}

// News is what a message tells.
type News struct {
	Kind    anneal.NoticeKind `json:"kind"`
	Channel string            `json:"channel"`
	Policy  string            `json:"policy,omitempty"`
	Model   string            `json:"model,omitempty"` // model group
	Cause   string            `json:"cause"`           // ID of the decision, run, model or event it tells of
	At      time.Time         `json:"at"`
	Subject string            `json:"subject"` // one line
	Text    string            `json:"text"`
	Reason  string            `json:"reason,omitempty"`
}

// A Channel posts to one URL.
type Channel struct {
	url    string
	key    []byte
	client *http.Client
	slots  chan struct{}
	now    func() time.Time
}

// New returns a channel. The error says what is wrong with the config, and not
// what the secret is.
func New(cfg Config) (*Channel, error) {
	target, err := url.Parse(cfg.URL)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, errors.New("url: want one such as https://example.com/hook") // it may hold a secret
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(cfg.Secret, secretPrefix))
	if err != nil || len(key) == 0 {
		return nil, errors.New("secret: want whsec_ and base64, as Standard Webhooks has it: echo whsec_$(openssl rand -base64 24)")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	return &Channel{
		url: cfg.URL,
		key: key,
		client: &http.Client{
			Transport:     transport,
			Timeout:       tryTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		slots: make(chan struct{}, atOnce),
		now:   time.Now,
	}, nil
}

// Notify posts one message. An error is a [notify.Refusal].
func (c *Channel) Notify(ctx context.Context, n anneal.Notice) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return &notify.Refusal{Err: context.Cause(ctx)}
	}
	body, err := json.Marshal(messageOf(n))
	if err != nil {
		return &notify.Refusal{Final: true, Err: fmt.Errorf("encode notice %s: %w", n.ID, err)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return &notify.Refusal{Final: true, Err: withoutURL(err)}
	}
	timestamp := strconv.FormatInt(c.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "anneal")
	req.Header.Set("webhook-id", n.ID)
	req.Header.Set("webhook-timestamp", timestamp)
	req.Header.Set("webhook-signature", "v1,"+c.sign(n.ID, timestamp, body))
	resp, err := c.client.Do(req)
	if err != nil {
		return &notify.Refusal{Err: fmt.Errorf("post notice: %w", withoutURL(err))}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	return c.refusal(resp)
}

// sign is the signature of version 1.
//
// Source: Standard Webhooks specification 1.0, "Signature scheme".
func (c *Channel) sign(id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, c.key)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (c *Channel) refusal(resp *http.Response) error {
	excerpt, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcerpt)) // what came of it says enough
	r := &notify.Refusal{Status: resp.StatusCode, After: retryAfter(resp.Header.Get("Retry-After"), c.now()), Final: resp.StatusCode == http.StatusGone}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		r.Err = fmt.Errorf("answered %s: a redirect is not followed; set the url to where it leads", resp.Status)
	case len(bytes.TrimSpace(excerpt)) > 0:
		r.Err = fmt.Errorf("answered %s: %q", resp.Status, bytes.TrimSpace(excerpt))
	default:
		r.Err = fmt.Errorf("answered %s", resp.Status)
	}
	return r
}

// retryAfter is how long a peer asks to be left alone: 0 where it does not say.
//
// Source: RFC 9110, section 10.2.3.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// withoutURL keeps the URL, which may hold a secret, out of what is recorded.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func messageOf(n anneal.Notice) Message {
	return Message{
		SpecVersion: "1.0", ID: n.ID, Source: Source, Type: "anneal.notice." + string(n.Kind), Subject: n.Policy,
		Time: n.At.UTC(), DataContentType: "application/json",
		Data: News{
			Kind: n.Kind, Channel: n.Channel, Policy: n.Policy, Model: n.Model, Cause: n.Cause, At: n.At.UTC(),
			Subject: n.Subject, Text: n.Text, Reason: n.Reason,
		},
	}
}
