package httptask

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

const (
	largestToken = 1 << 20          // bytes of an answer
	early        = 30 * time.Second // so long before it ends a token is no longer used
)

// tokens keeps the access token of a connection until it ends or is refused.
type tokens struct {
	turn  chan struct{} // holds one while somebody has what follows
	value string
	ends  time.Time // zero: when it is refused
}

// token is one that may be used now. Where none is given, the failure says why.
func (t *tokens) token(ctx context.Context, by *Connection) (string, *asl.Outcome) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", &asl.Outcome{Error: ErrSocket, Cause: "The HTTP request timed out while it waited for an access token"}
	}
	if t.value != "" && (t.ends.IsZero() || time.Until(t.ends) > early) {
		return t.value, nil
	}
	value, lasts, failed := by.authorize(ctx)
	if failed != nil {
		return "", failed
	}
	t.value, t.ends = value, time.Time{}
	if lasts > 0 {
		t.ends = time.Now().Add(lasts)
	}
	return value, nil
}

// drop forgets a token that was refused.
func (t *tokens) drop(ctx context.Context, refused string) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
		if t.value == refused {
			t.value = ""
		}
	case <-ctx.Done(): // the next one finds it refused
	}
}

// authorize asks for a token.
func (c *Connection) authorize(ctx context.Context) (token string, lasts time.Duration, failed *asl.Outcome) {
	fail := func(name, format string, args ...any) (string, time.Duration, *asl.Outcome) {
		return "", 0, &asl.Outcome{Error: ConnectionErr + name, Cause: fmt.Sprintf(format, args...)}
	}
	o := c.OAuth
	u, err := url.Parse(o.URL)
	if err != nil {
		return fail("InvalidConnectionState", "the URL of the authorization endpoint is none")
	}
	method := cmp.Or(o.Method, http.MethodPost)
	query, form := slices.Clone(o.Query), slices.Clone(o.Body)
	if !has(form, "grant_type", false) && !has(query, "grant_type", false) {
		form = append([]Parameter{{"grant_type", "client_credentials"}}, form...)
	}
	if method == http.MethodGet {
		query, form = append(query, form...), nil
	}
	if q := encode(query); q != "" {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+q, "&")
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(encode(form)))
	if err != nil {
		return fail("InvalidConnectionState", "the authorization endpoint cannot be called by %s", method)
	}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(o.Secret)) // RFC 6749, section 2.3.1
	for _, h := range o.Headers {
		req.Header.Set(h.Name, h.Value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fail("InternalError", "the authorization endpoint %s did not answer: %s", u.Host, bare(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestToken))
	switch {
	case err != nil:
		return fail("InternalError", "the authorization endpoint %s did not answer: %s", u.Host, bare(err))
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return fail("InternalError", "the authorization endpoint %s answered %s", u.Host, resp.Status)
	case resp.StatusCode > 299:
		return fail("InvalidConnectionState", "the authorization endpoint %s answered %s%s", u.Host, resp.Status, said(body))
	}
	var given struct {
		Token string          `json:"access_token"`
		Lasts json.RawMessage `json:"expires_in"`
	}
	if json.Unmarshal(body, &given) != nil || given.Token == "" {
		return fail("InvalidConnectionState", "the authorization endpoint %s gave no access_token", u.Host)
	}
	// Some give the number as text.
	if seconds, err := strconv.ParseFloat(strings.Trim(string(given.Lasts), `"`), 64); err == nil && seconds > 0 {
		lasts = time.Duration(min(seconds, 1e9) * float64(time.Second))
	}
	return given.Token, lasts, nil
}

// said is the error that a refusal names (RFC 6749, section 5.2).
func said(body []byte) string {
	var refusal struct{ Error string }
	if json.Unmarshal(body, &refusal) != nil || refusal.Error == "" || len(refusal.Error) > 100 {
		return ""
	}
	return ": " + refusal.Error
}
